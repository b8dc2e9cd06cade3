//! How somebody who keeps records in memory learns that they have changed.

use std::fmt::Debug;
use std::sync::{PoisonError, RwLock, Weak};
use std::time::Instant;

use super::backend::Key;

/// Is told of the changes to all records of one kind. Calls must be quick and must not call the store: they may come
/// from within a write.
pub trait Watcher: Debug + Send + Sync + 'static {
    /// The record of this id was written or removed, or may have been.
    fn changed(&self, id: &str);

    /// Any record may have changed unseen: what was read before this call, and what is being read, is worth nothing.
    fn all_changed(&self);

    /// Every change that the store made before this moment has been told. Only with [`Coherence::Pushed`].
    fn confirmed(&self, at: Instant);

    /// Changes are told no longer, until the next [`confirmed`](Self::confirmed). Only with [`Coherence::Pushed`].
    fn lost(&self);
}

/// What a [`Watcher`] can rely on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Coherence {
    /// Nothing: changes are not told.
    None,
    /// Every change is told before the write is answered: the store is in this process.
    Direct,
    /// Changes are told shortly after they are made, over connections that can break: [`Watcher::all_changed`] and then
    /// [`Watcher::confirmed`] when they are made, `confirmed` again each second at least, and [`Watcher::lost`] when one
    /// breaks.
    Pushed,
}

/// Those who are told of the changes that this process makes.
#[derive(Debug, Default)]
pub struct Watchers(RwLock<Vec<(&'static str, Weak<dyn Watcher>)>>);

impl Watchers {
    /// From now on this one is told, for as long as it lives, of records of this kind.
    pub fn add(&self, kind: &'static str, watcher: Weak<dyn Watcher>) {
        let mut watchers = self.0.write().unwrap_or_else(PoisonError::into_inner);
        watchers.retain(|(_, watcher)| watcher.strong_count() > 0);
        watchers.push((kind, watcher));
    }

    /// Tells that this record was written or removed, or may have been.
    pub fn changed(&self, key: &Key) {
        for (kind, watcher) in self.0.read().unwrap_or_else(PoisonError::into_inner).iter() {
            if *kind == key.kind()
                && let Some(watcher) = watcher.upgrade()
            {
                watcher.changed(key.id());
            }
        }
    }

    /// Tells of a write when it is over, however it ends, also when nobody waits for it any more.
    pub(super) fn tell_after<'a>(&'a self, key: &'a Key) -> impl Drop + 'a {
        TellAfter { watchers: self, key }
    }
}

struct TellAfter<'a> {
    watchers: &'a Watchers,
    key: &'a Key,
}

impl Drop for TellAfter<'_> {
    fn drop(&mut self) {
        self.watchers.changed(self.key);
    }
}
