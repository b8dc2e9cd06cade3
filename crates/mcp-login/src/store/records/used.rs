//! What may be used once: `used:<hash>`.

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use mcp_login_core::Timestamp;
use sha2::{Digest, Sha256};

use crate::store::Store;
use crate::store::backend::{Key, StoreError};

/// The kind of these records.
pub(super) const USED: &str = "used";

/// The least that a use is remembered: stores keep nothing that ends at once.
const MIN_AGE: Duration = Duration::from_secs(1);

/// Where an identifier is unique.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UsedKind {
    /// The `jti` of a client's assertions (RFC 7523 §3); within the client.
    ClientAssertion,
    /// The `jti` of an identity assertion; within its issuer.
    IdentityAssertion,
    /// The `jti` of DPoP proofs (RFC 9449 §11.1); within the key.
    DpopProof,
}

impl UsedKind {
    const fn name(self) -> &'static str {
        match self {
            Self::ClientAssertion => "client assertion",
            Self::IdentityAssertion => "identity assertion",
            Self::DpopProof => "DPoP proof",
        }
    }
}

impl Store {
    /// Uses an identifier up, on all nodes: `false` when it was used before. It is remembered until `until`, when what it
    /// stands in has ended by itself.
    pub async fn use_once(
        &self,
        kind: UsedKind,
        within: &str,
        identifier: &str,
        until: Timestamp,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        let mut digest = Sha256::new();
        for part in [kind.name(), within, identifier] {
            digest.update((part.len() as u64).to_be_bytes());
            digest.update(part);
        }
        let key = Key::new(USED, &URL_SAFE_NO_PAD.encode(digest.finalize()));
        self.backend().insert(&key, Bytes::from_static(b"1"), until.max(now.plus(MIN_AGE)), now).await
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn an_identifier_is_used_once_in_its_place_and_time() {
        let store = Store::new(std::sync::Arc::new(crate::store::memory::MemoryBackend::new()));
        let at = |seconds: u64| Timestamp::from_millis(seconds * 1000);
        let use_up = async |kind, within, identifier, now| {
            store.use_once(kind, within, identifier, at(100), at(now)).await.unwrap()
        };
        assert!(use_up(UsedKind::ClientAssertion, "a", "bc", 1).await);
        assert!(!use_up(UsedKind::ClientAssertion, "a", "bc", 2).await);
        assert!(use_up(UsedKind::ClientAssertion, "ab", "c", 2).await);
        assert!(use_up(UsedKind::DpopProof, "a", "bc", 2).await);
        assert!(!use_up(UsedKind::ClientAssertion, "a", "bc", 99).await);
        assert!(use_up(UsedKind::ClientAssertion, "a", "bc", 100).await);
    }
}
