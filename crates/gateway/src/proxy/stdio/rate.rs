//! So many at once, and then one more every so often.

use std::time::Duration;

use tokio::time::Instant;

#[derive(Debug, Clone, Copy)]
pub(super) struct Rate {
    /// At once.
    pub(super) burst: u32,
    /// Until there is one more.
    pub(super) each: Duration,
}

/// What was taken of a rate.
#[derive(Debug, Default)]
pub(super) struct Bucket {
    /// When all of it is there again.
    full: Option<Instant>,
}

impl Bucket {
    /// Takes one, if there is one.
    pub(super) fn allows(&mut self, rate: Rate, now: Instant) -> bool {
        let full = self.full.map_or(now, |full| full.max(now)) + rate.each;
        let is_there = full <= now + rate.each * rate.burst;
        if is_there {
            self.full = Some(full);
        }
        is_there
    }

    /// Whether nothing is taken any more.
    pub(super) fn is_full(&self, now: Instant) -> bool {
        self.full.is_none_or(|full| full <= now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_and_then_one_after_another() {
        let rate = Rate { burst: 2, each: Duration::from_secs(10) };
        let (mut bucket, begin) = (Bucket::default(), Instant::now());
        let mut at = |seconds| bucket.allows(rate, begin + Duration::from_secs(seconds));
        assert_eq!(
            [at(0), at(0), at(0), at(9), at(10), at(10), at(100), at(100), at(100)],
            [true, true, false, false, true, false, true, true, false]
        );
        assert!(!bucket.is_full(begin + Duration::from_secs(119)));
        assert!(bucket.is_full(begin + Duration::from_secs(120)));
    }
}
