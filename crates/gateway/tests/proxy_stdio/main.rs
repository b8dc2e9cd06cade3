//! A stdio server as Streamable HTTP: who gets which process, and when processes end.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

mod ends;
mod others;
#[path = "../proxy_setup/mod.rs"]
mod proxy_setup;
mod resumption;
mod setup;
mod sharing;
mod stateless;
mod streams;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use axum::body::Body;
use axum::http::StatusCode;
use mcp_login::resource::{LoginNeeded, UpstreamTokenError};
use serde_json::json;

use proxy_setup::{caller, caller_named};
use setup::{Setup, is_alive};

#[tokio::test]
async fn two_users_have_processes_and_environments_of_their_own() {
    let server = Setup::with_env(&[("TOKEN", "{upstream.access_token}"), ("WHO", "{user.sub}")]).start();
    let mut ann = server.client(Some(caller_named("ann", Ok("token-a"))));
    let mut bob = server.client(Some(caller_named("bob", Ok("token-b"))));
    let (a, b) = tokio::join!(ann.initialize(), bob.initialize());
    assert_ne!(a["pid"], b["pid"]);
    // Both have a request of the same id in flight.
    let (a, b) = tokio::join!(
        ann.call(json!(7), "environment", json!({})),
        bob.call(json!(7), "environment", json!({}))
    );
    assert_eq!((&a["TOKEN"], &a["WHO"]), (&json!("token-a"), &json!("ann")));
    assert_eq!((&b["TOKEN"], &b["WHO"]), (&json!("token-b"), &json!("bob")));

    // The layer in front tells them apart by a tag; without it the session is still its owner's.
    let answer = bob.with_session_of(&ann).request("environment", json!({})).await;
    assert_eq!(answer.status(), StatusCode::NOT_FOUND);
    let mut nobody = server.client(None).with_session_of(&ann);
    assert_ne!(nobody.request("environment", json!({})).await.status(), StatusCode::OK);
    server.proxy.end().await;
}

#[tokio::test]
async fn a_process_gets_little_of_the_gateways_environment() {
    let server =
        Setup { inherit_env: vec!["CARGO_PKG_NAME"], ..Setup::with_env(&[("A", "{{a}} 1")]) }.start();
    let mut client = server.client(None);
    assert_eq!(client.initialize().await["arguments"], json!(["$HOME; *"]), "no shell has read this");
    let environment = client.call(json!(1), "environment", json!({})).await;
    assert_eq!(environment["A"], "{a} 1");
    assert_eq!(environment["CARGO_PKG_NAME"], env!("CARGO_PKG_NAME"));
    // Cargo gives this test many more.
    let of_cargo = |name: &str| name.starts_with("CARGO") && name != "CARGO_PKG_NAME";
    assert!(std::env::vars().any(|(name, _)| of_cargo(&name)));
    assert!(!environment.as_object().unwrap().keys().any(|name| of_cargo(name)), "{environment}");
    server.proxy.end().await;
}

#[tokio::test]
async fn a_value_that_is_missing_leaves_its_variable_out() {
    let env = [("GONE", "{claims.absent}"), ("HOME", "/of/{claims.absent}"), ("SUB", "{user.sub}")];
    let server = Setup::with_env(&env).start();
    let mut client = server.client(Some(caller(Ok("t"))));
    client.initialize().await;
    let environment = client.call(json!(1), "environment", json!({})).await;
    assert_eq!((environment.get("GONE"), &environment["SUB"]), (None, &json!("user-1")));
    assert!(std::env::var_os("HOME").is_some());
    assert_eq!(environment.get("HOME"), None, "nor is it the gateway's");
    server.proxy.end().await;
}

