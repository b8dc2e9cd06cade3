//! rmcp's own OAuth client against the library: discovers, registers, logs in, calls, refreshes, calls again.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::sync::Arc;

use axum::Router;
use mcp_login::Caller;
use mcp_login_testkit::browser::Browser;
use mcp_login_testkit::client::param;
use mcp_login_testkit::server::{Options, TestServer};
use rmcp::model::CallToolRequestParams;
use rmcp::service::RunningService;
use rmcp::transport::StreamableHttpClientTransport;
use rmcp::transport::auth::{
    AuthClient, AuthorizationCallback, AuthorizationManager, AuthorizationRequest, OAuthState,
};
use rmcp::transport::streamable_http_client::StreamableHttpClientTransportConfig;
use rmcp::transport::streamable_http_server::session::never::NeverSessionManager;
use rmcp::transport::streamable_http_server::{StreamableHttpServerConfig, StreamableHttpService};
use rmcp::{ErrorData, RoleClient, ServerHandler, ServiceExt, tool, tool_handler, tool_router};

/// goose listens like this: a port that is chosen when it runs.
const REDIRECT_URI: &str = "http://127.0.0.1:49153/oauth_callback";

type Client = RunningService<RoleClient, ()>;

#[derive(Debug, Clone, Copy)]
struct Tools;

#[tool_router]
impl Tools {
    #[tool(description = "Who calls, and by which client")]
    async fn whoami(&self, caller: Caller) -> Result<String, ErrorData> {
        let token = caller.upstream_token().await;
        let token = token.map_err(|error| ErrorData::internal_error(error.to_string(), None))?;
        Ok(format!(
            "{} {} {} {}",
            caller.subject(),
            caller.client_id(),
            caller.scopes().to_string().replace(' ', "+"),
            token.expose_secret()
        ))
    }
}

#[tool_handler]
impl ServerHandler for Tools {}

/// `/mcp` needs a user, `/lazy` lets anybody discover.
async fn start() -> TestServer {
    TestServer::around(Options::usual().await, |auth| {
        let config =
            StreamableHttpServerConfig::default().with_legacy_session_mode(false).with_json_response(true);
        let mcp: StreamableHttpService<_, NeverSessionManager> =
            StreamableHttpService::new(|| Ok(Tools), Arc::default(), config);
        let required =
            Router::new().route_service("/mcp", mcp.clone()).route_layer(auth.protect("/mcp").unwrap());
        required.merge(Router::new().route_service("/lazy", mcp).route_layer(auth.protect("/lazy").unwrap()))
    })
    .await
}

/// The whole login of a host program, up to a manager that holds tokens. Gives the authorization URL, too.
async fn log_in(mcp: &str, request: AuthorizationRequest) -> (AuthorizationManager, url::Url) {
    let mut state = OAuthState::new(mcp, None).await.unwrap();
    state.start_authorization(request).await.unwrap();
    let url = state.get_authorization_url().await.unwrap();
    let callback = Browser::new().log_in(&url, REDIRECT_URI).await;
    let AuthorizationCallback { code, csrf_token, issuer, .. } =
        AuthorizationCallback::from_redirect_url(callback.as_str()).unwrap();
    assert_eq!(issuer.as_deref(), Some(mcp.rsplit_once('/').unwrap().0), "RFC 9207");
    state.handle_callback_with_issuer(&code, &csrf_token, issuer.as_deref()).await.unwrap();
    (state.into_authorization_manager().expect("authorized"), url.parse().unwrap())
}

async fn connect(mcp: &str, auth: &AuthClient<reqwest::Client>) -> Client {
    let config = StreamableHttpClientTransportConfig::with_uri(mcp);
    ().serve(StreamableHttpClientTransport::with_client(auth.clone(), config)).await.unwrap()
}

async fn whoami(client: &Client) -> Vec<String> {
    let answer = client.call_tool(CallToolRequestParams::new("whoami")).await.unwrap();
    let text = answer.content[0].as_text().unwrap().text.clone();
    text.split(' ').map(str::to_owned).collect()
}

