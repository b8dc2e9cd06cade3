//! [`UpstreamError`]: four kinds, because there are four things to do about them.

use std::error::Error;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

/// What a failed call to the upstream service means. None of the texts, and neither `Display` nor `Debug`, holds a token,
/// a code, a secret or anything of an answer's body but a well-formed OAuth error code.
#[derive(Debug, Clone, thiserror::Error)]
pub enum UpstreamError {
    /// The service cannot be reached, is too slow, or says it is overloaded. Nothing is known about the login: keep what
    /// is stored and try later.
    #[error("the upstream service is unavailable: {reason}")]
    Unavailable {
        /// How long the service asked to be left alone; at most an hour.
        retry_after: Option<Duration>,
        /// What happened.
        reason: &'static str,
        /// The cause, for the log.
        source: Option<Cause>,
    },
    /// The service said no to this code or refresh token. A new login is the way on.
    #[error("the upstream service refused: {error}")]
    Refused {
        /// The OAuth error code (RFC 6749 §5.2), or `unrecognized_error`.
        error: String,
    },
    /// The answer cannot be believed; nothing of it was used.
    #[error("the upstream service's answer cannot be trusted: {0}")]
    Untrusted(&'static str),
    /// The operator has to change something. The text starts with the configuration key.
    #[error("{0}")]
    Misconfigured(String),
}

impl UpstreamError {
    /// Whether the stored grant is dead for good: the refresh token was refused as such, and only a new login helps.
    /// False for an outage and for a mistake of the operator, which must log nobody out.
    #[must_use]
    pub fn ends_grant(&self) -> bool {
        const DEAD: [&str; 4] = ["invalid_grant", "bad_refresh_token", "expired_token", "no_refresh_token"];
        matches!(self, Self::Refused { error } if DEAD.contains(&error.as_str()))
    }

    pub(super) fn unavailable(reason: &'static str) -> Self {
        Self::Unavailable { retry_after: None, reason, source: None }
    }

    pub(super) fn refused(error: &str) -> Self {
        Self::Refused { error: error.to_owned() }
    }
}

/// Why a call failed on the wire. Shared, because one failed call is answered to everybody who waited for it.
#[derive(Clone)]
pub struct Cause(Arc<reqwest::Error>);

impl Cause {
    pub(super) fn new(error: reqwest::Error) -> Self {
        // A URL may hold what a caller put in its query.
        Self(Arc::new(error.without_url()))
    }
}

impl fmt::Debug for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

impl Error for Cause {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.0.source()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_refused_grant_ends_the_grant() {
        assert!(UpstreamError::refused("invalid_grant").ends_grant());
        assert!(!UpstreamError::refused("invalid_request").ends_grant());
        assert!(!UpstreamError::unavailable("x").ends_grant());
        assert!(!UpstreamError::Untrusted("x").ends_grant());
        assert!(!UpstreamError::Misconfigured("client_id: x".to_owned()).ends_grant());
    }
}
