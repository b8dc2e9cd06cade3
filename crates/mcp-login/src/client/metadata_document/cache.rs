//! What is known of documents: in memory, a bounded number of them.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use mcp_login_core::Timestamp;
use mcp_login_core::client::Client;
use tokio::sync::OwnedMutexGuard;

use super::DocumentRefusal;

/// The most addresses that something is remembered of.
const MAX_ENTRIES: usize = 1_000;

type Outcome = Result<Arc<Client>, DocumentRefusal>;

/// Addresses and what is known of them.
#[derive(Debug, Default)]
pub(super) struct Cache(Mutex<HashMap<String, Arc<Entry>>>);

/// What is known of one address.
#[derive(Debug, Default)]
pub(super) struct Entry {
    known: Mutex<Known>,
    /// Held while fetching.
    flight: Arc<tokio::sync::Mutex<()>>,
}

#[derive(Debug, Default)]
struct Known {
    outcome: Option<(Outcome, Timestamp)>,
    for_outages: Option<(Arc<Client>, Timestamp)>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Cache {
    /// What is known of this address; a new entry may push out another.
    pub(super) fn entry(&self, client_id: &str, now: Timestamp) -> Arc<Entry> {
        let mut entries = lock(&self.0);
        if let Some(entry) = entries.get(client_id) {
            return Arc::clone(entry);
        }
        if entries.len() >= MAX_ENTRIES {
            entries.retain(|_, entry| !entry.is_of_no_use(now));
        }
        if entries.len() >= MAX_ENTRIES {
            let least = entries.iter().min_by_key(|(_, entry)| entry.worth()).map(|(id, _)| id.clone());
            entries.retain(|id, _| Some(id) != least.as_ref());
        }
        Arc::clone(entries.entry(client_id.to_owned()).or_default())
    }
}

impl Entry {
    /// What is known for now, good or bad.
    pub(super) fn fresh(&self, now: Timestamp) -> Option<Outcome> {
        match &lock(&self.known).outcome {
            Some((outcome, until)) if !until.has_passed(now) => Some(outcome.clone()),
            _ => None,
        }
    }

    /// What the document last said, when that is not long ago.
    pub(super) fn for_outages(&self, now: Timestamp) -> Option<Arc<Client>> {
        match &lock(&self.known).for_outages {
            Some((client, until)) if !until.has_passed(now) => Some(Arc::clone(client)),
            _ => None,
        }
    }

    /// Waits until nobody else fetches this document.
    pub(super) async fn take_off(&self) -> OwnedMutexGuard<()> {
        Arc::clone(&self.flight).lock_owned().await
    }

    /// Remembers what came of a fetch. A document that says something wrong has taken back what it said before.
    pub(super) fn keep(&self, outcome: Outcome, until: Timestamp) {
        let mut known = lock(&self.known);
        if matches!(outcome, Err(DocumentRefusal::Invalid(_))) {
            known.for_outages = None;
        }
        known.outcome = Some((outcome, until));
    }

    /// Remembers what a document says for when it cannot be fetched.
    pub(super) fn keep_for_outages(&self, client: Arc<Client>, until: Timestamp) {
        lock(&self.known).for_outages = Some((client, until));
    }

    fn in_flight(&self) -> bool {
        self.flight.try_lock().is_err()
    }

    fn is_of_no_use(&self, now: Timestamp) -> bool {
        !self.in_flight() && self.fresh(now).is_none() && self.for_outages(now).is_none()
    }

    /// What goes last: what is being fetched, what is good, what is good for longest.
    fn worth(&self) -> (bool, bool, Option<Timestamp>) {
        let in_flight = self.in_flight();
        let known = lock(&self.known);
        let until = known.outcome.as_ref().map(|(_, until)| *until);
        (in_flight, known.for_outages.is_some(), until)
    }
}

#[cfg(test)]
mod tests {
    use mcp_login_core::client::ClientAuthMethod;

    use super::*;

    fn at(seconds: u64) -> Timestamp {
        Timestamp::from_millis(seconds * 1000)
    }

    fn client(id: &str) -> Arc<Client> {
        Arc::new(Client {
            client_id: id.to_owned(),
            client_name: None,
            client_uri: None,
            redirect_uris: Vec::new(),
            token_endpoint_auth_method: ClientAuthMethod::None,
        })
    }

    fn len(cache: &Cache) -> usize {
        lock(&cache.0).len()
    }

    #[test]
    fn a_flood_of_failures_pushes_out_failures_and_not_clients() {
        let cache = Cache::default();
        let good = cache.entry("good", at(0));
        good.keep(Ok(client("good")), at(100));
        good.keep_for_outages(client("good"), at(1000));
        for n in 0..3 * MAX_ENTRIES {
            cache.entry(&n.to_string(), at(1)).keep(Err(DocumentRefusal::Unreachable("x")), at(61));
            assert!(len(&cache) <= MAX_ENTRIES);
        }
        assert!(Arc::ptr_eq(&good, &cache.entry("good", at(1))));
    }

    #[test]
    fn a_flood_of_clients_pushes_out_the_soonest_to_end() {
        let cache = Cache::default();
        for n in 0..2 * MAX_ENTRIES as u64 {
            let entry = cache.entry(&n.to_string(), at(0));
            entry.keep(Ok(client("x")), at(1000 + n));
            entry.keep_for_outages(client("x"), at(9000));
        }
        assert_eq!(len(&cache), MAX_ENTRIES);
        assert!(cache.entry("1500", at(1)).fresh(at(1)).is_some());
        assert!(cache.entry("3", at(1)).fresh(at(1)).is_none());
    }

    #[tokio::test]
    async fn what_is_being_fetched_stays() {
        let cache = Cache::default();
        let entry = cache.entry("slow", at(0));
        let flight = entry.take_off().await;
        for n in 0..2 * MAX_ENTRIES {
            cache.entry(&n.to_string(), at(0)).keep(Err(DocumentRefusal::Unreachable("x")), at(60));
        }
        assert!(Arc::ptr_eq(&entry, &cache.entry("slow", at(0))));
        drop(flight);
    }

    #[test]
    fn a_wrong_document_takes_back_what_it_said() {
        let entry = Entry::default();
        entry.keep(Ok(client("x")), at(10));
        entry.keep_for_outages(client("x"), at(100));
        entry.keep(Err(DocumentRefusal::Unreachable("x")), at(20));
        assert!(entry.for_outages(at(30)).is_some());
        assert!(entry.for_outages(at(100)).is_none());
        entry.keep(Err(DocumentRefusal::Invalid(mcp_login_core::OAuthError::invalid_client("x"))), at(40));
        assert!(entry.for_outages(at(50)).is_none());
    }
}
