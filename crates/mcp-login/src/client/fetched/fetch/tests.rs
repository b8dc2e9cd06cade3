#![allow(clippy::unwrap_used, clippy::panic)]

use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use super::*;

/// A server that counts connections, says this to each, and then says no more and keeps it open.
async fn server(says: &'static str) -> (SocketAddr, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (address, count) = (listener.local_addr().unwrap(), Arc::new(AtomicUsize::new(0)));
    let connections = Arc::clone(&count);
    tokio::spawn(async move {
        let mut open = Vec::new();
        while let Ok((mut stream, _)) = listener.accept().await {
            connections.fetch_add(1, Ordering::SeqCst);
            let mut request = [0; 1024];
            let _ = stream.read(&mut request).await;
            stream.write_all(says.as_bytes()).await.unwrap();
            open.push(stream);
        }
    });
    (address, count)
}

fn named(host: &str) -> DocumentHosts {
    let mut hosts = DocumentHosts::default();
    hosts.insert(host).unwrap();
    hosts
}

async fn fetch(url: &str, named: DocumentHosts, timeout: Duration) -> Result<Fetched, FetchError> {
    Fetcher::new(Reach::Internet(named), 1024, timeout).fetch(&url.parse().unwrap()).await
}

fn reason(result: Result<Fetched, FetchError>) -> &'static str {
    match result {
        Err(FetchError::Unreachable(reason)) => reason,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_host_that_never_ends_its_answer_is_left_in_time() {
    let head = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 50\r\n\r\n{";
    for says in ["", "HTTP/1.1 200 OK\r\n", head] {
        let (address, _) = server(says).await;
        let url = format!("http://{address}/client.json");
        let result = fetch(&url, named(&address.to_string()), Duration::from_millis(150)).await;
        assert_eq!(reason(result), "its host did not answer in time", "{says}");
    }
}

#[tokio::test]
async fn no_connection_is_made_to_an_address_that_is_not_public() {
    let (address, connections) = server("").await;
    let port = address.port();
    for host in
        ["127.0.0.1", "localhost", "[::ffff:7f00:1]", "[::1]", "localhost.", "10.0.0.1", "169.254.169.254"]
    {
        let url = format!("https://{host}:{port}/client.json");
        let result = fetch(&url, DocumentHosts::default(), TIMEOUT).await;
        // A resolver may know nothing of `localhost.`: then there is nothing to connect to either.
        let reason = reason(result);
        assert!(reason == NOT_PUBLIC || host == "localhost.", "{host}: {reason}");
    }
    assert_eq!(connections.load(Ordering::SeqCst), 0);
    // The server can be connected to: it is not that nobody listens.
    let url = format!("http://{address}/client.json");
    let result = fetch(&url, named(&address.to_string()), Duration::from_millis(150)).await;
    assert!(result.is_err());
    assert_eq!(connections.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn a_named_host_does_not_open_another_port_or_name() {
    let (address, connections) = server("").await;
    let port = address.port();
    for url in [format!("https://localhost:{port}/c"), format!("https://127.0.0.1:{port}/c")] {
        assert_eq!(reason(fetch(&url, named("127.0.0.1:1"), TIMEOUT).await), NOT_PUBLIC);
    }
    assert_eq!(connections.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn no_more_is_read_than_a_document_may_have() {
    let says = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 2000\r\n\r\n";
    let (address, _) = server(Box::leak(format!("{says}{}", "x".repeat(1025)).into_boxed_str())).await;
    let url = format!("http://{address}/jwks.json");
    let fetched = fetch(&url, named(&address.to_string()), TIMEOUT).await;
    assert_eq!(fetched.unwrap_err(), FetchError::Wrong(WrongAnswer::TooLarge));
}

/// Where the operator says, even when strangers may not.
#[tokio::test]
async fn the_operators_own_word_leads_anywhere() {
    let says = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 2\r\n\r\n{}";
    let (address, _) = server(says).await;
    let url = format!("http://{address}/jwks.json").parse().unwrap();
    let fetched = Fetcher::new(Reach::Anywhere, 1024, TIMEOUT).fetch(&url).await;
    assert_eq!(fetched.unwrap().body, b"{}");
    let strange = Fetcher::new(Reach::Internet(DocumentHosts::default()), 1024, TIMEOUT).fetch(&url).await;
    assert_eq!(strange.unwrap_err(), FetchError::Unreachable(NOT_PUBLIC));
}

#[test]
fn a_document_is_used_for_as_long_as_it_says_within_bounds() {
    let minutes = |values: &[&str]| usable_for(values.iter().copied()).as_secs() / 60;
    assert_eq!(minutes(&[]), 60);
    assert_eq!(minutes(&["public"]), 60);
    assert_eq!(minutes(&["public, max-age=1800"]), 30);
    assert_eq!(minutes(&["public", "Max-Age=\"1800\""]), 30);
    assert_eq!(minutes(&["max-age=0"]), 5);
    assert_eq!(minutes(&["max-age=nonsense"]), 5);
    assert_eq!(minutes(&["max-age=1800, no-store"]), 5);
    assert_eq!(minutes(&["no-cache"]), 5);
    assert_eq!(minutes(&["max-age=99999999"]), 24 * 60);
    assert_eq!(minutes(&["s-maxage=1"]), 60);
}
