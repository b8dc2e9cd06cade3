//! Client assertions (RFC 7523 §3, as draft-ietf-oauth-rfc7523bis narrows it): what the claims of a token have to be with
//! which a client authenticates. Whose signature it bears is not looked at here.

use std::time::Duration;

use serde_json::{Map, Value};

use crate::error::OAuthError;
use crate::jwt::{is_type, jti, numeric_date, sole};
use crate::timestamp::Timestamp;

/// The one `client_assertion_type` there is for a JWT (RFC 7523 §2.2).
pub const CLIENT_ASSERTION_TYPE: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";
/// The furthest that `exp` may lie ahead: as long as that, every assertion that was used has to be remembered.
pub const MAX_LIFETIME: Duration = Duration::from_secs(10 * 60);
/// How far the clocks of a client and of this server may be apart.
pub const CLOCK_SKEW: Duration = Duration::from_secs(60);
/// What an assertion has to fit.
#[derive(Debug, Clone, Copy)]
pub struct Expected<'a> {
    /// The client that says it is.
    pub client_id: &'a str,
    /// This server's issuer identifier.
    pub issuer: &'a str,
    /// This server's token endpoint.
    pub token_endpoint: &'a str,
    /// The time.
    pub now: Timestamp,
}

/// An assertion whose claims hold. It has to be used up before it counts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CheckedAssertion {
    /// Its identifier, unique within the client.
    pub jti: String,
    /// How long the identifier has to be remembered: until the assertion has ended by itself.
    pub remember_until: Timestamp,
}

/// Why the claims do not hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum AssertionError {
    /// An access token or an `id_token` is no client assertion (RFC 8725 §3.11).
    #[error("the typ of the client assertion is neither JWT nor client-authentication+jwt")]
    Type,
    /// RFC 7523 §3, 1 and 2.B.
    #[error("iss and sub of the client assertion have to be the client_id")]
    Client,
    /// RFC 7523 §3, 3; one value, since a list can name servers that would pass the assertion on
    /// (draft-ietf-oauth-rfc7523bis).
    #[error(
        "aud of the client assertion has to be the issuer or the token endpoint of this server, and nothing else"
    )]
    Audience,
    /// RFC 7523 §3, 4.
    #[error("the client assertion has no exp")]
    NoExpiry,
    /// RFC 7523 §3, 4.
    #[error("the client assertion has expired")]
    Expired,
    /// RFC 7523 §3, 4: "unreasonably far in the future".
    #[error("exp of the client assertion is more than 10 minutes ahead")]
    TooLong,
    /// RFC 7523 §3, 5 and 6.
    #[error("the client assertion is from the future (iat or nbf)")]
    NotYet,
    /// RFC 7523 §3, 7: without one it could be used twice.
    #[error("the client assertion needs a jti of 1 to 256 characters")]
    Jti,
}

impl From<AssertionError> for OAuthError {
    fn from(error: AssertionError) -> Self {
        Self::invalid_client(error.to_string())
    }
}

/// Holds the header's `typ` and the claims against what is expected.
pub fn check_assertion(
    typ: Option<&str>,
    claims: &Map<String, Value>,
    expected: &Expected<'_>,
) -> Result<CheckedAssertion, AssertionError> {
    if !typ.is_none_or(|typ| is_type(typ, "jwt") || is_type(typ, "client-authentication+jwt")) {
        return Err(AssertionError::Type);
    }
    let is_client = |name: &str| claims.get(name).and_then(Value::as_str) == Some(expected.client_id);
    if !is_client("iss") || !is_client("sub") {
        return Err(AssertionError::Client);
    }
    let for_us = |aud: &str| aud == expected.issuer || aud == expected.token_endpoint;
    if !sole(claims.get("aud")).is_some_and(for_us) {
        return Err(AssertionError::Audience);
    }
    let remember_until = check_time(claims, expected.now)?;
    let jti = jti(claims).ok_or(AssertionError::Jti)?;
    Ok(CheckedAssertion { jti: jti.to_owned(), remember_until })
}

/// When it has ended, with everything that the clocks may be apart.
fn check_time(claims: &Map<String, Value>, now: Timestamp) -> Result<Timestamp, AssertionError> {
    let exp = claims.get("exp").and_then(numeric_date).ok_or(AssertionError::NoExpiry)?;
    if exp.plus(CLOCK_SKEW).has_passed(now) {
        return Err(AssertionError::Expired);
    }
    if exp > now.plus(MAX_LIFETIME + CLOCK_SKEW) {
        return Err(AssertionError::TooLong);
    }
    for name in ["iat", "nbf"] {
        let Some(written) = claims.get(name) else { continue };
        let from = numeric_date(written).ok_or(AssertionError::NotYet)?;
        if from > now.plus(CLOCK_SKEW) {
            return Err(AssertionError::NotYet);
        }
    }
    Ok(exp.plus(CLOCK_SKEW))
}

#[cfg(test)]
#[path = "assertion/tests.rs"]
mod tests;
