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

    /// Counts a change: whoever has read before keeps nothing.
    pub(super) fn next(&self, number: u128) {
        self.place(number).count.fetch_add(1, Ordering::SeqCst);
    }

    pub(super) fn next_of_all(&self) {
        self.all.fetch_add(1, Ordering::SeqCst);
    }

    /// Wakes whoever waits for the change that was counted, when the old record has left memory.
    pub(super) fn tell(&self, number: u128) {
        self.place(number).told.notify_waiters();
    }

    pub(super) fn tell_all(&self) {
        for place in &self.places {
            place.told.notify_waiters();
        }
    }

    /// Ready when a change of this grant, or of one in the same place, is told after this call.
    pub(super) fn told(&self, number: u128) -> Notified<'_> {
        self.place(number).told.notified()
    }
}
