//! Counts the changes that are told, and wakes whoever waits for one.
//!
//! Grants share places, by the last bits of their ids, which are random. So nobody has to register, and nothing is left of
//! whoever waits no more. Of the changes of other grants one in a thousand wakes, too, for nothing.

use std::sync::atomic::{AtomicU64, Ordering};

use tokio::sync::Notify;
use tokio::sync::futures::Notified;

const PLACES: u128 = 1024;

/// How often anything that may concern a grant has changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::resource) struct Generation {
    all: u64,
    some: u64,
}

/// The changes of all grants.
pub(super) struct Changes {
    all: AtomicU64,
    places: Box<[Place]>,
}

#[derive(Default)]
struct Place {
    count: AtomicU64,
    told: Notify,
}

impl Default for Changes {
    fn default() -> Self {
        Self { all: AtomicU64::new(0), places: (0..PLACES).map(|_| Place::default()).collect() }
    }
}

impl Changes {
    fn place(&self, number: u128) -> &Place {
        let place = usize::try_from(number % PLACES).unwrap_or_default();
        &self.places[place]
    }

    pub(super) fn of(&self, number: u128) -> Generation {
        let some = self.place(number).count.load(Ordering::SeqCst);
        Generation { all: self.all.load(Ordering::SeqCst), some }
    }

    /// A change. It is counted, the old record leaves memory, and then whoever waits is woken. It is counted twice: whoever
    /// has read before the first count keeps nothing, and whoever came between the two, and may have seen the old record
    /// in memory, finds that something has changed since.
    pub(super) fn change(&self, number: u128, forget: impl FnOnce()) {
        let place = self.place(number);
        place.count.fetch_add(1, Ordering::SeqCst);
        forget();
        place.count.fetch_add(1, Ordering::SeqCst);
        place.told.notify_waiters();
    }

    /// The same of all grants.
    pub(super) fn change_all(&self, forget: impl FnOnce()) {
        self.all.fetch_add(1, Ordering::SeqCst);
        forget();
        self.all.fetch_add(1, Ordering::SeqCst);
        for place in &self.places {
            place.told.notify_waiters();
        }
    }

    /// Ready when a change of this grant, or of one in the same place, is told after this call.
    pub(super) fn told(&self, number: u128) -> Notified<'_> {
        self.place(number).told.notified()
    }
}

#[cfg(test)]
mod tests {
    use std::pin::pin;
    use std::task::{Context, Waker};

    use super::*;

    const NUMBER: u128 = 7;

    /// Makes the change, and gives what is known before the record is forgotten, while it is, and when all is done.
    fn generations(changes: &Changes, change: impl FnOnce(&Changes, &mut dyn FnMut())) -> [Generation; 3] {
        let before = changes.of(NUMBER);
        let mut meanwhile = None;
        change(changes, &mut || meanwhile = Some(changes.of(NUMBER)));
        [before, meanwhile.unwrap_or(before), changes.of(NUMBER)]
    }

    #[test]
    fn who_comes_while_a_record_is_forgotten_knows_nothing_of_the_change() {
        let changes = Changes::default();
        let of_one = generations(&changes, |changes, forget| changes.change(NUMBER, forget));
        let of_all = generations(&changes, |changes, forget| changes.change_all(forget));
        for [before, meanwhile, after] in [of_one, of_all] {
            assert_ne!(before, meanwhile, "what was read before is not kept");
            assert_ne!(meanwhile, after, "what was seen in memory is judged once more");
        }
    }

    #[test]
    fn who_waits_is_woken_when_the_record_is_forgotten() {
        type Change = fn(&Changes, &mut dyn FnMut());
        let one: Change = |changes, forget| changes.change(NUMBER, forget);
        let all: Change = |changes, forget| changes.change_all(forget);
        for change in [one, all] {
            let changes = Changes::default();
            let mut told = pin!(changes.told(NUMBER));
            let mut context = Context::from_waker(Waker::noop());
            let mut is_told = || told.as_mut().poll(&mut context).is_ready();
            assert!(!is_told());
            change(&changes, &mut || assert!(!is_told(), "not before"));
            assert!(is_told());
        }
    }
}
