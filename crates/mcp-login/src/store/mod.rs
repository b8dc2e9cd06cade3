//! Where grants, clients and approvals are kept.
//!
//! [`Store`] is what the rest of the crate sees: typed records, sealed and hashed in [`records`]. Below it a
//! [`backend::Backend`] moves bytes: in memory, in a file, in Redis, in Upstash.

pub mod backend;
pub mod conformance;
pub mod copy;
#[cfg(feature = "file")]
pub mod file;
#[cfg(any(feature = "redis", feature = "upstash"))]
mod in_redis;
#[cfg(any(feature = "file", feature = "redis", feature = "upstash"))]
mod layout;
pub mod memory;
pub mod open;
pub mod options;
mod probe;
pub mod records;
#[cfg(feature = "redis")]
pub mod redis;
#[cfg(feature = "upstash")]
pub mod upstash;
mod walk;
pub mod watch;

use std::sync::{Arc, Weak};

use backend::{Backend, Finding, StoreError};
use options::StoreOptions;
use watch::{Coherence, Watcher, Watchers};

/// What stands before every key in a store that others may use, too.
pub const DEFAULT_KEY_PREFIX: &str = "mcp-login:";

/// A place where everything is kept that outlives a request. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Store {
    backend: Arc<dyn Backend>,
    /// Those who are told what is written through this store before the write is answered, whatever its backend tells.
    watchers: Arc<Watchers>,
}

impl Store {
    /// The store of this URL: `memory:`, `file:PATH`, `redis://…`, `redis+cluster://…` or `redis+sentinel://…`, with TLS
    /// `rediss…`, or `upstash+https://…`.
    ///
    /// # Errors
    /// [`StoreError::Open`], with words that say what to change. A Redis that is away is no error here.
    pub async fn open(url: &str) -> Result<Self, StoreError> {
        Self::open_with(url, &StoreOptions::default()).await
    }

    /// The same with other options: the prefix of its keys, its limits of time, its connections.
    ///
    /// # Errors
    /// As [`Self::open`].
    pub async fn open_with(url: &str, options: &StoreOptions) -> Result<Self, StoreError> {
        open::open_backend(url, options).await.map(Self::new)
    }

    /// A store on a backend of one's own, which has passed [`conformance`].
    #[must_use]
    pub fn new(backend: Arc<dyn Backend>) -> Self {
        Self { backend, watchers: Arc::default() }
    }

    /// Whether the store answers.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] when it does not.
    pub async fn ping(&self) -> Result<(), StoreError> {
        self.backend.ping().await
    }

    /// What an operator should know about how the store is set up.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] when it does not answer.
    pub async fn inspect(&self) -> Result<Vec<Finding>, StoreError> {
        self.backend.inspect().await
    }

    /// About how many records there are, if the store knows without a look at each; ended ones count.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] when it does not answer.
    pub async fn estimate(&self) -> Result<Option<u64>, StoreError> {
        self.backend.estimate().await
    }

    /// Tells the watcher of every change to records of this kind: of those that are made through this store, or a clone
    /// of it, before the write is answered, and of all others as the backend can.
    pub(crate) fn watch(&self, kind: &'static str, watcher: Weak<dyn Watcher>) -> Coherence {
        self.watchers.add(kind, Weak::clone(&watcher));
        self.backend.watch(kind, watcher)
    }

    fn backend(&self) -> &dyn Backend {
        &*self.backend
    }
}
