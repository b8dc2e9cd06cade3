//! What single tools, prompts and resources need beyond the baseline of their server.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use axum::Router;
use axum::routing::any;
use mcp_login::{Access, AuthServer, Resource, presets};
use mcp_login_testkit::browser::Browser;
use mcp_login_testkit::client::{OAuthClient, REDIRECT_URI, Tokens, param};
use mcp_login_testkit::server::{Options, TestServer};
use reqwest::{Method, RequestBuilder, Response};
use serde_json::{Value, json};

/// `/notes` needs a user, `/open` lets anybody discover; calls need the same at both.
async fn start() -> TestServer {
    let with_rules = |path: &str| {
        Resource::new(path)
            .tool_scopes("delete_*", ["mcp:write"])
            .tool_scopes("*_user", ["users"])
            .tool_scopes("about", ["users"])
            .tool_scopes("prompt:plan", ["plans"])
            .tool_scopes("resource:note://private/*", ["mcp:read"])
            .scope_description("mcp:write", "Change and <delete> notes")
    };
    let open = with_rules("/open").access(Access::Lazy).public_tools(["about"]);
    let open = open.public_methods(["tools/list", "prompts/get", "resources/read"]);
    let resources = vec![with_rules("/notes"), open];
    TestServer::around(Options { resources, ..Options::usual().await }, |auth| {
        ["/notes", "/open"].into_iter().fold(Router::new(), |router, path| {
            let rest = format!("{path}/{{*rest}}");
            let echo = Router::new().route(path, any(async |body: String| body)).route(&rest, any("below"));
            router.merge(echo.route_layer(auth.protect(path).unwrap()))
        })
    })
    .await
}

async fn token(server: &TestServer, path: &str, scope: &str) -> (String, String) {
    let client = OAuthClient::register(server).await;
    let resource = format!("{}{path}", server.url);
    let url = client.authorization_url(&[("resource", &resource), ("scope", scope)]);
    let code = param(&Browser::new().log_in(&url, REDIRECT_URI).await, "code").unwrap();
    let answer = client.exchange(&code, &[("resource", &resource)]).await;
    let answer: Value = answer.json().await.unwrap();
    (answer["access_token"].as_str().unwrap().to_owned(), answer["scope"].as_str().unwrap().to_owned())
}

fn request(method: &str, params: &Value) -> String {
    json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": params}).to_string()
}

fn call(tool: &str) -> String {
    request("tools/call", &json!({"name": tool, "arguments": {"name": "delete_x"}}))
}

fn post(server: &TestServer, path: &str, body: impl Into<String>) -> RequestBuilder {
    let request = reqwest::Client::new().post(format!("{}{path}", server.url));
    request.header("content-type", "application/json").body(body.into())
}

fn challenge(response: &Response) -> &str {
    response.headers()["www-authenticate"].to_str().unwrap()
}

/// What a refused request is told to ask for; nothing if it came through.
async fn lacks(request: RequestBuilder) -> Option<String> {
    let answer = request.send().await.unwrap();
    if answer.status() == 200 {
        return None;
    }
    assert_eq!(answer.status(), 403);
    let told = challenge(&answer);
    assert!(told.contains("/.well-known/oauth-protected-resource/"), "{told}");
    assert!(told.contains("error=\"insufficient_scope\""), "{told}");
    let scope = told.split_once("scope=\"").unwrap().1.split_once('"').unwrap().0;
    Some(scope.to_owned())
}

const EVERY: &str = "mcp mcp:write users plans mcp:read";

#[tokio::test]
async fn a_call_needs_the_baseline_and_what_every_pattern_says() {
    let server = start().await;
    let (baseline, _) = token(&server, "/notes", "mcp").await;
    let needs = async |body: String| lacks(post(&server, "/notes", body).bearer_auth(&baseline)).await;
    assert_eq!(needs(call("list")).await, None);
    assert_eq!(needs(request("tools/list", &json!({}))).await, None);
    assert_eq!(needs(call("delete_note")).await.as_deref(), Some("mcp mcp:write"));
    assert_eq!(needs(call("delete_user")).await.as_deref(), Some("mcp mcp:write users"));
    let batch = format!("[{},{},{}]", call("list"), call("delete_x"), call("a_user"));
    assert_eq!(needs(batch).await.as_deref(), Some("mcp mcp:write users"));
    let plan = request("prompts/get", &json!({"name": "plan"}));
    assert_eq!(needs(plan).await.as_deref(), Some("mcp plans"));
    let read = |uri: &str| request("resources/read", &json!({"uri": uri}));
    assert_eq!(needs(read("note://public/a")).await, None);
    assert_eq!(needs(read("note://private/a")).await.as_deref(), Some("mcp mcp:read"));
    let answer = r#"{"jsonrpc":"2.0","id":1,"result":{"action":"accept"}}"#;
    assert_eq!(needs(answer.into()).await, None, "an answer to what the server asks");
}

