//! [`KeyList`]: the keys of all nodes, as the store has them or had them a moment ago.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use mcp_login_core::Timestamp;

use crate::store::Store;
use crate::store::backend::StoreError;
use crate::store::records::PublishedKey;
use crate::telemetry::log_failure;

/// How long the list is shown without asking the store: anybody may ask for it. So long a key of another node may be
/// missing.
const FRESH: Duration = Duration::from_secs(2);

#[derive(Debug)]
pub(super) struct KeyList {
    store: Store,
    known: Mutex<Known>,
    /// Held while the store is asked.
    flight: tokio::sync::Mutex<()>,
}

#[derive(Debug, Default)]
struct Known {
    /// `None` until the store has answered once.
    keys: Option<Vec<PublishedKey>>,
    fresh_until: Option<Timestamp>,
    /// Counts reads that failed, so that a waiter knows that one failed while it waited.
    failures: u64,
    /// Counts our own writes, so that a read knows that it is older than one.
    writes: u64,
}

impl Known {
    /// Those that have not ended.
    fn live(&self, now: Timestamp) -> Option<Vec<PublishedKey>> {
        let live = self.keys.as_ref()?.iter().filter(|key| !key.until.has_passed(now));
        Some(live.cloned().collect())
    }

    /// An end that is further away than it has ever been is of a clock that has been set back since.
    fn is_fresh(&self, now: Timestamp) -> bool {
        self.fresh_until.is_some_and(|until| !until.has_passed(now) && until <= now.plus(FRESH))
    }
}

impl KeyList {
    pub(super) fn new(store: Store) -> Self {
        Self { store, known: Mutex::default(), flight: tokio::sync::Mutex::default() }
    }

    fn lock(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts these keys on the list.
    pub(super) async fn publish(&self, own: &[PublishedKey], now: Timestamp) -> Result<(), StoreError> {
        let keys = self.store.publish_keys(own, now).await?;
        let mut known = self.lock();
        // The others may have written since: whoever asks reads it again.
        known.fresh_until = None;
        known.writes += 1;
        known.keys = Some(keys);
        Ok(())
    }

    /// The list. One request at a time asks the store, and the others are answered with what is known. In an outage the last
    /// list stands in.
    pub(super) async fn get(&self, now: Timestamp) -> Result<Vec<PublishedKey>, StoreError> {
        let (known, failures) = {
            let known = self.lock();
            let keys = known.live(now);
            match keys {
                Some(keys) if known.is_fresh(now) => return Ok(keys),
                keys => (keys.filter(|keys| !keys.is_empty()), known.failures),
            }
        };
        let _flight = match (self.flight.try_lock(), known) {
            (Ok(flight), _) => flight,
            (Err(_), Some(known)) => return Ok(known),
            (Err(_), None) => self.flight.lock().await,
        };
        let writes = {
            let known = self.lock();
            if let Some(keys) = known.live(now).filter(|_| known.is_fresh(now)) {
                return Ok(keys);
            }
            if known.failures > failures {
                return Err(StoreError::unavailable("it could not be reached a moment ago"));
            }
            known.writes
        };
        let read = self.store.published_keys(now).await;
        let mut known = self.lock();
        match read {
            Ok(_) if known.writes > writes => known.live(now).ok_or(StoreError::Damaged("no list of keys")),
            Ok(keys) => {
                known.fresh_until = Some(now.plus(FRESH));
                known.keys = Some(keys.clone());
                Ok(keys)
            }
            Err(error) => {
                known.failures += 1;
                let Some(keys) = known.live(now).filter(|keys| !keys.is_empty()) else { return Err(error) };
                log_failure(&error);
                known.fresh_until = Some(now.plus(FRESH));
                Ok(keys)
            }
        }
    }
}
