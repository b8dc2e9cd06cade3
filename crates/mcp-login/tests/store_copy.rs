//! Moving everything from one store to another: nobody is logged out by it, and nobody who was logged out comes back.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use mcp_login::Store;
use mcp_login::clock::Clock;
use mcp_login::core::Timestamp;
use mcp_login::store::backend::{Backend, Cursor, Entry, Key, Page, StoreError, Swap, Version};
use mcp_login::store::copy::{Copied, CopyError, Progress, Target};
use mcp_login::store::memory::MemoryBackend;
use mcp_login_testkit::browser::Browser;
use mcp_login_testkit::client::{OAuthClient, Tokens};
use mcp_login_testkit::clock::MockClock;
use mcp_login_testkit::redis_server::RedisServer;
use mcp_login_testkit::server::{Options, TestServer};

const MINUTE: Duration = Duration::from_secs(60);

fn now() -> Timestamp {
    MockClock::new().now()
}

fn memory() -> (Arc<MemoryBackend>, Store) {
    let backend = Arc::new(MemoryBackend::new());
    (Arc::clone(&backend), Store::new(backend))
}

async fn copy(from: &Store, to: &Store, target: Target) -> Result<Copied, CopyError> {
    from.copy_to(to, target, now, |_| {}).await
}

async fn fill(backend: &dyn Backend, records: usize) {
    for n in 0..records {
        let (key, end) = (Key::new("grant", &n.to_string()), now().plus(MINUTE));
        assert!(backend.insert(&key, Bytes::from(n.to_string()), end, now()).await.unwrap());
    }
}

async fn everything(backend: &dyn Backend) -> BTreeMap<Key, Entry> {
    let page = backend.list(None, 100_000).await.unwrap();
    assert_eq!(page.next, None);
    page.records.into_iter().map(|record| (record.key, record.entry.unwrap())).collect()
}

/// A store that is away after so many copied records, or that answers and does something else.
#[derive(Debug, Default)]
struct Failing {
    records: MemoryBackend,
    restored: AtomicUsize,
    /// 0 is never.
    away_after: AtomicUsize,
    /// Of each so many records, one is not written; 0 is none.
    loses: usize,
    /// Of each so many records, one is written otherwise; 0 is none.
    changes: usize,
}

#[async_trait]
impl Backend for Failing {
    async fn get(&self, key: &Key, now: Timestamp) -> Result<Option<Entry>, StoreError> {
        self.records.get(key, now).await
    }

    async fn insert(
        &self,
        key: &Key,
        value: Bytes,
        end: Timestamp,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        self.records.insert(key, value, end, now).await
    }

    async fn swap(
        &self,
        key: &Key,
        expected: Version,
        value: Bytes,
        end: Timestamp,
        now: Timestamp,
    ) -> Result<Swap, StoreError> {
        self.records.swap(key, expected, value, end, now).await
    }

    async fn take(&self, key: &Key, now: Timestamp) -> Result<Option<Entry>, StoreError> {
        self.records.take(key, now).await
    }

    async fn delete(&self, key: &Key, now: Timestamp) -> Result<bool, StoreError> {
        self.records.delete(key, now).await
    }

    async fn ping(&self) -> Result<(), StoreError> {
        Ok(())
    }

    async fn list(&self, from: Option<&Cursor>, limit: usize) -> Result<Page, StoreError> {
        self.records.list(from, limit).await
    }

