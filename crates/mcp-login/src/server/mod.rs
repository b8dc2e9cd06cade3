//! [`AuthServer`]: the only place where things are put together.

mod builder;
mod checks;
mod router;

use std::sync::Arc;

use axum::Router;

pub use builder::{AuthServerBuilder, BuildError};

use crate::endpoint::AuthorizationServer;
use crate::resource::{Assertions, ProtectLayer, Protection};
use crate::store::backend::StoreError;

/// The login of one or many MCP servers. Cheap to clone.
#[derive(Debug, Clone)]
pub struct AuthServer {
    server: Arc<AuthorizationServer>,
    protections: Arc<[(String, Arc<Protection>)]>,
}

/// There is no such resource.
#[derive(Debug, Clone, thiserror::Error)]
#[error("no resource has the path {0}: name it in AuthServer::builder first")]
pub struct UnknownResource(String);

impl AuthServer {
    /// Starts with the public URL: scheme, host, port and perhaps a path, without a slash at the end. It is the issuer,
    /// byte for byte.
    pub fn builder(public_url: impl Into<String>) -> AuthServerBuilder {
        AuthServerBuilder::new(public_url.into())
    }

    /// The authorization server: metadata, `/register`, `/authorize`, `/consent`, `/callback`, `/token`, `/revoke`,
    /// and the keys of [`assertions`](Self::assertions).
    pub fn router(&self) -> Router {
        router::router(&self.server)
    }

    /// The layer to put before the MCP server at this path.
    ///
    /// # Errors
    /// When no [`Resource`](crate::Resource) has this path.
    pub fn protect(&self, path: &str) -> Result<ProtectLayer, UnknownResource> {
        let found = self.protections.iter().find(|(known, _)| known == path);
        let (_, protection) = found.ok_or_else(|| UnknownResource(path.to_owned()))?;
        Ok(ProtectLayer::new(Arc::clone(protection)))
    }

    /// Signs who is calling, for a server behind this one that wants to check it.
    #[must_use]
    pub fn assertions(&self) -> Assertions {
        Assertions::new(Arc::clone(&self.server.signer))
    }

    /// Whether the store answers, for a readiness probe.
    ///
    /// # Errors
    /// When it does not.
    pub async fn ready(&self) -> Result<(), StoreError> {
        self.server.store.ping().await
    }
}
