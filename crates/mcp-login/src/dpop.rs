//! The DPoP proof of a request (RFC 9449), at the token endpoint and before MCP servers.

use axum::http::{HeaderMap, HeaderName};
use mcp_login_core::Timestamp;
use mcp_login_core::dpop::{CheckedProof, DpopError, JwkThumbprint, ProvedRequest, check_proof};

use crate::jwt::UnverifiedJwt;
use crate::store::Store;
use crate::store::backend::StoreError;
use crate::store::records::UsedKind;

/// The header that holds the proof (§4.1).
pub(crate) const DPOP: HeaderName = HeaderName::from_static("dpop");

/// A proof that holds. Whether it was used before shows when it is [used up](Self::use_up).
#[derive(Debug)]
pub(crate) struct Proof(CheckedProof);

/// Why a proof is not taken.
#[derive(Debug)]
pub(crate) enum ProofError {
    /// By a rule.
    Refused(DpopError),
    /// Nobody knows whether it was used before.
    Store(StoreError),
}

impl From<DpopError> for ProofError {
    fn from(error: DpopError) -> Self {
        Self::Refused(error)
    }
}

impl From<StoreError> for ProofError {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

impl Proof {
    /// The proof in the headers of this request; `None` where there is none.
    pub(crate) fn read(
        headers: &HeaderMap,
        request: &ProvedRequest<'_>,
        now: Timestamp,
    ) -> Result<Option<Self>, DpopError> {
        let mut values = headers.get_all(DPOP).iter();
        let Some(value) = values.next() else { return Ok(None) };
        if values.next().is_some() {
            return Err(DpopError::Several);
        }
        let text = value.to_str().map_err(|_| DpopError::Signature)?;
        let token = UnverifiedJwt::read(text).and_then(|token| token.verify_with_own_key());
        let token = token.map_err(|error| {
            tracing::debug!(%error, "a DPoP proof that does not hold");
            DpopError::Signature
        })?;
        check_proof(&token.header, &token.claims, request, now).map(|checked| Some(Self(checked)))
    }

    /// The key that the client holds.
    pub(crate) const fn key(&self) -> JwkThumbprint {
        self.0.key
    }

    /// Takes the proof for this one request (§11.1), on all nodes. The write is what DPoP costs, and only its users pay it.
    /// Callers do it when all else holds, so that what is refused anyway leaves nothing behind.
    pub(crate) async fn use_up(&self, store: &Store, now: Timestamp) -> Result<(), ProofError> {
        let CheckedProof { key, jti, remembered_until } = &self.0;
        let first =
            store.use_once(UsedKind::DpopProof, &key.to_string(), jti, *remembered_until, now).await?;
        if first { Ok(()) } else { Err(DpopError::Replayed.into()) }
    }
}
