//! One refresh at a time, whoever asks: of several nodes with one Redis, while one is slow, dies or loses its caller. Needs
//! `redis-server`.
#![cfg(feature = "redis")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use axum::Router;
use axum::extract::Query;
use axum::routing::post;
use bytes::Bytes;
use mcp_login::clock::Clock;
use mcp_login::store::backend::{Backend, Key};
use mcp_login::store::redis::RedisBackend;
use mcp_login::{AuthServer, Caller, Store};
use mcp_login_testkit::browser::Browser;
use mcp_login_testkit::client::{OAuthClient, Tokens};
use mcp_login_testkit::fake_upstream::Fault;
use mcp_login_testkit::redis_server::RedisServer;
use mcp_login_testkit::server::{Options, TestServer};
use serde_json::Value;
use tokio::task::JoinSet;

/// How long anything may take.
const BOUND: Duration = Duration::from_secs(20);
/// Longer than what the service said of a token is taken for true.
const A_WHILE: Duration = Duration::from_secs(61);
/// Longer than an access token of the upstream lives.
const STALE: Duration = Duration::from_secs(3_700);

/// Three nodes, and the same client at each; somebody has logged in, and the upstream's token is stale.
struct Nodes {
    redis: RedisServer,
    first: TestServer,
    clients: Vec<OAuthClient>,
    tokens: Tokens,
}

impl Nodes {
    async fn start() -> Self {
        let redis = RedisServer::start();
        let options = async || {
            // Long enough that our own token outlives the upstream's.
            let mut options =
                Options { store: Store::open(&redis.url()).await.unwrap(), ..Options::usual().await };
            options.lifetimes.access = Duration::from_secs(24 * 3_600);
            options
        };
        let first = TestServer::with(options().await).await;
        let client = OAuthClient::register(&first).await;
        let mut clients = vec![client.clone()];
        for _ in 0..2 {
            clients.push(client.through(&first.start_node(options().await).await));
        }
        let tokens = client.log_in(&Browser::new()).await;
        let nodes = Self { redis, first, clients, tokens };
        for node in 0..3 {
            assert!(nodes.upstream_token(node).await.is_string());
        }
        nodes.first.clock.advance(STALE);
        nodes
    }

    async fn upstream_token(&self, node: usize) -> Value {
        let answer: Value = self.clients[node].call("/mcp", &self.tokens.access).await.json().await.unwrap();
        answer["upstream_token"].clone()
    }

