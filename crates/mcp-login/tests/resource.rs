//! What stands before the MCP server: who comes through, and what the others are told.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::time::Duration;

use axum::response::IntoResponse;
use axum::routing::{any, post as post_to};
use axum::{Extension, Router};
use mcp_login::resource::LoginNeeded;
use mcp_login::{Caller, MaybeCaller, Store};
use mcp_login_testkit::browser::Browser;
use mcp_login_testkit::client::{OAuthClient, Tokens};
use mcp_login_testkit::fake_upstream::Fault;
use mcp_login_testkit::redis_server::RedisServer;
use mcp_login_testkit::server::{Options, TestServer};
use reqwest::{Method, RequestBuilder, Response};
use serde_json::Value;

const LIST: &str = r#"{"jsonrpc":"2.0","id":1,"method":"tools/list"}"#;
const CALL: &str = r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"secret"}}"#;

fn post(server: &TestServer, path: &str, body: impl Into<reqwest::Body>) -> RequestBuilder {
    let request = reqwest::Client::new().post(format!("{}{path}", server.url));
    request.header("content-type", "application/json").body(body)
}

fn challenge(response: &Response) -> String {
    response.headers()["www-authenticate"].to_str().unwrap().to_owned()
}

#[tokio::test]
async fn without_a_token_there_is_a_challenge_that_leads_to_the_login() {
    let server = TestServer::start().await;
    for method in [Method::GET, Method::HEAD, Method::POST, Method::DELETE] {
        let answer = reqwest::Client::new().request(method.clone(), server.mcp()).send().await.unwrap();
        assert_eq!(answer.status(), 401, "{method}");
        let challenge = challenge(&answer);
        let metadata = format!("{}/.well-known/oauth-protected-resource/mcp", server.url);
        assert_eq!(challenge, format!("Bearer resource_metadata=\"{metadata}\", scope=\"mcp mcp:write\""));
        let document = reqwest::get(metadata).await.unwrap().json::<Value>().await.unwrap();
        assert_eq!(document["resource"], server.mcp());
    }
}

#[tokio::test]
async fn a_token_is_good_for_its_own_server_until_it_ends() {
    let server = TestServer::start().await;
    let client = OAuthClient::register(&server).await;
    let tokens = client.log_in(&Browser::new()).await;
    assert_eq!(client.call("/mcp", &tokens.access).await.status(), 200);
    let elsewhere = client.call("/lazy", &tokens.access).await;
    assert_eq!(elsewhere.status(), 401, "another audience");
    assert!(challenge(&elsewhere).contains("error=\"invalid_token\""));
    server.clock.advance(Duration::from_secs(3600));
    let late = client.call("/mcp", &tokens.access).await;
    assert_eq!(late.status(), 401);
    assert!(challenge(&late).contains("error=\"invalid_token\""));
}

#[tokio::test]
async fn nothing_but_an_access_token_is_one() {
    let server = TestServer::start().await;
    let (client, browser) = (OAuthClient::register(&server).await, Browser::new());
    let code = client.code(&browser).await;
    let Tokens { access, refresh } = client.log_in(&browser).await;
    let answer: Value = client.call("/mcp", &access).await.json().await.unwrap();
    let upstream_token = answer["upstream_token"].as_str().unwrap();
    let disguised = refresh.replacen("mlr_", "mla_", 1);
    for token in [code.as_str(), &refresh, &disguised, upstream_token, "mla_", "x", client.id()] {
        assert_eq!(client.call("/mcp", token).await.status(), 401);
        assert_eq!(client.call("/lazy", token).await.status(), 401);
    }
    for header in ["Basic eDp5", "Bearer", "bearer  ", &format!("Bearer {access}, Bearer {access}"), &access]
    {
        for path in ["/mcp", "/lazy"] {
            let answer = post(&server, path, LIST).header("authorization", header).send().await.unwrap();
            assert_eq!(answer.status(), 401, "{header} at {path}");
        }
    }
    let twice = post(&server, "/mcp", CALL).bearer_auth(&access).header("authorization", "Bearer x");
    assert_eq!(twice.send().await.unwrap().status(), 401);
    let query = format!("/mcp?access_token={access}");
    assert_eq!(post(&server, &query, CALL).send().await.unwrap().status(), 401, "never in the query");
}

