//! Sessions that a query names: for the HTTP+SSE transport, whose clients are told an address.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use axum::extract::Request;
use axum::http::Method;
use axum::response::{IntoResponse, Response as Answer};
use axum::routing::any;
use axum::{Json, Router};
use mcp_login::Resource;
use mcp_login::resource::{OpenedSession, SessionBinding};
use mcp_login_testkit::browser::Browser;
use mcp_login_testkit::client::{OAuthClient, REDIRECT_URI, param};
use mcp_login_testkit::fake_upstream::FakeUser;
use mcp_login_testkit::server::{Options, TestServer};
use reqwest::Response;
use serde_json::{Value, json};

const SESSION: &str = "/messages?sessionId=1";
const DELETE: &str = r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"delete_x"}}"#;
const LIST: &str = r#"{"jsonrpc":"2.0","id":1,"method":"tools/list","params":{}}"#;

/// What the layer has put into the request: a session for this user, and the one that the query names.
async fn bound(request: Request) -> Answer {
    let binding = request.extensions().get::<SessionBinding>();
    let sealed = binding.map(|binding| binding.seal(SESSION));
    let again = binding.zip(sealed.as_ref()).and_then(|(binding, sealed)| binding.open(sealed));
    let opened = request.extensions().get::<OpenedSession>().map(|opened| opened.0.clone());
    // As a backend would that opens sessions by a header.
    let header = [("mcp-session-id", SESSION)];
    (header, Json(json!({"sealed": sealed, "again": again, "opened": opened}))).into_response()
}

async fn start() -> TestServer {
    let old = |path: &str| Resource::new(path).session_query("s").tool_scopes("delete_*", ["mcp:write"]);
    let resources = vec![old("/old"), old("/other"), Resource::new("/plain")];
    TestServer::around(Options { resources, ..Options::usual().await }, |auth| {
        ["/old", "/other", "/plain"].into_iter().fold(Router::new(), |router, path| {
            let routes = Router::new().route(path, any(bound)).route(&format!("{path}/below"), any(bound));
            router.merge(routes.route_layer(auth.protect(path).unwrap()))
        })
    })
    .await
}

async fn token(server: &TestServer, login: &str, path: &str) -> String {
    server.upstream.sign_in_as(FakeUser::new(login));
    let client = OAuthClient::register(server).await;
    let resource = format!("{}{path}", server.url);
    let url = client.authorization_url(&[("resource", &resource), ("scope", "mcp")]);
    let code = param(&Browser::new().log_in(&url, REDIRECT_URI).await, "code").unwrap();
    let answer = client.exchange(&code, &[("resource", &resource)]).await;
    answer.json::<Value>().await.unwrap()["access_token"].as_str().unwrap().to_owned()
}

async fn send(server: &TestServer, token: &str, at: &str, body: &'static str) -> Response {
    let request = reqwest::Client::new().post(format!("{}{at}", server.url)).bearer_auth(token);
    request.header("content-type", "application/json").body(body).send().await.unwrap()
}

async fn said(answer: Response) -> Value {
    assert_eq!(answer.status(), 200);
    answer.json().await.unwrap()
}

async fn sealed(server: &TestServer, token: &str, at: &str) -> String {
    let said = said(send(server, token, at, LIST).await).await;
    assert_eq!((&said["again"], &said["opened"]), (&json!(SESSION), &Value::Null));
    said["sealed"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn a_session_that_a_query_names_is_its_users_only() {
    let server = start().await;
    let (ada, alan) = (token(&server, "ada", "/old").await, token(&server, "alan", "/old").await);
    let (hers, his) = (sealed(&server, &ada, "/old").await, sealed(&server, &alan, "/old").await);
    assert!(hers.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b)), "{hers}");
    let again = token(&server, "ada", "/old").await;
    for token in [&ada, &again] {
        let said = said(send(&server, token, &format!("/old?s={hers}"), LIST).await).await;
        assert_eq!(said["opened"], SESSION);
    }
    let (session, tag) = hers.split_once('.').unwrap();
    let his_tag = his.split_once('.').unwrap().1;
    for stolen in [
        hers.clone(),
        format!("{session}."),
        session.to_owned(),
        format!("{session}x.{his_tag}"),
        format!("{his}&s={hers}"),
        format!("{his}="),
        his.to_uppercase(),
        format!(".{tag}"),
        String::new(),
    ] {
        assert_eq!(send(&server, &alan, &format!("/old?s={stolen}"), LIST).await.status(), 404, "{stolen}");
    }
    let elsewhere = token(&server, "ada", "/other").await;
    assert_eq!(send(&server, &elsewhere, &format!("/other?s={hers}"), LIST).await.status(), 404);
}

/// The id of a session that a header names has a tag, too: of the same user, server and key.
#[tokio::test]
async fn a_session_of_a_header_is_none_of_a_query() {
    let server = start().await;
    let ada = token(&server, "ada", "/old").await;
    let answer = send(&server, &ada, "/old", LIST).await;
    let (id, tag) = answer.headers()["mcp-session-id"].to_str().unwrap().rsplit_once('.').unwrap();
    assert_eq!(id, SESSION);
    let query = sealed(&server, &ada, "/old").await;
    let (session, query_tag) = query.split_once('.').unwrap();
    assert_eq!(send(&server, &ada, &format!("/old?s={session}.{tag}"), LIST).await.status(), 404);
    let request = reqwest::Client::new().post(format!("{}/old", server.url)).bearer_auth(&ada).body(LIST);
    let request = request
        .header("content-type", "application/json")
        .header("mcp-session-id", format!("{SESSION}.{query_tag}"));
    assert_eq!(request.send().await.unwrap().status(), 404);
}

#[tokio::test]
async fn it_says_no_more_than_the_session() {
    let server = start().await;
    let ada = token(&server, "ada", "/old").await;
    let own = sealed(&server, &ada, "/old").await;
    let at = format!("/old?s={own}");
    assert_eq!(send(&server, &ada, &at, LIST).await.status(), 200);
    let refused = send(&server, &ada, &at, DELETE).await;
    assert_eq!(refused.status(), 403);
    assert!(refused.headers()["www-authenticate"].to_str().unwrap().contains("scope=\"mcp mcp:write\""));
    // Any other query, and any other path, may be anything.
    for at in [format!("/old?x={own}"), format!("/old/below?s={own}"), format!("/old?x=1&s={own}")] {
        assert_eq!(send(&server, &ada, &at, LIST).await.status(), 403, "{at}");
    }
}

#[tokio::test]
async fn a_server_that_names_no_parameter_has_none() {
    let server = start().await;
    let ada = token(&server, "ada", "/plain").await;
    let request =
        reqwest::Client::new().request(Method::GET, format!("{}/plain?s=x", server.url)).bearer_auth(&ada);
    assert_eq!(
        said(request.send().await.unwrap()).await,
        json!({"sealed": null, "again": null, "opened": null})
    );
}
