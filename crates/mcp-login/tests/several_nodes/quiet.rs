//! While nothing fails but a connection.

use mcp_login_testkit::client::Tokens;
use mcp_login_testkit::redis_server::Reply;

use crate::nodes::{ALL, Nodes};
use crate::{BOUND, SOON, until};

#[tokio::test(flavor = "multi_thread")]
async fn a_revocation_on_one_node_is_refused_by_the_other() {
    for kind in ALL {
        let nodes = Nodes::start(kind).await;
        for _ in 0..10 {
            let tokens = nodes.log_in().await;
            nodes.assert_revocation_is_seen(&tokens, &format!("in quiet times, {kind:?}")).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_with_a_known_token_asks_redis_nothing() {
    for kind in ALL {
        let nodes = Nodes::start(kind).await;
        for tokens in nodes.log_in_many(5).await {
            nodes.assert_reads_nothing(&tokens, &format!("{kind:?}")).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_revocation_is_seen_when_the_connection_that_tells_of_it_has_just_broken_and_when_it_is_back() {
    for kind in ALL {
        let nodes = Nodes::start(kind).await;
        for _ in 0..5 {
            let (early, between, late) = (nodes.log_in().await, nodes.log_in().await, nodes.log_in().await);
            let tracking = nodes.tracking();
            assert_eq!(tracking.len(), 2 * nodes.masters.len());
            for (server, id) in &tracking {
                let killed = nodes.redis.servers()[*server].query(&["CLIENT", "KILL", "ID", id]);
                assert_eq!(killed, Reply::Integer(1));
            }
            nodes.revoke(&between).await;
            nodes.assert_revocation_is_seen(&early, &format!("just after it broke, {kind:?}")).await;
            let is_back = async || {
                let new = nodes.tracking().into_iter().filter(|connection| !tracking.contains(connection));
                new.count() == tracking.len()
            };
            until(BOUND, "the connections do not come back", is_back).await;
            nodes.assert_revocation_is_seen(&late, &format!("just after it came back, {kind:?}")).await;
            let refused = nodes.at_second.call("/mcp", &between.access).await;
            assert_eq!(refused.status(), 401, "nobody told of it while it was broken");
            nodes.changes_are_told().await;
        }
    }
}

/// With several masters the others must not hide that one is silent.
#[tokio::test(flavor = "multi_thread")]
async fn one_broken_connection_of_several_is_enough_to_read_again() {
    let nodes = Nodes::start(crate::nodes::Kind::Cluster).await;
    for _ in 0..5 {
        let many = nodes.log_in_many(6).await;
        let tracking = nodes.tracking();
        // The two of one master.
        for (server, id) in tracking.iter().filter(|(server, _)| *server == 1) {
            nodes.redis.servers()[*server].query(&["CLIENT", "KILL", "ID", id]);
        }
        for tokens in &many[..3] {
            nodes.assert_revocation_is_seen(tokens, "one broke").await;
        }
        nodes.changes_are_told().await;
        let same = nodes.tracking().iter().filter(|connection| tracking.contains(connection)).count();
        assert_eq!(same, 4, "those that hold stay");
        for tokens in &many[3..] {
            nodes.assert_revocation_is_seen(tokens, "it is back").await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refreshed_token_is_good_at_once_at_the_other_node() {
    for kind in ALL {
        let nodes = Nodes::start(kind).await;
        let mut tokens = nodes.log_in().await;
        for _ in 0..20 {
            tokens = Tokens::read(nodes.at_first.refresh(&tokens.refresh, &[]).await).await;
            assert_eq!(nodes.at_second.call("/mcp", &tokens.access).await.status(), 200);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn when_everything_is_lost_nobody_goes_on() {
    for kind in ALL {
        let nodes = Nodes::start(kind).await;
        let many = nodes.log_in_many(3).await;
        for master in &nodes.masters {
            nodes.redis.servers()[*master].query(&["FLUSHALL"]);
        }
        for tokens in &many {
            let refused = async || nodes.at_second.call("/mcp", &tokens.access).await.status() == 401;
            until(SOON, "the emptied store", refused).await;
        }
    }
}
