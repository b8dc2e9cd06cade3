//! Who alone does something with a grant for a while, on all nodes: `lease:<grant>`.
//!
//! A lease keeps others from doing the same work twice. It protects nothing: whoever has lost one without noticing still
//! finds every write conditional.

use std::time::Duration;

use bytes::Bytes;
use mcp_login_core::Timestamp;

use super::GrantId;
use crate::store::Store;
use crate::store::backend::{Key, StoreError, Swap, Version};

/// The kind of these records.
pub(super) const LEASES: &str = "lease";

/// How long a lease holds that nobody renews: so long others wait for a node that has died.
pub(crate) const LEASE_TTL: Duration = Duration::from_secs(10);

/// A lease that somebody holds.
#[derive(Debug)]
pub(crate) struct Lease {
    key: Key,
    version: Version,
}

impl Store {
    /// Takes the lease of a grant; `None` when somebody holds it.
    pub(crate) async fn acquire_lease(
        &self,
        grant: &GrantId,
        now: Timestamp,
    ) -> Result<Option<Lease>, StoreError> {
        let key = Key::new(LEASES, grant.as_str());
        let acquired = self.backend().insert(&key, Bytes::new(), now.plus(LEASE_TTL), now).await?;
        Ok(acquired.then_some(Lease { key, version: Version::FIRST }))
    }

    /// Holds on to a lease; `false` when it is lost.
    pub(crate) async fn renew_lease(&self, lease: &mut Lease, now: Timestamp) -> Result<bool, StoreError> {
        let end = now.plus(LEASE_TTL);
        match self.backend().swap(&lease.key, lease.version, Bytes::new(), end, now).await? {
            Swap::Done(version) => {
                lease.version = version;
                Ok(true)
            }
            Swap::Conflict | Swap::Missing => Ok(false),
        }
    }

    /// Gives a lease back. One that was lost, and is somebody else's by now, stays theirs.
    pub(crate) async fn release_lease(&self, lease: Lease, now: Timestamp) -> Result<(), StoreError> {
        self.backend().swap(&lease.key, lease.version, Bytes::new(), now, now).await?;
        Ok(())
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::store::memory::MemoryBackend;

    #[tokio::test]
    async fn one_holds_it_until_it_is_given_back_or_ends() {
        let store = Store::new(Arc::new(MemoryBackend::new()));
        let start = Timestamp::from_millis(1_000_000);
        let grant = GrantId::new(start);
        let mut first = store.acquire_lease(&grant, start).await.unwrap().unwrap();
        assert!(store.acquire_lease(&grant, start).await.unwrap().is_none());
        let later = start.plus(LEASE_TTL / 2);
        assert!(store.renew_lease(&mut first, later).await.unwrap());
        assert!(
            store.acquire_lease(&grant, start.plus(LEASE_TTL)).await.unwrap().is_none(),
            "it was renewed"
        );

        let dead = later.plus(LEASE_TTL);
        let second = store.acquire_lease(&grant, dead).await.unwrap().unwrap();
        assert!(!store.renew_lease(&mut first, dead).await.unwrap(), "it is another's");
        store.release_lease(first, dead).await.unwrap();
        assert!(store.acquire_lease(&grant, dead).await.unwrap().is_none(), "and stays theirs");
        store.release_lease(second, dead).await.unwrap();
        assert!(store.acquire_lease(&grant, dead).await.unwrap().is_some());
    }
}
