//! Registered clients in the store: `client:<client_id>`.

use std::time::Duration;

use mcp_login_core::client::Client;
use mcp_login_core::grant::SecretHash;
use mcp_login_core::{Secret, Timestamp};
use serde::{Deserialize, Serialize};

use super::handle::hash;
use super::{decode, encode};
use crate::store::Store;
use crate::store::backend::{Key, StoreError};

/// Not every use of a client writes: one that was renewed this short a time ago is left alone.
const RENEW_AFTER: Duration = Duration::from_secs(24 * 60 * 60);

/// A client that has registered itself (RFC 7591).
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ClientRecord {
    /// The client.
    #[serde(flatten)]
    pub client: Client,
    secret: Option<SecretHash>,
    /// When it registered.
    pub registered_at: Timestamp,
}

impl ClientRecord {
    /// A new registration, with the secret that a confidential client is given.
    #[must_use]
    pub fn new(client: Client, secret: Option<&Secret>, now: Timestamp) -> Self {
        Self { client, secret: secret.map(|secret| hash(secret.expose_secret())), registered_at: now }
    }

    /// Whether this is the client's secret.
    #[must_use]
    pub fn has_secret(&self, presented: &str) -> bool {
        self.secret.is_some_and(|held| held == hash(presented))
    }
}

fn key(client_id: &str) -> Option<Key> {
    let valid = client_id.len() == 32 && client_id.bytes().all(|b| b.is_ascii_hexdigit());
    valid.then(|| Key::new("client", client_id))
}

impl Store {
    /// Keeps a new registration for as long as nobody uses it.
    pub async fn insert_client(
        &self,
        record: &ClientRecord,
        idle: Duration,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        let Some(key) = key(&record.client.client_id) else { return Ok(false) };
        self.backend().insert(&key, encode(record)?, now.plus(idle), now).await
    }

    /// The client of this id, if it has registered. Being looked for counts as use: real clients keep their registration
    /// for good, so it lives on for another `idle`.
    pub async fn client(
        &self,
        client_id: &str,
        idle: Duration,
        now: Timestamp,
    ) -> Result<Option<ClientRecord>, StoreError> {
        let Some(key) = key(client_id) else { return Ok(None) };
        let Some(entry) = self.backend().get(&key, now).await? else { return Ok(None) };
        if entry.expires_at.until(now) + RENEW_AFTER < idle {
            // Losing this race is as good as winning it: the winner renewed the same record.
            self.backend().swap(&key, entry.version, entry.value.clone(), now.plus(idle), now).await?;
        }
        decode(&entry.value, "a client").map(Some)
    }
}
