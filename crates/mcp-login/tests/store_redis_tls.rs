//! Redis with TLS, whose certificate is of an authority of one's own. Needs `redis-server`, built with TLS.
#![cfg(all(feature = "redis", unix))]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod outage;

use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use mcp_login::store::backend::{Backend, Key, StoreError};
use mcp_login::store::{conformance, redis::RedisBackend};
use mcp_login_testkit::redis_cluster::RedisCluster;
use mcp_login_testkit::redis_server::{RedisServer, Reply};
use mcp_login_testkit::redis_tls::TlsFiles;
use outage::{assert_returns, assert_unavailable};

const URL: &str = "MCP_LOGIN_TEST_REDIS_URL";

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

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
#[ignore = "the other half of the tests below"]
async fn other_half_conforms() {
    let backend = Arc::new(RedisBackend::open(&std::env::var(URL).unwrap(), "mcp-login:").unwrap());
    assert_returns(&*backend).await;
    conformance::run(async || Arc::clone(&backend) as Arc<dyn Backend>).await;
}

#[tokio::test]
#[ignore = "the other half of the tests below"]
async fn other_half_is_unavailable() {
    let backend = RedisBackend::open(&std::env::var(URL).unwrap(), "mcp-login:").unwrap();
    assert_unavailable(&backend, &Key::new("grant", "1")).await;
    let Err(StoreError::Unavailable(why)) = backend.ping().await else { panic!("it is unavailable") };
    assert!(why.to_string().to_lowercase().contains("certificate"), "{why}");
}

#[test]
fn a_server_of_a_private_authority() {
    let tls = TlsFiles::new();
    let server = RedisServer::start_with(|| tls.settings());
    let user = ["ACL", "SETUSER", "mcp", "on", ">p@ss", "~*", "+@all"];
    assert_eq!(server.query(&user), Reply::Status("OK".to_owned()));
    for host in ["127.0.0.1", "localhost"] {
        let url = format!("rediss://mcp:p%40ss@{host}:{}/3", server.tls_port());
        run("other_half_conforms", &url, Some(&tls.authority()));
    }
}

#[test]
fn a_stranger_is_not_believed() {
    let (tls, stranger) = (TlsFiles::new(), TlsFiles::new());
    let server = RedisServer::start_with(|| tls.settings());
    let url = format!("rediss://127.0.0.1:{}/", server.tls_port());
    run("other_half_is_unavailable", &url, Some(&stranger.authority()));
    run("other_half_is_unavailable", &url, None);
    // The certificate names 127.0.0.1 only.
    let elsewhere = format!("rediss://127.0.0.2:{}/", server.tls_port());
    let set = server.query(&["CONFIG", "SET", "bind", "127.0.0.1 127.0.0.2"]);
    assert_eq!(set, Reply::Status("OK".to_owned()));
    run("other_half_is_unavailable", &elsewhere, Some(&tls.authority()));
}

#[test]
fn a_cluster_of_a_private_authority() {
    let tls = TlsFiles::new();
    let cluster = RedisCluster::start_with(3, 0, || {
        let mut settings = tls.settings();
        settings.push("tls-cluster yes".to_owned());
        settings
    });
    let url = format!("rediss+cluster://127.0.0.1:{}", cluster.nodes()[0].tls_port());
    run("other_half_conforms", &url, Some(&tls.authority()));
}