#[tokio::test]
async fn a_token_that_has_the_scope_or_one_that_stands_for_it_may_call() {
    let server = start().await;
    for (asked, given, other) in [
        ("mcp mcp:write", "mcp mcp:write", Some("mcp mcp:read")),
        ("mcp mcp:*", "mcp mcp:write mcp:read", None),
    ] {
        let (token, scope) = token(&server, "/notes", asked).await;
        assert_eq!(scope, given);
        let delete = post(&server, "/notes", call("delete_x")).bearer_auth(&token);
        assert_eq!(lacks(delete).await, None);
        let read = request("resources/read", &json!({"uri": "note://private/a"}));
        let read = post(&server, "/notes", read).bearer_auth(&token);
        assert_eq!(lacks(read).await.as_deref(), other);
    }
    let (writer, _) = token(&server, "/notes", "mcp:write").await;
    let delete = post(&server, "/notes", call("delete_user")).bearer_auth(&writer);
    assert_eq!(lacks(delete).await.as_deref(), Some("mcp mcp:write users"), "all that it needs, held or not");
}

#[tokio::test]
async fn a_body_that_could_be_another_call_needs_every_scope() {
    let server = start().await;
    let (baseline, _) = token(&server, "/notes", "mcp").await;
    let bodies = [
        call("list").replace("\"name\":\"list\"", "\"name\":\"list\",\"name\":\"delete_x\""),
        call("list").replace("\"name\":\"list\"", "\"name\":\"list\",\"Name\":\"delete_x\""),
        call("list").replace("tools/call", "tools\\/call"),
        format!("\u{feff}{}", call("list")),
        format!("{}{}", call("list"), " ".repeat(65 * 1024)),
        "x".into(),
    ];
    for body in &bodies {
        let told = lacks(post(&server, "/notes", body).bearer_auth(&baseline)).await;
        assert_eq!(told.as_deref(), Some(EVERY), "{body:.90}");
    }
    let plain = || post(&server, "/notes", call("list")).bearer_auth(&baseline);
    for request in [
        plain().header("content-encoding", "gzip"),
        reqwest::Client::new().put(format!("{}/notes", server.url)).bearer_auth(&baseline),
        reqwest::Client::new().get(format!("{}/notes", server.url)).bearer_auth(&baseline).body(call("list")),
        reqwest::Client::new()
            .post(format!("{}/notes", server.url))
            .bearer_auth(&baseline)
            .body(call("list")),
    ] {
        assert_eq!(lacks(request).await.as_deref(), Some(EVERY));
    }
    let escaped = post(&server, "/notes", call("l\\u0069st").replace("\\\\", "\\")).bearer_auth(&baseline);
    let escaped = escaped.header("mcp-name", "list");
    assert_eq!(lacks(escaped).await.as_deref(), Some(EVERY), "it cannot be compared");
    for method in [Method::GET, Method::DELETE] {
        let request = reqwest::Client::new().request(method, format!("{}/notes", server.url));
        assert_eq!(lacks(request.bearer_auth(&baseline)).await, None, "the stream, the end of a session");
    }
    for path in ["/notes/messages", "/notes?tool=delete_x", "/notes/messages?sessionId=1"] {
        let url = format!("{}{path}", server.url);
        for request in [post(&server, path, call("list")), reqwest::Client::new().get(url)] {
            let lacks = lacks(request.bearer_auth(&baseline)).await;
            assert_eq!(lacks.as_deref(), Some(EVERY), "{path} may be anything");
        }
    }
    let (all, _) = token(&server, "/notes", EVERY).await;
    let long = post(&server, "/notes", &bodies[4]).bearer_auth(&all).send().await.unwrap();
    assert_eq!(long.text().await.unwrap(), bodies[4], "who may do everything is not asked what it is");
}

