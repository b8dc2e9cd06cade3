//! "Demo sign-in": an OAuth 2.0 authorization server with two people and no passwords.
//!
//! It stands where GitHub or Google would stand, so it does what they do and refuses what they refuse: one registered
//! client with a secret, an exact redirect URI, PKCE, codes for one use, refresh tokens that rotate, and a page where a
//! person chooses who to be. Everything is in memory and bounded. It must only ever listen on loopback: whoever reaches
//! it can sign in.

mod authorize;
mod person;
mod session;
mod shelf;
mod token;
mod userinfo;

#[cfg(test)]
mod tests;

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::routing::{get, post};
use mcp_login::clock::Clock;
use mcp_login::core::{Secret, Timestamp};

use session::Sessions;

/// The largest form that is read.
const MAX_FORM_BYTES: usize = 16 * 1024;

/// The sign-in service, ready to be served at an origin of its own.
///
/// `GET, POST /authorize`, `POST /token` and `GET /userinfo`; the subject of a person is the `sub` of `/userinfo`. The
/// scopes it knows are `profile` and `email`; without `scope` it gives both.
pub(crate) struct SignIn {
    client_id: String,
    client_secret: Secret,
    redirect_uri: String,
    clock: Arc<dyn Clock>,
    sessions: Mutex<Sessions>,
}

impl SignIn {
    /// A service that knows one client: the gateway, whose callback is `redirect_uri`, compared byte for byte.
    pub(crate) fn new(
        client_id: impl Into<String>,
        client_secret: Secret,
        redirect_uri: impl Into<String>,
        clock: Arc<dyn Clock>,
    ) -> Self {
        Self {
            client_id: client_id.into(),
            client_secret,
            redirect_uri: redirect_uri.into(),
            clock,
            sessions: Mutex::new(Sessions::default()),
        }
    }

    /// What to serve.
    pub(crate) fn router(self) -> Router {
        Router::new()
            .route("/authorize", get(authorize::show).post(authorize::answer))
            .route("/token", post(token::exchange))
            .route("/userinfo", get(userinfo::show))
            .fallback(authorize::nothing_here)
            .layer(DefaultBodyLimit::max(MAX_FORM_BYTES))
            .with_state(Arc::new(self))
    }

    fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// What is remembered. A poisoned lock is taken all the same: every change to it is made in one go.
    fn sessions(&self) -> MutexGuard<'_, Sessions> {
        self.sessions.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The secret redacts itself; what people are signed in is nobody's business.
impl fmt::Debug for SignIn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SignIn")
            .field("client_id", &self.client_id)
            .field("redirect_uri", &self.redirect_uri)
            .finish_non_exhaustive()
    }
}
