//! Streams that are open at one node while another ends their logins.

use std::time::Duration;

use mcp_login_testkit::client::Tokens;
use reqwest::Response;

use crate::nodes::{ALL, Nodes};

/// Far beyond what it takes.
const BOUND: Duration = Duration::from_secs(30);

/// Whether it comes to an end as if it were whole.
async fn ends(stream: &mut Response) -> bool {
    let rest = tokio::time::timeout(BOUND, stream.chunk()).await;
    matches!(rest, Ok(Ok(None)))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_at_one_node_ends_when_another_ends_its_login() {
    for kind in ALL {
        let nodes = Nodes::start(kind).await;
        let (ended, kept) = (nodes.log_in().await, nodes.log_in().await);
        let mut of_ended = nodes.at_second.open_stream("/mcp", &ended.access).await;
        let mut of_kept = nodes.at_second.open_stream("/mcp", &kept.access).await;
        let kept = Tokens::read(nodes.at_first.refresh(&kept.refresh, &[]).await).await;
        nodes.revoke(&ended).await;
        assert!(ends(&mut of_ended).await, "{kind:?}");
        let goes_on = tokio::time::timeout(Duration::from_millis(100), of_kept.chunk()).await.is_err();
        assert!(goes_on, "the other login was only refreshed, {kind:?}");
        nodes.revoke(&kept).await;
        assert!(ends(&mut of_kept).await, "{kind:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_ends_also_when_nobody_told_of_the_end_of_its_login() {
    for kind in ALL {
        let nodes = Nodes::start(kind).await;
        let tokens = nodes.log_in().await;
        let mut stream = nodes.at_second.open_stream("/mcp", &tokens.access).await;
        for (server, id) in nodes.tracking() {
            nodes.redis.servers()[server].query(&["CLIENT", "KILL", "ID", &id]);
        }
        nodes.revoke(&tokens).await;
        assert!(ends(&mut stream).await, "{kind:?}");
    }
}
