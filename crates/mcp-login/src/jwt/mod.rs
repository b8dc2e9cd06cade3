//! Signed tokens of others (RFC 7519): who signed, and what they say. What the claims have to be is the rule of whoever
//! asks for the token.

mod key_set;

use jsonwebtoken::{Algorithm, Header, Validation};
use serde_json::{Map, Value};

pub(crate) use key_set::KeySet;

/// What a token may be signed with. A fixed list of signatures with a public key: never `none`, and never HS*, which would
/// make everybody who can verify able to sign. What anybody's metadata claims to support plays no part.
pub(crate) const ALGORITHMS: [Algorithm; 4] =
    [Algorithm::RS256, Algorithm::ES256, Algorithm::PS256, Algorithm::EdDSA];

/// The longest token that is looked at, in bytes.
const MAX_LENGTH: usize = 16 * 1024;

/// Why a token says nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum JwtError {
    /// No JWT, or signed in a way that nobody knows; `none` among them.
    #[error("is not signed in a known way")]
    Malformed,
    /// Not one of [`ALGORITHMS`].
    #[error("is signed with an algorithm that is not allowed")]
    Algorithm,
    /// RFC 7515 §4.1.11: there is an extension that has to be understood.
    #[error("has a critical header")]
    Critical,
    /// None of the keys can have made the signature.
    #[error("is signed with a key that is not published")]
    UnknownKey,
    /// The signature does not hold.
    #[error("has a signature that does not hold")]
    Signature,
}

/// A token whose signature has not been looked at yet.
#[derive(Debug)]
pub(crate) struct UnverifiedJwt<'a> {
    text: &'a str,
    header: Header,
}

impl<'a> UnverifiedJwt<'a> {
    /// Reads the header.
    pub(crate) fn read(text: &'a str) -> Result<Self, JwtError> {
        // A second provider in the dependency tree would make the first verification panic; the first to install wins.
        let _ = jsonwebtoken::crypto::aws_lc::DEFAULT_PROVIDER.install_default();
        if text.len() > MAX_LENGTH {
            return Err(JwtError::Malformed);
        }
        // Fails for `none` and for names nobody knows.
        let header = jsonwebtoken::decode_header(text).map_err(|_| JwtError::Malformed)?;
        if !ALGORITHMS.contains(&header.alg) {
            return Err(JwtError::Algorithm);
        }
        if header.crit.is_some() {
            return Err(JwtError::Critical);
        }
        Ok(Self { text, header })
    }

    /// What it is signed with, of [`ALGORITHMS`].
    pub(crate) const fn algorithm(&self) -> Algorithm {
        self.header.alg
    }

    /// Whether one of these keys may have signed it. If not, a newer key set may hold the one that did.
    pub(crate) fn may_be_signed_by(&self, keys: &KeySet) -> bool {
        !keys.find(self.header.alg, self.header.kid.as_deref()).is_empty()
    }

    /// The claims, once the signature holds. Nothing in them has been checked.
    pub(crate) fn verify(&self, keys: &KeySet) -> Result<Map<String, Value>, JwtError> {
        let candidates = keys.find(self.header.alg, self.header.kid.as_deref());
        if candidates.is_empty() {
            return Err(JwtError::UnknownKey);
        }
        let validation = signature_only(self.header.alg);
        let claims = candidates
            .into_iter()
            .find_map(|key| jsonwebtoken::decode::<Map<String, Value>>(self.text, key, &validation).ok());
        Ok(claims.ok_or(JwtError::Signature)?.claims)
    }
}

/// The library's own checks read the system clock and skip a claim that is missing.
fn signature_only(algorithm: Algorithm) -> Validation {
    let mut validation = Validation::new(algorithm);
    validation.required_spec_claims.clear();
    validation.validate_exp = false;
    validation.validate_nbf = false;
    validation.validate_aud = false;
    validation
}
