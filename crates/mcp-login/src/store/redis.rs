//! Records in Redis or Valkey, shared by every node: `redis://` and, with TLS, `rediss://`.

mod invalidation;
mod link;
mod script;

use std::fmt::{self, Debug};
use std::sync::Weak;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use mcp_login_core::Timestamp;
use redis::ConnectionAddr;

use self::invalidation::Invalidation;
use self::link::Link;
use self::script::Scripts;
use super::backend::{Backend, Entry, Key, StoreError, Swap, Version};
use super::layout;
use super::watch::{Coherence, Watcher};

/// Redis keeps a record this much longer than it lives, so that Redis' clock never ends one.
const SLACK: Duration = Duration::from_secs(60);

/// From here on a record gets no end in Redis: Redis refuses lives that reach the end of its own time.
const FOR_EVER: Duration = Duration::from_secs(100 * 366 * 24 * 3600);

/// The longest prefix, in bytes.
const PREFIX_LIMIT: usize = 100;

/// Keeps each record in one Redis string, `PREFIX` + key; it needs Redis 6 or Valkey 7 and later, with Lua scripts.
///
/// Every write is one Lua script, so it decides and changes in one step, in one round trip. Nothing is ever sent twice:
/// a write whose answer is lost answers [`StoreError::Unavailable`], and has happened or not; as every write is
/// conditional, the caller reads again to know. A call takes at most four seconds. After an outage the connection is
/// made anew by itself.
///
/// With `rediss://`, certificates are verified against the roots of the platform (on Linux also those that
/// `SSL_CERT_FILE` and `SSL_CERT_DIR` name), which are read again with each new connection.
pub struct RedisBackend {
    link: Link,
    address: String,
    prefix: String,
    scripts: Scripts,
}

impl RedisBackend {
    /// Prepares the connection to `url` (`redis[s]://[USER:PASSWORD@]HOST[:PORT][/DB]`); the first call makes it, so
    /// this succeeds when Redis is away. `prefix` is put before every key, up to 100 bytes.
    ///
    /// # Errors
    /// [`StoreError::Open`] when the URL cannot be read, or the prefix is too long. The text shows no part of either.
    pub fn open(url: &str, prefix: &str) -> Result<Self, StoreError> {
        if prefix.len() > PREFIX_LIMIT {
            return Err(StoreError::Open(format!(
                "the store's key prefix is longer than {PREFIX_LIMIT} bytes"
            )));
        }
        let (link, address) = Link::new(url)?;
        let address = match address {
            ConnectionAddr::Tcp(host, port) | ConnectionAddr::TcpTls { host, port, .. } => {
                format!("{host}:{port}")
            }
            _ => String::new(),
        };
        Ok(Self { link, address, prefix: prefix.to_owned(), scripts: Scripts::new() })
    }

    fn name(&self, key: &Key) -> String {
        format!("{}{}", self.prefix, key.as_str())
    }
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
            .field("address", &self.address)
            .field("prefix", &self.prefix)
            .finish_non_exhaustive()
    }
}

#[async_trait]
impl Backend for RedisBackend {
    async fn get(&self, key: &Key, now: Timestamp) -> Result<Option<Entry>, StoreError> {
        let mut command = redis::cmd("GET");
        command.arg(self.name(key));
        let stored = self.link.run(async |mut redis| command.query_async(&mut redis).await).await?;
        read(stored, now)
    }

    async fn insert(
        &self,
        key: &Key,
        value: Bytes,
        expires_at: Timestamp,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        let record = layout::encode(Version::FIRST, expires_at, &value);
        let mut call = self.scripts.insert.key(self.name(key));
        call.arg(&now.as_millis().to_be_bytes()[..]).arg(record).arg(kept_for(expires_at, now).unwrap_or(0));
        match self.link.run(async |mut redis| call.invoke_async(&mut redis).await).await? {
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
        let mut call = self.scripts.swap.key(self.name(key));
        call.arg(&now.as_millis().to_be_bytes()[..]).arg(record).arg(kept_for(expires_at, now).unwrap_or(0));
        call.arg(&expected.0.to_be_bytes()[..]);
        match self.link.run(async |mut redis| call.invoke_async(&mut redis).await).await? {
            script::DONE => Ok(Swap::Done(version)),
            script::CONFLICT => Ok(Swap::Conflict),
            script::DAMAGED => Err(damaged()),
            _ => Ok(Swap::Missing),
        }
    }

    async fn take(&self, key: &Key, now: Timestamp) -> Result<Option<Entry>, StoreError> {
        let mut call = self.scripts.take.key(self.name(key));
        call.arg(&now.as_millis().to_be_bytes()[..]);
        let stored = self.link.run(async |mut redis| call.invoke_async(&mut redis).await).await?;
        read(stored, now)
    }

    async fn delete(&self, key: &Key, now: Timestamp) -> Result<bool, StoreError> {
        let mut call = self.scripts.delete.key(self.name(key));
        call.arg(&now.as_millis().to_be_bytes()[..]);
        let outcome: i64 = self.link.run(async |mut redis| call.invoke_async(&mut redis).await).await?;
        Ok(outcome == script::DONE)
    }

    async fn ping(&self) -> Result<(), StoreError> {
        let command = redis::cmd("PING");
        self.link.run(async |mut redis| command.query_async(&mut redis).await).await
    }

    /// Needs a tokio runtime. A Redis that is away, or does not know client tracking, is tried again and again.
    fn watch(&self, kind: &'static str, watcher: Weak<dyn Watcher>) -> Coherence {
        let prefix = format!("{}{kind}:", self.prefix);
        let invalidation = Invalidation::new(self.link.client(), prefix, watcher);
        match (tokio::runtime::Handle::try_current(), invalidation) {
            (Ok(runtime), Ok(invalidation)) => {
                runtime.spawn(invalidation.run());
                Coherence::Pushed
            }
            _ => Coherence::None,
        }
    }
}

#[cfg(test)]
mod tests;
