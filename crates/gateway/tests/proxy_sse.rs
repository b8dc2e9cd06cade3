//! Streams of HTTP+SSE: their first event is exchanged, and all else passes as it is.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

mod proxy_setup;

use std::time::Duration;

use axum::Extension;
use mcp_login::Store;
use mcp_login::clock::{Clock, SystemClock};
use mcp_login::resource::{OpenedSession, SessionBinding};
use mcp_login_gateway::proxy::Timeouts;
use proxy_setup::lines::Lines;
use proxy_setup::{Backend, Gateway, Setup, Wire, caller, values};

const EVENT_STREAM: &str =
    "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n";
const ENDPOINT: &str = "event: endpoint\ndata: /messages?sessionId=1\n\n";

async fn binding() -> SessionBinding {
    let key = Store::open("memory:").await.unwrap().session_key(SystemClock.now()).await.unwrap();
    SessionBinding::new(key, "https://mcp.example.com/mcp".to_owned(), "user-1".to_owned())
}

/// A gateway as the layer in front makes it: with a session, if one is named.
async fn start(setup: Setup, opened: Option<&str>) -> (Gateway, SessionBinding) {
    let binding = binding().await;
    let (bound, opened) = (binding.clone(), opened.map(|session| OpenedSession(session.to_owned())));
    let setup = Setup { sse: true, caller: Some(caller(Ok("t0k"))), ..setup };
    let gateway = setup.start_with(|router| {
        let router = router.layer(Extension(bound));
        if let Some(opened) = opened { router.layer(Extension(opened)) } else { router }
    });
    (gateway.await, binding)
}

async fn chunk(wire: &mut Wire, text: &str) {
    wire.send(&format!("{:x}\r\n{text}\r\n", text.len())).await;
}

#[tokio::test]
async fn the_first_event_names_our_address_and_the_rest_passes_as_it_comes() {
    let backend = Backend::start().await;
    let (gateway, binding) = start(Setup::to(&backend), None).await;
    let mut client = gateway.get("Accept: text/event-stream\nAccept-Encoding: gzip").await;
    let mut server = backend.accept().await;
    let head = server.head().await;
    assert!(head.starts_with("GET /base HTTP/1.1\r\n"), "{head}");
    assert!(values(&head, "accept-encoding").is_empty(), "{head}");
    server.send(EVENT_STREAM).await;
    let (begin, end) = ENDPOINT.split_at(20);
    chunk(&mut server, &format!(": hello\n\n{begin}")).await;
    chunk(&mut server, &format!("{end}: and on")).await;
    let head = client.head().await;
    assert_eq!(values(&head, "content-type"), ["text/event-stream"]);
    let instead = format!("data: /mcp?sessionId={}", binding.seal("/messages?sessionId=1"));
    client.until(&format!(": hello\n\nevent: endpoint\n{instead}\n\n: and on\r\n")).await;
    for n in 0..3 {
        let event = format!("event: endpoint\ndata: {n}\n\n");
        chunk(&mut server, &event).await;
        client.until(&event).await;
    }
    drop(client);
    server.gone().await;
}

#[tokio::test]
async fn a_stream_of_known_length_has_another_one() {
    let backend = Backend::start().await;
    let (gateway, binding) = start(Setup::to(&backend), None).await;
    let mut client = gateway.get("Connection: close").await;
    let mut server = backend.accept().await;
    server.head().await;
    let length = ENDPOINT.len();
    server
        .send(&format!("HTTP/1.1 200 OK\r\nContent-Type: Text/Event-Stream; charset=utf-8\r\nContent-Length: {length}\r\n\r\n{ENDPOINT}"))
        .await;
    let answer = client.rest().await;
    assert!(values(&answer, "content-length").is_empty(), "{answer}");
    assert!(answer.contains(&binding.seal("/messages?sessionId=1")), "{answer}");
}

