#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use axum::Router;
use reqwest::StatusCode;
use serde_json::{Value, json};
use tokio::net::TcpListener;

use super::*;

/// The server on a port of its own, called as the gateway calls it.
struct Server {
    url: String,
    http: reqwest::Client,
}

impl Server {
    async fn start() -> Self {
        let router = Router::new().route_service("/mcp", service());
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/mcp", listener.local_addr().unwrap());
        tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self { url, http: reqwest::Client::builder().no_proxy().build().unwrap() }
    }

    async fn send(&self, headers: &[(&str, &str)], method: &str, params: Value) -> (StatusCode, Value) {
        let mut request = self
            .http
            .post(&self.url)
            .header("accept", "application/json, text/event-stream")
            .json(&json!({ "jsonrpc": "2.0", "id": 7, "method": method, "params": params }));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let response = request.send().await.unwrap();
        let status = response.status();
        (status, serde_json::from_str(&response.text().await.unwrap()).unwrap_or_default())
    }

    /// Calls a tool as this person and gives the text of the answer.
    async fn call(&self, person: &str, tool: &str, arguments: Value) -> String {
        let (status, answer) = self.tool(&[("x-forwarded-user", person)], tool, arguments).await;
        assert_eq!(status, StatusCode::OK, "{answer}");
        answer["result"]["content"][0]["text"]
            .as_str()
            .unwrap_or_else(|| panic!("no text in {answer}"))
            .to_owned()
    }

    async fn tool(&self, headers: &[(&str, &str)], tool: &str, arguments: Value) -> (StatusCode, Value) {
        self.send(headers, "tools/call", json!({ "name": tool, "arguments": arguments })).await
    }
}

#[tokio::test]
async fn two_people_are_kept_apart() {
    let server = Server::start().await;
    assert_eq!(server.call("demo-ada", "add_note", json!({ "text": "Note G" })).await, "Saved as note 1.");
    assert_eq!(server.call("demo-ada", "add_note", json!({ "text": "Bernoulli" })).await, "Saved as note 2.");
    assert_eq!(server.call("demo-alan", "list_notes", json!({})).await, "You have no notes yet.");
    assert_eq!(server.call("demo-alan", "add_note", json!({ "text": "Halting" })).await, "Saved as note 1.");
    assert_eq!(server.call("demo-ada", "list_notes", json!({})).await, "1. Note G\n2. Bernoulli");
    assert_eq!(server.call("demo-alan", "list_notes", json!({})).await, "1. Halting");

    let (_, refused) =
        server.tool(&[("x-forwarded-user", "demo-alan")], "delete_note", json!({ "number": 2 })).await;
    assert_eq!(refused["result"]["isError"], true, "{refused}");
    assert_eq!(server.call("demo-ada", "delete_note", json!({ "number": 2 })).await, "Note 2 is deleted.");
    assert_eq!(server.call("demo-ada", "list_notes", json!({})).await, "1. Note G");
    assert_eq!(server.call("demo-alan", "list_notes", json!({})).await, "1. Halting");
}

#[tokio::test]
async fn nobody_gets_nothing_but_what_is_public() {
    let server = Server::start().await;
    let too_long = "x".repeat(256);
    let nobodies: [&[(&str, &str)]; 4] = [
        &[],
        &[("x-forwarded-user", "")],
        &[("x-forwarded-user", "demo-ada"), ("x-forwarded-user", "demo-alan")],
        &[("x-forwarded-user", &too_long)],
    ];
    for headers in nobodies {
        for (tool, arguments) in [
            ("add_note", json!({ "text": "x" })),
            ("list_notes", json!({})),
            ("delete_note", json!({ "number": 1 })),
            ("whoami", json!({})),
        ] {
            let (_, answer) = server.tool(headers, tool, arguments).await;
            let message =
                answer["error"]["message"].as_str().unwrap_or_else(|| panic!("{tool} answered {answer}"));
            assert!(message.contains("Nobody is signed in"), "{message}");
        }
    }
    let (status, answer) = server.tool(&[], "about", json!({})).await;
    assert_eq!(status, StatusCode::OK);
    assert!(answer["result"]["content"][0]["text"].as_str().unwrap().starts_with("Demo notes"), "{answer}");
}

