//! rmcp's own OAuth client logs in and calls tools through the gateway, where every request needs a user and where discovery
//! is public. What it does besides is tested at the library (`crates/mcp-login/tests/rmcp_client.rs`).
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

use std::path::Path;
use std::sync::Arc;

use axum::Router;
use axum::http::request::Parts;
use mcp_login_gateway::command::serve::application;
use mcp_login_gateway::config::{Environment, Sources};
use mcp_login_gateway::serve::{Limits, serve};
use mcp_login_testkit::browser::Browser;
use mcp_login_testkit::fake_upstream::FakeUpstream;
use rmcp::handler::server::tool::Extension;
use rmcp::model::CallToolRequestParams;
use rmcp::service::RunningService;
use rmcp::transport::StreamableHttpClientTransport;
use rmcp::transport::auth::{AuthClient, AuthorizationCallback, AuthorizationRequest, OAuthState};
use rmcp::transport::streamable_http_client::{StreamableHttpClientTransportConfig, StreamableHttpError};
use rmcp::transport::streamable_http_server::session::local::LocalSessionManager;
use rmcp::transport::streamable_http_server::{StreamableHttpServerConfig, StreamableHttpService};
use rmcp::{RoleClient, ServerHandler, ServiceError, ServiceExt, tool, tool_handler, tool_router};
use tokio::net::TcpListener;
use tokio_util::sync::{CancellationToken, DropGuard};

const REDIRECT_URI: &str = "http://127.0.0.1:49153/oauth_callback";

type Client = RunningService<RoleClient, ()>;

/// A server that knows nothing of logins.
#[derive(Debug, Clone)]
struct Tools;

#[tool_router]
impl Tools {
    #[tool(description = "Who the gateway says is calling, and with which token for the service")]
    #[expect(clippy::unused_self, reason = "a tool is a method")]
    fn whoami(&self, Extension(parts): Extension<Parts>) -> String {
        let said = |name| parts.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or("nobody");
        format!("{} {}", said("x-forwarded-user"), said("x-upstream-token"))
    }
}

#[tool_handler]
impl ServerHandler for Tools {}

struct Gateway {
    url: String,
    upstream: FakeUpstream,
    _end: DropGuard,
}

/// The gateway before a server of rmcp that keeps sessions: `/mcp` needs a user, `/lazy` lets anybody discover.
async fn start() -> Gateway {
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let config = StreamableHttpServerConfig::default();
    let mcp: StreamableHttpService<_, LocalSessionManager> =
        StreamableHttpService::new(|| Ok(Tools), Arc::default(), config);
    let behind = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let backend = format!("http://{}/mcp", behind.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(behind, Router::new().route_service("/mcp", mcp)).await });

    let upstream = FakeUpstream::start().await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let server = |path: &str, auth: &str| {
        format!(
            "[[mcp]]\npath = \"{path}\"\nauth = \"{auth}\"\nbackend = \"{backend}\"\n\
             headers = {{ X-Upstream-Token = \"{{upstream.access_token}}\" }}\n"
        )
    };
    let text = format!(
        "public_url = \"{url}\"\nstore = {{ url = \"memory:\" }}\n[upstream]\nprovider = \"oidc\"\nissuer = \"{}\"\n\
         client_id = \"{}\"\nclient_secret = \"{}\"\n{}{}",
        upstream.issuer(),
        upstream.client_id(),
        upstream.client_secret(),
        server("/mcp", "required"),
        server("/lazy", "lazy"),
    );
    let environment = Environment::default();
    let sources =
        Sources { text: &text, folder: Path::new("/"), environment: &environment, providers: &["oidc"] };
    let config = sources.check().unwrap_or_else(|faults| panic!("{faults}")).config;
    let app = application(&config).await.unwrap();
    let shutdown = CancellationToken::new();
    tokio::spawn(serve(listener, app.router.clone(), shutdown.clone(), Limits::default()));
    Gateway { url, upstream, _end: shutdown.drop_guard() }
}

async fn log_in(mcp: &str, request: AuthorizationRequest) -> Client {
    let mut state = OAuthState::new(mcp, None).await.unwrap();
    state.start_authorization(request).await.unwrap();
    let url = state.get_authorization_url().await.unwrap();
    let callback = Browser::new().log_in(&url, REDIRECT_URI).await;
    let AuthorizationCallback { code, csrf_token, issuer, .. } =
        AuthorizationCallback::from_redirect_url(callback.as_str()).unwrap();
    state.handle_callback_with_issuer(&code, &csrf_token, issuer.as_deref()).await.unwrap();
    let manager = state.into_authorization_manager().expect("authorized");
    let auth = AuthClient::new(reqwest::Client::new(), manager);
    let config = StreamableHttpClientTransportConfig::with_uri(mcp);
    ().serve(StreamableHttpClientTransport::with_client(auth, config)).await.unwrap()
}

/// That a call says whose it is, and has their own token.
async fn check_call(gateway: &Gateway, client: &Client) {
    assert_eq!(client.list_all_tools().await.unwrap().len(), 1);
    let answer = client.call_tool(CallToolRequestParams::new("whoami")).await.unwrap();
    let text = answer.content[0].as_text().unwrap().text.clone();
    let (user, token) = text.split_once(' ').unwrap();
    assert_ne!(user, "nobody");
    assert!(gateway.upstream.accepts(token), "{text}");
}

#[tokio::test]
async fn rmcp_logs_in_and_calls_where_every_request_needs_a_user() {
    let gateway = start().await;
    let mcp = format!("{}/mcp", gateway.url);
    let client = log_in(&mcp, AuthorizationRequest::new(REDIRECT_URI)).await;
    check_call(&gateway, &client).await;
    client.cancel().await.unwrap();
}

#[tokio::test]
async fn rmcp_is_challenged_by_a_call_where_discovery_is_public() {
    let gateway = start().await;
    let lazy = format!("{}/lazy", gateway.url);
    let anonymous = ().serve(StreamableHttpClientTransport::from_uri(lazy.clone())).await.unwrap();
    assert_eq!(anonymous.list_all_tools().await.unwrap().len(), 1);
    let refused = anonymous.call_tool(CallToolRequestParams::new("whoami")).await.unwrap_err();
    let ServiceError::TransportSend(error) = &refused else { panic!("{refused:?}") };
    let error = error.error.downcast_ref::<StreamableHttpError<reqwest::Error>>();
    let challenge =
        error.and_then(StreamableHttpError::auth_challenge).unwrap_or_else(|| panic!("{refused:?}"));
    let client =
        log_in(&lazy, AuthorizationRequest::new(REDIRECT_URI).with_challenge(challenge.to_owned())).await;
    check_call(&gateway, &client).await;
    anonymous.cancel().await.unwrap();
    client.cancel().await.unwrap();
}
