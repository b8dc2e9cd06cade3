//! Records in the memory of this process: for tests, demos and a single node that may forget.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::{self, Debug};
use std::ops::Bound;
use std::sync::{Mutex, MutexGuard, PoisonError, Weak};

use async_trait::async_trait;
use bytes::Bytes;
use mcp_login_core::Timestamp;

use super::backend::{Backend, Cursor, Entry, Key, Listed, Page, StoreError, Swap, Version};
use super::watch::{Coherence, Watcher, Watchers};

/// How many ended records one call takes out. A call adds at most one, so the rest cannot pile up.
const SWEEP_STEP: usize = 8;

/// A record is rubbish this long after its end: a clock that is set back a little finds it still there.
const SWEEP_SLACK_MILLIS: u64 = 60_000;

/// Keeps records in this process; all are gone when it ends.
///
/// Ended records leave in small steps, a few with each call, so no call ever pays for all of them.
#[derive(Default)]
pub struct MemoryBackend {
    records: Mutex<Records>,
    watchers: Watchers,
}

#[derive(Default)]
struct Records {
    by_key: BTreeMap<Key, Entry>,
    by_end: BTreeSet<(Timestamp, Key)>,
}

impl Records {
    fn live(&self, key: &Key, now: Timestamp) -> Option<&Entry> {
        self.by_key.get(key).filter(|entry| !entry.expires_at.has_passed(now))
    }

    fn put(&mut self, key: &Key, entry: Entry) {
        self.by_end.insert((entry.expires_at, key.clone()));
        let end = entry.expires_at;
        if let Some(old) = self.by_key.insert(key.clone(), entry)
            && old.expires_at != end
        {
            self.by_end.remove(&(old.expires_at, key.clone()));
        }
    }

    fn remove(&mut self, key: &Key) -> Option<Entry> {
        let entry = self.by_key.remove(key)?;
        self.by_end.remove(&(entry.expires_at, key.clone()));
        Some(entry)
    }

    fn sweep(&mut self, now: Timestamp) {
        let rubbish_at = Timestamp::from_millis(now.as_millis().saturating_sub(SWEEP_SLACK_MILLIS));
        for _ in 0..SWEEP_STEP {
            match self.by_end.first() {
                Some((end, _)) if end.has_passed(rubbish_at) => {}
                _ => return,
            }
            if let Some((_, key)) = self.by_end.pop_first() {
                self.by_key.remove(&key);
            }
        }
    }
}

impl MemoryBackend {
    /// An empty store.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Nothing between two lines of this file can panic half-way through a change, so a poisoned lock holds whole
    /// records.
    fn lock(&self, now: Timestamp) -> MutexGuard<'_, Records> {
        let mut records = self.records.lock().unwrap_or_else(PoisonError::into_inner);
        records.sweep(now);
        records
    }
}

impl Debug for MemoryBackend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryBackend").finish_non_exhaustive()
    }
}

#[async_trait]
impl Backend for MemoryBackend {
    async fn get(&self, key: &Key, now: Timestamp) -> Result<Option<Entry>, StoreError> {
        Ok(self.lock(now).live(key, now).cloned())
    }

    async fn insert(
        &self,
        key: &Key,
        value: Bytes,
        expires_at: Timestamp,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        let mut records = self.lock(now);
        if records.live(key, now).is_some() {
            return Ok(false);
        }
        records.put(key, Entry { version: Version::FIRST, expires_at, value });
        drop(records);
        self.watchers.changed(key);
        Ok(true)
    }

    async fn swap(
        &self,
        key: &Key,
        expected: Version,
        value: Bytes,
        expires_at: Timestamp,
        now: Timestamp,
    ) -> Result<Swap, StoreError> {
        let mut records = self.lock(now);
        match records.live(key, now) {
            None => return Ok(Swap::Missing),
            Some(entry) if entry.version != expected => return Ok(Swap::Conflict),
            Some(_) => {}
        }
        let version = expected.next();
        records.put(key, Entry { version, expires_at, value });
        drop(records);
        self.watchers.changed(key);
        Ok(Swap::Done(version))
    }

    async fn take(&self, key: &Key, now: Timestamp) -> Result<Option<Entry>, StoreError> {
        let mut records = self.lock(now);
        if records.live(key, now).is_none() {
            return Ok(None);
        }
        let taken = records.remove(key);
        drop(records);
        self.watchers.changed(key);
        Ok(taken)
    }

    async fn delete(&self, key: &Key, now: Timestamp) -> Result<bool, StoreError> {
        let removed = self.lock(now).remove(key);
        self.watchers.changed(key);
        Ok(removed.is_some_and(|entry| !entry.expires_at.has_passed(now)))
    }

    async fn ping(&self) -> Result<(), StoreError> {
        Ok(())
    }

    async fn list(&self, from: Option<&Cursor>, limit: usize) -> Result<Page, StoreError> {
        let after = match from.map(|from| Key::parse(from.as_str())) {
            None => Bound::Unbounded,
            Some(Some(key)) => Bound::Excluded(key),
            Some(None) => return Ok(Page::default()),
        };
        let records = self.records.lock().unwrap_or_else(PoisonError::into_inner);
        let listed = records.by_key.range((after, Bound::Unbounded)).take(limit);
        let records: Vec<_> =
            listed.map(|(key, entry)| Listed { key: key.clone(), entry: Ok(entry.clone()) }).collect();
        let next = records.last().filter(|_| records.len() == limit);
        let next = next.map(|last| Cursor::new(last.key.as_str()));
        Ok(Page { records, foreign: 0, next })
    }

    async fn restore(&self, key: &Key, entry: &Entry, now: Timestamp) -> Result<bool, StoreError> {
        let mut records = self.lock(now);
        if records.live(key, now).is_some_and(|live| live.version >= entry.version) {
            return Ok(false);
        }
        records.put(key, entry.clone());
        drop(records);
        self.watchers.changed(key);
        Ok(true)
    }

    async fn estimate(&self) -> Result<Option<u64>, StoreError> {
        let records = self.records.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(u64::try_from(records.by_key.len()).ok())
    }

    fn watch(&self, kind: &'static str, watcher: Weak<dyn Watcher>) -> Coherence {
        self.watchers.add(kind, watcher);
        Coherence::Direct
    }
}

#[cfg(test)]
mod tests;
