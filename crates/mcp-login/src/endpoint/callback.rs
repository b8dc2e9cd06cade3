//! `GET /callback`: the person comes back from the upstream, and the client gets its code, or they their account page.

use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::{Path, RawQuery, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use mcp_login_core::Secret;
use mcp_login_core::authorize::AuthorizationRequest;
use mcp_login_core::error::{ErrorCode, OAuthError};
use mcp_login_core::grant::{CodeIssued, Grant, Login as GrantLogin};
use mcp_login_core::params::Params;

use super::answer::{AuthorizeError, see_other};
use super::cookie::Cookie;
use super::session::{Purpose, SESSION_LABEL, Session, claim};
use super::sign_in::{SignInError, finish_sign_in, user};
use super::{AuthorizationServer, account};
use crate::store::backend::{StoreError, Swap, Version};
use crate::store::records::{CLAIMS_LABEL, DataKey, GrantId, Handle, HandleKind, UPSTREAM_TOKENS_LABEL};
use crate::telemetry::log_failure;
use crate::upstream::{Login, SignIn, UpstreamError};

/// The authorization response of the upstream (RFC 6749 §4.1.2).
pub(crate) async fn get(
    State(server): State<Arc<AuthorizationServer>>,
    headers: HeaderMap,
    name: Option<Path<String>>,
    RawQuery(query): RawQuery,
) -> Result<Response, AuthorizeError> {
    let name = name.map(|Path(name)| name).unwrap_or_default();
    let query = Params::parse(query.unwrap_or_default().as_bytes());
    let query = query.map_err(|error| AuthorizeError::bad_request(&error))?;
    let returned = check(&server, &headers, &name, &query).await?;
    let login = finish_sign_in(&server, returned.sign_in, &returned.session, &query).await;
    let answered = match &returned.session.purpose {
        Purpose::Request(request) => match finish(&server, &returned, request, login).await {
            Ok(code) => {
                remember(&server, &headers, request).await;
                Ok(see_other(&server.response_to(request).success(code.expose_secret())))
            }
            Err(error) => Err(error),
        },
        Purpose::Account { .. } => {
            end(&server, returned.state.grant()).await;
            account::come_back(&server, &headers, returned.sign_in, login).await
        }
    };
    let mut response = answered.unwrap_or_else(IntoResponse::into_response);
    Cookie::session(server.is_https(), returned.state.grant(), server.lifetimes.session).clear(&mut response);
    Ok(response)
}

/// The same from a service that answers with a form (`response_mode=form_post`). The form comes from another site, so the
/// browser keeps the session's cookie back; it brings it when it is sent on to the same with `GET`.
pub(crate) async fn post(
    State(server): State<Arc<AuthorizationServer>>,
    name: Option<Path<String>>,
    form: Bytes,
) -> Result<Response, AuthorizeError> {
    let name = name.map(|Path(name)| name).unwrap_or_default();
    let sign_in = server.sign_ins.named(&name).filter(|sign_in| sign_in.upstream.answers_with_a_form());
    let sign_in = sign_in.ok_or_else(|| AuthorizeError::stale(StatusCode::BAD_REQUEST))?;
    let form = Params::parse(&form).map_err(|error| AuthorizeError::bad_request(&error))?;
    let mut callback = sign_in.callback.clone();
    // An id_token may be among the others: it comes again, from the service itself.
    let wanted = ["code", "state", "iss", "error", "user"];
    callback.query_pairs_mut().extend_pairs(form.pairs().filter(|(name, _)| wanted.contains(name)));
    Ok(see_other(callback.as_str()))
}

/// Remembers what the person approved, now that somebody has signed in. A convenience: without it the page is shown
/// again.
async fn remember(server: &AuthorizationServer, headers: &HeaderMap, request: &AuthorizationRequest) {
    let Some(browser) = Cookie::browser(server.is_https()).read(headers) else { return };
    if request.redirect_uri.is_website()
        && let Err(error) = server.store.remember_approval(&browser, request, server.now()).await
    {
        log_failure(&error);
    }
}

/// Takes out what was claimed for a sign-in that leads to no code. Should it stay, it ends by itself.
async fn end(server: &AuthorizationServer, grant: &GrantId) {
    if let Err(error) = server.store.end_grant(grant, server.now()).await {
        log_failure(&error);
    }
}

/// The login that a callback belongs to, claimed.
struct Return<'a> {
    state: Handle,
    session: Session,
    sign_in: &'a SignIn,
    claimed: Version,
}

