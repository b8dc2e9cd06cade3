//! Keys that stand at an address: new ones, outages, and where nobody may lead us.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use axum::http::HeaderName;
use mcp_login::settings::{RateLimit, RateLimits, StaticClient};
use mcp_login_testkit::client::{OAuthClient, REDIRECT_URI, error_of};
use mcp_login_testkit::client_key::{ClientKey, assertion_params};
use mcp_login_testkit::server::{Options, TestServer};
use serde_json::json;
use tokio::net::TcpListener;

use crate::{Site, passed, refused, signing, tried, unavailable, with_static};

/// A registered client whose keys are at this site.
async fn registered_at(site: &Site) -> (TestServer, OAuthClient) {
    let hosts = vec![site.host.clone()];
    let server = TestServer::with(Options { metadata_document_hosts: hosts, ..Options::usual().await }).await;
    let client =
        OAuthClient::register_as(&server, signing(&json!({"jwks_uri": site.url("/jwks.json")}))).await;
    (server, client)
}

#[tokio::test]
async fn a_new_key_is_found_but_not_asked_for_at_will() {
    let (old, new, newest) = (ClientKey::new("1"), ClientKey::new("2"), ClientKey::new("3"));
    let site = Site::start(old.jwks()).await;
    let (server, client) = registered_at(&site).await;
    let comes = async |key: &ClientKey| tried(&client, &key.assertion(&server, client.id())).await;
    assert_eq!(comes(&old).await, passed());
    site.says(new.jwks());
    assert_eq!(comes(&new).await, passed());
    assert_eq!(site.requests(), 2);
    assert_eq!(comes(&old).await, refused(), "the old key is gone");
    site.says(newest.jwks());
    server.clock.advance(Duration::from_secs(29));
    assert_eq!(comes(&newest).await, refused());
    assert_eq!(site.requests(), 2, "anybody can make up a key");
    server.clock.advance(Duration::from_secs(1));
    assert_eq!(comes(&newest).await, passed());
    assert_eq!(site.requests(), 3);
}

/// A stranger who may not make us fetch anything more does not take the client's own turn away.
#[tokio::test]
async fn nobody_keeps_a_new_key_from_being_seen() {
    let (old, new, made_up) = (ClientKey::new("1"), ClientKey::new("2"), ClientKey::new("x"));
    let site = Site::start(old.jwks()).await;
    let server = TestServer::with(Options {
        metadata_document_hosts: vec![site.host.clone()],
        rate_limits: RateLimits { documents: Some(RateLimit::per_minute(1)), ..RateLimits::default() },
        client_address_header: Some(HeaderName::from_static("x-forwarded-for")),
        ..Options::usual().await
    })
    .await;
    let client =
        OAuthClient::register_as(&server, signing(&json!({"jwks_uri": site.url("/jwks.json")}))).await;
    let from = async |address: &str, key: &ClientKey| {
        let assertion = key.assertion(&server, client.id());
        let mut form = vec![("grant_type", "refresh_token"), ("refresh_token", "x")];
        form.extend(assertion_params(&assertion));
        let request = reqwest::Client::new().post(format!("{}/token", server.url)).form(&form);
        request.header("x-forwarded-for", address).send().await.unwrap()
    };
    let (stranger, own) = ("198.51.100.1", "198.51.100.2");
    assert_eq!(error_of(from(stranger, &old).await).await, passed());
    site.says(new.jwks());
    assert_eq!(from(stranger, &made_up).await.status(), 429, "it has made us fetch once already");
    assert_eq!(error_of(from(own, &new).await).await, passed());
}

#[tokio::test]
async fn keys_that_cannot_be_fetched_are_nobodys_fault() {
    let key = ClientKey::new("k");
    let site = Site::start(key.jwks()).await;
    let bot = StaticClient::new("bot").jwks_uri(site.url("/jwks.json").parse().unwrap());
    let server = with_static(bot.redirect_uris([REDIRECT_URI])).await;
    let client = OAuthClient::known_as(&server, "bot");
    let comes = async |key: &ClientKey| tried(&client, &key.assertion(&server, client.id())).await;
    site.is_down();
    let assertion = key.assertion(&server, client.id());
    let away = client.refresh("x", &assertion_params(&assertion)).await;
    assert_eq!(away.headers()["retry-after"], "60");
    assert_eq!(error_of(away).await, unavailable());
    site.is_up();
    assert_eq!(comes(&key).await, unavailable(), "a failure is remembered");
    assert_eq!(site.requests(), 1);
    server.clock.advance(Duration::from_secs(60));
    assert_eq!(tried(&client, &assertion).await, passed(), "it was not used up");
    // What was known stands in for a day; what is not known stays open.
    site.is_down();
    server.clock.advance(Duration::from_secs(7200));
    assert_eq!(comes(&key).await, passed());
    assert_eq!(comes(&ClientKey::new("new")).await, unavailable());
    assert_eq!(comes(&ClientKey::new("new")).await, unavailable(), "asked again or not");
    assert_eq!(comes(&key).await, passed());
    server.clock.advance(Duration::from_secs(24 * 3600));
    assert_eq!(comes(&key).await, unavailable(), "a day is over");
    // Something else than keys is an answer.
    site.says(json!({"error": "no keys here"}));
    server.clock.advance(Duration::from_secs(60));
    assert_eq!(comes(&key).await, refused());
}

/// The listener counts what comes; the operator's own word leads there, a stranger's does not.
#[tokio::test]
async fn nobody_makes_us_fetch_keys_from_private_addresses() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let connections = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&connections);
    tokio::spawn(async move {
        while listener.accept().await.is_ok() {
            count.fetch_add(1, Ordering::SeqCst);
        }
    });
    let uri = format!("https://127.0.0.1:{port}/jwks.json");
    let server =
        with_static(StaticClient::new("bot").jwks_uri(uri.parse().unwrap()).redirect_uris([REDIRECT_URI]))
            .await;
    let key = ClientKey::new("k");
    for host in ["127.0.0.1", "localhost", "[::1]", "169.254.169.254"] {
        let uri = format!("https://{host}:{port}/jwks.json");
        let client = OAuthClient::register_as(&server, signing(&json!({"jwks_uri": uri}))).await;
        assert_eq!(tried(&client, &key.assertion(&server, client.id())).await, unavailable(), "{host}");
    }
    assert_eq!(connections.load(Ordering::SeqCst), 0);
    let bot = OAuthClient::known_as(&server, "bot");
    assert_eq!(tried(&bot, &key.assertion(&server, "bot")).await, unavailable());
    assert_eq!(connections.load(Ordering::SeqCst), 1);
}