    /// Of the lease of this login's grant, whose id is in every token.
    fn lease(&self) -> Key {
        Key::new("lease", &self.tokens.access["mla_".len()..][..32])
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hundred_calls_on_three_nodes_are_one_refresh() {
    let nodes = Nodes::start().await;
    nodes.first.upstream.set(Fault::TokenDelay(Duration::from_millis(300)));
    let mut calls = JoinSet::new();
    for n in 0..100 {
        let (client, access) = (nodes.clients[n % 3].clone(), nodes.tokens.access.clone());
        calls.spawn(async move {
            let answer: Value = client.call("/mcp", &access).await.json().await.unwrap();
            answer["upstream_token"].as_str().expect("a token").to_owned()
        });
    }
    let given: BTreeSet<_> = calls.join_all().await.into_iter().collect();
    assert_eq!((given.len(), nodes.first.upstream.refreshes()), (1, 1));
    assert!(nodes.first.upstream.accepts(given.first().unwrap()));
    let name = format!("mcp-login:{}", nodes.lease().as_str());
    let left = nodes.redis.time_to_live(&name);
    assert!(left.is_none_or(|left| left <= Duration::from_secs(60)), "the lease was given back: {left:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lease_outlives_a_slow_upstream() {
    let nodes = Nodes::start().await;
    nodes.first.upstream.set(Fault::TokenDelay(Duration::from_secs(5)));
    let waiting = async {
        // The lease would end at 10 s: it is renewed at 6, by the clock of the nodes.
        tokio::time::sleep(Duration::from_millis(500)).await;
        nodes.first.clock.advance(Duration::from_secs(6));
        tokio::time::sleep(Duration::from_millis(3_500)).await;
        nodes.first.clock.advance(Duration::from_secs(6));
        nodes.upstream_token(1).await
    };
    let (first, second) = tokio::join!(nodes.upstream_token(0), waiting);
    assert!(first.is_string());
    assert_eq!((&first, nodes.first.upstream.refreshes()), (&second, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_died_holds_nobody_up_beyond_its_lease() {
    let nodes = Nodes::start().await;
    let dead = RedisBackend::open(&nodes.redis.url(), "mcp-login:").unwrap();
    let (now, ttl) = (nodes.first.clock.now(), Duration::from_secs(10));
    assert!(dead.insert(&nodes.lease(), Bytes::new(), now.plus(ttl), now).await.unwrap());
    let begun = Instant::now();
    let late = async {
        tokio::time::sleep(Duration::from_millis(700)).await;
        assert_eq!(nodes.first.upstream.refreshes(), 0, "somebody else may be at it");
        nodes.first.clock.advance(ttl);
    };
    let (token, ()) = tokio::join!(nodes.upstream_token(0), late);
    assert!(token.is_string(), "{token}");
    assert_eq!(nodes.first.upstream.refreshes(), 1);
    assert!(begun.elapsed() < BOUND);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_caller_that_goes_away_cancels_nothing() {
    let nodes = Nodes::start().await;
    nodes.first.upstream.set(Fault::TokenDelay(Duration::from_millis(500)));
    let gone = tokio::time::timeout(Duration::from_millis(250), nodes.upstream_token(0)).await;
    assert!(gone.is_err(), "it was not there in time");
    let token = nodes.upstream_token(2).await;
    assert!(token.is_string(), "{token}");
    assert_eq!(nodes.first.upstream.refreshes(), 1, "what was sent for it is what the next one gets");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_login_without_a_refresh_token_lives_as_long_as_its_token() {
    let mut options = Options::usual().await;
    options.lifetimes.access = Duration::from_secs(24 * 3_600);
    let server = TestServer::with(options).await;
    server.upstream.set(Fault::NoRefreshToken);
    let client = OAuthClient::register(&server).await;
    let tokens = client.log_in(&Browser::new()).await;
    let told = async || {
        let answer: Value = client.call("/mcp", &tokens.access).await.json().await.unwrap();
        answer["upstream_token"].clone()
    };
    let first = told().await;
    server.clock.advance(Duration::from_secs(3_590));
    assert_eq!(told().await, first, "stale, but still good");
    server.clock.advance(Duration::from_secs(20));
    assert!(told().await["error"].as_str().unwrap().contains("sign in again"));
    assert_eq!(server.upstream.refreshes(), 0);
    let refused = client.refresh(&tokens.refresh, &[]).await;
    assert_eq!(refused.status(), 400, "and the client is told to log in");
}

/// An MCP server that tells its token, or what comes after one that was refused.
fn servers(auth: &AuthServer) -> Router {
    let tell = async |Query(query): Query<Vec<(String, String)>>, caller: Caller| {
        let refused =
            query.iter().find(|(name, _)| name == "refused").map(|(_, token)| token.as_str().into());
        let token = match &refused {
            None => caller.upstream_token().await,
            Some(refused) => caller.upstream_token_after(refused).await,
        };
        token.map_or_else(|error| error.to_string(), |token| token.expose_secret().to_owned())
    };
    Router::new().route("/mcp", post(tell)).route_layer(auth.protect("/mcp").unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_that_the_upstream_refused_is_refreshed_once() {
    let server = TestServer::around(Options::usual().await, servers).await;
    let client = OAuthClient::register(&server).await;
    let tokens = client.log_in(&Browser::new()).await;
    let told = async |path: &str| client.call(path, &tokens.access).await.text().await.unwrap();
    let first = told("/mcp").await;
    let after = format!("/mcp?refused={first}");
    assert_eq!((&told(&after).await, server.upstream.refreshes()), (&first, 0), "it was given a moment ago");
    server.clock.advance(A_WHILE);
    let (a, b) = tokio::join!(told(&after), told(&after));
    assert_eq!((&a, server.upstream.refreshes()), (&b, 1), "two that were refused the same");
    assert_ne!(a, first);
    assert_eq!(told("/mcp").await, a);
    server.upstream.revoke_everything();
    server.clock.advance(A_WHILE);
    let ended = told(&format!("/mcp?refused={a}")).await;
    assert!(ended.contains("sign in again"), "{ended}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_token_that_cannot_be_renewed_is_asked_about() {
    let server = TestServer::around(Options::usual().await, servers).await;
    server.upstream.set(Fault::NoRefreshToken);
    let client = OAuthClient::register(&server).await;
    let tokens = client.log_in(&Browser::new()).await;
    let told = async |path: &str| client.call(path, &tokens.access).await.text().await.unwrap();
    let asked = || server.upstream.seen_userinfo().len();
    let token = told("/mcp").await;
    let after = format!("/mcp?refused={token}");
    let at_login = asked();

    server.clock.advance(A_WHILE);
    for _ in 0..3 {
        assert_eq!(told(&after).await, token, "the service takes it: something else was wrong");
    }
    assert_eq!(asked(), at_login + 1, "and is not asked for each refusal");

    server.clock.advance(A_WHILE);
    // Also one that hides behind a page.
    for status in [500, 200] {
        server.upstream.set(Fault::UserinfoStatus(status));
        let unknown = told(&after).await;
        assert!(unknown.contains("cannot be reached"), "{unknown}");
        server.upstream.clear();
    }
    assert_eq!(told("/mcp").await, token, "an outage ends nothing");

    server.upstream.revoke_everything();
    let ended = told(&after).await;
    assert!(ended.contains("sign in again"), "{ended}");
    assert!(told("/mcp").await.contains("sign in again"), "for good");
}
