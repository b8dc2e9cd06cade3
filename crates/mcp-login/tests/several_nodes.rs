//! Several nodes with one Redis: each keeps in memory who may call, and none goes on with what another has ended. Needs
//! `redis-server`.
#![cfg(feature = "redis")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::time::{Duration, Instant};

use mcp_login::Store;
use mcp_login_testkit::browser::Browser;
use mcp_login_testkit::client::{OAuthClient, Tokens};
use mcp_login_testkit::redis_server::{RedisServer, Reply};
use mcp_login_testkit::server::{Options, TestServer};

/// How soon a node refuses what another one has ended.
const SOON: Duration = Duration::from_secs(1);

/// How long anything may take in an outage, and after it.
const BOUND: Duration = Duration::from_secs(10);

/// Two nodes, and the same client at each.
struct Nodes {
    redis: RedisServer,
    first: TestServer,
    at_first: OAuthClient,
    at_second: OAuthClient,
}

impl Nodes {
    async fn start() -> Self {
        let redis = RedisServer::start();
        let options = async || {
            let store = Store::open(&redis.url()).await.unwrap();
            Options { store, ..Options::usual().await }
        };
        let first = TestServer::with(options().await).await;
        let second = first.start_node(options().await).await;
        let at_first = OAuthClient::register(&first).await;
        let at_second = at_first.through(&second);
        let nodes = Self { redis, first, at_first, at_second };
        nodes.changes_are_told().await;
        nodes
    }

    /// The numbers of the connections on which Redis tells of changes.
    fn tracking(&self) -> Vec<String> {
        let Reply::Bulk(Some(list)) = self.redis.query(&["CLIENT", "LIST"]) else { panic!("a list") };
        let list = String::from_utf8(list).unwrap();
        let field = |line: &str, name: &str| {
            let value = line.split(' ').find_map(|field| field.strip_prefix(name));
            value.unwrap_or_default().to_owned()
        };
        let tracking = list.lines().filter(|line| field(line, "flags=").contains('B'));
        tracking.map(|line| field(line, "id=")).collect()
    }

    async fn changes_are_told(&self) {
        until(BOUND, "no connection tells of changes", async || self.tracking().len() == 2).await;
    }

    /// How often Redis was asked for a record.
    fn reads(&self) -> u64 {
        let Reply::Bulk(Some(info)) = self.redis.query(&["INFO", "commandstats"]) else {
            panic!("statistics")
        };
        let info = String::from_utf8(info).unwrap();
        let get = info.lines().find_map(|line| line.strip_prefix("cmdstat_get:calls="));
        get.and_then(|get| get.split(',').next()).map_or(0, |calls| calls.parse().unwrap())
    }

    /// Somebody whom both nodes know.
    async fn log_in(&self) -> Tokens {
        let tokens = self.at_first.log_in(&Browser::new()).await;
        for node in [&self.at_first, &self.at_second] {
            assert_eq!(node.call("/mcp", &tokens.access).await.status(), 200);
        }
        tokens
    }

    async fn revoke(&self, tokens: &Tokens) {
        let form = [("token", tokens.refresh.as_str()), ("client_id", self.at_first.id())];
        assert_eq!(self.at_first.form("/revoke", &form).await.status(), 200);
    }

    /// Ends a login at the first node; the second refuses its token in time.
    async fn assert_revocation_is_seen(&self, tokens: &Tokens, when: &str) {
        self.revoke(tokens).await;
        let refused = async || self.at_second.call("/mcp", &tokens.access).await.status() == 401;
        let took = until(SOON, when, refused).await;
        assert!(took < SOON, "{when}: it took {took:?}");
        assert_eq!(self.at_first.call("/mcp", &tokens.access).await.status(), 401, "{when}");
    }
}

