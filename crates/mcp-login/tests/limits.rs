//! What one address may ask, what one registration may keep, and for how long.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use mcp_login::Store;
use mcp_login::settings::{RateLimit, RateLimits};
use mcp_login_testkit::browser::Browser;
use mcp_login_testkit::client::{OAuthClient, REDIRECT_URI, Tokens, error_of};
use mcp_login_testkit::server::{Options, TestServer};
use reqwest::header::HeaderName;
use reqwest::{Client, RequestBuilder, Response};
use serde_json::json;
use tokio::net::TcpListener;

const ADDRESS: HeaderName = HeaderName::from_static("x-forwarded-for");
const ORIGIN: &str = "https://a-web-client.example";
const DAY: Duration = Duration::from_secs(24 * 60 * 60);
const ALMOST_A_DAY: Duration = Duration::from_secs(24 * 60 * 60 - 1);

/// A server behind a proxy that tells addresses.
async fn behind_proxy(rate_limits: RateLimits) -> TestServer {
    let usual = Options::usual().await;
    TestServer::with(Options { rate_limits, client_address_header: Some(ADDRESS), ..usual }).await
}

fn http() -> Client {
    Client::builder().redirect(reqwest::redirect::Policy::none()).no_proxy().build().unwrap()
}

async fn send_from(address: &str, request: RequestBuilder) -> Response {
    request.header(ADDRESS, address).header("origin", ORIGIN).send().await.unwrap()
}

async fn register_from(server: &TestServer, address: &str) -> Response {
    let metadata = json!({"redirect_uris": [REDIRECT_URI]});
    send_from(address, http().post(format!("{}/register", server.url)).json(&metadata)).await
}

/// A refusal for too many requests to a program. Gives the seconds to wait.
async fn refused(response: Response) -> u64 {
    assert_eq!(response.headers()["access-control-allow-origin"], "*");
    assert_eq!(response.headers()["cache-control"], "no-store");
    let wait = response.headers()["retry-after"].to_str().unwrap().parse().unwrap();
    assert_eq!(error_of(response).await, (429, "temporarily_unavailable".to_owned()));
    wait
}

#[tokio::test]
async fn a_flood_of_registrations_is_refused_and_only_for_its_address() {
    let limits = RateLimits { register: Some(RateLimit::per_minute(20)), ..RateLimits::default() };
    let server = behind_proxy(limits).await;
    for n in 0..20 {
        assert_eq!(register_from(&server, "198.51.100.1").await.status(), 201, "{n}");
    }
    assert_eq!(refused(register_from(&server, "198.51.100.1").await).await, 3);
    // What the client writes before the proxy's address changes nothing.
    refused(register_from(&server, "203.0.113.9, 198.51.100.1").await).await;
    assert_eq!(register_from(&server, "198.51.100.2").await.status(), 201, "somebody else");

    server.clock.advance(Duration::from_millis(2_999));
    assert_eq!(refused(register_from(&server, "198.51.100.1").await).await, 1);
    server.clock.advance(Duration::from_millis(1));
    assert_eq!(register_from(&server, "198.51.100.1").await.status(), 201, "one is back");
    refused(register_from(&server, "198.51.100.1").await).await;
    server.clock.advance(Duration::from_secs(60));
    for n in 0..20 {
        assert_eq!(register_from(&server, "198.51.100.1").await.status(), 201, "{n}");
    }
    refused(register_from(&server, "198.51.100.1").await).await;
}

#[tokio::test]
async fn a_network_of_ipv6_is_one_address() {
    let limits = RateLimits { register: Some(RateLimit::per_minute(2)), ..RateLimits::default() };
    let server = behind_proxy(limits).await;
    assert_eq!(register_from(&server, "2001:db8:0:1::1").await.status(), 201);
    assert_eq!(register_from(&server, "2001:db8:0:1:ffff::2").await.status(), 201);
    refused(register_from(&server, "2001:db8:0:1::3").await).await;
    assert_eq!(register_from(&server, "2001:db8:0:2::1").await.status(), 201);
}

