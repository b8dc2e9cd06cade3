//! A client's assertion (`private_key_jwt`, RFC 7523 §2.2): whether this client has signed it, for us, now, and for the
//! first time.

use mcp_login_core::client::ClientKeys;
use mcp_login_core::client::assertion::{CheckedAssertion, Expected, check_assertion};
use mcp_login_core::error::OAuthError;

use super::fetched::{FAILURE_AGE, Refusal};
use super::{Asker, AuthenticationError, Clients};
use crate::jwt::UnverifiedJwt;
use crate::store::records::UsedKind;

/// One answer, whatever is wrong with the signature and whoever the client is: none of its keys has made it.
pub(super) fn not_verified() -> OAuthError {
    OAuthError::invalid_client(
        "the client assertion cannot be verified: sign it with RS256, PS256, ES256 or EdDSA and a key of a client that is known here",
    )
}

/// An assertion, and who it says that the client is.
#[derive(Debug)]
pub(super) struct Assertion<'a, 'jwt> {
    pub(super) client_id: &'a str,
    pub(super) jwt: &'a UnverifiedJwt<'jwt>,
    pub(super) asker: Asker<'a>,
}

impl Assertion<'_, '_> {
    /// What can be said before anybody's keys are looked for. It is said again of what is signed, which is the same.
    pub(super) fn screen(&self, clients: &Clients) -> Result<(), AuthenticationError> {
        let claims = self.jwt.unverified_claims().ok_or_else(not_verified)?;
        check_assertion(self.jwt.typ(), &claims, &self.expected(clients)).map_err(OAuthError::from)?;
        Ok(())
    }

    /// That it is signed with one of these keys; then it is used up.
    pub(super) async fn accept(
        &self,
        clients: &Clients,
        keys: &ClientKeys,
        by_operator: bool,
    ) -> Result<(), AuthenticationError> {
        let keys = clients.key_sets.of(keys, by_operator, self.jwt, self.asker).await?;
        let claims = self.jwt.verify(&keys).map_err(|_| not_verified())?;
        let CheckedAssertion { jti, remember_until } =
            check_assertion(self.jwt.typ(), &claims, &self.expected(clients)).map_err(OAuthError::from)?;
        let kind = UsedKind::ClientAssertion;
        if clients.store.use_once(kind, self.client_id, &jti, remember_until, self.asker.now).await? {
            return Ok(());
        }
        tracing::warn!(client_id = self.client_id, "a client assertion was presented twice");
        Err(OAuthError::invalid_client("the client assertion was used before; each has a jti of its own")
            .into())
    }

    fn expected<'b>(&'b self, clients: &'b Clients) -> Expected<'b> {
        Expected {
            client_id: self.client_id,
            issuer: &clients.issuer,
            token_endpoint: &clients.token_endpoint,
            now: self.asker.now,
        }
    }
}

/// Nobody knows the client's keys now: that is no reason to call it another.
impl From<Refusal> for AuthenticationError {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::Unreachable(_) => Self::Unreachable { wait: FAILURE_AGE },
            Refusal::TooMany(wait) => Self::TooMany { wait },
            Refusal::Invalid(error) => error.into(),
        }
    }
}
