//! What the tests of mcp-login share.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test that cannot go on says so"
)]
#![allow(clippy::missing_panics_doc, clippy::must_use_candidate)]

pub mod browser;
pub mod client;
pub mod client_key;
pub mod clock;
pub mod dpop;
pub mod fake_upstream;
#[cfg(target_os = "linux")]
pub mod power_cut;
pub mod redis_cluster;
pub mod redis_sentinel;
pub mod redis_server;
pub mod redis_tls;
pub mod server;
pub mod upstash_front;