#[tokio::test]
async fn rmcp_registers_logs_in_calls_refreshes_and_calls_again() {
    let server = start().await;
    let request = AuthorizationRequest::new(REDIRECT_URI).with_client_name("rmcp");
    let (manager, url) = log_in(&server.mcp(), request).await;
    assert_eq!(param(&url, "resource"), Some(server.mcp()));
    let auth = AuthClient::new(reqwest::Client::new(), manager);
    let client = connect(&server.mcp(), &auth).await;

    let first = whoami(&client).await;
    assert_eq!(first[1], param(&url, "client_id").unwrap(), "the client that registered");
    assert_eq!(first[2], "mcp+mcp:write", "all that the challenge asks for");
    assert!(server.upstream.accepts(&first[3]), "the user's own upstream token");

    let before = auth.get_access_token().await.unwrap();
    auth.auth_manager.lock().await.refresh_token().await.unwrap();
    assert_ne!(auth.get_access_token().await.unwrap(), before);
    assert_eq!(whoami(&client).await, first, "the same login");
    client.cancel().await.unwrap();
}

/// A host may send a scope at refresh; of what it asked for, rmcp sends what was granted.
#[tokio::test]
async fn rmcp_refreshes_with_a_scope_of_its_own() {
    let server = start().await;
    let (mut manager, url) = log_in(&server.mcp(), AuthorizationRequest::new(REDIRECT_URI)).await;
    let asked = param(&url, "scope").unwrap();
    assert!(asked.split(' ').any(|scope| scope == "offline_access"), "{asked}");
    manager.set_refresh_scopes(asked.split(' '));
    manager.refresh_token().await.unwrap();
    let auth = AuthClient::new(reqwest::Client::new(), manager);
    let client = connect(&server.mcp(), &auth).await;
    assert_eq!(whoami(&client).await[2], "mcp+mcp:write");
    client.cancel().await.unwrap();
}

/// A 401 in the middle of a session: rmcp refreshes once by itself and sends the call again.
#[tokio::test]
async fn rmcp_comes_back_when_its_access_token_has_expired() {
    let server = start().await;
    let (manager, _) = log_in(&server.mcp(), AuthorizationRequest::new(REDIRECT_URI)).await;
    let auth = AuthClient::new(reqwest::Client::new(), manager);
    let client = connect(&server.mcp(), &auth).await;
    let first = whoami(&client).await;
    let before = auth.get_access_token().await.unwrap();

    // Past the lifetime of the access token by the server's clock, which is not rmcp's.
    server.clock.advance(std::time::Duration::from_secs(3600));
    assert_eq!(whoami(&client).await[..3], first[..3]);
    assert_ne!(auth.get_access_token().await.unwrap(), before);
    client.cancel().await.unwrap();
}

/// goose: names itself by its document. Where that cannot be fetched, the copy that we carry stands in.
#[tokio::test]
async fn goose_logs_in_by_its_metadata_document() {
    let id = "https://goose-docs.ai/oauth/client-metadata.json";
    let server = start().await;
    let request = AuthorizationRequest::new(REDIRECT_URI).with_client_metadata_url(id);
    let (manager, url) = log_in(&server.mcp(), request).await;
    assert_eq!(param(&url, "client_id").as_deref(), Some(id));
    let client = connect(&server.mcp(), &AuthClient::new(reqwest::Client::new(), manager)).await;
    assert_eq!(whoami(&client).await[1], id);
    client.cancel().await.unwrap();
}

/// Lazy: everything is there without a login, and the call itself brings the challenge that a login starts from.
#[tokio::test]
async fn rmcp_is_challenged_by_the_call_and_logs_in_from_the_challenge() {
    let server = start().await;
    let lazy = format!("{}/lazy", server.url);
    let anonymous = ().serve(StreamableHttpClientTransport::from_uri(lazy.clone())).await.unwrap();
    assert_eq!(anonymous.list_all_tools().await.unwrap().len(), 1);
    let refused = anonymous.call_tool(CallToolRequestParams::new("whoami")).await.unwrap_err();
    let rmcp::ServiceError::TransportSend(error) = &refused else { panic!("{refused:?}") };
    let challenge = error
        .error
        .downcast_ref::<rmcp::transport::streamable_http_client::StreamableHttpError<reqwest::Error>>()
        .and_then(|error| error.auth_challenge())
        .unwrap_or_else(|| panic!("{error:?}"))
        .to_owned();
    anonymous.cancel().await.unwrap();

    let request = AuthorizationRequest::new(REDIRECT_URI).with_challenge(challenge);
    let (manager, url) = log_in(&lazy, request).await;
    assert_eq!(param(&url, "resource"), Some(lazy.clone()));
    let client = connect(&lazy, &AuthClient::new(reqwest::Client::new(), manager)).await;
    assert!(server.upstream.accepts(&whoami(&client).await[3]));
    client.cancel().await.unwrap();
}
