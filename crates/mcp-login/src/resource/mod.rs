//! What stands before the MCP server: who may call what, and who is calling.
//!
//! Any axum handler can be the MCP server, whatever reads its messages. [`Caller`] is an extractor:
//!
//! ```
//! use axum::{Json, Router, routing::post};
//! use mcp_login::{Access, AuthServer, Caller, MaybeCaller, Resource, Store, presets};
//! use serde_json::{Value, json};
//!
//! async fn mcp(MaybeCaller(caller): MaybeCaller, Json(message): Json<Value>) -> Json<Value> {
//!     let text = match (message["method"].as_str(), &caller) {
//!         (Some("tools/call"), Some(caller)) => format!("called by {}", caller.subject()),
//!         _ => "…".to_owned(),
//!     };
//!     let result = json!({"content": [{"type": "text", "text": text}]});
//!     Json(json!({"jsonrpc": "2.0", "id": message["id"], "result": result}))
//! }
//!
//! # async fn app() -> Result<Router, Box<dyn std::error::Error>> {
//! let auth = AuthServer::builder("https://mcp.example.com")
//!     .upstream(presets::github("client id", "client secret"))
//!     .store(Store::open("memory:").await?)
//!     .resource(
//!         Resource::new("/mcp")
//!             .access(Access::Lazy)
//!             .tool_scopes("delete_*", ["mcp:write"])
//!             .scope_description("mcp:write", "Change and delete notes"),
//!     )
//!     .build()
//!     .await?;
//! let app = Router::new()
//!     .route("/mcp", post(mcp))
//!     .route_layer(auth.protect("/mcp")?)
//!     .merge(auth.router());
//! # Ok(app)
//! # }
//! ```

mod access;
mod admission;
mod assertion;
mod body;
mod cache;
mod caller;
mod challenge;
mod layer;
mod protection;
mod session;
mod session_query;
mod stream;
mod tools_list;
mod upstream_token;
mod verify;

pub use access::{Access, ChallengeForm, Resource};
pub use assertion::{AssertionError, Assertions};
pub(crate) use cache::GrantCache;
pub use caller::{Caller, CallerIdentity, MaybeCaller, UpstreamTokenError, UpstreamTokenSource};
pub(crate) use challenge::Challenge;
pub(crate) use layer::cors;
pub use layer::{LoginNeeded, Protect, ProtectLayer};
pub(crate) use protection::Protection;
pub use session_query::{OpenedSession, SessionBinding};
pub(crate) use verify::Verifier;
