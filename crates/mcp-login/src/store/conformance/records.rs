//! One caller, and time stands still.

use std::sync::Arc;

use bytes::Bytes;

use super::{Backend, Key, MINUTE, NOW, Version, entry, inserted, new_id, new_key};
use crate::store::backend::Swap;

/// [`Backend::ping`] succeeds.
pub async fn ping_answers(backend: Arc<dyn Backend>) {
    backend.ping().await.unwrap();
}

/// Empty, binary and 64 KiB values come back byte for byte, from `get`, after `swap`, and from `take`.
pub async fn round_trip(backend: Arc<dyn Backend>) {
    let every_byte: Bytes = (0..=u8::MAX).collect();
    let large: Bytes = (0..=u8::MAX).cycle().take(64 * 1024).collect();
    let values =
        [Bytes::new(), Bytes::from_static(b"\0"), Bytes::from_static(b"\r\n\xff\xfe$-1"), every_byte, large];
    for value in values {
        let (key, end) = (new_key(), NOW.plus(MINUTE));
        assert_eq!(backend.get(&key, NOW).await.unwrap(), None);
        assert!(backend.insert(&key, value.clone(), end, NOW).await.unwrap());
        let read = backend.get(&key, NOW).await.unwrap().expect("inserted, so it is there");
        assert_eq!((&read.value, read.version, read.expires_at), (&value, Version::FIRST, end));

        let longer = [&value[..], b"+"].concat();
        let swap = backend.swap(&key, Version::FIRST, longer.clone().into(), end, NOW).await.unwrap();
        assert_eq!(swap, Swap::Done(Version(2)));
        assert_eq!(backend.get(&key, NOW).await.unwrap().expect("swapped").value, longer);
        assert_eq!(backend.take(&key, NOW).await.unwrap().expect("still there").value, longer);
    }
}

/// Two records of the same id and different kinds know nothing of each other.
pub async fn keys_of_different_kind(backend: Arc<dyn Backend>) {
    let (id, end) = (new_id(), NOW.plus(MINUTE));
    let (grant, client) = (Key::new("grant", &id), Key::new("client", &id));
    assert!(backend.insert(&grant, Bytes::from_static(b"grant"), end, NOW).await.unwrap());
    assert_eq!(backend.get(&client, NOW).await.unwrap(), None);
    assert!(backend.insert(&client, Bytes::from_static(b"client"), end, NOW).await.unwrap());
    assert!(backend.delete(&grant, NOW).await.unwrap());
    assert_eq!(backend.get(&client, NOW).await.unwrap(), Some(entry(1, end, b"client")));
}

/// A second insert is refused and changes nothing; after a delete the key is free again.
pub async fn insert_if_absent(backend: Arc<dyn Backend>) {
    let (key, end) = inserted(&*backend).await;
    let later = end.plus(MINUTE);
    assert!(!backend.insert(&key, Bytes::from_static(b"second"), later, NOW).await.unwrap());
    assert_eq!(backend.get(&key, NOW).await.unwrap(), Some(entry(1, end, b"first")));

    assert!(backend.delete(&key, NOW).await.unwrap());
    assert!(backend.insert(&key, Bytes::from_static(b"second"), later, NOW).await.unwrap());
    assert_eq!(backend.get(&key, NOW).await.unwrap(), Some(entry(1, later, b"second")));
}

/// A record starts at [`Version::FIRST`] and every swap makes the next version.
pub async fn versions_count_up(backend: Arc<dyn Backend>) {
    let (key, end) = inserted(&*backend).await;
    let mut version = Version::FIRST;
    for _ in 0..300 {
        let swap = backend.swap(&key, version, Bytes::from_static(b"next"), end, NOW).await.unwrap();
        assert_eq!(swap, Swap::Done(version.next()));
        version = version.next();
    }
    assert_eq!(backend.get(&key, NOW).await.unwrap(), Some(entry(301, end, b"next")));
}

/// A swap of any version but the record's own is a conflict and changes nothing.
pub async fn swap_of_a_stale_version(backend: Arc<dyn Backend>) {
    let (key, end) = inserted(&*backend).await;
    let swap = backend.swap(&key, Version::FIRST, Bytes::from_static(b"second"), end, NOW).await.unwrap();
    assert_eq!(swap, Swap::Done(Version(2)));
    for stale in [0, 1, 3, 258, u64::MAX] {
        let value = Bytes::from_static(b"stale");
        let swap = backend.swap(&key, Version(stale), value, end.plus(MINUTE), NOW).await.unwrap();
        assert_eq!(swap, Swap::Conflict, "version {stale} against 2");
    }
    assert_eq!(backend.get(&key, NOW).await.unwrap(), Some(entry(2, end, b"second")));
}

/// A swap of what never was, was deleted or was taken answers [`Swap::Missing`] and makes nothing.
pub async fn swap_of_a_missing_record(backend: Arc<dyn Backend>) {
    let never = new_key();
    let (deleted, end) = inserted(&*backend).await;
    assert!(backend.delete(&deleted, NOW).await.unwrap());
    let (taken, _) = inserted(&*backend).await;
    assert!(backend.take(&taken, NOW).await.unwrap().is_some());
    for key in [never, deleted, taken] {
        let swap = backend.swap(&key, Version::FIRST, Bytes::new(), end, NOW).await.unwrap();
        assert_eq!(swap, Swap::Missing);
        assert_eq!(backend.get(&key, NOW).await.unwrap(), None);
    }
}

/// The first take gets the record as it was last written, the second nothing.
pub async fn take_once(backend: Arc<dyn Backend>) {
    let (key, end) = inserted(&*backend).await;
    backend.swap(&key, Version::FIRST, Bytes::from_static(b"second"), end, NOW).await.unwrap();
    assert_eq!(backend.take(&key, NOW).await.unwrap(), Some(entry(2, end, b"second")));
    assert_eq!(backend.take(&key, NOW).await.unwrap(), None);
    assert_eq!(backend.get(&key, NOW).await.unwrap(), None);
    assert_eq!(backend.take(&new_key(), NOW).await.unwrap(), None);
}

/// A delete says whether there was a record, and there is none after it.
pub async fn delete_removes(backend: Arc<dyn Backend>) {
    let (key, _) = inserted(&*backend).await;
    assert!(backend.delete(&key, NOW).await.unwrap());
    assert_eq!(backend.get(&key, NOW).await.unwrap(), None);
    assert!(!backend.delete(&key, NOW).await.unwrap());
    assert!(!backend.delete(&new_key(), NOW).await.unwrap());
}
