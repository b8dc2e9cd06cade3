//! Several sessions at one process: each hears what is its own, and nothing of the others.

use axum::http::StatusCode;
use mcp_login_gateway::proxy::Sharing;
use serde_json::{Value, json};

use super::proxy_setup::{caller, caller_named};
use super::setup::{Client, Events, Server, Setup, gone, is_alive, json as body};

fn setup(sharing: Sharing) -> Server {
    Setup { sharing, ..Setup::with_env(&[]) }.start()
}

async fn open(server: &Server, user: &str) -> Client {
    let mut client = server.client(Some(caller_named(user, Ok("t"))));
    client.initialize().await;
    client
}

#[tokio::test]
async fn sessions_of_one_user_share_a_process_and_users_do_not() {
    let server = setup(Sharing::User);
    let (first, second, other) =
        (open(&server, "ann").await, open(&server, "ann").await, open(&server, "bob").await);
    assert_eq!(first.pid, second.pid);
    assert_ne!(first.pid, other.pid);
    let answer = other.with_session_of(&first).request("heard", json!({})).await;
    assert_eq!(answer.status(), StatusCode::NOT_FOUND);

    // Whose client can do other things has another: a process is initialized once.
    let mut able = server.client(Some(caller_named("ann", Ok("t"))));
    able.hello = json!({ "capabilities": { "roots": {} } });
    able.initialize().await;
    assert_ne!(able.pid, first.pid);

    // Two at once do not start two.
    let (mut one, mut two) = (
        server.client(Some(caller_named("zoe", Ok("t")))),
        server.client(Some(caller_named("zoe", Ok("t")))),
    );
    tokio::join!(one.initialize(), two.initialize());
    assert_eq!(one.pid, two.pid);
    server.proxy.end().await;
}

