//! How a record is written where it is bytes: version, then end (milliseconds since the Unix epoch), each a `u64` in
//! network byte order, then the value.

use bytes::Bytes;
use mcp_login_core::Timestamp;

use super::backend::{Entry, Key, Listed, StoreError, Version};

pub(super) const HEAD: usize = 16;

/// What is wrong with a record that [`decode`] refuses.
pub(super) const SHORT: &str = "it is shorter than its head";

pub(super) fn encode(version: Version, expires_at: Timestamp, value: &[u8]) -> Vec<u8> {
    let mut stored = Vec::with_capacity(HEAD + value.len());
    stored.extend_from_slice(&version.0.to_be_bytes());
    stored.extend_from_slice(&expires_at.as_millis().to_be_bytes());
    stored.extend_from_slice(value);
    stored
}

/// Version and end, without a copy of the value.
pub(super) fn decode_head(stored: &[u8]) -> Result<(Version, Timestamp), StoreError> {
    stored
        .split_first_chunk()
        .and_then(|(version, rest)| Some((version, rest.split_first_chunk()?.0)))
        .map(|(version, end)| {
            (Version(u64::from_be_bytes(*version)), Timestamp::from_millis(u64::from_be_bytes(*end)))
        })
        .ok_or(StoreError::Damaged(SHORT))
}

pub(super) fn decode(stored: Bytes) -> Result<Entry, StoreError> {
    let (version, expires_at) = decode_head(&stored)?;
    let mut value = stored;
    Ok(Entry { version, expires_at, value: value.split_off(HEAD) })
}

/// A record as a listing shows it.
pub(super) fn listed(key: Key, stored: Bytes) -> Listed {
    Listed { key, entry: decode(stored).map_err(|_| SHORT) }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

    use super::*;

    #[test]
    fn bytes_are_as_documented() {
        let stored = encode(Version(0x0102), Timestamp::from_millis(0x0304), b"value");
        assert_eq!(stored, b"\0\0\0\0\0\0\x01\x02\0\0\0\0\0\0\x03\x04value");
        let entry = decode(stored.into()).unwrap();
        assert_eq!((entry.version, entry.expires_at), (Version(0x0102), Timestamp::from_millis(0x0304)));
        assert_eq!(entry.value, "value");
    }

    #[test]
    fn less_than_a_head_is_damaged() {
        for length in 0..HEAD {
            let short = Bytes::from(vec![0; length]);
            assert!(matches!(decode(short), Err(StoreError::Damaged(_))), "{length} bytes");
        }
        assert_eq!(decode(Bytes::from(vec![0; HEAD])).unwrap().value, "");
    }
}
