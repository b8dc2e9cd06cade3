//! Registered clients in the store: `client:<client_id>`.

use std::time::Duration;

use mcp_login_core::client::Client;
use mcp_login_core::grant::SecretHash;
use mcp_login_core::{Secret, Timestamp};
use serde::{Deserialize, Serialize};

use super::handle::hash;
use super::{decode, encode};
use crate::store::Store;
use crate::store::backend::{Entry, Key, StoreError, Swap};

/// The kind of these records.
pub(super) const CLIENTS: &str = "client";

/// Not every use of a client writes: one that was renewed this short a time ago is left alone.
const RENEW_AFTER: Duration = Duration::from_secs(24 * 60 * 60);

/// How often the first use is written that others overtake. It is overtaken by the same first use, or by nothing.
const MAX_ATTEMPTS: usize = 8;

/// A client that has registered itself (RFC 7591).
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ClientRecord {
    /// The client.
    #[serde(flatten)]
    pub client: Client,
    secret: Option<SecretHash>,
    /// When it registered.
    pub registered_at: Timestamp,
    /// Whether no login of it has come to an end yet.
    #[serde(default)]
    unused: bool,
}

impl ClientRecord {
    /// A new registration, with the secret that a confidential client is given.
    #[must_use]
    pub fn new(client: Client, secret: Option<&Secret>, now: Timestamp) -> Self {
        let secret = secret.map(|secret| hash(secret.expose_secret()));
        Self { client, secret, registered_at: now, unused: true }
    }

    /// Whether no login of it has come to an end yet: then it does not live long.
    #[must_use]
    pub const fn is_unused(&self) -> bool {
        self.unused
    }

    /// Whether this is the client's secret.
    #[must_use]
    pub fn has_secret(&self, presented: &str) -> bool {
        self.secret.is_some_and(|held| held == hash(presented))
    }
}

fn key(client_id: &str) -> Option<Key> {
    let valid = client_id.len() == 32 && client_id.bytes().all(|b| b.is_ascii_hexdigit());
    valid.then(|| Key::new(CLIENTS, client_id))
}

impl Store {
    /// Keeps a new registration for `unused`, in which a login has to come to an end. Registering costs nothing, so
    /// what costs nothing may not stay.
    pub async fn insert_client(
        &self,
        record: &ClientRecord,
        unused: Duration,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        let Some(key) = key(&record.client.client_id) else { return Ok(false) };
        self.backend().insert(&key, encode(record)?, now.plus(unused), now).await
    }

    /// The client of this id, if it has registered. Being looked for counts as use of one that has finished a login:
    /// real clients keep their registration for good, so it lives on for another `idle`. One that has not gains nothing.
    pub async fn client(
        &self,
        client_id: &str,
        idle: Duration,
        now: Timestamp,
    ) -> Result<Option<ClientRecord>, StoreError> {
        let Some(key) = key(client_id) else { return Ok(None) };
        let Some((entry, record)) = self.read_client(&key, now).await? else { return Ok(None) };
        if !record.unused && entry.expires_at.until(now) + RENEW_AFTER < idle {
            // Losing this race is as good as winning it: the winner renewed the same record.
            self.backend().swap(&key, entry.version, entry.value, now.plus(idle), now).await?;
        }
        Ok(Some(record))
    }

    /// The client of this id, to tell its name: that is no use of it.
    pub async fn look_at_client(
        &self,
        client_id: &str,
        now: Timestamp,
    ) -> Result<Option<ClientRecord>, StoreError> {
        let Some(key) = key(client_id) else { return Ok(None) };
        Ok(self.read_client(&key, now).await?.map(|(_, record)| record))
    }

    /// Forgets a client; `false` when there is none of this id.
    pub async fn remove_client(&self, client_id: &str, now: Timestamp) -> Result<bool, StoreError> {
        let Some(key) = key(client_id) else { return Ok(false) };
        self.backend().delete(&key, now).await
    }

    /// A login of this client has come to an end: from now on it lives for `idle` from its last use. `false` when it is
    /// not there any more.
    pub async fn use_client(
        &self,
        client_id: &str,
        idle: Duration,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        let Some(key) = key(client_id) else { return Ok(false) };
        for _ in 0..MAX_ATTEMPTS {
            let Some((entry, mut record)) = self.read_client(&key, now).await? else { return Ok(false) };
            if !record.unused {
                return Ok(true);
            }
            record.unused = false;
            match self.backend().swap(&key, entry.version, encode(&record)?, now.plus(idle), now).await {
                Ok(Swap::Done(_)) => return Ok(true),
                Ok(Swap::Missing) => return Ok(false),
                Ok(Swap::Conflict) => {}
                // The answer may be lost and the write done, by us or by another first use: either will do.
                Err(lost @ StoreError::Unavailable(_)) => match self.read_client(&key, now).await {
                    Ok(Some((_, record))) if !record.unused => return Ok(true),
                    _ => return Err(lost),
                },
                Err(error) => return Err(error),
            }
        }
        Err(StoreError::unavailable("the client changes faster than it can be written"))
    }

    async fn read_client(
        &self,
        key: &Key,
        now: Timestamp,
    ) -> Result<Option<(Entry, ClientRecord)>, StoreError> {
        let Some(entry) = self.backend().get(key, now).await? else { return Ok(None) };
        let record = decode(&entry.value, "a client")?;
        Ok(Some((entry, record)))
    }
}
