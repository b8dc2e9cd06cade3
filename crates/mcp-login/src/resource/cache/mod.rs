//! The grants that are in use, in memory, so that verification asks nobody.
//!
//! What is kept is what the store has: hashes and what is sealed. It is a hit for as long as the store tells of changes
//! ([`Coherence`]). A hit only ever lets somebody in: what would refuse is read from the store first, so that a token that
//! another node gave out a moment ago is never refused for a change that has not arrived here.
//!
//! Two things happen at once all the time: a record is read, and it changes. The answer may then be the old record, and
//! arrive after the change was told. So whoever reads notes the record's generation before, and what has another
//! generation afterwards is not kept ([`Changes`]).

mod changes;
mod outage;
mod trust;

use std::fmt::{self, Debug};
use std::sync::Arc;
use std::time::{Duration, Instant};

use mcp_login_core::Timestamp;
use mcp_login_core::grant::{Active, Grant};
use quick_cache::Weighter;
use quick_cache::sync::Cache;
use tokio::sync::futures::Notified;

use self::changes::Changes;
pub(super) use self::changes::Generation;
use self::outage::Outage;
use self::trust::Trust;
use crate::clock::Clock;
use crate::settings::VerificationCache;
use crate::store::Store;
use crate::store::backend::StoreError;
use crate::store::records::{GRANTS, GrantId};
use crate::store::watch::Watcher;

/// What one entry counts for at least; all together weigh this for each entry that is allowed. So there are never more
/// entries than that, and fewer when they are large.
const UNIT: u64 = 4 << 10;

/// What an entry takes in memory beside the record, in bytes, at most.
const OVERHEAD: u64 = 1 << 10;

/// An entry is read anew after this long, whatever was told. It is only a net below the invalidation.
const MAX_AGE: Duration = Duration::from_secs(10 * 60);

/// How long a grant that the store did not give in time is waited for when it is known here.
const PATIENCE: Duration = Duration::from_secs(1);

/// A grant as it was read.
#[derive(Debug)]
pub(super) struct Known {
    active: Active,
    weight: u64,
    read: Instant,
    read_at: Timestamp,
}

/// The grants that are in use.
pub(crate) struct GrantCache {
    store: Store,
    clock: Arc<dyn Clock>,
    /// `None` where nothing is to be kept.
    entries: Option<Cache<u128, Arc<Known>, ByLength>>,
    changes: Changes,
    trust: Trust,
    grace: Duration,
    outage: Outage,
}

impl Debug for GrantCache {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let entries = self.entries.as_ref().map_or(0, Cache::len);
        f.debug_struct("GrantCache").field("entries", &entries).finish_non_exhaustive()
    }
}

impl GrantCache {
    pub(crate) fn new(store: Store, clock: Arc<dyn Clock>, settings: VerificationCache) -> Arc<Self> {
        let entries = (settings.entries > 0).then(|| {
            let weight = UNIT.saturating_mul(u64::try_from(settings.entries).unwrap_or(u64::MAX));
            Cache::with_weighter(settings.entries, weight, ByLength)
        });
        let cache = Arc::new(Self {
            store,
            clock,
            entries,
            changes: Changes::default(),
            trust: Trust::default(),
            grace: settings.grace,
            outage: Outage::default(),
        });
        if cache.entries.is_some() {
            let weak = Arc::downgrade(&cache);
            cache.trust.rely_on(cache.store.watch(GRANTS, weak));
        }
        cache
    }

    /// Judges an active grant, or the lack of one: by what is known here if that passes, else by what the store holds. If
    /// the store is away, what was true a short while ago may still pass.
    pub(super) async fn judge<T, E: From<StoreError>>(
        self: &Arc<Self>,
        id: &GrantId,
        judge: impl Fn(Option<&Active>) -> Result<T, E>,
    ) -> Result<T, E> {
        let known = self.known(id);
        if let Some(passed) = self.hit(known.as_deref(), &judge) {
            return Ok(passed);
        }
        match known.filter(|known| self.is_remembered(known)) {
            Some(known) => self.judge_remembered(id, &known, judge).await,
            None => judge(self.read(id).await?.as_deref().map(|known| &known.active)),
        }
    }

    /// The same for one who was let in before. There may be thousands, and none of them is in a hurry: a store that is away
    /// is not asked by all of them, also where nothing is remembered, so that it is not flooded when it comes back.
    pub(super) async fn judge_again<T, E: From<StoreError>>(
        self: &Arc<Self>,
        id: &GrantId,
        judge: impl Fn(Option<&Active>) -> Result<T, E>,
    ) -> Result<T, E> {
        let known = self.known(id);
        if let Some(passed) = self.hit(known.as_deref(), &judge) {
            return Ok(passed);
        }
        if let Some(known) = known.filter(|known| self.is_remembered(known)) {
            return self.judge_remembered(id, &known, judge).await;
        }
        self.check_may_ask()?;
        let answer = self.read(id).await;
        self.hear(&answer);
        judge(answer?.as_deref().map(|known| &known.active))
    }

    fn hit<T, E>(&self, known: Option<&Known>, judge: impl Fn(Option<&Active>) -> Result<T, E>) -> Option<T> {
        let known = known.filter(|known| self.is_hit(known))?;
        judge(Some(&known.active)).ok()
    }

