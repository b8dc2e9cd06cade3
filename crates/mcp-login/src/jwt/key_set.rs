//! Public keys of others (RFC 7517): only what may verify a signature is kept.

use jsonwebtoken::jwk::{AlgorithmParameters, EllipticCurve, Jwk, KeyAlgorithm, PublicKeyUse};
use jsonwebtoken::{Algorithm, DecodingKey};
use serde_json::Value;

use super::ALGORITHMS;

/// More keys than anybody publishes.
const MAX_KEYS: usize = 100;
/// The most keys of one name that are tried: a signature costs time, and whose keys they are chose the names.
const MAX_TRIED: usize = 8;

/// The keys of one signer.
#[derive(Debug)]
pub(crate) struct KeySet {
    keys: Vec<Key>,
}

/// One key, and what it may verify.
#[derive(Debug)]
pub(super) struct Key {
    kid: Option<String>,
    /// The allowed algorithms this key is made for.
    algorithms: Vec<Algorithm>,
    verifier: DecodingKey,
}

impl KeySet {
    /// Keys that cannot be read or may not be used are left out: one odd key must not stop the others.
    ///
    /// `None` for what is no key set.
    pub(crate) fn read(document: &Value) -> Option<Self> {
        let keys = document.get("keys")?.as_array()?;
        Some(Self { keys: keys.iter().take(MAX_KEYS).filter_map(Key::read).collect() })
    }

    /// Whether no key is left.
    pub(crate) const fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    /// The keys that may have made a signature with this header. Without a `kid` there must be exactly one.
    pub(super) fn find(&self, algorithm: Algorithm, kid: Option<&str>) -> Vec<&DecodingKey> {
        let fits = self.keys.iter().filter(|key| key.algorithms.contains(&algorithm));
        if let Some(kid) = kid {
            let named = fits.filter(|key| key.kid.as_deref() == Some(kid)).map(|key| &key.verifier);
            return named.take(MAX_TRIED).collect();
        }
        let keys: Vec<_> = fits.map(|key| &key.verifier).collect();
        if keys.len() == 1 { keys } else { Vec::new() }
    }
}

impl Key {
    /// A public key (RFC 7517) that verifies signatures by one of [`ALGORITHMS`].
    pub(super) fn read(value: &Value) -> Option<Self> {
        let jwk: Jwk = serde_json::from_value(value.clone()).ok()?;
        let made_for: &[Algorithm] = match &jwk.algorithm {
            AlgorithmParameters::RSA(_) => &[Algorithm::RS256, Algorithm::PS256],
            AlgorithmParameters::EllipticCurve(key) if key.curve == EllipticCurve::P256 => {
                &[Algorithm::ES256]
            }
            AlgorithmParameters::OctetKeyPair(key) if key.curve == EllipticCurve::Ed25519 => {
                &[Algorithm::EdDSA]
            }
            _ => return None,
        };
        if !matches!(jwk.common.public_key_use, None | Some(PublicKeyUse::Signature)) {
            return None;
        }
        let algorithms = made_for
            .iter()
            .copied()
            .filter(|algorithm| ALGORITHMS.contains(algorithm))
            .filter(|algorithm| {
                jwk.common.key_algorithm.is_none_or(|own| own == KeyAlgorithm::from(*algorithm))
            })
            .collect();
        let verifier = DecodingKey::from_jwk(&jwk).ok()?;
        Some(Self { kid: jwk.common.key_id, algorithms, verifier })
    }

    /// What verifies signatures by this algorithm, if the key is made for it.
    pub(super) fn for_algorithm(&self, algorithm: Algorithm) -> Option<&DecodingKey> {
        self.algorithms.contains(&algorithm).then_some(&self.verifier)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use serde_json::json;

    use super::*;

    const X: &str = "MKBCTNIcKUSDii11ySs3526iDZ8AiTo7Tu6KPAqv7D4";
    const Y: &str = "4Etl6SRW2YiLUrN5vfvVHuhp7x8PxltmWWlbbM4IFyM";

    #[test]
    fn only_usable_keys_are_kept() {
        let set = KeySet::read(&json!({"keys": [
            {"kty": "EC", "crv": "P-256", "kid": "good", "x": X, "y": Y},
            {"kty": "EC", "crv": "P-256", "kid": "encryption", "use": "enc", "x": X, "y": Y},
            {"kty": "EC", "crv": "P-256", "kid": "other-alg", "alg": "ES384", "x": X, "y": Y},
            {"kty": "oct", "kid": "symmetric", "k": "c2VjcmV0"},
            {"kty": "nobody-knows", "kid": "odd"},
            "not a key",
        ]}))
        .unwrap();
        assert_eq!(set.find(Algorithm::ES256, Some("good")).len(), 1);
        for kid in ["encryption", "other-alg", "symmetric", "odd", "none-such"] {
            assert!(set.find(Algorithm::ES256, Some(kid)).is_empty(), "{kid}");
        }
        assert!(set.find(Algorithm::HS256, Some("symmetric")).is_empty());
        assert!(set.find(Algorithm::RS256, Some("good")).is_empty(), "the key type fixes the algorithm");
    }

    #[test]
    fn without_a_kid_there_must_be_one_key() {
        let key = json!({"kty": "EC", "crv": "P-256", "x": X, "y": Y});
        assert_eq!(KeySet::read(&json!({"keys": [key]})).unwrap().find(Algorithm::ES256, None).len(), 1);
        assert!(KeySet::read(&json!({"keys": [key, key]})).unwrap().find(Algorithm::ES256, None).is_empty());
    }

    #[test]
    fn not_every_key_of_one_name_is_tried() {
        let key = json!({"kty": "EC", "crv": "P-256", "kid": "same", "x": X, "y": Y});
        let set = KeySet::read(&json!({"keys": vec![key; 100]})).unwrap();
        assert_eq!(set.find(Algorithm::ES256, Some("same")).len(), MAX_TRIED);
    }

    #[test]
    fn what_is_no_key_set_is_refused() {
        assert!(KeySet::read(&json!({"error": "x"})).is_none());
        assert!(KeySet::read(&json!([])).is_none());
    }
}
