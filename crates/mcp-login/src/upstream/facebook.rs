//! Facebook's ways: errors are objects with numbers, calls prove the client's secret, and a token is exchanged for a longer
//! one, for there are no refresh tokens.

use std::fmt::Write;

use aws_lc_rs::hmac;
use mcp_login_core::{Secret, Timestamp};
use serde_json::{Map, Value};
use url::Url;

use super::error::UpstreamError;
use super::service::Upstream;
use super::token::Purpose;

/// The token has ended, was revoked or is none.
const DEAD: i64 = 190;
/// The service or this app has too much to do.
const BUSY: [i64; 5] = [1, 2, 4, 17, 341];

/// What an `error` object says.
pub(super) fn refusal(error: &Value) -> UpstreamError {
    match error.get("code").and_then(Value::as_i64) {
        Some(DEAD) => UpstreamError::refused("invalid_grant"),
        Some(code) if BUSY.contains(&code) => {
            UpstreamError::unavailable("it answered with a temporary error")
        }
        _ => UpstreamError::refused("unrecognized_error"),
    }
}

impl Upstream {
    /// A call with the proof that it is the client who makes it: an HMAC of the token under the secret.
    pub(super) fn with_proof(&self, mut endpoint: Url, access_token: &Secret) -> Url {
        endpoint.query_pairs_mut().append_pair("appsecret_proof", &self.proof(access_token));
        endpoint
    }

    fn proof(&self, access_token: &Secret) -> String {
        hex(hmac_sha256(self.secret(), access_token.expose_secret()).as_ref())
    }

    /// The answer with a token that lives for weeks in the place of the one that lives for an hour or two.
    pub(super) async fn long_lived(
        &self,
        endpoint: Url,
        answer: &Map<String, Value>,
        now: Timestamp,
    ) -> Result<Map<String, Value>, UpstreamError> {
        let Some(token) = answer.get("access_token").and_then(Value::as_str) else {
            return Ok(answer.clone());
        };
        let members = [("grant_type", "fb_exchange_token"), ("fb_exchange_token", token)];
        self.call_token_endpoint(endpoint, &members, Purpose::Exchange, now).await
    }
}

/// HMAC-SHA-256 of a text under a client's secret.
pub(super) fn hmac_sha256(secret: &str, text: &str) -> hmac::Tag {
    hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes()), text.as_bytes())
}

/// Lower-case hexadecimal digits.
pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        // Writing to a string does not fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}
