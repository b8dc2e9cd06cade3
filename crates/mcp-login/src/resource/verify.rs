//! From an access token to a [`Caller`].

use std::sync::Arc;

use mcp_login_core::Timestamp;
use mcp_login_core::dpop::DpopError;
use mcp_login_core::grant::{AccessToken, Active, SecretHash};

use super::cache::GrantCache;
use super::caller::{Caller, CallerIdentity};
use super::session::Sessions;
use super::upstream_token::{Refreshes, UpstreamTokens};
use crate::clock::Clock;
use crate::dpop::{Proof, ProofError};
use crate::store::Store;
use crate::store::backend::StoreError;
use crate::store::records::{CLAIMS_LABEL, DataKey, Handle, HandleKind};
use crate::upstream::Upstream;

/// Verifies access tokens against what is known of the store: at most one read each, and a write for one that comes with a
/// proof.
#[derive(Debug)]
pub(crate) struct Verifier {
    pub(super) store: Store,
    pub(super) grants: Arc<GrantCache>,
    pub(super) upstream: Arc<Upstream>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) refreshes: Refreshes,
    pub(super) sessions: Sessions,
}

/// Why a token does not let its bearer in.
#[derive(Debug)]
pub(super) enum VerifyError {
    /// It is not good here. The reason is for the log.
    Invalid(&'static str),
    /// The proof that came with it is not.
    Proof(DpopError),
    /// Nobody knows.
    Store(StoreError),
}

impl From<StoreError> for VerifyError {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

impl From<ProofError> for VerifyError {
    fn from(error: ProofError) -> Self {
        match error {
            ProofError::Refused(error) => Self::Proof(error),
            ProofError::Store(error) => Self::Store(error),
        }
    }
}

impl Verifier {
    pub(crate) fn new(
        store: Store,
        grants: Arc<GrantCache>,
        upstream: Arc<Upstream>,
        clock: Arc<dyn Clock>,
    ) -> Self {
        let sessions = Sessions::new(store.clone());
        Self { store, grants, upstream, clock, refreshes: Refreshes::default(), sessions }
    }

    /// The user behind a token, if it is one of ours and for this server. Nothing but an access token has the form of one:
    /// codes, refresh tokens and upstream tokens fail before the store is asked. The proof is the one that came with a token
    /// of the scheme `DPoP`.
    pub(super) async fn verify(
        self: &Arc<Self>,
        token: &str,
        proof: Option<&Proof>,
        resource: &str,
    ) -> Result<Caller, VerifyError> {
        let token = Handle::parse(HandleKind::Access, token)
            .ok_or(VerifyError::Invalid("not an access token of ours"))?;
        let (realm, now) = (self.upstream.realm(), self.clock.now());
        let asked = Asked { hash: token.hash(), token, proof, resource, realm, now };
        let (identity, key) = self
            .grants
            .judge(asked.token.grant(), |active| {
                asked.of(active.ok_or(VerifyError::Invalid("its login has ended, or is not finished"))?)
            })
            .await?;
        if let Some(proof) = proof {
            proof.use_up(&self.store, asked.now).await?;
        }
        let tokens = UpstreamTokens::new(Arc::clone(self), asked.token.grant().clone(), key);
        Ok(Caller::new(identity, Arc::new(tokens)))
    }
}

/// A token, and what it is to be good for.
struct Asked<'a> {
    token: Handle,
    hash: SecretHash,
    proof: Option<&'a Proof>,
    resource: &'a str,
    /// The service that people of this server sign in to.
    realm: &'a str,
    now: Timestamp,
}

impl Asked<'_> {
    /// Who it is, if the token is one of this grant's and good for all that. Each time anew, whatever is in memory: the
    /// time, the proof and what is asked for differ from call to call.
    fn of(&self, active: &Active) -> Result<(CallerIdentity, DataKey), VerifyError> {
        let access = active.access_token(self.hash, self.now);
        let access = access.ok_or(VerifyError::Invalid("expired, revoked or made up"))?;
        check_binding(access, self.proof)?;
        let login = &active.login;
        if login.resource != self.resource {
            return Err(VerifyError::Invalid("it is for another server"));
        }
        if !login.is_of(self.realm) {
            return Err(VerifyError::Invalid("its person signed in to another service than the server's"));
        }
        let key = DataKey::unwrap(&self.token, &access.wrapped_key).map_err(StoreError::from)?;
        let claims = key.open(self.token.grant(), CLAIMS_LABEL, &login.claims).map_err(StoreError::from)?;
        let user = login.user.clone();
        let identity = CallerIdentity {
            subject: user.subject,
            email: user.email,
            name: user.name,
            preferred_username: user.preferred_username,
            claims,
            client_id: login.client_id.clone(),
            scopes: access.scope.clone(),
            resource: login.resource.clone(),
        };
        Ok((identity, key))
    }
}

/// RFC 9449 §7.1 and §7.2: a token that is bound to a key comes with a proof of that key, and is no bearer token; one that
/// is not comes without.
fn check_binding(access: &AccessToken, proof: Option<&Proof>) -> Result<(), VerifyError> {
    match (access.jkt, proof.map(Proof::key)) {
        (None, None) => Ok(()),
        (Some(bound), Some(proved)) if bound == proved => Ok(()),
        (Some(_), Some(_)) => Err(VerifyError::Invalid("it is bound to another key")),
        (Some(_), None) => Err(VerifyError::Invalid("it is bound to a key, and came as a bearer token")),
        (None, Some(_)) => Err(VerifyError::Invalid("it is a bearer token, and came as a bound one")),
    }
}