    async fn restore(&self, key: &Key, entry: &Entry, now: Timestamp) -> Result<bool, StoreError> {
        let count = self.restored.fetch_add(1, Ordering::SeqCst) + 1;
        let away_after = self.away_after.load(Ordering::SeqCst);
        if away_after > 0 && count > away_after {
            return Err(StoreError::unavailable("away"));
        }
        let one_of = |each: usize| each > 0 && count.is_multiple_of(each);
        if one_of(self.loses) {
            return Ok(true);
        }
        let mut entry = entry.clone();
        if one_of(self.changes) {
            entry.value = Bytes::from_static(b"another");
        }
        self.records.restore(key, &entry, now).await
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_was_logged_in_before_is_logged_in_after_it() {
    let (folder, redis) = (tempfile::tempdir().unwrap(), RedisServer::start());
    let file = Store::open(&format!("file:{}", folder.path().join("a.db").display())).await.unwrap();
    let first = TestServer::with(Options { store: file.clone(), ..Options::usual().await }).await;
    let client = OAuthClient::register(&first).await;
    let (goes_on, ends) = (client.log_in(&Browser::new()).await, client.log_in(&Browser::new()).await);
    let waiting = client.code(&Browser::new()).await;
    let form = [("token", ends.refresh.as_str()), ("client_id", client.id())];
    assert_eq!(client.form("/revoke", &form).await.status(), 200);

    let shared = Store::open(&redis.url()).await.unwrap();
    let clock = first.clock.clone();
    let copied = file.copy_to(&shared, Target::Empty, || clock.now(), |_| {}).await.unwrap();
    assert_eq!((copied.written, copied.compared), (copied.records, copied.records));
    assert_eq!((copied.removed, copied.damaged), (0, 0));

    let second = first.start_node(Options { store: shared, ..Options::usual().await }).await;
    let client = client.through(&second);
    assert_eq!(client.call("/mcp", &goes_on.access).await.status(), 200);
    assert_eq!(client.call("/mcp", &ends.access).await.status(), 401);
    let refreshed = Tokens::read(client.refresh(&goes_on.refresh, &[]).await).await;
    assert_eq!(client.call("/mcp", &refreshed.access).await.status(), 200);
    Tokens::read(client.exchange(&waiting, &[("resource", &first.mcp())]).await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_survey_counts_what_logins_leave_behind() {
    let store = Store::open("memory:").await.unwrap();
    let server = TestServer::with(Options { store: store.clone(), ..Options::usual().await }).await;
    let client = OAuthClient::register(&server).await;
    client.log_in(&Browser::new()).await;
    client.log_in(&Browser::new()).await;
    client.code(&Browser::new()).await;
    Browser::new().open(&client.authorization_url(&[])).await;
    let survey = store.survey(server.clock.now(), |_| {}).await.unwrap();
    assert_eq!(survey.people, 1, "always the same one");
    let stages = [("active", 2), ("code_issued", 1), ("pending", 1)];
    assert_eq!(survey.stages, BTreeMap::from(stages));
    assert_eq!((survey.kinds["grant"].records, survey.kinds["client"].records), (4, 1));
    assert_eq!((survey.damaged, survey.foreign, survey.unfinished_copy), (0, 0, false));
    server.clock.advance(Duration::from_secs(400 * 24 * 3600));
    let survey = store.survey(server.clock.now(), |_| {}).await.unwrap();
    assert_eq!((survey.people, survey.kinds["grant"].records), (0, 0));
    assert_eq!(survey.kinds["grant"].ended, 4);
}

#[tokio::test]
async fn records_are_as_they_were_and_what_has_ended_stays_behind() {
    let ((from, source), (to, target)) = (memory(), memory());
    fill(&*from, 1_200).await;
    let swapped = Key::new("grant", "7");
    let later = now().plus(5 * MINUTE);
    from.swap(&swapped, Version::FIRST, Bytes::from_static(b"second"), later, now()).await.unwrap();
    from.insert(&Key::new("grant", "ended"), Bytes::new(), now(), now()).await.unwrap();
    let mut heard = Vec::new();
    let copied = source.copy_to(&target, Target::Empty, now, |progress| heard.push(progress)).await.unwrap();
    let expected =
        Copied { records: 1_200, written: 1_200, ended: 1, damaged: 0, removed: 0, compared: 1_200 };
    assert_eq!(copied, expected);
    let mut wanted = everything(&*from).await;
    wanted.remove(&Key::new("grant", "ended"));
    assert_eq!(everything(&*to).await, wanted, "and nothing else: the note that it goes on is gone");
    assert_eq!(to.get(&swapped, now()).await.unwrap().unwrap().version, Version(2));
    assert_eq!(heard.first(), Some(&Progress::Copying { done: 0, about: Some(1_201) }));
    assert_eq!(heard.last(), Some(&Progress::Comparing { done: 1_200, of: 1_200 }));
}

#[tokio::test]
async fn a_copy_that_broke_off_goes_on() {
    let (from, source) = memory();
    fill(&*from, 1_000).await;
    let to = Arc::new(Failing { away_after: AtomicUsize::new(600), ..Failing::default() });
    let target = Store::new(Arc::clone(&to) as Arc<dyn Backend>);
    let broken = copy(&source, &target, Target::Empty).await;
    assert!(matches!(broken, Err(CopyError::To(StoreError::Unavailable(_)))), "{broken:?}");
    assert!(target.is_unfinished_copy(now()).await.unwrap());
    let onward = copy(&target, &source, Target::EarlierCopy).await;
    assert!(matches!(onward, Err(CopyError::Unfinished)), "half of it is no source: {onward:?}");

    // A login that ends meanwhile does not come back.
    let ended = Key::new("grant", "3");
    assert!(from.delete(&ended, now()).await.unwrap());
    assert!(to.get(&ended, now()).await.unwrap().is_some());
    to.away_after.store(0, Ordering::SeqCst);
    let copied = copy(&source, &target, Target::Empty).await.unwrap();
    assert_eq!((copied.records, copied.written, copied.removed), (999, 400, 1));
    assert_eq!(everything(&to.records).await, everything(&*from).await);
    assert!(!target.is_unfinished_copy(now()).await.unwrap());
}

#[tokio::test]
async fn a_store_in_use_is_no_target_and_an_earlier_copy_is_brought_up_to_date() {
    let ((from, source), (to, target)) = (memory(), memory());
    fill(&*from, 10).await;
    copy(&source, &target, Target::Empty).await.unwrap();
    let again = copy(&source, &target, Target::Empty).await;
    assert!(matches!(again, Err(CopyError::InUse)), "{again:?}");
    assert_eq!(everything(&*to).await, everything(&*from).await, "nothing was changed");

    let (ended, changed, new) = (Key::new("grant", "1"), Key::new("grant", "2"), Key::new("client", "3"));
    let end = now().plus(MINUTE);
    assert!(from.delete(&ended, now()).await.unwrap());
    from.swap(&changed, Version::FIRST, Bytes::from_static(b"new"), end, now()).await.unwrap();
    from.insert(&new, Bytes::new(), end, now()).await.unwrap();
    let copied = copy(&source, &target, Target::EarlierCopy).await.unwrap();
    assert_eq!((copied.records, copied.written, copied.removed), (10, 2, 1));
    assert_eq!(everything(&*to).await, everything(&*from).await);

    // What has only ended records is empty.
    let (old, oldest) = memory();
    old.insert(&ended, Bytes::new(), now(), now()).await.unwrap();
    copy(&source, &oldest, Target::Empty).await.unwrap();
}

#[tokio::test]
async fn a_target_that_does_not_have_what_it_was_given_is_found_out() {
    let (from, source) = memory();
    fill(&*from, 600).await;
    let to = Failing { loses: 100, ..Failing::default() };
    let result = copy(&source, &Store::new(Arc::new(to)), Target::Empty).await;
    // Those that are missing are not the same, either.
    assert!(
        matches!(result, Err(CopyError::Differ { records: 600, missing: 6, different: 6 })),
        "{result:?}"
    );
    let to = Failing { changes: 200, ..Failing::default() };
    let target = Store::new(Arc::new(to));
    let result = copy(&source, &target, Target::Empty).await;
    assert!(
        matches!(result, Err(CopyError::Differ { records: 600, missing: 0, different: 3 })),
        "{result:?}"
    );
    assert!(target.is_unfinished_copy(now()).await.unwrap());
}

#[tokio::test]
async fn what_cannot_be_read_stays_behind_and_is_counted() {
    let redis = RedisServer::start();
    let source = Store::open(&redis.url()).await.unwrap();
    redis.query(&["SET", "mcp-login:grant:short", "short"]);
    redis.query(&["SET", "of somebody else", "value"]);
    let (to, target) = memory();
    let copied = copy(&source, &target, Target::Empty).await.unwrap();
    assert_eq!((copied.records, copied.damaged), (0, 1));
    assert_eq!(everything(&*to).await, BTreeMap::new());
}

#[tokio::test]
async fn what_is_not_of_this_program_stays_where_it_is() {
    let ((from, source), (to, target)) = (memory(), memory());
    fill(&*from, 3).await;
    let (here, there) = (Key::new("theirs", "1"), Key::new("theirs", "2"));
    for (backend, key) in [(&from, &here), (&to, &there)] {
        assert!(backend.insert(key, Bytes::new(), now().plus(MINUTE), now()).await.unwrap());
    }
    for wanted in [Target::Empty, Target::EarlierCopy] {
        let copied = copy(&source, &target, wanted).await.unwrap();
        assert_eq!((copied.records, copied.removed), (3, 0), "{wanted:?}");
        assert!(to.get(&here, now()).await.unwrap().is_none());
        assert!(to.get(&there, now()).await.unwrap().is_some());
    }
}
