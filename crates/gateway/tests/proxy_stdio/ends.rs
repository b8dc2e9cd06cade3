//! When processes end, and that nothing of them stays.

use std::time::Duration;

use axum::http::StatusCode;
use serde_json::json;

use super::proxy_setup::{caller, soon};
use super::setup::{Events, Setup, gone, is_alive};

#[tokio::test]
async fn a_process_that_dies_ends_its_session() {
    let server = Setup::with_env(&[]).start();
    let mut client = server.client(Some(caller(Ok("t"))));
    client.initialize().await;
    let waits = client.later("hang");
    client.call(json!(2), "heard", json!({})).await;
    assert_eq!(client.request("die", json!({})).await.status(), StatusCode::BAD_GATEWAY);
    assert_eq!(waits.await.unwrap().status(), StatusCode::BAD_GATEWAY);
    assert_eq!(client.request("heard", json!({})).await.status(), StatusCode::NOT_FOUND);

    client.initialize().await;
    assert_eq!(client.call(json!(1), "last_words", json!({})).await, "bye");
    server.proxy.end().await;
}

#[tokio::test]
async fn a_process_that_hangs_is_waited_for_within_bounds() {
    let server = Setup::with_env(&[]).start();
    let mut client = server.client(Some(caller(Ok("t"))));
    client.initialize().await;
    let patient = client.later("hang");
    // Asked by then.
    client.call(json!(1), "heard", json!({})).await;
    let mut json_only = server.client(Some(caller(Ok("t"))));
    json_only.accept = "application/json";
    json_only.initialize().await;
    let waits = json_only.later("hang");
    json_only.call(json!(1), "heard", json!({})).await;

    tokio::time::pause();
    tokio::time::advance(Duration::from_secs(16)).await;
    tokio::time::resume();
    // So that nothing on the way takes the connection for dead.
    let mut events = Events::of(soon("a stream", patient).await.unwrap());
    assert!(!waits.is_finished());

    tokio::time::pause();
    tokio::time::advance(Duration::from_secs(290)).await;
    tokio::time::resume();
    assert_eq!(soon("an answer", waits).await.unwrap().status(), StatusCode::GATEWAY_TIMEOUT);
    assert_eq!(events.next().await.unwrap()["error"]["code"], -32603);
    assert_eq!(events.next().await, None);
    // The process has heard that nobody waits any more, and the session goes on.
    assert_eq!(json_only.call(json!(2), "heard", json!({})).await, json!(["hang"]));
    server.proxy.end().await;
}

#[tokio::test]
async fn a_process_that_does_not_read_is_ended() {
    let mut setup = Setup::with_env(&[]);
    setup.limits.write = Duration::from_millis(100);
    let server = setup.start();
    let mut client = server.client(Some(caller(Ok("t"))));
    client.initialize().await;
    let pid = client.pid.clone();
    let deaf = client.later("deaf");
    // The other task is there first.
    tokio::task::yield_now().await;
    // More than a pipe holds.
    let text = "x".repeat(1024 * 1024);
    assert_ne!(client.request("say", json!({ "text": text })).await.status(), StatusCode::OK);
    assert_eq!(deaf.await.unwrap().status(), StatusCode::BAD_GATEWAY);
    gone(&pid).await;
    server.proxy.end().await;
}

#[tokio::test]
async fn a_line_over_its_bound_ends_the_process() {
    let mut setup = Setup::with_env(&[]);
    setup.limits.line = 4096;
    let server = setup.start();
    let mut client = server.client(Some(caller(Ok("t"))));
    client.initialize().await;
    assert_eq!(client.call(json!(1), "long", json!({ "length": 4000 })).await.as_str().unwrap().len(), 4000);
    assert_eq!(client.request("long", json!({ "length": 5000 })).await.status(), StatusCode::BAD_GATEWAY);
    assert_eq!(client.request("heard", json!({})).await.status(), StatusCode::NOT_FOUND);
    server.proxy.end().await;
}

