//! Trying a store out.

use std::time::Duration;

use bytes::Bytes;
use mcp_login_core::Timestamp;

use super::Store;
use super::backend::{Key, StoreError, Swap, Version};
use super::records::random_secret;

/// The kind of the record that is written and taken out again.
pub(super) const PROBE: &str = "probe";

/// If it cannot be taken out again, it ends by itself.
const LIFE: Duration = Duration::from_secs(60);

impl Store {
    /// Writes a record, changes it and takes it out again, as a login does.
    ///
    /// # Errors
    /// Those of the store; [`StoreError::Damaged`] when it does not have what it has answered.
    pub async fn probe(&self, now: Timestamp) -> Result<(), StoreError> {
        let (key, end) = (Key::new(PROBE, random_secret().expose_secret()), now.plus(LIFE));
        let backend = self.backend();
        let (first, second) = (Bytes::from_static(b"1"), Bytes::from_static(b"2"));
        let inserted = backend.insert(&key, first, end, now).await?;
        let swapped = backend.swap(&key, Version::FIRST, second.clone(), end, now).await?;
        let taken = backend.take(&key, now).await?;
        let gone = backend.get(&key, now).await?.is_none();
        let has_it = taken.is_some_and(|entry| entry.value == second);
        if inserted && matches!(swapped, Swap::Done(_)) && has_it && gone {
            Ok(())
        } else {
            Err(StoreError::Damaged("it was not what was written a moment ago"))
        }
    }
}
