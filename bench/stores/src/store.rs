//! What is measured: a store whose callers share commits, made of any engine.

use std::path::Path;
use std::sync::Arc;
use std::thread::JoinHandle;

use anyhow::{Context, Result, anyhow};
use async_trait::async_trait;
use bytes::Bytes;
use mcp_login::store::backend::{Backend, Key, Swap, Version};
use mcp_login::store::file::FileBackend;
use mcp_login_core::Timestamp;
use tokio::sync::{mpsc, oneshot};

use crate::engines::{Engine, Tables};

/// As in mcp-login.
const BATCH: usize = 1024;
const SWEEP_SLACK_MILLIS: u64 = 60_000;
const SWEEP_PAUSE_MILLIS: u64 = 1_000;

#[async_trait]
pub trait Store: Send + Sync {
    async fn insert(&self, id: &str, value: &[u8], end: Timestamp, now: Timestamp) -> Result<()>;
    /// Reads the record and puts another in its place.
    async fn refresh(&self, id: &str, value: &[u8], end: Timestamp, now: Timestamp) -> Result<()>;
    async fn take(&self, id: &str, now: Timestamp) -> Result<bool>;
    async fn get(&self, id: &str, now: Timestamp) -> Result<Option<Bytes>>;
}

/// The store as it is shipped.
pub struct Shipped(FileBackend);

impl Shipped {
    pub fn open(folder: &Path) -> Result<Self> {
        Ok(Self(FileBackend::open(&folder.join("store.db"))?))
    }
}

#[async_trait]
impl Store for Shipped {
    async fn insert(&self, id: &str, value: &[u8], end: Timestamp, now: Timestamp) -> Result<()> {
        let key = Key::new("grant", id);
        self.0
            .insert(&key, Bytes::copy_from_slice(value), end, now)
            .await?
            .then_some(())
            .context("it was there")
    }

    async fn refresh(&self, id: &str, value: &[u8], end: Timestamp, now: Timestamp) -> Result<()> {
        let key = Key::new("grant", id);
        let Some(entry) = self.0.get(&key, now).await? else { return Ok(()) };
        match self.0.swap(&key, entry.version, Bytes::copy_from_slice(value), end, now).await? {
            Swap::Done(_) | Swap::Conflict | Swap::Missing => Ok(()),
        }
    }

    async fn take(&self, id: &str, now: Timestamp) -> Result<bool> {
        Ok(self.0.take(&Key::new("grant", id), now).await?.is_some())
    }

    async fn get(&self, id: &str, now: Timestamp) -> Result<Option<Bytes>> {
        Ok(self.0.get(&Key::new("grant", id), now).await?.map(|entry| entry.value))
    }
}

enum Change {
    Insert { value: Bytes, end: Timestamp },
    Swap { expected: Version, value: Bytes, end: Timestamp },
    Take,
}

struct Request {
    key: String,
    change: Change,
    now: Timestamp,
    reply: oneshot::Sender<bool>,
}

/// The same on another engine: one thread writes, as in mcp-login's own store.
pub struct Grouped {
    engine: Arc<dyn Engine>,
    queue: Option<mpsc::Sender<Request>>,
    writer: Option<JoinHandle<()>>,
}

impl Grouped {
    pub fn new(engine: Arc<dyn Engine>, sweep_step: usize) -> Self {
        let (queue, requests) = mpsc::channel(BATCH);
        let of_writer = Arc::clone(&engine);
        let writer = std::thread::spawn(move || {
            if let Err(error) = write(&*of_writer, requests, sweep_step) {
                eprintln!("the writer has failed: {error:#}");
                std::process::exit(1);
            }
        });
        Self { engine, queue: Some(queue), writer: Some(writer) }
    }

    async fn change(&self, id: &str, change: Change, now: Timestamp) -> Result<bool> {
        let (reply, answer) = oneshot::channel();
        let request = Request { key: key(id), change, now, reply };
        let queue = self.queue.as_ref().context("open")?;
        queue.send(request).await.map_err(|_| anyhow!("the writer has ended"))?;
        Ok(answer.await?)
    }

    fn read(&self, id: &str) -> Result<Option<(Version, Bytes)>> {
        let Some(stored) = self.engine.get(&key(id))? else { return Ok(None) };
        Ok(Some((Version(number(&stored)), Bytes::from(stored).split_off(16))))
    }
}

impl Drop for Grouped {
    fn drop(&mut self) {
        self.queue = None;
        if let Some(writer) = self.writer.take() {
            let _ = writer.join();
        }
    }
}

