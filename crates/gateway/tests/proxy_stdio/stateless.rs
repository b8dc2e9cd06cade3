//! Requests of MCP 2026-07-28, which belong to no session.

use axum::http::StatusCode;
use mcp_login_gateway::proxy::Sharing;
use serde_json::{Value, json};

use super::proxy_setup::caller_named;
use super::setup::{Client, Events, Server, Setup, gone, json as body};

fn modern(env: &[(&str, &str)]) -> Server {
    Setup { sharing: Sharing::User, ..Setup::with_env(env) }.start()
}

fn person(server: &Server, name: &str) -> Client {
    server.client(Some(caller_named(name, Ok("t"))))
}

#[tokio::test]
async fn requests_that_stand_for_themselves_share_their_users_process() {
    let server = modern(&[("MODERN", "1"), ("WHO", "{user.sub}")]);
    let (ann, again, bob) = (person(&server, "ann"), person(&server, "ann"), person(&server, "bob"));
    let discovered = ann.modern(json!("d"), "server/discover", json!({})).await;
    assert!(!discovered.headers().contains_key("mcp-session-id"));
    let pid = body(discovered).await["result"]["pid"].clone();
    let call = |client: &Client| {
        let client = client.with_header("mcp-name", "x");
        async move {
            body(client.modern(json!("d"), "tools/call", json!({ "name": "x" })).await).await["result"]
                .clone()
        }
    };
    assert_eq!(call(&again).await, json!({ "called": "x", "pid": pid }));
    assert_ne!(call(&bob).await["pid"], pid);
    let who = body(bob.modern(json!(1), "environment", json!({})).await).await;
    assert_eq!(who["result"]["WHO"], "bob");

    // Two of one id are two.
    let (one, two) = tokio::join!(call(&ann), call(&again));
    assert_eq!(one, two);
    server.proxy.end().await;
}

#[tokio::test]
async fn a_subscription_hears_what_is_its_own() {
    let server = modern(&[]);
    let (ann, again) = (person(&server, "ann"), person(&server, "ann"));
    let listen = |client: &Client, id: Value, end: &str| {
        let (client, params) = (client.clone(), json!({ "end": end }));
        async move { Events::of(client.modern(id, "subscriptions/listen", params).await) }
    };
    let mut one = listen(&ann, json!("s"), "answer").await;
    let mut two = listen(&again, json!("s"), "cancel").await;
    // It is not bounded in time as other requests are.
    assert_eq!(body(ann.modern(json!(1), "change", json!({})).await).await["result"], "changed");
    for (stream, last) in [(&mut one, "result"), (&mut two, "method")] {
        for method in ["subscriptions/acknowledged", "tools/list_changed"] {
            let event = stream.next().await.unwrap();
            assert_eq!(event["method"], format!("notifications/{method}"));
            assert_eq!(event["params"]["_meta"]["io.modelcontextprotocol/subscriptionId"], "s");
        }
        let event = stream.next().await.unwrap();
        assert!(event[last].is_object() || event[last] == "notifications/cancelled", "{event}");
        let of = event.get("result").unwrap_or(&event["params"]);
        assert_eq!(of["_meta"]["io.modelcontextprotocol/subscriptionId"], "s");
        assert_eq!(stream.next().await, None);
    }
    let mut json_only = ann.clone();
    json_only.accept = "application/json";
    assert_eq!(
        json_only.modern(json!(1), "subscriptions/listen", json!({})).await.status(),
        StatusCode::BAD_REQUEST
    );
    server.proxy.end().await;
}

#[tokio::test]
async fn whoever_closes_the_stream_cancels() {
    let server = modern(&[]);
    let ann = person(&server, "ann");
    let mut events = Events::of(ann.modern(json!("s"), "subscriptions/listen", json!({})).await);
    events.next().await.unwrap();
    drop(events);
    let heard = body(ann.modern(json!(1), "heard", json!({})).await).await;
    assert_eq!(heard["result"], json!(["subscriptions/listen"]));
    server.proxy.end().await;
}

#[tokio::test]
async fn headers_that_say_something_else_are_refused() {
    let server = modern(&[]);
    let ann = person(&server, "ann");
    let refused =
        ann.with_header("mcp-name", "y").modern(json!("i"), "tools/call", json!({ "name": "x" })).await;
    assert_eq!(refused.status(), StatusCode::BAD_REQUEST);
    let refused = body(refused).await;
    assert_eq!((&refused["id"], &refused["error"]["code"]), (&json!("i"), &json!(-32020)));
    // The body says it, and no header does.
    let meta = json!({ "io.modelcontextprotocol/protocolVersion": "2026-07-28" });
    let message = json!({ "jsonrpc": "2.0", "id": 1, "method": "heard", "params": { "_meta": meta } });
    assert_eq!(body(ann.send("POST", &message.to_string()).await).await["error"]["code"], -32020);

    let header = |client: &Client| client.with_header("mcp-protocol-version", "2026-07-28");
    for method in ["GET", "DELETE"] {
        assert_eq!(header(&ann).send(method, "").await.status(), StatusCode::METHOD_NOT_ALLOWED);
    }
    let answer = r#"{"jsonrpc":"2.0","id":1,"result":{}}"#;
    assert_eq!(header(&ann).send("POST", answer).await.status(), StatusCode::BAD_REQUEST);
    assert_eq!(ann.modern(json!(1), "initialize", json!({})).await.status(), StatusCode::BAD_REQUEST);
    server.proxy.end().await;
}

#[tokio::test]
async fn a_program_of_earlier_revisions_says_so_itself_and_once() {
    let mut setup = Setup { sharing: Sharing::User, ..Setup::with_env(&[]) };
    setup.limits.starts = 2;
    let server = setup.start();
    let (mut ann, mut bob) = (person(&server, "ann"), person(&server, "bob"));
    for client in [&ann, &bob, &bob] {
        let answer = client.modern(json!("d"), "server/discover", json!({})).await;
        assert_eq!(answer.status(), StatusCode::NOT_FOUND);
        let answer = body(answer).await;
        assert_eq!((&answer["id"], &answer["error"]["code"]), (&json!("d"), &json!(-32601)));
    }
    // The client goes on as it did before. The first has had a process for its question, the other has not.
    ann.initialize().await;
    bob.initialize().await;
    bob.hello = json!({ "protocolVersion": "2025-06-18" });
    bob.initialize().await;
    server.proxy.end().await;

    // Another error may be one of the question's. Its process goes all the same.
    let server = modern(&[("ODD", "1")]);
    let ann = person(&server, "ann");
    let call = ann.with_header("mcp-name", "x").modern(json!(1), "tools/call", json!({ "name": "x" })).await;
    let pid = body(call).await["result"]["pid"].clone();
    let answer = ann.modern(json!("d"), "server/discover", json!({})).await;
    assert_eq!(answer.status(), StatusCode::OK);
    assert_eq!(body(answer).await["error"]["code"], -32000);
    gone(&pid).await;
    server.proxy.end().await;

    // One that ends at it is none of 2026-07-28 either.
    let server = modern(&[("DIES", "1")]);
    let answer = person(&server, "ann").modern(json!("d"), "server/discover", json!({})).await;
    assert_eq!(answer.status(), StatusCode::BAD_REQUEST);
    server.proxy.end().await;
}
