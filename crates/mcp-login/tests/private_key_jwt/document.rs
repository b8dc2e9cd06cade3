//! Clients that describe themselves and sign.

use std::time::Duration;

use mcp_login_testkit::browser::Browser;
use mcp_login_testkit::client::{OAuthClient, REDIRECT_URI, Tokens, error_of};
use mcp_login_testkit::client_key::{ClientKey, assertion_params};
use mcp_login_testkit::server::{Options, TestServer};
use serde_json::{Value, json};

use crate::{Site, comes_through, refused, tried, unavailable};

/// A client that describes itself, with its keys at the same site.
async fn described(methods: Value) -> (Site, TestServer, OAuthClient, ClientKey) {
    let key = ClientKey::new("k");
    let site = Site::start(json!({})).await;
    let client_id = site.url("/client.json");
    // Members of a key set and of a client's metadata do not get in each other's way.
    site.says(json!({
        "client_id": client_id, "client_name": "Described", "redirect_uris": [REDIRECT_URI],
        "token_endpoint_auth_method": "private_key_jwt", "token_endpoint_auth_methods_supported": methods,
        "jwks_uri": site.url("/jwks.json"), "keys": [key.jwk()],
    }));
    let hosts = vec![site.host.clone()];
    let server = TestServer::with(Options { metadata_document_hosts: hosts, ..Options::usual().await }).await;
    let client = OAuthClient::known_as(&server, &client_id);
    (site, server, client, key)
}

#[tokio::test]
async fn a_document_that_only_signs_cannot_be_talked_down() {
    let (site, server, client, key) = described(json!(["private_key_jwt"])).await;
    comes_through(&server, &client, &key).await;
    assert_eq!(site.requests(), 2);
    // Also not once nobody here knows the document any more.
    let code = client.code(&Browser::new()).await;
    site.is_down();
    server.clock.advance(Duration::from_secs(200));
    assert_eq!(error_of(client.exchange(&code, &[]).await).await, refused());
    let secret = client.exchange(&code, &[("client_secret", "0123456789abcdef")]).await;
    assert_eq!(error_of(secret).await, refused());
}

/// As `ChatGPT` publishes it.
#[tokio::test]
async fn a_document_that_lists_both_may_do_either() {
    let (site, server, client, key) = described(json!(["none", "private_key_jwt"])).await;
    let tokens = client.log_in(&Browser::new()).await;
    assert_eq!(site.requests(), 1, "no keys are needed");
    let assertion = key.assertion(&server, client.id());
    let tokens = Tokens::read(client.refresh(&tokens.refresh, &assertion_params(&assertion)).await).await;
    let wrong = ClientKey::new("k").assertion(&server, client.id());
    let wrong = client.refresh(&tokens.refresh, &assertion_params(&wrong)).await;
    assert_eq!(error_of(wrong).await, refused(), "what is presented has to hold");
    Tokens::read(client.refresh(&tokens.refresh, &[]).await).await;
}

#[tokio::test]
async fn a_document_that_cannot_be_fetched_is_nobodys_fault_either() {
    let (site, server, client, key) = described(json!(["none", "private_key_jwt"])).await;
    site.is_down();
    assert_eq!(tried(&client, &key.assertion(&server, client.id())).await, unavailable());
    let stale = key.sign(&json!({"iss": client.id(), "sub": client.id(), "aud": "https://x.example"}));
    assert_eq!(tried(&client, &stale).await, refused());
    assert_eq!(site.requests(), 1, "nothing is fetched for what cannot hold");
}
