//! `GET, POST /authorize` (OAuth 2.1 §4.1.1): checks the request and asks the person.

use std::sync::Arc;

use axum::extract::{RawQuery, State};
use axum::http::HeaderMap;
use axum::response::{IntoResponse, Response};
use mcp_login_core::authorize::checks::check_redirect;
use mcp_login_core::authorize::{AuthorizationRequest, Checked, Context, check_client_id, check_request};
use mcp_login_core::client::RedirectPolicy;
use mcp_login_core::error::{ErrorCode, OAuthError};
use mcp_login_core::grant::{Grant, Pending};
use mcp_login_core::params::Params;
use mcp_login_core::token::GrantType;

use super::AuthorizationServer;
use super::answer::{AuthorizeError, Body};
use super::cookie::Cookie;
use super::rate_limit::{ClientNetwork, TooManyRequests};
use super::session::{Departure, Purpose, REQUEST_LABEL, form_sources};
use crate::client::{Asker, Found, Origin, ResolveError};
use crate::page::{ClientSource, ConsentPage, RedirectTarget, ScopeLine, security_headers};
use crate::store::backend::StoreError;
use crate::store::records::{BrowserSecret, GrantId, Handle, HandleKind};
use crate::upstream::Upstream;

/// The request in the query.
pub(crate) async fn get(
    State(server): State<Arc<AuthorizationServer>>,
    network: ClientNetwork,
    headers: HeaderMap,
    RawQuery(query): RawQuery,
) -> Result<Response, AuthorizeError> {
    authorize(&server, network, &headers, query.unwrap_or_default().as_bytes()).await
}

/// The request in a form (OAuth 2.1 §3.1).
pub(crate) async fn post(
    State(server): State<Arc<AuthorizationServer>>,
    network: ClientNetwork,
    headers: HeaderMap,
    form: Body,
) -> Result<Response, AuthorizeError> {
    authorize(&server, network, &headers, &form?).await
}

async fn authorize(
    server: &AuthorizationServer,
    network: ClientNetwork,
    headers: &HeaderMap,
    encoded: &[u8],
) -> Result<Response, AuthorizeError> {
    let (found, checked) = check(server, network, encoded).await?;
    if let Some(browser) = Cookie::browser(server.is_https()).read(headers)
        && is_approved(server, headers, &browser, &checked).await?
    {
        let grant = GrantId::new(server.now());
        let purpose = Purpose::Request(Box::new(checked.request));
        return Departure::prepare(server, &grant, purpose).await?.insert(server, &grant).await;
    }
    show_page(server, &found, checked.request).await
}

/// Everything that has to hold, in the order of [`mcp_login_core::authorize::checks`].
async fn check(
    server: &AuthorizationServer,
    network: ClientNetwork,
    encoded: &[u8],
) -> Result<(Found, Checked), AuthorizeError> {
    let page = |error: OAuthError| AuthorizeError::bad_request(&error);
    let params = Params::parse(encoded).map_err(page)?;
    let client_id = check_client_id(&params).map_err(page)?;
    let now = server.now();
    let asker = Asker { now, may_fetch: &|| server.limits.take_document(network, now) };
    let found = server.clients.find(client_id, asker).await?;
    let redirect_uri = match found.origin {
        // Of a client that the operator has set up, each redirect URI is the operator's own word.
        Origin::Configured(_) => check_redirect(&params, &found.client, &RedirectPolicy::unrestricted()),
        Origin::Document { .. } | Origin::Registered => {
            check_redirect(&params, &found.client, &server.redirects)
        }
    };
    let redirect_uri = redirect_uri.map_err(page)?;
    let context = Context { resources: &server.indicators, scopes_of: &server.resources };
    let mut checked = check_request(&params, &found.client.client_id, redirect_uri, &context)
        .map_err(|refusal| AuthorizeError::refused(&refusal, &server.issuer))?;
    restrict(&found, &mut checked.request)
        .map_err(|error| AuthorizeError::redirect(server.response_to(&checked.request), &error))?;
    Ok((found, checked))
}

/// What the client may do, beyond what any may: a client that authenticates gives its grants to nobody that does not, and
/// one that the operator has set up gets no more than it was given.
fn restrict(found: &Found, request: &mut AuthorizationRequest) -> Result<(), OAuthError> {
    request.confidential = found.client.auth_methods.is_confidential();
    let Origin::Configured(configured) = &found.origin else { return Ok(()) };
    if !configured.may_use(GrantType::AuthorizationCode) {
        let description =
            "this client may not use authorization_code; the operator can add it to its grant_types";
        return Err(OAuthError::new(ErrorCode::UnauthorizedClient, description));
    }
    let Some(scopes) = configured.scopes() else { return Ok(()) };
    let allowed = request.scope.intersection(scopes);
    if allowed.is_empty() && !request.scope.is_empty() {
        let description =
            "this client may have none of these scopes; the operator can add them to its scopes";
        return Err(OAuthError::new(ErrorCode::InvalidScope, description));
    }
    request.scope = allowed;
    Ok(())
}

