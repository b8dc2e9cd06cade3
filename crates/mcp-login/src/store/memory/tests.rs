#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::time::Duration;

use super::*;

const SWEEP_SLACK: Duration = Duration::from_millis(SWEEP_SLACK_MILLIS);
const START: Timestamp = Timestamp::from_millis(1_800_000_000_000);

fn size(backend: &MemoryBackend) -> (usize, usize) {
    let records = backend.records.lock().unwrap();
    (records.by_key.len(), records.by_end.len())
}

#[tokio::test]
async fn ended_records_leave_in_small_steps() {
    let backend = MemoryBackend::new();
    let end = START.plus(Duration::from_secs(1));
    for n in 0..100 {
        let key = Key::new("code", &n.to_string());
        assert!(backend.insert(&key, Bytes::new(), end, START).await.unwrap());
    }
    assert_eq!(size(&backend), (100, 100));

    let nobody = Key::new("code", "nobody");
    backend.get(&nobody, end).await.unwrap();
    assert_eq!(size(&backend), (100, 100), "within the slack nothing is taken out");

    let later = end.plus(SWEEP_SLACK);
    backend.get(&nobody, later).await.unwrap();
    assert_eq!(size(&backend), (100 - SWEEP_STEP, 100 - SWEEP_STEP), "one call takes one step");
    for _ in 0..100 / SWEEP_STEP {
        backend.get(&nobody, later).await.unwrap();
    }
    assert_eq!(size(&backend), (0, 0));
}

#[tokio::test]
async fn the_index_follows_every_change() {
    let backend = MemoryBackend::new();
    let key = Key::new("grant", "1");
    let minute = START.plus(Duration::from_mins(1));
    let hour = START.plus(Duration::from_hours(1));
    backend.insert(&key, Bytes::new(), minute, START).await.unwrap();
    backend.swap(&key, Version::FIRST, Bytes::new(), hour, START).await.unwrap();
    backend.swap(&key, Version(2), Bytes::new(), hour, START).await.unwrap();
    assert_eq!(size(&backend), (1, 1));

    let after_the_first_end = minute.plus(SWEEP_SLACK);
    assert!(backend.get(&key, after_the_first_end).await.unwrap().is_some(), "it was prolonged");

    backend.delete(&key, START).await.unwrap();
    assert_eq!(size(&backend), (0, 0));
}
