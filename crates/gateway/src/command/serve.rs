//! `serve`: the gateway.

use anyhow::Context;
use axum::Router;
use axum::http::HeaderValue;
use tokio::net::TcpListener;

use super::Source;
use crate::cli::{ConfigArgs, Failure};
use crate::config::valid::{Config, McpConfig, PublicUrl};
use crate::proxy::{BackendClient, DEFAULT_MAX_BODY, Proxy, ProxyOptions, Timeouts};
use crate::serve::{Limits, serve, shutdown_on_signals};

/// `serve`
pub async fn run(args: ConfigArgs) -> Result<(), Failure> {
    let checked = Source::read(&args)?.check()?;
    for warning in &checked.warnings {
        tracing::warn!("{warning}");
    }
    let config = checked.config;
    let shutdown = shutdown_on_signals().context("signals cannot be received")?;
    let app = application(&config).await?;
    let listener = TcpListener::bind(config.listen)
        .await
        .with_context(|| format!("cannot listen on {} (listen)", config.listen))?;
    tracing::info!(listen = %config.listen, public_url = %config.public_url, "serving");
    for mcp in &config.mcp {
        tracing::info!("{}{} → {}", config.public_url, mcp.path.as_str(), mcp.backend.as_url());
    }
    serve(listener, app, shutdown, Limits::default()).await;
    tracing::info!("ended");
    Ok(())
}

/// The whole gateway: the authorization server, and each MCP server behind its protection.
pub async fn application(config: &Config) -> anyhow::Result<Router> {
    let client = BackendClient::new(Timeouts::default())?;
    let mut protected = Vec::with_capacity(config.mcp.len());
    for mcp in &config.mcp {
        protected.push((mcp, proxy(&config.public_url, mcp, &client)?.into_router()));
    }
    auth_server(config, protected).await
}

/// The way to one MCP server, not yet protected.
fn proxy(public_url: &PublicUrl, mcp: &McpConfig, client: &BackendClient) -> anyhow::Result<Proxy> {
    let options = ProxyOptions {
        mount: mcp.path.as_str().to_owned(),
        backend: mcp.backend.as_url().clone(),
        public_scheme: public_url.scheme(),
        public_host: HeaderValue::try_from(public_url.authority()).context("public_url: its host")?,
        headers: mcp.headers.clone(),
        max_body: DEFAULT_MAX_BODY,
    };
    Ok(Proxy::new(options, client.clone()))
}

/// The seam to the library: builds the authorization server from the configuration, puts its protection before each of
/// the `protected` routers, and gives the one router that the listener serves.
#[allow(clippy::unused_async)] // opening the store waits
async fn auth_server(_config: &Config, _protected: Vec<(&McpConfig, Router)>) -> anyhow::Result<Router> {
    anyhow::bail!("the authorization server is not wired yet")
}
