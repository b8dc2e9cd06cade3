//! What every store over a network has to do when a part of it fails.
#![allow(dead_code, reason = "each test that has this module uses a part of it")]
#![allow(clippy::print_stdout, reason = "figures for whoever looks at them")]

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, Weak};
use std::time::{Duration, Instant};

use bytes::Bytes;
use mcp_login::clock::Clock;
use mcp_login::core::Timestamp;
use mcp_login::store::backend::{Backend, Key, StoreError, Version};
use mcp_login::store::watch::{Coherence, Watcher};
use mcp_login_testkit::clock::MockClock;
use tokio::task::JoinSet;

/// No call takes longer with the default options, whatever Redis does.
pub(crate) const BOUND: Duration = Duration::from_millis(2_500);

/// After a failover, the time in which the service has to be back: the nodes notice after one second.
pub(crate) const FAILOVER_BOUND: Duration = Duration::from_secs(12);

pub(crate) fn now() -> Timestamp {
    MockClock::new().now()
}

pub(crate) fn end() -> Timestamp {
    now().plus(Duration::from_secs(3600))
}

/// Never told anything.
#[derive(Debug)]
struct Nobody;

impl Watcher for Nobody {
    fn changed(&self, _: &str) {}
    fn all_changed(&self) {}
    fn confirmed(&self, _: Instant) {}
    fn lost(&self) {}
}

/// Without this the cases of the conformance suite about watchers would pass unheard.
pub(crate) fn assert_tells_of_changes(backend: &dyn Backend) {
    let nobody: Weak<Nobody> = Weak::new();
    assert_eq!(backend.watch("grant", nobody), Coherence::Pushed);
}

/// Every operation on this key answers [`StoreError::Unavailable`] in time, and so does the question whether it is ready.
pub(crate) async fn assert_unavailable(backend: &dyn Backend, key: &Key) {
    let (ping, ()) = tokio::join!(backend.ping(), assert_unavailable_but_for_ping(backend, key));
    assert!(matches!(ping, Err(StoreError::Unavailable(_))), "{ping:?}");
}

pub(crate) async fn assert_unavailable_but_for_ping(backend: &dyn Backend, key: &Key) {
    let begun = Instant::now();
    let (get, insert, swap, take, delete) = tokio::join!(
        backend.get(key, now()),
        backend.insert(key, Bytes::new(), end(), now()),
        backend.swap(key, Version::FIRST, Bytes::new(), end(), now()),
        backend.take(key, now()),
        backend.delete(key, now()),
    );
    assert!(begun.elapsed() < BOUND, "it took {:?}", begun.elapsed());
    assert!(matches!(get, Err(StoreError::Unavailable(_))), "{get:?}");
    assert!(matches!(insert, Err(StoreError::Unavailable(_))), "{insert:?}");
    assert!(matches!(swap, Err(StoreError::Unavailable(_))), "{swap:?}");
    assert!(matches!(take, Err(StoreError::Unavailable(_))), "{take:?}");
    assert!(matches!(delete, Err(StoreError::Unavailable(_))), "{delete:?}");
}

