//! New tokens: what goes to the client, and what the grant keeps of it.

use mcp_login_core::grant::{AccessToken, Issued, PresentedClient, RefreshToken};
use mcp_login_core::scope::Scopes;
use mcp_login_core::token::TokenResponse;

use super::Context;
use crate::store::records::{DataKey, GrantId, Handle, HandleKind, OpenError};

/// A new access token, bound to the key that the request has proved, if it has: what the grant keeps of it, and the token.
pub(super) fn issue_access_token(
    context: &Context<'_>,
    grant: &GrantId,
    key: &DataKey,
    scope: &Scopes,
) -> Result<(AccessToken, Handle), OpenError> {
    let access = Handle::new(HandleKind::Access, grant);
    let kept = AccessToken {
        hash: access.hash(),
        wrapped_key: key.wrap(&access)?,
        scope: scope.clone(),
        expires_at: context.now.plus(context.lifetimes.access),
        jkt: context.dpop,
    };
    Ok((kept, access))
}

/// A new access token and this refresh token.
pub(super) fn issue(
    context: &Context<'_>,
    client: PresentedClient<'_>,
    refresh: &Handle,
    key: &DataKey,
    scope: &Scopes,
) -> Result<(Issued, TokenResponse), OpenError> {
    let (access, token) = issue_access_token(context, refresh.grant(), key, scope)?;
    let response = TokenResponse {
        access_token: token.to_secret(),
        token_type: access.token_type().to_owned(),
        expires_in: context.lifetimes.access.as_secs(),
        refresh_token: refresh.to_secret(),
        scope: access.scope.clone(),
    };
    let refresh = RefreshToken {
        hash: refresh.hash(),
        wrapped_key: key.wrap(refresh)?,
        expires_at: context.now.plus(context.lifetimes.refresh),
        jkt: client.refresh_token_jkt(context.dpop),
    };
    Ok((Issued { access, refresh }, response))
}
