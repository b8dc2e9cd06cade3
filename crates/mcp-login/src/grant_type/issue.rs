//! New tokens: what goes to the client, and what the grant keeps of it.

use mcp_login_core::grant::{AccessToken, Active, Grant, Issued, Login, RefreshToken, User};
use mcp_login_core::scope::Scopes;
use mcp_login_core::token::TokenResponse;
use serde_json::{Map, Value};

use super::{Context, ProvedKey, TokenError};
use crate::client::AuthenticatedClient;
use crate::store::backend::StoreError;
use crate::store::records::{CLAIMS_LABEL, DataKey, GrantId, Handle, HandleKind, OpenError};

/// A new access token, bound to the key that the request has proved, if it has: what the grant keeps of it, and the token.
fn new_access_token(
    context: &Context<'_>,
    ProvedKey(jkt): ProvedKey,
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
        jkt,
    };
    Ok((kept, access))
}

/// A new access token and this refresh token, of this login.
pub(super) fn issue(
    context: &Context<'_>,
    proved: ProvedKey,
    login: &Login,
    refresh: &Handle,
    key: &DataKey,
    scope: &Scopes,
) -> Result<(Issued, TokenResponse), OpenError> {
    let (access, token) = new_access_token(context, proved, refresh.grant(), key, scope)?;
    let response = TokenResponse {
        access_token: token.to_secret(),
        token_type: access.token_type().to_owned(),
        expires_in: context.lifetimes.access.as_secs(),
        refresh_token: Some(refresh.to_secret()),
        resource: None,
        scope: access.scope.clone(),
    };
    let refresh = RefreshToken {
        hash: refresh.hash(),
        wrapped_key: key.wrap(refresh)?,
        expires_at: context.now.plus(context.lifetimes.refresh),
        jkt: login.refresh_token_jkt(proved.0),
    };
    Ok((Issued { access, refresh }, response))
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
    let (now, proved) = (context.now, context.use_up_proof().await?);
    let (grant, key) = (GrantId::new(now), DataKey::new());
    let (access, token) = new_access_token(context, proved, &grant, &key, &scope)?;
    let login = Login {
        client_id: client.id().to_owned(),
        resource: resource.to_owned(),
        scope: scope.clone(),
        user: subject.user,
        realm: None,
        claims: key.seal(&grant, CLAIMS_LABEL, &subject.claims)?,
        upstream_tokens: None,
        upstream_ended: false,
        confidential: true,
        logged_in_at: now,
    };
    let token_type = access.token_type().to_owned();
    let record = Grant::Active(Box::new(Active::without_refresh_token(login, access)));
    if !context.store.insert_grant(&grant, &record, now).await? {
        return Err(StoreError::Damaged("a new grant's id is taken").into());
    }
    Ok(TokenResponse {
        access_token: token.to_secret(),
        token_type,
        expires_in: context.lifetimes.access.as_secs(),
        refresh_token: None,
        resource: None,
        scope,
    })
}
