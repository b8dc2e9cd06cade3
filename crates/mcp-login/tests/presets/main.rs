//! Every service that mcp-login knows, in its own shapes: what is sent to it, and what comes of what it answers.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod answers;
mod apple;
mod door;
mod entra;
mod id_token;
mod lists;
mod made_up;
mod mutants;
mod params;
mod refusals;
mod revocation;
mod run;
mod server;
mod shape;
mod shopify;

use std::collections::BTreeSet;

use mcp_login::upstream::all;

use run::Run;
use shape::shapes;

#[test]
fn every_preset_has_a_shape_and_every_shape_a_preset() {
    let generic = |name: &&str| matches!(*name, "oidc" | "oauth2");
    let presets: BTreeSet<&str> =
        all().iter().map(|provider| provider.name.as_str()).filter(|name| !generic(name)).collect();
    let shapes = shapes();
    assert_eq!(shapes.keys().map(String::as_str).collect::<BTreeSet<_>>(), presets);
}

#[tokio::test]
async fn every_preset_fits_its_shape() {
    let mut wrong = Vec::new();
    for (name, shape) in shapes() {
        // In a task of its own: one that does not fit does not hide the next.
        if tokio::spawn(async { Run::new(name, shape).await.compare().await }).await.is_err() {
            wrong.push(name);
        }
    }
    assert_eq!(wrong, [""; 0], "what is wrong with each stands above");
}
