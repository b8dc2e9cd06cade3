//! DPoP (RFC 9449): a token that is bound to a key is of use to nobody but the holder of the key, who proves it with every
//! request.
//!
//! These are the rules of a proof whose signature has been verified with the key in its own header. Nonces (§8, §9) are not
//! used: what they add to `iat` and `jti` is proof against proofs that a client was made to sign ahead of time.

mod target_uri;
mod thumbprint;

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

pub use thumbprint::{InvalidThumbprint, JwkThumbprint};

use crate::error::{ErrorCode, OAuthError};
use crate::jwt::{PRIVATE_KEY_MEMBERS, is_type, jti, numeric_date};
use crate::timestamp::Timestamp;

/// How far the clock of a client may be off, and how long a proof is good (MCP SEP-1932).
pub const WINDOW: Duration = Duration::from_secs(5 * 60);

/// How much longer than it is good a proof is remembered: the clocks of the nodes that take proofs differ, too.
const CLOCKS_APART: Duration = Duration::from_secs(60);

/// Why a proof is not good (§4.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum DpopError {
    /// The token is bound to a key, and nothing proves that the client holds it.
    #[error("the DPoP header with the proof is missing")]
    Missing,
    /// Check 1.
    #[error("send one DPoP header with one proof")]
    Several,
    /// Checks 2, 5 and 6.
    #[error(
        "the DPoP proof is not a JWT that is signed with the key in its jwk header, by ES256, EdDSA, RS256 or PS256"
    )]
    Signature,
    /// Check 4.
    #[error("typ of the DPoP proof has to be dpop+jwt")]
    Type,
    /// §4.2.
    #[error("jwk of the DPoP proof has to be a public key: EC, OKP or RSA")]
    Key,
    /// Check 7.
    #[error("jwk of the DPoP proof holds a private key; it is not private any more, so make a new one")]
    PrivateKey,
    /// §4.2.
    #[error("jti of the DPoP proof has to be 1 to 256 bytes long")]
    Identifier,
    /// Check 8.
    #[error("htm of the DPoP proof is not the method of the request")]
    Method,
    /// Check 9.
    #[error("htu of the DPoP proof is not the public URL that the request is for")]
    Uri,
    /// Check 11.
    #[error("iat of the DPoP proof is more than 5 minutes away from the time here")]
    IssuedAt,
    /// RFC 7519 §4.1.4, where a client says so.
    #[error("the DPoP proof has expired")]
    Expired,
    /// Check 12.
    #[error("ath of the DPoP proof is not the hash of the access token")]
    TokenHash,
    /// §11.1.
    #[error("the DPoP proof was used before; make one for each request")]
    Replayed,
}

impl From<DpopError> for OAuthError {
    fn from(error: DpopError) -> Self {
        Self::new(ErrorCode::InvalidDpopProof, error.to_string())
    }
}

/// The request that a proof came with.
#[derive(Debug, Clone, Copy)]
pub struct ProvedRequest<'a> {
    /// Its method.
    pub method: &'a str,
    /// The URL that clients know it by. From the configuration, never from what the request says of its host.
    pub uri: &'a str,
    /// At an MCP server, the access token; `None` at the token endpoint.
    pub access_token: Option<&'a str>,
}

/// What a proof proves, as long as it was not used before.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CheckedProof {
    /// The key that the client holds.
    pub key: JwkThumbprint,
    /// What tells the proof from all others of the key.
    pub jti: String,
    /// Until when the proof has to be remembered as used.
    pub remembered_until: Timestamp,
}

/// The checks of a proof with this header and these claims (§4.3), but for its signature and for replay.
pub fn check_proof(
    header: &Map<String, Value>,
    claims: &Map<String, Value>,
    request: &ProvedRequest<'_>,
    now: Timestamp,
) -> Result<CheckedProof, DpopError> {
    let key = check_header(header)?;
    let text = |name| claims.get(name).and_then(Value::as_str);
    let jti = jti(claims).ok_or(DpopError::Identifier)?;
    if text("htm") != Some(request.method) {
        return Err(DpopError::Method);
    }
    let made_for = text("htu").and_then(target_uri::normalize).ok_or(DpopError::Uri)?;
    if target_uri::normalize(request.uri) != Some(made_for) {
        return Err(DpopError::Uri);
    }
    let issued_at = check_time(claims, now)?;
    if let Some(token) = request.access_token {
        let hash = URL_SAFE_NO_PAD.encode(Sha256::digest(token.as_bytes()));
        if !text("ath").is_some_and(|ath| ath.as_bytes().ct_eq(hash.as_bytes()).into()) {
            return Err(DpopError::TokenHash);
        }
    }
    let remembered_until = issued_at.plus(WINDOW).plus(CLOCKS_APART);
    Ok(CheckedProof { key, jti: jti.to_owned(), remembered_until })
}

/// §4.2: the type, and a public key. Which algorithm fits the key is known where signatures are verified.
fn check_header(header: &Map<String, Value>) -> Result<JwkThumbprint, DpopError> {
    if !header.get("typ").and_then(Value::as_str).is_some_and(|typ| is_type(typ, "dpop+jwt")) {
        return Err(DpopError::Type);
    }
    let jwk = header.get("jwk").and_then(Value::as_object).ok_or(DpopError::Key)?;
    if PRIVATE_KEY_MEMBERS.iter().any(|member| jwk.contains_key(*member)) {
        return Err(DpopError::PrivateKey);
    }
    JwkThumbprint::of(jwk).ok_or(DpopError::Key)
}

/// When the proof was made, if that is neither long ago nor far ahead.
fn check_time(claims: &Map<String, Value>, now: Timestamp) -> Result<Timestamp, DpopError> {
    let issued_at = claims.get("iat").and_then(numeric_date).ok_or(DpopError::IssuedAt)?;
    if issued_at.plus(WINDOW).has_passed(now) || now.plus(WINDOW) < issued_at {
        return Err(DpopError::IssuedAt);
    }
    match claims.get("exp").map(numeric_date) {
        None => Ok(issued_at),
        Some(Some(end)) if !end.plus(CLOCKS_APART).has_passed(now) => Ok(issued_at),
        Some(_) => Err(DpopError::Expired),
    }
}

#[cfg(test)]
mod tests;
