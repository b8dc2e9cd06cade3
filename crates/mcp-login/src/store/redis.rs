//! Records in Redis or Valkey, shared by every node: one server, a Cluster, or a master that Sentinel names.

mod address;
mod cluster;
mod failure;
mod inspect;
mod invalidation;
mod listing;
mod news;
mod node;
mod route;
mod sentinel;
mod slots;
mod tracking;

use std::fmt::{self, Debug};
use std::sync::Weak;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use mcp_login_core::Timestamp;
use redis::{FromRedisValue, Value};
use tokio::time::Instant;

use self::address::Target;
use self::failure::Failure;
use self::invalidation::Invalidation;
use self::node::Command;
use self::route::Route;
use super::backend::{Backend, Cursor, Entry, Finding, Key, Page, StoreError, Swap, Version};
use super::in_redis::{self, Change, Scripts};
use super::options::StoreOptions;
use super::watch::{Coherence, Watcher};

/// Keeps each record in one Redis string, `PREFIX` + key; it needs Redis 6 or Valkey 7 and later, with Lua scripts.
///
/// Every write is one Lua script that touches one key, so it decides and changes in one step, in one round trip (two when
/// the server does not know the script yet). A write that may have happened is never sent again: when its answer is lost
/// it is [`StoreError::Unavailable`], and has happened or not; as every write is conditional, the caller reads again to
/// know. A call takes at most [`StoreOptions::timeout`]. After an outage connections are made anew by themselves, at
/// first after 50 ms, then at most a second apart.
///
/// Everything is written to and read from masters. With Sentinel and Cluster a failover is followed as soon as it is
/// decided. Redis replicates asynchronously: what a master has answered in the last moment before it fails may be lost
/// with it, and then a code that was used, or a token that was revoked, is good again. `min-replicas-to-write 1` and
/// `min-replicas-max-lag 10` on every server bound how long a master that is cut off goes on alone; with an `appendonly`
/// log and a supervisor that restarts it at once, less depends on the failover.
///
/// With TLS, certificates are verified against the roots of the platform (on Linux also those that `SSL_CERT_FILE` and
/// `SSL_CERT_DIR` name), which are read again with each new connection. A certificate has to hold the name or address
/// that the URL has, or that the nodes and sentinels announce.
pub struct RedisBackend {
    route: Route,
    prefix: String,
    timeout: Duration,
    scripts: Scripts,
}

impl RedisBackend {
    /// The store at `url` with this before every key, otherwise with the default options; see
    /// [`open_with`](Self::open_with).
    ///
    /// # Errors
    /// [`StoreError::Open`], as there.
    pub fn open(url: &str, prefix: &str) -> Result<Self, StoreError> {
        Self::open_with(url, &StoreOptions::default().key_prefix(prefix))
    }

    /// Prepares the connections to `url`:
    /// - `redis://[USER:PASSWORD@]HOST[:PORT][/DB]`
    /// - `redis+cluster://[USER:PASSWORD@]HOST[:PORT],HOST[:PORT]…`: some nodes of a Cluster; they know the others
    /// - `redis+sentinel://[USER:PASSWORD@]HOST[:PORT],HOST[:PORT]…/MASTER[/DB]`: sentinels, and what they call the
    ///   master. User and password are those of the servers; if the sentinels want a login, too, it is
    ///   `?sentinel_user=…&sentinel_password=…` at the end.
    ///
    /// With `rediss` in the place of `redis`, everything is TLS. The first call connects, so this succeeds when Redis is
    /// away.
    ///
    /// # Errors
    /// [`StoreError::Open`] when the URL cannot be read, or the prefix is too long, or holds a `{` for a Cluster. The text
    /// shows no part of either.
    pub fn open_with(url: &str, options: &StoreOptions) -> Result<Self, StoreError> {
        in_redis::check_prefix(&options.key_prefix)?;
        let target = Target::parse(url)?;
        if matches!(target, Target::Cluster { .. }) && options.key_prefix.contains('{') {
            return Err(StoreError::Open(
                "the store's key prefix has a `{`, which would put every record on one node of the Cluster"
                    .to_owned(),
            ));
        }
        Ok(Self {
            route: Route::new(target, options),
            prefix: options.key_prefix.clone(),
            timeout: options.timeout,
            scripts: Scripts::new(""),
        })
    }

