//! From a `client_id` to the client.

use std::sync::Arc;
use std::time::Duration;

use mcp_login_core::Timestamp;
use mcp_login_core::client::{Client, DocumentError, DocumentUrl};
use mcp_login_core::error::OAuthError;

use super::configured::{ConfiguredClient, ConfiguredClients};
use super::fetched::Refusal;
use super::{Asker, KeySets, MetadataDocuments};
use crate::store::Store;
use crate::store::backend::StoreError;
use crate::store::records::ClientRecord;

/// Everywhere a client may be known from.
#[derive(Debug)]
pub(crate) struct Clients {
    pub(crate) store: Store,
    /// How long a registered client is kept that nobody uses.
    pub(crate) idle: Duration,
    /// Those that the operator has set up.
    pub(crate) configured: ConfiguredClients,
    /// Client ID Metadata Documents, where the operator wants them.
    pub(crate) documents: Option<MetadataDocuments>,
    /// The keys of those that sign.
    pub(crate) key_sets: KeySets,
    /// Whom assertions are for: this server,
    pub(crate) issuer: String,
    /// or its token endpoint.
    pub(crate) token_endpoint: String,
}

/// A client, and how it is known.
#[derive(Debug)]
pub(crate) struct Found {
    pub(crate) client: Client,
    pub(crate) origin: Origin,
}

/// How a client is known.
#[derive(Debug)]
pub(crate) enum Origin {
    /// The operator has set it up.
    Configured(Arc<ConfiguredClient>),
    /// It describes itself at this host.
    Document { host: String },
    /// It has registered itself.
    Registered,
}

/// What a client is called.
#[derive(Debug, Clone)]
pub(crate) enum KnownAs {
    /// By the operator, who may have given it no name.
    Configured(Option<String>),
    /// It describes itself at this host.
    Document(String),
    /// By itself, if it gave a name.
    Registered(Option<String>),
    /// It is no longer known.
    Gone,
}

/// Why there is no client.
#[derive(Debug)]
pub(crate) enum ResolveError {
    /// There is none.
    Unknown,
    /// It cannot be known from its document.
    Document(OAuthError),
    /// Whoever asks has made us fetch too many documents; more after this time.
    TooMany(Duration),
    /// Nobody knows: the store is away.
    Store(StoreError),
}

impl From<StoreError> for ResolveError {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

impl From<Refusal> for ResolveError {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::Unreachable(_) => Self::Document(OAuthError::invalid_client(
                "the client's metadata document could not be fetched; try again in a minute",
            )),
            Refusal::TooMany(wait) => Self::TooMany(wait),
            Refusal::Invalid(error) => Self::Document(error),
        }
    }
}

impl Clients {
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

    /// The client of this identifier: one that the operator has set up, by its document if it is the address of one, or one
    /// that has registered itself.
    pub(crate) async fn find(&self, client_id: &str, asker: Asker<'_>) -> Result<Found, ResolveError> {
        if let Some(configured) = self.configured.get(client_id) {
            let origin = Origin::Configured(Arc::clone(configured));
            return Ok(Found { client: configured.client.clone(), origin });
        }
        if let Some(documents) = &self.documents
            && let Some(address) = documents.address(client_id)
        {
            let address = address.map_err(|error| ResolveError::Document(error.into()))?;
            let origin = Origin::Document { host: address.host().to_owned() };
            let client = documents.client(address, asker).await?;
            return Ok(Found { client: Client::clone(&client), origin });
        }
        let record = self.registered(client_id, asker.now).await?.ok_or(ResolveError::Unknown)?;
        Ok(Found { client: record.client, origin: Origin::Registered })
    }

    /// What the client of this identifier is called, without a fetch.
    pub(crate) async fn known_as(&self, client_id: &str, now: Timestamp) -> Result<KnownAs, StoreError> {
        if let Some(configured) = self.configured.get(client_id) {
            return Ok(KnownAs::Configured(configured.client.client_name.clone()));
        }
        if let Some(Ok(address)) = self.document(client_id) {
            return Ok(KnownAs::Document(address.host().to_owned()));
        }
        let registered = self.store.look_at_client(client_id, now).await?;
        Ok(registered.map_or(KnownAs::Gone, |record| KnownAs::Registered(record.client.client_name)))
    }
}
