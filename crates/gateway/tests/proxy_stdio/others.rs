//! What one client does, and others at the same program do not suffer.

use std::time::Duration;

use axum::http::StatusCode;
use mcp_login_gateway::proxy::Sharing;
use serde_json::json;

use super::proxy_setup::{caller, caller_named, soon};
use super::setup::{Client, Events, Server, Setup, gone, json as body};

fn setup(sharing: Sharing) -> Setup {
    Setup { sharing, ..Setup::with_env(&[]) }
}

fn person(server: &Server, name: &str) -> Client {
    server.client(Some(caller_named(name, Ok("t"))))
}

async fn open(server: &Server, name: &str) -> Client {
    let mut client = person(server, name);
    client.initialize().await;
    client
}

#[tokio::test]
async fn two_logins_of_one_person_are_two_processes() {
    let setup = Setup { sharing: Sharing::User, ..Setup::with_env(&[("TOKEN", "{upstream.access_token}")]) };
    let server = setup.start();
    let (mut one, mut two) =
        (server.client(Some(caller(Ok("login-1")))), server.client(Some(caller(Ok("login-2")))));
    one.initialize().await;
    two.initialize().await;
    for (client, token) in [(&one, "login-1"), (&two, "login-2")] {
        assert_eq!(client.call(json!(1), "environment", json!({})).await["TOKEN"], token);
    }
    // A renewed token ends the process that has the old one, and no other.
    one.caller = Some(caller(Ok("login-1-renewed")));
    assert_eq!(one.request("heard", json!({})).await.status(), StatusCode::NOT_FOUND);
    assert_eq!(two.call(json!(1), "heard", json!({})).await, json!([]));
    server.proxy.end().await;
}