/// That this is the login that was started here, in the browser that consented to it, for the first time. It is claimed
/// before the upstream is asked, so of one callback sent twice only one goes on.
async fn check<'a>(
    server: &'a AuthorizationServer,
    headers: &HeaderMap,
    name: &str,
    query: &Params,
) -> Result<Return<'a>, AuthorizeError> {
    let not_open = || AuthorizeError::stale(StatusCode::BAD_REQUEST);
    let presented = query.one("state").ok().flatten();
    let state = presented.and_then(|state| Handle::parse(HandleKind::State, state)).ok_or_else(not_open)?;
    let found = server.store.grant(state.grant(), server.now()).await?.ok_or_else(not_open)?;
    let Grant::Approved(approved) = found.record else { return Err(not_open()) };
    let cookie = Cookie::session(server.is_https(), state.grant(), server.lifetimes.session);
    let session_cookie = cookie.read(headers).ok_or_else(not_open)?;
    if approved.state != state.hash() || approved.session != session_cookie.hash() {
        return Err(not_open());
    }
    let session: Session = state.open(SESSION_LABEL, &approved.session_data)?;
    // One that was started at another service is not this one.
    let sign_in = session.purpose.sign_in(server).filter(|sign_in| sign_in.name == name);
    let sign_in = sign_in.ok_or_else(not_open)?;
    let claimed = claim(server, state.grant(), found.version).await?.ok_or_else(not_open)?;
    Ok(Return { state, session, sign_in, claimed })
}

/// The code for the client.
async fn finish(
    server: &AuthorizationServer,
    returned: &Return<'_>,
    request: &AuthorizationRequest,
    login: Result<Login, SignInError>,
) -> Result<Secret, AuthorizeError> {
    let refuse = |code, description: &'static str| {
        AuthorizeError::redirect(server.response_to(request), &OAuthError::new(code, description))
    };
    let login = login.map_err(|failure| {
        match failure {
            SignInError::Cancelled => tracing::info!("a person has cancelled at the service"),
            _ => log_failure(&failure),
        }
        match failure {
            SignInError::Cancelled => refuse(ErrorCode::AccessDenied, "the sign-in was cancelled"),
            SignInError::NoCode => AuthorizeError::stale(StatusCode::BAD_REQUEST),
            SignInError::Upstream(UpstreamError::Untrusted(_)) => AuthorizeError::untrusted(),
            SignInError::Upstream(UpstreamError::Unavailable { .. }) => {
                let description = "the sign-in service is not available right now";
                refuse(ErrorCode::TemporarilyUnavailable, description)
            }
            SignInError::Refused | SignInError::Upstream(_) => {
                refuse(ErrorCode::ServerError, "the sign-in service refused the login")
            }
        }
    })?;
    if !server.access.admits(&login.identity) {
        tracing::info!(subject = login.identity.subject, "a person who is not on the list tried to log in");
        let service = returned.sign_in.upstream.display_name();
        let (to, contact) = (server.response_to(request), server.access.contact.as_deref());
        return Err(AuthorizeError::not_admitted(to, service, &login.identity, contact));
    }
    Ok(issue_code(server, returned, request, login).await?)
}

/// The grant goes on under its own id, with a data key of its own.
async fn issue_code(
    server: &AuthorizationServer,
    returned: &Return<'_>,
    request: &AuthorizationRequest,
    login: Login,
) -> Result<Secret, StoreError> {
    let (grant, now) = (returned.state.grant(), server.now());
    let (code, key) = (Handle::new(HandleKind::Code, grant), DataKey::new());
    let Login { tokens, identity } = login;
    let subject = identity.subject.clone();
    let issued = CodeIssued {
        login: GrantLogin {
            client_id: request.client_id.clone(),
            resource: request.resource.clone(),
            scope: request.scope.clone(),
            claims: key.seal(grant, CLAIMS_LABEL, &identity.claims)?,
            upstream_tokens: Some(key.seal(grant, UPSTREAM_TOKENS_LABEL, &tokens)?),
            upstream_ended: false,
            confidential: request.confidential,
            realm: Some(returned.sign_in.upstream.realm().to_owned()),
            user: user(identity),
            logged_in_at: now,
        },
        code: code.hash(),
        wrapped_key: key.wrap(&code)?,
        redirect_uri: request.redirect_uri.clone(),
        code_challenge: request.code_challenge.clone(),
        dpop_jkt: request.dpop_jkt,
        expires_at: now.plus(server.lifetimes.code),
    };
    let next = Grant::CodeIssued(Box::new(issued));
    let person = server.person(&returned.sign_in.name, &subject);
    // Before there is a login: whoever ends another one of theirs meanwhile must not end this one's tokens at the service.
    // Without it the login is good all the same, and not on the list of the person's connections.
    if let Err(error) = server.store.remember_login(&person, grant, now).await {
        log_failure(&error);
    }
    match server.store.swap_grant(grant, returned.claimed, &next, now).await? {
        Swap::Done(_) => {}
        Swap::Conflict | Swap::Missing => return Err(StoreError::Damaged("a claimed grant was changed")),
    }
    tracing::info!(client_id = request.client_id, resource = request.resource, "a person has logged in");
    Ok(code.to_secret())
}
