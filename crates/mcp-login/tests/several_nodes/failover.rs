//! Another server becomes the master, while both nodes are at work.

use std::time::{Duration, Instant};

use mcp_login_testkit::browser::Browser;
use mcp_login_testkit::client::{OAuthClient, Tokens};
use mcp_login_testkit::redis_server::{RedisServer, Reply};

use crate::nodes::{Kind, Load, Nodes, Redis};
use crate::{BOUND, SOON, until};

/// How a master fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fails {
    /// It is killed: connections break.
    Dies,
    /// Nothing breaks, nothing answers.
    Hangs,
}

/// Logins of whom both nodes know, and logins of which neither has anything in memory.
struct People {
    known: Vec<Tokens>,
    unknown: Vec<Tokens>,
}

impl People {
    /// So many that a Cluster has some of each on every master, unless chance is very unkind.
    async fn log_in(nodes: &Nodes) -> Self {
        let known = nodes.log_in_many(12).await;
        let mut unknown = Vec::new();
        for _ in 0..12 {
            unknown.push(nodes.at_first.log_in(&Browser::new()).await);
        }
        Self { known, unknown }
    }

    /// What nobody has in memory can be read again at this node, wherever it is.
    async fn are_reached(&self, node: &OAuthClient) {
        for tokens in &self.unknown {
            let good = async || node.call("/mcp", &tokens.access).await.status() == 200;
            until(BOUND, "the failover does not end", good).await;
        }
    }
}

async fn followed(kind: Kind, fails: Fails) {
    let when = |what: &str| format!("{what}, {kind:?}, the master {fails:?}");
    let mut nodes = Nodes::with(Redis::with_replicas(kind)).await;
    let people = People::log_in(&nodes).await;
    let load = Load::start(&nodes, &nodes.log_in_many(6).await);
    let replicas = nodes.redis.servers().iter().skip(nodes.masters.len());
    for (master, replica) in nodes.masters.iter().zip(replicas) {
        replica.wait_until_it_has_all_of(&nodes.redis.servers()[*master]);
    }
    match fails {
        Fails::Dies => nodes.redis.servers_mut()[0].stop(),
        Fails::Hangs => nodes.redis.servers()[0].pause(),
    }
    people.are_reached(&nodes.at_first).await;
    // Where the other node has got to by now is not waited for.
    for tokens in &people.known[..6] {
        nodes.assert_revocation_is_seen(tokens, &when("just after the failover")).await;
    }
    people.are_reached(&nodes.at_second).await;
    load.finish().await;
    nodes.masters = nodes.redis.next_masters();
    let [one, another] = [&people.known[6], &people.known[7]];
    nodes.assert_all_is_quiet([one, another], &when("some time after the failover")).await;

    match fails {
        Fails::Dies => nodes.redis.servers_mut()[0].restart(),
        Fails::Hangs => nodes.redis.servers()[0].resume(),
    }
    // The old master is as it was when it began to hang: nobody must hear from it.
    let back = Instant::now();
    while back.elapsed() < Duration::from_millis(1_500) {
        for tokens in &people.known[..8] {
            for node in [&nodes.at_first, &nodes.at_second] {
                assert_eq!(node.call("/mcp", &tokens.access).await.status(), 401);
            }
        }
    }
    nodes.redis.wait_until_whole();
    let [one, another] = [&people.known[8], &people.known[9]];
    nodes.assert_all_is_quiet([one, another], &when("with all servers")).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn sentinels_replace_a_master_that_dies() {
    followed(Kind::Sentinel, Fails::Dies).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn sentinels_replace_a_master_that_hangs() {
    followed(Kind::Sentinel, Fails::Hangs).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_cluster_replaces_a_master_that_dies() {
    followed(Kind::Cluster, Fails::Dies).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_cluster_replaces_a_master_that_hangs() {
    followed(Kind::Cluster, Fails::Hangs).await;
}

/// An operator changes the roles: no connection breaks, and the old master goes on as a replica.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_planned_failover_of_a_cluster_is_followed_at_once() {
    let mut nodes = Nodes::with(Redis::with_replicas(Kind::Cluster)).await;
    let people = People::log_in(&nodes).await;
    let load = Load::start(&nodes, &nodes.log_in_many(6).await);
    let next = &nodes.redis.servers()[3];
    assert_eq!(next.query(&["CLUSTER", "FAILOVER"]), Reply::Status("OK".to_owned()));
    until(BOUND, "no failover", async || next.info("replication", "role") == "master").await;
    // The first node is sent away by the old master; nobody sends the second anywhere.
    for tokens in &people.known[..6] {
        nodes.assert_revocation_is_seen(tokens, "just after a planned failover").await;
    }
    load.finish().await;
    nodes.masters = nodes.redis.next_masters();
    nodes.assert_all_is_quiet([&people.known[6], &people.known[7]], "after a planned failover").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_planned_failover_of_sentinels_is_followed() {
    let mut nodes = Nodes::with(Redis::with_replicas(Kind::Sentinel)).await;
    let people = People::log_in(&nodes).await;
    let load = Load::start(&nodes, &nodes.log_in_many(6).await);
    let Redis::Sentinel(sentinel) = &nodes.redis else { panic!("sentinels") };
    let begins = || sentinel.sentinels()[0].query(&["SENTINEL", "FAILOVER", "mymaster"]);
    until(BOUND, "no failover", async || begins() == Reply::Status("OK".to_owned())).await;
    // What is written to the old master until the nodes have followed is lost: that is for Redis to bound.
    nodes.masters = nodes.redis.next_masters();
    nodes.changes_are_told().await;
    for tokens in &people.known[..6] {
        nodes.assert_revocation_is_seen(tokens, "just after a planned failover").await;
    }
    load.finish().await;
    nodes.assert_all_is_quiet([&people.known[6], &people.known[7]], "after a planned failover").await;
}

/// They name the master, so without them nobody knows: all is read, and nobody is refused.
#[tokio::test(flavor = "multi_thread")]
async fn without_sentinels_every_call_reads_the_store() {
    let mut nodes = Nodes::start(Kind::Sentinel).await;
    let many = nodes.log_in_many(3).await;
    let Redis::Sentinel(sentinel) = &mut nodes.redis else { panic!("sentinels") };
    sentinel.sentinels_mut().iter_mut().for_each(RedisServer::stop);
    let reads = async || {
        let before = nodes.reads();
        assert_eq!(nodes.at_second.call("/mcp", &many[0].access).await.status(), 200);
        nodes.reads() > before
    };
    until(Duration::from_secs(3), "the memory is believed for ever", reads).await;
    for tokens in &many {
        nodes.revoke(tokens).await;
        assert_eq!(nodes.at_second.call("/mcp", &tokens.access).await.status(), 401);
    }
    until(SOON, "nobody is told", async || nodes.tracking().len() == 2).await;
}
