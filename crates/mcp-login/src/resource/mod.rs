//! What stands before the MCP server: who may call what, and who is calling.

mod access;
mod admission;
mod body;
mod cache;
mod caller;
mod challenge;
mod layer;
mod protection;
mod session;
mod stream;
mod tools_list;
mod upstream_token;
mod verify;

pub use access::{Access, ChallengeForm, Resource};
pub(crate) use cache::GrantCache;
pub use caller::{Caller, CallerIdentity, MaybeCaller, UpstreamTokenError, UpstreamTokenSource};
pub(crate) use challenge::Challenge;
pub(crate) use layer::cors;
pub use layer::{LoginNeeded, Protect, ProtectLayer};
pub(crate) use protection::Protection;
pub(crate) use verify::Verifier;
