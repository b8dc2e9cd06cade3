//! To the service and back, to see one's connections.

use std::sync::Arc;

use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::Response;

use super::super::AuthorizationServer;
use super::super::answer::{AuthorizeError, Body, see_other};
use super::super::cookie::Cookie;
use super::super::ending::discard;
use super::super::session::{Departure, Purpose};
use super::super::sign_in::{SignInError, user};
use super::{Open, foreign, read_form, url};
use crate::store::records::{BrowserSecret, GrantId};
use crate::telemetry::log_failure;
use crate::upstream::{Login, SignIn};

/// The person wants to sign in at the service that they have chosen. Without a session there is nothing that somebody else
/// could have them change: they come back as who they are.
pub(crate) async fn post(
    State(server): State<Arc<AuthorizationServer>>,
    headers: HeaderMap,
    form: Body,
) -> Result<Response, AuthorizeError> {
    let form = read_form(&server, &headers, form)?;
    if Open::find(&server, &headers).await?.is_some_and(|open| !open.has_form(&form)) {
        return Err(foreign(&server));
    }
    let chosen = form.one("upstream").ok().flatten().unwrap_or_default();
    let sign_in = server.sign_ins.named(chosen).ok_or_else(|| foreign(&server))?;
    let purpose = Purpose::Account { upstream: sign_in.name.clone() };
    let grant = GrantId::new(server.now());
    Departure::prepare(&server, &grant, purpose).await?.insert(&server, &grant).await
}

/// They are back. The session is a new one each time, so that nobody can have put it there for them, and keeps whoever
/// was signed in at other services.
pub(in super::super) async fn come_back(
    server: &Arc<AuthorizationServer>,
    headers: &HeaderMap,
    sign_in: &SignIn,
    login: Result<Login, SignInError>,
) -> Result<Response, AuthorizeError> {
    let Login { tokens, identity } = match login {
        Ok(login) => login,
        Err(SignInError::Cancelled) => return Ok(see_other(&url(server))),
        Err(failure) => {
            log_failure(&failure);
            return Err(AuthorizeError::not_signed_in(&failure, url(server)));
        }
    };
    // It was only about who they are.
    discard(server, &sign_in.name, &identity.subject, tokens);
    let now = server.now();
    let before = Open::find(server, headers).await?;
    let (old, session) = before.map(|open| (open.browser, open.session)).unzip();
    let session = session.unwrap_or_default().with(&sign_in.name, user(identity), now);
    let browser = BrowserSecret::new();
    server.store.insert_account(&browser, &session, now).await?;
    if let Some(old) = old
        && let Err(error) = server.store.end_account(&old, now).await
    {
        log_failure(&error);
    }
    tracing::info!(upstream = sign_in.name, "a person has signed in to their connections");
    let mut response = see_other(&url(server));
    Cookie::account(server.is_https()).set(&mut response, &browser);
    Ok(response)
}