#[tokio::test]
async fn lazy_lets_anybody_discover_and_nobody_call() {
    let server = TestServer::start().await;
    let list: Value = post(&server, "/lazy", LIST).send().await.unwrap().json().await.unwrap();
    assert_eq!(list["caller"], Value::Null);
    assert_eq!(list["body"], LIST, "the body arrives whole");
    let about = CALL.replace("secret", "about");
    assert_eq!(post(&server, "/lazy", about).send().await.unwrap().status(), 200);
    let call = post(&server, "/lazy", CALL).header("mcp-method", "tools/call").send().await.unwrap();
    assert_eq!(call.status(), 401);
    let named = post(&server, "/lazy", LIST).header("mcp-name", "secret").send().await.unwrap();
    assert_eq!(named.status(), 401, "a list has no name: a backend that goes by the header is not misled");
    let agreeing = post(&server, "/lazy", LIST).header("mcp-method", "tools/list").send().await.unwrap();
    assert_eq!(agreeing.status(), 200);
    assert_eq!(post(&server, "/lazy?_method=DELETE", LIST).send().await.unwrap().status(), 401, "a query");
    assert!(challenge(&call).contains("resource_metadata=") && !challenge(&call).contains("error="));
    for method in [Method::GET, Method::HEAD] {
        let answer =
            reqwest::Client::new().request(method, format!("{}/lazy", server.url)).send().await.unwrap();
        assert_eq!(answer.status(), 405);
        assert_eq!(answer.headers()["allow"], "POST");
    }
    for method in [Method::DELETE, Method::PUT, Method::PATCH] {
        let request = reqwest::Client::new().request(method, format!("{}/lazy", server.url)).body(LIST);
        assert_eq!(request.send().await.unwrap().status(), 401);
    }
}

/// MCP 2026-07-28, "Server Validation".
#[tokio::test]
async fn headers_that_contradict_the_body_are_refused_with_the_code_for_it() {
    let server = TestServer::start().await;
    let about = CALL.replace("secret", "about");
    let with = |body: &str, headers: &[(&str, &str)]| {
        let request = post(&server, "/lazy", body.to_owned());
        headers.iter().fold(request, |request, (name, value)| request.header(*name, *value))
    };
    let late = ("mcp-protocol-version", "2026-07-28");
    let method = ("mcp-method", "tools/call");
    for (body, headers) in [
        (CALL, vec![("mcp-method", "tools/list")]),
        (LIST, vec![("mcp-method", "tools/call")]),
        (&about, vec![method, ("mcp-name", "secret")]),
        (&about, vec![method, ("mcp-name", "=?base64?c2VjcmV0?=")]),
        (&about, vec![method, ("mcp-name", "=?base64?YWJvdXQ?=")]),
        (&about, vec![method, ("mcp-name", "about"), ("mcp-name", "about")]),
        (&about, vec![method, late]),
        (&about, vec![("mcp-name", "about"), late]),
        (LIST, vec![late]),
    ] {
        let refused = with(body, &headers).send().await.unwrap();
        assert_eq!(refused.status(), 400, "{headers:?}");
        assert!(!refused.headers().contains_key("www-authenticate"));
        let answer: Value = refused.json().await.unwrap();
        assert_eq!((&answer["jsonrpc"], &answer["id"]), (&"2.0".into(), &1.into()), "{answer}");
        assert_eq!(answer["error"]["code"], -32020);
        let message = answer["error"]["message"].as_str().unwrap();
        assert!(message.starts_with("Header mismatch: Mcp-") && !message.contains("secret"), "{message}");
    }
    for (body, headers) in [
        (&about, vec![method, ("mcp-name", "about"), late]),
        (&about, vec![method, ("mcp-name", "=?base64?YWJvdXQ=?="), late]),
        (&about, vec![("mcp-protocol-version", "2025-11-25")]),
        (&LIST.to_owned(), vec![("mcp-method", "tools/list"), late]),
    ] {
        assert_eq!(with(body, &headers).send().await.unwrap().status(), 200, "{headers:?}");
    }
}

/// What is not read is the backend's to check: nothing of it is decided here.
#[tokio::test]
async fn headers_of_a_body_that_is_not_read_are_passed_on() {
    let server = TestServer::start().await;
    let tokens = OAuthClient::register(&server).await.log_in(&Browser::new()).await;
    let call = post(&server, "/mcp", CALL).bearer_auth(&tokens.access).header("mcp-method", "tools/list");
    assert_eq!(call.send().await.unwrap().status(), 200);
}

