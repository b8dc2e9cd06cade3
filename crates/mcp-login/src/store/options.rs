//! How a store over a network is spoken to.

use std::time::Duration;

use super::DEFAULT_KEY_PREFIX;

/// Settings of a store; the defaults are good for a Redis in the same data centre. `memory:` uses none, `file:` only
/// [`create`](Self::create), Upstash all but the connections, of which it has as many as there are requests at once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoreOptions {
    pub(super) key_prefix: String,
    pub(super) timeout: Duration,
    pub(super) connect_timeout: Duration,
    pub(super) connections: usize,
    pub(super) create: bool,
}

impl Default for StoreOptions {
    fn default() -> Self {
        Self {
            key_prefix: DEFAULT_KEY_PREFIX.to_owned(),
            timeout: Self::DEFAULT_TIMEOUT,
            connect_timeout: Self::DEFAULT_TIMEOUT,
            connections: 1,
            create: true,
        }
    }
}

impl StoreOptions {
    /// The default of [`timeout`](Self::timeout) and [`connect_timeout`](Self::connect_timeout).
    pub const DEFAULT_TIMEOUT: Duration = Duration::from_secs(2);
    /// The bounds of both: shorter is always an outage, longer no request waits.
    pub const TIMEOUT_RANGE: std::ops::RangeInclusive<Duration> =
        Duration::from_millis(10)..=Duration::from_secs(60);
    /// The most [`connections`](Self::connections).
    pub const MAX_CONNECTIONS: usize = 64;

    /// What stands before every key; `mcp-login:` by default, up to 100 bytes. On a Cluster it has no `{`, which would
    /// put every record on one node.
    #[must_use]
    pub fn key_prefix(mut self, key_prefix: impl Into<String>) -> Self {
        self.key_prefix = key_prefix.into();
        self
    }

    /// What stands before every key.
    #[must_use]
    pub fn prefix(&self) -> &str {
        &self.key_prefix
    }

    /// How long one call may take, everything included (connecting, redirects, waiting for a connection): after it the
    /// call has failed as [`StoreError::Unavailable`](super::backend::StoreError::Unavailable). Two seconds by default;
    /// 10 ms to a minute.
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout.clamp(*Self::TIMEOUT_RANGE.start(), *Self::TIMEOUT_RANGE.end());
        self
    }

    /// How long one attempt to connect may take, with TLS and login. Two seconds by default; 10 ms to a minute.
    #[must_use]
    pub fn connect_timeout(mut self, timeout: Duration) -> Self {
        self.connect_timeout = timeout.clamp(*Self::TIMEOUT_RANGE.start(), *Self::TIMEOUT_RANGE.end());
        self
    }

    /// Whether a file that is not there is made, as by default; without it, opening such a store is an error.
    #[must_use]
    pub fn create(mut self, create: bool) -> Self {
        self.create = create;
        self
    }

    /// How many connections to each node, 1 to 64. One by default: each carries any number of calls at once, and one
    /// keeps more than a core busy.
    #[must_use]
    pub fn connections(mut self, connections: usize) -> Self {
        self.connections = connections.clamp(1, Self::MAX_CONNECTIONS);
        self
    }
}
