#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod again;

use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Mutex, Weak};

use async_trait::async_trait;
use bytes::Bytes;
use mcp_login_core::grant::{AccessToken, Login, Sealed, SecretHash, User};
use mcp_login_core::scope::Scopes;
use tokio::sync::Notify;

use super::*;
use crate::store::backend::{Backend, Cursor, Entry, Key, Page, Swap, Version};
use crate::store::memory::MemoryBackend;
use crate::store::watch::Coherence;

const HOUR: Duration = Duration::from_secs(60 * 60);
const SECOND: Duration = Duration::from_secs(1);

#[derive(Debug, Clone, Default)]
struct TestClock(Arc<AtomicU64>);

impl TestClock {
    fn advance(&self, by: Duration) {
        self.0.fetch_add(u64::try_from(by.as_millis()).unwrap(), Ordering::SeqCst);
    }
}

impl Clock for TestClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_millis(1_800_000_000_000 + self.0.load(Ordering::SeqCst))
    }
}

/// A store on another machine: it counts its reads, can be away, and can hold an answer back.
#[derive(Debug)]
struct Remote {
    records: MemoryBackend,
    coherence: Coherence,
    reads: AtomicUsize,
    away: AtomicBool,
    held: AtomicBool,
    answer_is_ready: Notify,
    go_on: Notify,
    watcher: Mutex<Option<Weak<dyn Watcher>>>,
}

impl Remote {
    fn new(coherence: Coherence) -> Arc<Self> {
        Arc::new(Self {
            records: MemoryBackend::new(),
            coherence,
            reads: AtomicUsize::new(0),
            away: AtomicBool::new(false),
            held: AtomicBool::new(false),
            answer_is_ready: Notify::new(),
            go_on: Notify::new(),
            watcher: Mutex::new(None),
        })
    }

    fn watcher(&self) -> Arc<dyn Watcher> {
        self.watcher.lock().unwrap().as_ref().unwrap().upgrade().unwrap()
    }

    fn reads(&self) -> usize {
        self.reads.load(Ordering::SeqCst)
    }

    fn is_away(&self, away: bool) {
        self.away.store(away, Ordering::SeqCst);
    }

    fn check(&self) -> Result<(), StoreError> {
        let away = self.away.load(Ordering::SeqCst);
        if away { Err(StoreError::unavailable("away")) } else { Ok(()) }
    }
}

#[async_trait]
impl Backend for Remote {
    async fn get(&self, key: &Key, now: Timestamp) -> Result<Option<Entry>, StoreError> {
        self.reads.fetch_add(1, Ordering::SeqCst);
        self.check()?;
        let answer = self.records.get(key, now).await;
        if self.held.load(Ordering::SeqCst) {
            self.answer_is_ready.notify_one();
            self.go_on.notified().await;
        }
        answer
    }

    async fn insert(
        &self,
        key: &Key,
        value: Bytes,
        expires_at: Timestamp,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        self.check()?;
        self.records.insert(key, value, expires_at, now).await
    }

    async fn swap(
        &self,
        key: &Key,
        expected: Version,
        value: Bytes,
        expires_at: Timestamp,
        now: Timestamp,
    ) -> Result<Swap, StoreError> {
        self.check()?;
        self.records.swap(key, expected, value, expires_at, now).await
    }

    async fn take(&self, key: &Key, now: Timestamp) -> Result<Option<Entry>, StoreError> {
        self.check()?;
        self.records.take(key, now).await
    }

    async fn delete(&self, key: &Key, now: Timestamp) -> Result<bool, StoreError> {
        self.check()?;
        self.records.delete(key, now).await
    }

    async fn list(&self, from: Option<&Cursor>, limit: usize) -> Result<Page, StoreError> {
        self.records.list(from, limit).await
    }

    async fn restore(&self, key: &Key, entry: &Entry, now: Timestamp) -> Result<bool, StoreError> {
        self.records.restore(key, entry, now).await
    }

    async fn ping(&self) -> Result<(), StoreError> {
        self.check()
    }

    fn watch(&self, _: &'static str, watcher: Weak<dyn Watcher>) -> Coherence {
        *self.watcher.lock().unwrap() = Some(watcher);
        self.coherence
    }
}

