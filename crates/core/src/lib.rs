//! The rules of OAuth 2.1 and MCP authorization as plain functions over plain data.
//!
//! Nothing here is async, reads a clock, rolls a die or opens a socket: time and randomness come in as arguments.
//! That is kept by what this crate depends on, and it is what makes the rules easy to test, fuzz and read.

pub mod authorize;
pub mod bearer;
pub mod client;
pub mod dpop;
pub mod error;
pub mod grant;
pub mod jwt;
pub mod mcp;
pub mod metadata;
pub mod params;
pub mod pkce;
pub mod resource_indicator;
pub mod scope;
pub mod secret;
pub mod timestamp;
pub mod token;

pub use error::{ErrorCode, OAuthError};
pub use scope::Scopes;
pub use secret::Secret;
pub use timestamp::Timestamp;
