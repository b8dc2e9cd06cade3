//! Many callers at once, each a task of its own.

use std::future::Future;
use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::Barrier;
use tokio::task::JoinSet;

use super::{Backend, Key, MINUTE, NOW, Version, inserted, new_key};
use crate::store::backend::Swap;

const RACERS: usize = 50;
const ROUNDS: usize = 5;

/// Lets `RACERS` tasks do `step` on one key at the same moment.
async fn race<T, F>(
    backend: &Arc<dyn Backend>,
    key: &Key,
    step: impl Fn(Arc<dyn Backend>, Key, usize) -> F,
) -> Vec<T>
where
    T: Send + 'static,
    F: Future<Output = T> + Send + 'static,
{
    let start = Arc::new(Barrier::new(RACERS));
    let mut tasks = JoinSet::new();
    for n in 0..RACERS {
        let start = Arc::clone(&start);
        let step = step(Arc::clone(backend), key.clone(), n);
        tasks.spawn(async move {
            start.wait().await;
            step.await
        });
    }
    tasks.join_all().await
}

fn name(n: usize) -> Bytes {
    Bytes::from(format!("racer {n}"))
}

/// Of 50 inserts of one key at once, one wins, and the record is the winner's.
pub async fn one_insert_wins(backend: Arc<dyn Backend>) {
    for _ in 0..ROUNDS {
        let key = new_key();
        let won = race(&backend, &key, |backend, key, n| async move {
            (n, backend.insert(&key, name(n), NOW.plus(MINUTE), NOW).await.unwrap())
        })
        .await;
        let winners: Vec<_> = won.into_iter().filter(|(_, won)| *won).map(|(n, _)| n).collect();
        assert_eq!(winners.len(), 1, "inserts that won");
        let read = backend.get(&key, NOW).await.unwrap().expect("somebody inserted it");
        assert_eq!((read.version, read.value), (Version::FIRST, name(winners[0])));
    }
}

/// Of 50 swaps of one version at once, one is done, and the record is the winner's.
pub async fn one_swap_wins(backend: Arc<dyn Backend>) {
    for _ in 0..ROUNDS {
        let (key, end) = inserted(&*backend).await;
        let swaps = race(&backend, &key, |backend, key, n| async move {
            (n, backend.swap(&key, Version::FIRST, name(n), end, NOW).await.unwrap())
        })
        .await;
        let winners: Vec<_> = swaps.iter().filter(|(_, swap)| *swap == Swap::Done(Version(2))).collect();
        assert_eq!(winners.len(), 1, "swaps that were done");
        let conflicts = swaps.iter().filter(|(_, swap)| *swap == Swap::Conflict).count();
        assert_eq!(conflicts, RACERS - 1, "swaps that came too late");
        let read = backend.get(&key, NOW).await.unwrap().expect("nobody removed it");
        assert_eq!((read.version, read.value), (Version(2), name(winners[0].0)));
    }
}

/// Of 50 takes at once, one gets the record.
pub async fn one_take_wins(backend: Arc<dyn Backend>) {
    for _ in 0..ROUNDS {
        let (key, _) = inserted(&*backend).await;
        let taken =
            race(&backend, &key, |backend, key, _| async move { backend.take(&key, NOW).await.unwrap() })
                .await;
        assert_eq!(taken.into_iter().flatten().count(), 1, "takes that got the record");
    }
}

/// Eight tasks count to 200 together, each by reading and swapping until it succeeds: no step is lost.
pub async fn counter_loses_no_update(backend: Arc<dyn Backend>) {
    const TASKS: usize = 8;
    const STEPS: usize = 200;
    let (key, end) = (new_key(), NOW.plus(MINUTE));
    assert!(backend.insert(&key, Bytes::from_static(b"0"), end, NOW).await.unwrap());
    let mut tasks = JoinSet::new();
    for _ in 0..TASKS {
        let (backend, key) = (Arc::clone(&backend), key.clone());
        tasks.spawn(async move {
            for _ in 0..STEPS / TASKS {
                count_one(&*backend, &key).await;
            }
        });
    }
    tasks.join_all().await;
    let read = backend.get(&key, NOW).await.unwrap().expect("nobody removed it");
    assert_eq!(read.value, STEPS.to_string().as_bytes());
    assert_eq!(read.version, Version(STEPS as u64 + 1));
}

async fn count_one(backend: &dyn Backend, key: &Key) {
    // Somebody succeeds in every round, so nobody can need more rounds than there are steps.
    for _ in 0..=200 {
        let read = backend.get(key, NOW).await.unwrap().expect("nobody removed it");
        let count: usize = std::str::from_utf8(&read.value).unwrap().parse().unwrap();
        let next = Bytes::from((count + 1).to_string());
        match backend.swap(key, read.version, next, read.expires_at, NOW).await.unwrap() {
            Swap::Done(version) => return assert_eq!(version, read.version.next()),
            Swap::Conflict => {}
            Swap::Missing => panic!("the counter vanished"),
        }
    }
    panic!("201 conflicts for 200 steps: swaps conflict that nobody won");
}
