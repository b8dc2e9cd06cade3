//! How long an entry is what the store holds.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use mcp_login_core::Timestamp;

use crate::store::watch::Coherence;

/// Longer than this the connection that tells of changes is not believed without a sign of life.
const BELIEVED: Duration = Duration::from_millis(2_500);

/// How long an entry is good where changes are not told.
const UNTOLD: Duration = Duration::from_millis(500);

/// What the store has said of the changes that it tells.
#[derive(Debug)]
pub(super) struct Trust {
    coherence: OnceLock<Coherence>,
    begun: Instant,
    /// Microseconds from `begun` to the last confirmation, and one; 0 when the connection is lost.
    confirmed: AtomicU64,
    /// The same by the clock, or 0; it stays when the connection is lost.
    confirmed_at: AtomicU64,
}

impl Default for Trust {
    fn default() -> Self {
        Self {
            coherence: OnceLock::new(),
            begun: Instant::now(),
            confirmed: AtomicU64::new(0),
            confirmed_at: AtomicU64::new(0),
        }
    }
}

impl Trust {
    pub(super) fn rely_on(&self, coherence: Coherence) {
        // It is said once.
        let _ = self.coherence.set(coherence);
    }

    /// Whether an entry that was read then, and is still there, is what the store holds.
    pub(super) fn covers(&self, read: Instant) -> bool {
        match self.coherence.get() {
            Some(Coherence::Direct) => true,
            Some(Coherence::Pushed) => match self.confirmed.load(Ordering::SeqCst) {
                0 => false,
                confirmed => self.begun.elapsed() < Duration::from_micros(confirmed) + BELIEVED,
            },
            Some(Coherence::None) => read.elapsed() < UNTOLD,
            None => false,
        }
    }

    /// Until when every change was told, for a connection that can break.
    pub(super) fn confirmed_at(&self) -> Option<Timestamp> {
        let millis = self.confirmed_at.load(Ordering::SeqCst);
        (millis > 0).then_some(Timestamp::from_millis(millis))
    }

    pub(super) fn confirm(&self, at: Instant, now: Timestamp) {
        let micros = at.saturating_duration_since(self.begun).as_micros();
        self.confirmed.store(u64::try_from(micros).unwrap_or(u64::MAX).max(1), Ordering::SeqCst);
        let ago = u64::try_from(at.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.confirmed_at.store(now.as_millis().saturating_sub(ago), Ordering::SeqCst);
    }

    pub(super) fn end(&self) {
        self.confirmed.store(0, Ordering::SeqCst);
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn begun_a_minute_ago(coherence: Coherence) -> Trust {
        let begun = Instant::now().checked_sub(Duration::from_secs(60)).unwrap();
        let trust = Trust { begun, ..Trust::default() };
        trust.rely_on(coherence);
        trust
    }

    fn ago(millis: u64) -> Instant {
        Instant::now().checked_sub(Duration::from_millis(millis)).unwrap()
    }

    #[test]
    fn a_connection_that_can_break_is_believed_for_a_short_time() {
        let (trust, now) = (begun_a_minute_ago(Coherence::Pushed), Timestamp::from_millis(60_000));
        assert!(!trust.covers(ago(0)), "not confirmed yet");
        trust.confirm(ago(1_000), now);
        assert!(trust.covers(ago(10_000)));
        trust.confirm(ago(2_600), now);
        assert!(!trust.covers(ago(0)), "no sign of life for too long");
        let at = trust.confirmed_at().unwrap().as_millis();
        assert!((50_000..=57_400).contains(&at), "confirmed for {at}, long before it was said");
        trust.confirm(ago(0), now);
        assert!(trust.covers(ago(0)));
        trust.end();
        assert!(!trust.covers(ago(0)));
        assert!(trust.confirmed_at().unwrap().as_millis() > at, "it stays");
    }

    #[test]
    fn what_is_not_told_is_believed_for_less_than_a_second() {
        let trust = begun_a_minute_ago(Coherence::None);
        assert!(trust.covers(ago(0)));
        assert!(!trust.covers(ago(600)));
        assert!(begun_a_minute_ago(Coherence::Direct).covers(ago(50_000)));
        assert!(!Trust::default().covers(ago(0)), "nobody has said anything yet");
    }
}