#[tokio::test]
async fn whoami_tells_what_the_gateway_told() {
    let server = Server::start().await;
    let headers = [
        ("x-forwarded-user", "demo-ada"),
        ("x-forwarded-preferred-username", "ada"),
        ("x-forwarded-email", "ada@example.com"),
        ("x-forwarded-client", "client-1"),
        ("x-forwarded-scope", "mcp"),
    ];
    let (_, answer) = server.tool(&headers, "whoami", json!({})).await;
    assert_eq!(
        answer["result"]["content"][0]["text"],
        "Subject: demo-ada\nName: ada\nEmail: ada@example.com\nClient: client-1\nScopes: mcp"
    );
    assert_eq!(server.call("demo-alan", "whoami", json!({})).await, "Subject: demo-alan");
}

#[tokio::test]
async fn a_note_that_is_too_long_is_told_to_the_model() {
    let server = Server::start().await;
    let headers = [("x-forwarded-user", "demo-ada")];
    for text in ["x".repeat(2001), "  ".to_owned()] {
        let (_, answer) = server.tool(&headers, "add_note", json!({ "text": text })).await;
        assert_eq!(answer["result"]["isError"], true, "{answer}");
    }
    let (status, _) =
        server.tool(&headers, "add_note", json!({ "text": "x".repeat(MAX_MESSAGE_BYTES) })).await;
    assert_eq!(status, StatusCode::PAYLOAD_TOO_LARGE);
}

#[tokio::test]
async fn discovery_says_what_this_is_to_anybody() {
    let server = Server::start().await;
    for version in ["2025-03-26", "2025-06-18", "2025-11-25"] {
        let client = json!({
            "protocolVersion": version, "capabilities": {}, "clientInfo": { "name": "test", "version": "1" },
        });
        let (status, answer) = server.send(&[], "initialize", client).await;
        assert_eq!(status, StatusCode::OK, "{answer}");
        assert_eq!(answer["result"]["protocolVersion"], version, "{answer}");
        assert_eq!(answer["result"]["serverInfo"]["title"], "Demo notes");
        assert!(answer["result"]["instructions"].as_str().unwrap().contains("add_note"));
    }
    let (_, answer) = server.send(&[], "tools/list", json!({})).await;
    let tools = answer["result"]["tools"].as_array().unwrap();
    let mut names: Vec<&str> = tools.iter().map(|tool| tool["name"].as_str().unwrap()).collect();
    names.sort_unstable();
    assert_eq!(names, ["about", "add_note", "delete_note", "list_notes", "whoami"]);
    for tool in tools {
        assert!(tool["title"].is_string() && tool["description"].is_string(), "{tool}");
        assert_eq!(tool["annotations"]["openWorldHint"], false, "{tool}");
    }
}

#[tokio::test]
async fn the_newest_revision_is_served_too() {
    let server = Server::start().await;
    let meta = json!({
        "io.modelcontextprotocol/protocolVersion": "2026-07-28",
        "io.modelcontextprotocol/clientInfo": { "name": "test", "version": "1" },
        "io.modelcontextprotocol/clientCapabilities": {},
    });
    let headers = [
        ("x-forwarded-user", "demo-ada"),
        ("mcp-protocol-version", "2026-07-28"),
        ("mcp-method", "tools/call"),
        ("mcp-name", "add_note"),
    ];
    let params = json!({ "name": "add_note", "arguments": { "text": "Note G" }, "_meta": meta });
    let (status, answer) = server.send(&headers, "tools/call", params).await;
    assert_eq!(status, StatusCode::OK, "{answer}");
    assert_eq!(answer["result"]["content"][0]["text"], "Saved as note 1.", "{answer}");
}

#[tokio::test]
async fn only_loopback_names_are_answered() {
    let server = Server::start().await;
    let (status, _) =
        server.tool(&[("host", "evil.example"), ("x-forwarded-user", "demo-ada")], "whoami", json!({})).await;
    assert_eq!(status, StatusCode::FORBIDDEN);
}
