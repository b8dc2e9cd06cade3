//! An MCP server in Rust with login: the program of the README.
//!
//! ```text
//! GITHUB_CLIENT_ID=… GITHUB_CLIENT_SECRET=… cargo run -p axum-rmcp
//! ```
//!
//! The OAuth app at GitHub has the callback URL `http://127.0.0.1:8080/callback`.

use std::env;
use std::sync::Arc;

use anyhow::Context;
use axum::Router;
use mcp_login::{Access, AuthServer, Caller, MaybeCaller, Resource, Store, presets};
use rmcp::transport::streamable_http_server::session::never::NeverSessionManager;
use rmcp::transport::streamable_http_server::{StreamableHttpServerConfig, StreamableHttpService};
use rmcp::{ErrorData, ServerHandler, tool, tool_handler, tool_router};

/// The tools.
#[derive(Debug, Clone, Copy)]
struct Profile;

#[tool_router]
impl Profile {
    /// Only for somebody who has signed in.
    #[tool(description = "My profile")]
    async fn my_profile(&self, caller: Caller) -> Result<String, ErrorData> {
        let token = caller.upstream_token().await; // refreshed if stale
        let token = token.map_err(|error| ErrorData::internal_error(error.to_string(), None))?;
        Ok(format!(
            "{} <{}>, with a token of {} characters for GitHub's API",
            caller.name().unwrap_or(caller.subject()),
            caller.email().unwrap_or("no verified address"),
            token.expose_secret().len(),
        ))
    }

    /// For anybody, and better for somebody.
    #[tool(description = "A greeting")]
    async fn greet(&self, MaybeCaller(caller): MaybeCaller) -> String {
        match caller {
            Some(caller) => format!("Hello, {}!", caller.name().unwrap_or("friend")),
            None => "Hello, whoever you are!".to_owned(),
        }
    }
}

#[tool_handler]
impl ServerHandler for Profile {}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let client_id = env::var("GITHUB_CLIENT_ID").context("GITHUB_CLIENT_ID")?;
    let client_secret = env::var("GITHUB_CLIENT_SECRET").context("GITHUB_CLIENT_SECRET")?;

    let auth = AuthServer::builder("http://127.0.0.1:8080")
        .upstream(presets::github(client_id, client_secret).scopes(["read:user", "user:email"]))
        .store(Store::open("file:mcp-login.db").await?)
        .resource(Resource::new("/mcp").access(Access::Lazy).public_tools(["greet"]))
        .build()
        .await?;

    let config =
        StreamableHttpServerConfig::default().with_legacy_session_mode(false).with_json_response(true);
    let mcp: StreamableHttpService<_, NeverSessionManager> =
        StreamableHttpService::new(|| Ok(Profile), Arc::default(), config);
    let app = Router::new()
        .route_service("/mcp", mcp)
        .route_layer(auth.protect("/mcp")?) // 401 + WWW-Authenticate; puts the Caller in the request
        .merge(auth.router()); // metadata, /register, /authorize, /callback, /token, …

    let listener = tokio::net::TcpListener::bind("127.0.0.1:8080").await?;
    axum::serve(listener, app).await?;
    Ok(())
}
