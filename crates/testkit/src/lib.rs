//! What the tests of mcp-login share.

pub mod fake_upstream;