#[async_trait]
impl Store for Grouped {
    async fn insert(&self, id: &str, value: &[u8], end: Timestamp, now: Timestamp) -> Result<()> {
        let value = Bytes::copy_from_slice(value);
        self.change(id, Change::Insert { value, end }, now).await?.then_some(()).context("it was there")
    }

    async fn refresh(&self, id: &str, value: &[u8], end: Timestamp, now: Timestamp) -> Result<()> {
        let Some((expected, _)) = self.read(id)? else { return Ok(()) };
        let value = Bytes::copy_from_slice(value);
        self.change(id, Change::Swap { expected, value, end }, now).await.map(drop)
    }

    async fn take(&self, id: &str, now: Timestamp) -> Result<bool> {
        self.change(id, Change::Take, now).await
    }

    async fn get(&self, id: &str, _: Timestamp) -> Result<Option<Bytes>> {
        Ok(self.read(id)?.map(|(_, value)| value))
    }
}

fn key(id: &str) -> String {
    format!("grant:{id}")
}

/// The version stands first in a stored record, then the end.
fn number(stored: &[u8]) -> u64 {
    stored.first_chunk().map_or(0, |bytes| u64::from_be_bytes(*bytes))
}

fn stored(version: Version, end: Timestamp, value: &[u8]) -> Vec<u8> {
    [&version.0.to_be_bytes(), &end.as_millis().to_be_bytes(), value].concat()
}

fn end_row(end: u64, key: &str) -> Vec<u8> {
    [&end.to_be_bytes(), key.as_bytes()].concat()
}

fn write(engine: &dyn Engine, mut requests: mpsc::Receiver<Request>, sweep_step: usize) -> Result<()> {
    let mut caught_up_at: Option<u64> = None;
    while let Some(first) = requests.blocking_recv() {
        let mut batch = vec![first];
        while batch.len() < BATCH
            && let Ok(next) = requests.try_recv()
        {
            batch.push(next);
        }
        let now = batch.iter().map(|request| request.now.as_millis()).min().unwrap_or_default();
        let step = sweep_step.max(batch.len());
        let mut answers = Vec::new();
        engine.transaction(&mut |tables| {
            answers.clear();
            for request in &batch {
                answers.push(apply(tables, request)?);
            }
            Ok(())
        })?;
        for (request, answer) in batch.into_iter().zip(answers) {
            let _ = request.reply.send(answer);
        }
        while caught_up_at.is_none_or(|then| then.abs_diff(now) >= SWEEP_PAUSE_MILLIS) {
            let more = sweep(engine, now, step)? == step;
            caught_up_at = (!more).then_some(now);
            if !more || !requests.is_empty() || requests.is_closed() {
                break;
            }
        }
    }
    Ok(())
}

fn apply(tables: &mut dyn Tables, request: &Request) -> Result<bool> {
    let Request { key, change, .. } = request;
    let old = tables.head(key)?;
    match change {
        Change::Insert { .. } if old.is_some() => return Ok(false),
        Change::Insert { value, end } => {
            tables.put(key, &stored(Version::FIRST, *end, value))?;
            tables.put_end(&end_row(end.as_millis(), key))?;
        }
        Change::Swap { expected, value, end } => {
            let Some((_, old_end)) = old.filter(|(version, _)| *version == expected.0) else {
                return Ok(false);
            };
            tables.put(key, &stored(expected.next(), *end, value))?;
            if old_end != end.as_millis() {
                tables.remove_end(&end_row(old_end, key))?;
                tables.put_end(&end_row(end.as_millis(), key))?;
            }
        }
        Change::Take => {
            let Some((_, end)) = old else { return Ok(false) };
            tables.remove_end(&end_row(end, key))?;
            tables.remove(key)?;
        }
    }
    Ok(true)
}

fn sweep(engine: &dyn Engine, now: u64, step: usize) -> Result<usize> {
    let bound = now.saturating_sub(SWEEP_SLACK_MILLIS).to_be_bytes();
    if !engine.any_before(&bound)? {
        return Ok(0);
    }
    let mut swept = 0;
    engine.transaction(&mut |tables| {
        let rows = tables.before(&bound, step)?;
        swept = rows.len();
        for row in rows {
            tables.remove_end(&row)?;
            let (end, key) = row.split_at(8);
            let key = std::str::from_utf8(key)?;
            if tables.head(key)?.is_some_and(|(_, stored_end)| stored_end == number(end)) {
                tables.remove(key)?;
            }
        }
        Ok(())
    })?;
    Ok(swept)
}