/// Waits until something holds, and gives how long it took.
async fn until(bound: Duration, what: &str, mut holds: impl AsyncFnMut() -> bool) -> Duration {
    let begun = Instant::now();
    while !holds().await {
        assert!(begun.elapsed() < bound, "{what}: not within {bound:?}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    begun.elapsed()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_revocation_on_one_node_is_refused_by_the_other() {
    let nodes = Nodes::start().await;
    for _ in 0..10 {
        let tokens = nodes.log_in().await;
        nodes.assert_revocation_is_seen(&tokens, "in quiet times").await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_with_a_known_token_asks_redis_nothing() {
    let nodes = Nodes::start().await;
    let tokens = nodes.log_in().await;
    // The first connection may have told of the login just now.
    until(BOUND, "every call reads", async || {
        let before = nodes.reads();
        assert_eq!(nodes.at_second.call("/mcp", &tokens.access).await.status(), 200);
        nodes.reads() == before
    })
    .await;
    let before = nodes.reads();
    for _ in 0..20 {
        assert_eq!(nodes.at_second.call("/mcp", &tokens.access).await.status(), 200);
    }
    assert_eq!(nodes.reads(), before);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_revocation_is_seen_when_the_connection_that_tells_of_it_has_just_broken_and_when_it_is_back() {
    let nodes = Nodes::start().await;
    for _ in 0..5 {
        let (early, between, late) = (nodes.log_in().await, nodes.log_in().await, nodes.log_in().await);
        let tracking = nodes.tracking();
        assert_eq!(tracking.len(), 2);
        for id in &tracking {
            assert_eq!(nodes.redis.query(&["CLIENT", "KILL", "ID", id]), Reply::Integer(1));
        }
        nodes.revoke(&between).await;
        nodes.assert_revocation_is_seen(&early, "just after it broke").await;
        let is_back = async || nodes.tracking().iter().filter(|id| !tracking.contains(id)).count() == 2;
        until(BOUND, "the connection does not come back", is_back).await;
        nodes.assert_revocation_is_seen(&late, "just after it came back").await;
        let refused = nodes.at_second.call("/mcp", &between.access).await;
        assert_eq!(refused.status(), 401, "nobody told of it while it was broken");
        nodes.changes_are_told().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refreshed_token_is_good_at_once_at_the_other_node() {
    let nodes = Nodes::start().await;
    let mut tokens = nodes.log_in().await;
    for _ in 0..20 {
        tokens = Tokens::read(nodes.at_first.refresh(&tokens.refresh, &[]).await).await;
        assert_eq!(nodes.at_second.call("/mcp", &tokens.access).await.status(), 200);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn when_everything_is_lost_nobody_goes_on() {
    let nodes = Nodes::start().await;
    let tokens = nodes.log_in().await;
    nodes.redis.query(&["FLUSHALL"]);
    let refused = async || nodes.at_second.call("/mcp", &tokens.access).await.status() == 401;
    until(SOON, "the emptied store", refused).await;
}

/// A store that hangs, which is the worst of outages: nothing breaks, nothing answers.
#[cfg(unix)]
#[tokio::test(flavor = "multi_thread")]
async fn in_an_outage_known_tokens_go_on_for_a_while_and_everything_else_is_503() {
    let nodes = Nodes::start().await;
    let known = nodes.log_in().await;
    let unknown = nodes.at_first.log_in(&Browser::new()).await;
    nodes.redis.pause();
    let begun = Instant::now();
    let call = async |tokens: &Tokens| nodes.at_second.call("/mcp", &tokens.access).await;
    // Longer than the memory is believed: what goes on then goes on by grace.
    while begun.elapsed() < Duration::from_secs(4) {
        let asked = Instant::now();
        assert_eq!(call(&known).await.status(), 200);
        assert!(asked.elapsed() < Duration::from_secs(2), "it took {:?}", asked.elapsed());
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let asked = Instant::now();
    let (stranger, refreshed) = tokio::join!(call(&unknown), nodes.at_second.refresh(&known.refresh, &[]));
    for answer in [stranger, refreshed] {
        assert_eq!(answer.status(), 503);
        assert!(answer.headers().contains_key("retry-after"));
    }
    assert!(asked.elapsed() < BOUND, "it took {:?}", asked.elapsed());
    nodes.first.clock.advance(Duration::from_secs(61));
    let late = call(&known).await;
    assert_eq!(late.status(), 503, "the grace is over");
    assert!(late.headers().contains_key("retry-after"));
    nodes.redis.resume();
    for tokens in [&known, &unknown] {
        until(BOUND, "it does not heal", async || call(tokens).await.status() == 200).await;
    }
    nodes.changes_are_told().await;
    nodes.assert_revocation_is_seen(&known, "after an outage").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn in_an_outage_nobody_is_told_to_log_in() {
    let mut nodes = Nodes::start().await;
    let (known, unknown) = (nodes.log_in().await, nodes.at_first.log_in(&Browser::new()).await);
    nodes.redis.stop();
    assert_eq!(nodes.at_second.call("/mcp", &known.access).await.status(), 200);
    assert_eq!(nodes.at_second.call("/mcp", &unknown.access).await.status(), 503);
    assert_eq!(nodes.at_second.refresh(&known.refresh, &[]).await.status(), 503);
    nodes.first.clock.advance(Duration::from_secs(61));
    assert_eq!(nodes.at_second.call("/mcp", &known.access).await.status(), 503);
}