/// Waits until it says that it is ready, and does what it then has to do.
pub(crate) async fn assert_returns(backend: &dyn Backend) -> Duration {
    let begun = Instant::now();
    while let Err(error) = backend.ping().await {
        assert!(begun.elapsed() < FAILOVER_BOUND, "it does not return: {error:?}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let took = begun.elapsed();
    // On a Cluster these are on all nodes.
    for n in 0..30 {
        let key = Key::new("returned", &format!("{n}"));
        assert!(backend.insert(&key, Bytes::new(), end(), now()).await.unwrap());
        assert!(backend.take(&key, now()).await.unwrap().is_some());
    }
    took
}

/// What was acknowledged.
#[derive(Debug, Default, Clone)]
pub(crate) struct Acknowledged {
    /// Records that were written, and that nobody removes.
    pub(crate) written: BTreeSet<Key>,
    /// Records that were written, then taken: they must never be there again.
    pub(crate) taken: BTreeSet<Key>,
}

/// Eight tasks that write and take records as fast as they can.
pub(crate) struct Load {
    acknowledged: Arc<Mutex<Acknowledged>>,
    lost_while_running: Arc<Mutex<BTreeSet<Key>>>,
    failures: Arc<AtomicUsize>,
    stop: Arc<AtomicBool>,
    tasks: JoinSet<()>,
}

impl Load {
    pub(crate) fn start(backend: &Arc<dyn Backend>) -> Self {
        let mut this = Self {
            acknowledged: Arc::default(),
            lost_while_running: Arc::default(),
            failures: Arc::default(),
            stop: Arc::default(),
            tasks: JoinSet::new(),
        };
        for writer in 0..8 {
            let (backend, acknowledged) = (Arc::clone(backend), Arc::clone(&this.acknowledged));
            let (lost, failures) = (Arc::clone(&this.lost_while_running), Arc::clone(&this.failures));
            let stop = Arc::clone(&this.stop);
            this.tasks.spawn(async move {
                for n in 0.. {
                    if stop.load(Ordering::Relaxed) {
                        return;
                    }
                    let key = Key::new("load", &format!("{writer}-{n}"));
                    match step(&*backend, &key, n % 2 == 0, &acknowledged).await {
                        // More would only be more to look at afterwards.
                        Ok(true) => tokio::time::sleep(Duration::from_millis(2)).await,
                        Ok(false) => drop(lost.lock().unwrap().insert(key)),
                        Err(StoreError::Unavailable(_)) => {
                            failures.fetch_add(1, Ordering::Relaxed);
                            tokio::time::sleep(Duration::from_millis(5)).await;
                        }
                        Err(error) => panic!("{error:?}"),
                    }
                }
            });
        }
        this
    }

    pub(crate) fn acknowledged(&self) -> Acknowledged {
        self.acknowledged.lock().unwrap().clone()
    }

    /// Waits until this many more writes are acknowledged.
    pub(crate) async fn go_on(&self, more: usize) {
        let count = || self.acknowledged.lock().unwrap().written.len();
        let (begun, before) = (Instant::now(), count());
        while count() < before + more {
            assert!(begun.elapsed() < FAILOVER_BOUND, "only {} more writes", count() - before);
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// Stops, and proves what holds after a failover: nothing that `promised` names is lost, nothing that was taken is
    /// there again, and everything that the new master acknowledged is there.
    pub(crate) async fn finish(
        mut self,
        backend: &dyn Backend,
        promised: &Acknowledged,
        since: &Acknowledged,
    ) {
        self.stop.store(true, Ordering::Relaxed);
        while let Some(joined) = self.tasks.join_next().await {
            joined.unwrap();
        }
        let all = self.acknowledged();
        let (mut lost, mut again) = (0, 0);
        for key in &all.written {
            if backend.get(key, now()).await.unwrap().is_none() {
                assert!(!promised.written.contains(key), "a replicated write is lost: {key:?}");
                assert!(since.written.contains(key), "a write to the new master is lost: {key:?}");
                lost += 1;
            }
        }
        for key in &all.taken {
            if backend.take(key, now()).await.unwrap().is_some() {
                assert!(!promised.taken.contains(key), "a replicated take is undone: {key:?}");
                assert!(since.taken.contains(key), "a take at the new master is undone: {key:?}");
                again += 1;
            }
        }
        for key in self.lost_while_running.lock().unwrap().iter() {
            assert!(!promised.written.contains(key), "a replicated write was lost: {key:?}");
        }
        println!(
            "{} written, {} taken, {} calls unavailable; of those in the last moment before: {lost} lost, {again} undone",
            all.written.len(),
            all.taken.len(),
            self.failures.load(Ordering::Relaxed),
        );
    }
}

/// `false` when a write that was acknowledged was not there a moment later.
async fn step(
    backend: &dyn Backend,
    key: &Key,
    take: bool,
    acknowledged: &Mutex<Acknowledged>,
) -> Result<bool, StoreError> {
    // A key is written once, so nobody else can have been first, unless the same write was sent twice.
    assert!(backend.insert(key, Bytes::from_static(b"code"), end(), now()).await?, "sent twice: {key:?}");
    if !take {
        acknowledged.lock().unwrap().written.insert(key.clone());
        return Ok(true);
    }
    let Some(entry) = backend.take(key, now()).await? else { return Ok(false) };
    assert_eq!(entry.value, "code");
    acknowledged.lock().unwrap().taken.insert(key.clone());
    Ok(true)
}
