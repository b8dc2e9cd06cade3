//! The authorization code (OAuth 2.1 §4.1.2, §4.1.3).

use serde::{Deserialize, Serialize};

use super::{Active, GrantError, Issued, Login, PresentedClient, Sealed, SecretHash};
use crate::client::VerifiedRedirectUri;
use crate::pkce::CodeChallenge;
use crate::secret::Secret;
use crate::timestamp::Timestamp;

/// The client has a code.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct CodeIssued {
    /// Who logged in, for what.
    pub login: Login,
    /// Of the code.
    pub code: SecretHash,
    /// The grant's data key, under the code.
    pub wrapped_key: Sealed,
    /// Where the code was sent.
    pub redirect_uri: VerifiedRedirectUri,
    /// What the verifier has to fit.
    pub code_challenge: CodeChallenge,
    /// When the code ends.
    pub expires_at: Timestamp,
}

/// A code, and who presents it with what.
#[derive(Debug)]
pub struct PresentedCode<'a> {
    /// Of the code.
    pub code: SecretHash,
    /// The client.
    pub client: PresentedClient<'a>,
    /// Its `redirect_uri`, if it sent one.
    pub redirect_uri: Option<&'a str>,
    /// Its `code_verifier`.
    pub code_verifier: &'a Secret,
    /// The exact URL of the server that it named, if it named one.
    pub resource: Option<&'a str>,
}

impl CodeIssued {
    /// Whether the code may be exchanged. A failure leaves the code as it is: whoever has no verifier learns nothing
    /// and takes nothing from the one who has.
    pub fn check(&self, presented: &PresentedCode<'_>, now: Timestamp) -> Result<(), GrantError> {
        if self.code != presented.code || self.expires_at.has_passed(now) {
            return Err(GrantError::Unknown);
        }
        self.login.check_client(presented.client)?;
        if presented.redirect_uri.is_some_and(|uri| uri != self.redirect_uri.as_str()) {
            return Err(GrantError::OtherRedirectUri);
        }
        if !self.code_challenge.verify(presented.code_verifier.expose_secret()) {
            return Err(GrantError::WrongVerifier);
        }
        if presented.resource.is_some_and(|resource| resource != self.login.resource) {
            return Err(GrantError::OtherResource);
        }
        Ok(())
    }

    /// The grant once the code is exchanged for these tokens. `lineage` is what all its refresh tokens share.
    #[must_use]
    pub fn exchange(self, lineage: SecretHash, issued: Issued) -> Active {
        Active::new(self.login, self.code, lineage, issued)
    }
}
