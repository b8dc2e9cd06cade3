//! What a server says besides its answers, and to whom.

use axum::http::StatusCode;
use serde_json::json;

use super::proxy_setup::{caller, caller_named};
use super::setup::Setup;

#[tokio::test]
async fn progress_comes_before_the_answer_to_whoever_asked() {
    let server = Setup::with_env(&[]).start();
    let mut client = server.client(Some(caller(Ok("t"))));
    client.initialize().await;
    let _stream = client.listen().await;
    let params = json!({ "_meta": { "progressToken": "p" } });
    let mut events = client.begin(json!("a"), "progress", params).await;
    assert_eq!(events.next().await.unwrap()["params"]["progressToken"], "p");
    assert_eq!(events.next().await.unwrap(), json!({ "jsonrpc": "2.0", "id": "a", "result": "done" }));
    assert_eq!(events.next().await, None);
    server.proxy.end().await;
}

#[tokio::test]
async fn a_servers_request_finds_its_way_and_so_does_the_answer() {
    let server = Setup::with_env(&[]).start();
    let mut client = server.client(Some(caller(Ok("t"))));
    client.initialize().await;
    let reply = r#"{"jsonrpc":"2.0","id":1,"result":["root"]}"#;

    // Without a stream, with the answer to what the client has asked.
    let mut events = client.begin(json!(5), "ask", json!({})).await;
    assert_eq!(events.next().await.unwrap()["method"], "roots/list");
    assert_eq!(client.send("POST", reply).await.status(), StatusCode::ACCEPTED);
    assert_eq!(events.next().await.unwrap()["result"], json!(["root"]));

    // With one, there.
    let mut stream = client.listen().await;
    let answer = client.later("ask");
    assert_eq!(stream.next().await.unwrap()["method"], "roots/list");
    client.send("POST", reply).await;
    assert_eq!(super::setup::json(answer.await.unwrap()).await["result"], json!(["root"]));
    server.proxy.end().await;
}

#[tokio::test]
async fn what_nobody_heard_waits_for_the_next_stream() {
    let server = Setup::with_env(&[]).start();
    let mut client = server.client(Some(caller(Ok("t"))));
    client.initialize().await;
    let mut old = client.listen().await;
    client.call(json!(1), "say", json!({ "text": "one" })).await;
    assert_eq!(old.next().await.unwrap()["params"]["data"], "one");
    drop(old);
    let mut events = client.begin(json!(2), "say", json!({ "text": "two" })).await;
    assert_eq!(events.next().await.unwrap()["params"]["data"], "two");
    drop(events);

    let (mut stream, mut other) = (client.listen().await, client.listen().await);
    assert_eq!(stream.next().await, None, "a session has one stream");
    client.call(json!(3), "say", json!({ "text": "three" })).await;
    assert_eq!(other.next().await.unwrap()["params"]["data"], "three");

    // The stream ends with the session.
    assert_eq!(client.delete().await.status(), StatusCode::NO_CONTENT);
    assert_eq!(other.next().await, None);
    server.proxy.end().await;
}

#[tokio::test]
async fn a_client_that_goes_away_cancels_what_it_has_asked() {
    let server = Setup::with_env(&[]).start();
    let mut client = server.client(Some(caller(Ok("t"))));
    client.initialize().await;
    let answer = client.later("hang");
    // Answered after the other was asked.
    client.call(json!(1), "heard", json!({})).await;
    answer.abort();
    assert!(answer.await.unwrap_err().is_cancelled());
    assert_eq!(client.call(json!(1), "heard", json!({})).await, json!(["hang"]));
    server.proxy.end().await;
}

#[tokio::test]
async fn nobody_fills_the_memory_with_what_they_do_not_read() {
    let mut setup = Setup::with_env(&[]);
    // One person has an eighth of it.
    setup.limits.waiting = 8 * 10_000;
    let server = setup.start();
    let mut ann = server.client(Some(caller_named("ann", Ok("t"))));
    let mut bob = server.client(Some(caller_named("bob", Ok("t"))));
    ann.initialize().await;
    bob.initialize().await;
    // Nobody listens, so it is kept.
    let text = "x".repeat(4_000);
    let mut json_only = ann.clone();
    json_only.accept = "application/json";
    for _ in 0..2 {
        json_only.call(json!(1), "say", json!({ "text": text })).await;
    }
    let answer = super::setup::json(ann.request("long", json!({ "length": 4_000 })).await).await;
    assert_eq!(answer["error"]["code"], -32603, "{answer}");
    let body = json!({ "jsonrpc": "2.0", "method": "x", "params": { "text": text } }).to_string();
    assert_eq!(ann.send("POST", &body).await.status(), StatusCode::SERVICE_UNAVAILABLE);
    // It is at nobody else's cost.
    assert_eq!(bob.call(json!(1), "long", json!({ "length": 4_000 })).await.as_str().unwrap().len(), 4_000);
    drop(ann.listen().await);
    let mut stream = ann.listen().await;
    for _ in 0..2 {
        assert_eq!(stream.next().await.unwrap()["params"]["data"].as_str().unwrap().len(), 4_000);
    }
    // What was heard is still kept for a while, and goes with its session.
    assert_eq!(ann.delete().await.status(), StatusCode::NO_CONTENT);
    assert_eq!(stream.next().await, None);
    drop(stream);
    ann.initialize().await;
    assert_eq!(ann.call(json!(1), "heard", json!({})).await, json!([]));
    server.proxy.end().await;
}
