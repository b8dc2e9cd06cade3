//! How records are kept in a Redis, by whichever protocol it is spoken to: one string each, prefix + key, which outlives
//! the record by a minute and is changed by scripts only. So a store that one protocol wrote, another one reads.

mod script;

use std::time::Duration;

use bytes::Bytes;
use mcp_login_core::Timestamp;

#[cfg(feature = "upstash")]
pub(super) use self::script::hex;
pub(super) use self::script::{Change, Scripts};
use super::backend::{Entry, Key, StoreError, Swap, Version};
use super::layout;

/// Redis keeps a record this much longer than it lives, so that Redis' clock never ends one.
const SLACK: Duration = Duration::from_secs(60);

/// From here on a record gets no end in Redis: Redis refuses lives that reach the end of its own time.
const FOR_EVER: Duration = Duration::from_secs(100 * 366 * 24 * 3600);

/// The longest prefix, in bytes.
const PREFIX_LIMIT: usize = 100;

/// What is wrong with a record that `GET` refuses.
pub(super) const OTHER_TYPE: &str = "it is of another type than a string";

pub(super) fn check_prefix(prefix: &str) -> Result<(), StoreError> {
    if prefix.len() > PREFIX_LIMIT {
        return Err(StoreError::Open(format!("the store's key prefix is longer than {PREFIX_LIMIT} bytes")));
    }
    Ok(())
}

/// What a key is called.
pub(super) fn name(prefix: &str, key: &Key) -> String {
    format!("{prefix}{}", key.as_str())
}

/// The key that is called so; `None` for what is none of ours.
pub(super) fn key_of(prefix: &str, name: &[u8]) -> Option<Key> {
    let key = name.strip_prefix(prefix.as_bytes())?;
    std::str::from_utf8(key).ok().and_then(Key::parse)
}

/// The pattern that everything with this prefix fits.
pub(super) fn pattern(prefix: &str) -> String {
    let mut pattern = String::with_capacity(prefix.len() + 1);
    for c in prefix.chars() {
        if matches!(c, '*' | '?' | '[' | ']' | '^' | '\\') {
            pattern.push('\\');
        }
        pattern.push(c);
    }
    pattern.push('*');
    pattern
}

/// How long Redis keeps a record, in milliseconds; `None` is for ever.
fn kept_for(expires_at: Timestamp, now: Timestamp) -> Option<u64> {
    let kept = expires_at.until(now).saturating_add(SLACK);
    if kept >= FOR_EVER { None } else { u64::try_from(kept.as_millis()).ok() }
}

/// A record that has ended at `now` is none, though Redis still has it.
pub(super) fn read(stored: Option<Bytes>, now: Timestamp) -> Result<Option<Entry>, StoreError> {
    let entry = stored.map(layout::decode).transpose()?;
    Ok(entry.filter(|entry| !entry.expires_at.has_passed(now)))
}

/// What a script's number says of an insert or a restore.
pub(super) fn inserted(outcome: i64) -> Result<bool, StoreError> {
    match outcome {
        script::DONE => Ok(true),
        script::DAMAGED => Err(damaged()),
        _ => Ok(false),
    }
}

/// What it says of a swap that would make this version.
pub(super) fn swapped(outcome: i64, version: Version) -> Result<Swap, StoreError> {
    match outcome {
        script::DONE => Ok(Swap::Done(version)),
        script::CONFLICT => Ok(Swap::Conflict),
        script::DAMAGED => Err(damaged()),
        _ => Ok(Swap::Missing),
    }
}

/// What it says of a delete.
pub(super) fn deleted(outcome: i64) -> bool {
    outcome == script::DONE
}

/// A script saw a record of fewer bytes than a head.
fn damaged() -> StoreError {
    StoreError::Damaged(layout::SHORT)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

    use super::*;

    const NOW: Timestamp = Timestamp::from_millis(1_800_000_000_000);

    #[test]
    fn redis_keeps_a_record_longer_than_it_lives() {
        let minute = Duration::from_secs(60);
        assert_eq!(kept_for(NOW.plus(minute), NOW), Some(120_000));
        assert_eq!(kept_for(NOW, NOW), Some(60_000), "just ended");
        assert_eq!(kept_for(Timestamp::from_millis(0), NOW), Some(60_000), "long ended");
        assert_eq!(kept_for(Timestamp::from_millis(u64::MAX), NOW), None);
    }

    #[test]
    fn a_prefix_has_a_limit() {
        let longest = "x".repeat(PREFIX_LIMIT);
        assert!(check_prefix(&longest).is_ok());
        assert!(matches!(
            check_prefix(&format!("{longest}x")),
            Err(StoreError::Open(text)) if text.contains("100 bytes")
        ));
    }

    #[test]
    fn a_prefix_is_no_pattern() {
        assert_eq!(pattern("mcp-login:"), "mcp-login:*");
        assert_eq!(pattern("a*[b]:"), r"a\*\[b\]:*");
    }

    #[test]
    fn only_keys_of_ours_are_read() {
        let key = Key::new("grant", "1");
        assert_eq!(key_of("p:", name("p:", &key).as_bytes()), Some(key));
        for other in ["q:grant:1", "p:no key", "p:", ""] {
            assert_eq!(key_of("p:", other.as_bytes()), None, "{other}");
        }
        assert_eq!(key_of("p:", b"p:grant:\xff"), None);
    }
}
