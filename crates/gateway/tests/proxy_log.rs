//! What an operator reads of a failure.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

mod proxy_setup;
#[path = "proxy_stdio/setup.rs"]
mod stdio;

use axum::http::StatusCode;
use serde_json::json;

use proxy_setup::lines::Lines;
use proxy_setup::{Backend, Setup, caller, values};

#[tokio::test]
async fn one_fault_of_a_backend_is_one_line() {
    let (lines, _logged) = Lines::logged();

    let backend = Backend::start().await;
    let (setup, port) = (Setup::to(&backend), backend.port);
    drop(backend);
    let answer = setup.start().await.get("Connection: close").await.rest().await;
    assert!(answer.starts_with("HTTP/1.1 502 "), "{answer}");

    let logged = lines.text();
    assert_eq!(logged.lines().count(), 1, "{logged}");
    let id = values(&answer, "x-request-id")[0];
    // What it is called, where it went and why it failed.
    for part in ["WARN", id, &format!("127.0.0.1:{port}"), "refused"] {
        assert!(logged.contains(part), "{part} in {logged}");
    }
}

#[tokio::test]
async fn what_a_program_complains_of_is_logged_with_its_user() {
    let (lines, _logged) = Lines::logged();
    let server = stdio::Setup::with_env(&[("TOKEN", "{upstream.access_token}")]).start();
    let mut client = server.client(Some(caller(Ok("t0k3n-of-zoe"))));
    client.initialize().await;
    let text = format!("401 for t0k3n-of-zoe\u{1b}[31m{}", "x".repeat(10_000));
    client.call(json!(1), "complain", json!({ "text": text })).await;
    client.call(json!(1), "complain", json!({ "text": "and goes on" })).await;
    assert_eq!(client.request("die", json!({})).await.status(), StatusCode::BAD_GATEWAY);
    server.proxy.end().await;

    let logged = lines.text();
    let said: Vec<&str> = logged.lines().filter(|line| line.contains("a stdio server says")).collect();
    let [first, second] = said[..] else { panic!("two lines in\n{logged}") };
    assert!(first.contains("user=\"user-1\"") && first.contains("mcp=\"/mcp\""), "{first}");
    assert!(first.contains("401 for [token]") && !logged.contains("t0k3n-of-zoe"), "{first}");
    // No colours of somebody else's, and no more than a line may have.
    assert!(!first.contains('\u{1b}') && first.len() < 5000, "{}", first.len());
    assert!(second.contains("and goes on"), "{second}");
    let end = logged.lines().find(|line| line.contains("a stdio server ends")).unwrap();
    assert!(end.contains("user-1"), "{end}");
}

#[tokio::test]
async fn a_program_that_does_not_start_is_one_line() {
    let (lines, _logged) = Lines::logged();
    let server =
        stdio::Setup { program: "/no/such/program", ..stdio::Setup::with_env(&[("KEY", "hunter2")]) }.start();
    server.client(None).send_initialize().await;
    let logged = lines.text();
    assert_eq!(logged.lines().count(), 1, "{logged}");
    for part in ["WARN", "/no/such/program", "No such file"] {
        assert!(logged.contains(part), "{part} in {logged}");
    }
    assert!(!logged.contains("hunter2") && !logged.contains("server.py"), "{logged}");
}
