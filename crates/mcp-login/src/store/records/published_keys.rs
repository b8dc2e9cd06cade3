//! The public keys that all nodes sign assertions with: `jwks:assertions`, one record. The private halves never leave the
//! memory of their processes, and everybody may read these.

use mcp_login_core::Timestamp;
use serde::{Deserialize, Serialize};

use super::encode;
use crate::store::Store;
use crate::store::backend::{Entry, Key, StoreError, Swap};

/// The kind of this record.
pub(super) const KEY_SETS: &str = "jwks";

/// The most keys that are listed, of some 150 bytes each. Those that would end first give way: the keys of processes that
/// have gone, as living ones move the ends of theirs on.
const MAX_KEYS: usize = 256;

/// What the operator reads: somebody else has written there.
const DAMAGED: &str =
    "the record jwks:assertions is damaged: it is taken for an empty list, and written anew";

/// How often a change is tried that others keep overtaking: all nodes may start at once.
const MAX_ATTEMPTS: usize = 64;

/// A public key on P-256 (RFC 7518 §6.2.1).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct PublishedKey {
    /// Its thumbprint (RFC 7638).
    pub(crate) kid: String,
    pub(crate) x: String,
    pub(crate) y: String,
    /// When the last assertion that it has signed has ended.
    pub(crate) until: Timestamp,
}

#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct PublishedKeys {
    keys: Vec<PublishedKey>,
}

impl PublishedKeys {
    /// What no version of this program wrote is an empty list: whose keys were on it puts them there again, and an error
    /// would keep everybody from that.
    fn read(entry: &Entry) -> Self {
        serde_json::from_slice(&entry.value).unwrap_or_else(|error| {
            // Where and of which kind the fault is, and nothing of what was read.
            tracing::warn!(line = error.line(), column = error.column(), kind = ?error.classify(), "{DAMAGED}");
            Self::default()
        })
    }

    /// The same with these, and without what has ended.
    fn with(mut self, own: &[PublishedKey], now: Timestamp) -> Self {
        self.keys.retain(|key| !key.until.has_passed(now) && own.iter().all(|own| own.kid != key.kid));
        self.keys.sort_by_key(|key| key.until);
        let surplus = (self.keys.len() + own.len()).saturating_sub(MAX_KEYS);
        self.keys.drain(..surplus.min(self.keys.len()));
        self.keys.extend_from_slice(own);
        self
    }

    fn end(&self, now: Timestamp) -> Timestamp {
        self.keys.iter().map(|key| key.until).max().unwrap_or(now)
    }
}

fn key() -> Key {
    Key::new(KEY_SETS, "assertions")
}

impl Store {
    /// Lists these keys beside those of the other nodes, or gives them another end, and tells all that are listed then.
    pub(crate) async fn publish_keys(
        &self,
        own: &[PublishedKey],
        now: Timestamp,
    ) -> Result<Vec<PublishedKey>, StoreError> {
        let key = key();
        for _ in 0..MAX_ATTEMPTS {
            let entry = match self.backend().get(&key, now).await {
                // There is no version to swap. Keys that others have put there meanwhile they put there again.
                Err(StoreError::Damaged(why)) => {
                    tracing::warn!(why, "{DAMAGED}");
                    self.backend().delete(&key, now).await?;
                    None
                }
                entry => entry?,
            };
            let listed =
                entry.as_ref().map_or_else(PublishedKeys::default, PublishedKeys::read).with(own, now);
            let (value, end) = (encode(&listed)?, listed.end(now));
            let written = match entry {
                Some(entry) => {
                    let swap = self.backend().swap(&key, entry.version, value, end, now).await?;
                    matches!(swap, Swap::Done(_))
                }
                None => self.backend().insert(&key, value, end, now).await?,
            };
            if written {
                return Ok(listed.keys);
            }
        }
        Err(StoreError::unavailable("the keys of assertions change faster than they can be written"))
    }

