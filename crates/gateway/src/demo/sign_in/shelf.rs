//! A place for so many things under secrets, and no more.

use std::collections::VecDeque;

use aws_lc_rs::rand;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use mcp_login::core::{Secret, Timestamp};
use sha2::{Digest as _, Sha256};

/// How many things one shelf holds; the oldest leaves for the newest. Few enough to look through one by one.
pub(super) const MAX_THINGS: usize = 1000;

/// Things found by a secret that is itself not kept, only its hash: comparing hashes tells nothing about the secret.
#[derive(Debug)]
pub(super) struct Shelf<T> {
    things: VecDeque<Thing<T>>,
}

#[derive(Debug)]
struct Thing<T> {
    hash: [u8; 32],
    expires_at: Timestamp,
    value: T,
}

impl<T> Default for Shelf<T> {
    fn default() -> Self {
        Self { things: VecDeque::new() }
    }
}

impl<T> Shelf<T> {
    /// Puts the thing away under a new secret. `None` when the system has no randomness to give.
    pub(super) fn put(&mut self, value: T, expires_at: Timestamp) -> Option<Secret> {
        let secret = new_secret()?;
        while self.things.len() >= MAX_THINGS {
            self.things.pop_front();
        }
        self.things.push_back(Thing { hash: hash(&secret), expires_at, value });
        Some(secret)
    }

    /// The thing under this secret, if it is there and its time is not over.
    pub(super) fn get(&mut self, secret: &Secret, now: Timestamp) -> Option<&mut T> {
        let hash = hash(secret);
        self.things
            .iter_mut()
            .find(|thing| thing.hash == hash && !thing.expires_at.has_passed(now))
            .map(|thing| &mut thing.value)
    }

    /// Takes the thing away.
    pub(super) fn take(&mut self, secret: &Secret, now: Timestamp) -> Option<T> {
        let hash = hash(secret);
        let at = self.things.iter().position(|thing| thing.hash == hash)?;
        let thing = self.things.remove(at)?;
        (!thing.expires_at.has_passed(now)).then_some(thing.value)
    }

    /// Keeps only what the rule says.
    pub(super) fn retain(&mut self, rule: impl Fn(&T) -> bool) {
        self.things.retain(|thing| rule(&thing.value));
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.things.len()
    }
}

fn hash(secret: &Secret) -> [u8; 32] {
    Sha256::digest(secret.expose_secret().as_bytes()).into()
}

/// 256 random bits, in letters that need no escaping.
fn new_secret() -> Option<Secret> {
    let mut bytes = [0; 32];
    rand::fill(&mut bytes).ok()?;
    Some(Secret::new(URL_SAFE_NO_PAD.encode(bytes)))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    const LATER: Timestamp = Timestamp::from_millis(1000);
    const NOW: Timestamp = Timestamp::from_millis(999);

    #[test]
    fn a_thing_is_found_by_its_own_secret_until_its_time_is_over() {
        let mut shelf = Shelf::default();
        let one = shelf.put(1, LATER).unwrap();
        let two = shelf.put(2, LATER).unwrap();
        assert_eq!(shelf.get(&one, NOW), Some(&mut 1));
        assert_eq!(shelf.get(&two, NOW), Some(&mut 2));
        assert_eq!(shelf.get(&Secret::new("else"), NOW), None);
        assert_eq!(shelf.get(&one, LATER), None);
        assert_eq!(shelf.take(&two, NOW), Some(2));
        assert_eq!(shelf.take(&two, NOW), None);
        assert_eq!(shelf.take(&one, LATER), None);
    }

    #[test]
    fn the_oldest_leaves_when_the_shelf_is_full() {
        let mut shelf = Shelf::default();
        let first = shelf.put(0, LATER).unwrap();
        let second = shelf.put(1, LATER).unwrap();
        for n in 2..=MAX_THINGS {
            shelf.put(n, LATER).unwrap();
        }
        assert_eq!(shelf.len(), MAX_THINGS);
        assert_eq!(shelf.get(&first, NOW), None);
        assert_eq!(shelf.get(&second, NOW), Some(&mut 1));
    }
}
