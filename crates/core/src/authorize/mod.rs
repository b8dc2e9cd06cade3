//! The authorization request: what has to hold before a person is asked, and how the answer travels back.

pub mod checks;
pub mod response;

use serde::{Deserialize, Serialize};

use crate::client::VerifiedRedirectUri;
use crate::dpop::JwkThumbprint;
use crate::pkce::CodeChallenge;
use crate::scope::Scopes;

pub use checks::{Checked, Context, RedirectError, check_client_id, check_request};
pub use response::AuthorizationResponse;

/// An authorization request of which every check has held (OAuth 2.1 §4.1.1).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuthorizationRequest {
    /// Who asks.
    pub client_id: String,
    /// Where the answer goes.
    pub redirect_uri: VerifiedRedirectUri,
    /// The client's own value, returned byte for byte.
    pub state: Option<String>,
    /// What the token may be used for: known scopes only.
    pub scope: Scopes,
    /// The exact URL of the MCP server that the token is for.
    pub resource: String,
    /// What the client's verifier has to fit (RFC 7636).
    pub code_challenge: CodeChallenge,
    /// Who asks has to authenticate when it comes for tokens.
    #[serde(default)]
    pub confidential: bool,
    /// The key that the code is to be bound to (RFC 9449 §10).
    #[serde(default)]
    pub dpop_jkt: Option<JwkThumbprint>,
}