    /// The keys of all nodes that have not ended.
    pub(crate) async fn published_keys(&self, now: Timestamp) -> Result<Vec<PublishedKey>, StoreError> {
        let mut listed = match self.backend().get(&key(), now).await {
            Err(StoreError::Damaged(why)) => {
                tracing::warn!(why, "{DAMAGED}");
                PublishedKeys::default()
            }
            entry => entry?.as_ref().map_or_else(PublishedKeys::default, PublishedKeys::read),
        };
        listed.keys.retain(|key| !key.until.has_passed(now));
        Ok(listed.keys)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::store::memory::MemoryBackend;

    fn at(millis: u64) -> Timestamp {
        Timestamp::from_millis(millis)
    }

    fn listed(kid: &str, until: u64) -> PublishedKey {
        PublishedKey { kid: kid.to_owned(), x: "x".into(), y: "y".into(), until: at(until) }
    }

    fn kids(keys: &[PublishedKey]) -> Vec<&str> {
        keys.iter().map(|key| key.kid.as_str()).collect()
    }

    #[tokio::test]
    async fn keys_are_listed_together_until_each_ends() {
        let store = Store::new(Arc::new(MemoryBackend::new()));
        assert!(store.published_keys(at(1)).await.unwrap().is_empty());
        store.publish_keys(&[listed("a", 10)], at(1)).await.unwrap();
        let both = store.publish_keys(&[listed("b", 20)], at(2)).await.unwrap();
        assert_eq!(kids(&both), ["a", "b"]);
        assert_eq!(store.published_keys(at(9)).await.unwrap(), both);
        assert_eq!(kids(&store.published_keys(at(10)).await.unwrap()), ["b"]);
        // Again with another end: it is there once, and the record lives as long as it.
        let written = store.publish_keys(&[listed("b", 30)], at(11)).await.unwrap();
        assert_eq!(written, [listed("b", 30)], "what has ended is gone");
        assert_eq!(store.published_keys(at(29)).await.unwrap(), [listed("b", 30)]);
        assert!(store.published_keys(at(30)).await.unwrap().is_empty());
    }

    /// What somebody else has put there, or a disk has spoiled, stops nobody.
    #[tokio::test]
    async fn a_record_that_cannot_be_read_is_an_empty_list_that_is_written_over() {
        for value in ["", "no list", "[1]", "{\"keys\":7}", "{\"keys\":[{\"kid\":\"a\"}]}"] {
            let store = Store::new(Arc::new(MemoryBackend::new()));
            assert!(store.backend().insert(&key(), value.into(), at(50), at(1)).await.unwrap());
            assert!(store.published_keys(at(2)).await.unwrap().is_empty(), "{value}");
            assert_eq!(store.publish_keys(&[listed("a", 10)], at(3)).await.unwrap(), [listed("a", 10)]);
            assert_eq!(store.published_keys(at(4)).await.unwrap(), [listed("a", 10)], "{value}");
        }
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 4)]
    async fn nodes_that_start_at_once_are_all_listed() {
        let store = Store::new(Arc::new(MemoryBackend::new()));
        let starting = (0..20).map(|n| {
            let store = store.clone();
            tokio::spawn(
                async move { store.publish_keys(&[listed(&n.to_string(), 10)], at(1)).await.unwrap() },
            )
        });
        for started in starting.collect::<Vec<_>>() {
            started.await.unwrap();
        }
        assert_eq!(store.published_keys(at(2)).await.unwrap().len(), 20);
    }

    #[test]
    fn of_too_many_those_that_end_first_give_way_and_never_ones_own() {
        let end = |n: usize| 1_000 - u64::try_from(n).unwrap();
        let many: Vec<_> = (0..MAX_KEYS).map(|n| listed(&n.to_string(), end(n))).collect();
        let full = PublishedKeys::default().with(&many, at(1));
        assert_eq!(full.keys.len(), MAX_KEYS);
        let kept = full.with(&[listed("own", 2), listed("other own", 2)], at(1)).keys;
        assert_eq!(kept.len(), MAX_KEYS);
        let kids = kids(&kept);
        assert!(kids.contains(&"own") && kids.contains(&"other own") && kids.contains(&"0"));
        let last = (MAX_KEYS - 2..MAX_KEYS).map(|n| n.to_string());
        assert!(last.into_iter().all(|gone| !kids.contains(&gone.as_str())), "{kids:?}");
    }
}
