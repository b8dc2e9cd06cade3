//! From the person's yes to the upstream: the step that the consent page and a remembered approval share.

use std::time::Duration;

use axum::response::Response;
use mcp_login_core::Secret;
use mcp_login_core::authorize::AuthorizationRequest;
use mcp_login_core::grant::{Approved, Claimed, Grant};
use mcp_login_core::pkce::CodeChallenge;
use serde::{Deserialize, Serialize};

use super::AuthorizationServer;
use super::answer::{AuthorizeError, see_other};
use super::cookie::Cookie;
use crate::store::backend::{StoreError, Swap, Version};
use crate::store::records::{BrowserSecret, GrantId, Handle, HandleKind, OpenError, random_secret};

/// What the request is sealed under while the page is shown.
pub(super) const REQUEST_LABEL: &str = "authorization request";
/// Longer than any request takes.
const CLAIM_TTL: Duration = Duration::from_secs(120);
/// What the session is sealed under while the person is at the upstream.
pub(super) const SESSION_LABEL: &str = "session";

/// Takes the rest of a step for this request alone: of any number that read the same version one gets it. `None` to the
/// others.
pub(super) async fn claim(
    server: &AuthorizationServer,
    grant: &GrantId,
    read: Version,
) -> Result<Option<Version>, StoreError> {
    let now = server.now();
    let claimed = Grant::Claimed(Claimed { expires_at: now.plus(CLAIM_TTL) });
    Ok(match server.store.swap_grant(grant, read, &claimed, now).await? {
        Swap::Done(version) => Some(version),
        Swap::Conflict | Swap::Missing => None,
    })
}

/// What has to be remembered while the person is at the upstream.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Session {
    /// The client's request.
    pub(super) request: AuthorizationRequest,
    /// Our own verifier: a second PKCE pair, between the upstream and us.
    pub(super) code_verifier: Secret,
    /// What the upstream's id token has to repeat.
    pub(super) nonce: Secret,
}

/// An approved login on its way to the upstream.
pub(super) struct Departure {
    approved: Approved,
    location: String,
    session_cookie: BrowserSecret,
}

impl From<OpenError> for AuthorizeError {
    fn from(error: OpenError) -> Self {
        StoreError::from(error).into()
    }
}

impl Departure {
    /// Makes everything of our own that the upstream gets: state, nonce and PKCE. Nothing is stored yet, so an
    /// upstream that cannot be found leaves the page good for another try.
    pub(super) async fn prepare(
        server: &AuthorizationServer,
        grant: &GrantId,
        request: AuthorizationRequest,
    ) -> Result<Self, AuthorizeError> {
        let now = server.now();
        let state = Handle::new(HandleKind::State, grant);
        let session = Session { request, code_verifier: random_secret(), nonce: random_secret() };
        let challenge = CodeChallenge::of(session.code_verifier.expose_secret());
        let sign_in = server.sign_ins.of(&session.request.resource);
        let location = sign_in
            .upstream
            .authorization_url(&sign_in.callback, &state.to_secret(), &session.nonce, challenge.as_str(), now)
            .await?;
        let session_cookie = BrowserSecret::new();
        let approved = Approved {
            state: state.hash(),
            session: session_cookie.hash(),
            session_data: state.seal(SESSION_LABEL, &session)?,
            expires_at: now.plus(server.lifetimes.session),
        };
        Ok(Self { approved, location: location.into(), session_cookie })
    }

    /// Stores it in the place of the page; `None` when somebody else has answered the page.
    pub(super) async fn replace(
        self,
        server: &AuthorizationServer,
        grant: &GrantId,
        page: Version,
    ) -> Result<Option<Response>, AuthorizeError> {
        let next = Grant::Approved(self.approved.clone());
        match server.store.swap_grant(grant, page, &next, server.now()).await? {
            Swap::Done(_) => Ok(Some(self.redirect(server, grant))),
            Swap::Conflict | Swap::Missing => Ok(None),
        }
    }

    /// Stores it as a login that needed no page.
    pub(super) async fn insert(
        self,
        server: &AuthorizationServer,
        grant: &GrantId,
    ) -> Result<Response, AuthorizeError> {
        let next = Grant::Approved(self.approved.clone());
        if server.store.insert_grant(grant, &next, server.now()).await? {
            Ok(self.redirect(server, grant))
        } else {
            Err(StoreError::Damaged("a new grant's id is taken").into())
        }
    }

    fn redirect(&self, server: &AuthorizationServer, grant: &GrantId) -> Response {
        let mut response = see_other(&self.location);
        Cookie::session(server.is_https(), grant, server.lifetimes.session)
            .set(&mut response, &self.session_cookie);
        response
    }
}
