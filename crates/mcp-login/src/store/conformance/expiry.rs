//! One caller, and time is handed in.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use mcp_login_core::Timestamp;

use super::{Backend, MINUTE, NOW, Version, entry, inserted, new_key};
use crate::store::backend::Swap;

const MILLISECOND: Duration = Duration::from_millis(1);
const MONTH: Duration = Duration::from_secs(30 * 24 * 3600);

/// When a record has ended its key is free, and the new record starts at [`Version::FIRST`].
pub async fn insert_after_the_end(backend: Arc<dyn Backend>) {
    let (key, end) = inserted(&*backend).await;
    backend.swap(&key, Version::FIRST, Bytes::from_static(b"second"), end, NOW).await.unwrap();
    let later = end.plus(MINUTE);
    assert!(!backend.insert(&key, Bytes::from_static(b"new"), later, NOW).await.unwrap());
    assert!(backend.insert(&key, Bytes::from_static(b"new"), later, end).await.unwrap());
    assert_eq!(backend.get(&key, end).await.unwrap(), Some(entry(1, later, b"new")));
}

/// To every operation a record that has ended is not there.
pub async fn ended_record_is_gone(backend: Arc<dyn Backend>) {
    let (key, end) = inserted(&*backend).await;
    assert_eq!(backend.get(&key, end).await.unwrap(), None);
    let swap = backend.swap(&key, Version::FIRST, Bytes::new(), end.plus(MINUTE), end).await.unwrap();
    assert_eq!(swap, Swap::Missing);
    assert_eq!(backend.get(&key, end).await.unwrap(), None, "a refused swap revived the record");
    assert_eq!(backend.take(&key, end).await.unwrap(), None);
    assert!(!backend.delete(&key, end).await.unwrap());
}

/// A swap can make a record end later, or sooner.
pub async fn swap_changes_the_end(backend: Arc<dyn Backend>) {
    let (key, end) = inserted(&*backend).await;
    let longer = end.plus(MONTH);
    let swap = backend.swap(&key, Version::FIRST, Bytes::from_static(b"longer"), longer, NOW).await.unwrap();
    assert_eq!(swap, Swap::Done(Version(2)));
    let after_the_first_end = end.plus(Duration::from_secs(24 * 3600));
    assert_eq!(backend.get(&key, after_the_first_end).await.unwrap(), Some(entry(2, longer, b"longer")));

    let (key, end) = inserted(&*backend).await;
    let shorter = NOW.plus(MILLISECOND);
    let swap =
        backend.swap(&key, Version::FIRST, Bytes::from_static(b"shorter"), shorter, NOW).await.unwrap();
    assert_eq!(swap, Swap::Done(Version(2)));
    assert_eq!(backend.get(&key, NOW).await.unwrap(), Some(entry(2, shorter, b"shorter")));
    assert_eq!(backend.get(&key, shorter).await.unwrap(), None);
    assert!(backend.insert(&key, Bytes::from_static(b"new"), end, shorter).await.unwrap());
    assert_eq!(backend.get(&key, shorter).await.unwrap(), Some(entry(1, end, b"new")));
}

/// A record is there one millisecond before its end and gone at it ([`Timestamp::has_passed`]), for every operation,
/// also where the two moments differ in more than their last byte, and at the end of time.
pub async fn end_is_exact(backend: Arc<dyn Backend>) {
    let ends = [
        NOW.plus(MILLISECOND),
        Timestamp::from_millis((NOW.as_millis() | 0xff) + 1),
        Timestamp::from_millis((NOW.as_millis() | 0xff_ffff) + 1),
        Timestamp::from_millis((NOW.as_millis() | 0xffff_ffff) + 1),
        Timestamp::from_millis(1 << 53),
        Timestamp::from_millis((1 << 53) + 1),
        Timestamp::from_millis(u64::MAX),
    ];
    for end in ends {
        let before = Timestamp::from_millis(end.as_millis() - 1);
        let key = new_key();
        let value = || Bytes::from_static(b"value");
        assert!(backend.insert(&key, value(), end, NOW).await.unwrap(), "{end:?}");
        assert_eq!(backend.get(&key, before).await.unwrap(), Some(entry(1, end, b"value")), "{end:?}");
        assert_eq!(backend.get(&key, end).await.unwrap(), None, "{end:?}");
        assert!(!backend.insert(&key, value(), end, before).await.unwrap(), "{end:?}");
        let swap = backend.swap(&key, Version::FIRST, value(), end, end).await.unwrap();
        assert_eq!(swap, Swap::Missing, "{end:?}");
        let swap = backend.swap(&key, Version::FIRST, value(), end, before).await.unwrap();
        assert_eq!(swap, Swap::Done(Version(2)), "{end:?}");
        assert_eq!(backend.take(&key, end).await.unwrap(), None, "{end:?}");
        assert_eq!(backend.take(&key, before).await.unwrap(), Some(entry(2, end, b"value")), "{end:?}");
    }
}

/// Records vanish as the time that is handed in moves on, with nobody waiting, and each at its own end.
pub async fn forward_time_needs_no_wait(backend: Arc<dyn Backend>) {
    let step = Duration::from_secs(3600);
    let keys: Vec<_> = (0..10).map(|_| new_key()).collect();
    let mut end = NOW;
    for key in &keys {
        end = end.plus(step);
        assert!(backend.insert(key, Bytes::from_static(b"value"), end, NOW).await.unwrap());
    }
    let mut now = NOW;
    for ended in 0..=keys.len() {
        for (n, key) in keys.iter().enumerate() {
            let there = backend.get(key, now).await.unwrap().is_some();
            assert_eq!(there, n >= ended, "record {n} after {ended} hours");
        }
        now = now.plus(step);
    }
}

/// A record may be written with an end that has passed: the write succeeds and there is nothing to read.
pub async fn written_already_ended(backend: Arc<dyn Backend>) {
    let key = new_key();
    assert!(backend.insert(&key, Bytes::from_static(b"ended"), NOW, NOW).await.unwrap());
    assert_eq!(backend.get(&key, NOW).await.unwrap(), None);

    let (key, end) = inserted(&*backend).await;
    let past = Timestamp::from_millis(0);
    let swap = backend.swap(&key, Version::FIRST, Bytes::from_static(b"ended"), past, NOW).await.unwrap();
    assert_eq!(swap, Swap::Done(Version(2)));
    assert_eq!(backend.get(&key, NOW).await.unwrap(), None);
    assert!(backend.insert(&key, Bytes::from_static(b"new"), end, NOW).await.unwrap());
}
