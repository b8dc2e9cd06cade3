//! From an access token to a [`Caller`].

use std::sync::Arc;
use std::time::Duration;

use mcp_login_core::Timestamp;
use mcp_login_core::dpop::{DpopError, JwkThumbprint};
use mcp_login_core::grant::{AccessToken, Active, SecretHash};

use super::cache::{Generation, GrantCache};
use super::caller::{Caller, CallerIdentity};
use super::session::Sessions;
use super::upstream_token::{Refreshes, UpstreamTokens};
use crate::clock::Clock;
use crate::dpop::{Proof, ProofError};
use crate::store::Store;
use crate::store::backend::StoreError;
use crate::store::records::{CLAIMS_LABEL, DataKey, GrantId, Handle, HandleKind};
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
    ) -> Result<(Caller, Admitted), VerifyError> {
        let token = Handle::parse(HandleKind::Access, token)
            .ok_or(VerifyError::Invalid("not an access token of ours"))?;
        let known = self.grants.generation(token.grant());
        let (hash, key, now) = (token.hash(), proof.map(Proof::key), self.clock.now());
        let asked = Asked { hash, key, resource, realm: self.upstream.realm(), now };
        let judge = |active: Option<&Active>| {
            let (active, access) = asked.of(active)?;
            let (identity, key) = identity(&token, active, access)?;
            Ok::<_, VerifyError>((identity, key, (access.expires_at, active.expires_at())))
        };
        let (identity, data_key, (expires_at, login_expires_at)) =
            self.grants.judge(token.grant(), judge).await?;
        if let Some(proof) = proof {
            proof.use_up(&self.store, now).await?;
        }
        let tokens = UpstreamTokens::new(Arc::clone(self), token.grant().clone(), data_key);
        let grant = token.grant().clone();
        let admitted = Admitted { grant, hash, key, expires_at, login_expires_at, known };
        Ok((Caller::new(identity, Arc::new(tokens)), admitted))
    }

    /// Whether a token that was let in would be let in now, by the same rules. Its key was proved then. When it has expired,
    /// and what it was let in for lasts longer, its login is judged instead: the token itself is dropped from it with the
    /// next write, and nobody knows then that it was ever there.
    pub(super) async fn verify_again(
        &self,
        admitted: &Admitted,
        resource: &str,
        lasts: Lasts,
    ) -> Result<(), VerifyError> {
        let now = self.clock.now();
        // That it ends by itself is known without asking anybody, also in an outage.
        if admitted.end(lasts).is_some_and(|end| end.has_passed(now)) {
            return Err(VerifyError::Invalid("expired"));
        }
        let (hash, key) = (admitted.hash, admitted.key);
        let asked = Asked { hash, key, resource, realm: self.upstream.realm(), now };
        let has_expired = admitted.expires_at.has_passed(now);
        // A login without a refresh token is gone when its token has expired: nobody has ended it.
        let login_has_expired = has_expired && admitted.login_expires_at.has_passed(now);
        let judge = |active: Option<&Active>| match active {
            None if login_has_expired && lasts != Lasts::Login => Ok(()),
            _ if has_expired => asked.login_of(active).map(drop),
            _ => asked.of(active).map(drop),
        };
        self.grants.judge_again(&admitted.grant, judge).await
    }
}

/// A token that was let in, to judge it again. The token itself is not kept.
#[derive(Debug)]
pub(super) struct Admitted {
    pub(super) grant: GrantId,
    hash: SecretHash,
    key: Option<JwkThumbprint>,
    expires_at: Timestamp,
    /// When the last token of its login did, as it was then.
    login_expires_at: Timestamp,
    /// What the judgement knew of changes.
    pub(super) known: Generation,
}

/// How long something lasts that a token was let in for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Lasts {
    /// As its token.
    Token,
    /// That long beyond the expiry of its token, if its login does.
    Beyond(Duration),
    /// As its login.
    Login,
}

impl Admitted {
    /// When time alone ends what it was let in for.
    fn end(&self, lasts: Lasts) -> Option<Timestamp> {
        match lasts {
            Lasts::Token => Some(self.expires_at),
            Lasts::Beyond(grace) => Some(self.expires_at.plus(grace)),
            Lasts::Login => None,
        }
    }

    /// How long until time alone changes what it is good for; `None` for never.
    pub(super) fn left(&self, lasts: Lasts, now: Timestamp) -> Option<Duration> {
        let next = if self.expires_at.has_passed(now) { self.end(lasts)? } else { self.expires_at };
        Some(next.until(now))
    }
}

/// A token, and what it is to be good for.
struct Asked<'a> {
    hash: SecretHash,
    /// The key that its bearer holds.
    key: Option<JwkThumbprint>,
    resource: &'a str,
    /// The service that people of this server sign in to.
    realm: &'a str,
    now: Timestamp,
}

impl Asked<'_> {
    /// The token, if it is one of this grant's and good for all that. Each time anew, whatever is in memory: the time, the
    /// key and what is asked for differ from call to call.
    fn of<'a>(&self, active: Option<&'a Active>) -> Result<(&'a Active, &'a AccessToken), VerifyError> {
        let active = active.ok_or(NO_LOGIN)?;
        let access = active.access_token(self.hash, self.now);
        let access = access.ok_or(VerifyError::Invalid("expired, revoked or made up"))?;
        check_binding(access, self.key)?;
        Ok((self.login_of(Some(active))?, access))
    }

    /// The same of the login alone.
    fn login_of<'a>(&self, active: Option<&'a Active>) -> Result<&'a Active, VerifyError> {
        let active = active.ok_or(NO_LOGIN)?;
        let login = &active.login;
        if login.resource != self.resource {
            return Err(VerifyError::Invalid("it is for another server"));
        }
        if !login.is_of(self.realm) {
            return Err(VerifyError::Invalid("its person signed in to another service than the server's"));
        }
        Ok(active)
    }
}

const NO_LOGIN: VerifyError = VerifyError::Invalid("its login has ended, or is not finished");

/// Who it is, and the key to what is sealed in the login.
fn identity(
    token: &Handle,
    active: &Active,
    access: &AccessToken,
) -> Result<(CallerIdentity, DataKey), StoreError> {
    let login = &active.login;
    let key = DataKey::unwrap(token, &access.wrapped_key)?;
    let claims = key.open(token.grant(), CLAIMS_LABEL, &login.claims)?;
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

/// RFC 9449 §7.1 and §7.2: a token that is bound to a key comes with a proof of that key, and is no bearer token; one that
/// is not comes without.
fn check_binding(access: &AccessToken, key: Option<JwkThumbprint>) -> Result<(), VerifyError> {
    match (access.jkt, key) {
        (None, None) => Ok(()),
        (Some(bound), Some(proved)) if bound == proved => Ok(()),
        (Some(_), Some(_)) => Err(VerifyError::Invalid("it is bound to another key")),
        (Some(_), None) => Err(VerifyError::Invalid("it is bound to a key, and came as a bearer token")),
        (None, Some(_)) => Err(VerifyError::Invalid("it is a bearer token, and came as a bound one")),
    }
}
