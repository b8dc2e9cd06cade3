//! The token endpoint's request and answer (OAuth 2.1 §3.2).

pub mod request;
pub mod response;

pub use request::{AuthorizationCodeRequest, RefreshTokenRequest, TokenRequest};
pub use response::TokenResponse;
