//! Login for MCP servers.

pub mod clock;
pub mod page;
pub mod store;
pub mod upstream;

pub use mcp_login_core as core;
