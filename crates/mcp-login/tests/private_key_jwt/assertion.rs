//! What an assertion has to be.

use mcp_login::settings::StaticClient;
use mcp_login_testkit::client::{OAuthClient, REDIRECT_URI, error_of};
use mcp_login_testkit::client_key::{ClientKey, assertion_params, claims, unsigned};
use mcp_login_testkit::fake_upstream::SigningAlgorithm;
use serde_json::{Value, json};

use crate::{bot, passed, refused, tried, with_static};

#[tokio::test]
async fn every_algorithm_that_the_metadata_lists_works() {
    let keys = [
        ClientKey::of(SigningAlgorithm::Rs256, "RS256"),
        ClientKey::of(SigningAlgorithm::Es256, "ES256"),
        ClientKey::of(SigningAlgorithm::Ps256, "PS256"),
        ClientKey::of(SigningAlgorithm::EdDsa, "EdDSA"),
    ];
    let jwks = json!({"keys": keys.iter().map(ClientKey::jwk).collect::<Vec<_>>()});
    let server = with_static(StaticClient::new("bot").jwks(jwks).redirect_uris([REDIRECT_URI])).await;
    let client = OAuthClient::known_as(&server, "bot");
    for key in &keys {
        assert_eq!(tried(&client, &key.assertion(&server, "bot")).await, passed(), "{key:?}");
    }
    let url = format!("{}/.well-known/oauth-authorization-server", server.url);
    let metadata: Value = reqwest::get(url).await.unwrap().json().await.unwrap();
    for endpoint in ["token", "revocation", "introspection"] {
        let methods = metadata[format!("{endpoint}_endpoint_auth_methods_supported")].as_array().unwrap();
        assert!(methods.contains(&json!("private_key_jwt")));
        let listed = &metadata[format!("{endpoint}_endpoint_auth_signing_alg_values_supported")];
        assert_eq!(*listed, json!(["ES256", "EdDSA", "RS256", "PS256"]));
    }
}

#[tokio::test]
async fn assertions_that_prove_nothing() {
    let (key, other) = (ClientKey::new("k"), ClientKey::new("k"));
    let stranger = ClientKey::new("other");
    let server = with_static(bot(&key)).await;
    let client = OAuthClient::known_as(&server, "bot");
    let good = || claims(&server, "bot");
    let with = |name: &str, value: Value| {
        let mut claims = good();
        claims[name] = value;
        claims
    };
    let now = good()["iat"].as_u64().unwrap();
    let signed = |claims: Value| key.sign(&claims);
    let token = format!("{}/token", server.url);
    for aud in [json!(server.url), json!(token), json!([token])] {
        assert_eq!(tried(&client, &signed(with("aud", aud.clone()))).await, passed(), "{aud}");
    }
    let mut tampered = signed(good());
    tampered.insert_str(tampered.rfind('.').unwrap() + 5, "AAAA");
    for (name, assertion) in [
        ("no algorithm", unsigned(&good())),
        ("the public key as a secret", key.sign_with_public_half(&good())),
        ("another key of the same name", other.sign(&good())),
        ("a key that is not there", stranger.sign(&good())),
        ("a changed signature", tampered),
        ("no JWT", "x.y.z".to_owned()),
        ("nothing", String::new()),
        ("an unknown client", key.sign(&claims(&server, "nobody"))),
        ("another audience", signed(with("aud", json!("https://other.example")))),
        ("an audience beside ours", signed(with("aud", json!([server.url, "https://other.example"])))),
        ("no audience", signed(with("aud", json!(null)))),
        ("a foreign iss", signed(with("iss", json!("somebody")))),
        ("a foreign sub", signed(with("sub", json!("somebody")))),
        ("expired", signed(with("exp", json!(now - 60)))),
        ("no end", signed(with("exp", json!(null)))),
        ("a far end", signed(with("exp", json!(now + 3600)))),
        ("from tomorrow", signed(with("nbf", json!(now + 86_400)))),
        ("no jti", signed(with("jti", json!(null)))),
    ] {
        assert_eq!(tried(&client, &assertion).await, refused(), "{name}");
    }
    assert_eq!(tried(&client, &signed(good())).await, passed());
}

/// Whoever tries learns neither which clients there are nor which keys.
#[tokio::test]
async fn one_answer_for_everything_about_the_signature() {
    let key = ClientKey::new("k");
    let server = with_static(bot(&key)).await;
    let client = OAuthClient::known_as(&server, "bot");
    let registered = OAuthClient::register(&server).await;
    let mut descriptions = Vec::new();
    for assertion in [
        ClientKey::new("k").assertion(&server, "bot"),
        ClientKey::new("x").assertion(&server, "bot"),
        key.assertion(&server, "nobody"),
        key.assertion(&server, registered.id()),
        unsigned(&claims(&server, "bot")),
    ] {
        let params = assertion_params(&assertion);
        let response = client.refresh("x", &[&params[..], &[("client_id", "")]].concat()).await;
        let answer: Value = response.json().await.unwrap();
        descriptions.push(answer["error_description"].as_str().unwrap().to_owned());
    }
    descriptions.dedup();
    assert_eq!(descriptions.len(), 1, "{descriptions:?}");
}

#[tokio::test]
async fn one_method_at_a_time() {
    let key = ClientKey::new("k");
    let server = with_static(bot(&key)).await;
    let client = OAuthClient::known_as(&server, "bot");
    let assertion = key.assertion(&server, "bot");
    let params = assertion_params(&assertion);
    let with_secret = [&params[..], &[("client_secret", "0123456789abcdef")]].concat();
    let refused_request = (400, "invalid_request".to_owned());
    assert_eq!(error_of(client.refresh("x", &with_secret).await).await, refused_request);
    let form = [&params[..], &[("grant_type", "refresh_token"), ("refresh_token", "x")]].concat();
    let basic = reqwest::Client::new().post(format!("{}/token", server.url)).basic_auth("bot", Some("x"));
    assert_eq!(error_of(basic.form(&form).send().await.unwrap()).await, refused_request);
    let other_id = [&params[..], &[("client_id", "other")]].concat();
    assert_eq!(error_of(client.refresh("x", &other_id).await).await, refused());
    for kind in ["", "urn:ietf:params:oauth:client-assertion-type:saml2-bearer"] {
        let changes = [("client_assertion_type", kind), params[1]];
        assert_eq!(error_of(client.refresh("x", &changes).await).await, refused(), "{kind}");
    }
    // None of this has used it up.
    assert_eq!(tried(&client, &assertion).await, passed());
}