#[tokio::test]
async fn headers_that_contradict_a_body_are_refused_whatever_it_needs() {
    let server = start().await;
    let (baseline, _) = token(&server, "/notes", "mcp").await;
    let (all, _) = token(&server, "/notes", EVERY).await;
    let plain = |token: &str| post(&server, "/notes", call("list")).bearer_auth(token);
    for headers in [
        &[("mcp-name", "delete_x")][..],
        &[("mcp-name", "list"), ("mcp-name", "list")],
        &[("mcp-method", "tools/list")],
        &[("mcp-method", "tools/call"), ("mcp-protocol-version", "2026-07-28")],
    ] {
        let with =
            |token: &str| headers.iter().fold(plain(token), |sent, (name, value)| sent.header(*name, *value));
        let refused = with(&baseline).send().await.unwrap();
        assert_eq!(refused.status(), 400, "{headers:?}");
        let answer: Value = refused.json().await.unwrap();
        assert_eq!(answer["error"]["code"], -32020, "{answer}");
        assert_eq!(with(&all).send().await.unwrap().status(), 200, "its body is not read");
    }
    for name in ["list", "=?base64?bGlzdA==?="] {
        assert_eq!(
            lacks(plain(&baseline).header("mcp-method", "tools/call").header("mcp-name", name)).await,
            None
        );
    }
}

#[tokio::test]
async fn a_public_method_is_not_public_where_a_pattern_matches() {
    let server = start().await;
    let status = async |body: String| post(&server, "/open", body).send().await.unwrap().status().as_u16();
    let get = |name: &str| request("prompts/get", &json!({"name": name}));
    let read = |uri: &str| request("resources/read", &json!({"uri": uri}));
    assert_eq!(status(call("about")).await, 200, "it was named");
    assert_eq!(status(call("list")).await, 401);
    assert_eq!((status(get("x")).await, status(get("plan")).await), (200, 401));
    assert_eq!((status(read("note://a")).await, status(read("note://private/a")).await), (200, 401));
    assert_eq!(status(read("note://a/../private/a")).await, 401);
    let (baseline, _) = token(&server, "/open", "mcp").await;
    assert_eq!(lacks(post(&server, "/open", call("about")).bearer_auth(&baseline)).await, None);
}

#[tokio::test]
async fn clients_hear_of_every_scope_and_get_the_baseline_unless_they_ask() {
    let server = start().await;
    let refused = post(&server, "/notes", call("list")).send().await.unwrap();
    assert!(challenge(&refused).contains(&format!("scope=\"{EVERY}\"")), "{}", challenge(&refused));
    let metadata = format!("{}/.well-known/oauth-protected-resource/notes", server.url);
    let document: Value = reqwest::get(metadata).await.unwrap().json().await.unwrap();
    assert_eq!(document["scopes_supported"], json!(EVERY.split(' ').collect::<Vec<_>>()));
    assert_eq!(token(&server, "/notes", "").await.1, "mcp");
    let elsewhere = OAuthClient::register(&server).await.log_in(&Browser::new()).await;
    let Tokens { access, .. } = elsewhere;
    assert_eq!(post(&server, "/notes", call("list")).bearer_auth(access).send().await.unwrap().status(), 401);
}

#[tokio::test]
async fn the_page_says_what_a_scope_is_for() {
    let server = start().await;
    let client = OAuthClient::register(&server).await;
    let notes = format!("{}/notes", server.url);
    let url = client.authorization_url(&[("resource", &notes), ("scope", "mcp mcp:write")]);
    let page = Browser::new().open(&url).await.text().await.unwrap();
    assert!(page.contains("Change and &#60;delete&#62; notes"), "{page}");
    assert!(page.contains("mcp:write"), "the name stands beside it");
    let url = client.authorization_url(&[("scope", "mcp mcp:write")]);
    let page = Browser::new().open(&url).await.text().await.unwrap();
    assert!(!page.contains("Change and"), "another server's scope of the same name");
}

#[test]
fn what_cannot_be_meant_is_told_with_its_key() {
    let faults = AuthServer::builder("https://mcp.example.com")
        .upstream(presets::github("id", "secret"))
        .resource(
            Resource::new("/a")
                .tool_scopes("", ["x"])
                .tool_scopes("none", [""; 0])
                .tool_scopes("odd", ["a b"])
                .scope_description("mcp", " ")
                .scope_description("other", "x"),
        )
        .resource((0..65).fold(Resource::new("/b"), |b, n| b.tool_scopes(format!("{n}"), [format!("s{n}")])))
        .faults();
    for key in [
        "mcp[0].tool_scopes.: ",
        "mcp[0].tool_scopes.none: ",
        "mcp[0].tool_scopes.odd: ",
        "mcp[0].scope_descriptions.mcp: ",
        "mcp[0].scope_descriptions.other: ",
        "mcp[1].tool_scopes: ",
    ] {
        assert!(faults.iter().any(|fault| fault.starts_with(key)), "{key} in {faults:?}");
    }
    assert_eq!(faults.len(), 6, "{faults:?}");
}