#[tokio::test]
async fn a_body_that_could_be_read_differently_is_protected() {
    let server = TestServer::start().await;
    let status = async |request: RequestBuilder| request.send().await.unwrap().status().as_u16();
    assert_eq!(status(post(&server, "/lazy", LIST)).await, 200);
    for body in [
        format!("[{LIST}]"),
        format!("\u{feff}{LIST}"),
        LIST.replace("\"id\":1", "\"method\":\"tools/call\""),
        LIST.replace("tools/list", "tools\\/list"),
        format!("{LIST}{}", " ".repeat(65 * 1024)),
        String::new(),
        "{".into(),
    ] {
        assert_eq!(status(post(&server, "/lazy", body.clone())).await, 401, "{body:.80}");
    }
    let raw = || reqwest::Client::new().post(format!("{}/lazy", server.url)).body(LIST);
    assert_eq!(status(raw()).await, 401, "no media type");
    for content_type in
        ["text/plain", "application/json; charset=utf-16", "application/jsonx", "application/json, x"]
    {
        assert_eq!(status(raw().header("content-type", content_type)).await, 401, "{content_type}");
    }
    let twice = raw().header("content-type", "application/json").header("content-type", "application/json");
    assert_eq!(status(twice).await, 401);
    assert_eq!(status(raw().header("content-type", "application/json; charset=UTF-8")).await, 200);
    for header in ["content_encoding", "transfer_encoding"] {
        assert_eq!(status(post(&server, "/lazy", LIST).header(header, "gzip")).await, 401, "{header}");
    }
    assert_eq!(status(post(&server, "/lazy", LIST).header("content-encoding", "gzip")).await, 401);
    assert_eq!(status(post(&server, "/lazy", LIST).header("content-encoding", "identity")).await, 401);
}

#[tokio::test]
async fn a_user_on_a_lazy_server_does_everything() {
    let server = TestServer::start().await;
    let (client, browser) = (OAuthClient::register(&server).await, Browser::new());
    let lazy = format!("{}/lazy", server.url);
    let url = client.authorization_url(&[("resource", &lazy), ("scope", "mcp")]);
    let back = browser.log_in(&url, mcp_login_testkit::client::REDIRECT_URI).await;
    let code = mcp_login_testkit::client::param(&back, "code").unwrap();
    let tokens = Tokens::read(client.exchange(&code, &[("resource", &lazy)]).await).await;
    let answer: Value = client.call("/lazy", &tokens.access).await.json().await.unwrap();
    assert_eq!(answer["resource"], lazy);
    let get = reqwest::Client::new().get(&lazy).bearer_auth(&tokens.access).send().await.unwrap();
    assert_eq!(get.status(), 200);
    assert_eq!(client.call("/mcp", &tokens.access).await.status(), 401, "another audience");
}

#[tokio::test]
async fn browsers_may_call_from_anywhere() {
    const ASKED: &str = "authorization,mcp-protocol-version,mcp-session-id,mcp-param-region";
    let server = TestServer::start().await;
    for path in
        ["/mcp", "/lazy", "/token", "/register", "/revoke", "/.well-known/oauth-protected-resource/mcp"]
    {
        let preflight = reqwest::Client::new()
            .request(Method::OPTIONS, format!("{}{path}", server.url))
            .header("origin", "https://inspector.example")
            .header("access-control-request-method", "POST")
            .header("access-control-request-headers", ASKED);
        let answer = preflight.send().await.unwrap();
        assert_eq!(answer.status(), 200, "{path}");
        assert_eq!(answer.headers()["access-control-allow-origin"], "*", "{path}");
        assert_eq!(answer.headers()["access-control-allow-headers"], ASKED, "{path}");
    }
    let refused =
        post(&server, "/mcp", CALL).header("origin", "https://inspector.example").send().await.unwrap();
    let exposed = refused.headers()["access-control-expose-headers"].to_str().unwrap();
    assert!(exposed.contains("www-authenticate") && exposed.contains("mcp-session-id"), "{exposed}");
    for path in ["/authorize", "/consent", "/callback"] {
        let answer =
            reqwest::Client::new().get(format!("{}{path}", server.url)).header("origin", "https://x.example");
        assert!(
            !answer.send().await.unwrap().headers().contains_key("access-control-allow-origin"),
            "{path}"
        );
    }
}

#[tokio::test]
async fn an_upstream_that_is_away_ends_no_login_and_one_that_says_no_does() {
    let server = TestServer::start().await;
    server.upstream.set_access_ttl(Duration::from_secs(600));
    let client = OAuthClient::register(&server).await;
    let tokens = client.log_in(&Browser::new()).await;
    let upstream_token = async || {
        let answer: Value = client.call("/mcp", &tokens.access).await.json().await.unwrap();
        answer["upstream_token"].clone()
    };
    let first = upstream_token().await;
    server.upstream.set(Fault::TokenStatus(503));
    server.clock.advance(Duration::from_secs(570));
    assert_eq!(upstream_token().await, first, "stale, but still good");
    server.clock.advance(Duration::from_secs(60));
    assert!(upstream_token().await["error"].as_str().unwrap().contains("cannot be reached"));
    server.upstream.clear();
    assert!(upstream_token().await.is_string(), "it heals by itself");
    server.upstream.set(Fault::TokenError("invalid_grant"));
    server.clock.advance(Duration::from_secs(700));
    assert!(upstream_token().await["error"].as_str().unwrap().contains("sign in again"));
    server.upstream.clear();
    assert_eq!(client.refresh(&tokens.refresh, &[]).await.status(), 400, "the client has to log in again");
}