#[tokio::test]
async fn another_token_is_another_process() {
    let server = Setup::with_env(&[("TOKEN", "{upstream.access_token}")]).start();
    let mut client = server.client(Some(caller(Ok("first"))));
    let old = client.initialize().await["pid"].clone();
    // Asked before the change, and answered after it.
    let mut waits = client.begin(json!(1), "ask", json!({})).await;
    assert_eq!(waits.next().await.unwrap()["method"], "roots/list");

    client.caller = Some(caller(Ok("second")));
    assert_eq!(client.request("environment", json!({})).await.status(), StatusCode::NOT_FOUND);
    assert!(is_alive(&old));
    // Even with the first token the session takes no more requests.
    client.caller = Some(caller(Ok("first")));
    assert_eq!(client.request("environment", json!({})).await.status(), StatusCode::NOT_FOUND);
    assert_eq!(client.send("GET", "").await.status(), StatusCode::NOT_FOUND);

    // What was asked comes to its end, also where its connection breaks meanwhile.
    client.caller = Some(caller(Ok("second")));
    let last = waits.id.clone().unwrap();
    drop(waits);
    let mut waits = setup::Events::of(client.resume(&last).await);
    client.tell(r#"{"jsonrpc":"2.0","id":1,"result":["root"]}"#).await;
    assert_eq!(waits.next().await.unwrap()["result"], json!(["root"]));
    assert_eq!(waits.next().await, None);
    setup::gone(&old).await;

    assert_ne!(client.initialize().await["pid"], old);
    assert_eq!(client.call(json!(1), "environment", json!({})).await["TOKEN"], "second");
    server.proxy.end().await;
}

#[tokio::test]
async fn nobody_gets_a_process_only_where_it_needs_no_user() {
    let server = Setup::with_env(&[("WHO", "{user.sub}")]).start();
    let answer = server.client(None).send_initialize().await;
    assert_eq!(answer.status(), StatusCode::UNAUTHORIZED);
    assert!(answer.extensions().get::<LoginNeeded>().is_some(), "the layer in front writes the challenge");

    // A session that nobody in particular has opened goes on once somebody is logged in.
    let server = Setup::with_env(&[("WHO", "everybody")]).start();
    let mut client = server.client(None);
    let pid = client.initialize().await["pid"].clone();
    client.caller = Some(caller(Ok("t")));
    assert_eq!(client.call(json!(1), "environment", json!({})).await["WHO"], "everybody");
    assert!(is_alive(&pid));
    server.proxy.end().await;
}

#[tokio::test]
async fn an_upstream_that_is_away_ends_no_session() {
    let server = Setup::with_env(&[("TOKEN", "{upstream.access_token}")]).start();
    let mut client = server.client(Some(caller(Ok("t"))));
    client.initialize().await;
    client.caller = Some(caller(Err(UpstreamTokenError::Unavailable { retry_after: None })));
    assert_eq!(client.request("environment", json!({})).await.status(), StatusCode::SERVICE_UNAVAILABLE);
    client.caller = Some(caller(Ok("t")));
    assert_eq!(client.call(json!(1), "environment", json!({})).await["TOKEN"], "t");
    server.proxy.end().await;
}

#[tokio::test]
async fn there_are_no_more_processes_than_allowed() {
    let mut setup = Setup::with_env(&[]);
    (setup.limits.processes, setup.limits.processes_per_user) = (3, 2);
    let server = setup.start();
    let client = |name: &str| server.client(Some(caller_named(name, Ok("t"))));

    let (mut first, mut second, mut third) = (client("ann"), client("ann"), client("ann"));
    let oldest = first.initialize().await["pid"].clone();
    second.initialize().await;
    // The one that is idle for longest gives way.
    third.initialize().await;
    assert!(!is_alive(&oldest));
    assert_eq!(first.request("heard", json!({})).await.status(), StatusCode::NOT_FOUND);

    // One that is in use does not.
    let _in_use =
        (second.begin(json!(1), "ask", json!({})).await, third.begin(json!(1), "ask", json!({})).await);
    let busy = client("ann").send_initialize().await;
    assert_eq!(busy.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert!(busy.headers().contains_key("retry-after"));

    // Where there are no more at all, an idle one of anybody gives way: nobody is locked out by what others left.
    let (mut bob, mut zoe) = (client("bob"), client("zoe"));
    let idle = bob.initialize().await["pid"].clone();
    zoe.initialize().await;
    assert!(!is_alive(&idle));
    assert_eq!(bob.request("heard", json!({})).await.status(), StatusCode::NOT_FOUND);
    let _in_use = zoe.begin(json!(1), "ask", json!({})).await;
    assert_eq!(client("bob").send_initialize().await.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(zoe.delete().await.status(), StatusCode::NO_CONTENT);
    assert_eq!(zoe.request("heard", json!({})).await.status(), StatusCode::NOT_FOUND);
    let pid = zoe.pid.clone();
    setup::gone(&pid).await;
    client("bob").initialize().await;
    server.proxy.end().await;
}

#[tokio::test]
async fn nobody_starts_processes_all_the_time() {
    let mut setup = Setup::with_env(&[]);
    (setup.limits.starts, setup.limits.start_again) = (2, Duration::from_secs(30));
    let server = setup.start();
    let open = async |name: &str| {
        let client = server.client(Some(caller_named(name, Ok("t"))));
        client.send_initialize().await.status()
    };
    assert_eq!([open("ann").await, open("ann").await], [StatusCode::OK; 2]);
    assert_eq!(open("ann").await, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(open("bob").await, StatusCode::OK);
    tokio::time::pause();
    tokio::time::advance(Duration::from_secs(31)).await;
    tokio::time::resume();
    assert_eq!(open("ann").await, StatusCode::OK);
    server.proxy.end().await;
}

#[tokio::test]
async fn nobodys_body_is_read_for_a_session_that_is_not_theirs() {
    let server = Setup::with_env(&[]).start();
    let mut ann = server.client(Some(caller_named("ann", Ok("t"))));
    ann.initialize().await;
    let bob = server.client(Some(caller_named("bob", Ok("t")))).with_session_of(&ann);
    for (client, status, is_read) in
        [(&bob, StatusCode::NOT_FOUND, false), (&ann, StatusCode::ACCEPTED, true)]
    {
        let read = Arc::new(AtomicBool::new(false));
        let sets = Arc::clone(&read);
        let body = futures_util::stream::once(async move {
            sets.store(true, Ordering::Relaxed);
            Ok::<_, std::io::Error>(r#"{"jsonrpc":"2.0","method":"notifications/x"}"#)
        });
        assert_eq!(client.send_body("POST", Body::from_stream(body)).await.status(), status);
        assert_eq!(read.load(Ordering::Relaxed), is_read);
    }
    server.proxy.end().await;
}

#[tokio::test]
async fn a_program_that_is_not_there_is_the_operators_to_mend() {
    let server = Setup { program: "/no/such/program", ..Setup::with_env(&[]) }.start();
    for _ in 0..10 {
        // None of them keeps a place.
        assert_eq!(server.client(None).send_initialize().await.status(), StatusCode::BAD_GATEWAY);
    }
}

#[tokio::test]
async fn a_refused_initialize_leaves_no_session() {
    let server = Setup::with_env(&[("FAILS", "1")]).start();
    let answer = server.client(None).send_initialize().await;
    assert_eq!(answer.status(), StatusCode::OK);
    assert!(!answer.headers().contains_key("mcp-session-id"));
    assert!(setup::json(answer).await["error"].is_object());
    server.proxy.end().await;
}

#[tokio::test]
async fn what_does_not_fit_is_refused() {
    let mut setup = Setup::with_env(&[]);
    setup.limits.line = 1000;
    let server = setup.start();
    let mut client = server.client(None);
    assert_eq!(client.request("heard", json!({})).await.status(), StatusCode::BAD_REQUEST);
    client.initialize().await;
    for (body, status) in [
        ("[]", StatusCode::BAD_REQUEST),
        ("x", StatusCode::BAD_REQUEST),
        (&*"x".repeat(1001), StatusCode::PAYLOAD_TOO_LARGE),
    ] {
        assert_eq!(client.send("POST", body).await.status(), status, "{body:.10}");
    }
    let _waits = client.begin(json!(1), "ask", json!({})).await;
    let twice = client.send("POST", r#"{"jsonrpc":"2.0","id":1,"method":"heard"}"#).await;
    assert_eq!(twice.status(), StatusCode::BAD_REQUEST);
    assert_eq!(client.send("PUT", "").await.status(), StatusCode::METHOD_NOT_ALLOWED);
    assert_eq!(client.at("/mcp/below").send("POST", "{}").await.status(), StatusCode::BAD_REQUEST);
    server.proxy.end().await;
}
