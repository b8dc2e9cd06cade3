//! A grant whose client has tokens: access, rotation, replay (OAuth 2.1 §4.3, RFC 9700 §4.14).

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{GrantError, Login, PresentedClient, Sealed, SecretHash};
use crate::scope::Scopes;
use crate::timestamp::Timestamp;

/// The most access tokens of one grant that are good at once; the oldest gives way.
pub const MAX_ACCESS_TOKENS: usize = 32;

/// The client has tokens.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Active {
    /// Who logged in, for what.
    pub login: Login,
    /// `None` where no code led here.
    #[serde(default)]
    spent_code: Option<SecretHash>,
    /// `None` for a grant that ends with its access token.
    #[serde(default)]
    refresh: Option<RefreshFamily>,
    access: Vec<AccessToken>,
}

/// The refresh tokens of one grant, each the successor of the one before.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct RefreshFamily {
    /// Of the part that all of them share.
    lineage: SecretHash,
    current: RefreshToken,
    previous: Option<PreviousRefreshToken>,
}

/// The refresh token that is good now.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct RefreshToken {
    /// Of the token.
    pub hash: SecretHash,
    /// The grant's data key, under the token.
    pub wrapped_key: Sealed,
    /// When it ends.
    pub expires_at: Timestamp,
}

/// The one before it.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct PreviousRefreshToken {
    hash: SecretHash,
    successor: Sealed,
    until: Timestamp,
}

/// An access token.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct AccessToken {
    /// Of the token.
    pub hash: SecretHash,
    /// The grant's data key, under the token.
    pub wrapped_key: Sealed,
    /// What it may be used for.
    pub scope: Scopes,
    /// When it ends.
    pub expires_at: Timestamp,
}

/// A new pair.
#[derive(Debug, Clone)]
pub struct Issued {
    /// The access token.
    pub access: AccessToken,
    /// The refresh token.
    pub refresh: RefreshToken,
}

/// A refresh token, and who presents it with what.
#[derive(Debug)]
pub struct PresentedRefreshToken<'a> {
    /// Of the token.
    pub hash: SecretHash,
    /// Of the part that all refresh tokens of the grant share.
    pub lineage: SecretHash,
    /// The client.
    pub client: PresentedClient<'a>,
    /// The exact URL of the server that it named, if it named one.
    pub resource: Option<&'a str>,
    /// The scopes that it asked for, if it did.
    pub scope: Option<&'a Scopes>,
}

/// What a refresh token is good for.
#[derive(Debug, PartialEq, Eq)]
pub enum RefreshStep<'a> {
    /// It is the current one: rotate.
    Rotate {
        /// The grant's data key, under the token.
        wrapped_key: &'a Sealed,
        /// What the new access token may be used for.
        scope: Scopes,
    },
    /// Its answer was lost, or another process of the client was faster: the same answer again.
    Repeat {
        /// The answer, under the token.
        successor: &'a Sealed,
    },
}

impl Active {
    pub(super) fn new(login: Login, spent_code: SecretHash, lineage: SecretHash, issued: Issued) -> Self {
        let refresh = RefreshFamily { lineage, current: issued.refresh, previous: None };
        Self { login, spent_code: Some(spent_code), refresh: Some(refresh), access: vec![issued.access] }
    }

    /// A grant that came about without a code and has no refresh token: whoever got it can get another (RFC 6749
    /// §4.4.3).
    #[must_use]
    pub fn without_refresh_token(login: Login, access: AccessToken) -> Self {
        Self { login, spent_code: None, refresh: None, access: vec![access] }
    }

    /// When the last of the grant's tokens ends.
    #[must_use]
    pub fn expires_at(&self) -> Timestamp {
        let access = self.access.iter().map(|token| token.expires_at);
        let refresh = self.refresh.iter().map(|family| family.current.expires_at);
        access.chain(refresh).max().unwrap_or(Timestamp::from_millis(0))
    }

