//! The trait that every place to keep records implements.

use std::fmt::{self, Debug};
use std::sync::Weak;

use async_trait::async_trait;
use bytes::Bytes;
use mcp_login_core::Timestamp;

use super::watch::{Coherence, Watcher};

/// The longest [`Key`], in bytes.
const MAX_KEY: usize = 200;

/// The name of one record: `kind:id`, at most 200 bytes of `[a-zA-Z0-9:_-]`.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Key(String);

impl Key {
    /// The key of a record of this kind.
    #[must_use]
    pub fn new(kind: &'static str, id: &str) -> Self {
        Self(format!("{kind}:{id}"))
    }

    /// What kind of record it names.
    #[must_use]
    pub fn kind(&self) -> &str {
        self.0.split(':').next().unwrap_or_default()
    }

    /// Which record of its kind.
    #[must_use]
    pub fn id(&self) -> &str {
        self.0.split_once(':').map(|(_, id)| id).unwrap_or_default()
    }

    /// As it is written in the store (after a backend's own prefix).
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The key of this name, as [`as_str`](Self::as_str) gives it; `None` for what is none.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        let in_alphabet = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b':' | b'_' | b'-');
        let valid = name.len() <= MAX_KEY && name.contains(':') && name.bytes().all(in_alphabet);
        valid.then(|| Self(name.to_owned()))
    }
}

/// Only the kind is shown: an id is half of a handle that clients hold.
impl Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:…", self.kind())
    }
}

/// Which writing of a record this is. A new record starts at [`Version::FIRST`]; every swap makes the next one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Version(pub u64);

impl Version {
    /// The version of a record that has just been inserted.
    pub const FIRST: Self = Self(1);

    /// The version after this one.
    #[must_use]
    pub const fn next(self) -> Self {
        Self(self.0.wrapping_add(1))
    }
}

/// A record as it was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Which writing this is: what [`Backend::swap`] wants back.
    pub version: Version,
    /// When the record ends.
    pub expires_at: Timestamp,
    /// The record.
    pub value: Bytes,
}

/// What became of a [`Backend::swap`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Swap {
    /// The record holds the new value, at this version.
    Done(Version),
    /// Somebody else wrote it first; nothing was changed.
    Conflict,
    /// There is no such record (any more); nothing was changed.
    Missing,
}

/// Where a listing goes on: what [`Backend::list`] of the same backend gave. It may hold a key, so it is not shown.
#[derive(Clone, PartialEq, Eq)]
pub struct Cursor(String);

impl Cursor {
    /// What a backend needs to find the place again.
    #[must_use]
    pub fn new(place: impl Into<String>) -> Self {
        Self(place.into())
    }

    /// The same.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Debug for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Cursor(…)")
    }
}

/// One record of a [`Page`], or why it cannot be read, in the words of [`StoreError::Damaged`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    /// Its key.
    pub key: Key,
    /// What is there.
    pub entry: Result<Entry, &'static str>,
}

/// Some of the records of a store.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Page {
    /// Those that this page has: perhaps none, though others follow.
    pub records: Vec<Listed>,
    /// How many names stand among the records that no version of this program wrote.
    pub foreign: usize,
    /// Where the next page begins; `None` at the end.
    pub next: Option<Cursor>,
}

/// Why the store did not answer.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// It could not be reached, or did not answer in time: try again later, nobody is logged out.
    #[error("the store cannot be reached")]
    Unavailable(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// It answered with something that no version of this program wrote.
    #[error("the store holds a damaged record: {0}")]
    Damaged(&'static str),
    /// It cannot be opened as configured. The text says what to change.
    #[error("{0}")]
    Open(String),
}

impl StoreError {
    /// Wraps whatever kept the store from answering.
    pub fn unavailable(source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        Self::Unavailable(source.into())
    }
}

/// One fact about how a store is set up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// What it is about, in the words of the store: a setting, a version.
    pub name: String,
    /// How it is.
    pub value: String,
    /// What to change, and why, if something should be.
    pub advice: Option<&'static str>,
}

/// A place to keep records. Every operation concerns one key and is atomic: whatever runs beside it, on this node or
/// another, sees all of it or nothing. [`super::conformance`] proves that for each backend.
///
/// `now` comes in with each call: a record whose `expires_at` has passed at `now` does not exist, whatever the
/// backend's own clock says; the backend's expiry only takes out the rubbish, and never earlier.
///
/// An answered write is as durable as the backend can be.
#[async_trait]
pub trait Backend: Debug + Send + Sync + 'static {
    /// The record, if there is one.
    async fn get(&self, key: &Key, now: Timestamp) -> Result<Option<Entry>, StoreError>;

    /// Makes a new record of version [`Version::FIRST`]; `false`, and nothing changed, when there is one already.
    async fn insert(
        &self,
        key: &Key,
        value: Bytes,
        expires_at: Timestamp,
        now: Timestamp,
    ) -> Result<bool, StoreError>;

    /// Replaces the record if it still is at `expected`.
    async fn swap(
        &self,
        key: &Key,
        expected: Version,
        value: Bytes,
        expires_at: Timestamp,
        now: Timestamp,
    ) -> Result<Swap, StoreError>;

    /// Reads and removes in one: of many takers at once, one gets the record.
    async fn take(&self, key: &Key, now: Timestamp) -> Result<Option<Entry>, StoreError>;

    /// Removes the record; `true` when there was one.
    async fn delete(&self, key: &Key, now: Timestamp) -> Result<bool, StoreError>;

    /// Whether the store answers at all, for `/readyz`.
    async fn ping(&self) -> Result<(), StoreError>;

    /// About `limit` of the records, from the beginning or from where an earlier page has ended, in an order of the
    /// backend's own. Ended ones are among them for as long as the backend has them. What is there from the first page to
    /// the last is on one of them at least; what is written or removed meanwhile may be on none or on several.
    async fn list(&self, from: Option<&Cursor>, limit: usize) -> Result<Page, StoreError>;

    /// Puts a record there as it is in another store, with its version and its end, and says so; `false`, and nothing
    /// changed, when there is one of this version or a later one. So a copy can be made again and undoes nothing.
    async fn restore(&self, key: &Key, entry: &Entry, now: Timestamp) -> Result<bool, StoreError>;

    /// About how many records there are, if the backend knows without a look at each; ended ones count.
    async fn estimate(&self) -> Result<Option<u64>, StoreError> {
        Ok(None)
    }

    /// What an operator should know about how this store is set up.
    async fn inspect(&self) -> Result<Vec<Finding>, StoreError> {
        Ok(Vec::new())
    }

    /// Tells the watcher, for as long as it lives, of every change to records of this kind, whoever makes it, and says what
    /// it can rely on. A backend that cannot leaves this as it is.
    fn watch(&self, _kind: &'static str, _watcher: Weak<dyn Watcher>) -> Coherence {
        Coherence::None
    }
}
