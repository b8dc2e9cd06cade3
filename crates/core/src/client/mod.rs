//! OAuth clients: what they register, how they authenticate, and where answers to them may be sent.

pub mod assertion;
mod auth_method;
pub mod keys;
pub mod metadata;
pub mod metadata_document;
pub mod redirect_uri;

pub use auth_method::{AuthMethods, ClientAuthMethod};
pub use keys::{ClientKeys, KeysError};
pub use metadata::{Client, Registration, RegistrationRequest};
pub use metadata_document::{DocumentError, DocumentHosts, DocumentUrl};
pub use redirect_uri::{RedirectPolicy, RedirectUriError, VerifiedRedirectUri};
