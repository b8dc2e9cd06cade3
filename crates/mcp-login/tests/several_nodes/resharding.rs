//! Slots of a Cluster move from one master to another, while both nodes are at work.

use mcp_login_testkit::client::Tokens;

use crate::nodes::{Kind, Load, Nodes, Redis};
use crate::{BOUND, until};

/// The slot of a login, and the master that owns it.
fn place(nodes: &Nodes, tokens: &Tokens) -> (u16, usize) {
    let key = format!("mcp-login:grant:{}", &tokens.access[4..36]);
    let slot = nodes.redis.cluster().slot(0, &key);
    // As they were shared out at first.
    (slot, (0..3).rfind(|n| usize::from(slot) >= n * 16384 / 3).unwrap())
}

/// Both nodes call, wherever the login is by now.
async fn is_known(nodes: &Nodes, tokens: &Tokens) {
    for node in [&nodes.at_first, &nodes.at_second] {
        assert_eq!(node.call("/mcp", &tokens.access).await.status(), 200);
    }
}

/// Moves the slots of four logins, each a step further, and ends the login there.
async fn move_to(nodes: &Nodes, to: impl Fn(usize) -> usize, when: &str) {
    for step in 0..4 {
        let tokens = nodes.log_in().await;
        let (slot, from) = place(nodes, &tokens);
        let (to, cluster) = (to(from), nodes.redis.cluster());
        if step > 0 {
            cluster.begin_to_move(slot, from, to);
            is_known(nodes, &tokens).await;
        }
        if step > 1 {
            cluster.move_keys(slot, from, to);
            is_known(nodes, &tokens).await;
        }
        if step > 2 {
            cluster.end_to_move(slot, from, to);
            is_known(nodes, &tokens).await;
        }
        nodes.assert_revocation_is_seen(&tokens, &format!("{when}, step {step}")).await;
    }
}

async fn assert_all_is_quiet(nodes: &Nodes) {
    let many = nodes.log_in_many(2).await;
    nodes.assert_all_is_quiet([&many[0], &many[1]], "after a resharding").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_revocation_is_seen_while_slots_move() {
    let nodes = Nodes::start(Kind::Cluster).await;
    let load = Load::start(&nodes, &nodes.log_in_many(6).await);
    for round in 0..3 {
        move_to(&nodes, |from| (from + 1) % 3, &format!("round {round}")).await;
    }
    load.finish().await;
    assert_all_is_quiet(&nodes).await;
}

/// A master without slots is in nobody's map, but keys that are on their way to it are there.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_revocation_is_seen_while_slots_move_to_a_new_master() {
    let mut redis = Redis::start(Kind::Cluster);
    let Redis::Cluster(cluster) = &mut redis else { panic!("a Cluster") };
    let new = cluster.add_master();
    let mut nodes = Nodes::with(redis).await;
    let many = nodes.log_in_many(2).await;
    let tokens = &many[0];
    let (slot, from) = place(&nodes, tokens);
    nodes.redis.cluster().begin_to_move(slot, from, new);
    nodes.redis.cluster().move_keys(slot, from, new);
    // Both nodes are sent there as soon as they have heard that the login is gone from where it was.
    nodes.masters.push(new);
    until(BOUND, "it is not followed", async || {
        is_known(&nodes, tokens).await;
        nodes.tracking().len() == 2 * nodes.masters.len()
    })
    .await;
    nodes.assert_reads_nothing(tokens, "on its way to a new master").await;
    nodes.assert_revocation_is_seen(tokens, "on its way to a new master").await;
    nodes.redis.cluster().end_to_move(slot, from, new);
    move_to(&nodes, |_| new, "to a new master").await;
    assert_all_is_quiet(&nodes).await;
}
