//! `POST /consent`: what the person answered.

use std::sync::Arc;

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use mcp_login_core::authorize::AuthorizationRequest;
use mcp_login_core::error::{ErrorCode, OAuthError};
use mcp_login_core::grant::Grant;
use mcp_login_core::params::Params;

use super::AuthorizationServer;
use super::answer::{AuthorizeError, Body, see_other};
use super::cookie::Cookie;
use super::origin::is_ours;
use super::session::{Departure, Purpose, REQUEST_LABEL, claim};
use crate::store::backend::Version;
use crate::store::records::{BrowserSecret, Handle, HandleKind};

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
    page: Version,
    request: AuthorizationRequest,
    /// The browser, if approvals are remembered for it already.
    browser: Option<BrowserSecret>,
}

/// That the answer comes from the page we sent, in the browser that we sent it to, for the first time.
async fn check(
    server: &AuthorizationServer,
    headers: &HeaderMap,
    form: &Params,
) -> Result<Answered, AuthorizeError> {
    let foreign = || AuthorizeError::stale(StatusCode::FORBIDDEN);
    if !is_ours(server, headers) {
        return Err(foreign());
    }
    let token = form.one("consent_token").ok().flatten();
    let token = token.and_then(|token| Handle::parse(HandleKind::Consent, token)).ok_or_else(foreign)?;
    let shown_to = consent_cookie(server, &token).read(headers).ok_or_else(foreign)?;
    let found = server.store.grant(token.grant(), server.now()).await?.ok_or_else(foreign)?;
    let Grant::Pending(pending) = found.record else { return Err(foreign()) };
    if pending.consent != token.hash() || pending.browser != shown_to.hash() {
        return Err(foreign());
    }
    let request = token.open(REQUEST_LABEL, &pending.request)?;
    let browser = Cookie::browser(server.is_https()).read(headers);
    Ok(Answered { token, page: found.version, request, browser })
}

fn consent_cookie(server: &AuthorizationServer, token: &Handle) -> Cookie {
    Cookie::consent(server.is_https(), token.grant(), server.lifetimes.session)
}

async fn allow(server: &AuthorizationServer, answered: Answered) -> Result<Response, AuthorizeError> {
    let Answered { token, page, request, browser } = answered;
    let remember = request.redirect_uri.is_website();
    let purpose = Purpose::Request(Box::new(request));
    let departure = Departure::prepare(server, token.grant(), purpose).await?;
    let response = departure.replace(server, token.grant(), page).await?;
    let mut response = response.ok_or_else(|| AuthorizeError::stale(StatusCode::FORBIDDEN))?;
    consent_cookie(server, &token).clear(&mut response);
    if remember {
        // What is approved is remembered once the person has signed in; the cookie has to be there by then.
        Cookie::browser(server.is_https()).set(&mut response, &browser.unwrap_or_default());
    }
    Ok(response)
}

/// OAuth 2.1 §4.1.2.1.
async fn deny(server: &AuthorizationServer, answered: Answered) -> Result<Response, AuthorizeError> {
    if claim(server, answered.token.grant(), answered.page).await?.is_none() {
        return Err(AuthorizeError::stale(StatusCode::FORBIDDEN));
    }
    let no = &OAuthError::new(ErrorCode::AccessDenied, "the person said no");
    let mut response = see_other(&server.response_to(&answered.request).error(no));
    consent_cookie(server, &answered.token).clear(&mut response);
    Ok(response)
}
