//! The grant: one login of one person through one client, from the first request to its end.
//!
//! ```text
//! Pending ──consent──▶ Approved ──callback──▶ Claimed ──upstream──▶ CodeIssued ──code──▶ Active ──▶ gone
//! ```
//!
//! One record, replaced as a whole: whoever loses the race for a step finds the state that the winner left. What a
//! secret protects is held as a hash or sealed ([`SecretHash`], [`Sealed`]), so a record is of no use to its thief.
//! A grant that ends is removed: there is no state in which it could be revived.

mod active;
mod blob;
mod code;

use serde::{Deserialize, Serialize};

pub use active::{
    AccessToken, Active, Issued, MAX_ACCESS_TOKENS, PresentedRefreshToken, RefreshStep, RefreshToken,
};
pub use blob::{InvalidBlob, Sealed, SecretHash};
pub use code::{CodeIssued, PresentedCode};

use crate::dpop::JwkThumbprint;
use crate::error::{ErrorCode, OAuthError};
use crate::scope::Scopes;
use crate::timestamp::Timestamp;

/// The stages of a grant.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(tag = "stage", rename_all = "snake_case")]
pub enum Grant {
    /// The page is being shown.
    Pending(Pending),
    /// The person has said yes and is at the upstream.
    Approved(Approved),
    /// One request has the rest of this step to itself; to all others the login is over.
    Claimed(Claimed),
    /// The person is back; the client has a code.
    CodeIssued(Box<CodeIssued>),
    /// The client has tokens.
    Active(Box<Active>),
}

/// The page is being shown, in one browser.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Pending {
    /// Of the token in the page's form.
    pub consent: SecretHash,
    /// Of the cookie of the browser that the page was sent to.
    pub browser: SecretHash,
    /// The request, under the token in the form.
    pub request: Sealed,
    /// When the page is too old to be answered.
    pub expires_at: Timestamp,
}

/// The person is at the upstream.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Approved {
    /// Of the `state` that the upstream returns.
    pub state: SecretHash,
    /// Of the cookie of the browser that consented.
    pub session: SecretHash,
    /// The request and what our own exchange with the upstream needs, under the `state`.
    pub session_data: Sealed,
    /// When it is too late to come back.
    pub expires_at: Timestamp,
}

/// Somebody is at it. Nothing is held: whoever claimed it has taken along what it needs.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub struct Claimed {
    /// When whoever claimed it has given up.
    pub expires_at: Timestamp,
}

/// Who logged in, for what: the same from the code to the end of the grant.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Login {
    /// The client.
    pub client_id: String,
    /// The MCP server that tokens are for.
    pub resource: String,
    /// The most that tokens may be used for.
    pub scope: Scopes,
    /// The person.
    pub user: User,
    /// The upstream that the person signed in to, by what it is and not by what it is called here: nobody else may be asked
    /// about them, or sent their tokens. `None` where nobody signed in, and in logins that are older than this.
    #[serde(default)]
    pub realm: Option<String>,
    /// Everything that the upstream said of the person, under the grant's data key.
    pub claims: Sealed,
    /// The upstream's tokens, under the grant's data key. `None` where nobody signed in there: a client that acts for
    /// itself, or a person whom another identity provider vouches for.
    #[serde(default)]
    pub upstream_tokens: Option<Sealed>,
    /// The upstream has ended the login: no new tokens, the person has to sign in again.
    #[serde(default)]
    pub upstream_ended: bool,
    /// The client authenticates: whoever presents what the grant gave without having done so is not it. Known when
    /// the login starts, so that nobody has to look the client up again when it comes for tokens.
    #[serde(default)]
    pub confidential: bool,
    /// When the person logged in.
    pub logged_in_at: Timestamp,
}

/// The client that presents something.
#[derive(Debug, Clone, Copy)]
pub struct PresentedClient<'a> {
    /// Its identifier.
    pub id: &'a str,
    /// Whether it has proved that it is the one; a public client cannot.
    pub authenticated: bool,
}

impl Login {
    /// Whether the person may have signed in to this upstream.
    #[must_use]
    pub fn is_of(&self, realm: &str) -> bool {
        self.realm.as_deref().is_none_or(|of| of == realm)
    }

