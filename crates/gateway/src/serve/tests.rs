#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use axum::body::Bytes;
use axum::routing::get;
use futures_util::StreamExt;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::Notify;
use tokio::task::JoinHandle;

use super::*;

struct Server {
    address: SocketAddr,
    shutdown: CancellationToken,
    ended: JoinHandle<()>,
    /// What `/slow` waits for.
    release: Arc<Notify>,
    /// Told when `/slow` has begun.
    begun: Arc<Notify>,
    /// Told when `/flood` was let go.
    dropped: Arc<Notify>,
}

/// As much as a client takes.
struct Flood(Arc<Notify>);

impl futures_util::Stream for Flood {
    type Item = io::Result<Bytes>;

    fn poll_next(
        self: std::pin::Pin<&mut Self>,
        _: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Self::Item>> {
        std::task::Poll::Ready(Some(Ok(vec![b'x'; 64 * 1024].into())))
    }
}

impl Drop for Flood {
    fn drop(&mut self) {
        self.0.notify_one();
    }
}

async fn start(limits: Limits) -> Server {
    let (release, begun) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let (go, started) = (Arc::clone(&release), Arc::clone(&begun));
    let (second, dropped) = (Arc::clone(&release), Arc::new(Notify::new()));
    let let_go = Arc::clone(&dropped);
    let flood = move || async move { Body::from_stream(Flood(let_go)) };
    let told = move || async move {
        let first = futures_util::stream::iter([Ok::<_, io::Error>(Bytes::from_static(b"first"))]);
        let second = futures_util::stream::once(async move {
            second.notified().await;
            Ok(Bytes::from_static(b"second"))
        });
        Body::from_stream(first.chain(second))
    };
    let slow = move || async move {
        started.notify_one();
        go.notified().await;
        "slow"
    };
    let endless = || async {
        let first = futures_util::stream::iter([Ok::<_, io::Error>(Bytes::from_static(b"first"))]);
        Body::from_stream(first.chain(futures_util::stream::pending()))
    };
    let app = Router::new()
        .route("/", get(|ConnectInfo(peer): ConnectInfo<SocketAddr>| async move { peer.ip().to_string() }))
        .route("/slow", get(slow))
        .route("/endless", get(endless))
        .route("/told", get(told))
        .route("/flood", get(flood));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let shutdown = CancellationToken::new();
    let ended = tokio::spawn(serve(listener, app, shutdown.clone(), limits));
    Server { address, shutdown, ended, release, begun, dropped }
}

impl Server {
    async fn send(&self, text: &[u8]) -> TcpStream {
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        stream.write_all(text).await.unwrap();
        stream
    }
}

async fn rest(mut stream: TcpStream) -> String {
    let mut text = Vec::new();
    // A reset is an end, too.
    let _ =
        tokio::time::timeout(Duration::from_secs(10), stream.read_to_end(&mut text)).await.expect("an end");
    String::from_utf8_lossy(&text).into_owned()
}

#[tokio::test]
async fn both_versions_of_http_are_spoken_and_know_the_peer() {
    let server = start(Limits::default()).await;
    let url = format!("http://{}/", server.address);
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let h2 = reqwest::Client::builder().http2_prior_knowledge().build().unwrap();
    let h1 = reqwest::Client::builder().http1_only().build().unwrap();
    for (client, version) in [(h2, axum::http::Version::HTTP_2), (h1, axum::http::Version::HTTP_11)] {
        let answer = client.get(&url).send().await.unwrap();
        assert_eq!(answer.version(), version);
        assert_eq!(answer.text().await.unwrap(), "127.0.0.1");
    }
}

#[tokio::test]
async fn a_client_that_does_not_finish_its_head_is_cut() {
    let limits = Limits { header_read: Duration::from_millis(50), ..Limits::default() };
    let server = start(limits).await;
    for begin in [&b""[..], b"PRI * HTTP", b"GET / HTTP/1.1\r\nHost: h\r\n"] {
        rest(server.send(begin).await).await;
    }
}

#[tokio::test]
async fn a_head_beyond_its_bounds_is_refused() {
    let server = start(Limits::default()).await;
    let many = format!("GET / HTTP/1.1\r\n{}\r\n", "X: x\r\n".repeat(101));
    let answer = rest(server.send(many.as_bytes()).await).await;
    assert!(answer.starts_with("HTTP/1.1 431 "), "{answer}");

    // The HTTP library looks at its buffer between reads, so twice the bound is safely over it. It may close before all is
    // sent; then the answer is lost in the reset.
    let mut stream = TcpStream::connect(server.address).await.unwrap();
    let long = format!("GET / HTTP/1.1\r\nX: {}\r\n\r\n", "x".repeat(256 * 1024));
    let _ = stream.write_all(long.as_bytes()).await;
    let answer = rest(stream).await;
    assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 431 "), "{answer}");
}

#[tokio::test]
async fn what_is_in_flight_finishes() {
    let server = start(Limits::default()).await;
    let idle = server.send(b"").await;
    let stream = server.send(b"GET /slow HTTP/1.1\r\nHost: h\r\n\r\n").await;
    server.begun.notified().await;
    server.shutdown.cancel();
    assert!(rest(idle).await.is_empty());
    server.release.notify_one();
    assert!(rest(stream).await.ends_with("\r\n\r\nslow"));
    server.ended.await.unwrap();
    assert!(TcpStream::connect(server.address).await.is_err());
}

#[tokio::test]
async fn an_endless_answer_is_cut_after_its_bound() {
    let server = start(Limits { drain: Duration::from_millis(50), ..Limits::default() }).await;
    let mut stream = server.send(b"GET /endless HTTP/1.1\r\nHost: h\r\n\r\n").await;
    let mut seen = Vec::new();
    while !seen.ends_with(b"first\r\n") {
        assert_ne!(stream.read_buf(&mut seen).await.unwrap(), 0);
    }
    server.shutdown.cancel();
    server.ended.await.unwrap();
    assert!(!rest(stream).await.contains("0\r\n\r\n"));
}

/// The preface and an empty SETTINGS frame: an HTTP/2 connection on which nothing is asked, and no ping is answered.
const HTTP2_IDLE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";

fn short() -> Limits {
    let short = Duration::from_millis(50);
    Limits { idle: short, goodbye: short, ..Limits::default() }
}

#[tokio::test]
async fn an_idle_connection_is_closed_and_one_with_a_request_is_not() {
    let server = start(short()).await;
    let client = reqwest::Client::builder().http2_prior_knowledge().build().unwrap();
    let answer = tokio::spawn(client.get(format!("http://{}/slow", server.address)).send());
    server.begun.notified().await;
    // These were idle from later on than that, so what closes them would have closed that one.
    for begin in [HTTP2_IDLE, b"GET / HTTP/1.1\r\nHost: h\r\n\r\n"] {
        rest(server.send(begin).await).await;
    }
    server.release.notify_one();
    assert_eq!(answer.await.unwrap().unwrap().text().await.unwrap(), "slow");
}

#[tokio::test]
async fn connections_beyond_the_bound_wait_until_idle_ones_are_gone() {
    let server = start(Limits { connections: 2, ..short() }).await;
    let _idle = [server.send(HTTP2_IDLE).await, server.send(HTTP2_IDLE).await];
    let answer = rest(server.send(b"GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n").await).await;
    assert!(answer.ends_with("127.0.0.1"), "{answer}");
}

#[tokio::test]
async fn an_end_does_not_wait_for_heads_that_are_not_complete() {
    let limits =
        Limits { goodbye: Duration::from_millis(50), drain: Duration::from_secs(3600), ..Limits::default() };
    let server = start(limits).await;
    let partial = server.send(b"GET / HTTP/1.1\r\nHost:").await;
    for _ in 0..2 {
        // Accepted and answered later, so the other is being read by now.
        rest(server.send(b"GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n").await).await;
    }
    server.shutdown.cancel();
    rest(partial).await;
    tokio::time::timeout(Duration::from_secs(10), server.ended).await.expect("an end").unwrap();
}

async fn until(stream: &mut TcpStream, part: &str) {
    let mut seen = Vec::new();
    while !String::from_utf8_lossy(&seen).contains(part) {
        let more = tokio::time::timeout(Duration::from_secs(10), stream.read_buf(&mut seen)).await;
        assert_ne!(more.expect("more").unwrap(), 0);
    }
}

#[tokio::test]
async fn a_client_that_does_not_read_is_cut_and_a_silent_stream_is_not() {
    let server = start(Limits { write: Duration::from_millis(50), ..Limits::default() }).await;
    let mut silent = server.send(b"GET /told HTTP/1.1\r\nHost: h\r\n\r\n").await;
    until(&mut silent, "first").await;
    let _unread = server.send(b"GET /flood HTTP/1.1\r\nHost: h\r\n\r\n").await;
    // It was idle for less long than the other, so what cut it would have cut that one.
    tokio::time::timeout(Duration::from_secs(10), server.dropped.notified()).await.expect("an end");
    server.release.notify_one();
    until(&mut silent, "second").await;
}

#[tokio::test]
async fn a_client_that_does_not_read_leaves_its_place_to_others() {
    let limits = Limits { write: Duration::from_millis(50), connections: 1, ..Limits::default() };
    let server = start(limits).await;
    let _unread = server.send(b"GET /flood HTTP/1.1\r\nHost: h\r\n\r\n").await;
    let answer = rest(server.send(b"GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n").await).await;
    assert!(answer.ends_with("127.0.0.1"), "{answer}");
}

#[tokio::test]
async fn an_http2_stream_that_is_not_read_is_dropped_and_the_others_go_on() {
    // Long enough for what is read to be read, on a machine that is busy.
    let server = start(Limits { write: Duration::from_millis(500), ..Limits::default() }).await;
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let client = reqwest::Client::builder().http2_prior_knowledge().build().unwrap();
    let ask = |path: &str| client.get(format!("http://{}{path}", server.address)).send();
    let mut silent = ask("/told").await.unwrap();
    assert_eq!(silent.chunk().await.unwrap().unwrap(), "first");
    let _unread = ask("/flood").await.unwrap();
    tokio::time::timeout(Duration::from_secs(10), server.dropped.notified()).await.expect("an end");
    server.release.notify_one();
    assert_eq!(silent.chunk().await.unwrap().unwrap(), "second");
}

/// The client takes no byte of any stream (`INITIAL_WINDOW_SIZE` = 0), and asks when it was told to go: until it has answered the
/// server's ping, its requests are taken.
#[tokio::test]
async fn an_http2_stream_that_begins_after_the_goodbye_is_dropped_too() {
    const NO_WINDOW: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\x06\x04\0\0\0\0\0\0\x04\0\0\0\0";
    /// Stream 1, with the end of headers and of the stream: GET, http, `/flood` of the authority `h`.
    const ASK: &[u8] = b"\0\0\x0d\x01\x05\0\0\0\x01\x82\x86\x04\x06/flood\x41\x01h";
    const GOAWAY: u8 = 7;
    let (write, goodbye) = (Duration::from_millis(50), Duration::from_millis(500));
    let server = start(Limits { write, goodbye, ..short() }).await;
    let mut stream = server.send(NO_WINDOW).await;
    loop {
        let mut head = [0; 9];
        stream.read_exact(&mut head).await.unwrap();
        let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
        stream.read_exact(&mut vec![0; length as usize]).await.unwrap();
        if head[3] == GOAWAY {
            break;
        }
    }
    // Too late for it is an end, too.
    let _ = stream.write_all(ASK).await;
    rest(stream).await;
}
