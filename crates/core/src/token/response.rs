//! The token answer (OAuth 2.1 §3.2.3).

use serde::{Deserialize, Serialize};

use crate::scope::Scopes;
use crate::secret::Secret;

/// What a client gets. It is serialised into the answer, and sealed in the grant for a retried refresh.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TokenResponse {
    /// The access token.
    pub access_token: Secret,
    /// Always `Bearer` (RFC 6750).
    pub token_type: String,
    /// How long the access token lives, in seconds.
    pub expires_in: u64,
    /// The refresh token that replaces the presented one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refresh_token: Option<Secret>,
    /// The server that the access token is for, where an identity assertion could have named several.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resource: Option<String>,
    /// What the access token may be used for, which can be less than was asked.
    pub scope: Scopes,
}
