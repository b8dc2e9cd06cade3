//! The OAuth client of the upstream service: the one people sign in to.
//!
//! A [`Provider`] is data, a [`presets`] function makes an [`Upstream`] of it, and that does three things:
//! [`authorization_url`](Upstream::authorization_url), [`exchange`](Upstream::exchange) and
//! [`refresh`](Upstream::refresh). It knows no store and no request of ours; time is handed in.

mod cached;
mod callback;
mod entra;
mod error;
mod exchange;
mod facebook;
mod http;
mod id_token;
mod identity;
mod metadata;
mod params;
pub mod presets;
mod provider;
mod quirk;
mod revoke;
mod service;
mod sign_ins;
mod signed_secret;
mod token;
mod trusted_issuer;
mod userinfo;
mod validate;

pub use callback::Callback;
pub use error::{Cause, UpstreamError};
pub use exchange::{Exchange, Login};
pub(crate) use identity::CLIENT_SUBJECT_PREFIX;
pub use identity::Identity;
pub use params::{Param, ParamKind};
pub use provider::{Kind, List, Method, Provider, UserinfoRequest, all, preset};
pub use quirk::{ClientAuth, Nonce, Pkce, Quirk, RevocationStyle, RevocationToken, Rotation, TokenBody};
pub use service::Upstream;
pub use sign_ins::callback as callback_url;
pub(crate) use sign_ins::{SignIn, SignIns, choose, is_name};
pub use token::UpstreamTokens;
pub use trusted_issuer::TrustedIssuer;
pub(crate) use trusted_issuer::{identity_of, named_issuer};
