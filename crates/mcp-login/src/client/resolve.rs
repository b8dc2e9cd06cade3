//! From a `client_id` to the client.

use mcp_login_core::Timestamp;

use crate::store::Store;
use crate::store::backend::StoreError;
use crate::store::records::ClientRecord;

/// The client of this identifier: one that has registered itself (RFC 7591).
pub(crate) async fn resolve(
    store: &Store,
    client_id: &str,
    now: Timestamp,
) -> Result<Option<ClientRecord>, StoreError> {
    store.client(client_id, now).await
}
