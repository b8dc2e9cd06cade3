//! Clients that describe themselves at the address that is their `client_id`.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE, LOCATION};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use mcp_login_testkit::browser::Browser;
use mcp_login_testkit::client::{OAuthClient, REDIRECT_URI, Tokens, error_of};
use mcp_login_testkit::server::{Options, TestServer};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::Semaphore;

/// More requests than any test makes.
const OPEN: usize = 1000;

/// What the client's site says.
#[derive(Debug, Clone)]
struct Answer {
    status: StatusCode,
    content_type: &'static str,
    cache_control: Option<&'static str>,
    body: String,
}

/// A client's web site. It counts what it is asked, and answers when it is let.
#[derive(Debug, Clone)]
struct Site {
    host: String,
    answer: Arc<Mutex<Answer>>,
    requests: Arc<AtomicUsize>,
    gate: Arc<Semaphore>,
}

impl Site {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let host = listener.local_addr().unwrap().to_string();
        let answer = Answer {
            status: StatusCode::OK,
            content_type: "application/json",
            cache_control: None,
            body: String::new(),
        };
        let site = Self {
            host,
            answer: Arc::new(Mutex::new(answer)),
            requests: Arc::default(),
            gate: Arc::new(Semaphore::new(OPEN)),
        };
        site.says(&site.document());
        let answering = site.clone();
        let app = Router::new().fallback(move || {
            let site = answering.clone();
            async move { site.respond().await }
        });
        tokio::spawn(async move { axum::serve(listener, app).await });
        site
    }

    async fn respond(&self) -> Response {
        self.requests.fetch_add(1, Ordering::SeqCst);
        let _permit = self.gate.acquire().await.unwrap();
        let answer = self.answer.lock().unwrap().clone();
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, answer.content_type.parse().unwrap());
        headers.insert(LOCATION, format!("http://{}/elsewhere", self.host).parse().unwrap());
        headers.extend(answer.cache_control.map(|value| (CACHE_CONTROL, value.parse().unwrap())));
        (answer.status, headers, answer.body).into_response()
    }

    fn client_id(&self) -> String {
        format!("http://{}/oauth/client.json", self.host)
    }

    fn document(&self) -> Value {
        json!({"client_id": self.client_id(), "client_name": "Described", "redirect_uris": [REDIRECT_URI]})
    }

    fn changed(&self, name: &str, value: Value) -> Value {
        let mut document = self.document();
        document[name] = value;
        document
    }

    fn says(&self, document: &Value) {
        self.answers(|answer| answer.body = document.to_string());
    }

    fn answers(&self, change: impl FnOnce(&mut Answer)) {
        change(&mut self.answer.lock().unwrap());
    }

    fn is_down(&self) {
        self.answers(|answer| answer.status = StatusCode::SERVICE_UNAVAILABLE);
    }

    fn is_up(&self) {
        self.answers(|answer| answer.status = StatusCode::OK);
    }

    fn requests(&self) -> usize {
        self.requests.load(Ordering::SeqCst)
    }
}

async fn options(hosts: &[&str]) -> Options {
    Options {
        metadata_document_hosts: hosts.iter().map(|&host| host.to_owned()).collect(),
        ..Options::usual().await
    }
}

/// A site, a server that may ask it, and the client.
async fn described() -> (Site, TestServer, OAuthClient) {
    let site = Site::start().await;
    let server = TestServer::with(options(&[&site.host]).await).await;
    let client = OAuthClient::known_as(&server, &site.client_id());
    (site, server, client)
}

/// What the authorization endpoint shows.
async fn page(client: &OAuthClient) -> (u16, String) {
    let response = Browser::new().open(&client.authorization_url(&[])).await;
    (response.status().as_u16(), response.text().await.unwrap())
}

async fn status(client: &OAuthClient) -> u16 {
    page(client).await.0
}