    fn name(&self, key: &Key) -> Vec<u8> {
        in_redis::name(&self.prefix, key).into_bytes()
    }

    fn reading(name: &[u8]) -> Command {
        let mut cmd = redis::cmd("GET");
        cmd.arg(name);
        Command { cmd, repeatable: true }
    }

    fn deadline(&self) -> Instant {
        Instant::now() + self.timeout
    }

    async fn run<T: FromRedisValue>(&self, change: Change<'_>, key: &Key) -> Result<T, StoreError> {
        let (name, deadline, script) = (self.name(key), self.deadline(), change.script);
        let by_hash = writing("EVALSHA", &script.hash, &name, &change.arguments);
        let answer = match self.route.call(&name, &by_hash, deadline).await {
            Err(Failure::NoScript) => {
                let in_full = writing("EVAL", &script.text, &name, &change.arguments);
                self.route.call(&name, &in_full, deadline).await?
            }
            answered => answered?,
        };
        understand(answer)
    }
}

fn writing(name: &str, script: &str, key: &[u8], arguments: &[Vec<u8>]) -> Command {
    let mut cmd = redis::cmd(name);
    cmd.arg(script).arg(1).arg(key).arg(arguments);
    Command { cmd, repeatable: false }
}

/// What Redis answered may be a record, so an error shows nothing of it.
fn understand<T: FromRedisValue>(answer: Value) -> Result<T, StoreError> {
    redis::from_redis_value(answer)
        .map_err(|_| StoreError::unavailable("Redis answered something that cannot be understood"))
}

impl Debug for RedisBackend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisBackend")
            .field("address", &self.route.places())
            .field("prefix", &self.prefix)
            .finish_non_exhaustive()
    }
}

#[async_trait]
impl Backend for RedisBackend {
    async fn get(&self, key: &Key, now: Timestamp) -> Result<Option<Entry>, StoreError> {
        let name = self.name(key);
        let stored = self.route.call(&name, &Self::reading(&name), self.deadline()).await?;
        in_redis::read(understand(stored)?, now)
    }

    async fn insert(
        &self,
        key: &Key,
        value: Bytes,
        expires_at: Timestamp,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        in_redis::inserted(self.run(self.scripts.insert(&value, expires_at, now), key).await?)
    }

    async fn swap(
        &self,
        key: &Key,
        expected: Version,
        value: Bytes,
        expires_at: Timestamp,
        now: Timestamp,
    ) -> Result<Swap, StoreError> {
        let change = self.scripts.swap(expected, &value, expires_at, now);
        in_redis::swapped(self.run(change, key).await?, expected.next())
    }

    async fn take(&self, key: &Key, now: Timestamp) -> Result<Option<Entry>, StoreError> {
        in_redis::read(self.run(self.scripts.take(now), key).await?, now)
    }

    async fn delete(&self, key: &Key, now: Timestamp) -> Result<bool, StoreError> {
        Ok(in_redis::deleted(self.run(self.scripts.delete(now), key).await?))
    }

    /// Whether every record can be reached: of a Cluster, whether each slot has a master that answers.
    async fn ping(&self) -> Result<(), StoreError> {
        Ok(self.route.ping(self.deadline()).await?)
    }

    async fn list(&self, from: Option<&Cursor>, limit: usize) -> Result<Page, StoreError> {
        self.page(from, limit).await
    }

    async fn restore(&self, key: &Key, entry: &Entry, now: Timestamp) -> Result<bool, StoreError> {
        in_redis::inserted(self.run(self.scripts.restore(entry, now), key).await?)
    }

    async fn estimate(&self) -> Result<Option<u64>, StoreError> {
        self.size().await
    }

    async fn inspect(&self) -> Result<Vec<Finding>, StoreError> {
        self.findings().await
    }

    /// Needs a tokio runtime. A Redis that is away, or does not know client tracking, is tried again and again.
    fn watch(&self, kind: &'static str, watcher: Weak<dyn Watcher>) -> Coherence {
        let Ok(runtime) = tokio::runtime::Handle::try_current() else { return Coherence::None };
        let prefix = format!("{}{kind}:", self.prefix);
        let (masters, sign) = self.route.follow();
        runtime.spawn(Invalidation::new(masters, sign, prefix, watcher).run());
        Coherence::Pushed
    }
}

#[cfg(test)]
mod tests;
