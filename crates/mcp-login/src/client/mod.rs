//! Which client it is, and whether it is the one it says.

mod authenticate;
pub(crate) mod known;
mod known_documents;
mod metadata_document;
mod resolve;

pub(crate) use authenticate::{AuthenticatedClient, AuthenticationError};
pub(crate) use metadata_document::{DocumentRefusal, MetadataDocuments};
pub(crate) use resolve::{Clients, Found, ResolveError};
