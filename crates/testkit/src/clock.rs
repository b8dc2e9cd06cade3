//! A clock that stands still until a test moves it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use mcp_login::clock::Clock;
use mcp_login::core::Timestamp;

/// The moment a [`MockClock`] starts at: 2027-01-15T08:00:00Z.
const START: u64 = 1_800_000_000_000;

/// A clock that stands still until [`advance`](Self::advance). All clones show the same time.
#[derive(Debug, Clone)]
pub struct MockClock {
    millis: Arc<AtomicU64>,
}

impl MockClock {
    /// A clock at 2027-01-15T08:00:00Z.
    #[must_use]
    pub fn new() -> Self {
        Self { millis: Arc::new(AtomicU64::new(START)) }
    }

    /// Moves every clone on, by whole milliseconds.
    ///
    /// # Panics
    /// When the time leaves what 64 bits of milliseconds can tell.
    pub fn advance(&self, by: Duration) {
        let by = u64::try_from(by.as_millis()).unwrap_or(u64::MAX);
        let moved = self.millis.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |now| now.checked_add(by));
        assert!(moved.is_ok(), "the clock was moved beyond the end of time");
    }

    /// Sets every clone back, by whole milliseconds, as somebody does who sets the clock of a computer right.
    ///
    /// # Panics
    /// When that would be before 1970.
    pub fn set_back(&self, by: Duration) {
        let by = u64::try_from(by.as_millis()).unwrap_or(u64::MAX);
        let moved = self.millis.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |now| now.checked_sub(by));
        assert!(moved.is_ok(), "the clock was set back beyond the beginning of time");
    }
}

impl Default for MockClock {
    fn default() -> Self {
        Self::new()
    }
}

impl Clock for MockClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_millis(self.millis.load(Ordering::SeqCst))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clones_move_together() {
        let clock = MockClock::new();
        let other = clock.clone();
        let start = clock.now();
        other.advance(Duration::from_millis(1_500));
        assert_eq!(clock.now(), start.plus(Duration::from_millis(1_500)));
        clock.set_back(Duration::from_millis(1_500));
        assert_eq!(other.now(), start);
    }
}
