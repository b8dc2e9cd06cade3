//! One caller and one watcher: of a backend that tells of changes ([`Backend::watch`]). One that does not passes.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, Weak};
use std::time::{Duration, Instant};

use bytes::Bytes;

use super::{Backend, Key, MINUTE, NOW, Version, new_id, new_key};
use crate::store::watch::{Coherence, Watcher};

/// How soon a change is told that is not told at once.
const SOON: Duration = Duration::from_secs(1);

/// Until a connection that tells of changes is there.
const CONNECTED: Duration = Duration::from_secs(5);

/// Remembers what it was told.
#[derive(Debug, Default)]
struct Listener {
    changed: Mutex<HashSet<String>>,
    confirmed: Mutex<Option<Instant>>,
}

impl Watcher for Listener {
    fn changed(&self, id: &str) {
        self.changed.lock().unwrap().insert(id.to_owned());
    }

    fn all_changed(&self) {}

    fn confirmed(&self, at: Instant) {
        *self.confirmed.lock().unwrap() = Some(at);
    }

    fn lost(&self) {
        *self.confirmed.lock().unwrap() = None;
    }
}

impl Listener {
    fn was_told(&self, key: &Key) -> bool {
        self.changed.lock().unwrap().remove(key.id())
    }

    async fn is_told(&self, key: &Key, coherence: Coherence) -> bool {
        let begun = Instant::now();
        while coherence == Coherence::Pushed && begun.elapsed() < SOON {
            if self.was_told(key) {
                return true;
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        self.was_told(key)
    }
}

/// A watcher of the records of these cases, if changes are told at all.
async fn listen(backend: &dyn Backend) -> Option<(Arc<Listener>, Coherence)> {
    let listener = Arc::new(Listener::default());
    let weak: Weak<Listener> = Arc::downgrade(&listener);
    let coherence = backend.watch("conformance", weak);
    if coherence == Coherence::None {
        return None;
    }
    let begun = Instant::now();
    while coherence == Coherence::Pushed && listener.confirmed.lock().unwrap().is_none() {
        assert!(begun.elapsed() < CONNECTED, "nothing is ever confirmed");
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    Some((listener, coherence))
}

/// Each write that changes something is told: before its answer, or within a second, as the backend has said.
pub async fn every_write_is_told(backend: Arc<dyn Backend>) {
    let Some((listener, coherence)) = listen(&*backend).await else { return };
    for _ in 0..50 {
        let (key, end) = (new_key(), NOW.plus(MINUTE));
        let value = || Bytes::from_static(b"value");
        assert!(backend.insert(&key, value(), end, NOW).await.unwrap());
        assert!(listener.is_told(&key, coherence).await, "an insert was not told");
        backend.swap(&key, Version::FIRST, value(), end, NOW).await.unwrap();
        assert!(listener.is_told(&key, coherence).await, "a swap was not told");
        assert!(backend.take(&key, NOW).await.unwrap().is_some());
        assert!(listener.is_told(&key, coherence).await, "a take was not told");
        assert!(backend.insert(&key, value(), end, NOW).await.unwrap());
        assert!(listener.is_told(&key, coherence).await, "a second insert was not told");
        assert!(backend.delete(&key, NOW).await.unwrap());
        assert!(listener.is_told(&key, coherence).await, "a delete was not told");
    }
}

/// A watcher is told of its own kind only, and the others do not keep it from being told.
pub async fn nothing_is_told_of_other_kinds(backend: Arc<dyn Backend>) {
    let Some((listener, coherence)) = listen(&*backend).await else { return };
    let (other, end) = (Key::new("conformance-other", &new_id()), NOW.plus(MINUTE));
    assert!(backend.insert(&other, Bytes::new(), end, NOW).await.unwrap());
    let own = new_key();
    assert!(backend.insert(&own, Bytes::new(), end, NOW).await.unwrap());
    assert!(listener.is_told(&own, coherence).await, "an insert was not told");
    assert!(!listener.was_told(&other), "a watcher was told of another kind");
    assert!(backend.delete(&other, NOW).await.unwrap());
}
