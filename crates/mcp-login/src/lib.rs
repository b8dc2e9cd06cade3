//! Login for MCP servers: an OAuth 2.1 authorization server for MCP clients, which is at the same time an OAuth client
//! of the service that people sign in to, and a layer that checks every request to an MCP server.
//!
//! [`AuthServer::builder`] is where to start.

mod assertion;
mod client;
pub mod clock;
mod dpop;
mod endpoint;
mod grant_type;
mod jwt;
pub mod page;
pub mod resource;
#[cfg(feature = "rmcp-3")]
mod rmcp;
pub mod server;
pub mod settings;
pub mod store;
mod telemetry;
pub mod upstream;

pub use mcp_login_core as core;
pub use resource::{Access, Caller, ChallengeForm, MaybeCaller, Resource};
pub use server::{AuthServer, BuildError};
pub use store::Store;
pub use upstream::presets;
