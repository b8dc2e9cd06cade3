//! A grant whose client has tokens: access, rotation, replay (OAuth 2.1 §4.3, RFC 9700 §4.14).

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{GrantError, Login, PresentedClient, Sealed, SecretHash, check_key};
use crate::dpop::JwkThumbprint;
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
    /// The key that the code was bound to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    spent_code_jkt: Option<JwkThumbprint>,
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
    /// Some of them were good without the key that the current one has.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    began_unbound: bool,
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
    /// The key without which it is of no use (RFC 9449 §5). Once there is one, all its successors have it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub jkt: Option<JwkThumbprint>,
}

/// The one before it.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct PreviousRefreshToken {
    hash: SecretHash,
    successor: Sealed,
    until: Timestamp,
    /// The key that the successor's access token is bound to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    successor_jkt: Option<JwkThumbprint>,
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
    /// The key without which it is of no use: `cnf.jkt` (RFC 9449 §6). `None` for a bearer token.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub jkt: Option<JwkThumbprint>,
}

impl AccessToken {
    /// How it is to be presented (RFC 6749 §7.1, RFC 9449 §5).
    #[must_use]
    pub const fn token_type(&self) -> &'static str {
        if self.jkt.is_some() { "DPoP" } else { "Bearer" }
    }
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
    /// The key that it has proved to hold, if it sent a DPoP proof.
    pub jkt: Option<JwkThumbprint>,
}

impl Login {
    /// What a refresh token of this login is bound to that is given for this proof: that of a client which has to
    /// authenticate is of no use to anybody else anyway, and the client may change its key (RFC 9449 §5).
    #[must_use]
    pub fn refresh_token_jkt(&self, proved: Option<JwkThumbprint>) -> Option<JwkThumbprint> {
        proved.filter(|_| !self.confidential)
    }
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
    pub(super) fn new(
        login: Login,
        (spent_code, spent_code_jkt): (SecretHash, Option<JwkThumbprint>),
        lineage: SecretHash,
        issued: Issued,
    ) -> Self {
        let refresh =
            RefreshFamily { lineage, current: issued.refresh, previous: None, began_unbound: false };
        Self {
            login,
            spent_code: Some(spent_code),
            spent_code_jkt,
            refresh: Some(refresh),
            access: vec![issued.access],
        }
    }

    /// A grant that came about without a code and has no refresh token: whoever got it can get another (RFC 6749
    /// §4.4.3).
    #[must_use]
    pub fn without_refresh_token(login: Login, access: AccessToken) -> Self {
        Self { login, spent_code: None, spent_code_jkt: None, refresh: None, access: vec![access] }
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

    /// When the current refresh token ends, if this is it and the login has not ended.
    #[must_use]
    pub fn refresh_token(&self, hash: SecretHash, now: Timestamp) -> Option<Timestamp> {
        let current = &self.refresh.as_ref()?.current;
        let good = current.hash == hash && !self.login.upstream_ended && !current.expires_at.has_passed(now);
        good.then_some(current.expires_at)
    }

    /// A code presented to a grant whose code is spent: never good (OAuth 2.1 §4.1.3). Whoever could not have exchanged
    /// it does not end the grant with it.
    #[must_use]
    pub fn check_code(
        &self,
        code: SecretHash,
        client: PresentedClient<'_>,
        jkt: Option<JwkThumbprint>,
    ) -> GrantError {
        if self.spent_code != Some(code) {
            return GrantError::Unknown;
        }
        let may_use = self.login.check_client(client).and_then(|()| check_key(self.spent_code_jkt, jkt));
        may_use.err().unwrap_or(GrantError::Replayed)
    }

    /// What becomes of a presented refresh token.
    ///
    /// A token of this grant's lineage that is neither the current one nor its predecessor in time was good once:
    /// somebody holds a copy, and the grant ends. A string that merely names the grant does nothing to it, nor does a
    /// copy without the key that it is bound to: it is of no use. A copy that was good without a key is, and if it comes
    /// late, somebody else has bound the login to a key of their own.
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
        let has_key = check_key(family.current.jkt, presented.jkt);
        if has_key.is_err() && !is_current && family.began_unbound {
            return Err(GrantError::Replayed);
        }
        has_key?;
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
            // The answer is made and cannot be bound anew.
            Some(previous) if previous.successor_jkt != presented.jkt => return Err(GrantError::OtherKey),
            Some(previous) => RefreshStep::Repeat { successor: &previous.successor },
            None => RefreshStep::Rotate { wrapped_key: &family.current.wrapped_key, scope: scope.clone() },
        })
    }

    /// Puts a new pair in the place of the old refresh token, which stays good for `retry_window` to repeat the
    /// answer `successor`, sealed under it. A binding to a key is kept whatever the new pair says.
    pub fn rotate(&mut self, issued: Issued, successor: Sealed, retry_window: Duration, now: Timestamp) {
        if let Some(family) = &mut self.refresh {
            let old = std::mem::replace(&mut family.current, issued.refresh);
            family.began_unbound |= old.jkt.is_none() && family.current.jkt.is_some();
            family.current.jkt = old.jkt.or(family.current.jkt);
            let (until, successor_jkt) = (now.plus(retry_window), issued.access.jkt);
            family.previous = Some(PreviousRefreshToken { hash: old.hash, successor, until, successor_jkt });
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

    /// The grant's data key, under this refresh token, if it is the current one.
    #[must_use]
    pub fn key_under_refresh_token(&self, hash: SecretHash) -> Option<&Sealed> {
        let current = &self.refresh.as_ref()?.current;
        (current.hash == hash).then_some(&current.wrapped_key)
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
