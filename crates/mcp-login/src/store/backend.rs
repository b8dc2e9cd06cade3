//! The trait that every place to keep records implements.

use std::fmt::{self, Debug};
use std::sync::Weak;

use async_trait::async_trait;
use bytes::Bytes;
use mcp_login_core::Timestamp;

use super::watch::{Coherence, Watcher};

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

    /// Tells the watcher, for as long as it lives, of every change to records of this kind, whoever makes it, and says what
    /// it can rely on. A backend that cannot leaves this as it is.
    fn watch(&self, _kind: &'static str, _watcher: Weak<dyn Watcher>) -> Coherence {
        Coherence::None
    }
}
