//! `serve`: the gateway.

use std::sync::Arc;

use anyhow::Context;
use axum::http::header::RETRY_AFTER;
use axum::http::{HeaderValue, StatusCode};
use axum::middleware::from_fn_with_state;
use axum::response::IntoResponse;
use axum::routing::get;
use axum::{Json, Router};
use futures_util::future::join_all;
use mcp_login::AuthServer;
use mcp_login::resource::Assertions;
use serde_json::json;
use tokio::net::TcpListener;

use super::Source;
use crate::assemble::auth_server;
use crate::cli::{ConfigArgs, Failure};
use crate::config::valid::{Backend, CommandConfig, Config, McpConfig, Transport};
use crate::descriptors;
use crate::proxy::{BackendClient, ProcessLimits, Proxy, ProxyOptions, StdioOptions};
use crate::rebinding::{HostCheck, check_host, check_origin};
use crate::serve::{serve, shutdown_on_signals};

/// `serve`
pub async fn run(args: ConfigArgs) -> Result<(), Failure> {
    descriptors::raise();
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
    // What fails up to here is started again and again by whoever supervises it, and leaves no key each time.
    app.prepare().await;
    tracing::info!("listening on {} for {}", config.listen, config.public_url);
    for mcp in &config.mcp {
        tracing::info!("{}{} → {}", config.public_url, mcp.path.as_str(), mcp.backend);
    }
    tokio::join!(serve(listener, app.router.clone(), shutdown.clone(), config.limits.listener), async {
        shutdown.cancelled().await;
        app.end_streams();
    });
    app.end().await;
    tracing::info!("ended");
    Ok(())
}

/// The whole gateway.
#[derive(Debug)]
pub struct Application {
    /// What it answers.
    pub router: Router,
    proxies: Vec<Proxy>,
    /// Where a backend wants them.
    assertions: Option<Assertions>,
}

impl Application {
    /// Lists the key that signs assertions, where a backend wants them. Before anybody is served: then backends can know it
    /// when the first call comes.
    pub async fn prepare(&self) {
        if let Some(assertions) = &self.assertions
            && let Err(error) = assertions.prepare().await
        {
            tracing::warn!(%error, "calls that need an assertion are 503 until the store is back");
        }
    }

    /// Ends the streams that programs of its own only may say something on.
    pub fn end_streams(&self) {
        self.proxies.iter().for_each(Proxy::end_streams);
    }

    /// Ends the programs that it has started.
    pub async fn end(&self) {
        join_all(self.proxies.iter().map(Proxy::end)).await;
    }
}

/// The whole gateway: the authorization server, and each MCP server behind its protection.
pub async fn application(config: &Config) -> anyhow::Result<Application> {
    let auth = auth_server(config).await?;
    let client = BackendClient::new(config.limits.timeouts)?;
    let hosts = from_fn_with_state(Arc::new(check_hosts(config)), check_host);
    let origins = from_fn_with_state(Arc::new(config.allowed_origins.clone()), check_origin);
    let mut app = auth.router();
    let mut proxies = Vec::new();
    for mcp in &config.mcp {
        let assertion = mcp.assertion.clone().map(|audience| (auth.assertions(), audience));
        let proxy = proxy(config, mcp, assertion, &client)?.at_once(config.limits.at_once);
        proxies.push(proxy.clone());
        let protected = proxy.into_router().route_layer(auth.protect(mcp.path.as_str())?);
        app = app.merge(protected.route_layer(origins.clone()));
    }
    // Probes ask by any name.
    let app = app.route_layer(hosts).merge(health(&auth));
    let assertions = config.mcp.iter().any(|mcp| mcp.assertion.is_some()).then(|| auth.assertions());
    Ok(Application { router: app.fallback(not_found), proxies, assertions })
}

/// By whose name what may be asked. Backends ask for the keys of assertions by any that leads here, as probes do.
fn check_hosts(config: &Config) -> HostCheck {
    let below = config.public_url.path().trim_end_matches('/');
    let open = ["", below].map(|below| format!("{below}/.well-known/jwks.json"));
    HostCheck { hosts: config.allowed_hosts.clone(), open: open.into() }
}

/// `/healthz`: this process answers. `/readyz`: so does its store.
fn health(auth: &AuthServer) -> Router {
    let auth = auth.clone();
    let ready = async move || match auth.ready().await {
        Ok(()) => (StatusCode::OK, "ready\n").into_response(),
        Err(error) => {
            tracing::warn!(%error, "not ready");
            (StatusCode::SERVICE_UNAVAILABLE, [(RETRY_AFTER, "5")], "the store cannot be reached\n")
                .into_response()
        }
    };
    Router::new().route("/healthz", get(async || "alive\n")).route("/readyz", get(ready))
}

async fn not_found() -> impl IntoResponse {
    let body = json!({"error": "not_found", "error_description": "there is nothing at this address"});
    (StatusCode::NOT_FOUND, Json(body))
}

/// The way to one MCP server, not yet protected.
fn proxy(
    config: &Config,
    mcp: &McpConfig,
    assertion: Option<(Assertions, String)>,
    client: &BackendClient,
) -> anyhow::Result<Proxy> {
    let public_url = &config.public_url;
    let mount = format!("{}{}", public_url.path().trim_end_matches('/'), mcp.path.as_str());
    let backend = match &mcp.backend {
        Backend::Urls(backend) => backend,
        Backend::Command(CommandConfig { launch, limits, sharing }) => {
            let limits = ProcessLimits { response: config.limits.timeouts.response, ..*limits };
            return Ok(Proxy::stdio(StdioOptions {
                mount,
                launch: launch.clone(),
                limits,
                sharing: *sharing,
            }));
        }
    };
    let options = ProxyOptions {
        mount,
        backends: backend.urls.iter().map(|url| url.as_url().clone()).collect(),
        health: backend.health.clone(),
        public_scheme: public_url.scheme(),
        public_host: HeaderValue::try_from(public_url.authority()).context("public_url: its host")?,
        headers: mcp.headers.clone(),
        max_body: backend.max_body.unwrap_or(config.limits.max_body),
        assertion,
    };
    Ok(match mcp.transport {
        Transport::StreamableHttp => Proxy::new(options, client.clone()),
        Transport::Sse => Proxy::sse(options, client.clone()),
    })
}
