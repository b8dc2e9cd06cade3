//! `POST /revoke` (RFC 7009).

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use mcp_login_core::error::OAuthError;
use mcp_login_core::grant::{Active, Grant};

use super::AuthorizationServer;
use super::answer::{JsonError, no_store};
use super::authenticated::AuthenticatedRequest;
use super::ending::end_login;
use crate::client::AuthenticatedClient;
use crate::store::backend::{StoreError, Swap, Version};
use crate::store::records::{DataKey, Handle, HandleKind};

/// How often an access token is taken out of a grant that others keep writing.
const MAX_ATTEMPTS: usize = 64;

/// A revocation request. The token's kind is in the token, so `token_type_hint` is not needed (RFC 7009 §2.1).
pub(crate) async fn post(
    State(server): State<Arc<AuthorizationServer>>,
    AuthenticatedRequest { client, form, .. }: AuthenticatedRequest,
) -> Result<Response, JsonError> {
    let token = form.one("token")?.ok_or_else(|| OAuthError::invalid_request("token is missing"))?;
    if let Some(token) = Handle::parse(HandleKind::Refresh, token) {
        revoke_refresh_token(&server, &client, &token).await?;
    } else if let Some(token) = Handle::parse(HandleKind::Access, token) {
        revoke_access_token(&server, &client, &token).await?;
    }
    // A token that is not there has been revoked well enough (RFC 7009 §2.2).
    Ok((StatusCode::OK, no_store()).into_response())
}

async fn active_grant(
    server: &AuthorizationServer,
    token: &Handle,
) -> Result<Option<(Version, Box<Active>)>, StoreError> {
    Ok(match server.store.grant(token.grant(), server.now()).await? {
        Some(found) => match found.record {
            Grant::Active(active) => Some((found.version, active)),
            _ => None,
        },
        None => None,
    })
}

fn check_owner(active: &Active, client: &AuthenticatedClient) -> Result<(), OAuthError> {
    Ok(active.login.check_client(client.presented())?)
}

/// A refresh token takes its whole grant along (RFC 7009 §2.1).
async fn revoke_refresh_token(
    server: &Arc<AuthorizationServer>,
    client: &AuthenticatedClient,
    token: &Handle,
) -> Result<(), JsonError> {
    let Some((_, active)) = active_grant(server, token).await? else { return Ok(()) };
    if active.has_refresh_token(token.hash(), token.lineage_hash()) {
        check_owner(&active, client)?;
        // A token that was used since opens nothing any more; then the service's tokens end by themselves.
        let key = active.key_under_refresh_token(token.hash());
        let key = key.and_then(|wrapped| DataKey::unwrap(token, wrapped).ok());
        end_login(server, token.grant(), &active.login, key).await?;
        tracing::info!(client_id = client.id(), "a login was ended by its client");
    }
    Ok(())
}

/// An access token goes alone: some clients revoke the old one after a refresh.
async fn revoke_access_token(
    server: &AuthorizationServer,
    client: &AuthenticatedClient,
    token: &Handle,
) -> Result<(), JsonError> {
    for _ in 0..MAX_ATTEMPTS {
        let Some((version, mut active)) = active_grant(server, token).await? else { return Ok(()) };
        if active.access_token(token.hash(), server.now()).is_none() {
            return Ok(());
        }
        check_owner(&active, client)?;
        active.prune(server.now());
        active.revoke_access_token(token.hash());
        match server.store.swap_grant(token.grant(), version, &Grant::Active(active), server.now()).await? {
            Swap::Done(_) | Swap::Missing => return Ok(()),
            Swap::Conflict => {}
        }
    }
    Err(StoreError::unavailable("the grant changes faster than it can be written").into())
}
