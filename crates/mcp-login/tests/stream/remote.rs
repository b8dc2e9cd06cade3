//! A store on another machine: it counts what it is asked, and can be away.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, Weak};

use async_trait::async_trait;
use bytes::Bytes;
use mcp_login::core::Timestamp;
use mcp_login::store::backend::{Backend, Cursor, Entry, Key, Page, StoreError, Swap, Version};
use mcp_login::store::memory::MemoryBackend;
use mcp_login::store::watch::{Coherence, Watcher};

#[derive(Debug)]
pub(crate) struct Remote {
    records: MemoryBackend,
    coherence: Coherence,
    watcher: Mutex<Option<Weak<dyn Watcher>>>,
    reads: AtomicUsize,
    away: AtomicBool,
}

impl Remote {
    pub(crate) fn new(coherence: Coherence) -> Arc<Self> {
        Arc::new(Self {
            records: MemoryBackend::new(),
            coherence,
            watcher: Mutex::default(),
            reads: AtomicUsize::new(0),
            away: AtomicBool::new(false),
        })
    }

    /// Whoever was the first to ask for changes, which are told by the test.
    pub(crate) fn watcher(&self) -> Arc<dyn Watcher> {
        self.watcher.lock().unwrap().as_ref().unwrap().upgrade().unwrap()
    }

    /// How often it was asked for a record.
    pub(crate) fn reads(&self) -> usize {
        self.reads.load(Ordering::SeqCst)
    }

    pub(crate) fn is_away(&self, away: bool) {
        self.away.store(away, Ordering::SeqCst);
    }

    fn check(&self) -> Result<(), StoreError> {
        let away = self.away.load(Ordering::SeqCst);
        if away { Err(StoreError::unavailable("away")) } else { Ok(()) }
    }
}

#[async_trait]
impl Backend for Remote {
    async fn get(&self, key: &Key, now: Timestamp) -> Result<Option<Entry>, StoreError> {
        self.reads.fetch_add(1, Ordering::SeqCst);
        self.check()?;
        self.records.get(key, now).await
    }

    async fn insert(
        &self,
        key: &Key,
        value: Bytes,
        expires_at: Timestamp,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        self.check()?;
        self.records.insert(key, value, expires_at, now).await
    }

    async fn swap(
        &self,
        key: &Key,
        expected: Version,
        value: Bytes,
        expires_at: Timestamp,
        now: Timestamp,
    ) -> Result<Swap, StoreError> {
        self.check()?;
        self.records.swap(key, expected, value, expires_at, now).await
    }

    async fn take(&self, key: &Key, now: Timestamp) -> Result<Option<Entry>, StoreError> {
        self.check()?;
        self.records.take(key, now).await
    }

    async fn delete(&self, key: &Key, now: Timestamp) -> Result<bool, StoreError> {
        self.check()?;
        self.records.delete(key, now).await
    }

    async fn ping(&self) -> Result<(), StoreError> {
        self.check()
    }

    async fn list(&self, from: Option<&Cursor>, limit: usize) -> Result<Page, StoreError> {
        self.records.list(from, limit).await
    }

    async fn restore(&self, key: &Key, entry: &Entry, now: Timestamp) -> Result<bool, StoreError> {
        self.records.restore(key, entry, now).await
    }

    fn watch(&self, _: &'static str, watcher: Weak<dyn Watcher>) -> Coherence {
        self.watcher.lock().unwrap().get_or_insert(watcher);
        self.coherence
    }
}