#[tokio::test]
async fn a_client_logs_in_with_its_address_and_nothing_registered() {
    let (site, server, client) = described().await;
    let tokens = client.log_in(&Browser::new()).await;
    let answer: Value = client.call("/mcp", &tokens.access).await.json().await.unwrap();
    assert_eq!(answer["client_id"], site.client_id());
    let newer = Tokens::read(client.refresh(&tokens.refresh, &[]).await).await;
    assert_eq!(client.call("/mcp", &newer.access).await.status(), 200);
    let gone = [("token", newer.refresh.as_str()), ("client_id", &site.client_id())];
    assert_eq!(client.form("/revoke", &gone).await.status(), 200);
    assert_eq!(client.call("/mcp", &newer.access).await.status(), 401);
    assert_eq!(site.requests(), 1);
    drop(server);
}

#[tokio::test]
async fn the_page_says_who_describes_the_client() {
    let (site, _server, client) = described().await;
    let (status, html) = page(&client).await;
    assert_eq!(status, 200);
    assert!(html.contains("Described by its site") && html.contains(&site.host), "{html}");
    assert!(!html.contains("Unverified"), "{html}");
}

#[tokio::test]
async fn the_metadata_says_whether_documents_are_read() {
    for on in [true, false] {
        let server = TestServer::with(Options { metadata_documents: on, ..options(&[]).await }).await;
        let url = format!("{}/.well-known/oauth-authorization-server", server.url);
        let metadata: Value = Browser::new().open(&url).await.json().await.unwrap();
        assert_eq!(metadata["client_id_metadata_document_supported"], on);
        let methods = metadata["token_endpoint_auth_methods_supported"].as_array().unwrap();
        assert!(methods.contains(&json!("none")));
    }
}

#[tokio::test]
async fn where_they_are_switched_off_no_address_is_a_client() {
    let site = Site::start().await;
    let off = Options { metadata_documents: false, ..options(&[&site.host]).await };
    let server = TestServer::with(off).await;
    let client = OAuthClient::known_as(&server, &site.client_id());
    assert_eq!(status(&client).await, 400);
    assert_eq!(error_of(client.refresh("mlr_x", &[]).await).await, (401, "invalid_client".to_owned()));
    assert_eq!(site.requests(), 0);
}

#[tokio::test]
async fn documents_that_are_no_clients_are_refused_with_words() {
    let big = |site: &Site| site.changed("padding", json!("x".repeat(5 * 1024)));
    let (site, _server, _) = described().await;
    let elsewhere = site.changed("client_id", json!("https://evil.example/oauth/client.json"));
    let secret = site.changed("client_secret", json!("hunter2"));
    let key = site.changed("jwks", json!({"keys": [{"kty": "oct", "k": "hunter2"}]}));
    let confidential = site.changed("token_endpoint_auth_method", json!("private_key_jwt"));
    let nowhere = site.changed("redirect_uris", json!(["https://evil.example/cb"]));
    let nameless = site.changed("client_name", json!(""));
    for (name, document, words) in [
        ("big", big(&site), "larger than 5 KiB"),
        ("elsewhere", elsewhere, "not the document"),
        ("secret", secret, "holds a secret"),
        ("key", key, "holds a secret or a private key"),
        ("confidential", confidential, "token_endpoint_auth_method none"),
        ("nowhere", nowhere, "not allowed here"),
        ("nameless", nameless, "no client_name"),
        ("list", json!([1]), "not a JSON object"),
    ] {
        // Each at an address of its own, for what is known of one is remembered.
        let (own, _server, client) = described().await;
        let document = document.to_string().replace(&site.host, &own.host);
        own.answers(|answer| answer.body = document);
        let (status, html) = page(&client).await;
        assert_eq!(status, 400, "{name}");
        assert!(html.contains(words) && html.contains("invalid_client"), "{name}: {html}");
        assert!(!html.contains("hunter2") && !html.contains(&own.host), "{name}: {html}");
    }
}

