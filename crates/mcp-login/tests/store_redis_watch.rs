//! What somebody hears who watches the records of a Redis whose masters change. Needs `redis-server` 7.
#![cfg(all(feature = "redis", unix))]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod outage;

use std::sync::{Arc, Mutex, Weak};
use std::time::{Duration, Instant};

use bytes::Bytes;
use mcp_login::store::backend::{Backend, Key};
use mcp_login::store::redis::RedisBackend;
use mcp_login::store::watch::{Coherence, Watcher};
use mcp_login_testkit::redis_cluster::RedisCluster;
use mcp_login_testkit::redis_sentinel::RedisSentinel;
use mcp_login_testkit::redis_server::{RedisServer, Reply};
use outage::{FAILOVER_BOUND, end, now};

const PREFIX: &str = "mcp-login:";

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Word {
    Changed,
    AllChanged,
    Confirmed(Instant),
    Lost,
}

/// Remembers every word since it was last asked.
#[derive(Debug, Default)]
struct Recorder(Mutex<Vec<Word>>);

impl Recorder {
    fn push(&self, word: Word) {
        self.0.lock().unwrap().push(word);
    }
}

impl Watcher for Recorder {
    fn changed(&self, _: &str) {
        self.push(Word::Changed);
    }

    fn all_changed(&self) {
        self.push(Word::AllChanged);
    }

    fn confirmed(&self, at: Instant) {
        self.push(Word::Confirmed(at));
    }

    fn lost(&self) {
        self.push(Word::Lost);
    }
}

/// Somebody who watches, and to whom a first confirmation was given.
struct Watching {
    backend: Arc<dyn Backend>,
    recorder: Arc<Recorder>,
}

impl Watching {
    async fn begin(url: &str) -> Self {
        let backend: Arc<dyn Backend> = Arc::new(RedisBackend::open(url, PREFIX).unwrap());
        let recorder = Arc::new(Recorder::default());
        let weak: Weak<Recorder> = Arc::downgrade(&recorder);
        assert_eq!(backend.watch("grant", weak), Coherence::Pushed);
        let this = Self { backend, recorder };
        this.hears(is_confirmation, "a first confirmation").await;
        this.forget();
        this
    }

    fn words(&self) -> Vec<Word> {
        self.recorder.0.lock().unwrap().clone()
    }

    fn forget(&self) {
        self.recorder.0.lock().unwrap().clear();
    }

    async fn hears(&self, word: impl Fn(&Word) -> bool, what: &str) {
        let begun = Instant::now();
        while !self.words().iter().any(&word) {
            assert!(begun.elapsed() < FAILOVER_BOUND, "{what} is not heard: {:?}", self.words());
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// Hears that changes are not told, then that everything may have changed, and only then confirmations. Gives the
    /// words before the last that everything may have changed.
    async fn hears_of_new_masters(&self) -> Vec<Word> {
        self.hears(|word| *word == Word::AllChanged, "that everything may have changed").await;
        let begun = Instant::now();
        loop {
            let words = self.words();
            let at = words.iter().rposition(|word| *word == Word::AllChanged).unwrap();
            let (before, after) = words.split_at(at);
            if after.iter().any(is_confirmation) {
                let last = before.iter().rfind(|word| **word == Word::Lost || is_confirmation(word));
                assert_eq!(last, Some(&Word::Lost), "it was still trusted: {words:?}");
                return before.to_vec();
            }
            assert!(begun.elapsed() < FAILOVER_BOUND, "no confirmation: {words:?}");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// Soon only confirmations come. A change of masters may come in two steps.
    async fn is_calm(&self) {
        let begun = Instant::now();
        loop {
            self.forget();
            tokio::time::sleep(Duration::from_millis(1_500)).await;
            let words = self.words();
            if words.len() >= 2 && words.iter().all(is_confirmation) {
                return;
            }
            assert!(begun.elapsed() < FAILOVER_BOUND, "it does not become calm: {words:?}");
        }
    }

    /// What is written is told.
    async fn is_told(&self, id: &str) {
        self.forget();
        assert!(self.backend.insert(&Key::new("grant", id), Bytes::new(), end(), now()).await.unwrap());
        self.hears(|word| *word == Word::Changed, "a write").await;
        assert_eq!(self.words().iter().filter(|word| **word == Word::Changed).count(), 1, "it is told once");
    }
}

fn is_confirmation(word: &Word) -> bool {
    matches!(word, Word::Confirmed(_))
}

/// No confirmation is of a time when that server hung: nothing it could say then is true.
fn assert_not_confirmed_since(hung: Instant, words: &[Word]) {
    for word in words {
        if let Word::Confirmed(at) = word {
            assert!(*at <= hung, "confirmed for {:?} after the master began to hang", *at - hung);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_next_master_that_sentinels_name_is_followed() {
    let sentinel = RedisSentinel::start();
    let watching = Watching::begin(&sentinel.url()).await;
    watching.is_told("1").await;
    watching.is_calm().await;
    sentinel.servers()[1].wait_until_it_has_all_of(&sentinel.servers()[0]);
    watching.forget();

    sentinel.servers()[0].pause();
    let hung = Instant::now();
    assert_not_confirmed_since(hung, &watching.hears_of_new_masters().await);
    watching.is_told("2").await;
    watching.is_calm().await;
    // What the old one may still say, and that it is sent away in the end, is nothing to anybody.
    sentinel.servers()[0].resume();
    watching.is_calm().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_master_of_a_cluster_that_hangs_and_is_replaced_confirms_nothing() {
    let cluster = RedisCluster::start(3, 1);
    let watching = Watching::begin(&cluster.url()).await;
    watching.is_calm().await;
    watching.forget();
    cluster.nodes()[0].pause();
    let hung = Instant::now();
    assert_not_confirmed_since(hung, &watching.hears_of_new_masters().await);
    cluster.nodes()[0].resume();
    watching.is_calm().await;
    for id in 0..20 {
        watching.is_told(&id.to_string()).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_planned_failover_and_a_slot_that_moves_are_told_as_a_change_of_everything() {
    let cluster = RedisCluster::start(3, 1);
    let watching = Watching::begin(&cluster.url()).await;
    assert_eq!(cluster.nodes()[3].query(&["CLUSTER", "FAILOVER"]), Reply::Status("OK".to_owned()));
    watching.hears_of_new_masters().await;
    watching.is_calm().await;

    watching.forget();
    // Nothing is in it, and nobody asks for it.
    cluster.begin_to_move(16383, 2, 1);
    cluster.end_to_move(16383, 2, 1);
    watching.hears_of_new_masters().await;
    watching.is_calm().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_master_is_not_what_sentinels_say_but_what_it_is() {
    let mut sentinel = RedisSentinel::start();
    let watching = Watching::begin(&sentinel.url()).await;
    // Whoever could end its connections is away.
    sentinel.sentinels_mut()[1..].iter_mut().for_each(RedisServer::stop);
    let port = sentinel.servers()[1].port().to_string();
    sentinel.sentinels()[0].pause();
    watching.forget();
    sentinel.servers()[0].query(&["REPLICAOF", "127.0.0.1", &port]);
    watching.hears(|word| *word == Word::Lost, "that it is no master").await;
    watching.forget();
    tokio::time::sleep(Duration::from_millis(1_500)).await;
    // What is remembered stays, too: it is needed until there is a master again.
    assert!(watching.words().iter().all(|word| *word == Word::Lost), "{:?}", watching.words());
}