/// A node, its store, and another node's way to the same store.
struct Setting {
    remote: Arc<Remote>,
    clock: TestClock,
    store: Store,
    elsewhere: Store,
    cache: Arc<GrantCache>,
}

fn setting_with(coherence: Coherence, settings: VerificationCache) -> Setting {
    let (remote, clock) = (Remote::new(coherence), TestClock::default());
    let (store, elsewhere) = (Store::new(remote.clone()), Store::new(remote.clone()));
    let cache = GrantCache::new(store.clone(), Arc::new(clock.clone()), settings);
    if coherence == Coherence::Pushed {
        cache.all_changed();
        cache.confirmed(Instant::now());
    }
    Setting { remote, clock, store, elsewhere, cache }
}

fn setting(coherence: Coherence) -> Setting {
    setting_with(coherence, VerificationCache::default())
}

fn grant(token: u8, length: usize, now: Timestamp) -> Grant {
    let login = Login {
        client_id: "client".into(),
        resource: "https://mcp.example.com/mcp".into(),
        scope: Scopes::default(),
        user: User::default(),
        realm: None,
        claims: Sealed::new(vec![0; length]),
        upstream_tokens: None,
        upstream_ended: false,
        confidential: false,
        logged_in_at: now,
    };
    let access = AccessToken {
        hash: SecretHash::new([token; 32]),
        wrapped_key: Sealed::new(vec![]),
        scope: Scopes::default(),
        expires_at: now.plus(HOUR),
        jkt: None,
    };
    Grant::Active(Box::new(Active::without_refresh_token(login, access)))
}

#[derive(Debug)]
enum Outcome {
    Refused,
    Away,
}

impl From<StoreError> for Outcome {
    fn from(_: StoreError) -> Self {
        Self::Away
    }
}

impl Setting {
    async fn log_in(&self) -> GrantId {
        let (id, now) = (GrantId::new(self.clock.now()), self.clock.now());
        assert!(self.store.insert_grant(&id, &grant(1, 100, now), now).await.unwrap());
        id
    }

    /// Whether this token of the grant is good.
    async fn present(&self, id: &GrantId, token: u8) -> Result<(), Outcome> {
        let (hash, now) = (SecretHash::new([token; 32]), self.clock.now());
        let judge = |active: Option<&Active>| {
            let good = active.is_some_and(|active| active.access_token(hash, now).is_some());
            good.then_some(()).ok_or(Outcome::Refused)
        };
        self.cache.judge(id, judge).await
    }

    async fn assert_good(&self, id: &GrantId) {
        self.present(id, 1).await.expect("the token is good");
    }

    async fn assert_refused(&self, id: &GrantId) {
        assert!(matches!(self.present(id, 1).await, Err(Outcome::Refused)));
    }

    async fn assert_away(&self, id: &GrantId) {
        assert!(matches!(self.present(id, 1).await, Err(Outcome::Away)));
    }

    /// How often the store is read for one call.
    async fn reads_of_one_call(&self, id: &GrantId) -> usize {
        let before = self.remote.reads();
        self.assert_good(id).await;
        self.remote.reads() - before
    }

    async fn revoke_elsewhere(&self, id: &GrantId) {
        assert!(self.elsewhere.end_grant(id, self.clock.now()).await.unwrap());
    }
}

#[tokio::test]
async fn a_grant_is_read_once() {
    for coherence in [Coherence::Direct, Coherence::Pushed, Coherence::None] {
        let setting = setting(coherence);
        let id = setting.log_in().await;
        assert_eq!(setting.reads_of_one_call(&id).await, 1);
        assert_eq!(setting.reads_of_one_call(&id).await, 0, "{coherence:?}");
    }
}

#[tokio::test]
async fn without_entries_every_call_reads_the_store() {
    let settings = VerificationCache { entries: 0, ..VerificationCache::default() };
    let setting = setting_with(Coherence::Direct, settings);
    let id = setting.log_in().await;
    assert_eq!(setting.reads_of_one_call(&id).await, 1);
    assert_eq!(setting.reads_of_one_call(&id).await, 1);
    setting.remote.is_away(true);
    setting.assert_away(&id).await;
}