#[tokio::test]
async fn the_same_ids_and_tokens_meet_each_their_own() {
    let server = setup(Sharing::User);
    let (ann, again) = (open(&server, "ann").await, open(&server, "ann").await);
    let mut waits = Vec::new();
    for (client, id, label) in [
        (&ann, json!(1), "a"),
        (&ann, json!("1"), "b"),
        (&again, json!(1), "c"),
        (&again, json!("1"), "d"),
        (&ann, json!("own"), "e"),
    ] {
        let params = json!({ "as": label, "_meta": { "progressToken": "p" } });
        waits.push((label, id.clone(), client.later_with(&id, "hold", &params)));
        // Asked by then.
        client.call(json!("x"), "heard", json!({})).await;
    }
    // One of them is cancelled, and not the others of this id.
    again.tell(r#"{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":1}}"#).await;
    again.tell(r#"{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":"own"}}"#).await;
    assert_eq!(ann.call(json!("x"), "heard", json!({})).await, json!(["c"]));
    ann.call(json!("x"), "release", json!({})).await;
    for (label, id, answer) in waits {
        let answer = answer.await.unwrap();
        if label == "c" {
            assert_eq!(body(answer).await["error"]["message"], "cancelled by its client");
            continue;
        }
        let mut events = Events::of(answer);
        let progress = events.next().await.unwrap();
        assert_eq!(progress["params"], json!({ "progressToken": "p", "progress": label }));
        assert_eq!(events.next().await.unwrap(), json!({ "jsonrpc": "2.0", "id": id, "result": label }));
        assert_eq!(events.next().await, None);
    }
    server.proxy.end().await;
}

#[tokio::test]
async fn what_belongs_to_nobody_is_said_to_every_session() {
    let server = setup(Sharing::User);
    let (ann, again, bob) =
        (open(&server, "ann").await, open(&server, "ann").await, open(&server, "bob").await);
    let (mut one, mut two, mut other) = (ann.listen().await, again.listen().await, bob.listen().await);
    ann.call(json!(1), "say", json!({ "text": "to all" })).await;
    for stream in [&mut one, &mut two] {
        assert_eq!(stream.next().await.unwrap()["params"]["data"], "to all");
    }
    bob.call(json!(1), "say", json!({ "text": "to bob" })).await;
    assert_eq!(other.next().await.unwrap()["params"]["data"], "to bob", "and nothing before it");
    server.proxy.end().await;
}

#[tokio::test]
async fn one_who_is_told_much_still_gets_the_answer() {
    let server = setup(Sharing::User);
    let (ann, _again) = (open(&server, "ann").await, open(&server, "ann").await);
    let params = json!({ "_meta": { "progressToken": "p" } });
    let mut events = ann.begin(json!(1), "burst", params).await;
    let mut last = Value::Null;
    while let Some(event) = events.next().await {
        last = event;
    }
    assert_eq!(last["result"], "done");
    server.proxy.end().await;
}

#[tokio::test]
async fn a_servers_request_goes_to_whoever_has_asked_and_only_they_answer() {
    let server = setup(Sharing::User);
    let (ann, again) = (open(&server, "ann").await, open(&server, "ann").await);
    let _stream = ann.listen().await;
    let mut events = again.begin(json!(5), "ask", json!({})).await;
    assert_eq!(events.next().await.unwrap()["method"], "roots/list");
    ann.tell(r#"{"jsonrpc":"2.0","id":1,"result":["not mine"]}"#).await;
    again.tell(r#"{"jsonrpc":"2.0","id":1,"result":["mine"]}"#).await;
    assert_eq!(events.next().await.unwrap()["result"], json!(["mine"]));

    // Whoever was asked and goes answers nothing any more.
    let mut events = again.begin(json!(5), "ask", json!({})).await;
    assert_eq!(events.next().await.unwrap()["method"], "roots/list");
    assert_eq!(again.delete().await.status(), StatusCode::NO_CONTENT);
    assert!(ann.call(json!(1), "heard", json!({})).await.is_array(), "it goes on");
    server.proxy.end().await;
}

#[tokio::test]
async fn a_session_that_ends_leaves_the_process_to_the_others() {
    let server = setup(Sharing::User);
    let (ann, mut again) = (open(&server, "ann").await, open(&server, "ann").await);
    let waits = again.later("hang");
    again.call(json!(1), "heard", json!({})).await;
    assert_eq!(again.delete().await.status(), StatusCode::NO_CONTENT);
    assert_eq!(waits.await.unwrap().status(), StatusCode::BAD_GATEWAY);
    assert_eq!(again.request("heard", json!({})).await.status(), StatusCode::NOT_FOUND);
    assert_eq!(ann.call(json!(1), "heard", json!({})).await, json!(["hang"]));
    again.initialize().await;
    assert_eq!(again.pid, ann.pid);
    server.proxy.end().await;
}

#[tokio::test]
async fn nobody_initializes_a_process_of_others_again() {
    // It would be refused.
    let server = setup(Sharing::User);
    let (ann, again) = (open(&server, "ann").await, open(&server, "ann").await);
    let message = r#"{"jsonrpc":"2.0","id":1,"method":"initialize","params":{"fails":true}}"#;
    let answer = again.send("POST", message).await;
    assert!(answer.headers().contains_key("mcp-session-id"));
    assert_eq!(body(answer).await["result"]["pid"], ann.pid);
    assert_eq!(ann.call(json!(1), "heard", json!({})).await, json!([]));
    server.proxy.end().await;
}

#[tokio::test]
async fn another_token_is_another_process_for_all_sessions() {
    let server =
        Setup { sharing: Sharing::User, ..Setup::with_env(&[("TOKEN", "{upstream.access_token}")]) }.start();
    let with = |token| Some(caller(Ok(token)));
    let (mut one, mut two) = (server.client(with("first")), server.client(with("first")));
    one.initialize().await;
    two.initialize().await;
    assert_eq!(one.pid, two.pid);
    one.caller = with("second");
    let old = one.pid.clone();
    // The session knows whose token has become another.
    assert_eq!(one.request("heard", json!({})).await.status(), StatusCode::NOT_FOUND);
    one.initialize().await;
    assert_eq!(one.call(json!(1), "environment", json!({})).await["TOKEN"], "second");
    gone(&old).await;
    assert_eq!(two.request("heard", json!({})).await.status(), StatusCode::NOT_FOUND);
    server.proxy.end().await;
}

#[tokio::test]
async fn a_shared_process_asks_nobody() {
    let server = setup(Sharing::Shared);
    let hello = json!({
        "protocolVersion": "2025-06-18",
        "capabilities": { "roots": {}, "sampling": {} },
        "clientInfo": { "name": "of ann", "version": "1" },
        "_meta": { "x": "of ann" },
    });
    let mut clients: Vec<Client> =
        ["ann", "bob"].into_iter().map(|user| server.client(Some(caller_named(user, Ok("t"))))).collect();
    let mut told = Vec::new();
    for client in &mut clients {
        client.hello = hello.clone();
        let mut result = client.initialize().await;
        assert!(!result["heard"].to_string().contains("of ann"), "{result}");
        assert_eq!(result["heard"]["protocolVersion"], "2025-06-18");
        told.push(result["told"].take());
    }
    assert_eq!(clients[0].pid, clients[1].pid);
    assert_eq!(told, [json!({}), json!({})]);
    let _stream = clients[1].listen().await;
    assert_eq!(clients[0].call(json!(1), "ask", json!({})).await["code"], -32601);

    // Still nobody uses the session of another.
    let mut bob = clients[1].with_session_of(&clients[0]);
    assert_eq!(bob.request("heard", json!({})).await.status(), StatusCode::NOT_FOUND);
    // Revisions that are made up are no more processes.
    let mut pids = Vec::new();
    for version in ["1", "2"] {
        let mut client = server.client(None);
        client.hello = json!({ "protocolVersion": version });
        client.initialize().await;
        pids.push(client.pid);
    }
    assert_eq!(pids[0], pids[1]);
    server.proxy.end().await;
}

#[tokio::test]
async fn strangers_share_nothing() {
    let server = setup(Sharing::User);
    let (mut one, mut two) = (server.client(None), server.client(None));
    one.initialize().await;
    two.initialize().await;
    assert_ne!(one.pid, two.pid);
    // Nobody else needs it.
    assert_eq!(one.delete().await.status(), StatusCode::NO_CONTENT);
    gone(&one.pid).await;
    assert!(is_alive(&two.pid));
    server.proxy.end().await;
}

#[tokio::test]
async fn numbers_and_spaces_pass_as_they_were() {
    let server = setup(Sharing::User);
    let ann = open(&server, "ann").await;
    let answer = ann.send("POST", r#"{"jsonrpc":"2.0","id":1.50,"method":"release"}"#).await;
    let answer = axum::body::to_bytes(answer.into_body(), 1000).await.unwrap();
    assert!(
        std::str::from_utf8(&answer).unwrap().contains(r#""id": 1.50,"#),
        "as the server writes it, and the client"
    );
    // What one parser takes for an id and another does not is not passed on: it could be another's.
    let lookalike = r#"{"jsonrpc":"2.0","id":1,"ID":2,"method":"heard"}"#;
    assert_eq!(ann.send("POST", lookalike).await.status(), StatusCode::BAD_REQUEST);
    let value: Value =
        body(ann.send("POST", r#"{"jsonrpc":"2.0","id":"\u0061","method":"heard"}"#).await).await;
    assert_eq!(value["id"], "a");
    server.proxy.end().await;
}
