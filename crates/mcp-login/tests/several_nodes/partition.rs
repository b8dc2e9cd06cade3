//! One node's way to the store is cut, while the other goes on.

use std::time::{Duration, Instant};

use mcp_login::settings::VerificationCache;
use mcp_login_testkit::browser::Browser;
use mcp_login_testkit::redis_cluster::RedisCluster;
use mcp_login_testkit::redis_server::{RedisServer, Reply};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

use crate::nodes::{ALL, Kind, Nodes, Redis};
use crate::{BOUND, SOON, until};

/// How long a node that hears nothing believes its memory.
const BELIEVED: Duration = Duration::from_secs(3);

/// One node's way to all servers. When it is cut, nothing breaks, and nothing arrives until it is healed.
struct Way {
    cut: watch::Sender<bool>,
    /// The port of each server, and the one that leads to it.
    ports: Vec<(u16, u16)>,
}

impl Way {
    async fn to(redis: &Redis) -> Self {
        let mut ports: Vec<u16> = redis.servers().iter().map(RedisServer::port).collect();
        if let Redis::Sentinel(sentinel) = redis {
            ports.extend(sentinel.sentinels().iter().map(RedisServer::port));
        }
        let mut way = Self { cut: watch::Sender::new(false), ports: Vec::new() };
        let mut listeners = Vec::new();
        for port in ports {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            way.ports.push((port, listener.local_addr().unwrap().port()));
            listeners.push((listener, port));
        }
        for (listener, port) in listeners {
            let (cut, ports) = (way.cut.subscribe(), way.ports.clone());
            tokio::spawn(async move {
                while let Ok((near, _)) = listener.accept().await {
                    tokio::spawn(lead(near, port, cut.clone(), ports.clone()));
                }
            });
        }
        way
    }

    /// The same address, by this way.
    fn url(&self, url: &str) -> String {
        let replaced = |url: String, (to, by): &(u16, u16)| url.replace(&format!(":{to}"), &format!(":{by}"));
        self.ports.iter().fold(url.to_owned(), replaced)
    }
}

async fn lead(near: TcpStream, port: u16, mut cut: watch::Receiver<bool>, ports: Vec<(u16, u16)>) {
    if cut.wait_for(|cut| !cut).await.is_err() {
        return;
    }
    let far = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
    let ((mut asks, mut hears), (mut answers, mut sends)) = (near.into_split(), far.into_split());
    let mut asked_when = cut.clone();
    let there = async {
        let mut buffer = vec![0; 1 << 16];
        while let Ok(length @ 1..) = asks.read(&mut buffer).await {
            let gone = asked_when.wait_for(|cut| !cut).await.is_err();
            if gone || sends.write_all(&buffer[..length]).await.is_err() {
                return;
            }
        }
    };
    let back = async {
        let mut buffer = vec![0; 1 << 16];
        while let Ok(length @ 1..) = answers.read(&mut buffer).await {
            name_the_way(&mut buffer[..length], &ports);
            let gone = cut.wait_for(|cut| !cut).await.is_err();
            if gone || hears.write_all(&buffer[..length]).await.is_err() {
                return;
            }
        }
    };
    tokio::select! {
        () = there => {}
        () = back => {}
    }
}

/// Sentinels and nodes name each other by port; all ports have five digits.
fn name_the_way(answer: &mut [u8], ports: &[(u16, u16)]) {
    for (to, by) in ports {
        let (to, by) = (format!("{to}\r\n"), by.to_string());
        for at in 1..answer.len().saturating_sub(6) {
            if matches!(answer[at - 1], b':' | b'\n') && answer[at..].starts_with(to.as_bytes()) {
                answer[at..at + 5].copy_from_slice(by.as_bytes());
            }
        }
    }
}

