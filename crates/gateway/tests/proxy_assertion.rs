//! The assertion that a backend gets: the gateway's own, or none.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

mod proxy_setup;

use std::path::Path;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::http::Request;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use mcp_login::resource::{Assertions, UpstreamTokenError};
use mcp_login::{AuthServer, Resource, Store, presets};
use mcp_login_gateway::command::serve::application;
use mcp_login_gateway::config::{Environment, Sources};
use proxy_setup::{Backend, Setup, caller, caller_named, values};
use serde_json::Value;
use tower::ServiceExt;

const ASSERTION: &str = "x-mcp-login-assertion";

/// What a client could send to be somebody else.
const FORGED: &str = "X-Mcp-Login-Assertion: forged
x_mcp_login_assertion: forged
X-Mcp_Login-Assertion: forged
Connection: close, X-Mcp-Login-Assertion";

async fn assertions(store: &str) -> Assertions {
    auth(store).await.assertions()
}

async fn auth(store: &str) -> AuthServer {
    let auth = AuthServer::builder("https://mcp.example.com")
        .upstream(presets::github("id", "secret"))
        .store(Store::open(store).await.unwrap())
        .resource(Resource::new("/mcp"));
    auth.build().await.unwrap()
}

/// How many keys are listed.
async fn listed(router: &Router) -> usize {
    let request = Request::get("/.well-known/jwks.json").body(Body::empty()).unwrap();
    let answer = router.clone().oneshot(request).await.unwrap();
    assert_eq!(answer.status(), 200);
    let set: Value = serde_json::from_slice(&to_bytes(answer.into_body(), 1 << 16).await.unwrap()).unwrap();
    set["keys"].as_array().unwrap().len()
}

fn claims(assertion: &str) -> Value {
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(assertion.split('.').nth(1).unwrap()).unwrap()).unwrap()
}

#[tokio::test]
async fn the_backend_gets_the_gateways_assertion_and_no_other() {
    let backend = Backend::start().await;
    let assertion = Some((assertions("memory:").await, "urn:backend".to_owned()));
    let setup = Setup { caller: Some(caller(Ok("t0k"))), assertion, ..Setup::to(&backend) };
    let gateway = setup.start().await;
    let mut seen = Vec::new();
    for _ in 0..2 {
        let _client = gateway.get(FORGED).await;
        let head = backend.accept().await.head().await;
        assert!(!head.contains("forged"), "{head}");
        let [assertion] = values(&head, ASSERTION)[..] else { panic!("one assertion in\n{head}") };
        let claims = claims(assertion);
        assert_eq!((&claims["sub"], &claims["aud"]), (&"user-1".into(), &"urn:backend".into()));
        assert_eq!(
            (&claims["iss"], &claims["client_id"]),
            (&"https://mcp.example.com".into(), &"client-1".into())
        );
        seen.push(assertion.to_owned());
    }
    assert_ne!(seen[0], seen[1], "each request has its own");
}

#[tokio::test]
async fn where_none_is_wanted_none_passes() {
    let backend = Backend::start().await;
    let gateway = Setup { caller: Some(caller(Ok("t0k"))), ..Setup::to(&backend) }.start().await;
    let _client = gateway.get(FORGED).await;
    let head = backend.accept().await.head().await;
    assert!(!head.contains("forged") && values(&head, "x-forwarded-user") == ["user-1"], "{head}");
}

#[tokio::test]
async fn a_request_without_a_user_has_none() {
    let backend = Backend::start().await;
    let assertion = Some((assertions("memory:").await, "urn:backend".to_owned()));
    let gateway = Setup { assertion, ..Setup::to(&backend) }.start().await;
    let _client = gateway.get(FORGED).await;
    let head = backend.accept().await.head().await;
    assert!(!head.contains("forged") && values(&head, ASSERTION).is_empty(), "{head}");
}

/// Nobody could check it: the key is not published.
#[tokio::test]
async fn a_store_that_is_away_is_503_and_no_request_without_one() {
    let backend = Backend::start().await;
    // Nobody listens at port 1.
    let assertion = Some((assertions("redis://127.0.0.1:1/").await, "urn:backend".to_owned()));
    let setup = Setup { caller: Some(caller(Ok("t0k"))), assertion, ..Setup::to(&backend) };
    let gateway = setup.start().await;
    let answer = gateway.get("Connection: close").await.rest().await;
    assert!(answer.starts_with("HTTP/1.1 503 "), "{answer}");
    assert_eq!(values(&answer, "retry-after"), ["5"]);
    assert!(answer.contains("\"error\":\"temporarily_unavailable\""), "{answer}");
    assert!(backend.is_alone().await);
}

#[tokio::test]
async fn a_user_who_cannot_be_named_has_none_either() {
    let backend = Backend::start().await;
    let assertion = Some((assertions("memory:").await, "urn:backend".to_owned()));
    let setup = Setup { caller: Some(caller_named("a\nb", Ok("t0k"))), assertion, ..Setup::to(&backend) };
    let answer = setup.start().await.get("Connection: close").await.rest().await;
    assert!(answer.starts_with("HTTP/1.1 403 "), "{answer}");
    assert!(backend.is_alone().await);
}

/// The upstream's token may have to be waited for, and an assertion is good for a minute.
#[tokio::test]
async fn nothing_is_signed_before_the_upstream_has_answered() {
    let (backend, auth) = (Backend::start().await, auth("memory:").await);
    let away = caller(Err(UpstreamTokenError::Unavailable { retry_after: None }));
    let gateway = Setup {
        caller: Some(away),
        assertion: Some((auth.assertions(), "urn:backend".to_owned())),
        headers: vec![("X-Token", "{upstream.access_token}")],
        ..Setup::to(&backend)
    };
    let answer = gateway.start().await.get("Connection: close").await.rest().await;
    assert!(answer.starts_with("HTTP/1.1 503 "), "{answer}");
    assert_eq!(listed(&auth.router()).await, 0, "a key is made for the first assertion");
}

/// Backends can know the key when the first call comes.
#[tokio::test]
async fn a_gateway_that_starts_lists_its_key_before_it_serves() {
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    for (assertion, keys) in [(true, 1), (false, 0)] {
        let text = format!(
            "public_url = \"https://mcp.example.com\"\n[store]\nurl = \"memory:\"\n[upstream]\nprovider = \"github\"\n\
             client_id = \"id\"\nclient_secret = \"hunter2\"\n[[mcp]]\npath = \"/mcp\"\n\
             backend = \"http://127.0.0.1:1/mcp\"\nassertion = {assertion}\n"
        );
        let (environment, folder) = (Environment::default(), Path::new("/nowhere"));
        let sources = Sources { text: &text, folder, environment: &environment, providers: &["github"] };
        let config = sources.check().unwrap_or_else(|faults| panic!("{faults}")).config;
        let app = application(&config).await.unwrap();
        assert_eq!(listed(&app.router).await, 0, "a start that fails now leaves nothing");
        app.prepare().await;
        assert_eq!(listed(&app.router).await, keys, "assertion = {assertion}");
    }
}
