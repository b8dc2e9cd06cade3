//! From a bearer token to a [`Caller`].

use std::sync::Arc;

use mcp_login_core::grant::{Active, Grant};
use mcp_login_core::scope::Scopes;

use super::caller::{Caller, CallerIdentity};
use super::upstream_token::{Refreshes, UpstreamTokens};
use crate::clock::Clock;
use crate::store::Store;
use crate::store::backend::StoreError;
use crate::store::records::{CLAIMS_LABEL, DataKey, Handle, HandleKind};
use crate::upstream::Upstream;

/// Verifies bearer tokens against the store: one read each.
#[derive(Debug)]
pub(crate) struct Verifier {
    pub(super) store: Store,
    pub(super) upstream: Arc<Upstream>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) refreshes: Refreshes,
}

/// Why a token does not let its bearer in.
#[derive(Debug)]
pub(super) enum VerifyError {
    /// It is not good here. The reason is for the log.
    Invalid(&'static str),
    /// It is good, but not for this.
    InsufficientScope,
    /// Nobody knows.
    Store(StoreError),
}

impl From<StoreError> for VerifyError {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

impl Verifier {
    pub(crate) fn new(store: Store, upstream: Arc<Upstream>, clock: Arc<dyn Clock>) -> Self {
        Self { store, upstream, clock, refreshes: Refreshes::default() }
    }

    /// The user behind a token, if it is one of ours, for this server, and covers these scopes. Nothing but an access
    /// token has the form of one: codes, refresh tokens and upstream tokens fail before the store is asked.
    pub(super) async fn verify(
        self: &Arc<Self>,
        token: &str,
        resource: &str,
        scopes: &Scopes,
    ) -> Result<Caller, VerifyError> {
        let token = Handle::parse(HandleKind::Access, token)
            .ok_or(VerifyError::Invalid("not an access token of ours"))?;
        let now = self.clock.now();
        let found = self.store.grant(token.grant(), now).await?;
        let found = found.ok_or(VerifyError::Invalid("its login has ended"))?;
        let Grant::Active(active) = found.record else {
            return Err(VerifyError::Invalid("its login is not finished"));
        };
        let access = active.access_token(token.hash(), now);
        let access = access.ok_or(VerifyError::Invalid("expired, revoked or made up"))?;
        if active.login.resource != resource {
            return Err(VerifyError::Invalid("it is for another server"));
        }
        if !access.scope.covers(scopes) {
            return Err(VerifyError::InsufficientScope);
        }
        let key = DataKey::unwrap(&token, &access.wrapped_key).map_err(StoreError::from)?;
        let claims = key.open(token.grant(), CLAIMS_LABEL, &active.login.claims).map_err(StoreError::from)?;
        let scopes = access.scope.clone();
        let Active { login, .. } = *active;
        let identity = CallerIdentity {
            subject: login.user.subject,
            email: login.user.email,
            name: login.user.name,
            preferred_username: login.user.preferred_username,
            claims,
            client_id: login.client_id,
            scopes,
            resource: login.resource,
        };
        let tokens = UpstreamTokens::new(Arc::clone(self), token.grant().clone(), key);
        Ok(Caller::new(identity, Arc::new(tokens)))
    }
}
