//! [`Caller`]: the user of a request, and the way to that user's upstream token.

use std::fmt::{self, Debug};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use axum::Extension;
use axum::extract::FromRequestParts;
use axum::http::StatusCode;
use axum::http::request::Parts;
use axum::response::{IntoResponse, Response};
use mcp_login_core::Secret;
use mcp_login_core::scope::Scopes;
use serde_json::{Map, Value};

use super::layer::LoginNeeded;

/// Who is calling, and through which client.
#[derive(Debug, Clone, Default)]
pub struct CallerIdentity {
    /// The user's stable identifier at the upstream.
    pub subject: String,
    /// An address that the upstream has verified.
    pub email: Option<String>,
    /// The name to show.
    pub name: Option<String>,
    /// The login or handle at the upstream; it can change.
    pub preferred_username: Option<String>,
    /// Everything that the upstream said of the user.
    pub claims: Map<String, Value>,
    /// The client's identifier here.
    pub client_id: String,
    /// What the token may be used for.
    pub scopes: Scopes,
    /// The URL of the MCP server that the token is for (RFC 8707).
    pub resource: String,
}

/// Why there is no upstream token to be had.
#[derive(Debug, Clone, thiserror::Error)]
pub enum UpstreamTokenError {
    /// The upstream no longer takes what we hold: the user has to sign in again.
    #[error("the login at the upstream service has ended: sign in again")]
    LoginNeeded,
    /// Nobody signed in at the upstream for this login: a client that acts for itself, or a person whom another identity
    /// provider vouches for.
    #[error("this login has no account at the upstream service")]
    NoAccount,
    /// The upstream or the store cannot be reached: try again, nothing is lost.
    #[error("the upstream service cannot be reached: try again")]
    Unavailable {
        /// How long to wait, where the other side said so.
        retry_after: Option<Duration>,
    },
}

/// Where a [`Caller`] gets the upstream token from when somebody asks for it.
#[async_trait]
pub trait UpstreamTokenSource: Send + Sync + 'static {
    /// The user's access token at the upstream, refreshed when stale.
    async fn upstream_token(&self) -> Result<Secret, UpstreamTokenError>;

    /// A token in the place of one that the upstream has refused, which may have been renewed meanwhile. A source that does
    /// not renew it gives what it has.
    async fn upstream_token_after(&self, _refused: &Secret) -> Result<Secret, UpstreamTokenError> {
        self.upstream_token().await
    }
}

/// The user of this request. Cheap to clone.
#[derive(Clone)]
pub struct Caller {
    identity: Arc<CallerIdentity>,
    tokens: Arc<dyn UpstreamTokenSource>,
}

impl Caller {
    /// A caller. The protecting layer makes them; tests of MCP servers may, too.
    #[must_use]
    pub fn new(identity: CallerIdentity, tokens: Arc<dyn UpstreamTokenSource>) -> Self {
        Self { identity: Arc::new(identity), tokens }
    }

    /// The user's stable identifier at the upstream: the key to store things under.
    #[must_use]
    pub fn subject(&self) -> &str {
        &self.identity.subject
    }

    /// The user's e-mail address, if the upstream gave one that it has verified.
    #[must_use]
    pub fn email(&self) -> Option<&str> {
        self.identity.email.as_deref()
    }

    /// The user's name, to show.
    #[must_use]
    pub fn name(&self) -> Option<&str> {
        self.identity.name.as_deref()
    }

    /// The user's login or handle at the upstream. It can change hands: never a key.
    #[must_use]
    pub fn preferred_username(&self) -> Option<&str> {
        self.identity.preferred_username.as_deref()
    }

    /// Everything that the upstream said of the user.
    #[must_use]
    pub fn claims(&self) -> &Map<String, Value> {
        &self.identity.claims
    }

    /// The client through which the user calls.
    #[must_use]
    pub fn client_id(&self) -> &str {
        &self.identity.client_id
    }

    /// What the user's token may be used for.
    #[must_use]
    pub fn scopes(&self) -> &Scopes {
        &self.identity.scopes
    }

    /// The MCP server that the token is for.
    #[must_use]
    pub fn resource(&self) -> &str {
        &self.identity.resource
    }

    /// The user's access token at the upstream service, refreshed when stale.
    ///
    /// # Errors
    /// When the upstream has ended the login, or cannot be reached.
    pub async fn upstream_token(&self) -> Result<Secret, UpstreamTokenError> {
        self.tokens.upstream_token().await
    }

    /// What to use after the upstream has answered 401 to this token: the one that is stored if it is another by now, else
    /// a refreshed one. The same one comes back if the service gave it less than a minute ago, or cannot renew it and says
    /// that it is good: then the reason is another, such as a scope that it lacks. Ask once.
    ///
    /// # Errors
    /// As [`upstream_token`](Self::upstream_token).
    pub async fn upstream_token_after(&self, refused: &Secret) -> Result<Secret, UpstreamTokenError> {
        self.tokens.upstream_token_after(refused).await
    }
}

impl Debug for Caller {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Caller")
            .field("subject", &self.identity.subject)
            .field("client_id", &self.identity.client_id)
            .finish_non_exhaustive()
    }
}

/// For axum handlers behind [`AuthServer::protect`](crate::AuthServer::protect). Without a user the answer is the layer's
/// challenge.
impl<S: Send + Sync> FromRequestParts<S> for Caller {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Response> {
        let MaybeCaller(caller) = MaybeCaller::from_request_parts(parts, state).await?;
        caller.ok_or_else(|| (StatusCode::UNAUTHORIZED, Extension(LoginNeeded)).into_response())
    }
}

/// For axum handlers behind [`AuthServer::protect`](crate::AuthServer::protect).
impl<S: Send + Sync> FromRequestParts<S> for MaybeCaller {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Response> {
        // Without the layer nobody has decided: a mistake of the program, not of its user.
        parts
            .extensions
            .get::<Self>()
            .cloned()
            .ok_or_else(|| StatusCode::INTERNAL_SERVER_ERROR.into_response())
    }
}

/// The user of this request, if it has one: for a tool that also works signed out.
#[derive(Debug, Clone)]
pub struct MaybeCaller(pub Option<Caller>);
