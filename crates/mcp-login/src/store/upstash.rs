//! Records in Upstash by its REST interface, shared by every node: a Redis that is spoken to in HTTPS requests.

mod address;
mod failure;
mod listing;
mod rest;

use std::fmt::{self, Debug};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use mcp_login_core::Timestamp;
use tokio::time::Instant;

use self::address::Address;
use self::failure::Failure;
use self::rest::{Answer, Command, Rest};
use super::backend::{Backend, Cursor, Entry, Finding, Key, Page, StoreError, Swap, Version};
use super::in_redis::{self, Change, Scripts};
use super::options::StoreOptions;

/// Requests are JSON, which holds no bytes, so the arguments of the scripts are sent in hexadecimal digits and are bytes
/// again before the script proper begins. What is stored are the bytes that [`RedisBackend`](super::redis) stores, so a
/// database is one store, whether it is opened by `rediss://` or by REST. It costs Redis about 0.3 ms for a record of
/// 4 kB. Base64 would be shorter, but Lua has no decoder of it; answers are base64, as Upstash encodes them if asked to.
const ARGUMENTS: &str = r"
local sent, ARGV, bytes = ARGV, {}, {}
for i = 0, 255 do bytes[string.format('%02x', i)] = string.char(i) end
for i = 1, #sent do ARGV[i] = string.gsub(sent[i], '..', bytes) end
";

const EVICTION: &str = "cannot be asked for over REST: see in the console that it is off, or Upstash throws logins away when \
    the database is full";

/// Keeps each record in one Redis string, `PREFIX` + key, in the same bytes as the store at `redis://` does.
///
/// Every write is one Lua script that touches one key, so it decides and changes in one step, in one request (two when
/// the database does not know the script yet). A write that may have happened is never sent again: when its answer is
/// lost it is [`StoreError::Unavailable`], and has happened or not. A call takes at most [`StoreOptions::timeout`].
///
/// Writes are decided by the primary of the database, reads are answered by any replica. This node's reads see its own
/// writes, by Upstash's sync token; what another node has written a moment ago they may not see yet.
///
/// Certificates are verified against the roots of the platform.
pub struct UpstashBackend {
    rest: Rest,
    prefix: String,
    timeout: Duration,
    scripts: Scripts,
}

impl UpstashBackend {
    /// Prepares requests to `upstash+https://TOKEN@HOST[:PORT]`; special characters of the token are percent-encoded. For
    /// a host of the loopback also `upstash+http`. Nothing is asked yet, so this succeeds when Upstash is away.
    ///
    /// # Errors
    /// [`StoreError::Open`] when the URL cannot be read, the prefix is too long, or this machine has no TLS. The text
    /// shows no part of either.
    pub fn open_with(url: &str, options: &StoreOptions) -> Result<Self, StoreError> {
        in_redis::check_prefix(&options.key_prefix)?;
        Ok(Self {
            rest: Rest::new(Address::parse(url)?, options)?,
            prefix: options.key_prefix.clone(),
            timeout: options.timeout,
            scripts: Scripts::new(ARGUMENTS),
        })
    }

    fn name(&self, key: &Key) -> String {
        in_redis::name(&self.prefix, key)
    }

    fn deadline(&self) -> Instant {
        Instant::now() + self.timeout
    }

    async fn run(&self, change: Change<'_>, key: &Key) -> Result<Answer, StoreError> {
        let (name, deadline, script) = (self.name(key), self.deadline(), change.script);
        let by_hash = Command::change("EVALSHA", &script.hash, &name, &change.arguments);
        match self.rest.call(&by_hash, deadline).await {
            Err(Failure::NoScript) => {
                let in_full = Command::change("EVAL", &script.text, &name, &change.arguments);
                Ok(self.rest.call(&in_full, deadline).await?)
            }
            answered => Ok(answered?),
        }
    }
}

impl Debug for UpstashBackend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("UpstashBackend")
            .field("address", &self.rest.place())
            .field("prefix", &self.prefix)
            .finish_non_exhaustive()
    }
}

#[async_trait]
impl Backend for UpstashBackend {
    async fn get(&self, key: &Key, now: Timestamp) -> Result<Option<Entry>, StoreError> {
        let get = Command::read(&["GET", &self.name(key)]);
        in_redis::read(self.rest.call(&get, self.deadline()).await?.bytes()?, now)
    }

    async fn insert(
        &self,
        key: &Key,
        value: Bytes,
        expires_at: Timestamp,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        let change = self.scripts.insert(&value, expires_at, now);
        in_redis::inserted(self.run(change, key).await?.number()?)
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
        in_redis::swapped(self.run(change, key).await?.number()?, expected.next())
    }

    async fn take(&self, key: &Key, now: Timestamp) -> Result<Option<Entry>, StoreError> {
        in_redis::read(self.run(self.scripts.take(now), key).await?.bytes()?, now)
    }

    async fn delete(&self, key: &Key, now: Timestamp) -> Result<bool, StoreError> {
        Ok(in_redis::deleted(self.run(self.scripts.delete(now), key).await?.number()?))
    }

    async fn ping(&self) -> Result<(), StoreError> {
        Ok(self.rest.call(&Command::read(&["PING"]), self.deadline()).await.map(drop)?)
    }

    async fn list(&self, from: Option<&Cursor>, limit: usize) -> Result<Page, StoreError> {
        self.page(from, limit).await
    }

    async fn restore(&self, key: &Key, entry: &Entry, now: Timestamp) -> Result<bool, StoreError> {
        in_redis::inserted(self.run(self.scripts.restore(entry, now), key).await?.number()?)
    }

    async fn estimate(&self) -> Result<Option<u64>, StoreError> {
        self.size().await
    }

    async fn inspect(&self) -> Result<Vec<Finding>, StoreError> {
        let name = format!("{} Eviction", self.rest.place());
        Ok(vec![Finding { name, value: EVICTION.to_owned(), advice: None }])
    }
}

#[cfg(test)]
mod tests;
