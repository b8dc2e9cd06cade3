//! Two nodes, and the Redis that they share.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use mcp_login::Store;
use mcp_login::settings::VerificationCache;
use mcp_login_testkit::browser::Browser;
use mcp_login_testkit::client::{OAuthClient, Tokens};
use mcp_login_testkit::redis_cluster::RedisCluster;
use mcp_login_testkit::redis_sentinel::RedisSentinel;
use mcp_login_testkit::redis_server::RedisServer;
use mcp_login_testkit::server::{Options, TestServer};
use tokio::task::JoinSet;

use crate::{BOUND, SOON, until};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    One,
    Sentinel,
    Cluster,
}

pub(crate) const ALL: [Kind; 3] = [Kind::One, Kind::Sentinel, Kind::Cluster];

pub(crate) enum Redis {
    One(RedisServer),
    Sentinel(RedisSentinel),
    Cluster(RedisCluster),
}

impl Redis {
    pub(crate) fn start(kind: Kind) -> Self {
        match kind {
            Kind::One => Self::One(RedisServer::start()),
            Kind::Sentinel => Self::Sentinel(RedisSentinel::start()),
            Kind::Cluster => Self::Cluster(RedisCluster::start(3, 0)),
        }
    }

    /// Where each master has a replica.
    pub(crate) fn with_replicas(kind: Kind) -> Self {
        match kind {
            Kind::Cluster => Self::Cluster(RedisCluster::start(3, 1)),
            kind => Self::start(kind),
        }
    }

    pub(crate) fn url(&self) -> String {
        match self {
            Self::One(server) => server.url(),
            Self::Sentinel(sentinel) => sentinel.url(),
            Self::Cluster(cluster) => cluster.url(),
        }
    }

    /// The servers that keep records, first those that began as masters.
    pub(crate) fn servers(&self) -> &[RedisServer] {
        match self {
            Self::One(server) => std::slice::from_ref(server),
            Self::Sentinel(sentinel) => sentinel.servers(),
            Self::Cluster(cluster) => cluster.nodes(),
        }
    }

    pub(crate) fn servers_mut(&mut self) -> &mut [RedisServer] {
        match self {
            Self::One(server) => std::slice::from_mut(server),
            Self::Sentinel(sentinel) => sentinel.servers_mut(),
            Self::Cluster(cluster) => cluster.nodes_mut(),
        }
    }

    /// Which of the servers began as masters.
    pub(crate) fn first_masters(&self) -> Vec<usize> {
        if let Self::Cluster(_) = self { vec![0, 1, 2] } else { vec![0] }
    }

    /// Which are masters after the failover of the first.
    pub(crate) fn next_masters(&self) -> Vec<usize> {
        if let Self::Cluster(_) = self { vec![1, 2, 3] } else { vec![1] }
    }

    pub(crate) fn wait_until_whole(&self) {
        match self {
            Self::One(_) => {}
            Self::Sentinel(sentinel) => sentinel.wait_until_whole(),
            Self::Cluster(cluster) => cluster.wait_until_whole(),
        }
    }

    pub(crate) fn cluster(&self) -> &RedisCluster {
        let Self::Cluster(cluster) = self else { panic!("a Cluster") };
        cluster
    }
}

/// Two nodes, and the same client at each.
pub(crate) struct Nodes {
    pub(crate) redis: Redis,
    /// Which of its servers are masters.
    pub(crate) masters: Vec<usize>,
    pub(crate) first: TestServer,
    pub(crate) at_first: OAuthClient,
    pub(crate) at_second: OAuthClient,
}

impl Nodes {
    pub(crate) async fn start(kind: Kind) -> Self {
        Self::with(Redis::start(kind)).await
    }

    pub(crate) async fn with(redis: Redis) -> Self {
        let url = redis.url();
        Self::with_another_way(redis, &url, VerificationCache::default()).await
    }

    /// The second node has a way of its own to the same Redis, and settings of its own.
    pub(crate) async fn with_another_way(redis: Redis, url: &str, cache: VerificationCache) -> Self {
        let options =
            async |url: &str| Options { store: Store::open(url).await.unwrap(), ..Options::usual().await };
        let first = TestServer::with(options(&redis.url()).await).await;
        let second = Options { verification_cache: cache, ..options(url).await };
        let second = first.start_node(second).await;
        let at_first = OAuthClient::register(&first).await;
        let at_second = at_first.through(&second);
        let nodes = Self { masters: redis.first_masters(), redis, first, at_first, at_second };
        nodes.changes_are_told().await;
        nodes
    }

    fn servers(&self) -> impl Iterator<Item = &RedisServer> {
        self.masters.iter().map(|&n| &self.redis.servers()[n])
    }

    /// The connections on which the masters tell of changes: the server's, and their number there.
    pub(crate) fn tracking(&self) -> Vec<(usize, String)> {
        let at = |n: usize| tracking_at(&self.redis.servers()[n]).into_iter().map(move |id| (n, id));
        self.masters.iter().copied().flat_map(at).collect()
    }

    /// Each node hears from each master.
    pub(crate) async fn changes_are_told(&self) {
        let told = async || self.servers().all(|server| tracking_at(server).len() == 2);
        until(BOUND, "no connection tells of changes", told).await;
    }

    /// How often Redis was asked for a record.
    pub(crate) fn reads(&self) -> u64 {
        self.servers().map(reads_of).sum()
    }

