//! `docs/providers.md` is what the data says.
#![allow(clippy::unwrap_used, clippy::panic, missing_docs)]

use mcp_login_gateway::command::providers::{document, rows};

#[test]
fn the_document_is_up_to_date() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/providers.md");
    let made = document(&rows());
    if std::env::var_os("UPDATE_DOCS").is_some() {
        std::fs::write(path, &made).unwrap();
    }
    let held = std::fs::read_to_string(path).unwrap_or_default();
    assert!(held == made, "docs/providers.md is not what the data says: UPDATE_DOCS=1 makes it anew");
}
