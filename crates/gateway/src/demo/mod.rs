//! The two services that `mcp-login demo` puts around the gateway: a sign-in service before it and an MCP server
//! behind it. Both are real, small and in memory; both are for this computer only.

pub(crate) mod notes;
pub(crate) mod sign_in;
