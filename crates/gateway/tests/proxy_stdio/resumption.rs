//! Clients whose connection breaks, and that come back with `Last-Event-ID`.

use std::time::Duration;

use axum::http::StatusCode;
use mcp_login_gateway::proxy::Sharing;
use serde_json::json;

use super::proxy_setup::{caller_named, soon};
use super::setup::{Client, Events, Server, Setup};

const REPLY: &str = r#"{"jsonrpc":"2.0","id":1,"result":["root"]}"#;

fn setup() -> Server {
    Setup { sharing: Sharing::User, ..Setup::with_env(&[]) }.start()
}

async fn open(server: &Server, user: &str) -> Client {
    let mut client = server.client(Some(caller_named(user, Ok("t"))));
    client.initialize().await;
    client
}

/// A request whose stream has begun, and its first event's id.
async fn begun(client: &Client) -> (Events, String) {
    let mut events = client.begin(json!("a"), "ask", json!({})).await;
    assert_eq!(events.next().await.unwrap()["method"], "roots/list");
    let id = events.id.clone().unwrap();
    (events, id)
}

#[tokio::test]
async fn an_answer_is_there_for_a_client_that_comes_back() {
    let server = setup();
    let ann = open(&server, "ann").await;
    let (events, id) = begun(&ann).await;
    drop(events);
    ann.tell(REPLY).await;
    let mut resumed = Events::of(ann.resume(&id).await);
    let answer = json!({ "jsonrpc": "2.0", "id": "a", "result": ["root"] });
    assert_eq!(resumed.next().await, Some(answer.clone()));
    assert_eq!(resumed.next().await, None);
    // It was not cancelled, and may be heard once more: what was sent did not have to arrive.
    assert_eq!(ann.call(json!(1), "heard", json!({})).await, json!([]));
    assert_eq!(Events::of(ann.resume(&id).await).next().await, Some(answer));
    let mut after = Events::of(ann.resume(&resumed.id.unwrap()).await);
    assert_eq!(after.next().await, None);
    server.proxy.end().await;
}

#[tokio::test]
async fn a_client_may_be_back_before_its_connection_is_known_to_have_ended() {
    let server = setup();
    let ann = open(&server, "ann").await;
    let (mut events, id) = begun(&ann).await;
    let mut resumed = Events::of(ann.resume(&id).await);
    assert_eq!(events.next().await, None);
    drop(events);
    ann.tell(REPLY).await;
    assert_eq!(resumed.next().await.unwrap()["result"], json!(["root"]));
    server.proxy.end().await;
}

#[tokio::test]
async fn what_a_session_has_missed_comes_again() {
    let server = setup();
    let ann = open(&server, "ann").await;
    let mut stream = ann.listen().await;
    for text in ["one", "two", "three"] {
        ann.call(json!(1), "say", json!({ "text": text })).await;
    }
    assert_eq!(stream.next().await.unwrap()["params"]["data"], "one");
    let id = stream.id.clone().unwrap();
    assert_eq!(stream.next().await.unwrap()["params"]["data"], "two");
    drop(stream);
    let mut resumed = Events::of(ann.resume(&id).await);
    for text in ["two", "three"] {
        assert_eq!(resumed.next().await.unwrap()["params"]["data"], text);
    }
    ann.call(json!(1), "say", json!({ "text": "four" })).await;
    assert_eq!(resumed.next().await.unwrap()["params"]["data"], "four");
    ann.call(json!(1), "say", json!({ "text": "five" })).await;
    drop(resumed);
    // Without an id it is only what was never heard.
    assert_eq!(ann.listen().await.next().await.unwrap()["params"]["data"], "five");
    server.proxy.end().await;
}

#[tokio::test]
async fn an_id_of_another_session_or_of_nothing_gives_nothing() {
    let server = setup();
    let (ann, again, bob) =
        (open(&server, "ann").await, open(&server, "ann").await, open(&server, "bob").await);
    let (_events, id) = begun(&ann).await;
    ann.tell(REPLY).await;
    let mut listening = again.listen().await;
    again.call(json!(1), "say", json!({ "text": "to all" })).await;
    listening.next().await.unwrap();
    let of_again = listening.id.clone().unwrap();
    for (client, id) in
        [(&again, &*id), (&bob, &id), (&ann, &of_again), (&ann, "x-1-1"), (&ann, ""), (&ann, "-1")]
    {
        assert_eq!(client.resume(id).await.status(), StatusCode::BAD_REQUEST, "{id}");
    }
    assert_eq!(bob.with_session_of(&ann).resume(&id).await.status(), StatusCode::NOT_FOUND);
    server.proxy.end().await;
}

#[tokio::test]
async fn an_answer_that_nobody_comes_back_for_is_not_waited_for_any_longer() {
    let server = setup();
    let ann = open(&server, "ann").await;
    let (events, id) = begun(&ann).await;
    drop(events);
    tokio::time::pause();
    tokio::time::sleep(Duration::from_secs(59)).await;
    assert_eq!(ann.resume(&id).await.status(), StatusCode::OK);
    tokio::time::sleep(Duration::from_secs(59)).await;
    assert_eq!(ann.resume(&id).await.status(), StatusCode::OK, "the time begins anew");
    tokio::time::sleep(Duration::from_secs(61)).await;
    tokio::time::resume();
    // The server hears of it once it is done with asking.
    ann.tell(REPLY).await;
    assert_eq!(ann.call(json!(1), "heard", json!({})).await, json!(["ask"]));
    assert_eq!(ann.resume(&id).await.status(), StatusCode::BAD_REQUEST);
    server.proxy.end().await;
}

#[tokio::test]
async fn clients_of_2025_11_25_can_come_back_from_the_beginning() {
    let server = setup();
    let ann = open(&server, "ann").await.with_header("mcp-protocol-version", "2025-11-25");
    let mut events = ann.begin(json!("a"), "ask", json!({})).await;
    events.next().await.unwrap();
    let (name, place) = events.id.as_deref().unwrap().rsplit_once('-').unwrap();
    assert_eq!(place, "1");
    let mut again = Events::of(ann.resume(&format!("{name}-0")).await);
    assert_eq!(again.next().await.unwrap()["method"], "roots/list");
    server.proxy.end().await;
}

#[tokio::test]
async fn a_client_that_comes_back_often_leaves_nothing_that_waits_for_it() {
    let server = setup();
    let ann = open(&server, "ann").await;
    let (events, id) = begun(&ann).await;
    drop(events);
    let tasks = || tokio::runtime::Handle::current().metrics().num_alive_tasks();
    let before = tasks();
    for _ in 0..20 {
        drop(Events::of(ann.resume(&id).await));
    }
    soon("the end of what waits", async {
        while tasks() > before {
            tokio::task::yield_now().await;
        }
    })
    .await;
    server.proxy.end().await;
}