#[tokio::test]
async fn guessing_tokens_is_refused() {
    let limits = RateLimits { token: Some(RateLimit::per_minute(3)), ..RateLimits::default() };
    let server = behind_proxy(limits).await;
    let form = [("grant_type", "refresh_token"), ("refresh_token", "guess"), ("client_id", "x")];
    let url = |path: &str| format!("{}{path}", server.url);
    for path in ["/token", "/revoke", "/token"] {
        let answer = send_from("198.51.100.1", http().post(url(path)).form(&form)).await;
        assert_eq!(answer.status(), 401, "{path}");
    }
    for path in ["/token", "/revoke"] {
        assert_eq!(refused(send_from("198.51.100.1", http().post(url(path)).form(&form)).await).await, 20);
        // A browser's preflight is not a request.
        let preflight = http()
            .request(reqwest::Method::OPTIONS, url(path))
            .header("access-control-request-method", "POST");
        assert_eq!(send_from("198.51.100.1", preflight).await.status(), 200, "{path}");
    }
    assert_eq!(register_from(&server, "198.51.100.1").await.status(), 201, "each group has its own limit");
    assert_eq!(send_from("198.51.100.2", http().post(url("/token")).form(&form)).await.status(), 401);
}

#[tokio::test]
async fn a_person_is_told_on_a_page() {
    let limits = RateLimits { authorize: Some(RateLimit::per_minute(2)), ..RateLimits::default() };
    let server = behind_proxy(limits).await;
    let client = OAuthClient::register(&server).await;
    let open = || send_from("198.51.100.1", http().get(client.authorization_url(&[])));
    assert_eq!(open().await.status(), 200);
    assert_eq!(open().await.status(), 200);
    let consent = send_from("198.51.100.1", http().post(format!("{}/consent", server.url))).await;
    for answer in [open().await, consent] {
        assert_eq!(answer.status(), 429);
        assert_eq!(answer.headers()["retry-after"], "30");
        assert!(!answer.headers().contains_key("access-control-allow-origin"));
        assert!(answer.headers().contains_key("content-security-policy"));
        assert!(answer.text().await.unwrap().contains("Wait a minute"));
    }
    let discovery = format!("{}/.well-known/oauth-authorization-server", server.url);
    assert_eq!(send_from("198.51.100.1", http().get(discovery)).await.status(), 200);
}

#[tokio::test]
async fn a_proxy_on_loopback_is_not_limited_as_one_client() {
    let one = Some(RateLimit::per_minute(1));
    let rate_limits = RateLimits { register: one, authorize: one, token: one, documents: one };
    let server = TestServer::with(Options { rate_limits, ..Options::usual().await }).await;
    for n in 0..5 {
        // Nobody has said that this header is to be trusted.
        assert_eq!(register_from(&server, "198.51.100.1").await.status(), 201, "{n}");
    }
}

/// A site of a client that has no document. It counts who asks.
async fn site() -> (String, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let host = listener.local_addr().unwrap().to_string();
    let asked = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&asked);
    let app = axum::Router::new().fallback(move || {
        counter.fetch_add(1, Ordering::SeqCst);
        async { axum::http::StatusCode::NOT_FOUND }
    });
    tokio::spawn(async move { axum::serve(listener, app).await });
    (host, asked)
}

/// A client assertion that says all the right things and is signed by nobody.
fn assertion(server: &TestServer, client_id: &str) -> String {
    let now = mcp_login::clock::Clock::now(&server.clock).as_secs();
    let claims = json!({"iss": client_id, "sub": client_id, "aud": server.url, "exp": now + 60, "jti": "1"});
    let part = |value: serde_json::Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let signature = URL_SAFE_NO_PAD.encode([7; 64]);
    format!("{}.{}.{signature}", part(json!({"alg": "ES256", "typ": "JWT"})), part(claims))
}

#[tokio::test]
async fn an_address_makes_us_fetch_only_so_many_documents() {
    let (host, asked) = site().await;
    let rate_limits = RateLimits { documents: Some(RateLimit::per_minute(3)), ..RateLimits::default() };
    let server = TestServer::with(Options {
        rate_limits,
        client_address_header: Some(ADDRESS),
        metadata_document_hosts: vec![host.clone()],
        ..Options::usual().await
    })
    .await;
    let open = async |address, client_id: &str| {
        let client = OAuthClient::known_as(&server, client_id);
        send_from(address, http().get(client.authorization_url(&[]))).await
    };
    let (mine, other) = ("198.51.100.1", "198.51.100.2");
    let id = |n: usize| format!("http://{host}/{n}");
    for n in 0..3 {
        assert_eq!(open(mine, &id(n)).await.status(), 400, "there is no document");
    }
    // What is known costs nothing, also that there is none.
    assert_eq!(open(mine, &id(1)).await.status(), 400);
    assert_eq!(asked.load(Ordering::SeqCst), 3);
    let limited = open(mine, &id(3)).await;
    assert_eq!(limited.status(), 429);
    assert_eq!(limited.headers()["retry-after"], "20");
    // The token endpoint looks documents up for whoever signs.
    let ask = async |address, client_id: &str| {
        let form = [
            ("grant_type", "refresh_token"),
            ("refresh_token", "mlr_x"),
            ("client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"),
            ("client_assertion", &assertion(&server, client_id)),
        ];
        send_from(address, http().post(format!("{}/token", server.url)).form(&form)).await
    };
    assert_eq!(refused(ask(mine, &id(4)).await).await, 20);
    assert_eq!(asked.load(Ordering::SeqCst), 3, "nobody was asked");
    assert_eq!(error_of(ask(other, &id(4)).await).await, (401, "invalid_client".to_owned()));
    assert_eq!(open(other, &id(3)).await.status(), 400, "somebody else");
    assert_eq!(asked.load(Ordering::SeqCst), 5);
    // A copy that we carry stands in.
    let known = "https://claude.ai/oauth/claude-code-client-metadata";
    let client = OAuthClient::known_as(&server, known);
    let url = client.authorization_url(&[("redirect_uri", "http://localhost:7/callback")]);
    assert_eq!(send_from(mine, http().get(url)).await.status(), 200);
    server.clock.advance(Duration::from_secs(20));
    assert_eq!(open(mine, &id(5)).await.status(), 400);
    assert_eq!(asked.load(Ordering::SeqCst), 6);
}

