//! `config check`: everything that is wrong, at once.

use std::fmt::Write;

use serde_json::json;

use super::Source;
use crate::cli::{CheckArgs, Failure, say};
use crate::config::Fault;
use crate::descriptors;

/// `config check`
pub fn check(args: &CheckArgs) -> Result<(), Failure> {
    // The defaults are judged that `serve` has.
    descriptors::raise();
    let checked = Source::read(&args.config).and_then(|source| source.check());
    if args.json {
        let (faults, warnings) = match &checked {
            Ok(checked) => (&[][..], checked.warnings.as_slice()),
            Err(faults) => (faults.faults(), faults.warnings()),
        };
        say(&json!({ "ok": checked.is_ok(), "faults": faults, "warnings": warnings }).to_string());
        return checked.map(|_| ()).map_err(|_| Failure::Said(2));
    }
    let checked = checked?;
    let config = &checked.config;
    let mut text = format!("ok: {}", config.public_url);
    for mcp in &config.mcp {
        let _ = write!(text, "\n  {}{} → {}", config.public_url, mcp.path.as_str(), mcp.backend);
    }
    for warning in &checked.warnings {
        text.push_str(&shown(warning));
    }
    say(&text);
    Ok(())
}

fn shown(warning: &Fault) -> String {
    format!("\nwarning: {warning}")
}