/// No document is the client's fault or its host's, not ours: a page that says so, and no 503.
impl From<ResolveError> for AuthorizeError {
    fn from(error: ResolveError) -> Self {
        match error {
            ResolveError::Unknown => {
                Self::bad_request(&OAuthError::invalid_client("the client_id is not registered here"))
            }
            ResolveError::Document(error) => Self::bad_request(&error),
            ResolveError::TooMany(wait) => TooManyRequests { wait }.into(),
            ResolveError::Store(error) => error.into(),
        }
    }
}

/// Whether an earlier approval stands in for the page. Never for loopback and private-use schemes, where any program
/// can pose as the client (RFC 8252 §8.6), and only when the person came here by themselves (`Sec-Fetch-Site`, which
/// browsers set and pages cannot).
async fn is_approved(
    server: &AuthorizationServer,
    headers: &HeaderMap,
    browser: &BrowserSecret,
    checked: &Checked,
) -> Result<bool, StoreError> {
    let site = headers.get("sec-fetch-site").and_then(|site| site.to_str().ok());
    if checked.prompt_consent
        || !checked.request.redirect_uri.is_website()
        || !matches!(site, Some("none" | "same-origin"))
    {
        return Ok(false);
    }
    let approval = server.store.approval(browser, &checked.request, server.now()).await?;
    Ok(approval.is_some_and(|approval| approval.scope.covers(&checked.request.scope)))
}

async fn show_page(
    server: &AuthorizationServer,
    found: &Found,
    request: AuthorizationRequest,
) -> Result<Response, AuthorizeError> {
    let (client, now) = (&found.client, server.now());
    let (grant, browser) = (GrantId::new(now), BrowserSecret::new());
    let token = Handle::new(HandleKind::Consent, &grant);
    let pending = Pending {
        consent: token.hash(),
        browser: browser.hash(),
        request: token.seal(REQUEST_LABEL, &request)?,
        expires_at: now.plus(server.lifetimes.session),
    };
    if !server.store.insert_grant(&grant, &Grant::Pending(pending), now).await? {
        return Err(StoreError::Damaged("a new grant's id is taken").into());
    }
    let described = server.resources.get(&request.resource).map(|resource| &resource.scope_descriptions);
    let description = |name: &str| described?.get(name).map(String::as_str);
    let scopes: Vec<ScopeLine<'_>> =
        request.scope.iter().map(|name| ScopeLine { name, description: description(name) }).collect();
    let client_host =
        client.client_uri.as_deref().and_then(|uri| url::Url::parse(uri).ok()?.host_str().map(str::to_owned));
    let Ok(redirect_uri) = url::Url::parse(request.redirect_uri.as_str()) else {
        return Err(AuthorizeError::bad_request(&OAuthError::invalid_request("redirect_uri is not a URL")));
    };
    let consent_token = token.to_secret();
    let page = ConsentPage {
        client_name: client.client_name.as_deref().unwrap_or_default(),
        client_source: match &found.origin {
            Origin::Configured(_) => ClientSource::Configured,
            Origin::Document { host } => ClientSource::Document { host },
            Origin::Registered => ClientSource::SelfRegistered,
        },
        client_host: client_host.as_deref(),
        redirect: RedirectTarget::of(&redirect_uri),
        resource: &request.resource,
        scopes: &scopes,
        upstream: server.sign_ins.of(&request.resource).upstream.display_name(),
        action: &format!("{}/consent", server.issuer),
        consent_token: consent_token.expose_secret(),
    };
    let form_action = form_action(&server.sign_ins.of(&request.resource).upstream, &redirect_uri);
    let mut response = (security_headers(&form_action), page.render()).into_response();
    Cookie::consent(server.is_https(), &grant, server.lifetimes.session).set(&mut response, &browser);
    Ok(response)
}

/// Where the form may lead: to the upstream, back to us, and on to the client.
fn form_action(upstream: &Upstream, redirect_uri: &url::Url) -> Vec<String> {
    let mut sources = form_sources(upstream);
    sources.extend(match redirect_uri.scheme() {
        "https" => None,
        // CSP has no way to write an IPv6 address (CSP 3 §2.3.1).
        "http" if matches!(redirect_uri.host(), Some(url::Host::Ipv6(_))) => Some("http:".to_owned()),
        "http" => Some(redirect_uri.origin().ascii_serialization()),
        scheme => Some(format!("{scheme}:")),
    });
    sources.dedup();
    sources
}
