//! Which logins a person has: `person:<hash>`. A repairable index, never the truth: what it names may have ended, and what
//! it lacks is still good.

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use mcp_login_core::Timestamp;
use mcp_login_core::grant::Grant;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::{GrantId, decode, encode};
use crate::store::Store;
use crate::store::backend::{Key, StoreError, Swap};

/// The kind of these records.
pub(super) const PEOPLE: &str = "person";

/// From the last login.
const TTL: Duration = Duration::from_secs(400 * 24 * 60 * 60);

/// The most logins of one person that are remembered; the oldest give way.
const MAX_LOGINS: usize = 100;

/// How long a login stays on the list that is not found: it may not have begun yet, or a replica may not know it.
const YOUNG: Duration = Duration::from_secs(60 * 60);

/// How often a change is tried that others keep overtaking.
const MAX_ATTEMPTS: usize = 16;

/// A person, by what the service they sign in to calls them. Nobody can tell from it who it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct PersonKey(String);

impl PersonKey {
    /// `realm` is within what the subject is unique.
    pub(crate) fn new(realm: &str, subject: &str) -> Self {
        let mut digest = Sha256::new();
        for part in [realm, subject] {
            digest.update((part.len() as u64).to_be_bytes());
            digest.update(part.as_bytes());
        }
        Self(URL_SAFE_NO_PAD.encode(digest.finalize()))
    }

    fn key(&self) -> Key {
        Key::new(PEOPLE, &self.0)
    }
}

#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct Logins {
    grants: Vec<GrantId>,
}

impl Store {
    /// Remembers a login of this person.
    pub(crate) async fn remember_login(
        &self,
        person: &PersonKey,
        grant: &GrantId,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let key = person.key();
        for _ in 0..MAX_ATTEMPTS {
            let Some(entry) = self.backend().get(&key, now).await? else {
                let logins = Logins { grants: vec![grant.clone()] };
                if self.backend().insert(&key, encode(&logins)?, now.plus(TTL), now).await? {
                    return Ok(());
                }
                continue;
            };
            let mut logins: Logins = decode(&entry.value, "the logins of a person")?;
            if !logins.grants.contains(grant) {
                logins.grants.push(grant.clone());
            }
            let surplus = logins.grants.len().saturating_sub(MAX_LOGINS);
            logins.grants.drain(..surplus);
            let swap = self.backend().swap(&key, entry.version, encode(&logins)?, now.plus(TTL), now).await?;
            if matches!(swap, Swap::Done(_)) {
                return Ok(());
            }
        }
        Err(StoreError::unavailable("a person's logins change faster than they can be written"))
    }

    /// The logins of this person that have not ended, the newest first. What has ended leaves the index once it is old.
    pub(crate) async fn logins_of(
        &self,
        person: &PersonKey,
        now: Timestamp,
    ) -> Result<Vec<(GrantId, Grant)>, StoreError> {
        let key = person.key();
        let Some(entry) = self.backend().get(&key, now).await? else { return Ok(Vec::new()) };
        let named: Logins = decode(&entry.value, "the logins of a person")?;
        let mut live = Vec::new();
        for id in &named.grants {
            if let Some(found) = self.grant(id, now).await?
                && found.record.login().is_some()
            {
                live.push((id.clone(), found.record));
            }
        }
        let stays =
            |id: &GrantId| !id.begun().plus(YOUNG).has_passed(now) || live.iter().any(|(of, _)| of == id);
        let kept = Logins { grants: named.grants.iter().filter(|id| stays(id)).cloned().collect() };
        if kept.grants.len() < named.grants.len() {
            // Whoever has written meanwhile knows better.
            self.backend().swap(&key, entry.version, encode(&kept)?, entry.expires_at, now).await?;
        }
        live.reverse();
        Ok(live)
    }

    /// The login of this name, if it is one of this person's and has not ended.
    pub(crate) async fn login_of(
        &self,
        person: &PersonKey,
        grant: &GrantId,
        now: Timestamp,
    ) -> Result<Option<Grant>, StoreError> {
        let Some(entry) = self.backend().get(&person.key(), now).await? else { return Ok(None) };
        let named: Logins = decode(&entry.value, "the logins of a person")?;
        if !named.grants.contains(grant) {
            return Ok(None);
        }
        let found = self.grant(grant, now).await?.map(|found| found.record);
        Ok(found.filter(|grant| grant.login().is_some()))
    }
}
