//! Bodies pass as they come, within their bounds, and failures have a name.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

mod proxy_setup;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use mcp_login_gateway::proxy::Timeouts;
use proxy_setup::{Backend, Gateway, Setup, Wire, values};

const EVENT_STREAM: &str =
    "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n";
const POST: &str = "POST /mcp HTTP/1.1\nHost: h\nConnection: close\n";

async fn chunk(wire: &mut Wire, text: &str) {
    wire.send(&format!("{:x}\r\n{text}\r\n", text.len())).await;
}

#[tokio::test]
async fn an_event_arrives_before_the_next_is_sent() {
    let backend = Backend::start().await;
    let gateway = Setup::to(&backend).start().await;
    let mut client = gateway.get("Accept: text/event-stream").await;
    let mut server = backend.accept().await;
    server.head().await;
    server.send(EVENT_STREAM).await;
    let head = client.head().await;
    assert_eq!(values(&head, "content-type"), ["text/event-stream"]);
    for n in 0..3 {
        let event = format!("data: {n}\n\n");
        chunk(&mut server, &event).await;
        client.until(&event).await;
    }
    server.send("0\r\n\r\n").await;
    client.until("0\r\n\r\n").await;
}

#[tokio::test]
async fn a_request_body_passes_as_it_comes_and_without_trailers() {
    let backend = Backend::start().await;
    let gateway = Setup::to(&backend).start().await;
    let head = format!("{POST}Transfer-Encoding: chunked\nTrailer: X-Forwarded-User");
    let mut client = gateway.ask(&head).await;
    chunk(&mut client, "first").await;
    let mut server = backend.accept().await;
    let head = server.head().await;
    assert!(values(&head, "trailer").is_empty(), "{head}");
    server.until("first").await;
    chunk(&mut client, "second").await;
    server.until("second").await;
    client.send("0\r\nX-Forwarded-User: root\r\n\r\n").await;
    assert_eq!(server.until("0\r\n\r\n").await, "\r\n0\r\n\r\n");
}

#[tokio::test]
async fn a_client_that_leaves_takes_its_request_with_it() {
    let backend = Backend::start().await;
    let gateway = Setup::to(&backend).start().await;

    let client = gateway.get("").await;
    let mut waiting = backend.accept().await;
    waiting.head().await;
    drop(client);
    waiting.gone().await;

    let mut client = gateway.get("").await;
    let mut streaming = backend.accept().await;
    streaming.head().await;
    streaming.send(EVENT_STREAM).await;
    chunk(&mut streaming, "data: 1\n\n").await;
    client.until("data: 1\n\n").await;
    drop(client);
    streaming.gone().await;
}

#[tokio::test]
async fn connections_to_the_backend_are_used_again() {
    let backend = Backend::start().await;
    let gateway = Setup::to(&backend).start().await;
    let connections = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&connections);
    let serving = tokio::spawn(async move {
        loop {
            let mut server = backend.accept().await;
            counted.fetch_add(1, Ordering::SeqCst);
            tokio::spawn(async move {
                loop {
                    server.head().await;
                    server.send("HTTP/1.1 204 No Content\r\n\r\n").await;
                }
            });
        }
    });
    for _ in 0..20 {
        // Each with a connection of its own in front.
        assert!(gateway.get("").await.head().await.starts_with("HTTP/1.1 204 "));
    }
    // A request may come before the last one's connection is given back.
    let made = connections.load(Ordering::SeqCst);
    assert!(made <= 10, "{made} connections for 20 requests, one after the other");
    serving.abort();
}

