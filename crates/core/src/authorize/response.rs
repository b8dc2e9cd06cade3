//! The authorization response (OAuth 2.1 §4.1.2): a redirect to the client that always names its issuer (RFC 9207).

use crate::client::VerifiedRedirectUri;
use crate::error::OAuthError;

/// The way back to the client.
#[derive(Debug, Clone, Copy)]
pub struct AuthorizationResponse<'a> {
    /// Where to.
    pub redirect_uri: &'a VerifiedRedirectUri,
    /// The client's `state`.
    pub state: Option<&'a str>,
    /// Our issuer.
    pub issuer: &'a str,
}

impl AuthorizationResponse<'_> {
    /// The URL that brings the client a code.
    #[must_use]
    pub fn success(&self, code: &str) -> String {
        self.url(vec![("code", code)])
    }

    /// The URL that brings the client a refusal (§4.1.2.1).
    #[must_use]
    pub fn error(&self, error: &OAuthError) -> String {
        self.url(vec![("error", error.code.as_str()), ("error_description", &error.description)])
    }

    fn url<'b>(&'b self, mut params: Vec<(&'b str, &'b str)>) -> String {
        if let Some(state) = self.state {
            params.push(("state", state));
        }
        params.push(("iss", self.issuer));
        self.redirect_uri.with_params(&params)
    }
}
