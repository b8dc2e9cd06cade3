//! Registered clients in the store: `client:<client_id>`.

use std::time::Duration;

use mcp_login_core::client::Client;
use mcp_login_core::grant::SecretHash;
use mcp_login_core::{Secret, Timestamp};
use serde::{Deserialize, Serialize};

use super::handle::hash;
use super::{decode, encode};
use crate::store::Store;
use crate::store::backend::{Key, StoreError, Version};

/// How long a client is kept that nobody uses. Real clients keep their registration for good, so every login renews it.
const IDLE_TTL: Duration = Duration::from_secs(90 * 24 * 60 * 60);
/// Not every login writes: only one that finds this little left.
const RENEW_BELOW: Duration = Duration::from_secs(60 * 24 * 60 * 60);

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
    /// Keeps a new registration.
    pub async fn insert_client(&self, record: &ClientRecord, now: Timestamp) -> Result<bool, StoreError> {
        let Some(key) = key(&record.client.client_id) else { return Ok(false) };
        self.backend().insert(&key, encode(record)?, now.plus(IDLE_TTL), now).await
    }

    /// The client of this id, if it has registered.
    pub async fn client(&self, client_id: &str, now: Timestamp) -> Result<Option<ClientRecord>, StoreError> {
        let Some((key, entry)) = self.client_entry(client_id, now).await? else { return Ok(None) };
        if entry.expires_at.until(now) < RENEW_BELOW {
            self.renew(&key, entry.version, entry.value.clone(), now).await?;
        }
        decode(&entry.value, "a client").map(Some)
    }

    async fn client_entry(
        &self,
        client_id: &str,
        now: Timestamp,
    ) -> Result<Option<(Key, crate::store::backend::Entry)>, StoreError> {
        let Some(key) = key(client_id) else { return Ok(None) };
        Ok(self.backend().get(&key, now).await?.map(|entry| (key, entry)))
    }

    /// Losing this race is as good as winning it: the winner renewed the same record.
    async fn renew(
        &self,
        key: &Key,
        version: Version,
        value: bytes::Bytes,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        self.backend().swap(key, version, value, now.plus(IDLE_TTL), now).await.map(|_| ())
    }
}
