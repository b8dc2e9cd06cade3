//! Sessions that a query names: the HTTP+SSE transport of MCP 2024-11-05 tells a client where to post by an address, in
//! which servers name the session. What [`SessionBinding::seal`] makes of it is good for its user and server only, and says
//! all of it: nothing is stored.

use axum::body::Body;
use axum::http::Request;
use axum::response::Response;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use super::caller::Caller;
use super::challenge::unavailable;
use super::layer::no_session;
use super::protection::Protection;
use crate::store::records::SessionKey;
use crate::telemetry::log_failure;

/// What stands between the session and its tag.
const SEPARATOR: char = '.';

/// Ties a session to the user of the request and the server that it is for. The layer puts it into the requests of users
/// where [`Resource::session_query`](super::Resource::session_query) is set.
#[derive(Debug, Clone)]
pub struct SessionBinding {
    key: SessionKey,
    resource: String,
    user: String,
}

impl SessionBinding {
    /// The binding of this user, for requests that no layer has seen: in tests.
    #[must_use]
    pub const fn new(key: SessionKey, resource: String, user: String) -> Self {
        Self { key, resource, user }
    }

    /// The session, to be named by this user: letters, digits, `-`, `_` and one `.`. Whoever has it can read the session.
    #[must_use]
    pub fn seal(&self, session: &str) -> String {
        let tag = self.key.tag(&self.parts(session));
        format!("{}{SEPARATOR}{tag}", URL_SAFE_NO_PAD.encode(session))
    }

    /// The session that was sealed; `None` if it was for another user or server, or not by us.
    #[must_use]
    pub fn open(&self, sealed: &str) -> Option<String> {
        let (session, tag) = sealed.split_once(SEPARATOR)?;
        let session = String::from_utf8(URL_SAFE_NO_PAD.decode(session).ok()?).ok()?;
        self.key.has_tag(&self.parts(&session), tag.as_bytes()).then_some(session)
    }

    /// Never those of a session that a header names.
    fn parts<'a>(&'a self, session: &'a str) -> [&'a [u8]; 4] {
        [self.resource.as_bytes(), b"query", self.user.as_bytes(), session.as_bytes()]
    }
}

/// What the query of the request has named, opened: the session is the user's. The layer puts it there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OpenedSession(pub String);

impl Protection {
    /// That the session which the query names is the caller's. A query that is not this one parameter names none, and may
    /// be anything.
    pub(super) async fn bind_session(
        &self,
        request: &mut Request<Body>,
        caller: &Caller,
    ) -> Result<(), Response> {
        // Only what is opened here counts.
        request.extensions_mut().remove::<SessionBinding>();
        request.extensions_mut().remove::<OpenedSession>();
        let Some(parameter) = &self.session_query else { return Ok(()) };
        let key = self.verifier.sessions.key(self.verifier.clock.now()).await.map_err(|error| {
            log_failure(&error);
            unavailable()
        })?;
        let binding = SessionBinding::new(key.clone(), self.resource.clone(), caller.subject().to_owned());
        let query = request.uri().query().and_then(|query| query.split_once('='));
        if let Some((_, sealed)) = query.filter(|(name, _)| name == parameter && self.is_own_path(request)) {
            let Some(session) = binding.open(sealed) else {
                let reason = "the session is another user's, or none of ours";
                tracing::info!(resource = self.resource, reason, "refused with 404");
                return Err(no_session());
            };
            request.extensions_mut().insert(OpenedSession(session));
        }
        request.extensions_mut().insert(binding);
        Ok(())
    }
}