    async fn judge_remembered<T, E: From<StoreError>>(
        self: &Arc<Self>,
        id: &GrantId,
        known: &Known,
        judge: impl Fn(Option<&Active>) -> Result<T, E>,
    ) -> Result<T, E> {
        match self.read_unless_away(id).await {
            Ok(read) => judge(read.as_deref().map(|known| &known.active)),
            // It lets in, or nobody knows: a refusal could be out of date.
            Err(away) => judge(Some(&known.active)).map_err(|_| away.into()),
        }
    }

    /// How often what concerns this grant has changed. What is judged after this call knows all that.
    pub(super) fn generation(&self, id: &GrantId) -> Generation {
        self.changes.of(number(id.as_str()).unwrap_or_default())
    }

    /// Ready when a change is told after this call that may be one of this grant's. Where nothing is told, never.
    pub(super) fn told(&self, id: &GrantId) -> Notified<'_> {
        self.changes.told(number(id.as_str()).unwrap_or_default())
    }

    /// A part of this time, by the grant: what is done for each of them at its own time is not done for all at once.
    pub(super) fn share(id: &GrantId, of: Duration) -> Duration {
        let millis = number(id.as_str()).unwrap_or_default() % of.as_millis().max(1);
        Duration::from_millis(u64::try_from(millis).unwrap_or_default())
    }

    fn known(&self, id: &GrantId) -> Option<Arc<Known>> {
        self.entries.as_ref()?.get(&number(id.as_str())?)
    }

    /// Whether an entry is what the store would give now.
    fn is_hit(&self, known: &Known) -> bool {
        age(known.read_at, self.clock.now()) < MAX_AGE && self.trust.covers(known.read)
    }

    /// Whether an entry was true so short a while ago that it lets in when the store is away.
    fn is_remembered(&self, known: &Known) -> bool {
        let true_at = self.trust.confirmed_at().map_or(known.read_at, |at| at.max(known.read_at));
        age(true_at, self.clock.now()) < self.grace
    }

    /// Reads an active grant from the store, and keeps it.
    async fn read(&self, id: &GrantId) -> Result<Option<Arc<Known>>, StoreError> {
        let Some(number) = number(id.as_str()) else { return Ok(None) };
        let generation = self.changes.of(number);
        let (read, read_at) = (Instant::now(), self.clock.now());
        let found = self.store.grant(id, read_at).await?;
        let Some((Grant::Active(active), length)) = found.map(|found| (found.record, found.length)) else {
            self.entries.as_ref().map(|entries| entries.remove(&number));
            return Ok(None);
        };
        let weight = OVERHEAD.saturating_add(u64::try_from(length).unwrap_or(u64::MAX)).max(UNIT);
        let known = Arc::new(Known { active: *active, weight, read, read_at });
        if let Some(entries) = &self.entries {
            entries.insert(number, Arc::clone(&known));
            // In this order: a change that is told later than this look takes the entry out itself.
            if self.changes.of(number) != generation {
                entries.remove(&number);
            }
        }
        Ok(Some(known))
    }

    /// Reads a grant that is also known here: neither waits for a store that is away, nor asks it all the time.
    async fn read_unless_away(self: &Arc<Self>, id: &GrantId) -> Result<Option<Arc<Known>>, StoreError> {
        self.check_may_ask()?;
        // Whoever has waited long enough leaves it to the store's own deadline to end the call.
        let (cache, id) = (Arc::clone(self), id.clone());
        let reading = tokio::spawn(async move { cache.read(&id).await });
        let answer = match tokio::time::timeout(PATIENCE, reading).await {
            Ok(Ok(answer)) => answer,
            Ok(Err(_)) => Err(StoreError::unavailable("the reading of the store was broken off")),
            Err(elapsed) => Err(StoreError::unavailable(elapsed)),
        };
        self.hear(&answer);
        answer
    }

    fn check_may_ask(&self) -> Result<(), StoreError> {
        let away = || StoreError::unavailable("the store was away a moment ago");
        self.outage.may_ask().then_some(()).ok_or_else(away)
    }

    /// What an answer says of an outage.
    fn hear(&self, answer: &Result<Option<Arc<Known>>, StoreError>) {
        match answer {
            Err(StoreError::Unavailable(_)) => self.outage.begins(),
            _ => self.outage.ends(),
        }
    }

    fn forget(&self, number: u128) {
        self.changes.change(number, || {
            if let Some(entries) = &self.entries {
                entries.remove(&number);
            }
        });
    }
}

impl Watcher for GrantCache {
    fn changed(&self, id: &str) {
        if let Some(number) = number(id) {
            self.forget(number);
        }
    }

    fn all_changed(&self) {
        self.changes.change_all(|| {
            if let Some(entries) = &self.entries {
                entries.clear();
            }
        });
    }

    fn confirmed(&self, at: Instant) {
        self.trust.confirm(at, self.clock.now());
    }

    fn lost(&self) {
        self.trust.end();
    }
}

/// The id of a grant as a number: a key that needs no memory of its own.
fn number(id: &str) -> Option<u128> {
    u128::from_str_radix(id, 16).ok()
}

fn age(then: Timestamp, now: Timestamp) -> Duration {
    now.until(then)
}

#[derive(Debug, Clone, Copy)]
struct ByLength;

impl Weighter<u128, Arc<Known>> for ByLength {
    fn weight(&self, _: &u128, known: &Arc<Known>) -> u64 {
        known.weight
    }
}

#[cfg(test)]
mod tests;