#[tokio::test]
async fn what_this_node_writes_is_seen_before_the_write_is_answered() {
    for coherence in [Coherence::Direct, Coherence::Pushed, Coherence::None] {
        let setting = setting(coherence);
        let id = setting.log_in().await;
        setting.assert_good(&id).await;
        assert!(setting.store.end_grant(&id, setting.clock.now()).await.unwrap());
        setting.assert_refused(&id).await;

        let id = setting.log_in().await;
        setting.assert_good(&id).await;
        let next = grant(2, 100, setting.clock.now());
        setting.store.swap_grant(&id, Version::FIRST, &next, setting.clock.now()).await.unwrap();
        setting.assert_refused(&id).await;
        setting.present(&id, 2).await.unwrap();
    }
}

#[tokio::test]
async fn a_change_that_is_told_is_seen() {
    let setting = setting(Coherence::Pushed);
    let id = setting.log_in().await;
    setting.assert_good(&id).await;
    setting.revoke_elsewhere(&id).await;
    setting.assert_good(&id).await;
    setting.remote.watcher().changed(id.as_str());
    setting.assert_refused(&id).await;
}

/// The answer is on its way with the old record when the change is told.
#[tokio::test]
async fn an_answer_that_a_change_overtakes_is_not_kept() {
    type Told = fn(&dyn Watcher, &GrantId);
    let one: Told = |watcher, id| watcher.changed(id.as_str());
    let all: Told = |watcher, _| watcher.all_changed();
    for told in [one, all] {
        let setting = Arc::new(setting(Coherence::Pushed));
        let id = setting.log_in().await;
        setting.remote.held.store(true, Ordering::SeqCst);
        let reading = {
            let (setting, id) = (Arc::clone(&setting), id.clone());
            tokio::spawn(async move { setting.present(&id, 1).await })
        };
        setting.remote.answer_is_ready.notified().await;
        setting.revoke_elsewhere(&id).await;
        told(&*setting.remote.watcher(), &id);
        setting.remote.held.store(false, Ordering::SeqCst);
        setting.remote.go_on.notify_one();
        reading.await.unwrap().expect("it was read before it was revoked");
        setting.assert_refused(&id).await;
    }
}

#[tokio::test]
async fn a_token_of_another_node_is_not_refused_for_a_change_that_is_late() {
    for coherence in [Coherence::Pushed, Coherence::None] {
        let setting = setting(coherence);
        let id = setting.log_in().await;
        setting.assert_good(&id).await;
        let now = setting.clock.now();
        setting.elsewhere.swap_grant(&id, Version::FIRST, &grant(2, 100, now), now).await.unwrap();
        setting.present(&id, 2).await.expect("the store has it");
    }
}

#[tokio::test]
async fn when_changes_are_not_told_the_store_is_read() {
    let setting = setting(Coherence::Pushed);
    let id = setting.log_in().await;
    setting.assert_good(&id).await;
    let watcher = setting.remote.watcher();
    watcher.lost();
    assert_eq!(setting.reads_of_one_call(&id).await, 1);
    assert_eq!(setting.reads_of_one_call(&id).await, 1);
    setting.revoke_elsewhere(&id).await;
    setting.assert_refused(&id).await;
    watcher.all_changed();
    watcher.confirmed(Instant::now());
    setting.assert_refused(&id).await;
}

#[tokio::test]
async fn tokens_end_by_the_clock() {
    let setting = setting(Coherence::Direct);
    let id = setting.log_in().await;
    setting.assert_good(&id).await;
    setting.clock.advance(HOUR);
    setting.assert_refused(&id).await;
}

#[tokio::test]
async fn an_entry_is_read_anew_after_a_while() {
    let setting = setting(Coherence::Direct);
    let id = setting.log_in().await;
    setting.assert_good(&id).await;
    setting.clock.advance(MAX_AGE.checked_sub(SECOND).unwrap());
    assert_eq!(setting.reads_of_one_call(&id).await, 0);
    setting.clock.advance(SECOND);
    assert_eq!(setting.reads_of_one_call(&id).await, 1);
}

