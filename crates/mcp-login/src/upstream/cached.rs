//! [`Cached`]: a fetched document, kept for an hour, fetched once however many wait for it.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use mcp_login_core::Timestamp;

use super::error::UpstreamError;

/// How long a document is used without asking again.
const FRESH: Duration = Duration::from_secs(3600);
/// How long an old document may stand in while the service cannot be reached: an outage of a discovery document is no
/// reason to turn people away.
const USABLE: Duration = Duration::from_secs(24 * 3600);
/// How long the old document stands in before the service is asked again.
const RETRY: Duration = Duration::from_secs(60);
/// The least time between two fetches that a caller forces; anybody can make up a `kid`.
const FORCED_INTERVAL: Duration = Duration::from_secs(30);

#[derive(Debug)]
pub(super) struct Cached<T> {
    state: Mutex<State<T>>,
    /// Held while fetching.
    flight: tokio::sync::Mutex<()>,
}

#[derive(Debug)]
struct State<T> {
    value: Option<Arc<T>>,
    /// Usable without asking until then.
    fresh_until: Timestamp,
    /// Usable when asking fails until then.
    usable_until: Timestamp,
    next_forced: Timestamp,
    /// Counts fetches that ended, so that a waiter knows that one ended while it waited.
    fetches: u64,
    failure: Option<UpstreamError>,
}

impl<T> Default for Cached<T> {
    fn default() -> Self {
        let start = Timestamp::from_millis(0);
        Self {
            state: Mutex::new(State {
                value: None,
                fresh_until: start,
                usable_until: start,
                next_forced: start,
                fetches: 0,
                failure: None,
            }),
            flight: tokio::sync::Mutex::new(()),
        }
    }
}

impl<T> Cached<T> {
    /// The document, fetched when there is none or it is old. A failure is not remembered, but it is given to everybody
    /// who was waiting for this fetch: no queue of calls that each time out in turn.
    pub(super) async fn get(
        &self,
        now: Timestamp,
        fetch: impl Future<Output = Result<T, UpstreamError>>,
    ) -> Result<Arc<T>, UpstreamError> {
        let seen = match self.fresh(now) {
            Ok(value) => return Ok(value),
            Err(fetches) => fetches,
        };
        let _flight = self.flight.lock().await;
        if let Ok(value) = self.fresh(now) {
            return Ok(value);
        }
        if let Some(failure) = self.failed_since(seen) {
            return Err(failure);
        }
        let result = fetch.await;
        self.store(now, result)
    }

    /// The document, fetched again because `old` did not hold what was looked for. At most one such fetch in 30 s; in
    /// between `old` comes back.
    pub(super) async fn get_newer(
        &self,
        old: Arc<T>,
        now: Timestamp,
        fetch: impl Future<Output = Result<T, UpstreamError>>,
    ) -> Result<Arc<T>, UpstreamError> {
        let _flight = self.flight.lock().await;
        {
            let mut state = self.lock();
            if let Some(value) = &state.value
                && !Arc::ptr_eq(value, &old)
            {
                return Ok(Arc::clone(value));
            }
            if !state.next_forced.has_passed(now) {
                return Ok(old);
            }
            state.next_forced = now.plus(FORCED_INTERVAL);
        }
        let result = fetch.await;
        self.store(now, result)
    }

    fn lock(&self) -> MutexGuard<'_, State<T>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn fresh(&self, now: Timestamp) -> Result<Arc<T>, u64> {
        let state = self.lock();
        match &state.value {
            Some(value) if !state.fresh_until.has_passed(now) => Ok(Arc::clone(value)),
            _ => Err(state.fetches),
        }
    }

    fn failed_since(&self, seen: u64) -> Option<UpstreamError> {
        let state = self.lock();
        if state.fetches > seen { state.failure.clone() } else { None }
    }

    fn store(&self, now: Timestamp, result: Result<T, UpstreamError>) -> Result<Arc<T>, UpstreamError> {
        let mut state = self.lock();
        state.fetches += 1;
        match result {
            Ok(value) => {
                let value = Arc::new(value);
                state.value = Some(Arc::clone(&value));
                state.fresh_until = now.plus(FRESH);
                state.usable_until = now.plus(USABLE);
                state.failure = None;
                Ok(value)
            }
            Err(error @ UpstreamError::Unavailable { .. }) if !state.usable_until.has_passed(now) => {
                state.fresh_until = now.plus(RETRY);
                state.value.clone().ok_or(error)
            }
            Err(error) => {
                state.failure = Some(error.clone());
                Err(error)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;

    fn at(seconds: u64) -> Timestamp {
        Timestamp::from_millis(seconds * 1000)
    }

    fn down() -> impl Future<Output = Result<u32, UpstreamError>> {
        std::future::ready(Err(UpstreamError::unavailable("down")))
    }

    #[tokio::test]
    async fn an_hour_is_kept_and_an_outage_bridged_for_a_day() {
        let cached = Cached::default();
        assert_eq!(*cached.get(at(10), async { Ok(1) }).await.unwrap(), 1);
        assert_eq!(*cached.get(at(3609), async { Ok(2) }).await.unwrap(), 1);
        assert_eq!(*cached.get(at(3610), down()).await.unwrap(), 1);
        assert_eq!(*cached.get(at(3669), async { Ok(3) }).await.unwrap(), 1, "asked again too soon");
        assert_eq!(*cached.get(at(3670), async { Ok(4) }).await.unwrap(), 4);
        assert!(cached.get(at(3670 + 24 * 3600), down()).await.is_err());
    }

    #[tokio::test]
    async fn a_failure_is_not_remembered() {
        let cached = Cached::default();
        assert!(cached.get(at(1), down()).await.is_err());
        assert_eq!(*cached.get(at(1), async { Ok(1) }).await.unwrap(), 1);
    }

    #[tokio::test]
    async fn a_forced_fetch_is_rate_limited() {
        let cached = Cached::default();
        let first = cached.get(at(1), async { Ok(1) }).await.unwrap();
        let second = cached.get_newer(Arc::clone(&first), at(1), async { Ok(2) }).await.unwrap();
        assert_eq!(*second, 2);
        assert_eq!(*cached.get_newer(first, at(1), async { Ok(3) }).await.unwrap(), 2, "already newer");
        let third = cached.get_newer(second, at(30), async { Ok(3) }).await.unwrap();
        assert_eq!(*third, 2, "too soon");
        assert_eq!(*cached.get_newer(third, at(31), async { Ok(3) }).await.unwrap(), 3);
    }

    #[tokio::test]
    async fn waiters_share_one_fetch_and_its_failure() {
        let cached = Cached::<u32>::default();
        let calls = AtomicU32::new(0);
        let failing = || async {
            calls.fetch_add(1, Ordering::Relaxed);
            tokio::task::yield_now().await;
            Err(UpstreamError::unavailable("down"))
        };
        let (a, b, c) = tokio::join!(
            cached.get(at(1), failing()),
            cached.get(at(1), failing()),
            cached.get(at(1), failing())
        );
        assert!(a.is_err() && b.is_err() && c.is_err());
        assert_eq!(calls.load(Ordering::Relaxed), 1);
    }
}
