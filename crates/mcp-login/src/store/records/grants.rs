//! Grants in the store: `grant:<id>`.

use std::time::Duration;

use bytes::Bytes;
use mcp_login_core::Timestamp;
use mcp_login_core::grant::{Claimed, Grant};

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
    /// How long it is in the store, in bytes.
    pub length: usize,
}

/// The kind of these records.
pub(crate) const GRANTS: &str = "grant";

fn key(id: &GrantId) -> Key {
    Key::new(GRANTS, id.as_str())
}

fn read(entry: Option<Entry>) -> Result<Option<Versioned<Grant>>, StoreError> {
    let Some(entry) = entry else { return Ok(None) };
    let record = decode(&entry.value, "a grant")?;
    Ok(Some(Versioned { version: entry.version, record, length: entry.value.len() }))
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
        let (key, value) = (key(id), encode(grant)?);
        let _told = self.watchers.tell_after(&key);
        match self.backend().insert(&key, value.clone(), grant.expires_at(), now).await {
            Err(lost @ StoreError::Unavailable(_)) => match self.has_written(&key, &value, now).await {
                Some(_) => Ok(true),
                None => Err(lost),
            },
            answered => answered,
        }
    }

    /// Puts the grant's next state in the place of the one that was read.
    pub async fn swap_grant(
        &self,
        id: &GrantId,
        expected: Version,
        grant: &Grant,
        now: Timestamp,
    ) -> Result<Swap, StoreError> {
        let (key, value) = (key(id), encode(grant)?);
        let _told = self.watchers.tell_after(&key);
        match self.backend().swap(&key, expected, value.clone(), grant.expires_at(), now).await {
            Err(lost @ StoreError::Unavailable(_)) => match self.has_written(&key, &value, now).await {
                Some(version) => Ok(Swap::Done(version)),
                None => Err(lost),
            },
            answered => answered,
        }
    }

    /// Whether a write whose answer was lost has happened after all. What a grant holds is random and new with every
    /// step, so a record that is the same is ours. Without this a lost answer would make the next try of an honest
    /// client a replay.
    async fn has_written(&self, key: &Key, value: &Bytes, now: Timestamp) -> Option<Version> {
        let entry = self.backend().get(key, now).await.ok().flatten()?;
        (entry.value == *value).then_some(entry.version)
    }

    /// The same, if it is still as it was read. A service with replicas may have given an old state of it, and whoever is
    /// found guilty by an old state must not lose their login.
    pub async fn end_grant_at(
        &self,
        id: &GrantId,
        version: Version,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        let nobodys = Grant::Claimed(Claimed { expires_at: now.plus(Duration::from_secs(60)) });
        match self.swap_grant(id, version, &nobodys, now).await? {
            Swap::Conflict => Ok(false),
            Swap::Done(_) | Swap::Missing => {
                self.end_grant(id, now).await?;
                Ok(true)
            }
        }
    }

    /// Ends a grant, and with it everything that it gave.
    pub async fn end_grant(&self, id: &GrantId, now: Timestamp) -> Result<bool, StoreError> {
        let key = key(id);
        let _told = self.watchers.tell_after(&key);
        self.backend().delete(&key, now).await
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[tokio::test]
    async fn whoever_is_found_guilty_by_an_old_state_keeps_the_login() {
        let store = Store::open("memory:").await.unwrap();
        let now = Timestamp::from_millis(1_800_000_000_000);
        let (id, end) = (GrantId::new(now), now.plus(Duration::from_secs(9)));
        let grant = Grant::Claimed(Claimed { expires_at: end });
        assert!(store.insert_grant(&id, &grant, now).await.unwrap());
        let old = store.grant(&id, now).await.unwrap().unwrap().version;
        assert!(matches!(store.swap_grant(&id, old, &grant, now).await.unwrap(), Swap::Done(_)));
        assert!(!store.end_grant_at(&id, old, now).await.unwrap());
        let found = store.grant(&id, now).await.unwrap().unwrap();
        assert!(store.end_grant_at(&id, found.version, now).await.unwrap());
        assert!(store.grant(&id, now).await.unwrap().is_none());
    }
}
