//! Where grants, clients and approvals are kept.
//!
//! [`Store`] is what the rest of the crate sees: typed records, sealed and hashed in [`records`]. Below it a
//! [`backend::Backend`] moves bytes: in memory, in a file, in Redis.

pub mod backend;
pub mod records;

use std::sync::Arc;

use backend::{Backend, StoreError};

/// A place where everything is kept that outlives a request. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Store(Arc<dyn Backend>);

impl Store {
    /// A store on a backend of one's own.
    #[must_use]
    pub fn new(backend: Arc<dyn Backend>) -> Self {
        Self(backend)
    }

    /// Whether the store answers.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] when it does not.
    pub async fn ping(&self) -> Result<(), StoreError> {
        self.0.ping().await
    }

    fn backend(&self) -> &dyn Backend {
        &*self.0
    }
}
