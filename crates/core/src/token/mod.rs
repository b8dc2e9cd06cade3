//! The token endpoint's request and answer (OAuth 2.1 §3.2).

mod grant_type;
pub mod identity_assertion;
pub mod request;
pub mod response;

pub use grant_type::GrantType;
pub use identity_assertion::IdentityAssertion;
pub use request::{
    AuthorizationCodeRequest, ClientCredentialsRequest, JwtBearerRequest, RefreshTokenRequest, TokenRequest,
};
pub use response::TokenResponse;
