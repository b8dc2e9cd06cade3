//! From a `client_id` to the client.

use std::time::Duration;

use mcp_login_core::Timestamp;
use mcp_login_core::client::{Client, DocumentError, DocumentUrl};
use mcp_login_core::error::OAuthError;

use super::{DocumentRefusal, MetadataDocuments};
use crate::store::Store;
use crate::store::backend::StoreError;
use crate::store::records::ClientRecord;

/// Everywhere a client may be known from.
#[derive(Debug)]
pub(crate) struct Clients {
    store: Store,
    /// How long a registered client is kept that nobody uses.
    idle: Duration,
    /// Client ID Metadata Documents, where the operator wants them.
    documents: Option<MetadataDocuments>,
}

/// A client, and how it is known.
#[derive(Debug)]
pub(crate) struct Found {
    pub(crate) client: Client,
    /// The host that describes it; `None` for one that has registered itself.
    pub(crate) document_host: Option<String>,
}

/// Why there is no client.
#[derive(Debug)]
pub(crate) enum ResolveError {
    /// There is none.
    Unknown,
    /// It cannot be known from its document.
    Document(OAuthError),
    /// Nobody knows: the store is away.
    Store(StoreError),
}

impl From<StoreError> for ResolveError {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

impl From<DocumentRefusal> for ResolveError {
    fn from(refusal: DocumentRefusal) -> Self {
        Self::Document(refusal.into())
    }
}

impl Clients {
    pub(crate) fn new(store: Store, idle: Duration, documents: Option<MetadataDocuments>) -> Self {
        Self { store, idle, documents }
    }

    /// Whether clients may describe themselves by a document.
    pub(crate) const fn by_document(&self) -> bool {
        self.documents.is_some()
    }

    /// The address of a client that describes itself, if this is one.
    pub(super) fn document(&self, client_id: &str) -> Option<Result<DocumentUrl, DocumentError>> {
        self.documents.as_ref()?.address(client_id)
    }

    /// The client of this identifier, if it has registered itself (RFC 7591).
    pub(super) async fn registered(
        &self,
        client_id: &str,
        now: Timestamp,
    ) -> Result<Option<ClientRecord>, StoreError> {
        self.store.client(client_id, self.idle, now).await
    }

    /// The client of this identifier: by its document if it is the address of one, or one that has registered itself.
    pub(crate) async fn find(&self, client_id: &str, now: Timestamp) -> Result<Found, ResolveError> {
        if let Some(documents) = &self.documents
            && let Some(address) = documents.address(client_id)
        {
            let address = address.map_err(DocumentRefusal::from)?;
            let document_host = Some(address.host().to_owned());
            let client = documents.client(address, now).await?;
            return Ok(Found { client: Client::clone(&client), document_host });
        }
        let record = self.registered(client_id, now).await?.ok_or(ResolveError::Unknown)?;
        Ok(Found { client: record.client, document_host: None })
    }
}
