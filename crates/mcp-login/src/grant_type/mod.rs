//! Grant types: what a token request exchanges for tokens, one file each.

mod authorization_code;
mod issue;
mod refresh_token;

use mcp_login_core::Timestamp;
use mcp_login_core::dpop::JwkThumbprint;
use mcp_login_core::error::OAuthError;
use mcp_login_core::grant::GrantError;
use mcp_login_core::token::{TokenRequest, TokenResponse};

use crate::client::AuthenticatedClient;
use crate::settings::Lifetimes;
use crate::store::Store;
use crate::store::backend::StoreError;
use crate::store::records::OpenError;

/// How often a step is tried that others keep overtaking. Each loss means that somebody else's step was done, so
/// honest clients come nowhere near.
const MAX_ATTEMPTS: usize = 64;

/// What every grant type works with.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Context<'a> {
    pub(crate) store: &'a Store,
    pub(crate) lifetimes: &'a Lifetimes,
    pub(crate) now: Timestamp,
    /// The key that the client has proved to hold: what the new access token is bound to (RFC 9449 §5).
    pub(crate) dpop: Option<JwkThumbprint>,
}

/// Why there are no tokens.
#[derive(Debug)]
pub(crate) enum TokenError {
    /// By a rule.
    OAuth(OAuthError),
    /// Nobody knows: the store is away.
    Store(StoreError),
}

impl From<OAuthError> for TokenError {
    fn from(error: OAuthError) -> Self {
        Self::OAuth(error)
    }
}

impl From<GrantError> for TokenError {
    fn from(error: GrantError) -> Self {
        Self::OAuth(error.into())
    }
}

impl From<StoreError> for TokenError {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

impl From<OpenError> for TokenError {
    fn from(error: OpenError) -> Self {
        Self::Store(error.into())
    }
}

/// Answers a token request of an authenticated client.
pub(crate) async fn grant_tokens(
    context: &Context<'_>,
    client: &AuthenticatedClient,
    request: TokenRequest<'_>,
) -> Result<TokenResponse, TokenError> {
    match request {
        TokenRequest::AuthorizationCode(request) => {
            authorization_code::exchange(context, client, &request).await
        }
        TokenRequest::RefreshToken(request) => refresh_token::refresh(context, client, &request).await,
    }
}

impl Context<'_> {
    /// Others are too many: the caller may come back.
    fn overtaken() -> TokenError {
        StoreError::unavailable("the grant changes faster than it can be written").into()
    }
}