async fn nodes_with_a_way(kind: Kind, grace: Duration) -> (Nodes, Way) {
    let redis = Redis::start(kind);
    let way = Way::to(&redis).await;
    let url = way.url(&redis.url());
    let cache = VerificationCache { grace, ..VerificationCache::default() };
    (Nodes::with_another_way(redis, &url, cache).await, way)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn without_grace_a_node_that_is_cut_off_lets_nobody_in() {
    for kind in ALL {
        let (nodes, way) = nodes_with_a_way(kind, Duration::ZERO).await;
        let (ended, kept) = (nodes.log_in().await, nodes.log_in().await);
        way.cut.send_replace(true);
        nodes.revoke(&ended).await;
        for tokens in [&ended, &kept] {
            let stops = async || match nodes.at_second.call("/mcp", &tokens.access).await.status().as_u16() {
                200 => false,
                503 => true,
                other => panic!("{other}: nobody is logged out because a node is cut off, {kind:?}"),
            };
            until(BELIEVED, "it lets in what it cannot know", stops).await;
        }
        way.cut.send_replace(false);
        heals(&nodes, kind).await;
        assert_eq!(nodes.at_second.call("/mcp", &ended.access).await.status(), 401, "{kind:?}");
        nodes.changes_are_told().await;
        nodes.assert_revocation_is_seen(&kept, &format!("after it was cut off, {kind:?}")).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_node_that_is_cut_off_goes_on_for_the_grace_and_no_longer() {
    for kind in ALL {
        let (nodes, way) = nodes_with_a_way(kind, Duration::from_secs(60)).await;
        let (ended, kept) = (nodes.log_in().await, nodes.log_in().await);
        way.cut.send_replace(true);
        nodes.revoke(&ended).await;
        let (begun, call) =
            (Instant::now(), async || nodes.at_second.call("/mcp", &ended.access).await.status());
        while begun.elapsed() < BELIEVED + Duration::from_secs(1) {
            assert_eq!(call().await, 200, "in its grace, {kind:?}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        nodes.first.clock.advance(Duration::from_secs(61));
        assert_eq!(call().await, 503, "after its grace, {kind:?}");
        way.cut.send_replace(false);
        heals(&nodes, kind).await;
        assert_eq!(call().await, 401, "{kind:?}");
        nodes.changes_are_told().await;
        nodes.assert_revocation_is_seen(&kept, &format!("after it was cut off, {kind:?}")).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_node_that_is_back_within_the_grace_refuses_what_was_ended() {
    for kind in ALL {
        let (nodes, way) = nodes_with_a_way(kind, Duration::from_secs(60)).await;
        let (ended, kept) = (nodes.log_in().await, nodes.log_in().await);
        way.cut.send_replace(true);
        nodes.revoke(&ended).await;
        tokio::time::sleep(BELIEVED).await;
        way.cut.send_replace(false);
        let refused = async || nodes.at_second.call("/mcp", &ended.access).await.status() == 401;
        until(BOUND, "it goes on though it is back", refused).await;
        nodes.changes_are_told().await;
        nodes.assert_revocation_is_seen(&kept, &format!("after it was cut off, {kind:?}")).await;
    }
}

/// The nodes of a Cluster lose each other, and nobody loses them: each still thinks that it is a master, and may have been
/// replaced.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn masters_that_are_cut_off_from_each_other_confirm_nothing() {
    const PONG: &str = "1";
    let cluster = RedisCluster::start_with(3, 0, || vec!["enable-debug-command local".to_owned()]);
    let redis = Redis::Cluster(cluster);
    let url = redis.url();
    let cache = VerificationCache { grace: Duration::ZERO, ..VerificationCache::default() };
    let nodes = Nodes::with_another_way(redis, &url, cache).await;
    let tokens = nodes.log_in().await;
    for server in nodes.redis.servers() {
        let dropped = server.query(&["DEBUG", "DROP-CLUSTER-PACKET-FILTER", PONG]);
        assert_eq!(dropped, Reply::Status("OK".to_owned()));
    }
    let is_down = async || {
        let down = |server: &RedisServer| server.text(&["CLUSTER", "INFO"]).contains("cluster_state:fail");
        nodes.redis.servers().iter().all(down)
    };
    until(BOUND, "they still find each other", is_down).await;
    let stops = async || nodes.at_second.call("/mcp", &tokens.access).await.status() == 503;
    until(SOON, "it lets in what nobody confirms", stops).await;
}

/// A login of which the node knows nothing can be read again.
async fn heals(nodes: &Nodes, kind: Kind) {
    let new = nodes.at_first.log_in(&Browser::new()).await;
    let good = async || nodes.at_second.call("/mcp", &new.access).await.status() == 200;
    until(BOUND, &format!("it does not heal, {kind:?}"), good).await;
}
