//! Discovery and keys: fetched when needed, kept for an hour, believed only when they hold.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::time::Duration;

use mcp_login::clock::{Clock, SystemClock};
use mcp_login::core::{Secret, Timestamp};
use mcp_login::upstream::{Upstream, UpstreamError};
use mcp_login_testkit::fake_upstream::{FakeUpstream, Fault};
use url::Url;

fn now() -> Timestamp {
    SystemClock.now()
}

async fn url_at(upstream: &Upstream, now: Timestamp) -> Result<Url, UpstreamError> {
    let callback = Url::parse("https://mcp.example.com/callback").unwrap();
    let (state, nonce) = (Secret::from("state"), Secret::from("nonce"));
    upstream.authorization_url(&callback, &state, &nonce, "challenge", now).await
}

#[tokio::test]
async fn the_document_is_kept_for_an_hour_of_the_time_handed_in() {
    let fake = FakeUpstream::start().await;
    let upstream = fake.oidc();
    assert_eq!(fake.discoveries(), 0, "building fetches nothing");
    let start = now();
    for seconds in [0, 1, 1800, 3599] {
        url_at(&upstream, start.plus(Duration::from_secs(seconds))).await.unwrap();
    }
    assert_eq!(fake.discoveries(), 1);
    url_at(&upstream, start.plus(Duration::from_secs(3600))).await.unwrap();
    assert_eq!(fake.discoveries(), 2);
}

#[tokio::test]
async fn many_at_once_fetch_once() {
    let fake = FakeUpstream::start().await;
    let upstream = fake.oidc();
    let (a, b, c, d) = tokio::join!(
        url_at(&upstream, now()),
        url_at(&upstream, now()),
        url_at(&upstream, now()),
        url_at(&upstream, now())
    );
    for url in [a, b, c, d] {
        assert!(url.unwrap().as_str().starts_with(fake.issuer()));
    }
    assert_eq!(fake.discoveries(), 1);
}

#[tokio::test]
async fn a_failure_is_not_kept_and_an_old_document_bridges_it() {
    let fake = FakeUpstream::start().await;
    let upstream = fake.oidc();
    let start = now();
    fake.set(Fault::DiscoveryStatus(503));
    assert!(matches!(url_at(&upstream, start).await, Err(UpstreamError::Unavailable { .. })));
    fake.clear();
    url_at(&upstream, start).await.expect("asked again at once");
    fake.set(Fault::DiscoveryStatus(503));
    url_at(&upstream, start.plus(Duration::from_secs(4000))).await.expect("the old document stands in");
}

#[tokio::test]
async fn the_document_must_name_the_configured_issuer() {
    let fake = FakeUpstream::start().await;
    fake.set(Fault::DiscoveryIssuer("https://somebody-else.example".to_owned()));
    let error = url_at(&fake.oidc(), now()).await.unwrap_err();
    assert!(matches!(error, UpstreamError::Misconfigured(_)));
    assert!(error.to_string().starts_with("issuer: "), "{error}");
    assert!(!error.to_string().contains("slash"), "{error}");
    fake.clear();
    let slash = fake.oidc().issuer(format!("{}/", fake.issuer()));
    let error = url_at(&slash, now()).await.unwrap_err();
    assert!(error.to_string().contains("slash"), "{error}");
}

#[tokio::test]
async fn what_is_found_is_checked() {
    let fake = FakeUpstream::start().await;
    fake.set(Fault::DiscoveryTokenEndpoint("http://idp.example/token".to_owned()));
    assert!(matches!(url_at(&fake.oidc(), now()).await, Err(UpstreamError::Misconfigured(_))));
    fake.clear();
    fake.set(Fault::DiscoveryHuge);
    assert!(matches!(url_at(&fake.oidc(), now()).await, Err(UpstreamError::Untrusted(_))));
    fake.clear();
    fake.set(Fault::DiscoveryStatus(404));
    let error = url_at(&fake.oidc(), now()).await.unwrap_err();
    assert!(error.to_string().starts_with("issuer: "), "{error}");
}

#[tokio::test]
async fn ones_own_endpoint_goes_before_the_found_one() {
    let fake = FakeUpstream::start().await;
    let upstream = fake.oidc().authorization_endpoint("https://login.example/authorize");
    let url = url_at(&upstream, now()).await.unwrap();
    assert_eq!(url.origin().ascii_serialization(), "https://login.example");
    assert_eq!(upstream.authorization_origin().as_deref(), Some("https://login.example"));
    assert_eq!(fake.discoveries(), 1, "the rest is still found");
    let complete = fake
        .oidc()
        .authorization_endpoint(format!("{}/authorize", fake.issuer()))
        .token_endpoint(format!("{}/token", fake.issuer()))
        .jwks_uri(format!("{}/jwks", fake.issuer()));
    fake.login(&complete, now()).await.unwrap();
    assert_eq!(fake.discoveries(), 1, "nothing left to find");
}

#[tokio::test]
async fn keys_that_cannot_be_had_are_an_outage() {
    let fake = FakeUpstream::start().await;
    fake.set(Fault::JwksStatus(500));
    assert!(matches!(fake.login(&fake.oidc(), now()).await, Err(UpstreamError::Unavailable { .. })));
    fake.clear();
    fake.set(Fault::JwksStatus(404));
    let error = fake.login(&fake.oidc(), now()).await.unwrap_err();
    assert!(error.to_string().starts_with("jwks_uri: "), "{error}");
}
