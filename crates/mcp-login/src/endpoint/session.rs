//! To the upstream: the step that the consent page, a remembered approval and the account page share.

use std::time::Duration;

use axum::http::StatusCode;
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
use crate::upstream::{SignIn, Upstream};

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
    #[serde(flatten)]
    pub(super) purpose: Purpose,
    /// Our own verifier: a second PKCE pair, between the upstream and us.
    pub(super) code_verifier: Secret,
    /// What the upstream's id token has to repeat.
    pub(super) nonce: Secret,
}

/// Why somebody signs in.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Purpose {
    /// A client has asked for it, with this request.
    Request(Box<AuthorizationRequest>),
    /// They want to see what is connected in their name.
    Account {
        /// The name of the service.
        upstream: String,
    },
}

impl Purpose {
    /// The service where they do; `None` when it is no longer one of ours.
    pub(super) fn sign_in<'a>(&self, server: &'a AuthorizationServer) -> Option<&'a SignIn> {
        match self {
            Self::Request(request) => Some(server.sign_ins.of(&request.resource)),
            Self::Account { upstream } => server.sign_ins.named(upstream),
        }
    }
}

/// Where a form may lead that sends a person to this service. Browsers hold `form-action` against the whole chain of
/// redirects after the form: through the service, which may sign people in at hosts of its own that nobody can list
/// (hence `https:`), and back to us.
pub(super) fn form_sources(upstream: &Upstream) -> Vec<String> {
    let mut sources = vec!["'self'".to_owned(), "https:".to_owned()];
    sources.extend(upstream.authorization_origin().filter(|origin| origin.starts_with("http:")));
    // An issuer whose endpoints are discovered; plain http is for loopback only.
    let issuer = upstream.provider().issuer.as_deref();
    let issuer =
        issuer.and_then(|issuer| url::Url::parse(issuer).ok()).filter(|issuer| issuer.scheme() == "http");
    sources.extend(issuer.map(|issuer| issuer.origin().ascii_serialization()));
    sources
}

/// Somebody on their way to the upstream.
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
        purpose: Purpose,
    ) -> Result<Self, AuthorizeError> {
        let now = server.now();
        let sign_in =
            purpose.sign_in(server).ok_or_else(|| AuthorizeError::stale(StatusCode::BAD_REQUEST))?;
        let state = Handle::new(HandleKind::State, grant);
        let session = Session { purpose, code_verifier: random_secret(), nonce: random_secret() };
        let challenge = CodeChallenge::of(session.code_verifier.expose_secret());
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

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use serde_json::json;

    use super::*;

    /// What an earlier version has sealed while somebody was at the upstream.
    #[test]
    fn a_login_that_began_before_there_was_an_account_page_goes_on() {
        let request = json!({
            "client_id": "c", "redirect_uri": "https://client.example/cb", "state": null, "scope": "mcp",
            "resource": "https://mcp.example.com/mcp", "code_challenge": "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM",
        });
        let written = json!({"request": request, "code_verifier": "v", "nonce": "n"});
        let session: Session = serde_json::from_value(written).unwrap();
        assert!(matches!(&session.purpose, Purpose::Request(request) if request.client_id == "c"));
        let again: Session = serde_json::from_value(serde_json::to_value(&session).unwrap()).unwrap();
        assert_eq!(again.code_verifier, session.code_verifier);
        let account = json!({"account": {"upstream": "a"}, "code_verifier": "v", "nonce": "n"});
        let session: Session = serde_json::from_value(account).unwrap();
        assert!(matches!(&session.purpose, Purpose::Account { upstream } if upstream == "a"));
    }
}
