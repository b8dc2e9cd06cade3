//! What happens when the gateway has no file descriptor left. Alone in its file: the limit is the whole process's.
#![cfg(unix)]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

mod proxy_setup;

use proxy_setup::lines::Lines;
use proxy_setup::{Backend, Setup, values};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

const GET: &str = "GET /mcp HTTP/1.1\r\nHost: h\r\n\r\n";
const ANSWER: &str = "HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n";

#[tokio::test]
async fn a_gateway_without_descriptors_is_busy_and_blames_no_backend() {
    let (a, b) = (Backend::start().await, Backend::start().await);
    let gateway = Setup::to_all(&[&a, &b]).start().await;
    let (lines, _logged) = Lines::logged();
    // Both of its sides are there before there can be no more.
    let mut client = gateway.connect().await;
    client.send("GET /elsewhere HTTP/1.1\r\nHost: h\r\n\r\n").await;
    assert!(client.head().await.starts_with("HTTP/1.1 404 "));

    let limit = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: Some(3), ..limit }).unwrap();
    let mut answers = Vec::new();
    for _ in 0..2 {
        client.send(GET).await;
        answers.push(client.until("\"}").await);
    }
    setrlimit(Resource::Nofile, limit).unwrap();
    for answer in answers {
        assert!(answer.starts_with("HTTP/1.1 503 "), "{answer}");
        assert_eq!(values(&answer, "retry-after"), ["5"]);
    }
    assert!(a.is_alone().await && b.is_alone().await);
    assert!(!lines.text().contains("left out"), "{}", lines.text());

    // Two turns have passed.
    for backend in [&a, &b] {
        client.send(GET).await;
        let mut server = backend.accept().await;
        server.head().await;
        server.send(ANSWER).await;
        assert!(client.head().await.starts_with("HTTP/1.1 204 "));
    }
}
