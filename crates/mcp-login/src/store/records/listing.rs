//! Who is connected with what, and by which programs, for an operator.

use std::ops::ControlFlow;

use mcp_login_core::Timestamp;
use mcp_login_core::grant::{Grant, Login};

use super::clients::{CLIENTS, ClientRecord};
use super::grants::GRANTS;
use super::{GrantId, decode};
use crate::store::Store;
use crate::store::backend::{Entry, Key, Listed, StoreError};
use crate::store::walk::{Seen, each_page};

/// A login that has not ended: what a store tells of it without anybody's token.
#[derive(Debug, Clone)]
pub struct LiveLogin {
    /// Its grant.
    pub id: GrantId,
    /// Who is connected with what.
    pub login: Login,
    /// The name of the grant's stage.
    pub stage: &'static str,
    /// When it ends unless its client comes back before.
    pub ends: Timestamp,
}

/// A client that has registered itself and is still known.
#[derive(Debug, Clone)]
pub struct LiveClient {
    /// The client.
    pub record: ClientRecord,
    /// When it is forgotten unless it is used before.
    pub ends: Timestamp,
}

impl LiveLogin {
    /// `None` for a grant that nobody has logged in for yet.
    fn new(id: GrantId, grant: Grant) -> Option<Self> {
        let (stage, ends) = (grant.stage(), grant.expires_at());
        let login = match grant {
            Grant::CodeIssued(issued) => issued.login,
            Grant::Active(active) => active.login,
            Grant::Pending(_) | Grant::Approved(_) | Grant::Claimed(_) => return None,
        };
        Some(Self { id, login, stage, ends })
    }
}

impl Store {
    /// Shows every login that has not ended, each once, in an order of the store's own, until `see` does not go on. Gives
    /// the number of grants that cannot be read. It holds one page of the store at a time, and some 40 bytes for each
    /// grant.
    pub async fn each_login<E: From<StoreError>>(
        &self,
        now: Timestamp,
        see: impl AsyncFnMut(LiveLogin) -> Result<ControlFlow<()>, E>,
    ) -> Result<u64, E> {
        let read = |key: &Key, entry: Entry| {
            let grant = decode(&entry.value, "it is no grant")?;
            Ok(GrantId::parse(key.id()).and_then(|id| LiveLogin::new(id, grant)))
        };
        each(self, GRANTS, now, read, see).await
    }

    /// The same for clients that have registered themselves.
    pub async fn each_client<E: From<StoreError>>(
        &self,
        now: Timestamp,
        see: impl AsyncFnMut(LiveClient) -> Result<ControlFlow<()>, E>,
    ) -> Result<u64, E> {
        let read = |_: &Key, entry: Entry| {
            let record = decode(&entry.value, "it is no client")?;
            Ok(Some(LiveClient { record, ends: entry.expires_at }))
        };
        each(self, CLIENTS, now, read, see).await
    }

    /// The login of this grant, if it has not ended.
    pub async fn live_login(&self, id: &GrantId, now: Timestamp) -> Result<Option<LiveLogin>, StoreError> {
        let found = self.grant(id, now).await?;
        Ok(found.and_then(|found| LiveLogin::new(id.clone(), found.record)))
    }
}

/// Shows what `read` makes of each record of this kind that lives.
async fn each<T, E: From<StoreError>>(
    store: &Store,
    kind: &str,
    now: Timestamp,
    read: impl Fn(&Key, Entry) -> Result<Option<T>, StoreError>,
    mut see: impl AsyncFnMut(T) -> Result<ControlFlow<()>, E>,
) -> Result<u64, E> {
    let (mut seen, mut damaged) = (Seen::default(), 0_u64);
    each_page(store.backend(), E::from, async |page| {
        for Listed { key, entry } in page.records.into_iter().filter(|record| record.key.kind() == kind) {
            if !seen.insert(key.as_str(), ()) {
                continue;
            }
            let record = match entry {
                Ok(entry) if entry.expires_at.has_passed(now) => Ok(None),
                Ok(entry) => read(&key, entry),
                Err(why) => Err(StoreError::Damaged(why)),
            };
            match record {
                Ok(None) => {}
                Ok(Some(record)) => {
                    if see(record).await?.is_break() {
                        return Ok(ControlFlow::Break(()));
                    }
                }
                Err(_) => damaged = damaged.saturating_add(1),
            }
        }
        Ok(ControlFlow::Continue(()))
    })
    .await?;
    Ok(damaged)
}
