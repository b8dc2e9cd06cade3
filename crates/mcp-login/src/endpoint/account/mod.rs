//! `/account`: what is connected in a person's name, each with a button that ends it.
//!
//! A person signs in at the service like for a login, and gets a session of a quarter of an hour in the place of a code.
//! Who may log in is not asked: those who no longer may should all the more be able to end what they have.

mod connections;
mod sign_in;

use std::sync::Arc;

use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::{IntoResponse, Response};
use mcp_login_core::Secret;
use mcp_login_core::params::Params;

use self::connections::{Connections, end_connection};
use super::AuthorizationServer;
use super::answer::{AuthorizeError, Body, see_other};
use super::cookie::Cookie;
use super::origin::is_ours;
use super::session::form_sources;
use crate::page::{AccountPage, Connection, Service, SignedIn, security_headers};
use crate::store::backend::StoreError;
use crate::store::records::{AccountIdentity, AccountSession, BrowserSecret, GrantId};
use crate::upstream::SignIn;

pub(super) use sign_in::come_back;
pub(crate) use sign_in::post as sign_in;

/// The session of a browser.
struct Open {
    browser: BrowserSecret,
    session: AccountSession,
}

impl Open {
    /// The session that this request belongs to, if it is open.
    async fn find(server: &AuthorizationServer, headers: &HeaderMap) -> Result<Option<Self>, StoreError> {
        let Some(browser) = Cookie::account(server.is_https()).read(headers) else { return Ok(None) };
        let session = server.store.account(&browser, server.now()).await?;
        Ok(session.map(|session| Self { browser, session }))
    }

    /// Whether the form is one of this session's.
    fn has_form(&self, form: &Params) -> bool {
        let presented = form.one("form_token").ok().flatten();
        presented.is_some_and(|presented| Secret::from(presented) == self.browser.form_token())
    }
}

fn url(server: &AuthorizationServer) -> String {
    format!("{}/account", server.issuer)
}

fn foreign(server: &AuthorizationServer) -> AuthorizeError {
    AuthorizeError::foreign_form(url(server))
}

/// A form that a page of ours has posted.
fn read_form(
    server: &AuthorizationServer,
    headers: &HeaderMap,
    form: Body,
) -> Result<Params, AuthorizeError> {
    if !is_ours(server, headers) {
        return Err(foreign(server));
    }
    Params::parse(&form?).map_err(|error| AuthorizeError::bad_request(&error))
}

/// The session whose page has posted this form.
async fn session_of(
    server: &AuthorizationServer,
    headers: &HeaderMap,
    form: &Params,
) -> Result<Open, AuthorizeError> {
    let open = Open::find(server, headers).await?;
    open.filter(|open| open.has_form(form)).ok_or_else(|| foreign(server))
}

/// The page.
pub(crate) async fn get(
    State(server): State<Arc<AuthorizationServer>>,
    headers: HeaderMap,
) -> Result<Response, AuthorizeError> {
    let open = Open::find(&server, &headers).await?;
    let identities = open.as_ref().map(|open| open.session.identities.as_slice()).unwrap_or_default();
    let held = Connections::of(&server, identities).await?;
    let others: Vec<&SignIn> = server
        .sign_ins
        .iter()
        .filter(|sign_in| !identities.iter().any(|identity| identity.upstream == sign_in.name))
        .collect();
    let names: Vec<String> = others.iter().map(|sign_in| service_name(&server, &sign_in.name)).collect();
    let services: Vec<Service<'_>> =
        others.iter().zip(&names).map(|(sign_in, name)| Service { id: &sign_in.name, name }).collect();
    let at: Vec<String> =
        identities.iter().map(|identity| service_name(&server, &identity.upstream)).collect();
    let people: Vec<SignedIn<'_>> = identities
        .iter()
        .zip(&at)
        .map(|(identity, service)| SignedIn { service, account: account_name(identity) })
        .collect();
    let scopes: Vec<Vec<&str>> = held.shown.iter().map(|one| one.login.scope.iter().collect()).collect();
    let connections: Vec<Connection<'_>> = held
        .shown
        .iter()
        .zip(&scopes)
        .map(|(one, scopes)| one.for_page(scopes, people.get(one.identity).filter(|_| people.len() > 1)))
        .collect();
    let form_token = open.as_ref().map(|open| open.browser.form_token());
    let page = AccountPage {
        url: &url(&server),
        people: &people,
        connections: &connections,
        more: held.more,
        services: &services,
        form_token: form_token.as_ref().map(Secret::expose_secret),
    };
    Ok((security_headers(&form_action(&others)), page.render()).into_response())
}

/// Where the forms may lead: to us, and to the services that can be signed in at.
fn form_action(others: &[&SignIn]) -> Vec<String> {
    let mut sources = vec!["'self'".to_owned()];
    for source in others.iter().flat_map(|sign_in| form_sources(&sign_in.upstream)) {
        if !sources.contains(&source) {
            sources.push(source);
        }
    }
    sources
}

/// What people call a service; where two are called the same, with our name for it.
fn service_name(server: &AuthorizationServer, name: &str) -> String {
    let Some(sign_in) = server.sign_ins.named(name) else { return name.to_owned() };
    let called = sign_in.upstream.display_name();
    let same = server.sign_ins.iter().filter(|other| other.upstream.display_name() == called).count();
    if same > 1 && !name.is_empty() { format!("{called} ({name})") } else { called.to_owned() }
}

/// By what a person knows their account at the service.
fn account_name(identity: &AccountIdentity) -> &str {
    let user = &identity.user;
    let name = user.email.as_deref().or(user.preferred_username.as_deref()).or(user.name.as_deref());
    name.unwrap_or(&user.subject)
}

/// Ends a connection. One that has ended, or is not the person's, is not there: that is what they wanted.
pub(crate) async fn disconnect(
    State(server): State<Arc<AuthorizationServer>>,
    headers: HeaderMap,
    form: Body,
) -> Result<Response, AuthorizeError> {
    let form = read_form(&server, &headers, form)?;
    let open = session_of(&server, &headers, &form).await?;
    if let Some(grant) = form.one("connection").ok().flatten().and_then(GrantId::parse) {
        end_connection(&server, &open.session.identities, &grant).await?;
    }
    Ok(see_other(&url(&server)))
}

/// Ends the session.
pub(crate) async fn sign_out(
    State(server): State<Arc<AuthorizationServer>>,
    headers: HeaderMap,
    form: Body,
) -> Result<Response, AuthorizeError> {
    let form = read_form(&server, &headers, form)?;
    let open = session_of(&server, &headers, &form).await?;
    server.store.end_account(&open.browser, server.now()).await?;
    let mut response = see_other(&url(&server));
    Cookie::account(server.is_https()).clear(&mut response);
    Ok(response)
}
