//! OAuth clients: what they register, and where answers to them may be sent.

pub mod metadata;
pub mod metadata_document;
pub mod redirect_uri;

pub use metadata::{Client, ClientAuthMethod, Registration, RegistrationRequest};
pub use metadata_document::{DocumentError, DocumentHosts, DocumentUrl};
pub use redirect_uri::{RedirectPolicy, RedirectUriError, VerifiedRedirectUri};
