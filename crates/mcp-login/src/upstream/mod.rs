//! The OAuth client of the upstream service: the one people sign in to.
//!
//! A [`Provider`] is data, a [`presets`] function makes an [`Upstream`] of it, and that does three things:
//! [`authorization_url`](Upstream::authorization_url), [`exchange`](Upstream::exchange) and
//! [`refresh`](Upstream::refresh). It knows no store and no request of ours; time is handed in.

mod cached;
mod error;
mod exchange;
mod http;
mod id_token;
mod identity;
mod metadata;
pub mod presets;
mod provider;
mod service;
mod token;
mod trusted_issuer;
mod validate;

pub use error::{Cause, UpstreamError};
pub use exchange::{Exchange, Login};
pub(crate) use identity::CLIENT_SUBJECT_PREFIX;
pub use identity::Identity;
pub use provider::{ClientAuth, Kind, Pkce, Provider, all, preset};
pub use service::Upstream;
pub use token::UpstreamTokens;
pub use trusted_issuer::TrustedIssuer;
pub(crate) use trusted_issuer::{identity_of, named_issuer};
