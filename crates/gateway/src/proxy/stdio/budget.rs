//! What waits in memory for somebody to take it, of all together: bodies for a process, and messages for clients. One person
//! may have a part of it only, so that nobody fills it up for the others.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Persons at once who may have all of their part.
const PERSONS: usize = 8;

#[derive(Debug)]
pub(super) struct Budget {
    /// In bytes.
    all: usize,
    taken: Mutex<Taken>,
}

#[derive(Debug, Default)]
struct Taken {
    all: usize,
    /// All of those who are not signed in are one.
    of: HashMap<Option<String>, usize>,
}

/// The part of one person.
#[derive(Debug, Clone)]
pub(super) struct Share {
    budget: Arc<Budget>,
    pub(super) owner: Option<String>,
}

/// Bytes that are taken for as long as it is there.
#[derive(Debug)]
pub(super) struct Room {
    share: Share,
    bytes: usize,
}

impl Budget {
    pub(super) fn new(all: usize) -> Arc<Self> {
        Arc::new(Self { all, taken: Mutex::default() })
    }

    pub(super) fn share(self: &Arc<Self>, owner: Option<&str>) -> Share {
        Share { budget: Arc::clone(self), owner: owner.map(ToOwned::to_owned) }
    }

    fn taken(&self) -> MutexGuard<'_, Taken> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Share {
    /// Room for so much, if there is some.
    pub(super) fn take(&self, bytes: usize) -> Option<Room> {
        let mut room = Room { share: self.clone(), bytes: 0 };
        room.grow(bytes).then_some(room)
    }
}

impl Room {
    /// Takes so much more. Whether there was some.
    pub(super) fn grow(&mut self, bytes: usize) -> bool {
        let budget = &self.share.budget;
        let mut taken = budget.taken();
        let own = taken.of.get(&self.share.owner).copied().unwrap_or_default();
        if bytes > budget.all - taken.all || bytes > (budget.all / PERSONS).saturating_sub(own) {
            return false;
        }
        taken.all += bytes;
        taken.of.insert(self.share.owner.clone(), own + bytes);
        self.bytes += bytes;
        true
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        let mut taken = self.share.budget.taken();
        taken.all -= self.bytes;
        if let Some(own) = taken.of.get_mut(&self.share.owner) {
            *own -= self.bytes;
            if *own == 0 {
                taken.of.remove(&self.share.owner);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn there_is_so_much_for_one_and_so_much_for_all() {
        let budget = Budget::new(80);
        let names = ["a", "b", "c", "d", "e", "f", "g", "h"];
        let mut rooms: Vec<Room> = names.map(|name| budget.share(Some(name)).take(9).unwrap()).into();
        assert!(!rooms[0].grow(2) && rooms[0].grow(1));
        assert!(budget.share(Some("a")).take(1).is_none());
        assert!(budget.share(None).take(8).is_none() && budget.share(None).take(7).is_some());
        rooms.clear();
        assert!(budget.share(Some("a")).take(10).is_some());
        assert!(budget.taken().of.is_empty() && budget.taken().all == 0);
    }
}
