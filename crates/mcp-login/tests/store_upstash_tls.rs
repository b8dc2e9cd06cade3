//! Upstash with TLS, whose certificate is of an authority of one's own. Needs `redis-server`.
#![cfg(all(feature = "upstash", unix))]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod outage;

use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use mcp_login::store::backend::{Backend, Key, StoreError};
use mcp_login::store::options::StoreOptions;
use mcp_login::store::{conformance, upstash::UpstashBackend};
use mcp_login_testkit::redis_server::RedisServer;
use mcp_login_testkit::redis_tls::TlsFiles;
use mcp_login_testkit::upstash_front::UpstashFront;

const URL: &str = "MCP_LOGIN_TEST_UPSTASH_URL";

/// The authority is named in the environment, which a process has but one of: the other half of each test is a process
/// of its own.
fn run(test: &str, url: &str, authority: Option<&Path>) {
    let mut other = Command::new(std::env::current_exe().unwrap());
    other.args(["--exact", test, "--ignored", "--nocapture"]).env(URL, url).env_remove("SSL_CERT_DIR");
    match authority {
        Some(file) => other.env("SSL_CERT_FILE", file),
        None => other.env_remove("SSL_CERT_FILE"),
    };
    let output = other.output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    let complaints = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && said.contains("1 passed"), "{said}\n{complaints}");
}

fn open() -> Arc<UpstashBackend> {
    Arc::new(UpstashBackend::open_with(&std::env::var(URL).unwrap(), &StoreOptions::default()).unwrap())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
#[ignore = "the other half of the tests below"]
async fn other_half_conforms() {
    let backend = open();
    conformance::run(async || Arc::clone(&backend) as Arc<dyn Backend>).await;
}

#[tokio::test]
#[ignore = "the other half of the tests below"]
async fn other_half_is_unavailable() {
    let backend = open();
    outage::assert_unavailable(&*backend, &Key::new("grant", "1")).await;
    let Err(StoreError::Unavailable(why)) = backend.ping().await else { panic!("it is unavailable") };
    assert!(why.to_string().to_lowercase().contains("certificate"), "{why}");
}

#[test]
fn a_front_of_a_private_authority() {
    let (redis, tls) = (RedisServer::start(), Arc::new(TlsFiles::new()));
    let front = UpstashFront::start_tls(&redis, Arc::clone(&tls));
    run("other_half_conforms", &front.url(), Some(&tls.authority()));
}

#[test]
fn a_stranger_is_not_believed_and_not_sent_the_token() {
    let (redis, tls, stranger) = (RedisServer::start(), Arc::new(TlsFiles::new()), TlsFiles::new());
    let front = UpstashFront::start_tls(&redis, tls);
    run("other_half_is_unavailable", &front.url(), Some(&stranger.authority()));
    run("other_half_is_unavailable", &front.url(), None);
    assert_eq!(front.requests(), []);
}
