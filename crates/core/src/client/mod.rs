//! OAuth clients: what they register, and where answers to them may be sent.

pub mod metadata;
pub mod redirect_uri;

pub use metadata::{Client, ClientAuthMethod, Registration, RegistrationRequest};
pub use redirect_uri::{RedirectPolicy, RedirectUriError, VerifiedRedirectUri};
