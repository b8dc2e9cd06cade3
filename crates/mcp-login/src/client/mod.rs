//! Which client it is, and whether it is the one it says.

mod asker;
mod assertion;
mod authenticate;
mod configured;
mod credentials;
mod fetched;
mod key_sets;
pub(crate) mod known;
mod known_documents;
mod metadata_document;
mod resolve;

pub(crate) use asker::Asker;
pub(crate) use authenticate::{AuthenticatedClient, AuthenticationError};
pub(crate) use configured::ConfiguredClients;
pub(crate) use key_sets::{KeySets, has_usable_key};
pub(crate) use metadata_document::MetadataDocuments;
pub(crate) use resolve::{Clients, Found, KnownAs, Origin, ResolveError};