#[tokio::test]
async fn an_idle_process_is_stopped_and_one_in_use_is_not() {
    let server = Setup::with_env(&[]).start();
    let (mut idle, mut busy) = (server.client(Some(caller(Ok("t")))), server.client(Some(caller(Ok("t")))));
    idle.initialize().await;
    busy.initialize().await;
    let mut events = busy.begin(json!(1), "ask", json!({})).await;
    // A stream that nothing comes through is no use.
    let mut stream = idle.listen().await;

    tokio::time::pause();
    tokio::time::advance(Duration::from_secs(299)).await;
    assert!(is_alive(&idle.pid));
    // A bound of its own ends what is in use after 300 s, so it is prolonged before.
    events.next().await.unwrap();
    tokio::time::resume();
    busy.send("POST", r#"{"jsonrpc":"2.0","id":1,"result":[]}"#).await;
    assert_eq!(events.next().await.unwrap()["result"], json!([]));

    tokio::time::pause();
    tokio::time::advance(Duration::from_secs(302)).await;
    tokio::time::resume();
    gone(&idle.pid).await;
    assert_eq!(stream.next().await, None);
    assert_eq!(idle.request("heard", json!({})).await.status(), StatusCode::NOT_FOUND);
    assert_eq!(busy.call(json!(2), "heard", json!({})).await, json!([]));
    server.proxy.end().await;
}

#[tokio::test]
async fn the_end_leaves_nothing_behind() {
    let server = Setup::with_env(&[]).start();
    let mut client = server.client(Some(caller(Ok("t"))));
    client.initialize().await;
    let child = client.call(json!(1), "child", json!({})).await["pid"].clone();
    let mut deaf = server.client(Some(caller(Ok("t"))));
    deaf.initialize().await;
    let waits = deaf.later("deaf");
    // Asked before the end.
    client.call(json!(1), "heard", json!({})).await;
    assert!(is_alive(&client.pid) && is_alive(&child) && is_alive(&deaf.pid));

    soon("the end", server.proxy.end()).await;
    for pid in [&client.pid, &deaf.pid] {
        assert!(!is_alive(pid));
    }
    // It was killed; its parent was not there to hear of it.
    gone(&child).await;
    assert_eq!(waits.await.unwrap().status(), StatusCode::BAD_GATEWAY);
    assert_eq!(client.send_initialize().await.status(), StatusCode::SERVICE_UNAVAILABLE);
}

#[tokio::test]
async fn what_only_listens_does_not_hold_up_the_end() {
    let server = Setup::with_env(&[]).start();
    let mut client = server.client(Some(caller(Ok("t"))));
    client.initialize().await;
    let mut stream = client.listen().await;
    let mut subscription = Events::of(client.modern(json!("s"), "subscriptions/listen", json!({})).await);
    subscription.next().await.unwrap();
    let answer = client.later("ask");
    assert_eq!(stream.next().await.unwrap()["method"], "roots/list");

    server.proxy.end_streams();
    assert_eq!(stream.next().await, None);
    let last = subscription.next().await.unwrap();
    assert_eq!(last["result"]["_meta"]["io.modelcontextprotocol/subscriptionId"], "s");
    assert_eq!(subscription.next().await, None);
    assert_eq!(client.listen().await.next().await, None);
    let another = client.modern(json!("s"), "subscriptions/listen", json!({})).await;
    assert_eq!(another.status(), StatusCode::SERVICE_UNAVAILABLE);
    // What was asked goes on.
    client.tell(r#"{"jsonrpc":"2.0","id":1,"result":[]}"#).await;
    assert_eq!(answer.await.unwrap().status(), StatusCode::OK);
    server.proxy.end().await;
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn the_memory_of_a_process_is_bounded() {
    let mut setup = Setup::with_env(&[]);
    setup.limits.memory = Some(64 << 20);
    let server = setup.start();
    let mut client = server.client(Some(caller(Ok("t"))));
    client.initialize().await;
    let allocate = |bytes: u32| client.call(json!(1), "allocate", json!({ "bytes": bytes }));
    assert_eq!(allocate(16 << 20).await, json!(16 << 20));
    assert_eq!(allocate(64 << 20).await, "refused");
    let bound = json!("67108864 67108864");
    assert_eq!(client.call(json!(1), "limits", json!({})).await, json!({ "own": bound, "child": bound }));
    server.proxy.end().await;
}