#[tokio::test]
async fn limits_can_be_switched_off() {
    let server = behind_proxy(RateLimits::OFF).await;
    for n in 0..50 {
        assert_eq!(register_from(&server, "198.51.100.1").await.status(), 201, "{n}");
    }
}

#[tokio::test]
async fn a_registration_without_a_login_is_gone_after_a_day() {
    let server = TestServer::start().await;
    let (unused, browser) = (OAuthClient::register(&server).await, Browser::new());
    server.clock.advance(ALMOST_A_DAY);
    // Looked for, shown, even allowed: nothing of it is a login that came to an end.
    let code = unused.code(&browser).await;
    let wrong = unused.exchange(&code, &[("code_verifier", &"x".repeat(43))]).await;
    assert_eq!(error_of(wrong).await.1, "invalid_grant");
    assert_eq!(error_of(unused.exchange("no-code", &[]).await).await.1, "invalid_grant");
    server.clock.advance(Duration::from_secs(1));
    assert_eq!(browser.open(&unused.authorization_url(&[])).await.status(), 400);
    assert_eq!(error_of(unused.exchange("no-code", &[]).await).await, (401, "invalid_client".to_owned()));
}

#[tokio::test]
async fn a_registration_with_a_login_lives_on_with_its_use() {
    let server = TestServer::start().await;
    let (client, browser) = (OAuthClient::register(&server).await, Browser::new());
    server.clock.advance(ALMOST_A_DAY);
    client.log_in(&browser).await;
    for months in [89, 89, 89] {
        server.clock.advance(DAY * months);
        assert_eq!(browser.open(&client.authorization_url(&[])).await.status(), 200, "it was used in time");
    }
    server.clock.advance(DAY * 91);
    assert_eq!(browser.open(&client.authorization_url(&[])).await.status(), 400, "nobody used it");
}

#[tokio::test]
async fn logins_that_end_at_once_are_all_kept() {
    // A store that really takes time, so that the first uses overtake each other.
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(&format!("file:{}", folder.path().join("logins.db").display())).await.unwrap();
    let server = TestServer::with(Options { store, ..Options::usual().await }).await;
    let client = OAuthClient::register(&server).await;
    let mut codes = Vec::new();
    for _ in 0..8 {
        codes.push(client.code(&Browser::new()).await);
    }
    let exchanges: Vec<_> = codes
        .into_iter()
        .map(|code| {
            let client = client.clone();
            tokio::spawn(async move { Tokens::read(client.exchange(&code, &[]).await).await })
        })
        .collect();
    let mut tokens = Vec::new();
    for exchange in exchanges {
        tokens.push(exchange.await.unwrap());
    }
    server.clock.advance(DAY * 2);
    for held in tokens {
        Tokens::read(client.refresh(&held.refresh, &[]).await).await;
    }
}

#[tokio::test]
async fn what_a_registration_keeps_is_bounded_and_what_it_sends_may_be_more() {
    let server = TestServer::start().await;
    let uris: Vec<String> = (0..10).map(|n| format!("{REDIRECT_URI}/{n}/{}", "x".repeat(900))).collect();
    let url = format!("{}/register", server.url);
    let large = http().post(&url).json(&json!({"redirect_uris": uris})).send().await.unwrap();
    assert_eq!(error_of(large).await, (400, "invalid_client_metadata".to_owned()));
    let jwks = json!({"redirect_uris": uris[..8], "jwks": "x".repeat(50_000)});
    assert_eq!(http().post(&url).json(&jwks).send().await.unwrap().status(), 201);
}
