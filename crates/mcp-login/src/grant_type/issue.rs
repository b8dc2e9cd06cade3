//! New tokens: what goes to the client, and what the grant keeps of it.

use mcp_login_core::Timestamp;
use mcp_login_core::grant::{AccessToken, Issued, RefreshToken};
use mcp_login_core::scope::Scopes;
use mcp_login_core::token::TokenResponse;

use crate::settings::Lifetimes;
use crate::store::records::{DataKey, Handle, HandleKind, OpenError};

/// A new access token and this refresh token.
pub(super) fn issue(
    refresh: &Handle,
    key: &DataKey,
    scope: &Scopes,
    lifetimes: &Lifetimes,
    now: Timestamp,
) -> Result<(Issued, TokenResponse), OpenError> {
    let access = Handle::new(HandleKind::Access, refresh.grant());
    let issued = Issued {
        access: AccessToken {
            hash: access.hash(),
            wrapped_key: key.wrap(&access)?,
            scope: scope.clone(),
            expires_at: now.plus(lifetimes.access),
        },
        refresh: RefreshToken {
            hash: refresh.hash(),
            wrapped_key: key.wrap(refresh)?,
            expires_at: now.plus(lifetimes.refresh),
        },
    };
    let response = TokenResponse {
        access_token: access.to_secret(),
        token_type: "Bearer".to_owned(),
        expires_in: lifetimes.access.as_secs(),
        refresh_token: refresh.to_secret(),
        scope: scope.clone(),
    };
    Ok((issued, response))
}
