//! New tokens: what goes to the client, and what the grant keeps of it.

use mcp_login_core::Timestamp;
use mcp_login_core::grant::{AccessToken, Active, Grant, Issued, Login, RefreshToken, User};
use mcp_login_core::scope::Scopes;
use mcp_login_core::token::TokenResponse;

use serde_json::{Map, Value};

use super::{Context, TokenError};
use crate::client::AuthenticatedClient;
use crate::settings::Lifetimes;
use crate::store::backend::StoreError;
use crate::store::records::{CLAIMS_LABEL, DataKey, GrantId, Handle, HandleKind, OpenError};

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
        refresh_token: Some(refresh.to_secret()),
        resource: None,
        scope: scope.clone(),
    };
    Ok((issued, response))
}

/// Whom a token speaks for that nobody signed in for.
pub(super) struct Subject {
    pub(super) user: User,
    pub(super) claims: Map<String, Value>,
}

/// A grant that begins and ends with one access token.
pub(super) async fn issue_access_token(
    context: &Context<'_>,
    client: &AuthenticatedClient,
    subject: Subject,
    resource: &str,
    scope: Scopes,
) -> Result<TokenResponse, TokenError> {
    let (now, lifetime) = (context.now, context.lifetimes.access);
    let (grant, key) = (GrantId::new(now), DataKey::new());
    let token = Handle::new(HandleKind::Access, &grant);
    let access = AccessToken {
        hash: token.hash(),
        wrapped_key: key.wrap(&token)?,
        scope: scope.clone(),
        expires_at: now.plus(lifetime),
    };
    let login = Login {
        client_id: client.id().to_owned(),
        resource: resource.to_owned(),
        scope: scope.clone(),
        user: subject.user,
        claims: key.seal(&grant, CLAIMS_LABEL, &subject.claims)?,
        upstream_tokens: None,
        upstream_ended: false,
        confidential: true,
        logged_in_at: now,
    };
    let record = Grant::Active(Box::new(Active::without_refresh_token(login, access)));
    if !context.store.insert_grant(&grant, &record, now).await? {
        return Err(StoreError::Damaged("a new grant's id is taken").into());
    }
    Ok(TokenResponse {
        access_token: token.to_secret(),
        token_type: "Bearer".to_owned(),
        expires_in: lifetime.as_secs(),
        refresh_token: None,
        resource: None,
        scope,
    })
}
