//! What the tests of mcp-login share.

pub mod clock;
pub mod fake_upstream;
pub mod redis_server;
