//! Records in Redis or Valkey, shared by every node: one server, a Cluster, or a master that Sentinel names.

mod address;
mod cluster;
mod failure;
mod invalidation;
mod news;
mod node;
mod route;
mod script;
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
use self::script::{Scripts, Writing};
use super::backend::{Backend, Entry, Key, StoreError, Swap, Version};
use super::layout;
use super::options::StoreOptions;
use super::watch::{Coherence, Watcher};

/// Redis keeps a record this much longer than it lives, so that Redis' clock never ends one.
const SLACK: Duration = Duration::from_secs(60);

/// From here on a record gets no end in Redis: Redis refuses lives that reach the end of its own time.
const FOR_EVER: Duration = Duration::from_secs(100 * 366 * 24 * 3600);

/// The longest prefix, in bytes.
const PREFIX_LIMIT: usize = 100;

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
        if options.key_prefix.len() > PREFIX_LIMIT {
            return Err(StoreError::Open(format!(
                "the store's key prefix is longer than {PREFIX_LIMIT} bytes"
            )));
        }
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
            scripts: Scripts::new(),
        })
    }

    fn name(&self, key: &Key) -> Vec<u8> {
        format!("{}{}", self.prefix, key.as_str()).into_bytes()
    }

    fn deadline(&self) -> Instant {
        Instant::now() + self.timeout
    }

    async fn run<T: FromRedisValue>(
        &self,
        script: &Writing,
        key: &Key,
        arguments: &[&[u8]],
    ) -> Result<T, StoreError> {
        let (name, deadline) = (self.name(key), self.deadline());
        let known = script.by_hash(&name, arguments);
        let answer = match self.route.call(&name, &known, deadline).await {
            Err(Failure::NoScript) => {
                self.route.call(&name, &script.in_full(&name, arguments), deadline).await?
            }
            answered => answered?,
        };
        understand(answer)
    }
}

/// What Redis answered may be a record, so an error shows nothing of it.
fn understand<T: FromRedisValue>(answer: Value) -> Result<T, StoreError> {
    redis::from_redis_value(answer)
        .map_err(|_| StoreError::unavailable("Redis answered something that cannot be understood"))
}

/// How long Redis keeps a record, in milliseconds; `None` is for ever.
fn kept_for(expires_at: Timestamp, now: Timestamp) -> Option<u64> {
    let kept = expires_at.until(now).saturating_add(SLACK);
    if kept >= FOR_EVER { None } else { u64::try_from(kept.as_millis()).ok() }
}

/// A record that has ended at `now` is none, though Redis still has it.
fn read(stored: Option<Bytes>, now: Timestamp) -> Result<Option<Entry>, StoreError> {
    let entry = stored.map(layout::decode).transpose()?;
    Ok(entry.filter(|entry| !entry.expires_at.has_passed(now)))
}

/// A script saw a record of fewer bytes than a head.
fn damaged() -> StoreError {
    StoreError::Damaged("it is shorter than its head")
}

impl Debug for RedisBackend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisBackend")
            .field("address", &self.route.places())
            .field("prefix", &self.prefix)
            .finish_non_exhaustive()
    }
}

fn bytes(time: Timestamp) -> [u8; 8] {
    time.as_millis().to_be_bytes()
}

fn life(expires_at: Timestamp, now: Timestamp) -> String {
    kept_for(expires_at, now).unwrap_or(0).to_string()
}

#[async_trait]
impl Backend for RedisBackend {
    async fn get(&self, key: &Key, now: Timestamp) -> Result<Option<Entry>, StoreError> {
        let name = self.name(key);
        let mut cmd = redis::cmd("GET");
        cmd.arg(&name);
        let command = Command { cmd, repeatable: true };
        read(understand(self.route.call(&name, &command, self.deadline()).await?)?, now)
    }

    async fn insert(
        &self,
        key: &Key,
        value: Bytes,
        expires_at: Timestamp,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        let record = layout::encode(Version::FIRST, expires_at, &value);
        let (now, life) = (bytes(now), life(expires_at, now));
        let arguments: [&[u8]; 3] = [&now, &record, life.as_bytes()];
        match self.run(&self.scripts.insert, key, &arguments).await? {
            script::DONE => Ok(true),
            script::DAMAGED => Err(damaged()),
            _ => Ok(false),
        }
    }

    async fn swap(
        &self,
        key: &Key,
        expected: Version,
        value: Bytes,
        expires_at: Timestamp,
        now: Timestamp,
    ) -> Result<Swap, StoreError> {
        let version = expected.next();
        let record = layout::encode(version, expires_at, &value);
        let (now, life, expected) = (bytes(now), life(expires_at, now), expected.0.to_be_bytes());
        let arguments: [&[u8]; 4] = [&now, &record, life.as_bytes(), &expected];
        match self.run(&self.scripts.swap, key, &arguments).await? {
            script::DONE => Ok(Swap::Done(version)),
            script::CONFLICT => Ok(Swap::Conflict),
            script::DAMAGED => Err(damaged()),
            _ => Ok(Swap::Missing),
        }
    }

    async fn take(&self, key: &Key, now: Timestamp) -> Result<Option<Entry>, StoreError> {
        read(self.run(&self.scripts.take, key, &[&bytes(now)]).await?, now)
    }

    async fn delete(&self, key: &Key, now: Timestamp) -> Result<bool, StoreError> {
        let outcome: i64 = self.run(&self.scripts.delete, key, &[&bytes(now)]).await?;
        Ok(outcome == script::DONE)
    }

    /// Whether every record can be reached: of a Cluster, whether each slot has a master that answers.
    async fn ping(&self) -> Result<(), StoreError> {
        Ok(self.route.ping(self.deadline()).await?)
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
