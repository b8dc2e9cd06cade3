//! Whether the store was away a moment ago, so that not every request waits for it.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::time::Instant;

/// How often a store that is away is asked again, by one request.
const PAUSE: Duration = Duration::from_secs(1);

#[derive(Debug)]
pub(super) struct Outage {
    begun: Instant,
    /// Microseconds from `begun` until somebody may ask again; 0 when the store is there.
    ask_again: AtomicU64,
}

impl Default for Outage {
    fn default() -> Self {
        Self { begun: Instant::now(), ask_again: AtomicU64::new(0) }
    }
}

impl Outage {
    fn micros(&self, more: Duration) -> u64 {
        u64::try_from((self.begun.elapsed() + more).as_micros()).unwrap_or(u64::MAX)
    }

    /// Everybody may while the store is there; while it is away, one after each pause.
    pub(super) fn may_ask(&self) -> bool {
        let ask_again = self.ask_again.load(Ordering::SeqCst);
        if ask_again == 0 {
            return true;
        }
        let next = self.micros(PAUSE);
        self.micros(Duration::ZERO) >= ask_again
            && self.ask_again.compare_exchange(ask_again, next, Ordering::SeqCst, Ordering::SeqCst).is_ok()
    }

    pub(super) fn begins(&self) {
        if self.ask_again.swap(self.micros(PAUSE), Ordering::SeqCst) == 0 {
            tracing::warn!("the store is away: tokens that were verified a short while ago are still good");
        }
    }

    pub(super) fn ends(&self) {
        if self.ask_again.swap(0, Ordering::SeqCst) != 0 {
            tracing::info!("the store is back");
        }
    }
}
