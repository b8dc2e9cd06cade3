//! `POST /introspect` (RFC 7662): what a token is good for, told to clients that have proved who they are.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use mcp_login_core::Timestamp;
use mcp_login_core::dpop::JwkThumbprint;
use mcp_login_core::error::OAuthError;
use mcp_login_core::grant::{Active, Grant};
use mcp_login_core::scope::Scopes;
use serde::Serialize;

use super::AuthorizationServer;
use super::answer::{JsonError, no_store};
use super::authenticated::AuthenticatedRequest;
use crate::client::AuthenticatedClient;
use crate::store::backend::StoreError;
use crate::store::records::{Handle, HandleKind};

/// RFC 7662 §2.2. A token that is not good, or is none of the asker's business, is not active and nothing more.
#[derive(Debug, Default, Serialize)]
struct Introspection {
    active: bool,
    #[serde(flatten)]
    token: Option<ActiveToken>,
}

#[derive(Debug, Serialize)]
struct ActiveToken {
    iss: String,
    sub: String,
    aud: String,
    client_id: String,
    scope: Scopes,
    /// Seconds since 1970 (RFC 7519 §2).
    exp: u64,
    /// Not for refresh tokens, which are no bearer tokens.
    #[serde(skip_serializing_if = "Option::is_none")]
    token_type: Option<&'static str>,
    /// The key that it is bound to (RFC 9449 §6.2).
    #[serde(skip_serializing_if = "Option::is_none")]
    cnf: Option<Confirmation>,
}

#[derive(Debug, Serialize)]
struct Confirmation {
    jkt: JwkThumbprint,
}

/// An introspection request. The token's kind is in the token, so `token_type_hint` is not needed (RFC 7662 §2.1).
pub(crate) async fn post(
    State(server): State<Arc<AuthorizationServer>>,
    AuthenticatedRequest { client, form, .. }: AuthenticatedRequest,
) -> Result<Response, JsonError> {
    // RFC 7662 §2.1: whoever asks has to prove who asks, or tokens could be tried out here.
    if !client.presented().authenticated {
        return Err(OAuthError::invalid_client("introspection is for clients that authenticate").into());
    }
    let token = form.one("token")?.ok_or_else(|| OAuthError::invalid_request("token is missing"))?;
    let token = active_token(&server, &client, token).await?;
    let answer = Introspection { active: token.is_some(), token };
    Ok((no_store(), Json(answer)).into_response())
}

async fn active_token(
    server: &AuthorizationServer,
    client: &AuthenticatedClient,
    token: &str,
) -> Result<Option<ActiveToken>, StoreError> {
    let (now, kinds) = (server.now(), [HandleKind::Access, HandleKind::Refresh]);
    let Some((kind, token)) = kinds.into_iter().find_map(|kind| Some((kind, Handle::parse(kind, token)?)))
    else {
        return Ok(None);
    };
    let Some(found) = server.store.grant(token.grant(), now).await? else { return Ok(None) };
    let Grant::Active(active) = found.record else { return Ok(None) };
    Ok(if kind == HandleKind::Access {
        access_token(server, client, &active, &token, now)
    } else {
        refresh_token(server, client, &active, &token, now)
    })
}

/// Its own client may ask, and clients that the operator has named: MCP servers elsewhere that get such tokens.
fn access_token(
    server: &AuthorizationServer,
    client: &AuthenticatedClient,
    active: &Active,
    token: &Handle,
    now: Timestamp,
) -> Option<ActiveToken> {
    let held = active.access_token(token.hash(), now)?;
    let concerned = client.is_configured() || active.login.check_client(client.presented()).is_ok();
    concerned.then(|| ActiveToken {
        scope: held.scope.clone(),
        exp: held.expires_at.as_secs(),
        token_type: Some(held.token_type()),
        cnf: held.jkt.map(|jkt| Confirmation { jkt }),
        ..about(server, active)
    })
}

/// For its own client only: to anybody else it is good for nothing.
fn refresh_token(
    server: &AuthorizationServer,
    client: &AuthenticatedClient,
    active: &Active,
    token: &Handle,
    now: Timestamp,
) -> Option<ActiveToken> {
    let expires_at = active.refresh_token(token.hash(), now)?;
    let own = active.login.check_client(client.presented()).is_ok();
    own.then(|| ActiveToken { exp: expires_at.as_secs(), ..about(server, active) })
}

fn about(server: &AuthorizationServer, active: &Active) -> ActiveToken {
    ActiveToken {
        iss: server.issuer.clone(),
        sub: active.login.user.subject.clone(),
        aud: active.login.resource.clone(),
        client_id: active.login.client_id.clone(),
        scope: active.login.scope.clone(),
        exp: 0,
        token_type: None,
        cnf: None,
    }
}
