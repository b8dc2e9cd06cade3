//! What is known of documents: in memory, a bounded number of them.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use mcp_login_core::Timestamp;
use tokio::sync::OwnedMutexGuard;

use super::Refusal;

type Outcome<T> = Result<Arc<T>, Refusal>;

/// Addresses and what is known of them.
#[derive(Debug)]
pub(super) struct Cache<T> {
    entries: Mutex<HashMap<String, Arc<Entry<T>>>>,
    /// The most addresses that something is remembered of.
    capacity: usize,
}

/// What is known of one address.
#[derive(Debug)]
pub(crate) struct Entry<T> {
    known: Mutex<Known<T>>,
    /// Held while fetching.
    flight: Arc<tokio::sync::Mutex<()>>,
}

#[derive(Debug)]
struct Known<T> {
    outcome: Option<(Outcome<T>, Timestamp)>,
    for_outages: Option<(Arc<T>, Timestamp)>,
    /// What is known is not what the address said last.
    stands_in: bool,
    /// When a fetch may be asked for again, whatever is known.
    next_forced: Option<Timestamp>,
    /// When somebody last wanted it.
    asked_at: Option<Timestamp>,
}

impl<T> Default for Entry<T> {
    fn default() -> Self {
        let known =
            Known { outcome: None, for_outages: None, stands_in: false, next_forced: None, asked_at: None };
        Self { known: Mutex::new(known), flight: Arc::default() }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl<T> Cache<T> {
    /// For this many addresses.
    pub(super) fn new(capacity: usize) -> Self {
        Self { entries: Mutex::default(), capacity }
    }

    /// What is known of this address; a new entry may push out another.
    pub(super) fn entry(&self, address: &str, now: Timestamp) -> Arc<Entry<T>> {
        let mut entries = lock(&self.entries);
        if let Some(entry) = entries.get(address) {
            lock(&entry.known).asked_at = Some(now);
            return Arc::clone(entry);
        }
        if entries.len() >= self.capacity {
            entries.retain(|_, entry| !entry.is_of_no_use(now));
        }
        if entries.len() >= self.capacity {
            let least = entries.iter().min_by_key(|(_, entry)| entry.worth()).map(|(id, _)| id.clone());
            entries.retain(|id, _| Some(id) != least.as_ref());
        }
        let entry = entries.entry(address.to_owned()).or_default();
        lock(&entry.known).asked_at = Some(now);
        Arc::clone(entry)
    }
}

impl<T> Entry<T> {
    /// What is known for now, good or bad.
    pub(super) fn fresh(&self, now: Timestamp) -> Option<Outcome<T>> {
        match &lock(&self.known).outcome {
            Some((outcome, until)) if !until.has_passed(now) => Some(outcome.clone()),
            _ => None,
        }
    }

    /// Whether something newer may be asked for though there is something known.
    pub(super) fn may_force(&self, now: Timestamp) -> bool {
        lock(&self.known).next_forced.is_none_or(|next| next.has_passed(now))
    }

    /// Something newer is asked for: once in `interval`, for anybody can say that what is known is not enough.
    pub(super) fn force(&self, interval: Duration, now: Timestamp) {
        lock(&self.known).next_forced = Some(now.plus(interval));
    }

    /// What the document last said, when that is not long ago.
    pub(super) fn for_outages(&self, now: Timestamp) -> Option<Arc<T>> {
        match &lock(&self.known).for_outages {
            Some((said, until)) if !until.has_passed(now) => Some(Arc::clone(said)),
            _ => None,
        }
    }

    /// Waits until nobody else fetches this document.
    pub(super) async fn take_off(&self) -> OwnedMutexGuard<()> {
        Arc::clone(&self.flight).lock_owned().await
    }

    /// Remembers what came of a fetch. A document that says something wrong has taken back what it said before.
    pub(super) fn keep(&self, outcome: Outcome<T>, until: Timestamp) {
        let mut known = lock(&self.known);
        if matches!(outcome, Err(Refusal::Invalid(_))) {
            known.for_outages = None;
        }
        known.outcome = Some((outcome, until));
        known.stands_in = false;
    }

    /// Remembers what stands in for a document that cannot be fetched.
    pub(super) fn keep_stand_in(&self, said: Arc<T>, until: Timestamp) {
        let mut known = lock(&self.known);
        known.outcome = Some((Ok(said), until));
        known.stands_in = true;
    }

    /// Whether something stands in for what cannot be fetched now.
    pub(super) fn is_stand_in(&self) -> bool {
        lock(&self.known).stands_in
    }

    /// Remembers what a document says for when it cannot be fetched.
    pub(super) fn keep_for_outages(&self, said: Arc<T>, until: Timestamp) {
        lock(&self.known).for_outages = Some((said, until));
    }

    fn in_flight(&self) -> bool {
        self.flight.try_lock().is_err()
    }

    fn is_of_no_use(&self, now: Timestamp) -> bool {
        !self.in_flight() && self.fresh(now).is_none() && self.for_outages(now).is_none()
    }

    /// What goes last: what is being fetched, what is good, what was asked for last. How long something may be used says
    /// nothing: whoever publishes it chooses that.
    fn worth(&self) -> (bool, bool, Option<Timestamp>) {
        let in_flight = self.in_flight();
        let known = lock(&self.known);
        (in_flight, known.for_outages.is_some(), known.asked_at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MAX_ENTRIES: usize = 100;

    fn at(seconds: u64) -> Timestamp {
        Timestamp::from_millis(seconds * 1000)
    }

    fn cache() -> Cache<&'static str> {
        Cache::new(MAX_ENTRIES)
    }

    fn len(cache: &Cache<&'static str>) -> usize {
        lock(&cache.entries).len()
    }

    #[test]
    fn a_flood_of_failures_pushes_out_failures_and_not_clients() {
        let cache = cache();
        let good = cache.entry("good", at(0));
        good.keep(Ok(Arc::new("good")), at(100));
        good.keep_for_outages(Arc::new("good"), at(1000));
        for n in 0..3 * MAX_ENTRIES {
            cache.entry(&n.to_string(), at(1)).keep(Err(Refusal::Unreachable("x")), at(61));
            assert!(len(&cache) <= MAX_ENTRIES);
        }
        assert!(Arc::ptr_eq(&good, &cache.entry("good", at(1))));
    }

    #[test]
    fn a_flood_of_clients_pushes_out_what_nobody_has_wanted_for_longest() {
        let cache = cache();
        for n in 0..3 * MAX_ENTRIES as u64 {
            // Strangers say that theirs is good for days; the one that is in use says an hour.
            let entry = cache.entry(&n.to_string(), at(n));
            entry.keep(Ok(Arc::new("x")), at(90_000));
            entry.keep_for_outages(Arc::new("x"), at(90_000));
            let used = cache.entry("used", at(n));
            if n == 0 {
                used.keep(Ok(Arc::new("used")), at(3600));
                used.keep_for_outages(Arc::new("used"), at(3600));
            }
            assert!(used.fresh(at(n)).is_some(), "{n}");
        }
        assert_eq!(len(&cache), MAX_ENTRIES);
        assert!(cache.entry("299", at(300)).fresh(at(300)).is_some());
        assert!(cache.entry("150", at(300)).fresh(at(300)).is_none());
    }

    #[tokio::test]
    async fn what_is_being_fetched_stays() {
        let cache = cache();
        let entry = cache.entry("slow", at(0));
        let flight = entry.take_off().await;
        for n in 0..2 * MAX_ENTRIES {
            cache.entry(&n.to_string(), at(0)).keep(Err(Refusal::Unreachable("x")), at(60));
        }
        assert!(Arc::ptr_eq(&entry, &cache.entry("slow", at(0))));
        drop(flight);
    }

    #[test]
    fn a_wrong_document_takes_back_what_it_said() {
        let entry = Entry::default();
        entry.keep(Ok(Arc::new("x")), at(10));
        entry.keep_for_outages(Arc::new("x"), at(100));
        entry.keep(Err(Refusal::Unreachable("x")), at(20));
        assert!(entry.for_outages(at(30)).is_some());
        assert!(entry.for_outages(at(100)).is_none());
        entry.keep(Err(Refusal::Invalid(mcp_login_core::OAuthError::invalid_client("x"))), at(40));
        assert!(entry.for_outages(at(50)).is_none());
    }

    #[test]
    fn a_newer_one_may_be_asked_for_now_and_then() {
        let entry = Entry::<&str>::default();
        let interval = Duration::from_secs(30);
        assert!(entry.may_force(at(1)));
        assert!(entry.may_force(at(1)), "asking is not doing");
        entry.force(interval, at(1));
        assert!(!entry.may_force(at(30)));
        assert!(entry.may_force(at(31)));
    }
}
