//! What the tests of mcp-login share.

pub mod clock;
pub mod redis_server;
