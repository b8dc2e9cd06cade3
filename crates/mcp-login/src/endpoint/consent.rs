//! `POST /consent`: what the person answered.

use std::sync::Arc;

use axum::extract::State;
use axum::http::header::ORIGIN;
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use mcp_login_core::authorize::{AuthorizationRequest, AuthorizationResponse};
use mcp_login_core::error::{ErrorCode, OAuthError};
use mcp_login_core::grant::{Grant, Pending};
use mcp_login_core::params::Params;

use super::AuthorizationServer;
use super::answer::{AuthorizeError, Body, see_other};
use super::cookie::Cookie;
use super::session::{Departure, REQUEST_LABEL};
use crate::store::records::{BrowserSecret, Handle, HandleKind, Versioned};

/// The consent page's form.
pub(crate) async fn post(
    State(server): State<Arc<AuthorizationServer>>,
    headers: HeaderMap,
    form: Body,
) -> Result<Response, AuthorizeError> {
    let form = Params::parse(&form?).map_err(|error| AuthorizeError::bad_request(&error))?;
    let answer = check(&server, &headers, &form).await?;
    match form.one("decision") {
        Ok(Some("allow")) => allow(&server, answer).await,
        Ok(Some("deny")) => deny(&server, answer).await,
        _ => Err(AuthorizeError::bad_request(&OAuthError::invalid_request("decision is allow or deny"))),
    }
}

/// The answered page.
struct Answered {
    token: Handle,
    browser: BrowserSecret,
    page: Versioned<Pending>,
    request: AuthorizationRequest,
}

/// That the answer comes from the page we sent, in the browser that we sent it to, for the first time.
async fn check(
    server: &AuthorizationServer,
    headers: &HeaderMap,
    form: &Params,
) -> Result<Answered, AuthorizeError> {
    let foreign = || AuthorizeError::stale(StatusCode::FORBIDDEN);
    check_origin(server, headers)?;
    let token = form.one("consent_token").ok().flatten();
    let token = token.and_then(|token| Handle::parse(HandleKind::Consent, token)).ok_or_else(foreign)?;
    let browser = Cookie::browser(server.is_https()).read(headers).ok_or_else(foreign)?;
    let found = server.store.grant(token.grant(), server.now()).await?.ok_or_else(foreign)?;
    let Grant::Pending(pending) = found.record else { return Err(foreign()) };
    if pending.consent != token.hash() || pending.browser != browser.hash() {
        return Err(foreign());
    }
    let request = token.open(REQUEST_LABEL, &pending.request)?;
    Ok(Answered { token, browser, page: Versioned { version: found.version, record: pending }, request })
}

/// Browsers name the origin of every form that is posted. The page's referrer policy lets them name ours; one that
/// names another, or hides it, is refused. Nothing but a browser leaves it out.
fn check_origin(server: &AuthorizationServer, headers: &HeaderMap) -> Result<(), AuthorizeError> {
    let ours = |origin: &axum::http::HeaderValue| origin.as_bytes() == server.origin.as_bytes();
    if headers.get_all(ORIGIN).iter().all(ours) {
        Ok(())
    } else {
        Err(AuthorizeError::stale(StatusCode::FORBIDDEN))
    }
}

async fn allow(server: &AuthorizationServer, answered: Answered) -> Result<Response, AuthorizeError> {
    let Answered { token, browser, page, request } = answered;
    if request.redirect_uri.is_website() {
        server.store.remember_approval(&browser, &request, server.now()).await?;
    }
    let departure = Departure::prepare(server, token.grant(), request).await?;
    let response = departure.replace(server, token.grant(), page.version).await?;
    response.ok_or_else(|| AuthorizeError::stale(StatusCode::FORBIDDEN))
}

/// OAuth 2.1 §4.1.2.1.
async fn deny(server: &AuthorizationServer, answered: Answered) -> Result<Response, AuthorizeError> {
    let taken = server.store.take_grant(answered.token.grant(), server.now()).await?;
    if taken.is_none() {
        return Err(AuthorizeError::stale(StatusCode::FORBIDDEN));
    }
    let request = &answered.request;
    let to = AuthorizationResponse {
        redirect_uri: &request.redirect_uri,
        state: request.state.as_deref(),
        issuer: &server.issuer,
    };
    Ok(see_other(&to.error(&OAuthError::new(ErrorCode::AccessDenied, "the person said no"))))
}
