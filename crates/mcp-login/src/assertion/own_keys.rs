//! [`OwnKeys`]: the keys of this process, which it makes, lists and gives up.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use aws_lc_rs::error::Unspecified;
use mcp_login_core::Timestamp;

use super::AssertionError;
use super::claims::LIFETIME;
use super::key_list::KeyList;
use super::signing_key::SigningKey;
use crate::clock::Clock;
use crate::store::records::PublishedKey;
use crate::telemetry::log_failure;

/// How old a key may get before another one follows it.
const AGE: Duration = Duration::from_secs(24 * 60 * 60);

/// How long a key is listed, from the last time that its process has said so: so long it stays when the process has gone.
const LISTED: Duration = Duration::from_secs(3 * 60 * 60);

/// How often its process says so while it signs. What is left then bridges every outage in which there are tokens that are
/// still good: `outage_grace` is an hour at most. And when the list is full, what would end first gives way: so often that
/// processes that start and fail, one after the other, push each other off it, and none that lives.
const RENEWAL: Duration = Duration::from_secs(5 * 60);

/// How long the next key is listed before it signs: libraries keep a list for 5 (`PyJWT`) or 10 (`jose`) minutes.
const KNOWN_BEFORE: Duration = Duration::from_secs(15 * 60);

/// When a store that was away is asked again.
const RETRY: Duration = Duration::from_secs(30);

/// How far the clocks of those who take a key off the list may be ahead of ours.
const CLOCKS_APART: Duration = Duration::from_secs(60);

#[derive(Debug, Default)]
pub(super) struct OwnKeys {
    state: Mutex<State>,
    /// Held while the list is written.
    flight: tokio::sync::Mutex<()>,
}

#[derive(Debug, Default)]
struct State {
    /// The one that signs, and perhaps the one that follows it.
    listed: Vec<Listed>,
    /// Made, and not listed as far as we know. The store may have taken it without an answer, so it is not made anew.
    unlisted: Option<Arc<SigningKey>>,
    /// When the list has to be written again.
    due: Option<Timestamp>,
    /// Counts attempts that failed, so that a waiter knows that one failed while it waited.
    failures: u64,
}

#[derive(Debug, Clone)]
struct Listed {
    key: Arc<SigningKey>,
    since: Timestamp,
    /// When it may sign.
    from: Timestamp,
    until: Timestamp,
}

impl Listed {
    /// Whether what it signs now can be checked for as long as it is good, by whoever reads the list.
    fn is_good(&self, now: Timestamp) -> bool {
        !self.until.has_passed(now.plus(LIFETIME + CLOCKS_APART))
    }

    fn is_old(&self, now: Timestamp) -> bool {
        self.since.plus(AGE).has_passed(now)
    }
}

impl OwnKeys {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The key that signs now.
    pub(super) fn signing(&self, now: Timestamp) -> Option<Arc<SigningKey>> {
        self.lock().signing(now)
    }

    /// Whether the caller should [`tend`](Self::tend) to the keys: one of many.
    pub(super) fn takes_turn(&self, now: Timestamp) -> bool {
        let mut state = self.lock();
        let is_due = state.due.is_some_and(|due| due.has_passed(now));
        if is_due {
            state.due = Some(now.plus(RETRY));
        }
        is_due
    }

    /// Lists a key and gives it, when none is good. However many want it, the list is written once.
    pub(super) async fn obtain(
        &self,
        list: &KeyList,
        clock: &dyn Clock,
    ) -> Result<Arc<SigningKey>, AssertionError> {
        let failures = self.lock().failures;
        let _flight = self.flight.lock().await;
        if let Some(key) = self.signing(clock.now()) {
            return Ok(key);
        }
        if self.lock().failures == failures {
            self.publish(list, clock.now()).await;
        }
        self.signing(clock.now()).ok_or(AssertionError::Unavailable)
    }

    /// Moves the end of the keys on, and lists the next one in time. What fails is tried again later.
    pub(super) async fn tend(&self, list: &KeyList, clock: &dyn Clock) {
        if let Ok(_flight) = self.flight.try_lock() {
            self.publish(list, clock.now()).await;
        }
    }

    async fn publish(&self, list: &KeyList, now: Timestamp) {
        let wanted = self.lock().wanted(now);
        let Ok(wanted) = wanted else {
            self.lock().failures += 1;
            return tracing::error!("no key can be made: the system gives no random bytes");
        };
        let keys: Vec<PublishedKey> = wanted.iter().map(|own| own.key.published(own.until)).collect();
        let published = list.publish(&keys, now).await;
        let mut state = self.lock();
        match published {
            Ok(()) => {
                state.listed = wanted;
                state.unlisted = None;
                state.due = Some(now.plus(RENEWAL));
            }
            Err(error) => {
                state.failures += 1;
                state.due = Some(now.plus(RETRY));
                log_failure(&error);
            }
        }
    }

    /// A list that lacks one of them has lost it: it is put there again.
    pub(super) fn look_for_themselves_in(&self, keys: &[PublishedKey]) {
        let mut state = self.lock();
        let is_there = |own: &Listed| keys.iter().any(|key| key.kid == own.key.kid());
        if !state.listed.iter().all(is_there) {
            state.due = Some(Timestamp::from_millis(0));
        }
    }
}

impl State {
    fn signing(&mut self, now: Timestamp) -> Option<Arc<SigningKey>> {
        // From the moment at which the next one may sign, the one before it is done.
        if self.listed.get(1).is_some_and(|next| next.from.has_passed(now)) {
            self.listed.remove(0);
        }
        self.listed.iter().find(|own| own.is_good(now)).map(|own| Arc::clone(&own.key))
    }

    /// What should be on the list: what there is, with another end, and a new key where one is missing or will be.
    fn wanted(&mut self, now: Timestamp) -> Result<Vec<Listed>, Unspecified> {
        let signs = self.signing(now).is_some();
        let until = now.plus(LISTED);
        // One that nobody used for a while goes on: those who knew it know it still.
        let stays = |own: &&Listed| own.is_good(now) || !own.is_old(now);
        let mut wanted: Vec<Listed> =
            self.listed.iter().filter(stays).map(|own| Listed { until, ..own.clone() }).collect();
        if wanted.last().is_none_or(|last| last.is_old(now)) {
            let key = match &self.unlisted {
                Some(key) => Arc::clone(key),
                None => Arc::clone(self.unlisted.insert(Arc::new(SigningKey::new()?))),
            };
            let from = if signs { now.plus(KNOWN_BEFORE) } else { now };
            wanted.push(Listed { key, since: now, from, until });
        }
        Ok(wanted)
    }
}
