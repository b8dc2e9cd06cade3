//! How clients find the server and make themselves known.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::time::Duration;

use mcp_login_testkit::browser::Browser;
use mcp_login_testkit::client::{OAuthClient, error_of};
use mcp_login_testkit::server::{Options, TestServer};
use serde_json::{Value, json};

async fn get(server: &TestServer, path: &str) -> (u16, Value) {
    let answer = reqwest::get(format!("{}{path}", server.url)).await.unwrap();
    (answer.status().as_u16(), answer.json().await.unwrap())
}

#[tokio::test]
async fn the_authorization_server_describes_itself() {
    let server = TestServer::start().await;
    let (status, document) = get(&server, "/.well-known/oauth-authorization-server").await;
    assert_eq!(status, 200);
    assert_eq!(document["issuer"], server.url);
    for (name, path) in [
        ("authorization_endpoint", "/authorize"),
        ("token_endpoint", "/token"),
        ("registration_endpoint", "/register"),
        ("revocation_endpoint", "/revoke"),
    ] {
        assert_eq!(document[name], format!("{}{path}", server.url));
    }
    assert_eq!(document["code_challenge_methods_supported"], json!(["S256"]));
    assert_eq!(document["response_types_supported"], json!(["code"]));
    assert_eq!(document["grant_types_supported"], json!(["authorization_code", "refresh_token"]));
    assert_eq!(document["authorization_response_iss_parameter_supported"], true);
    let methods = document["token_endpoint_auth_methods_supported"].as_array().unwrap();
    assert!(methods.contains(&json!("none")));
    assert_eq!(document["scopes_supported"], json!(["mcp", "mcp:write", "offline_access"]));
    for copy in ["/mcp", "/lazy", "/mcp/"] {
        let (_, same) = get(&server, &format!("/.well-known/oauth-authorization-server{copy}")).await;
        assert_eq!(same, document, "{copy}");
    }
}

#[tokio::test]
async fn each_mcp_server_is_described_at_its_path() {
    let server = TestServer::start().await;
    for (path, resource, scopes) in [
        ("", "/mcp", json!(["mcp", "mcp:write"])),
        ("/mcp", "/mcp", json!(["mcp", "mcp:write"])),
        ("/lazy", "/lazy", json!(["mcp"])),
    ] {
        let (status, document) = get(&server, &format!("/.well-known/oauth-protected-resource{path}")).await;
        assert_eq!(status, 200);
        assert_eq!(document["resource"], format!("{}{resource}", server.url));
        assert_eq!(document["authorization_servers"], json!([server.url]));
        assert_eq!(document["scopes_supported"], scopes, "and never offline_access");
        assert_eq!(document["bearer_methods_supported"], json!(["header"]));
    }
}

#[tokio::test]
async fn every_other_well_known_address_is_a_json_404() {
    let server = TestServer::start().await;
    for path in [
        "openid-configuration",
        "openid-configuration/mcp",
        "oauth-protected-resource/other",
        "oauth-authorization-server/other",
        "oauth-protected-resource/%ff",
        "anything",
    ] {
        assert_eq!(get(&server, &format!("/.well-known/{path}")).await.0, 404, "{path}");
    }
}

#[tokio::test]
async fn a_registration_is_answered_with_what_was_kept() {
    let server = TestServer::start().await;
    let metadata = json!({
        "client_name": "Editor",
        "redirect_uris": ["https://evil.example/cb", "http://127.0.0.1/", "cursor://x/y", "http://127.0.0.1:33418/"],
        "grant_types": ["authorization_code", "refresh_token", "urn:ietf:params:oauth:grant-type:device_code"],
        "application_type": "native",
        "scope": "mcp anything",
        "logo_uri": "http://169.254.169.254/",
    });
    let client = OAuthClient::register_as(&server, metadata).await;
    let kept = &client.registered;
    assert_eq!(
        kept["redirect_uris"],
        json!(["http://127.0.0.1/", "cursor://x/y", "http://127.0.0.1:33418/"])
    );
    assert_eq!(kept["token_endpoint_auth_method"], "none", "named, though the client did not ask");
    assert_eq!(kept["application_type"], "native");
    assert_eq!(kept["scope"], "mcp anything");
    assert!(kept.get("client_secret").is_none() && kept.get("logo_uri").is_none(), "{kept}");
}

