//! [`SigningKey`]: a key pair for ES256, whose private half is never written down, not even for a moment.

use std::fmt;

use aws_lc_rs::error::Unspecified;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use mcp_login_core::dpop::JwkThumbprint;
use mcp_login_core::{Secret, Timestamp};
use serde_json::{Map, Value, json};

use crate::store::records::PublishedKey;

/// A kind of its own, so that no other token of ours is taken for an assertion, and no assertion for another token (RFC
/// 8725 §3.11).
pub(super) const TYPE: &str = "mcp-login-assertion+jwt";

/// The algorithm that every library of JWTs has and verifies quickly (RFC 7518 §3.4).
const ALGORITHM: &str = "ES256";

pub(super) struct SigningKey {
    pair: EcdsaKeyPair,
    random: SystemRandom,
    kid: String,
    /// The coordinates of the public half (RFC 7518 §6.2.1).
    x: String,
    y: String,
    /// The header of everything that it signs, encoded.
    header: String,
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SigningKey").field("kid", &self.kid).finish_non_exhaustive()
    }
}

impl SigningKey {
    /// A new one. It fails where the system has no randomness.
    pub(super) fn new() -> Result<Self, Unspecified> {
        let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING)?;
        // SEC 1 §2.3.3: 4, then both coordinates.
        let (x, y) = match pair.public_key().as_ref() {
            [4, point @ ..] if point.len() == 64 => point.split_at(32),
            _ => return Err(Unspecified),
        };
        let (x, y) = (URL_SAFE_NO_PAD.encode(x), URL_SAFE_NO_PAD.encode(y));
        let members = [("kty", "EC"), ("crv", "P-256"), ("x", &x), ("y", &y)];
        let jwk: Map<String, Value> =
            members.into_iter().map(|(name, value)| (name.to_owned(), value.into())).collect();
        let kid = JwkThumbprint::of(&jwk).ok_or(Unspecified)?.to_string();
        let header = json!({"alg": ALGORITHM, "kid": kid, "typ": TYPE}).to_string();
        Ok(Self { pair, random: SystemRandom::new(), kid, x, y, header: URL_SAFE_NO_PAD.encode(header) })
    }

    pub(super) fn kid(&self) -> &str {
        &self.kid
    }

    /// The public half, for the list.
    pub(super) fn published(&self, until: Timestamp) -> PublishedKey {
        PublishedKey { kid: self.kid.clone(), x: self.x.clone(), y: self.y.clone(), until }
    }

    /// The claims, signed (RFC 7515 §7.1).
    pub(super) fn sign(&self, claims: &[u8]) -> Result<Secret, Unspecified> {
        let mut token = format!("{}.{}", self.header, URL_SAFE_NO_PAD.encode(claims));
        let signature = self.pair.sign(&self.random, token.as_bytes())?;
        token.push('.');
        URL_SAFE_NO_PAD.encode_string(signature.as_ref(), &mut token);
        Ok(Secret::new(token))
    }
}

impl PublishedKey {
    /// As it stands in the key set (RFC 7517 §4).
    pub(crate) fn jwk(&self) -> Value {
        json!({
            "kty": "EC", "crv": "P-256", "use": "sig", "alg": ALGORITHM, "kid": self.kid, "x": self.x, "y": self.y,
        })
    }
}
