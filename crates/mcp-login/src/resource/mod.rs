//! What stands before the MCP server: who may call what, and who is calling.

mod caller;

pub use caller::{Caller, CallerIdentity, MaybeCaller, UpstreamTokenError, UpstreamTokenSource};