#[tokio::test]
async fn answers_that_are_no_documents_are_refused_with_words() {
    type Change = fn(&mut Answer);
    let cases: [(&str, Change, &str); 6] = [
        ("html", |answer| answer.content_type = "text/html", "application/json"),
        ("not json", |answer| answer.body = "{".into(), "not a JSON object"),
        ("missing", |answer| answer.status = StatusCode::NOT_FOUND, "no metadata document"),
        ("moved", |answer| answer.status = StatusCode::FOUND, "redirect"),
        ("empty", |answer| answer.status = StatusCode::NO_CONTENT, "no metadata document"),
        ("down", |answer| answer.status = StatusCode::BAD_GATEWAY, "could not be fetched"),
    ];
    for (name, change, words) in cases {
        let (site, _server, client) = described().await;
        site.answers(change);
        let (status, html) = page(&client).await;
        assert_eq!(status, 400, "{name}");
        assert!(html.contains(words), "{name}: {html}");
        assert_eq!(site.requests(), 1, "{name}: a redirect is not followed");
    }
    let (site, _server, client) = described().await;
    site.answers(|answer| answer.content_type = "application/client+json; charset=utf-8");
    assert_eq!(status(&client).await, 200);
}

#[tokio::test]
async fn addresses_that_are_none_are_refused_without_asking() {
    let site = Site::start().await;
    let server = TestServer::with(options(&[&site.host]).await).await;
    let host = &site.host;
    let port = host.rsplit_once(':').unwrap().1;
    for client_id in [
        format!("http://{host}/"),
        format!("http://{host}"),
        format!("http://{host}/a#b"),
        format!("http://user@{host}/a"),
        format!("http://{host}/a/../b"),
        format!("http://{host}/a/%2e%2E/b"),
        format!("http://localhost:{port}/a"),
        format!("HTTP://{host}/a"),
        format!("http://{host}/{}", "a".repeat(2048)),
    ] {
        let client = OAuthClient::known_as(&server, &client_id);
        let (status, html) = page(&client).await;
        assert_eq!(status, 400, "{client_id}");
        assert!(html.contains("invalid_client") && !html.contains(port), "{client_id}: {html}");
        let refused = error_of(client.refresh("mlr_x", &[]).await).await;
        assert_eq!(refused, (401, "invalid_client".to_owned()), "{client_id}");
    }
    assert_eq!(site.requests(), 0);
}

