//! Who is connected with what, for an operator.

use std::ops::ControlFlow;

use mcp_login_core::Timestamp;
use mcp_login_core::grant::{Grant, Login};

use super::grants::GRANTS;
use super::{GrantId, decode};
use crate::store::Store;
use crate::store::backend::{Listed, StoreError};
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
    /// login.
    pub async fn each_login<E: From<StoreError>>(
        &self,
        now: Timestamp,
        mut see: impl AsyncFnMut(LiveLogin) -> Result<ControlFlow<()>, E>,
    ) -> Result<u64, E> {
        let (mut seen, mut damaged) = (Seen::default(), 0_u64);
        let failed = |error: StoreError| E::from(error);
        each_page(self.backend(), failed, async |page| {
            for record in page.records.into_iter().filter(|record| record.key.kind() == GRANTS) {
                let new = seen.insert(record.key.as_str(), ());
                match read(record, now) {
                    Ok(Some(login)) if new => {
                        if see(login).await?.is_break() {
                            return Ok(ControlFlow::Break(()));
                        }
                    }
                    Ok(_) => {}
                    Err(_) => damaged = damaged.saturating_add(u64::from(new)),
                }
            }
            Ok(ControlFlow::Continue(()))
        })
        .await?;
        Ok(damaged)
    }

    /// The login of this grant, if it has not ended.
    pub async fn live_login(&self, id: &GrantId, now: Timestamp) -> Result<Option<LiveLogin>, StoreError> {
        let found = self.grant(id, now).await?;
        Ok(found.and_then(|found| LiveLogin::new(id.clone(), found.record)))
    }
}

fn read(Listed { key, entry }: Listed, now: Timestamp) -> Result<Option<LiveLogin>, StoreError> {
    let entry = entry.map_err(StoreError::Damaged)?;
    let grant = decode(&entry.value, "it is no grant")?;
    if entry.expires_at.has_passed(now) {
        return Ok(None);
    }
    let id = GrantId::parse(key.id());
    Ok(id.and_then(|id| LiveLogin::new(id, grant)))
}