    /// Somebody whom both nodes know.
    pub(crate) async fn log_in(&self) -> Tokens {
        let tokens = self.at_first.log_in(&Browser::new()).await;
        for node in [&self.at_first, &self.at_second] {
            assert_eq!(node.call("/mcp", &tokens.access).await.status(), 200);
        }
        tokens
    }

    /// As many as this: in a Cluster they are on all masters.
    pub(crate) async fn log_in_many(&self, count: usize) -> Vec<Tokens> {
        let mut many = Vec::new();
        for _ in 0..count {
            many.push(self.log_in().await);
        }
        many
    }

    pub(crate) async fn revoke(&self, tokens: &Tokens) {
        assert_eq!(self.try_to_revoke(tokens).await, 200);
    }

    pub(crate) async fn try_to_revoke(&self, tokens: &Tokens) -> u16 {
        let form = [("token", tokens.refresh.as_str()), ("client_id", self.at_first.id())];
        self.at_first.form("/revoke", &form).await.status().as_u16()
    }

    /// Ends a login at the first node; the second refuses its token in time.
    pub(crate) async fn assert_revocation_is_seen(&self, tokens: &Tokens, when: &str) {
        self.revoke(tokens).await;
        let refused = async || self.at_second.call("/mcp", &tokens.access).await.status() == 401;
        until(SOON, when, refused).await;
        assert_eq!(self.at_first.call("/mcp", &tokens.access).await.status(), 401, "{when}");
    }

    /// The push works again: known tokens are looked up nowhere, and still a revocation is seen.
    pub(crate) async fn assert_all_is_quiet(&self, [one, another]: [&Tokens; 2], when: &str) {
        self.changes_are_told().await;
        self.assert_reads_nothing(one, when).await;
        self.assert_revocation_is_seen(another, when).await;
        self.assert_revocation_is_seen(one, when).await;
    }

    pub(crate) async fn assert_reads_nothing(&self, tokens: &Tokens, when: &str) {
        // Something may have told of the login just now, or the connections be new.
        until(BOUND, when, async || self.reads_of_calls(tokens, 1).await == 0).await;
        assert_eq!(self.reads_of_calls(tokens, 20).await, 0, "{when}");
    }

    async fn reads_of_calls(&self, tokens: &Tokens, calls: usize) -> u64 {
        let before = self.reads();
        for _ in 0..calls {
            assert_eq!(self.at_second.call("/mcp", &tokens.access).await.status(), 200);
        }
        self.reads() - before
    }
}

fn tracking_at(server: &RedisServer) -> Vec<String> {
    let list = server.text(&["CLIENT", "LIST"]);
    let field = |line: &str, name: &str| {
        let value = line.split(' ').find_map(|field| field.strip_prefix(name));
        value.unwrap_or_default().to_owned()
    };
    let tracking = list.lines().filter(|line| field(line, "flags=").contains('B'));
    tracking.map(|line| field(line, "id=")).collect()
}

fn reads_of(server: &RedisServer) -> u64 {
    let calls = server.info("commandstats", "cmdstat_get");
    let calls = calls.strip_prefix("calls=").and_then(|calls| calls.split(',').next());
    calls.map_or(0, |calls| calls.parse().unwrap())
}

/// Calls at both nodes without a break, with tokens that nobody ends, and beside them the beginnings of logins.
pub(crate) struct Load {
    stop: Arc<AtomicBool>,
    /// The good ones, by node.
    calls: [Arc<AtomicUsize>; 2],
    tasks: JoinSet<()>,
}

impl Load {
    pub(crate) fn start(nodes: &Nodes, tokens: &[Tokens]) -> Self {
        let mut this = Self { stop: Arc::default(), calls: Default::default(), tasks: JoinSet::new() };
        for (node, calls) in [&nodes.at_first, &nodes.at_second].into_iter().zip(&this.calls) {
            let (caller, calls, stop) = (node.clone(), Arc::clone(calls), Arc::clone(&this.stop));
            let tokens = tokens.to_vec();
            this.tasks.spawn(async move {
                for tokens in tokens.iter().cycle().take_while(|_| !stop.load(Ordering::Relaxed)) {
                    let status = caller.call("/mcp", &tokens.access).await.status();
                    assert!(status == 200 || status == 503, "nobody has ended it: {status}");
                    calls.fetch_add(usize::from(status == 200), Ordering::Relaxed);
                    tokio::time::sleep(Duration::from_millis(2)).await;
                }
            });
            let (browser, login) =
                (Browser::new(), node.authorization_url(&[("resource", &nodes.first.mcp())]));
            let stop = Arc::clone(&this.stop);
            this.tasks.spawn(async move {
                while !stop.load(Ordering::Relaxed) {
                    let status = browser.open(&login).await.status();
                    assert!(status == 200 || status == 503, "a page, or later: {status}");
                    tokio::time::sleep(Duration::from_millis(5)).await;
                }
            });
        }
        this
    }

    /// Ends it, when there are good calls at each node again.
    pub(crate) async fn finish(self) {
        for calls in &self.calls {
            let before = calls.load(Ordering::Relaxed);
            let go_on = async || calls.load(Ordering::Relaxed) > before + 20;
            until(BOUND, "it does not go on", go_on).await;
        }
        self.stop.store(true, Ordering::Relaxed);
        self.tasks.join_all().await;
    }
}
