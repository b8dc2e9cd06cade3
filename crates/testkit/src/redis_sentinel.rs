//! Redis with real sentinels, for one test.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::missing_panics_doc,
    reason = "a test that cannot have its servers cannot go on"
)]

use std::time::Duration;

use crate::redis_server::{RedisServer, wait_for};

/// What the sentinels call the master.
const NAME: &str = "mymaster";

/// How long the master is silent before a sentinel thinks that it is down.
const DOWN_AFTER: Duration = Duration::from_secs(1);

/// A master, a replica and three sentinels on free ports of 127.0.0.1. They are killed when this is dropped.
#[derive(Debug)]
pub struct RedisSentinel {
    servers: Vec<RedisServer>,
    sentinels: Vec<RedisServer>,
}

impl RedisSentinel {
    /// Starts all five, and waits until the sentinels know each other and the replica has what the master has.
    ///
    /// # Panics
    /// When `redis-server` is not installed, or they do not find together.
    #[must_use]
    pub fn start() -> Self {
        Self::start_with(&[], &[])
    }

    /// The same with further settings of both servers, and of the three sentinels.
    ///
    /// # Panics
    /// As [`start`](Self::start).
    #[must_use]
    pub fn start_with(servers: &[&str], sentinels: &[&str]) -> Self {
        let settings = |more: &[String]| {
            let mut all: Vec<String> = servers.iter().map(|&setting| setting.to_owned()).collect();
            all.push("repl-diskless-sync-delay 0".to_owned());
            all.extend_from_slice(more);
            all
        };
        let master = RedisServer::start_with(|| settings(&[]));
        let port = master.port();
        let replica = RedisServer::start_with(|| settings(&[format!("replicaof 127.0.0.1 {port}")]));
        let watched = || {
            let mut all = vec![
                format!("sentinel monitor {NAME} 127.0.0.1 {port} 2"),
                format!("sentinel down-after-milliseconds {NAME} {}", DOWN_AFTER.as_millis()),
                format!("sentinel failover-timeout {NAME} 5000"),
            ];
            all.extend(sentinels.iter().map(|&setting| setting.to_owned()));
            all
        };
        let sentinels = (0..3).map(|_| RedisServer::start_sentinel(watched)).collect();
        let this = Self { servers: vec![master, replica], sentinels };
        this.wait_until_whole();
        this
    }

    /// Waits until every sentinel knows the other two, and the replica is connected to the master.
    pub fn wait_until_whole(&self) {
        wait_for("the sentinels know all, and the replica follows", || {
            let known = self.sentinels.iter().filter(|sentinel| sentinel.is_running()).all(|sentinel| {
                let known = sentinel.text(&["INFO", "sentinel"]);
                known.contains("status=ok") && known.contains("slaves=1,sentinels=3")
            });
            let replicas = self.servers.iter().filter(|server| server.info("replication", "role") == "slave");
            let up = replicas.filter(|replica| replica.info("replication", "master_link_status") == "up");
            known && up.count() == 1
        });
    }

    /// `redis+sentinel://…` with all sentinels.
    #[must_use]
    pub fn url(&self) -> String {
        let hosts: Vec<_> =
            self.sentinels.iter().map(|sentinel| format!("127.0.0.1:{}", sentinel.port())).collect();
        format!("redis+sentinel://{}/{NAME}", hosts.join(","))
    }

    /// The two servers: first the one that began as the master.
    #[must_use]
    pub fn servers(&self) -> &[RedisServer] {
        &self.servers
    }

    /// The same, to stop and start them.
    pub fn servers_mut(&mut self) -> &mut [RedisServer] {
        &mut self.servers
    }

    /// The three sentinels.
    #[must_use]
    pub fn sentinels(&self) -> &[RedisServer] {
        &self.sentinels
    }

    /// The same, to stop and start them.
    pub fn sentinels_mut(&mut self) -> &mut [RedisServer] {
        &mut self.sentinels
    }
}
