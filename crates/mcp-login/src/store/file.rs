//! Records in one file of this machine, with redb: every answered write is on disk.

mod database;
mod making;
mod writer;

use std::fmt::{self, Debug};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Weak};
use std::thread::JoinHandle;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use mcp_login_core::Timestamp;
use tokio::sync::{mpsc, oneshot};

use self::database::Slot;
use self::writer::{Change, Outcome, Request};
use super::backend::{Backend, Cursor, Entry, Finding, Key, Page, StoreError, Swap, Version};
use super::watch::{Coherence, Watcher, Watchers};

/// How many writes may wait for the writer; more wait to be let in.
const QUEUE: usize = 1024;

/// How long a write may take in all. A disk that hangs makes the store unavailable, not the server hang.
const WRITE_LIMIT: Duration = Duration::from_secs(10);

/// Keeps records in a file that this process alone has open.
///
/// All writes go through one thread, which commits what has queued up in one transaction and answers after the disk
/// has it. Reads run on the caller's thread, in microseconds. Ended records are taken out between the commits, by the
/// time that the writes carry. After an I/O error (a full disk) the file is opened anew, so it heals without a restart.
///
/// Dropping it waits for the queued writes and closes the file.
pub struct FileBackend {
    path: PathBuf,
    slot: Arc<Slot>,
    watchers: Arc<Watchers>,
    queue: Option<mpsc::Sender<Request>>,
    writer: Option<JoinHandle<()>>,
}

impl FileBackend {
    /// Opens the file, or makes it (readable by its owner only). Blocks while the file is read or repaired.
    ///
    /// # Errors
    /// [`StoreError::Open`], naming the path, when another process has the file open, when it is not a store of
    /// mcp-login or one of a later version, and when it cannot be made, read or written.
    pub fn open(path: &Path) -> Result<Self, StoreError> {
        database::make(path)?;
        let owned = path.to_owned();
        Self::with(path, Box::new(move || database::open(&owned)))
    }

    fn with(path: &Path, open: database::Open) -> Result<Self, StoreError> {
        let slot = Arc::new(Slot::open(open)?);
        let (queue, requests) = mpsc::channel(QUEUE);
        let watchers = Arc::<Watchers>::default();
        let of_writer = (Arc::clone(&slot), Arc::clone(&watchers));
        let writer = std::thread::Builder::new()
            .name("mcp-login-store".to_owned())
            .spawn(move || writer::run(requests, &of_writer.0, &of_writer.1))
            .map_err(|error| StoreError::Open(format!("cannot start the store's writer thread: {error}")))?;
        Ok(Self { path: path.to_owned(), slot, watchers, queue: Some(queue), writer: Some(writer) })
    }

    async fn write(&self, key: &Key, change: Change, now: Timestamp) -> Result<Outcome, StoreError> {
        let gone = || StoreError::unavailable("the store's writer thread has ended");
        let queue = self.queue.as_ref().ok_or_else(gone)?;
        let (reply, answer) = oneshot::channel();
        let request = Request { key: key.clone(), change, now, reply };
        let answered = async {
            queue.send(request).await.map_err(|_| gone())?;
            answer.await.map_err(|_| gone())?
        };
        match tokio::time::timeout(WRITE_LIMIT, answered).await {
            Ok(answer) => answer,
            Err(elapsed) => Err(StoreError::unavailable(elapsed)),
        }
    }
}

impl Drop for FileBackend {
    fn drop(&mut self) {
        self.queue = None;
        if let Some(writer) = self.writer.take() {
            // A writer that panicked has nothing more to write.
            let _ = writer.join();
        }
    }
}

impl Debug for FileBackend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FileBackend").field("path", &self.path).finish_non_exhaustive()
    }
}

/// The writer answers each change with its own kind of outcome.
fn mismatch() -> StoreError {
    StoreError::unavailable("the store's writer thread mixed up its answers")
}

#[async_trait]
impl Backend for FileBackend {
    async fn get(&self, key: &Key, now: Timestamp) -> Result<Option<Entry>, StoreError> {
        self.slot.get(key, now)
    }

    async fn insert(
        &self,
        key: &Key,
        value: Bytes,
        expires_at: Timestamp,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        match self.write(key, Change::Insert { value, expires_at }, now).await? {
            Outcome::Inserted(inserted) => Ok(inserted),
            _ => Err(mismatch()),
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
        match self.write(key, Change::Swap { expected, value, expires_at }, now).await? {
            Outcome::Swapped(swap) => Ok(swap),
            _ => Err(mismatch()),
        }
    }

    async fn take(&self, key: &Key, now: Timestamp) -> Result<Option<Entry>, StoreError> {
        match self.write(key, Change::Take, now).await? {
            Outcome::Taken(entry) => Ok(entry),
            _ => Err(mismatch()),
        }
    }

    async fn delete(&self, key: &Key, now: Timestamp) -> Result<bool, StoreError> {
        match self.write(key, Change::Delete, now).await? {
            Outcome::Deleted(deleted) => Ok(deleted),
            _ => Err(mismatch()),
        }
    }

    /// Goes through the writer: its thread is alive and the file takes a transaction.
    async fn ping(&self) -> Result<(), StoreError> {
        match self.write(&Key::new("ping", ""), Change::Nothing, Timestamp::from_millis(0)).await? {
            Outcome::Nothing => Ok(()),
            _ => Err(mismatch()),
        }
    }

    async fn list(&self, from: Option<&Cursor>, limit: usize) -> Result<Page, StoreError> {
        self.slot.list(from, limit)
    }

    async fn restore(&self, key: &Key, entry: &Entry, now: Timestamp) -> Result<bool, StoreError> {
        match self.write(key, Change::Restore(entry.clone()), now).await? {
            Outcome::Restored(restored) => Ok(restored),
            _ => Err(mismatch()),
        }
    }

    async fn estimate(&self) -> Result<Option<u64>, StoreError> {
        self.slot.len().map(Some)
    }

    async fn inspect(&self) -> Result<Vec<Finding>, StoreError> {
        self.slot.inspect(&self.path)
    }

    fn watch(&self, kind: &'static str, watcher: Weak<dyn Watcher>) -> Coherence {
        self.watchers.add(kind, watcher);
        Coherence::Direct
    }
}

#[cfg(test)]
mod tests;