/// By https, so that only the address stands in the way. The listener takes nothing but counts what comes.
#[tokio::test]
async fn nobody_makes_us_connect_to_private_addresses() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let connections = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&connections);
    tokio::spawn(async move {
        while listener.accept().await.is_ok() {
            count.fetch_add(1, Ordering::SeqCst);
        }
    });
    let server = TestServer::with(options(&["127.0.0.1:1"]).await).await;
    for host in ["127.0.0.1", "localhost", "[::1]", "[::ffff:7f00:1]", "10.0.0.1", "169.254.169.254"] {
        let client = OAuthClient::known_as(&server, &format!("https://{host}:{port}/client.json"));
        let (status, html) = page(&client).await;
        assert_eq!(status, 400, "{host}");
        assert!(html.contains("could not be fetched"), "{host}: {html}");
        assert!(!html.contains("public"), "the page tells nothing of the network: {html}");
    }
    assert_eq!(connections.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn a_redirect_uri_has_to_stand_in_the_document() {
    let (_site, _server, client) = described().await;
    for uri in
        ["http://127.0.0.1:49152/other", "https://client.example/cb", "http://localhost:49152/callback"]
    {
        let url = client.authorization_url(&[("redirect_uri", uri)]);
        assert_eq!(Browser::new().open(&url).await.status(), 400, "{uri}");
    }
    let other_port = client.authorization_url(&[("redirect_uri", "http://127.0.0.1:5/callback")]);
    assert_eq!(Browser::new().open(&other_port).await.status(), 200);
}

#[tokio::test]
async fn a_document_is_kept_for_as_long_as_it_says() {
    let (site, server, client) = described().await;
    site.answers(|answer| answer.cache_control = Some("max-age=600"));
    assert_eq!(status(&client).await, 200);
    server.clock.advance(Duration::from_secs(599));
    assert_eq!(status(&client).await, 200);
    assert_eq!(site.requests(), 1);
    site.says(&site.changed("client_name", json!("Renamed")));
    server.clock.advance(Duration::from_secs(1));
    let (_, html) = page(&client).await;
    assert!(html.contains("Renamed"), "{html}");
    assert_eq!(site.requests(), 2);
}

#[tokio::test]
async fn a_failure_is_kept_for_a_minute() {
    let (site, server, client) = described().await;
    site.is_down();
    for _ in 0..3 {
        assert_eq!(status(&client).await, 400);
    }
    site.is_up();
    server.clock.advance(Duration::from_secs(59));
    assert_eq!(status(&client).await, 400);
    assert_eq!(site.requests(), 1);
    server.clock.advance(Duration::from_secs(1));
    assert_eq!(status(&client).await, 200);
    assert_eq!(site.requests(), 2);
}

#[tokio::test]
async fn many_at_once_make_one_fetch() {
    let (site, _server, client) = described().await;
    site.gate.forget_permits(OPEN);
    let mut pages = Vec::new();
    for _ in 0..20 {
        let client = client.clone();
        pages.push(tokio::spawn(async move { status(&client).await }));
    }
    while site.requests() == 0 {
        tokio::task::yield_now().await;
    }
    // Time for the others to come as far as this one.
    tokio::time::sleep(Duration::from_millis(200)).await;
    site.gate.add_permits(OPEN);
    for page in pages {
        assert_eq!(page.await.unwrap(), 200);
    }
    assert_eq!(site.requests(), 1);
}

/// The last that a document said stands in for a day, but what it says now counts.
#[tokio::test]
async fn an_outage_of_its_host_does_not_shut_a_client_out() {
    let (site, server, client) = described().await;
    assert_eq!(status(&client).await, 200);
    site.is_down();
    server.clock.advance(Duration::from_secs(2 * 3600));
    assert_eq!(status(&client).await, 200);
    assert_eq!(site.requests(), 2);
    server.clock.advance(Duration::from_secs(22 * 3600));
    assert_eq!(status(&client).await, 400, "a day is over");
    site.is_up();
    server.clock.advance(Duration::from_secs(60));
    assert_eq!(status(&client).await, 200);
    site.answers(|answer| answer.status = StatusCode::GONE);
    server.clock.advance(Duration::from_secs(2 * 3600));
    assert_eq!(status(&client).await, 400, "taken back");
    site.is_down();
    server.clock.advance(Duration::from_secs(60));
    assert_eq!(status(&client).await, 400, "what was taken back does not stand in");
}

#[tokio::test]
async fn tokens_need_no_document() {
    let (site, server, client) = described().await;
    let browser = Browser::new();
    let code = client.code(&browser).await;
    site.is_down();
    server.clock.advance(Duration::from_secs(200));
    let tokens = Tokens::read(client.exchange(&code, &[]).await).await;
    server.clock.advance(Duration::from_secs(3 * 24 * 3600));
    let tokens = Tokens::read(client.refresh(&tokens.refresh, &[]).await).await;
    assert_eq!(site.requests(), 1);
    // They are bound to the client all the same, and it has no secret.
    let other = format!("http://{}/other", site.host);
    let wrong = error_of(client.refresh(&tokens.refresh, &[("client_id", &other)]).await).await;
    assert_eq!(wrong, (400, "invalid_grant".to_owned()));
    let secret = error_of(client.refresh(&tokens.refresh, &[("client_secret", "x")]).await).await;
    assert_eq!(secret, (401, "invalid_client".to_owned()));
    Tokens::read(client.refresh(&tokens.refresh, &[]).await).await;
    assert_eq!(site.requests(), 1);
}