#[tokio::test]
async fn a_stream_that_begins_otherwise_is_502_and_its_operator_reads_why() {
    let (lines, _logged) = Lines::logged();
    let backend = Backend::start().await;
    let (gateway, _) = start(Setup::to(&backend), None).await;
    for (begin, why) in [
        ("event: message\ndata: {}\n\n", "another event"),
        ("event: endpoint\ndata: https://evil.example/messages\n\n", "another origin"),
        ("event: endpoint\ndata:\n\n", "names no address"),
        (&format!("event: endpoint\ndata: /{}\n\n", "x".repeat(5000)), "4096 bytes"),
        (&format!(": {}", "x".repeat(17_000)), "16 KiB"),
    ] {
        let mut client = gateway.get("Connection: close").await;
        let mut server = backend.accept().await;
        server.head().await;
        server.send(EVENT_STREAM).await;
        chunk(&mut server, begin).await;
        let answer = client.rest().await;
        assert!(answer.starts_with("HTTP/1.1 502 ") && answer.contains("HTTP+SSE"), "{answer}");
        assert!(!answer.contains("evil.example"), "{answer}");
        server.gone().await;
        let logged = lines.text();
        assert!(logged.lines().last().unwrap().contains(why), "{why} in {logged}");
    }
    let endings = [
        "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "Content-Encoding: gzip\r\nContent-Length: 0\r\n\r\n",
    ];
    for (end, why) in endings.into_iter().zip(["ended before", "compressed"]) {
        let mut client = gateway.get("Connection: close").await;
        let mut server = backend.accept().await;
        server.head().await;
        server.send(&format!("HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n{end}")).await;
        assert!(client.rest().await.starts_with("HTTP/1.1 502 "));
        assert!(lines.text().lines().last().unwrap().contains(why), "{}", lines.text());
    }
    assert_eq!(lines.text().lines().count(), 7, "{}", lines.text());
}

#[tokio::test]
async fn a_first_event_that_does_not_come_is_504() {
    let backend = Backend::start().await;
    let timeouts = Timeouts { first_event: Duration::from_millis(50), ..Timeouts::default() };
    let (gateway, _) = start(Setup { timeouts, ..Setup::to(&backend) }, None).await;
    let mut client = gateway.get("Connection: close").await;
    let mut server = backend.accept().await;
    server.head().await;
    // In one piece: after a moment it may be too late to send more.
    server.send(&format!("{EVENT_STREAM}8\r\n: ping\n\n\r\n")).await;
    let answer = client.rest().await;
    assert!(answer.starts_with("HTTP/1.1 504 "), "{answer}");
    server.gone().await;
}

#[tokio::test]
async fn an_answer_that_is_no_stream_passes_as_it_is() {
    let backend = Backend::start().await;
    let (gateway, _) = start(Setup::to(&backend), None).await;
    for answer in [
        "HTTP/1.1 404 Not Found\r\nContent-Type: text/event-stream\r\nContent-Length: 2\r\n\r\nno",
        "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 2\r\n\r\nhi",
    ] {
        let mut client = gateway.get("Connection: close").await;
        let mut server = backend.accept().await;
        server.head().await;
        server.send(answer).await;
        let got = client.rest().await;
        assert_eq!((got.lines().next(), got.lines().last()), (answer.lines().next(), answer.lines().last()));
    }
}

const POST: &str = "Host: h\nConnection: close\nContent-Type: application/json\nContent-Length: 2";

#[tokio::test]
async fn a_message_goes_to_the_address_that_the_server_has_named() {
    for named in ["/messages?sessionId=1", "//evil.example/m?a=%2F", "/base"] {
        let backend = Backend::start().await;
        let (gateway, _) = start(Setup::to(&backend), Some(named)).await;
        for at in ["/mcp?sessionId=sealed", "/mcp/?sessionId=sealed"] {
            let mut client = gateway.ask(&format!("POST {at} HTTP/1.1\n{POST}")).await;
            client.send("{}").await;
            let mut server = backend.accept().await;
            let head = server.head().await;
            assert!(head.starts_with(&format!("POST {named} HTTP/1.1\r\n")), "{head}");
            assert_eq!(values(&head, "host"), [format!("127.0.0.1:{}", backend.port)]);
            assert_eq!(values(&head, "x-forwarded-user"), ["user-1"]);
            server.until("{}").await;
            server
                .send("HTTP/1.1 202 Accepted\r\nContent-Length: 8\r\nConnection: close\r\n\r\nAccepted")
                .await;
            let answer = client.rest().await;
            assert!(answer.starts_with("HTTP/1.1 202 ") && answer.ends_with("Accepted"), "{answer}");
        }
    }
}

#[tokio::test]
async fn there_is_nothing_but_the_stream_and_the_messages_of_a_session() {
    let backend = Backend::start().await;
    let (gateway, _) = start(Setup::to(&backend), None).await;
    for (asked, status) in [
        ("POST /mcp", 405),
        ("POST /mcp?sessionId=x", 405),
        ("DELETE /mcp", 405),
        ("HEAD /mcp", 405),
        ("PUT /mcp", 405),
        ("GET /mcp?sessionId=x", 404),
        ("GET /mcp/messages", 404),
        ("POST /mcp/messages?sessionId=1", 404),
        ("POST /mcp//", 404),
    ] {
        let mut client = gateway.ask(&format!("{asked} HTTP/1.1\n{POST}")).await;
        client.send("{}").await;
        let answer = client.rest().await;
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{asked}: {answer}");
        assert_eq!(values(&answer, "allow").len(), usize::from(status == 405), "{answer}");
        assert!(backend.is_alone().await, "{asked}");
    }
}
