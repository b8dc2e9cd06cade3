//! A call that needs a login, refused where `ChatGPT` looks for it: in its result.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use axum::response::{IntoResponse, Response};
use axum::routing::any;
use axum::{Json, Router};
use mcp_login::{Access, ChallengeForm, Resource};
use mcp_login_testkit::browser::Browser;
use mcp_login_testkit::client::{OAuthClient, REDIRECT_URI, Tokens, param};
use mcp_login_testkit::server::{Options, TestServer};
use reqwest::{RequestBuilder, StatusCode};
use serde_json::{Value, json};

const CHATGPT: &str = "openai-mcp/1.0.0 (ChatGPT)";
const LIST: &str = r#"{"jsonrpc":"2.0","id":1,"method":"tools/list"}"#;
const CALL: &str = r#"{"jsonrpc":"2.0","id":7,"method":"tools/call","params":{"name":"delete_x"}}"#;

/// `/result`, `/auto` and `/http` let anybody discover; `/required` does not.
async fn start() -> TestServer {
    let forms = [
        ("/result", ChallengeForm::Result),
        ("/auto", ChallengeForm::Auto),
        ("/http", ChallengeForm::Http),
        ("/required", ChallengeForm::Result),
    ];
    let resources = forms.map(|(path, form)| {
        let access = if path == "/required" { Access::Required } else { Access::Lazy };
        let resource = Resource::new(path).access(access).public_tools(["about"]).challenge(form);
        resource.tool_scopes("delete_*", ["mcp:write"])
    });
    TestServer::around(Options { resources: resources.to_vec(), ..Options::usual().await }, move |auth| {
        forms.into_iter().fold(Router::new(), |router, (path, _)| {
            let server = Router::new().route(path, any(answer));
            router.merge(server.route_layer(auth.protect(path).unwrap()))
        })
    })
    .await
}

/// A list of two tools, or what was sent.
async fn answer(body: String) -> Response {
    if body != LIST {
        return body.into_response();
    }
    Json(json!({"jsonrpc": "2.0", "id": 1, "result": {"tools": [{"name": "about"}, {"name": "delete_x"}]}}))
        .into_response()
}

fn post(server: &TestServer, path: &str, body: impl Into<String>) -> RequestBuilder {
    let request = reqwest::Client::new().post(format!("{}{path}", server.url));
    request.header("content-type", "application/json").body(body.into())
}

async fn log_in(server: &TestServer, path: &str, scope: &str) -> Tokens {
    let (client, resource) = (OAuthClient::register(server).await, format!("{}{path}", server.url));
    let url = client.authorization_url(&[("resource", &resource), ("scope", scope)]);
    let code = param(&Browser::new().log_in(&url, REDIRECT_URI).await, "code").unwrap();
    Tokens::read(client.exchange(&code, &[("resource", &resource)]).await).await
}

/// The challenge in a result; nothing if the answer is another.
async fn in_result(request: RequestBuilder) -> Result<String, StatusCode> {
    let answer = request.send().await.unwrap();
    if answer.status() != 200 {
        assert!(answer.headers().contains_key("www-authenticate"));
        return Err(answer.status());
    }
    assert_eq!(answer.headers()["content-type"], "application/json");
    assert_eq!(answer.headers()["cache-control"], "no-store");
    let answer: Value = answer.json().await.unwrap();
    assert_eq!((&answer["jsonrpc"], &answer["id"]), (&json!("2.0"), &json!(7)));
    let result = &answer["result"];
    assert_eq!(result["isError"], true);
    assert_eq!(result["content"][0]["type"], "text");
    assert!(!result["content"][0]["text"].as_str().unwrap().is_empty());
    let [challenge] = result["_meta"]["mcp/www_authenticate"].as_array().unwrap().as_slice() else {
        panic!("one challenge in {answer}")
    };
    Ok(challenge.as_str().unwrap().to_owned())
}

#[tokio::test]
async fn a_call_without_a_token_is_answered_with_the_challenge() {
    let server = start().await;
    let told = in_result(post(&server, "/result", CALL)).await.unwrap();
    let metadata = format!("{}/.well-known/oauth-protected-resource/result", server.url);
    assert!(told.starts_with(&format!("Bearer resource_metadata=\"{metadata}\", scope=\"mcp mcp:write\"")));
    assert!(
        told.contains("error=\"invalid_token\", error_description=\"this tool needs a login\""),
        "{told}"
    );
    let about = CALL.replace("delete_x", "about");
    let through = post(&server, "/result", about.clone()).send().await.unwrap();
    assert_eq!(through.text().await.unwrap(), about, "a public tool is called");
}

#[tokio::test]
async fn only_where_it_is_asked_for() {
    let server = start().await;
    let told = async |path: &str, agent: &str| {
        in_result(post(&server, path, CALL).header("user-agent", agent)).await.map(|_| ())
    };
    let unauthorized = Err(StatusCode::UNAUTHORIZED);
    assert_eq!(told("/auto", CHATGPT).await, Ok(()));
    assert_eq!(told("/auto", "openai-mcp/1.0.0 (Codex)").await, unauthorized);
    assert_eq!(told("/auto", "claude-code/2.1.278").await, unauthorized);
    assert_eq!(in_result(post(&server, "/auto", CALL)).await.map(|_| ()), unauthorized, "no User-Agent");
    assert_eq!(told("/http", CHATGPT).await, unauthorized);
    assert_eq!(told("/required", CHATGPT).await, unauthorized);
}

