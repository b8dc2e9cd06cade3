//! The library in an rmcp server: `Caller` and `MaybeCaller` as tool parameters.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::sync::Arc;

use axum::Router;
use mcp_login::{Caller, MaybeCaller};
use mcp_login_testkit::browser::Browser;
use mcp_login_testkit::client::{OAuthClient, REDIRECT_URI, Tokens, param};
use mcp_login_testkit::server::{Options, TestServer};
use rmcp::transport::streamable_http_server::session::never::NeverSessionManager;
use rmcp::transport::streamable_http_server::{StreamableHttpServerConfig, StreamableHttpService};
use rmcp::{ErrorData, ServerHandler, tool, tool_handler, tool_router};
use serde_json::{Value, json};

#[derive(Debug, Clone, Copy)]
struct Tools;

#[tool_router]
impl Tools {
    #[tool(description = "The user's upstream token")]
    async fn token(&self, caller: Caller) -> Result<String, ErrorData> {
        let token = caller.upstream_token().await;
        token
            .map(|token| format!("{}:{}", caller.subject(), token.expose_secret()))
            .map_err(|error| ErrorData::internal_error(error.to_string(), None))
    }

    #[tool(description = "Works signed out, too")]
    async fn about(&self, MaybeCaller(caller): MaybeCaller) -> String {
        caller.map_or_else(|| "nobody".to_owned(), |caller| caller.subject().to_owned())
    }
}

#[tool_handler]
impl ServerHandler for Tools {}

fn mcp() -> StreamableHttpService<Tools, NeverSessionManager> {
    let config =
        StreamableHttpServerConfig::default().with_legacy_session_mode(false).with_json_response(true);
    StreamableHttpService::new(|| Ok(Tools), Arc::default(), config)
}

async fn call(server: &TestServer, tool: &str, token: Option<&str>) -> Result<String, u16> {
    let body =
        json!({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": tool, "arguments": {}}});
    let mut request = reqwest::Client::new()
        .post(format!("{}/lazy", server.url))
        .header("accept", "application/json, text/event-stream")
        .header("mcp-protocol-version", "2025-11-25")
        .json(&body);
    if let Some(token) = token {
        request = request.bearer_auth(token);
    }
    let answer = request.send().await.unwrap();
    if answer.status() != 200 {
        return Err(answer.status().as_u16());
    }
    let answer: Value = answer.json().await.unwrap();
    Ok(answer["result"]["content"][0]["text"].as_str().unwrap_or_else(|| panic!("{answer}")).to_owned())
}

#[tokio::test]
async fn tools_get_their_caller() {
    let server = TestServer::around(Options::usual().await, |auth| {
        Router::new().route_service("/lazy", mcp()).route_layer(auth.protect("/lazy").unwrap())
    })
    .await;
    assert_eq!(call(&server, "about", None).await.as_deref(), Ok("nobody"));
    assert_eq!(call(&server, "token", None).await, Err(401));

    let (client, browser) = (OAuthClient::register(&server).await, Browser::new());
    let lazy = format!("{}/lazy", server.url);
    let url = client.authorization_url(&[("resource", &lazy), ("scope", "mcp")]);
    let code = param(&browser.log_in(&url, REDIRECT_URI).await, "code").unwrap();
    let tokens = Tokens::read(client.exchange(&code, &[("resource", &lazy)]).await).await;

    let told = call(&server, "token", Some(&tokens.access)).await.unwrap();
    let (subject, upstream_token) = told.split_once(':').unwrap();
    assert!(server.upstream.accepts(upstream_token));
    assert_eq!(call(&server, "about", Some(&tokens.access)).await.as_deref(), Ok(subject));
}
