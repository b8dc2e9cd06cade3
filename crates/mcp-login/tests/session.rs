//! MCP sessions: whoever knows the id of one has to be whoever opened it.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use axum::Router;
use axum::http::HeaderMap;
use axum::response::IntoResponse;
use axum::routing::any;
use mcp_login_testkit::browser::Browser;
use mcp_login_testkit::client::OAuthClient;
use mcp_login_testkit::fake_upstream::FakeUser;
use mcp_login_testkit::server::{Options, TestServer};
use reqwest::Response;

const SESSION: &str = "mcp-session-id";
const INITIALIZE: &str = r#"{"jsonrpc":"2.0","id":1,"method":"initialize","params":{}}"#;
const CALL: &str = r#"{"jsonrpc":"2.0","id":2,"method":"tools/call","params":{"name":"x"}}"#;

/// A backend that opens a session for whoever has none, and says which one it sees.
async fn start() -> TestServer {
    let answer = async |headers: HeaderMap| match headers.get(SESSION) {
        Some(id) => ([("x-seen", id.clone())], "in").into_response(),
        None => ([(SESSION, "backend.id-1")], "new").into_response(),
    };
    TestServer::around(Options::usual().await, |auth| {
        let at = |path: &str| Router::new().route(path, any(answer)).route_layer(auth.protect(path).unwrap());
        at("/mcp").merge(at("/lazy"))
    })
    .await
}

async fn send(
    server: &TestServer,
    path: &str,
    token: Option<&str>,
    body: &str,
    session: &[&str],
) -> Response {
    let mut request = reqwest::Client::new()
        .post(format!("{}{path}", server.url))
        .header("content-type", "application/json")
        .body(body.to_owned());
    if let Some(token) = token {
        request = request.bearer_auth(token);
    }
    for id in session {
        request = request.header(SESSION, *id);
    }
    request.send().await.unwrap()
}

async fn open(server: &TestServer, path: &str, token: Option<&str>) -> String {
    let answer = send(server, path, token, INITIALIZE, &[]).await;
    assert_eq!(answer.status(), 200);
    answer.headers()[SESSION].to_str().unwrap().to_owned()
}

async fn token_of(server: &TestServer, login: &str, path: &str) -> String {
    server.upstream.sign_in_as(FakeUser::new(login));
    let client = OAuthClient::register(server).await;
    let resource = format!("{}{path}", server.url);
    let url = client.authorization_url(&[("resource", &resource)]);
    let back = Browser::new().log_in(&url, mcp_login_testkit::client::REDIRECT_URI).await;
    let code = mcp_login_testkit::client::param(&back, "code").unwrap();
    let answer = client.exchange(&code, &[("resource", &resource)]).await;
    answer.json::<serde_json::Value>().await.unwrap()["access_token"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn a_session_is_of_its_user_only() {
    let server = start().await;
    let (ada, alan) = (token_of(&server, "ada", "/mcp").await, token_of(&server, "alan", "/mcp").await);
    let session = open(&server, "/mcp", Some(&ada)).await;
    assert!(session.starts_with("backend.id-1."), "{session}");
    let own = send(&server, "/mcp", Some(&ada), CALL, &[&session]).await;
    assert_eq!((own.status().as_u16(), &own.headers()["x-seen"]), (200, &"backend.id-1".parse().unwrap()));
    // Another login of the same person goes on with it.
    let again = token_of(&server, "ada", "/mcp").await;
    assert_eq!(send(&server, "/mcp", Some(&again), CALL, &[&session]).await.status(), 200);
    let mine = open(&server, "/mcp", Some(&alan)).await;
    let tag = mine.rsplit_once('.').unwrap().1;
    let forged = format!("other-id.{tag}");
    for stolen in
        [session.as_str(), "backend.id-1", "backend.id-1.", "x", "", &forged, &session.to_uppercase()]
    {
        let refused = send(&server, "/mcp", Some(&alan), CALL, &[stolen]).await;
        assert_eq!(refused.status(), 404, "{stolen}");
        assert!(!refused.headers().contains_key("x-seen"));
    }
    assert_eq!(send(&server, "/mcp", Some(&alan), CALL, &[&mine, &session]).await.status(), 404);
    assert_eq!(send(&server, "/mcp", None, CALL, &[&session]).await.status(), 401);
}

#[tokio::test]
async fn a_session_of_nobody_in_particular_is_taken_along_to_the_login() {
    let server = start().await;
    let session = open(&server, "/lazy", None).await;
    assert_eq!(send(&server, "/lazy", None, INITIALIZE, &[&session]).await.status(), 200);
    let ada = token_of(&server, "ada", "/lazy").await;
    assert_eq!(send(&server, "/lazy", Some(&ada), CALL, &[&session]).await.status(), 200);
    // One that a user has opened is nobody else's, also not nobody's; and servers do not share sessions.
    let own = open(&server, "/lazy", Some(&ada)).await;
    assert_eq!(send(&server, "/lazy", None, INITIALIZE, &[&own]).await.status(), 401);
    assert_eq!(send(&server, "/lazy", None, INITIALIZE, &["backend.id-1"]).await.status(), 401);
    let elsewhere = token_of(&server, "ada", "/mcp").await;
    assert_eq!(send(&server, "/mcp", Some(&elsewhere), CALL, &[&own]).await.status(), 404);
}
