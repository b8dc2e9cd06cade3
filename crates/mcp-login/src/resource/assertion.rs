//! [`Assertions`]: who is calling, signed.

use std::sync::Arc;

use mcp_login_core::Secret;

use super::caller::Caller;
use crate::assertion::{Signer, Subject};

pub use crate::assertion::AssertionError;

/// Signs who is calling, for an MCP server that can be reached otherwise than through this program: a JWT that is good for
/// one audience and a minute. It checks it with the keys at `/.well-known/jwks.json` of any node. Made by
/// [`AuthServer::assertions`](crate::AuthServer::assertions); cheap to clone.
///
/// The keys are made in memory, one for each process, a new one each day.
#[derive(Debug, Clone)]
pub struct Assertions(Arc<Signer>);

impl Assertions {
    pub(crate) const fn new(signer: Arc<Signer>) -> Self {
        Self(signer)
    }

    /// Makes a key and publishes it, so that the first call need not. The earlier, the better: whoever has asked for the
    /// keys a moment ago does not know this one.
    ///
    /// # Errors
    /// When the store is away. [`sign`](Self::sign) tries again.
    pub async fn prepare(&self) -> Result<(), AssertionError> {
        self.0.prepare().await
    }

    /// The assertion for this audience: what the server calls itself, most often its URL.
    ///
    /// # Errors
    /// When no key of this process is published and the store is away: while it is asked for assertions, this goes on for
    /// almost three hours without the store; a process that nobody has asked for three hours has no published key left.
    /// And when it would be too long.
    pub async fn sign(&self, caller: &Caller, audience: &str) -> Result<Secret, AssertionError> {
        let scope = caller.scopes().to_string();
        let subject = Subject {
            sub: caller.subject(),
            client_id: caller.client_id(),
            scope: &scope,
            email: caller.email(),
            preferred_username: caller.preferred_username(),
            name: caller.name(),
        };
        self.0.sign(&subject, audience).await
    }
}
