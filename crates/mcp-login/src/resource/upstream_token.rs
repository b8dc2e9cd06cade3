//! The user's upstream token, refreshed when stale.
//!
//! Providers rotate refresh tokens, so of several refreshes at once all but one can kill the login. Within this process
//! there is one at a time per grant, and across nodes the one that holds the grant's lease; the others wait for what it
//! brings. It runs detached from the request that started it, because a caller that goes away must not lose an answer that
//! the upstream has already given; and the new tokens are stored before anybody gets them.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use mcp_login_core::grant::{Active, Grant};
use mcp_login_core::{Secret, Timestamp};

use super::caller::{UpstreamTokenError, UpstreamTokenSource};
use super::verify::Verifier;
use crate::store::backend::{StoreError, Swap, Version};
use crate::store::records::{DataKey, GrantId, LEASE_TTL, Lease, OpenError, UPSTREAM_TOKENS_LABEL};
use crate::upstream::{self, UpstreamError};

/// How often a change of a grant is tried that others keep overtaking.
const MAX_ATTEMPTS: usize = 64;

/// How often a node looks whether the one that refreshes is done.
const POLL: Duration = Duration::from_millis(100);

/// How long a node waits for another that refreshes: longer than a call to the upstream takes.
const PATIENCE: Duration = Duration::from_secs(20);

/// When to try again after that.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// The locks of the grants that are being refreshed in this process.
#[derive(Debug, Default)]
pub(super) struct Refreshes(Mutex<HashMap<GrantId, Weak<tokio::sync::Mutex<()>>>>);

impl Refreshes {
    fn lock_of(&self, grant: &GrantId) -> Arc<tokio::sync::Mutex<()>> {
        let mut locks = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(lock) = locks.get(grant).and_then(Weak::upgrade) {
            return lock;
        }
        locks.retain(|_, lock| lock.strong_count() > 0);
        let lock = Arc::new(tokio::sync::Mutex::new(()));
        locks.insert(grant.clone(), Arc::downgrade(&lock));
        lock
    }
}

/// The upstream tokens of one grant, for somebody who holds a token of it.
#[derive(Clone)]
pub(super) struct UpstreamTokens {
    verifier: Arc<Verifier>,
    grant: GrantId,
    key: Arc<DataKey>,
}

/// Why the token that a grant holds is not to be given out.
enum Unusable {
    /// It ends, or has ended: it can be refreshed.
    Stale,
    /// There is none to be had.
    Never(UpstreamTokenError),
}

impl<E: Into<UpstreamTokenError>> From<E> for Unusable {
    fn from(error: E) -> Self {
        Self::Never(error.into())
    }
}

/// The grant as it was read, with its tokens opened.
struct Opened {
    version: Version,
    active: Box<Active>,
    tokens: upstream::UpstreamTokens,
}

impl From<StoreError> for UpstreamTokenError {
    fn from(error: StoreError) -> Self {
        tracing::warn!(%error, "the store did not give an upstream token");
        Self::Unavailable { retry_after: None }
    }
}

impl From<OpenError> for UpstreamTokenError {
    fn from(error: OpenError) -> Self {
        StoreError::from(error).into()
    }
}

#[async_trait]
impl UpstreamTokenSource for UpstreamTokens {
    async fn upstream_token(&self) -> Result<Secret, UpstreamTokenError> {
        match self.verifier.grants.judge(&self.grant, |active| self.fresh(active)).await {
            Ok(token) => Ok(token),
            Err(Unusable::Never(error)) => Err(error),
            Err(Unusable::Stale) => self.refresh_detached(None).await,
        }
    }

    async fn upstream_token_after(&self, refused: &Secret) -> Result<Secret, UpstreamTokenError> {
        self.refresh_detached(Some(refused.clone())).await
    }
}

impl UpstreamTokens {
    pub(super) fn new(verifier: Arc<Verifier>, grant: GrantId, key: DataKey) -> Self {
        Self { verifier, grant, key: Arc::new(key) }
    }

    fn now(&self) -> Timestamp {
        self.verifier.clock.now()
    }

