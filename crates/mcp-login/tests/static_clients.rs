//! Clients that the operator has set up.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use mcp_login::core::Secret;
use mcp_login::server::AuthServerBuilder;
use mcp_login::settings::StaticClient;
use mcp_login::{AuthServer, Resource, presets};
use mcp_login_testkit::browser::Browser;
use mcp_login_testkit::client::{OAuthClient, REDIRECT_URI, Tokens, VERIFIER, error_of, param};
use mcp_login_testkit::client_key::ClientKey;
use mcp_login_testkit::server::{Options, TestServer};
use serde_json::{Value, json};
use url::Url;

const SECRET: &str = "correct horse battery staple";

async fn server(clients: impl IntoIterator<Item = StaticClient>) -> TestServer {
    let static_clients = clients.into_iter().collect();
    TestServer::with(Options { static_clients, ..Options::usual().await }).await
}

fn confidential(id: &str) -> StaticClient {
    StaticClient::new(id).secret(Secret::from(SECRET)).redirect_uris([REDIRECT_URI])
}

fn refused() -> (u16, String) {
    (401, "invalid_client".to_owned())
}

#[tokio::test]
async fn a_secret_by_form_or_header() {
    let server = server([confidential("bot:%+").name("Bot")]).await;
    let client = OAuthClient::known_as(&server, "bot:%+");
    let code = client.code(&Browser::new()).await;
    for changes in [&[][..], &[("client_secret", "wrong")], &[("client_secret", &SECRET[1..])]] {
        assert_eq!(error_of(client.exchange(&code, changes).await).await, refused(), "{changes:?}");
    }
    let basic = async |secret: &str, form: &[(&str, &str)]| {
        let encode = |part: &str| url::form_urlencoded::byte_serialize(part.as_bytes()).collect::<String>();
        let request = reqwest::Client::new().post(format!("{}/token", server.url));
        request.basic_auth(encode("bot:%+"), Some(encode(secret))).form(form).send().await.unwrap()
    };
    let form = [
        ("grant_type", "authorization_code"),
        ("code", code.as_str()),
        ("redirect_uri", REDIRECT_URI),
        ("code_verifier", VERIFIER),
    ];
    let wrong = basic("wrong", &form).await;
    assert!(wrong.headers()["www-authenticate"].to_str().unwrap().starts_with("Basic"));
    assert_eq!(error_of(wrong).await, refused());
    let tokens = Tokens::read(basic(SECRET, &form).await).await;
    assert_eq!(error_of(client.refresh(&tokens.refresh, &[]).await).await, refused());
    let tokens = Tokens::read(client.refresh(&tokens.refresh, &[("client_secret", SECRET)]).await).await;
    assert_eq!(client.call("/mcp", &tokens.access).await.status(), 200);
}

#[tokio::test]
async fn a_public_client_has_no_secret() {
    let server = server([StaticClient::new("app").redirect_uris([REDIRECT_URI])]).await;
    let client = OAuthClient::known_as(&server, "app");
    let tokens = client.log_in(&Browser::new()).await;
    let with_secret = client.refresh(&tokens.refresh, &[("client_secret", SECRET)]).await;
    assert_eq!(error_of(with_secret).await, refused());
    Tokens::read(client.refresh(&tokens.refresh, &[]).await).await;
}

#[tokio::test]
async fn the_page_says_who_has_set_it_up_and_its_redirect_uris_are_the_operators_word() {
    let uri = "https://hook.example.net/cb";
    let server = server([StaticClient::new("hook").name("Hook").redirect_uris([uri])]).await;
    let client = OAuthClient::known_as(&server, "hook");
    let page = Browser::new().open(&client.authorization_url(&[("redirect_uri", uri)])).await;
    assert_eq!(page.status(), 200);
    let html = page.text().await.unwrap();
    assert!(html.contains("Set up by whoever runs this server"), "{html}");
    assert!(html.contains("Hook") && !html.contains("Unverified"), "{html}");
    let other = client.authorization_url(&[("redirect_uri", "https://hook.example.net/other")]);
    assert_eq!(Browser::new().open(&other).await.status(), 400);
    let registered = OAuthClient::register(&server).await;
    let theirs = registered.authorization_url(&[("redirect_uri", uri)]);
    assert_eq!(Browser::new().open(&theirs).await.status(), 400, "nobody else's");
}

#[tokio::test]
async fn it_gets_no_more_scopes_than_it_was_given() {
    let server = server([confidential("bot").scopes(["mcp"])]).await;
    let client = OAuthClient::known_as(&server, "bot");
    let code = client.code(&Browser::new()).await;
    let answer: Value = client.exchange(&code, &[("client_secret", SECRET)]).await.json().await.unwrap();
    assert_eq!(answer["scope"], "mcp");
    let url = client.authorization_url(&[("scope", "mcp:write")]);
    let back = Browser::new().open(&url).await;
    let location: Url = back.headers()["location"].to_str().unwrap().parse().unwrap();
    assert_eq!(param(&location, "error").as_deref(), Some("invalid_scope"));
}

#[tokio::test]
async fn it_may_do_what_it_is_listed_for() {
    let machine = confidential("machine").grant_types(["client_credentials"]);
    let codes = confidential("codes").grant_types(["authorization_code"]);
    let server = server([machine, codes]).await;
    let client = OAuthClient::known_as(&server, "machine");
    let back = Browser::new().open(&client.authorization_url(&[])).await;
    let location: Url = back.headers()["location"].to_str().unwrap().parse().unwrap();
    assert_eq!(param(&location, "error").as_deref(), Some("unauthorized_client"));
    assert!(param(&location, "state").is_some() && param(&location, "iss").is_some());
    let unauthorized = (400, "unauthorized_client".to_owned());
    let secret = [("client_secret", SECRET)];
    assert_eq!(error_of(client.exchange("mlc_x", &secret).await).await, unauthorized);
    assert_eq!(error_of(client.refresh("mlr_x", &secret).await).await, unauthorized);
    assert_eq!(error_of(client.refresh("mlr_x", &[]).await).await, refused(), "who it is comes first");
    let client = OAuthClient::known_as(&server, "codes");
    let code = client.code(&Browser::new()).await;
    let tokens = Tokens::read(client.exchange(&code, &secret).await).await;
    assert_eq!(error_of(client.refresh(&tokens.refresh, &secret).await).await, unauthorized);
}