#[tokio::test]
async fn only_a_single_call_that_can_be_answered() {
    let server = start().await;
    for body in [
        CALL.replace("\"id\":7,", ""),
        CALL.replace("\"id\":7,", "\"id\":null,"),
        CALL.replace("\"id\":7,", "\"id\":7,\"id\":8,"),
        CALL.replace("tools/call", "resources/read"),
        CALL.replace("tools/call", "tools\\/call"),
        format!("[{CALL}]"),
        format!("{CALL}{}", " ".repeat(65 * 1024)),
        "x".into(),
    ] {
        let told = in_result(post(&server, "/result", body.clone())).await;
        assert_eq!(told, Err(StatusCode::UNAUTHORIZED), "{body:.90}");
    }
    let query = in_result(post(&server, "/result?x=1", CALL)).await;
    assert_eq!(query, Err(StatusCode::UNAUTHORIZED));
}

#[tokio::test]
async fn a_bad_token_is_401_and_a_narrow_one_hears_of_what_it_lacks() {
    let server = start().await;
    for bad in ["mla_x", "x"] {
        let told = in_result(post(&server, "/result", CALL).bearer_auth(bad)).await;
        assert_eq!(told, Err(StatusCode::UNAUTHORIZED));
    }
    for (path, in_result_too) in [("/result", true), ("/http", false)] {
        let tokens = log_in(&server, path, "mcp").await;
        let told = in_result(post(&server, path, CALL).bearer_auth(&tokens.access)).await;
        if in_result_too {
            let told = told.unwrap();
            assert!(told.contains("scope=\"mcp mcp:write\", error=\"insufficient_scope\""), "{told}");
        } else {
            assert_eq!(told, Err(StatusCode::FORBIDDEN));
        }
        let batch = in_result(post(&server, path, format!("[{CALL}]")).bearer_auth(&tokens.access)).await;
        assert_eq!(batch, Err(StatusCode::FORBIDDEN));
    }
}

#[tokio::test]
async fn a_list_of_tools_says_what_each_needs() {
    let server = start().await;
    let listed = async |request: RequestBuilder| {
        let answer: Value = request.send().await.unwrap().json().await.unwrap();
        answer["result"]["tools"].clone()
    };
    let plain = json!([{"name": "about"}, {"name": "delete_x"}]);
    assert_eq!(listed(post(&server, "/http", LIST)).await, plain);
    assert_eq!(listed(post(&server, "/auto", LIST)).await, plain);
    let for_chatgpt = post(&server, "/auto", LIST).header("user-agent", CHATGPT);
    for request in [post(&server, "/result", LIST), for_chatgpt] {
        let tools = listed(request).await;
        let oauth = json!([{"type": "oauth2", "scopes": ["mcp", "mcp:write"]}]);
        for (n, schemes) in [json!([{"type": "noauth"}]), oauth].into_iter().enumerate() {
            assert_eq!(tools[n]["securitySchemes"], schemes);
            assert_eq!(tools[n]["_meta"]["securitySchemes"], schemes);
        }
    }
}

#[tokio::test]
async fn a_list_that_is_read_has_to_agree_with_its_headers() {
    let server = start().await;
    for (path, contradicted) in [("/result", 400), ("/http", 200)] {
        let tokens = log_in(&server, path, "mcp mcp:write").await;
        for (method, status) in [("tools/list", 200), ("tools/call", contradicted)] {
            let request = post(&server, path, LIST).bearer_auth(&tokens.access).header("mcp-method", method);
            assert_eq!(request.send().await.unwrap().status(), status, "{method} at {path}");
        }
    }
}

#[tokio::test]
async fn a_list_can_leave_out_what_the_caller_may_not_call() {
    let hiding = Resource::new("/hiding").access(Access::Lazy).public_tools(["about"]).hide_tools(true);
    let resources = vec![hiding.tool_scopes("delete_*", ["mcp:write"])];
    let server = TestServer::around(Options { resources, ..Options::usual().await }, |auth| {
        Router::new().route("/hiding", any(answer)).route_layer(auth.protect("/hiding").unwrap())
    })
    .await;
    let about = json!([{"name": "about"}]);
    let listed = async |request: RequestBuilder| {
        let answer: Value = request.send().await.unwrap().json().await.unwrap();
        answer["result"]["tools"].clone()
    };
    assert_eq!(listed(post(&server, "/hiding", LIST)).await, about);
    for (scope, tools) in
        [("mcp", about), ("mcp mcp:write", json!([{"name": "about"}, {"name": "delete_x"}]))]
    {
        let tokens = log_in(&server, "/hiding", scope).await;
        assert_eq!(
            listed(post(&server, "/hiding", LIST).bearer_auth(&tokens.access)).await,
            tools,
            "{scope}"
        );
    }
}