    /// Whether this client may use what the login gave.
    pub fn check_client(&self, client: PresentedClient<'_>) -> Result<(), GrantError> {
        if self.client_id != client.id {
            return Err(GrantError::OtherClient);
        }
        if self.confidential && !client.authenticated {
            return Err(GrantError::NotAuthenticated);
        }
        Ok(())
    }
}

/// Whether a client that has proved that it holds one key, or none, may use what is bound to another one, or to none
/// (RFC 9449 §5). What is not bound asks for no proof.
fn check_key(bound: Option<JwkThumbprint>, proved: Option<JwkThumbprint>) -> Result<(), GrantError> {
    match (bound, proved) {
        (None, _) => Ok(()),
        (Some(_), None) => Err(GrantError::ProofMissing),
        (Some(bound), Some(proved)) if bound == proved => Ok(()),
        (Some(_), Some(_)) => Err(GrantError::OtherKey),
    }
}

/// What operators may see of a person.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct User {
    /// The stable identifier at the upstream.
    pub subject: String,
    /// A verified address.
    pub email: Option<String>,
    /// The name to show.
    pub name: Option<String>,
    /// The login or handle; it can change.
    pub preferred_username: Option<String>,
}

impl Grant {
    /// The name of the stage, as it is stored.
    #[must_use]
    pub const fn stage(&self) -> &'static str {
        match self {
            Self::Pending(_) => "pending",
            Self::Approved(_) => "approved",
            Self::Claimed(_) => "claimed",
            Self::CodeIssued(_) => "code_issued",
            Self::Active(_) => "active",
        }
    }

    /// Who logged in, once that is known.
    #[must_use]
    pub const fn login(&self) -> Option<&Login> {
        match self {
            Self::Pending(_) | Self::Approved(_) | Self::Claimed(_) => None,
            Self::CodeIssued(issued) => Some(&issued.login),
            Self::Active(active) => Some(&active.login),
        }
    }

    /// When nothing of the grant is of use any more.
    #[must_use]
    pub fn expires_at(&self) -> Timestamp {
        match self {
            Self::Pending(pending) => pending.expires_at,
            Self::Approved(approved) => approved.expires_at,
            Self::Claimed(claimed) => claimed.expires_at,
            Self::CodeIssued(issued) => issued.expires_at,
            Self::Active(active) => active.expires_at(),
        }
    }
}

/// Why a grant does not give what was asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum GrantError {
    /// No such code or token, or no longer.
    #[error("the code or token is unknown, used up or expired")]
    Unknown,
    /// A code or refresh token that was used before: whoever presents it, somebody has a copy. The grant ends.
    #[error("the code or token was used before; the login has been ended")]
    Replayed,
    /// It was given to another client.
    #[error("the code or token was given to another client")]
    OtherClient,
    /// Its client authenticates, and whoever came has not.
    #[error("this client has to authenticate")]
    NotAuthenticated,
    /// It is bound to a key (RFC 9449 §5, §10), and there is no proof that the client holds one. The client may have
    /// forgotten how to: with a new login it gets what it can use.
    #[error("the code or token is bound to a key: send a DPoP proof, or log in again")]
    ProofMissing,
    /// It is bound to another key, or its answer is.
    #[error("the code or token is for another DPoP key")]
    OtherKey,
    /// Not where the code was sent.
    #[error("redirect_uri is not the one of the authorization request")]
    OtherRedirectUri,
    /// The verifier does not fit (RFC 7636 §4.6).
    #[error("code_verifier does not fit the code_challenge")]
    WrongVerifier,
    /// Not the server that the grant is for (RFC 8707 §2.2).
    #[error("the resource is not the one that was authorized")]
    OtherResource,
    /// More than the grant holds (OAuth 2.1 §4.3.1).
    #[error("the scope goes beyond what was authorized")]
    WiderScope,
    /// The upstream ended the login.
    #[error("the login has ended at the upstream service; sign in again")]
    UpstreamEnded,
}

impl From<GrantError> for OAuthError {
    fn from(error: GrantError) -> Self {
        let code = match error {
            GrantError::NotAuthenticated => ErrorCode::InvalidClient,
            GrantError::OtherResource => ErrorCode::InvalidTarget,
            GrantError::WiderScope => ErrorCode::InvalidScope,
            _ => ErrorCode::InvalidGrant,
        };
        Self::new(code, error.to_string())
    }
}

#[cfg(test)]
mod tests;