/// The operator's word goes before what the address says, which is not even asked.
#[tokio::test]
async fn it_goes_before_a_document_of_the_same_identifier() {
    let id = "http://127.0.0.1:9/client.json";
    let server = server([confidential(id)]).await;
    let client = OAuthClient::known_as(&server, id);
    let code = client.code(&Browser::new()).await;
    assert_eq!(error_of(client.exchange(&code, &[]).await).await, refused());
    Tokens::read(client.exchange(&code, &[("client_secret", SECRET)]).await).await;
}

fn faults(clients: impl IntoIterator<Item = StaticClient>) -> Vec<String> {
    let builder = AuthServer::builder("https://mcp.example.com")
        .upstream(presets::github("id", "secret"))
        .resource(Resource::new("/mcp").scopes(["mcp"]));
    clients.into_iter().fold(builder, AuthServerBuilder::client).faults()
}

#[test]
fn good_ones_have_no_faults() {
    let key = ClientKey::new("k");
    let jwt_bearer = "urn:ietf:params:oauth:grant-type:jwt-bearer";
    let found = faults([
        confidential("a"),
        StaticClient::new("b").redirect_uris([
            "com.example.app:/cb",
            "http://localhost/cb",
            "https://x.example/cb",
        ]),
        StaticClient::new("c")
            .jwks(key.jwks())
            .grant_types(["client_credentials", jwt_bearer])
            .scopes(["mcp"]),
        StaticClient::new("d")
            .jwks_uri("https://10.0.0.1/jwks".parse().unwrap())
            .grant_types(["refresh_token"]),
        StaticClient::new("e")
            .jwks_uri("http://[::1]:1/jwks".parse().unwrap())
            .grant_types(["refresh_token"]),
        StaticClient::new("https://client.example/x").redirect_uris([REDIRECT_URI]),
        StaticClient::new("x".repeat(200)).redirect_uris([REDIRECT_URI]),
    ]);
    assert_eq!(found, [""; 0]);
}

#[test]
fn every_fault_is_told_and_none_tells_a_secret() {
    let key = ClientKey::new("k");
    let plain = || StaticClient::new("x").redirect_uris([REDIRECT_URI]);
    let jwks_uri = |uri: &str| plain().jwks_uri(uri.parse().unwrap());
    let cases = [
        (StaticClient::new("").redirect_uris([REDIRECT_URI]), "client_id"),
        (StaticClient::new("a b").redirect_uris([REDIRECT_URI]), "client_id"),
        (StaticClient::new("ü").redirect_uris([REDIRECT_URI]), "client_id"),
        (StaticClient::new("x".repeat(201)).redirect_uris([REDIRECT_URI]), "client_id"),
        (plain().name("x".repeat(201)), "client_name"),
        (plain().secret(Secret::from("hunter2")), "client_secret"),
        (plain().secret(Secret::from(SECRET)).jwks(key.jwks()), "client_secret"),
        (jwks_uri("https://c.example/jwks").jwks(key.jwks()), "jwks_uri"),
        (plain().jwks(json!({"keys": []})), "jwks"),
        (plain().jwks(json!({"keys": [{"kty": "oct", "k": "hunter2"}]})), "jwks"),
        (plain().jwks(json!({"keys": [{"kty": "EC", "crv": "P-256", "x": "x", "y": "y"}]})), "jwks"),
        (jwks_uri("http://c.example/jwks"), "jwks_uri"),
        (jwks_uri("https://hunter2@c.example/jwks"), "jwks_uri"),
        (jwks_uri("https://c.example/jwks#x"), "jwks_uri"),
        (plain().grant_types(["password", "authorization_code"]), "grant_types"),
        (plain().grant_types([""; 0]), "grant_types"),
        (plain().grant_types(["client_credentials"]), "grant_types"),
        (plain().grant_types(["urn:ietf:params:oauth:grant-type:jwt-bearer"]), "grant_types"),
        (StaticClient::new("x"), "redirect_uris"),
        (plain().redirect_uris(["https://c.example/#x"]), "redirect_uris[0]"),
        (plain().redirect_uris(["https://hunter2@c.example/"]), "redirect_uris[0]"),
        (plain().redirect_uris([REDIRECT_URI, "javascript:alert(1)"]), "redirect_uris[1]"),
        (plain().redirect_uris(["http://c.example/"]), "redirect_uris[0]"),
        (plain().scopes(["other"]), "scopes"),
        (plain().scopes(["a\"b"]), "scopes"),
    ];
    for (client, key) in cases {
        let found = faults([client.clone()]);
        assert_eq!(found.len(), 1, "{client:?}: {found:?}");
        assert!(found[0].starts_with(&format!("clients.static[0].{key}: ")), "{found:?}");
        assert!(!found[0].contains("hunter2"), "{found:?}");
    }
    let twice = faults([plain(), plain()]);
    assert_eq!(twice, ["clients.static[1].client_id: another client has it"]);
    let shown = format!("{:?}", confidential("x"));
    assert!(shown.contains("[secret]") && !shown.contains("horse"), "{shown}");
}
