//! What a browser has approved before: `approval:<hash>`. A repairable memory, never the truth about a grant.

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use mcp_login_core::Timestamp;
use mcp_login_core::authorize::AuthorizationRequest;
use mcp_login_core::scope::Scopes;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::{BrowserSecret, decode, encode};
use crate::store::Store;
use crate::store::backend::{Key, StoreError};

/// The kind of these records.
pub(super) const APPROVALS: &str = "approval";

/// How long an approval is remembered.
const TTL: Duration = Duration::from_secs(30 * 24 * 60 * 60);

/// What was approved.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Approval {
    /// The scopes.
    pub scope: Scopes,
}

/// One browser, client, redirect URI and server. The cookie goes in as it is, so the key tells nothing without it.
fn key(browser: &BrowserSecret, request: &AuthorizationRequest) -> Key {
    let mut digest = Sha256::new();
    let redirect_uri = request.redirect_uri.as_str();
    for part in [browser.as_secret().expose_secret(), &request.client_id, redirect_uri, &request.resource] {
        digest.update((part.len() as u64).to_be_bytes());
        digest.update(part.as_bytes());
    }
    Key::new(APPROVALS, &URL_SAFE_NO_PAD.encode(digest.finalize()))
}

impl Store {
    /// What this browser approved for this client, redirect URI and server.
    pub async fn approval(
        &self,
        browser: &BrowserSecret,
        request: &AuthorizationRequest,
        now: Timestamp,
    ) -> Result<Option<Approval>, StoreError> {
        match self.backend().get(&key(browser, request), now).await? {
            Some(entry) => decode(&entry.value, "an approval").map(Some),
            None => Ok(None),
        }
    }

    /// Remembers what this browser approved. Of two at once either may be remembered: both were approved.
    pub async fn remember_approval(
        &self,
        browser: &BrowserSecret,
        request: &AuthorizationRequest,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let key = key(browser, request);
        let before = self.backend().get(&key, now).await?;
        match before {
            None => {
                let approval = Approval { scope: request.scope.clone() };
                self.backend().insert(&key, encode(&approval)?, now.plus(TTL), now).await?;
            }
            Some(entry) => {
                let held: Approval = decode(&entry.value, "an approval")?;
                let approval = Approval { scope: held.scope.union(&request.scope) };
                self.backend().swap(&key, entry.version, encode(&approval)?, now.plus(TTL), now).await?;
            }
        }
        Ok(())
    }
}
