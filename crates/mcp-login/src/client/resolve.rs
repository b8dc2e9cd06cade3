//! From a `client_id` to the client.

use mcp_login_core::Timestamp;

use crate::settings::Lifetimes;
use crate::store::Store;
use crate::store::backend::StoreError;
use crate::store::records::ClientRecord;

/// The client of this identifier: one that has registered itself (RFC 7591).
pub(crate) async fn resolve(
    store: &Store,
    client_id: &str,
    lifetimes: &Lifetimes,
    now: Timestamp,
) -> Result<Option<ClientRecord>, StoreError> {
    store.client(client_id, lifetimes.client_idle(), now).await
}