#[tokio::test]
async fn an_initialize_that_is_given_up_keeps_nobody_waiting() {
    // Its client deletes the session.
    let server = Setup { sharing: Sharing::Shared, ..Setup::with_env(&[("STALLS", "1")]) }.start();
    let ann = person(&server, "ann");
    let answer = ann.send_initialize().await;
    let session = answer.headers()["mcp-session-id"].to_str().unwrap().to_owned();
    let ann = ann.with_header("mcp-session-id", &session);
    let mut events = Events::of(answer);
    assert_eq!(events.next().await.unwrap()["params"]["data"], "starting");
    // It cannot be cancelled, as it is not its client's alone.
    ann.tell(r#"{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":0}}"#).await;
    assert_eq!(ann.call(json!(1), "heard", json!({})).await, json!([]));
    assert_eq!(ann.delete().await.status(), StatusCode::NO_CONTENT);
    while events.next().await.is_some() {}
    assert_eq!(person(&server, "bob").send_initialize().await.status(), StatusCode::OK);
    server.proxy.end().await;

    // It goes away, and does not come back.
    let server = Setup { sharing: Sharing::User, ..Setup::with_env(&[("STALLS", "1")]) }.start();
    let ann = person(&server, "ann");
    let mut events = Events::of(ann.send_initialize().await);
    events.next().await.unwrap();
    drop(events);
    tokio::time::pause();
    tokio::time::sleep(Duration::from_secs(61)).await;
    tokio::time::resume();
    assert_eq!(ann.send_initialize().await.status(), StatusCode::OK);
    server.proxy.end().await;
}

#[tokio::test]
async fn what_a_program_has_said_to_one_is_not_said_to_another() {
    let server = setup(Sharing::User).start();
    let (ann, bob) = (person(&server, "ann"), person(&server, "bob"));
    let of_ann = body(ann.modern(json!(1), "server/discover", json!({ "x": "of ann" })).await).await;
    assert_eq!(of_ann["error"]["data"]["x"], "of ann");
    let of_bob = body(bob.modern(json!(2), "server/discover", json!({})).await).await;
    assert_eq!(of_bob["error"], json!({ "code": -32601, "message": "Method not found" }));
    server.proxy.end().await;
}

#[tokio::test]
async fn progress_that_is_nobodys_is_not_everybodys() {
    let server = setup(Sharing::Shared).start();
    let (ann, bob) = (open(&server, "ann").await, open(&server, "bob").await);
    let mut stream = bob.listen().await;
    for token in [json!("p".repeat(300)), json!(true), json!({ "a": 1 })] {
        let params = json!({ "_meta": { "progressToken": token } });
        let message = json!({ "jsonrpc": "2.0", "id": 1, "method": "progress", "params": params });
        assert_eq!(ann.send("POST", &message.to_string()).await.status(), StatusCode::BAD_REQUEST);
    }
    // The server reports all the same, to whom nobody knows.
    assert_eq!(ann.call(json!(1), "progress", json!({})).await, "done");
    bob.call(json!(1), "say", json!({ "text": "after it" })).await;
    assert_eq!(stream.next().await.unwrap()["params"]["data"], "after it");
    server.proxy.end().await;
}

#[tokio::test]
async fn nobody_uses_up_what_others_may_start() {
    let mut setup = setup(Sharing::Shared);
    setup.limits.starts = 2;
    let server = setup.start();
    for _ in 0..2 {
        let mut eve = open(&server, "eve").await;
        eve.request("die", json!({})).await;
        gone(&eve.pid).await;
    }
    assert_eq!(person(&server, "eve").send_initialize().await.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(person(&server, "bob").send_initialize().await.status(), StatusCode::OK);
    server.proxy.end().await;
}

#[tokio::test]
async fn what_is_not_read_takes_its_place_until_it_is() {
    let mut setup = setup(Sharing::User);
    // One person has an eighth of it.
    setup.limits.waiting = 8 * 10_000;
    let server = setup.start();
    let mut ann = open(&server, "ann").await;
    let unread = ann.request("long", json!({ "length": 9_000 })).await;
    let refused = body(ann.request("long", json!({ "length": 9_000 })).await).await;
    assert_eq!(refused["error"]["code"], -32603);
    assert!(body(unread).await["result"].is_string());
    assert!(ann.call(json!(1), "long", json!({ "length": 9_000 })).await.is_string());
    server.proxy.end().await;
}

#[tokio::test]
async fn a_subscription_does_not_keep_a_process_that_is_not_wanted() {
    // Its answer to server/discover is odd, so that its client goes on with another.
    let server = Setup { sharing: Sharing::User, ..Setup::with_env(&[("ODD", "1")]) }.start();
    let ann = person(&server, "ann");
    let pid = body(ann.modern(json!(1), "pid", json!({})).await).await["result"].clone();
    let mut subscription = Events::of(ann.modern(json!("s"), "subscriptions/listen", json!({})).await);
    subscription.next().await.unwrap();
    ann.modern(json!(2), "server/discover", json!({})).await;
    let last = subscription.next().await.unwrap();
    assert_eq!(last["result"]["_meta"]["io.modelcontextprotocol/subscriptionId"], "s");
    assert_eq!(subscription.next().await, None);
    gone(&pid).await;
    server.proxy.end().await;
}

#[tokio::test]
async fn without_a_session_nobody_hears_what_may_be_anothers() {
    for (sharing, is_heard) in [(Sharing::User, true), (Sharing::Shared, false)] {
        let server = setup(sharing).start();
        let answer = person(&server, "ann").modern(json!(1), "say", json!({ "text": "x" })).await;
        let is_stream = answer.headers()["content-type"] == "text/event-stream";
        assert_eq!(is_stream, is_heard, "{sharing:?}");
        server.proxy.end().await;
    }
}

#[tokio::test]
async fn a_server_that_asks_in_vain_may_ask_again() {
    let server = setup(Sharing::User).start();
    let ann = open(&server, "ann").await;
    let mut events = ann.begin(json!(1), "ask_in_vain", json!({ "times": 64 })).await;
    while events.next().await.is_some() {}
    let mut events = ann.begin(json!(2), "ask", json!({})).await;
    assert_eq!(events.next().await.unwrap()["method"], "roots/list");
    server.proxy.end().await;

    // One that cannot be asked is not waited for.
    let server = setup(Sharing::User).start();
    let mut ann = open(&server, "ann").await;
    ann.accept = "application/json";
    for _ in 0..64 {
        ann.call(json!(1), "say", json!({ "text": "kept" })).await;
    }
    assert_eq!(ann.call(json!(2), "ask", json!({})).await["code"], -32601);
    server.proxy.end().await;
}

#[tokio::test]
async fn what_is_cancelled_takes_no_place() {
    let server = setup(Sharing::User).start();
    let ann = open(&server, "ann").await;
    let cancel = async |id: usize| {
        let params = json!({ "requestId": id });
        ann.tell(
            &json!({ "jsonrpc": "2.0", "method": "notifications/cancelled", "params": params }).to_string(),
        )
        .await;
    };
    // As many as one session may ask at once.
    let asked: Vec<_> = (0..64).map(|id| ann.later_with(&json!(id), "hang", &json!({}))).collect();
    // Each of them is asked by the time that it is there to be cancelled.
    for (id, answer) in asked.into_iter().enumerate() {
        soon("the end of a request", async {
            while !answer.is_finished() {
                Box::pin(cancel(id)).await;
                tokio::task::yield_now().await;
            }
        })
        .await;
        assert_eq!(body(answer.await.unwrap()).await["error"]["message"], "cancelled by its client");
    }
    assert_eq!(ann.call(json!("x"), "heard", json!({})).await.as_array().unwrap().len(), 64);
    server.proxy.end().await;
}
