//! `GET /callback`: the person comes back from the upstream, and the client gets its code.

use std::sync::Arc;

use axum::extract::{RawQuery, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use mcp_login_core::authorize::{AuthorizationRequest, AuthorizationResponse};
use mcp_login_core::error::{ErrorCode, OAuthError};
use mcp_login_core::grant::{CodeIssued, Grant, Login as GrantLogin, User};
use mcp_login_core::params::Params;
use mcp_login_core::{Secret, Timestamp};

use super::AuthorizationServer;
use super::answer::{AuthorizeError, see_other};
use super::cookie::Cookie;
use super::session::{SESSION_LABEL, Session};
use crate::store::backend::StoreError;
use crate::store::records::{CLAIMS_LABEL, DataKey, Handle, HandleKind, UPSTREAM_TOKENS_LABEL};
use crate::telemetry::log_failure;
use crate::upstream::{Exchange, Login, UpstreamError};

/// The authorization response of the upstream (RFC 6749 §4.1.2).
pub(crate) async fn get(
    State(server): State<Arc<AuthorizationServer>>,
    headers: HeaderMap,
    RawQuery(query): RawQuery,
) -> Result<Response, AuthorizeError> {
    let query = Params::parse(query.unwrap_or_default().as_bytes());
    let query = query.map_err(|error| AuthorizeError::bad_request(&error))?;
    let (state, session) = check(&server, &headers, &query).await?;
    let outcome = finish(&server, &state, &session, &query).await;
    let mut response = match outcome {
        Ok(code) => see_other(&response_of(&server, &session.request).success(code.expose_secret())),
        Err(error) => axum::response::IntoResponse::into_response(error),
    };
    Cookie::session(server.is_https(), state.grant(), server.lifetimes.session).clear(&mut response);
    Ok(response)
}

fn response_of<'a>(
    server: &'a AuthorizationServer,
    request: &'a AuthorizationRequest,
) -> AuthorizationResponse<'a> {
    AuthorizationResponse {
        redirect_uri: &request.redirect_uri,
        state: request.state.as_deref(),
        issuer: &server.issuer,
    }
}

/// That this is the login that was started here, in the browser that consented to it, for the first time. The record
/// is taken before the upstream is asked, so of one callback sent twice only one goes on.
async fn check(
    server: &AuthorizationServer,
    headers: &HeaderMap,
    query: &Params,
) -> Result<(Handle, Session), AuthorizeError> {
    let not_open = || AuthorizeError::stale(StatusCode::BAD_REQUEST);
    let now = server.now();
    let presented = query.one("state").ok().flatten();
    let state = presented.and_then(|state| Handle::parse(HandleKind::State, state)).ok_or_else(not_open)?;
    let found = server.store.grant(state.grant(), now).await?.ok_or_else(not_open)?;
    let Grant::Approved(approved) = found.record else { return Err(not_open()) };
    let cookie = Cookie::session(server.is_https(), state.grant(), server.lifetimes.session);
    let session = cookie.read(headers).ok_or_else(not_open)?;
    if approved.state != state.hash() || approved.session != session.hash() {
        return Err(not_open());
    }
    let session: Session = state.open(SESSION_LABEL, &approved.session_data)?;
    match server.store.take_grant(state.grant(), now).await? {
        Some(taken) if taken.version == found.version => Ok((state, session)),
        _ => Err(not_open()),
    }
}

/// The code for the client.
async fn finish(
    server: &AuthorizationServer,
    state: &Handle,
    session: &Session,
    query: &Params,
) -> Result<Secret, AuthorizeError> {
    let refuse = |code, description: &'static str| {
        AuthorizeError::redirect(response_of(server, &session.request), &OAuthError::new(code, description))
    };
    if let Ok(Some(error)) = query.one("error") {
        return Err(match error {
            "access_denied" => refuse(ErrorCode::AccessDenied, "the sign-in was cancelled"),
            "temporarily_unavailable" => {
                refuse(ErrorCode::TemporarilyUnavailable, "the sign-in service is not available right now")
            }
            _ => refuse(ErrorCode::ServerError, "the sign-in service refused the login"),
        });
    }
    let Ok(Some(code)) = query.one("code") else {
        return Err(AuthorizeError::stale(StatusCode::BAD_REQUEST));
    };
    let now = server.now();
    let exchange = Exchange {
        code: &code.into(),
        iss: query.one("iss").unwrap_or(Some("")),
        redirect_uri: &server.callback,
        code_verifier: &session.code_verifier,
        nonce: &session.nonce,
        now,
    };
    let login = match server.upstream.exchange(exchange).await {
        Ok(login) => login,
        Err(error) => {
            log_failure(&error);
            return Err(match error {
                UpstreamError::Untrusted(_) => AuthorizeError::untrusted(),
                UpstreamError::Unavailable { .. } => refuse(
                    ErrorCode::TemporarilyUnavailable,
                    "the sign-in service is not available right now",
                ),
                UpstreamError::Refused { .. } | UpstreamError::Misconfigured(_) => {
                    refuse(ErrorCode::ServerError, "the sign-in service refused the login")
                }
            });
        }
    };
    if !server.access.admits(&login.identity) {
        tracing::info!(subject = login.identity.subject, "a person who is not on the list tried to log in");
        return Err(refuse(
            ErrorCode::AccessDenied,
            "this account may not use this server; ask whoever runs it",
        ));
    }
    Ok(issue_code(server, state, &session.request, login, now).await?)
}

/// The grant goes on under its own id, with a data key of its own.
async fn issue_code(
    server: &AuthorizationServer,
    state: &Handle,
    request: &AuthorizationRequest,
    login: Login,
    now: Timestamp,
) -> Result<Secret, StoreError> {
    let grant = state.grant();
    let (code, key) = (Handle::new(HandleKind::Code, grant), DataKey::new());
    let Login { tokens, identity } = login;
    let issued = CodeIssued {
        login: GrantLogin {
            client_id: request.client_id.clone(),
            resource: request.resource.clone(),
            scope: request.scope.clone(),
            claims: key.seal(grant, CLAIMS_LABEL, &identity.claims)?,
            upstream_tokens: key.seal(grant, UPSTREAM_TOKENS_LABEL, &tokens)?,
            upstream_ended: false,
            user: User {
                subject: identity.subject,
                email: identity.email,
                name: identity.name,
                preferred_username: identity.preferred_username,
            },
            logged_in_at: now,
        },
        code: code.hash(),
        wrapped_key: key.wrap(&code)?,
        redirect_uri: request.redirect_uri.clone(),
        code_challenge: request.code_challenge.clone(),
        expires_at: now.plus(server.lifetimes.code),
    };
    if !server.store.insert_grant(grant, &Grant::CodeIssued(Box::new(issued)), now).await? {
        return Err(StoreError::Damaged("a grant came back while its login was finished"));
    }
    tracing::info!(client_id = request.client_id, resource = request.resource, "a person has logged in");
    Ok(code.to_secret())
}