/// The store, and with it the connection that tells of changes, is away.
fn outage(setting: &Setting) {
    setting.remote.is_away(true);
    setting.remote.watcher().lost();
}

#[tokio::test]
async fn in_an_outage_known_tokens_go_on_for_a_while() {
    let setting = setting(Coherence::Pushed);
    let (id, unknown) = (setting.log_in().await, setting.log_in().await);
    setting.assert_good(&id).await;
    outage(&setting);
    setting.clock.advance(Duration::from_secs(59));
    setting.assert_good(&id).await;
    setting.assert_away(&unknown).await;
    assert!(matches!(setting.present(&id, 2).await, Err(Outcome::Away)), "nobody knows of other tokens");
    setting.clock.advance(SECOND);
    setting.assert_away(&id).await;
    setting.remote.is_away(false);
    setting.assert_good(&id).await;
    setting.assert_good(&unknown).await;
}

#[tokio::test]
async fn the_grace_begins_when_the_store_was_last_heard_of() {
    let setting = setting(Coherence::Pushed);
    let id = setting.log_in().await;
    setting.assert_good(&id).await;
    setting.clock.advance(Duration::from_secs(300));
    setting.remote.watcher().confirmed(Instant::now());
    outage(&setting);
    setting.clock.advance(Duration::from_secs(59));
    setting.assert_good(&id).await;
    setting.clock.advance(SECOND);
    setting.assert_away(&id).await;
}

#[tokio::test]
async fn without_grace_an_outage_ends_all() {
    let settings = VerificationCache { grace: Duration::ZERO, ..VerificationCache::default() };
    let setting = setting_with(Coherence::Pushed, settings);
    let id = setting.log_in().await;
    setting.assert_good(&id).await;
    outage(&setting);
    setting.assert_away(&id).await;
}

#[tokio::test]
async fn what_the_store_has_said_to_be_gone_is_not_revived_by_an_outage() {
    let setting = setting(Coherence::Pushed);
    let id = setting.log_in().await;
    setting.assert_good(&id).await;
    setting.remote.watcher().lost();
    setting.revoke_elsewhere(&id).await;
    setting.assert_refused(&id).await;
    setting.remote.is_away(true);
    setting.assert_away(&id).await;
}

#[tokio::test]
async fn a_store_that_is_away_is_not_asked_for_every_known_token() {
    let setting = setting(Coherence::Pushed);
    let id = setting.log_in().await;
    setting.assert_good(&id).await;
    outage(&setting);
    let before = setting.remote.reads();
    for _ in 0..100 {
        setting.assert_good(&id).await;
    }
    assert!(setting.remote.reads() - before < 10, "it was asked {} times", setting.remote.reads() - before);
}

/// The time is tokio's: nobody waits.
#[tokio::test(start_paused = true)]
async fn a_store_that_hangs_is_not_waited_for_when_the_token_is_known() {
    let setting = setting(Coherence::Pushed);
    let id = setting.log_in().await;
    setting.assert_good(&id).await;
    setting.remote.watcher().lost();
    setting.remote.held.store(true, Ordering::SeqCst);
    let begun = tokio::time::Instant::now();
    setting.assert_good(&id).await;
    assert!(begun.elapsed() <= PATIENCE + SECOND, "it took {:?}", begun.elapsed());
}

#[tokio::test]
async fn memory_is_bounded_by_number_and_by_bytes() {
    const ENTRIES: usize = 200;
    for length in [10, 20_000] {
        let settings = VerificationCache { entries: ENTRIES, ..VerificationCache::default() };
        let setting = setting_with(Coherence::Direct, settings);
        for _ in 0..3 * ENTRIES {
            let (id, now) = (GrantId::new(setting.clock.now()), setting.clock.now());
            setting.store.insert_grant(&id, &grant(1, length, now), now).await.unwrap();
            setting.assert_good(&id).await;
        }
        let entries = setting.cache.entries.as_ref().unwrap();
        assert!(entries.len() <= ENTRIES && entries.len() > 10, "{} entries", entries.len());
        assert!(entries.weight() <= ENTRIES as u64 * UNIT, "{} bytes", entries.weight());
        assert!(entries.len() * length <= ENTRIES * 4096, "{} of {length} bytes", entries.len());
    }
}
