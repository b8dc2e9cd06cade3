//! The key that tags MCP sessions, one for all nodes: `secret:mcp-sessions`.
//!
//! It proves nothing by itself: without the id of a session, which no store holds, there is nothing to tag.

use std::time::Duration;

use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::hmac;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use mcp_login_core::{Secret, Timestamp};

use super::random_secret;
use crate::store::Store;
use crate::store::backend::{Key, StoreError};

/// The kind of these records.
pub(super) const SECRETS: &str = "secret";

/// Longer than any process runs. Sessions that outlive the key have to be opened again.
const LIFETIME: Duration = Duration::from_secs(3650 * 24 * 60 * 60);
/// Bytes of a tag: 128 bits cannot be guessed.
const TAG_LENGTH: usize = 16;

/// Tags what belongs to somebody.
#[derive(Clone)]
pub struct SessionKey(hmac::Key);

impl std::fmt::Debug for SessionKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SessionKey(…)")
    }
}

impl SessionKey {
    fn new(secret: &Secret) -> Self {
        Self(hmac::Key::new(hmac::HMAC_SHA256, secret.expose_secret().as_bytes()))
    }

    /// The tag of these parts, in 22 characters of base64url.
    #[must_use]
    pub fn tag(&self, parts: &[&[u8]]) -> String {
        let mut context = hmac::Context::with_key(&self.0);
        for part in parts {
            context.update(&(part.len() as u64).to_be_bytes());
            context.update(part);
        }
        URL_SAFE_NO_PAD.encode(context.sign().as_ref().get(..TAG_LENGTH).unwrap_or_default())
    }

    /// Whether this is the tag of these parts.
    #[must_use]
    pub fn has_tag(&self, parts: &[&[u8]], tag: &[u8]) -> bool {
        verify_slices_are_equal(self.tag(parts).as_bytes(), tag).is_ok()
    }
}

impl Store {
    /// The key of this store; whoever asks first makes it.
    pub async fn session_key(&self, now: Timestamp) -> Result<SessionKey, StoreError> {
        let key = Key::new(SECRETS, "mcp-sessions");
        if self.backend().get(&key, now).await?.is_none() {
            let made = Bytes::copy_from_slice(random_secret().expose_secret().as_bytes());
            self.backend().insert(&key, made, now.plus(LIFETIME), now).await?;
        }
        // Read again: of several nodes that make one, one has made it.
        let held = self.backend().get(&key, now).await?.ok_or(StoreError::Damaged("a key that is gone"))?;
        let secret =
            std::str::from_utf8(&held.value).map_err(|_| StoreError::Damaged("the key of sessions"))?;
        Ok(SessionKey::new(&Secret::from(secret)))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::store::memory::MemoryBackend;

    #[tokio::test]
    async fn all_nodes_have_the_same_key() {
        let (store, now) = (Store::new(Arc::new(MemoryBackend::new())), Timestamp::from_millis(1));
        let (one, other) = (store.session_key(now).await.unwrap(), store.session_key(now).await.unwrap());
        let tag = one.tag(&[b"a", b"bc"]);
        assert!(other.has_tag(&[b"a", b"bc"], tag.as_bytes()));
        assert!(!other.has_tag(&[b"ab", b"c"], tag.as_bytes()));
        let elsewhere = Store::new(Arc::new(MemoryBackend::new())).session_key(now).await.unwrap();
        assert!(!elsewhere.has_tag(&[b"a", b"bc"], tag.as_bytes()));
        assert!(!format!("{one:?}").contains(&tag));
    }
}
