//! Going through everything in a store.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::ops::ControlFlow;

use super::backend::{Backend, Page, StoreError};

/// How many records one page of a listing is asked for.
const PAGE: usize = 500;

/// Shows every page, one after the other, until `see` does not go on. `failed` is for what the store fails of.
pub(super) async fn each_page<E>(
    backend: &dyn Backend,
    failed: impl Fn(StoreError) -> E,
    mut see: impl AsyncFnMut(Page) -> Result<ControlFlow<()>, E>,
) -> Result<(), E> {
    let mut from = None;
    loop {
        let mut page = backend.list(from.as_ref(), PAGE).await.map_err(&failed)?;
        from = page.next.take();
        if see(page).await?.is_break() || from.is_none() {
            return Ok(());
        }
    }
}

/// Names that were seen, each with something: a listing may show a record twice. A name is held as a hash of 64 bits, keyed
/// anew each time, so it takes some 40 bytes whatever its length.
#[derive(Debug)]
pub(super) struct Seen<T> {
    hasher: RandomState,
    numbers: HashMap<u64, T>,
}

impl<T> Default for Seen<T> {
    fn default() -> Self {
        Self { hasher: RandomState::new(), numbers: HashMap::new() }
    }
}

impl<T> Seen<T> {
    /// `true` when the name is new.
    pub(super) fn insert(&mut self, name: &str, value: T) -> bool {
        self.numbers.insert(self.number(name), value).is_none()
    }

    pub(super) fn get_mut(&mut self, name: &str) -> Option<&mut T> {
        let number = self.number(name);
        self.numbers.get_mut(&number)
    }

    pub(super) fn values(&self) -> impl Iterator<Item = &T> {
        self.numbers.values()
    }

    pub(super) fn len(&self) -> usize {
        self.numbers.len()
    }

    /// The hash of a name: random, and the same each time.
    pub(super) fn number(&self, name: &str) -> u64 {
        self.hasher.hash_one(name)
    }
}
