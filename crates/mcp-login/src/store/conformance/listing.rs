//! What an operator's commands need: every record is listed, and a copy of one is as it was.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;

use super::{Backend, Key, MINUTE, NOW, Version, entry, inserted, new_id, new_key};
use crate::store::backend::{Entry, Swap};

/// All records of one kind, page by page. A record that two pages have is the same on both: nobody writes.
async fn listed(backend: &dyn Backend, kind: &str, limit: usize) -> BTreeMap<Key, Entry> {
    let (mut records, mut from) = (BTreeMap::new(), None);
    loop {
        let page = backend.list(from.as_ref(), limit).await.unwrap();
        for record in page.records.into_iter().filter(|record| record.key.kind() == kind) {
            let entry = record.entry.expect("none is damaged");
            if let Some(before) = records.insert(record.key, entry.clone()) {
                assert_eq!(before, entry, "two pages differ");
            }
        }
        from = page.next;
        if from.is_none() {
            return records;
        }
    }
}

/// Pages of any size have every record as it is, and a record that was removed is on none.
pub async fn every_record_is_listed(backend: Arc<dyn Backend>) {
    // A kind that no other case and no earlier run has used: the store may hold records of others.
    let kind: &'static str = format!("listed-{}", new_id()).leak();
    assert_eq!(listed(&*backend, kind, 100).await, BTreeMap::new());
    let mut expected = BTreeMap::new();
    for n in 0..250_u32 {
        let (key, end) = (Key::new(kind, &n.to_string()), NOW.plus(MINUTE * (n + 1)));
        let value = Bytes::from(format!("record {n}\0\u{ff}"));
        assert!(backend.insert(&key, value.clone(), end, NOW).await.unwrap());
        let mut version = Version::FIRST;
        for _ in 0..n % 3 {
            assert!(matches!(
                backend.swap(&key, version, value.clone(), end, NOW).await.unwrap(),
                Swap::Done(_)
            ));
            version = version.next();
        }
        if n % 10 == 0 {
            assert!(backend.delete(&key, NOW).await.unwrap());
        } else {
            expected.insert(key, Entry { version, expires_at: end, value });
        }
    }
    for limit in [7, 100, 1_000] {
        assert_eq!(listed(&*backend, kind, limit).await, expected, "in pages of {limit}");
    }
}

/// A copy has the version and the end of the record, and goes on from there.
pub async fn a_copy_is_as_it_was(backend: Arc<dyn Backend>) {
    let (key, end) = (new_key(), NOW.plus(MINUTE));
    for value in [Bytes::from_static(b"\0\xff"), Bytes::new()] {
        let copy = Entry { version: Version(258), expires_at: end, value };
        assert!(backend.restore(&key, &copy, NOW).await.unwrap());
        assert_eq!(backend.get(&key, NOW).await.unwrap(), Some(copy));
        let swap = backend.swap(&key, Version(258), Bytes::new(), end, NOW).await.unwrap();
        assert_eq!(swap, Swap::Done(Version(259)));
        assert_eq!(backend.get(&key, end).await.unwrap(), None, "it ends when it has to");
        assert!(backend.delete(&key, NOW).await.unwrap());
    }
}

/// A copy takes the place of an older writing and of an ended record, and never of the same or a newer writing.
pub async fn a_copy_undoes_nothing(backend: Arc<dyn Backend>) {
    let (key, end) = inserted(&*backend).await;
    assert!(!backend.restore(&key, &entry(1, end, b"copy"), NOW).await.unwrap(), "the same writing");
    assert!(backend.restore(&key, &entry(2, end, b"copy"), NOW).await.unwrap(), "an older one");
    assert_eq!(backend.get(&key, NOW).await.unwrap(), Some(entry(2, end, b"copy")));
    for old in [0, 1, 2] {
        assert!(!backend.restore(&key, &entry(old, end, b"old"), NOW).await.unwrap(), "version {old}");
    }
    assert!(backend.restore(&key, &entry(300, end, b"new"), NOW).await.unwrap());
    assert!(!backend.restore(&key, &entry(255, end, b"old"), NOW).await.unwrap(), "255 is before 300");
    assert_eq!(backend.get(&key, NOW).await.unwrap(), Some(entry(300, end, b"new")));
    let later = end.plus(MINUTE);
    assert!(backend.restore(&key, &entry(1, later, b"after"), end).await.unwrap(), "an ended record");
    assert_eq!(backend.get(&key, end).await.unwrap(), Some(entry(1, later, b"after")));
}
