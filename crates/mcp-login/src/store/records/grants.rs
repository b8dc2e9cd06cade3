//! Grants in the store: `grant:<id>`.

use mcp_login_core::Timestamp;
use mcp_login_core::grant::Grant;

use super::{GrantId, decode, encode};
use crate::store::Store;
use crate::store::backend::{Entry, Key, StoreError, Swap, Version};

/// A record, and which writing of it this is.
#[derive(Debug, Clone)]
pub struct Versioned<T> {
    /// What a swap has to find.
    pub version: Version,
    /// The record.
    pub record: T,
}

fn key(id: &GrantId) -> Key {
    Key::new("grant", id.as_str())
}

fn read(entry: Option<Entry>) -> Result<Option<Versioned<Grant>>, StoreError> {
    let Some(entry) = entry else { return Ok(None) };
    Ok(Some(Versioned { version: entry.version, record: decode(&entry.value, "a grant")? }))
}

impl Store {
    /// The grant of this id.
    pub async fn grant(&self, id: &GrantId, now: Timestamp) -> Result<Option<Versioned<Grant>>, StoreError> {
        read(self.backend().get(&key(id), now).await?)
    }

    /// Makes a grant; `false` when there is one of this id.
    pub async fn insert_grant(
        &self,
        id: &GrantId,
        grant: &Grant,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        self.backend().insert(&key(id), encode(grant)?, grant.expires_at(), now).await
    }

    /// Puts the grant's next state in the place of the one that was read.
    pub async fn swap_grant(
        &self,
        id: &GrantId,
        expected: Version,
        grant: &Grant,
        now: Timestamp,
    ) -> Result<Swap, StoreError> {
        self.backend().swap(&key(id), expected, encode(grant)?, grant.expires_at(), now).await
    }

    /// Reads a grant and removes it: one caller gets it.
    pub async fn take_grant(
        &self,
        id: &GrantId,
        now: Timestamp,
    ) -> Result<Option<Versioned<Grant>>, StoreError> {
        read(self.backend().take(&key(id), now).await?)
    }

    /// Ends a grant, and with it everything that it gave.
    pub async fn end_grant(&self, id: &GrantId, now: Timestamp) -> Result<bool, StoreError> {
        self.backend().delete(&key(id), now).await
    }
}