    async fn open(&self) -> Result<Opened, UpstreamTokenError> {
        let found = self.verifier.store.grant(&self.grant, self.now()).await?;
        let Some(found) = found else { return Err(UpstreamTokenError::LoginNeeded) };
        let Grant::Active(active) = found.record else { return Err(UpstreamTokenError::LoginNeeded) };
        let tokens = self.tokens_of(&active)?;
        Ok(Opened { version: found.version, active, tokens })
    }

    fn tokens_of(&self, active: &Active) -> Result<upstream::UpstreamTokens, UpstreamTokenError> {
        if active.login.upstream_ended || !active.login.is_of(self.verifier.upstream.realm()) {
            return Err(UpstreamTokenError::LoginNeeded);
        }
        let sealed = active.login.upstream_tokens.as_ref().ok_or(UpstreamTokenError::NoAccount)?;
        Ok(self.key.open(&self.grant, UPSTREAM_TOKENS_LABEL, sealed)?)
    }

    /// The access token of this grant, if it is good for a while.
    fn fresh(&self, active: Option<&Active>) -> Result<Secret, Unusable> {
        let tokens = self.tokens_of(active.ok_or(UpstreamTokenError::LoginNeeded)?)?;
        if tokens.is_stale(self.now()) { Err(Unusable::Stale) } else { Ok(tokens.access_token) }
    }

    /// `refused` is a token that is of no use though it has not ended.
    async fn refresh_detached(&self, refused: Option<Secret>) -> Result<Secret, UpstreamTokenError> {
        let detached = self.clone();
        let refreshed = tokio::spawn(async move { detached.refresh(refused.as_ref()).await }).await;
        refreshed.unwrap_or(Err(UpstreamTokenError::Unavailable { retry_after: None }))
    }

    async fn refresh(&self, refused: Option<&Secret>) -> Result<Secret, UpstreamTokenError> {
        let lock = self.verifier.refreshes.lock_of(&self.grant);
        let _one_at_a_time = lock.lock().await;
        let begun = Instant::now();
        loop {
            // Whoever held the lock or the lease may have done it.
            let opened = self.open().await?;
            if self.is_good(&opened.tokens, refused) {
                return Ok(opened.tokens.access_token);
            }
            if let Some(lease) = self.verifier.store.acquire_lease(&self.grant, self.now()).await? {
                return self.refresh_under(lease, refused).await;
            }
            if begun.elapsed() >= PATIENCE {
                return Err(UpstreamTokenError::Unavailable { retry_after: Some(RETRY_AFTER) });
            }
            tokio::time::sleep(POLL).await;
        }
    }

    /// A token that the service has only just given is not why somebody was refused: a server that refuses them all would
    /// else have every call renew it.
    fn is_good(&self, tokens: &upstream::UpstreamTokens, refused: Option<&Secret>) -> bool {
        let now = self.now();
        !tokens.is_stale(now) && (refused != Some(&tokens.access_token) || tokens.is_confirmed(now))
    }

    /// The refresh itself, by the one node that holds the lease. It is renewed while the upstream takes its time.
    async fn refresh_under(
        &self,
        mut lease: Lease,
        refused: Option<&Secret>,
    ) -> Result<Secret, UpstreamTokenError> {
        let refreshing = self.refresh_once(refused);
        tokio::pin!(refreshing);
        let mut renewal = tokio::time::interval(LEASE_TTL / 3);
        renewal.tick().await;
        let refreshed = loop {
            tokio::select! {
                refreshed = &mut refreshing => break refreshed,
                _ = renewal.tick() => {
                    // Without it the refresh goes on: it was sent, and what it brings is stored only in the place of what was
                    // sent.
                    if !matches!(self.verifier.store.renew_lease(&mut lease, self.now()).await, Ok(true)) {
                        break refreshing.await;
                    }
                }
            }
        };
        // If it cannot be given back it ends by itself.
        if let Err(error) = self.verifier.store.release_lease(lease, self.now()).await {
            tracing::debug!(%error, "a lease was not given back");
        }
        refreshed
    }