    /// What an access token is good for now, if it is one of this grant's.
    #[must_use]
    pub fn access_token(&self, hash: SecretHash, now: Timestamp) -> Option<&AccessToken> {
        // All are compared, so that the time tells nothing about which.
        let mut found = None;
        for token in &self.access {
            if token.hash == hash {
                found = Some(token);
            }
        }
        found.filter(|token| !token.expires_at.has_passed(now))
    }

    /// A code presented to a grant whose code is spent: never good (OAuth 2.1 §4.1.3).
    #[must_use]
    pub fn check_code(&self, code: SecretHash, client: PresentedClient<'_>) -> GrantError {
        if self.spent_code != Some(code) {
            return GrantError::Unknown;
        }
        self.login.check_client(client).err().unwrap_or(GrantError::Replayed)
    }

    /// What becomes of a presented refresh token.
    ///
    /// A token of this grant's lineage that is neither the current one nor its predecessor in time was good once:
    /// somebody holds a copy, and the grant ends. A string that merely names the grant does nothing to it.
    pub fn check_refresh(
        &self,
        presented: &PresentedRefreshToken<'_>,
        now: Timestamp,
    ) -> Result<RefreshStep<'_>, GrantError> {
        let family = self.refresh.as_ref().ok_or(GrantError::Unknown)?;
        let is_current = family.current.hash == presented.hash;
        let previous = family.previous.as_ref().filter(|previous| previous.hash == presented.hash);
        if !is_current && previous.is_none() && family.lineage != presented.lineage {
            return Err(GrantError::Unknown);
        }
        self.login.check_client(presented.client)?;
        if family.current.expires_at.has_passed(now) {
            return Err(GrantError::Unknown);
        }
        let repeat = previous.filter(|previous| !previous.until.has_passed(now));
        if !is_current && repeat.is_none() {
            return Err(GrantError::Replayed);
        }
        if presented.resource.is_some_and(|resource| resource != self.login.resource) {
            return Err(GrantError::OtherResource);
        }
        let scope = presented.scope.unwrap_or(&self.login.scope);
        if !self.login.scope.covers(scope) {
            return Err(GrantError::WiderScope);
        }
        if self.login.upstream_ended {
            return Err(GrantError::UpstreamEnded);
        }
        Ok(match repeat {
            Some(previous) => RefreshStep::Repeat { successor: &previous.successor },
            None => RefreshStep::Rotate { wrapped_key: &family.current.wrapped_key, scope: scope.clone() },
        })
    }

    /// Puts a new pair in the place of the old refresh token, which stays good for `retry_window` to repeat the
    /// answer `successor`, sealed under it.
    pub fn rotate(&mut self, issued: Issued, successor: Sealed, retry_window: Duration, now: Timestamp) {
        if let Some(family) = &mut self.refresh {
            let old = std::mem::replace(&mut family.current, issued.refresh);
            let until = now.plus(retry_window);
            family.previous = Some(PreviousRefreshToken { hash: old.hash, successor, until });
        }
        self.prune(now);
        self.access.push(issued.access);
        let excess = self.access.len().saturating_sub(MAX_ACCESS_TOKENS);
        self.access.drain(..excess);
    }

    /// Drops what has ended, and with it the key material that it could still open. Every writer of a grant does this
    /// first, so that only live tokens are of use to a thief of the store.
    pub fn prune(&mut self, now: Timestamp) {
        self.access.retain(|token| !token.expires_at.has_passed(now));
        if let Some(family) = &mut self.refresh {
            family.previous = family.previous.take().filter(|previous| !previous.until.has_passed(now));
        }
    }

    /// Ends one access token, and no other; `false` when it is not one of this grant's.
    pub fn revoke_access_token(&mut self, hash: SecretHash) -> bool {
        let before = self.access.len();
        self.access.retain(|token| token.hash != hash);
        self.access.len() != before
    }

    /// Whether this is a refresh token of the grant, good or once good: what ends the grant when it is revoked.
    #[must_use]
    pub fn has_refresh_token(&self, hash: SecretHash, lineage: SecretHash) -> bool {
        self.refresh.as_ref().is_some_and(|family| {
            family.current.hash == hash
                || family.previous.as_ref().is_some_and(|previous| previous.hash == hash)
                || family.lineage == lineage
        })
    }
}
