//! While no server answers.

use std::time::{Duration, Instant};

use mcp_login_testkit::browser::Browser;
use mcp_login_testkit::client::Tokens;
use mcp_login_testkit::redis_server::RedisServer;

use crate::nodes::{ALL, Kind, Nodes};
use crate::{BOUND, until};

/// A store that hangs, which is the worst of outages: nothing breaks, nothing answers.
#[tokio::test(flavor = "multi_thread")]
async fn in_an_outage_known_tokens_go_on_for_a_while_and_everything_else_is_503() {
    // Behind sentinels another server would come in its place.
    for kind in [Kind::One, Kind::Cluster] {
        let nodes = Nodes::start(kind).await;
        let known = nodes.log_in().await;
        let unknown = nodes.at_first.log_in(&Browser::new()).await;
        nodes.redis.servers().iter().for_each(RedisServer::pause);
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
        let (stranger, refreshed) =
            tokio::join!(call(&unknown), nodes.at_second.refresh(&known.refresh, &[]));
        for answer in [stranger, refreshed] {
            assert_eq!(answer.status(), 503);
            assert!(answer.headers().contains_key("retry-after"));
        }
        assert!(asked.elapsed() < BOUND, "it took {:?}", asked.elapsed());
        nodes.first.clock.advance(Duration::from_secs(62));
        let late = call(&known).await;
        assert_eq!(late.status(), 503, "the grace is over");
        assert!(late.headers().contains_key("retry-after"));
        nodes.redis.servers().iter().for_each(RedisServer::resume);
        for tokens in [&known, &unknown] {
            until(BOUND, "it does not heal", async || call(tokens).await.status() == 200).await;
        }
        nodes.changes_are_told().await;
        nodes.assert_revocation_is_seen(&known, "after an outage").await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn in_an_outage_nobody_is_told_to_log_in() {
    for kind in ALL {
        let mut nodes = Nodes::start(kind).await;
        let (known, unknown) = (nodes.log_in().await, nodes.at_first.log_in(&Browser::new()).await);
        nodes.redis.servers_mut().iter_mut().for_each(RedisServer::stop);
        assert_eq!(nodes.at_second.call("/mcp", &known.access).await.status(), 200);
        assert_eq!(nodes.at_second.call("/mcp", &unknown.access).await.status(), 503);
        assert_eq!(nodes.at_second.refresh(&known.refresh, &[]).await.status(), 503);
        nodes.first.clock.advance(Duration::from_secs(62));
        assert_eq!(nodes.at_second.call("/mcp", &known.access).await.status(), 503);
    }
}