#[tokio::test]
async fn a_server_that_finds_the_login_ended_gets_the_challenge_written() {
    let answer = || async { Extension(LoginNeeded).into_response() };
    let server = TestServer::around(Options::usual().await, |auth| {
        Router::new().route("/mcp", any(answer)).route_layer(auth.protect("/mcp").unwrap())
    })
    .await;
    let client = OAuthClient::register(&server).await;
    let tokens = client.log_in(&Browser::new()).await;
    let refused = client.call("/mcp", &tokens.access).await;
    assert_eq!(refused.status(), 401);
    assert!(
        challenge(&refused).contains("resource_metadata=") && challenge(&refused).contains("invalid_token")
    );
}

#[tokio::test]
async fn axum_handlers_get_their_caller() {
    let whoami = async |caller: Caller| caller.subject().to_owned();
    let maybe = async |MaybeCaller(caller): MaybeCaller| {
        caller.map_or("nobody".to_owned(), |c| c.subject().to_owned())
    };
    let server = TestServer::around(Options::usual().await, |auth| {
        let lazy = Router::new().route("/lazy", post_to(whoami).put(maybe));
        let required =
            Router::new().route("/mcp", post_to(whoami)).route_layer(auth.protect("/mcp").unwrap());
        required.merge(lazy.route_layer(auth.protect("/lazy").unwrap())).route("/open", post_to(whoami))
    })
    .await;
    let anonymous = post(&server, "/lazy", LIST).send().await.unwrap();
    assert_eq!(anonymous.status(), 401);
    assert!(!challenge(&anonymous).contains("error="), "{}", challenge(&anonymous));
    assert_eq!(post(&server, "/open", LIST).send().await.unwrap().status(), 500, "not behind the layer");
    let client = OAuthClient::register(&server).await;
    let tokens = client.log_in(&Browser::new()).await;
    assert!(!client.call("/mcp", &tokens.access).await.text().await.unwrap().is_empty());
}

#[tokio::test]
async fn a_store_that_is_away_logs_nobody_out() {
    let mut redis = RedisServer::start();
    let store = Store::open(&redis.url()).await.unwrap();
    let server = TestServer::with(Options { store, ..Options::usual().await }).await;
    let (client, browser) = (OAuthClient::register(&server).await, Browser::new());
    let tokens = client.log_in(&browser).await;
    let dump = redis.dump();
    redis.stop();
    for answer in [
        client.call("/mcp", &tokens.access).await,
        client.refresh(&tokens.refresh, &[]).await,
        client.form("/revoke", &[("token", &tokens.refresh), ("client_id", client.id())]).await,
        browser.open(&client.authorization_url(&[])).await,
    ] {
        assert_eq!(answer.status(), 503, "{}", answer.url());
        assert!(answer.headers().contains_key("retry-after"), "{}", answer.url());
        assert!(!answer.headers().contains_key("www-authenticate"), "{}", answer.url());
    }
    redis.restart();
    for (key, value) in dump {
        redis.query(&[b"SET".as_slice(), &key, &value]);
    }
    // It heals by itself: connections are tried again, at most a second apart.
    let answer = loop {
        let answer = client.call("/mcp", &tokens.access).await;
        if answer.status() != 503 {
            break answer;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    };
    assert_eq!(answer.status(), 200);
    Tokens::read(client.refresh(&tokens.refresh, &[]).await).await;
}

/// What a raw connection answers to these pieces, each sent a moment after the other.
async fn on_one_connection(server: &TestServer, pieces: &[&str]) -> String {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let address = server.url.strip_prefix("http://").unwrap();
    let mut socket = tokio::net::TcpStream::connect(address).await.unwrap();
    for piece in pieces {
        socket.write_all(piece.as_bytes()).await.unwrap();
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let mut answers = String::new();
    let _ = tokio::time::timeout(Duration::from_secs(3), socket.read_to_string(&mut answers)).await;
    answers
}

/// A client that sends its body a moment after the head goes on with the connection, or is told that it cannot.
#[tokio::test]
async fn a_refusal_leaves_a_connection_that_works() {
    let server = TestServer::start().await;
    let head = |length: usize| format!("POST /mcp HTTP/1.1\r\nhost: x\r\ncontent-length: {length}\r\n\r\n");
    let last = "GET /mcp HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n";
    let answers = on_one_connection(&server, &[&head(CALL.len()), CALL, last]).await;
    assert_eq!(answers.matches("HTTP/1.1 401").count(), 2, "{answers}");
    let endless = on_one_connection(&server, &[&head(1 << 30), "x"]).await;
    assert!(endless.starts_with("HTTP/1.1 401") && endless.contains("connection: close"), "{endless}");
}