#[tokio::test]
async fn a_registration_that_cannot_work_is_refused() {
    let server = TestServer::start().await;
    let url = format!("{}/register", server.url);
    let http = reqwest::Client::new();
    let post = async |body: &Value| error_of(http.post(&url).json(body).send().await.unwrap()).await;
    for (body, error) in [
        (json!({}), "invalid_redirect_uri"),
        (json!({"redirect_uris": ["http://evil.example/cb"]}), "invalid_redirect_uri"),
        (json!({"redirect_uris": ["javascript:alert(1)"]}), "invalid_redirect_uri"),
        (json!({"redirect_uris": ["http://localhost/#x"]}), "invalid_redirect_uri"),
        (json!([]), "invalid_client_metadata"),
        (json!("x"), "invalid_client_metadata"),
        (
            json!({"redirect_uris": ["http://localhost/"], "grant_types": ["implicit"]}),
            "invalid_client_metadata",
        ),
    ] {
        assert_eq!(post(&body).await, (400, error.to_owned()), "{body}");
    }
    let huge = json!({"redirect_uris": ["http://localhost/"], "client_name": "x".repeat(1 << 20)});
    assert_eq!(post(&huge).await.0, 413);
    let form = http.post(&url).form(&[("redirect_uris", "http://localhost/")]).send().await.unwrap();
    assert_eq!(error_of(form).await, (400, "invalid_client_metadata".to_owned()));
    let closed = TestServer::with(Options { registration: false, ..Options::usual().await }).await;
    let refused = http.post(format!("{}/register", closed.url)).json(&json!({})).send().await.unwrap();
    assert_eq!(error_of(refused).await, (403, "access_denied".to_owned()));
    let (_, document) = get(&closed, "/.well-known/oauth-authorization-server").await;
    assert!(document.get("registration_endpoint").is_none());
}

#[tokio::test]
async fn a_client_in_use_does_not_expire_and_an_idle_one_does() {
    let server = TestServer::start().await;
    let (used, idle) = (OAuthClient::register(&server).await, OAuthClient::register(&server).await);
    let opens = async |client: &OAuthClient| {
        Browser::new().open(&client.authorization_url(&[])).await.status() == 200
    };
    for client in [&used, &idle] {
        client.log_in(&Browser::new()).await;
    }
    for _ in 0..4 {
        server.clock.advance(Duration::from_secs(40 * 24 * 3600));
        assert!(opens(&used).await);
    }
    assert!(!opens(&idle).await);
}

#[tokio::test]
async fn the_authorization_endpoint_answers_bad_requests_where_it_may() {
    let server = TestServer::start().await;
    let client = OAuthClient::register(&server).await;
    let open = async |changes: &[(&str, &str)]| Browser::new().open(&client.authorization_url(changes)).await;
    for changes in [
        [("client_id", "unknown")],
        [("client_id", "")],
        [("redirect_uri", "http://127.0.0.1:49152/other")],
        [("redirect_uri", "https://evil.example/callback")],
        [("redirect_uri", "http://127.0.0.1@evil.example/callback")],
    ] {
        let page = open(&changes).await;
        assert_eq!(page.status(), 400, "{changes:?}");
        assert!(page.headers().get("location").is_none());
        assert!(page.headers()["content-type"].to_str().unwrap().starts_with("text/html"));
        assert!(page.headers()["content-security-policy"].to_str().unwrap().contains("form-action 'none'"));
    }
    for (changes, error) in [
        ([("response_type", "token")], "unsupported_response_type"),
        ([("code_challenge", "")], "invalid_request"),
        ([("code_challenge_method", "plain")], "invalid_request"),
        ([("resource", "https://evil.example/mcp")], "invalid_target"),
        ([("request", "x")], "request_not_supported"),
        ([("prompt", "none")], "consent_required"),
    ] {
        let answer = open(&changes).await;
        assert_eq!(answer.status(), 303, "{changes:?}");
        let back = url::Url::parse(answer.headers()["location"].to_str().unwrap()).unwrap();
        let param = |name| mcp_login_testkit::client::param(&back, name);
        assert_eq!(param("error").as_deref(), Some(error));
        assert_eq!(param("iss").as_deref(), Some(server.url.as_str()));
        assert_eq!(param("state").as_deref(), Some(mcp_login_testkit::client::STATE));
    }
    assert_eq!(
        open(&[("redirect_uri", "http://127.0.0.1:1/callback")]).await.status(),
        200,
        "any port on loopback"
    );
}
