//! What an assertion says.

use std::time::Duration;

use mcp_login_core::Timestamp;
use serde::Serialize;

/// How long an assertion is good: the way to the backend, and clocks that are a little apart.
pub(super) const LIFETIME: Duration = Duration::from_secs(60);

/// About whom it is.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Subject<'a> {
    pub(crate) sub: &'a str,
    pub(crate) client_id: &'a str,
    pub(crate) scope: &'a str,
    /// Only one that the upstream has verified.
    pub(crate) email: Option<&'a str>,
    pub(crate) preferred_username: Option<&'a str>,
    pub(crate) name: Option<&'a str>,
}

/// RFC 7519 §4.1, RFC 8693 §4.2 and §4.3, OpenID Connect Core 1.0 §5.1.
#[derive(Debug, Serialize)]
pub(super) struct Claims<'a> {
    iss: &'a str,
    sub: &'a str,
    aud: &'a str,
    iat: u64,
    exp: u64,
    jti: &'a str,
    client_id: &'a str,
    scope: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    email: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    email_verified: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    preferred_username: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<&'a str>,
}

impl<'a> Claims<'a> {
    pub(super) fn new(
        iss: &'a str,
        aud: &'a str,
        jti: &'a str,
        subject: &Subject<'a>,
        now: Timestamp,
    ) -> Self {
        let Subject { sub, client_id, scope, email, preferred_username, name } = *subject;
        Self {
            iss,
            sub,
            aud,
            iat: now.as_secs(),
            exp: now.plus(LIFETIME).as_secs(),
            jti,
            client_id,
            scope,
            email,
            email_verified: email.map(|_| true),
            preferred_username,
            name,
        }
    }
}
