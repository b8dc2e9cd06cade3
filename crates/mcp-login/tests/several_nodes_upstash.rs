//! Nodes that share Upstash, which tells them nothing: what one has ended the other refuses all the same, and what a
//! login costs in requests. Needs `redis-server`.
#![cfg(feature = "upstash")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::time::{Duration, Instant};

use mcp_login::Store;
use mcp_login_testkit::browser::Browser;
use mcp_login_testkit::client::{OAuthClient, Tokens};
use mcp_login_testkit::redis_server::RedisServer;
use mcp_login_testkit::server::{Options, TestServer};
use mcp_login_testkit::upstash_front::UpstashFront;

/// How soon a node refuses what another one has ended.
const SOON: Duration = Duration::from_secs(1);

struct Upstash {
    front: UpstashFront,
    _redis: RedisServer,
}

impl Upstash {
    fn start() -> Self {
        let redis = RedisServer::start();
        Self { front: UpstashFront::start(&redis), _redis: redis }
    }

    async fn options(&self) -> Options {
        let store = Store::open(&self.front.url()).await.unwrap();
        Options { store, ..Options::usual().await }
    }

    /// The commands since the last look; each is a request.
    fn commands(&self) -> Vec<String> {
        self.front.requests().into_iter().flat_map(|asked| asked.commands).collect()
    }
}

async fn revoke(client: &OAuthClient, tokens: &Tokens) {
    let form = [("token", tokens.refresh.as_str()), ("client_id", client.id())];
    assert_eq!(client.form("/revoke", &form).await.status(), 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_revocation_on_one_node_is_refused_by_the_other_within_a_second() {
    let upstash = Upstash::start();
    let first = TestServer::with(upstash.options().await).await;
    let second = first.start_node(upstash.options().await).await;
    let at_first = OAuthClient::register(&first).await;
    let at_second = at_first.through(&second);
    for _ in 0..5 {
        let tokens = at_first.log_in(&Browser::new()).await;
        for node in [&at_first, &at_second] {
            assert_eq!(node.call("/mcp", &tokens.access).await.status(), 200);
        }
        revoke(&at_first, &tokens).await;
        let begun = Instant::now();
        assert_eq!(at_first.call("/mcp", &tokens.access).await.status(), 401, "it has ended it itself");
        while at_second.call("/mcp", &tokens.access).await.status() != 401 {
            assert!(begun.elapsed() < SOON, "the other node still takes it");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_login_costs_is_as_documented() {
    let upstash = Upstash::start();
    let server = TestServer::with(upstash.options().await).await;
    // The scripts are known after the first of everything.
    let client = OAuthClient::register(&server).await;
    let tokens = client.log_in(&Browser::new()).await;
    let tokens = Tokens::read(client.refresh(&tokens.refresh, &[]).await).await;
    assert_eq!(client.call("/mcp", &tokens.access).await.status(), 200);
    revoke(&client, &tokens).await;
    ended_at_the_service(&server, 1).await;
    upstash.commands();

    let client = OAuthClient::register(&server).await;
    assert_eq!(upstash.commands(), ["EVALSHA"], "registration");
    let tokens = client.log_in(&Browser::new()).await;
    let login = upstash.commands();
    let writes = login.iter().filter(|command| *command == "EVALSHA").count();
    assert_eq!((login.len(), writes), (14, 7), "{login:?}");
    let begun = Instant::now();
    assert_eq!(client.call("/mcp", &tokens.access).await.status(), 200);
    assert_eq!(upstash.commands(), ["GET"], "the first call");
    assert_eq!(client.call("/mcp", &tokens.access).await.status(), 200);
    let (again, took) = (upstash.commands(), begun.elapsed());
    assert!(again.is_empty() || took > Duration::from_millis(500), "{again:?} after {took:?}");
    let tokens = Tokens::read(client.refresh(&tokens.refresh, &[]).await).await;
    assert_eq!(upstash.commands(), ["GET", "GET", "EVALSHA"], "a refresh");
    revoke(&client, &tokens).await;
    ended_at_the_service(&server, 2).await;
    let revocation = upstash.commands();
    assert_eq!(revocation, ["GET", "GET", "EVALSHA", "GET", "GET", "GET"], "half of it after the answer");
}

/// What follows a revocation without anybody waiting for it.
async fn ended_at_the_service(server: &TestServer, times: usize) {
    let begun = Instant::now();
    while server.upstream.seen_revocations().len() < times {
        assert!(begun.elapsed() < Duration::from_secs(5), "the service does not hear of it");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}
