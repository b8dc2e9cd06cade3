//! The token endpoint's request and answer (OAuth 2.1 §3.2).

mod grant_type;
pub mod request;
pub mod response;

pub use grant_type::GrantType;
pub use request::{AuthorizationCodeRequest, RefreshTokenRequest, TokenRequest};
pub use response::TokenResponse;
