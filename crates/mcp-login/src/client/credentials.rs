//! What a client presents (OAuth 2.1 §2.4): nothing, a secret or a signed assertion.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use mcp_login_core::Secret;
use mcp_login_core::client::assertion::CLIENT_ASSERTION_TYPE;
use mcp_login_core::error::OAuthError;
use mcp_login_core::params::Params;

use super::assertion::not_verified;
use crate::jwt::UnverifiedJwt;

/// Who the client says it is, and with what.
#[derive(Debug)]
pub(super) struct Credentials<'a> {
    pub(super) client_id: String,
    pub(super) proof: Proof<'a>,
}

/// What proves it.
#[derive(Debug)]
pub(super) enum Proof<'a> {
    /// Nothing: a public client.
    None,
    /// A secret, in whichever way it came.
    Secret(Secret),
    /// A signed assertion (RFC 7523 §2.2).
    Assertion(Box<UnverifiedJwt<'a>>),
}

impl<'a> Credentials<'a> {
    /// From the `Authorization` headers and the form of a request: one method at a time (RFC 6749 §2.3).
    pub(super) fn read(authorization: &[&[u8]], form: &'a Params) -> Result<Self, OAuthError> {
        let assertion = form.has("client_assertion") || form.has("client_assertion_type");
        let (in_form, secret) = (form.one("client_id")?, form.one("client_secret")?);
        match (authorization, secret, assertion) {
            ([], None, false) => Ok(Self { client_id: named(in_form)?, proof: Proof::None }),
            ([], Some(secret), false) => {
                Ok(Self { client_id: named(in_form)?, proof: Proof::Secret(secret.into()) })
            }
            ([], None, true) => Self::read_assertion(in_form, form),
            ([header], None, false) => {
                let credentials = Self::read_basic(header).ok_or_else(|| {
                    OAuthError::invalid_client("the Authorization header is not Basic credentials")
                })?;
                if in_form.is_some_and(|in_form| in_form != credentials.client_id) {
                    return Err(OAuthError::invalid_request("two client_ids are given"));
                }
                Ok(credentials)
            }
            _ => Err(OAuthError::invalid_request("use one way of client authentication")),
        }
    }

    /// RFC 7521 §4.2: the `client_id` may be left to the assertion, but not contradict it.
    fn read_assertion(in_form: Option<&str>, form: &'a Params) -> Result<Self, OAuthError> {
        if form.one("client_assertion_type")? != Some(CLIENT_ASSERTION_TYPE) {
            return Err(OAuthError::invalid_client(
                "client_assertion_type has to be urn:ietf:params:oauth:client-assertion-type:jwt-bearer",
            ));
        }
        let text = form.one("client_assertion")?.unwrap_or_default();
        let jwt = UnverifiedJwt::read(text).map_err(|_| not_verified())?;
        let claims = jwt.unverified_claims().ok_or_else(not_verified)?;
        let subject = claims.get("sub").and_then(serde_json::Value::as_str).ok_or_else(not_verified)?;
        if in_form.is_some_and(|in_form| in_form != subject) {
            return Err(OAuthError::invalid_client("client_id is not the sub of the client assertion"));
        }
        Ok(Self { client_id: subject.to_owned(), proof: Proof::Assertion(Box::new(jwt)) })
    }

    /// `Basic`, with both parts form-encoded (RFC 6749 §2.3.1).
    fn read_basic(header: &[u8]) -> Option<Self> {
        let header = std::str::from_utf8(header).ok()?;
        let (scheme, encoded) = header.split_once(' ')?;
        if !scheme.eq_ignore_ascii_case("basic") || encoded.len() > 2048 {
            return None;
        }
        let decoded = zeroize::Zeroizing::new(STANDARD.decode(encoded.trim()).ok()?);
        let (client_id, secret) = std::str::from_utf8(&decoded).ok()?.split_once(':')?;
        let decode = |part: &str| {
            let pair = Params::parse(format!("p={}", part.replace('&', "%26")).as_bytes()).ok()?;
            pair.one("p").ok().map(|value| value.unwrap_or_default().to_owned())
        };
        let secret = decode(secret)?;
        let proof = if secret.is_empty() { Proof::None } else { Proof::Secret(secret.into()) };
        Some(Self { client_id: decode(client_id)?, proof })
    }
}

fn named(client_id: Option<&str>) -> Result<String, OAuthError> {
    client_id.map(str::to_owned).ok_or_else(|| OAuthError::invalid_client("client_id is missing"))
}