    async fn refresh_once(&self, refused: Option<&Secret>) -> Result<Secret, UpstreamTokenError> {
        // Between the last look and the lease somebody else may have had it.
        let opened = self.open().await?;
        if self.is_good(&opened.tokens, refused) {
            return Ok(opened.tokens.access_token);
        }
        let tokens = opened.tokens;
        let renewed = match &tokens.refresh_token {
            // It cannot be renewed, but whoever refused it need not be right.
            None if !tokens.is_stale(self.now()) => self.confirm(&tokens).await,
            _ => self.verifier.upstream.refresh(&tokens, self.now()).await,
        };
        match renewed {
            Ok(fresh) => self.commit(&tokens, fresh).await,
            Err(error) => self.keep(tokens, refused, &error).await,
        }
    }

    /// The same tokens, if the service still takes them.
    async fn confirm(
        &self,
        tokens: &upstream::UpstreamTokens,
    ) -> Result<upstream::UpstreamTokens, UpstreamError> {
        let (upstream, now) = (&self.verifier.upstream, self.now());
        if upstream.confirms(&tokens.access_token, now).await? {
            return Ok(upstream::UpstreamTokens { confirmed_at: Some(now), ..tokens.clone() });
        }
        // Which says that there is none.
        upstream.refresh(tokens, now).await
    }

    /// Puts the new tokens in the place of the ones that were exchanged for them, and then gives them out.
    async fn commit(
        &self,
        exchanged: &upstream::UpstreamTokens,
        fresh: upstream::UpstreamTokens,
    ) -> Result<Secret, UpstreamTokenError> {
        for _ in 0..MAX_ATTEMPTS {
            let mut opened = self.open().await?;
            if opened.tokens != *exchanged {
                // Another node was faster; a service that rotates keeps the pair that it gave last, which is unknown
                // here. The stored one is what everybody else uses.
                return Ok(opened.tokens.access_token);
            }
            opened.active.login.upstream_tokens =
                Some(self.key.seal(&self.grant, UPSTREAM_TOKENS_LABEL, &fresh)?);
            match self.swap(opened).await? {
                Swap::Done(_) => return Ok(fresh.access_token),
                Swap::Conflict => {}
                Swap::Missing => return Err(UpstreamTokenError::LoginNeeded),
            }
        }
        Err(UpstreamTokenError::Unavailable { retry_after: None })
    }

    /// What is left after a refresh that gave nothing. An outage ends nothing: a token that has not ended yet is
    /// still good. Only a refused grant ends the login, and only if nobody has renewed it in the meantime.
    async fn keep(
        &self,
        tokens: upstream::UpstreamTokens,
        refused: Option<&Secret>,
        error: &UpstreamError,
    ) -> Result<Secret, UpstreamTokenError> {
        let still_good = refused != Some(&tokens.access_token)
            && tokens.expires_at.is_some_and(|end| !end.has_passed(self.now()));
        tracing::warn!(%error, still_good, "the upstream tokens could not be refreshed");
        if still_good {
            return Ok(tokens.access_token);
        }
        if !error.ends_grant() {
            return Err(UpstreamTokenError::Unavailable { retry_after: retry_after(error) });
        }
        for _ in 0..MAX_ATTEMPTS {
            let mut opened = self.open().await?;
            if opened.tokens != tokens {
                return Ok(opened.tokens.access_token);
            }
            opened.active.login.upstream_ended = true;
            match self.swap(opened).await? {
                Swap::Conflict => {}
                Swap::Done(_) | Swap::Missing => return Err(UpstreamTokenError::LoginNeeded),
            }
        }
        Err(UpstreamTokenError::Unavailable { retry_after: None })
    }

    async fn swap(&self, mut opened: Opened) -> Result<Swap, StoreError> {
        opened.active.prune(self.now());
        let next = Grant::Active(opened.active);
        self.verifier.store.swap_grant(&self.grant, opened.version, &next, self.now()).await
    }
}

fn retry_after(error: &UpstreamError) -> Option<Duration> {
    match error {
        UpstreamError::Unavailable { retry_after, .. } => *retry_after,
        _ => None,
    }
}