#[tokio::test]
async fn what_a_client_does_not_read_is_not_taken_from_the_backend() {
    const PARTS: usize = 1024;
    let backend = Backend::start().await;
    let gateway = Setup::to(&backend).start().await;
    let mut client = gateway.get("Connection: close").await;
    let mut server = backend.accept().await;
    server.head().await;
    let part = "x".repeat(64 * 1024);
    server.send(&format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", PARTS * part.len())).await;
    let mut sent = 0;
    // More than all buffers on the way: of 64 MiB the sockets hold a few.
    let all = async {
        while sent < PARTS {
            server.send(&part).await;
            sent += 1;
        }
    };
    let mut all = std::pin::pin!(all);
    assert!(tokio::time::timeout(Duration::from_millis(500), &mut all).await.is_err(), "all of it was taken");
    let read = async {
        let head = client.head().await;
        client.rest().await.len() + head.len()
    };
    let ((), read) = tokio::join!(all, read);
    assert!(read > PARTS * part.len(), "and it goes on: {read}");
}

#[tokio::test]
async fn a_stream_that_breaks_is_not_a_whole_answer() {
    let backend = Backend::start().await;
    let gateway = Setup::to(&backend).start().await;
    let mut client = gateway.get("").await;
    let mut server = backend.accept().await;
    server.head().await;
    server.send(EVENT_STREAM).await;
    chunk(&mut server, "data: 1\n\n").await;
    client.until("data: 1\n\n").await;
    drop(server);
    assert!(!client.rest().await.contains("0\r\n\r\n"));
}

#[tokio::test]
async fn a_body_over_the_bound_is_413() {
    let backend = Backend::start().await;
    let gateway = Setup { max_body: 10, ..Setup::to(&backend) }.start().await;

    let mut announced = gateway.ask(&format!("{POST}Content-Length: 11")).await;
    let answer = announced.head().await;
    assert!(answer.starts_with("HTTP/1.1 413 "), "{answer}");
    assert!(backend.is_alone().await);

    let mut counted = gateway.ask(&format!("{POST}Transfer-Encoding: chunked")).await;
    chunk(&mut counted, "0123456789").await;
    let mut server = backend.accept().await;
    server.until("0123456789").await;
    chunk(&mut counted, "x").await;
    let answer = counted.rest().await;
    assert!(answer.starts_with("HTTP/1.1 413 "), "{answer}");
    assert!(answer.contains("longer than 10 bytes"), "{answer}");
    assert!(!server.rest().await.contains("0\r\n\r\n"), "the backend saw a whole request");
}

#[tokio::test]
async fn a_body_within_the_bound_passes() {
    let backend = Backend::start().await;
    let gateway = Setup { max_body: 10, ..Setup::to(&backend) }.start().await;
    let mut client = gateway.ask(&format!("{POST}Content-Length: 10")).await;
    client.send("0123456789").await;
    let mut server = backend.accept().await;
    let head = server.head().await;
    assert_eq!(values(&head, "content-length"), ["10"]);
    server.until("0123456789").await;
}

async fn status(gateway: &Gateway) -> String {
    let answer = gateway.get("Connection: close").await.rest().await;
    assert!(answer.contains("\"error\":"), "{answer}");
    answer.split(' ').nth(1).unwrap().to_owned()
}

#[tokio::test]
async fn a_backend_that_is_away_is_502_and_its_address_is_not_told() {
    let backend = Backend::start().await;
    let (setup, port) = (Setup::to(&backend), backend.port.to_string());
    drop(backend);
    let answer = setup.start().await.get("Connection: close").await.rest().await;
    assert!(answer.starts_with("HTTP/1.1 502 "), "{answer}");
    // The head holds digits that are nobody's.
    let (_, body) = answer.split_once("\r\n\r\n").unwrap();
    assert!(body.contains("mcp.backend") && !body.contains(&port), "{answer}");
}

#[tokio::test]
async fn a_backend_that_hangs_is_504() {
    let backend = Backend::start().await;
    let short = Duration::from_millis(50);
    let timeouts = Timeouts { connect: short, response: short, ..Timeouts::default() };
    assert_eq!(status(&Setup { timeouts, ..Setup::to(&backend) }.start().await).await, "504");
    // It accepts, and never begins the TLS handshake.
    let backends = vec![backend.url().replace("http:", "https:")];
    let tls = Setup { backends, timeouts, ..Setup::to(&backend) };
    assert_eq!(status(&tls.start().await).await, "504");
}

#[tokio::test]
async fn a_request_that_was_sent_is_not_sent_again() {
    let backend = Backend::start().await;
    let gateway = Setup::to(&backend).start().await;

    // The connection is kept; then it breaks under a request of which the backend has read all.
    let mut client = gateway.get("").await;
    let mut server = backend.accept().await;
    server.head().await;
    server.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").await;
    client.until("ok").await;
    let mut client = gateway.get("Connection: close").await;
    server.head().await;
    drop(server);
    let answer = client.rest().await;
    assert!(answer.starts_with("HTTP/1.1 502 "), "{answer}");
    assert!(backend.is_alone().await);
}

#[tokio::test]
async fn what_is_not_http_is_502_and_so_is_an_upgrade_nobody_asked_for() {
    let backend = Backend::start().await;
    let gateway = Setup::to(&backend).start().await;
    for answer in
        ["SSH-2.0-x\r\n\r\n", "HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n"]
    {
        let mut client = gateway.get("Connection: upgrade, close\nUpgrade: x").await;
        let mut server = backend.accept().await;
        server.head().await;
        server.send(answer).await;
        let head = client.head().await;
        assert!(head.starts_with("HTTP/1.1 502 "), "{head}");
    }
}

#[tokio::test]
async fn a_body_that_stops_arriving_is_408() {
    let backend = Backend::start().await;
    let timeouts = Timeouts { body_idle: Duration::from_millis(50), ..Timeouts::default() };
    let gateway = Setup { timeouts, ..Setup::to(&backend) }.start().await;
    let mut client = gateway.ask(&format!("{POST}Content-Length: 10")).await;
    client.send("012").await;
    let mut server = backend.accept().await;
    let answer = client.rest().await;
    assert!(answer.starts_with("HTTP/1.1 408 "), "{answer}");
    assert!(answer.contains("\"invalid_request\"") && answer.contains("the request body stopped arriving"));
    assert!(server.rest().await.ends_with("012"));
}

#[tokio::test]
async fn a_slow_body_is_not_the_backends_fault() {
    let backend = Backend::start().await;
    let short = Duration::from_millis(50);
    let timeouts = Timeouts { connect: short, response: short, ..Timeouts::default() };
    let gateway = Setup { timeouts, ..Setup::to(&backend) }.start().await;
    let mut slow = gateway.ask(&format!("{POST}Content-Length: 2")).await;
    slow.send("a").await;
    let mut server = backend.accept().await;
    server.until("a").await;
    // Another one that began later is over its time, so the first would be as well.
    assert_eq!(status(&gateway).await, "504");
    slow.send("b").await;
    server.until("b").await;
    server.send("HTTP/1.1 204 No Content\r\n\r\n").await;
    let answer = slow.rest().await;
    assert!(answer.starts_with("HTTP/1.1 204 "), "{answer}");
}
