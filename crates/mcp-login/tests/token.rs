//! Codes and tokens: what they are bound to, how often they work, and what ends them.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use mcp_login::Store;
use mcp_login_testkit::browser::Browser;
use mcp_login_testkit::client::{OAuthClient, Tokens, VERIFIER, error_of};
use mcp_login_testkit::redis_server::RedisServer;
use mcp_login_testkit::server::{Options, TestServer};
use serde_json::{Value, json};

async fn logged_in() -> (TestServer, OAuthClient, Tokens) {
    let server = TestServer::start().await;
    let client = OAuthClient::register(&server).await;
    let tokens = client.log_in(&Browser::new()).await;
    (server, client, tokens)
}

async fn works(client: &OAuthClient, token: &str) -> bool {
    client.call("/mcp", token).await.status() == 200
}

#[tokio::test]
async fn a_code_is_bound_to_verifier_redirect_uri_client_and_resource() {
    let server = TestServer::start().await;
    let client = OAuthClient::register(&server).await;
    let other = OAuthClient::register(&server).await;
    let code = client.code(&Browser::new()).await;
    let lazy = format!("{}/lazy", server.url);
    let wrong_verifier = VERIFIER.to_lowercase();
    for (changes, error) in [
        (vec![("code_verifier", wrong_verifier.as_str())], "invalid_grant"),
        (vec![("code_verifier", "")], "invalid_grant"),
        (vec![("redirect_uri", "http://127.0.0.1:49153/callback")], "invalid_grant"),
        (vec![("redirect_uri", "http://127.0.0.1:49152/other")], "invalid_grant"),
        (vec![("client_id", other.id())], "invalid_grant"),
        (vec![("resource", lazy.as_str())], "invalid_target"),
        (vec![("resource", "https://evil.example/mcp")], "invalid_target"),
        (vec![("grant_type", "password")], "unsupported_grant_type"),
        (vec![("grant_type", "")], "invalid_request"),
        (vec![("code", "")], "invalid_request"),
        (vec![("code", "mlc_nothing")], "invalid_grant"),
    ] {
        assert_eq!(
            error_of(client.exchange(&code, &changes).await).await,
            (400, error.to_owned()),
            "{changes:?}"
        );
    }
    for changes in [[("client_id", "")], [("client_id", "unknown")]] {
        let refused = error_of(client.exchange(&code, &changes).await).await;
        assert_eq!(refused, (401, "invalid_client".to_owned()), "{changes:?}");
    }
    // None of this has used it up.
    Tokens::read(client.exchange(&code, &[]).await).await;
}

#[tokio::test]
async fn a_code_ends_with_its_time() {
    let server = TestServer::start().await;
    let client = OAuthClient::register(&server).await;
    let (early, late) = (client.code(&Browser::new()).await, client.code(&Browser::new()).await);
    server.clock.advance(Duration::from_secs(299));
    Tokens::read(client.exchange(&early, &[]).await).await;
    server.clock.advance(Duration::from_secs(1));
    assert_eq!(error_of(client.exchange(&late, &[]).await).await, (400, "invalid_grant".to_owned()));
}

#[tokio::test]
async fn a_code_that_comes_twice_ends_what_it_gave() {
    let server = TestServer::start().await;
    let client = OAuthClient::register(&server).await;
    let code = client.code(&Browser::new()).await;
    let tokens = Tokens::read(client.exchange(&code, &[]).await).await;
    assert!(works(&client, &tokens.access).await);
    assert_eq!(error_of(client.exchange(&code, &[]).await).await, (400, "invalid_grant".to_owned()));
    assert!(!works(&client, &tokens.access).await);
    let refused = error_of(client.refresh(&tokens.refresh, &[]).await).await;
    assert_eq!(refused, (400, "invalid_grant".to_owned()));
}

#[tokio::test]
async fn a_token_request_is_a_form_in_the_body_of_a_post() {
    let (server, client, tokens) = logged_in().await;
    let http = reqwest::Client::new();
    let url = format!("{}/token", server.url);
    let get = http.get(&url).send().await.unwrap();
    assert_eq!(get.headers()["allow"], "POST");
    assert_eq!(error_of(get).await, (405, "invalid_request".to_owned()));
    let form =
        [("grant_type", "refresh_token"), ("refresh_token", &tokens.refresh), ("client_id", client.id())];
    let json = http.post(&url).json(&json!({"grant_type": "refresh_token"})).send().await.unwrap();
    assert_eq!(error_of(json).await, (400, "invalid_request".to_owned()));
    let query = http.post(format!("{url}?client_id=x")).form(&form).send().await.unwrap();
    assert_eq!(error_of(query).await, (400, "invalid_request".to_owned()));
    let huge = http.post(&url).form(&[("grant_type", "x".repeat(20_000))]).send().await.unwrap();
    assert_eq!(error_of(huge).await, (413, "invalid_request".to_owned()));
    let doubled = client.form("/token", &[&form[..], &[("client_id", client.id())]].concat()).await;
    assert_eq!(error_of(doubled).await, (400, "invalid_request".to_owned()));
    assert_eq!(client.form("/token", &form).await.status(), 200);
}

#[tokio::test]
async fn refresh_tokens_rotate_and_the_old_access_token_lives_on() {
    let (_server, client, first) = logged_in().await;
    let second = Tokens::read(client.refresh(&first.refresh, &[]).await).await;
    assert_ne!(first, second);
    assert!(works(&client, &first.access).await);
    assert!(works(&client, &second.access).await);
    Tokens::read(client.refresh(&second.refresh, &[]).await).await;
}

#[tokio::test]
async fn a_lost_answer_is_given_again() {
    let (server, client, first) = logged_in().await;
    let second = Tokens::read(client.refresh(&first.refresh, &[]).await).await;
    server.clock.advance(Duration::from_secs(59));
    assert_eq!(Tokens::read(client.refresh(&first.refresh, &[]).await).await, second);
    // Once the successor is used, the old token is nobody's any more.
    let third = Tokens::read(client.refresh(&second.refresh, &[]).await).await;
    assert_eq!(error_of(client.refresh(&first.refresh, &[]).await).await, (400, "invalid_grant".to_owned()));
    for token in [&first, &second, &third] {
        assert!(!works(&client, &token.access).await);
    }
    assert_eq!(client.refresh(&third.refresh, &[]).await.status(), 400);
}

#[tokio::test]
async fn an_old_refresh_token_ends_the_grant_once_the_window_has_closed() {
    let (server, client, first) = logged_in().await;
    let second = Tokens::read(client.refresh(&first.refresh, &[]).await).await;
    server.clock.advance(Duration::from_secs(60));
    assert_eq!(error_of(client.refresh(&first.refresh, &[]).await).await, (400, "invalid_grant".to_owned()));
    assert!(!works(&client, &second.access).await);
}

#[tokio::test]
async fn a_made_up_refresh_token_ends_nothing() {
    let (_server, client, tokens) = logged_in().await;
    let same_grant = format!("{}{}", &tokens.refresh[..36], "A".repeat(65));
    for made_up in [same_grant.as_str(), "mlr_", "x", &tokens.access] {
        let refused = error_of(client.refresh(made_up, &[]).await).await;
        assert_eq!(refused, (400, "invalid_grant".to_owned()));
    }
    assert!(works(&client, &tokens.access).await);
    Tokens::read(client.refresh(&tokens.refresh, &[]).await).await;
}

#[tokio::test]
async fn a_refresh_gives_no_more_than_was_authorized() {
    let (server, client, tokens) = logged_in().await;
    let other = OAuthClient::register(&server).await;
    for (changes, error) in [
        ([("scope", "mcp admin")], "invalid_scope"),
        ([("scope", "a\"b")], "invalid_scope"),
        ([("resource", "https://evil.example/")], "invalid_target"),
        ([("client_id", other.id())], "invalid_grant"),
    ] {
        let refused = error_of(client.refresh(&tokens.refresh, &changes).await).await;
        assert_eq!(refused, (400, error.to_owned()), "{changes:?}");
    }
    let narrow = client.refresh(&tokens.refresh, &[("scope", "mcp offline_access")]).await;
    let narrow: Value = narrow.json().await.unwrap();
    assert_eq!(narrow["scope"], "mcp");
    let (access, refresh) =
        (narrow["access_token"].as_str().unwrap(), narrow["refresh_token"].as_str().unwrap());
    assert_eq!(client.call("/mcp", access).await.status(), 403, "the server needs mcp:write, too");
    let wide: Value = client.refresh(refresh, &[]).await.json().await.unwrap();
    assert_eq!(wide["scope"], "mcp mcp:write", "the grant is as wide as it was");
}

#[tokio::test]
async fn refresh_tokens_slide_and_end() {
    let (server, client, mut tokens) = logged_in().await;
    let almost = Duration::from_secs(30 * 24 * 3600 - 1);
    for _ in 0..3 {
        server.clock.advance(almost);
        tokens = Tokens::read(client.refresh(&tokens.refresh, &[]).await).await;
    }
    server.clock.advance(Duration::from_secs(30 * 24 * 3600));
    assert_eq!(error_of(client.refresh(&tokens.refresh, &[]).await).await, (400, "invalid_grant".to_owned()));
}

#[tokio::test]
async fn a_confidential_client_proves_itself() {
    let server = TestServer::start().await;
    let metadata = json!({
        "redirect_uris": [mcp_login_testkit::client::REDIRECT_URI],
        "token_endpoint_auth_method": "client_secret_basic",
    });
    let client = OAuthClient::register_as(&server, metadata).await;
    let secret = client.registered["client_secret"].as_str().unwrap();
    let code = client.code(&Browser::new()).await;
    for (changes, error, status) in [
        (vec![], "invalid_client", 401),
        (vec![("client_secret", "wrong")], "invalid_client", 401),
        (vec![("client_assertion", "x")], "invalid_client", 401),
    ] {
        assert_eq!(error_of(client.exchange(&code, &changes).await).await, (status, error.to_owned()));
    }
    let basic = async |id: &str, secret: &str, form: &[(&str, &str)]| {
        let request =
            reqwest::Client::new().post(format!("{}/token", server.url)).basic_auth(id, Some(secret));
        request.form(form).send().await.unwrap()
    };
    let form = [
        ("grant_type", "authorization_code"),
        ("code", code.as_str()),
        ("redirect_uri", mcp_login_testkit::client::REDIRECT_URI),
        ("code_verifier", VERIFIER),
    ];
    let wrong = basic(client.id(), "wrong", &form).await;
    assert!(wrong.headers()["www-authenticate"].to_str().unwrap().starts_with("Basic"));
    assert_eq!(error_of(wrong).await, (401, "invalid_client".to_owned()));
    let both = [&form[..], &[("client_secret", secret)]].concat();
    assert_eq!(error_of(basic(client.id(), secret, &both).await).await, (400, "invalid_request".to_owned()));
    let two_ids = [&form[..], &[("client_id", "other")]].concat();
    assert_eq!(
        error_of(basic(client.id(), secret, &two_ids).await).await,
        (400, "invalid_request".to_owned())
    );
    Tokens::read(basic(client.id(), secret, &form).await).await;
}

#[tokio::test]
async fn revoking_ends_what_belongs_to_the_client() {
    let (server, client, tokens) = logged_in().await;
    let other = OAuthClient::register(&server).await;
    let revoke = async |client: &OAuthClient, token: &str| {
        client.form("/revoke", &[("token", token), ("client_id", client.id())]).await.status().as_u16()
    };
    assert_eq!(revoke(&client, "unknown").await, 200);
    assert_eq!(revoke(&other, &tokens.refresh).await, 400);
    assert_eq!(revoke(&other, &tokens.access).await, 400);
    assert!(works(&client, &tokens.access).await);
    assert_eq!(revoke(&client, &tokens.access).await, 200);
    assert!(!works(&client, &tokens.access).await, "the access token alone");
    let tokens = Tokens::read(client.refresh(&tokens.refresh, &[]).await).await;
    assert_eq!(revoke(&client, &tokens.refresh).await, 200);
    assert!(!works(&client, &tokens.access).await, "a refresh token takes everything along");
    assert_eq!(client.refresh(&tokens.refresh, &[]).await.status(), 400);
    assert_eq!(revoke(&client, &tokens.refresh).await, 200, "again");
    let nobody = error_of(client.form("/revoke", &[("token", "x")]).await).await;
    assert_eq!(nobody, (401, "invalid_client".to_owned()));
}

/// The races, on one store.
async fn race(store: Store) {
    let server = Arc::new(TestServer::with(Options { store, ..Options::usual().await }).await);
    let client = OAuthClient::register(&server).await;
    let code = client.code(&Browser::new()).await;
    let mut racers = tokio::task::JoinSet::new();
    for _ in 0..50 {
        let (client, code) = (client.clone(), code.clone());
        racers.spawn(async move { client.exchange(&code, &[]).await.status().as_u16() });
    }
    let mut answers = racers.join_all().await;
    answers.sort_unstable();
    assert_eq!((answers[0], &answers[1..]), (200, &[400; 49][..]), "one winner");

    let tokens = client.log_in(&Browser::new()).await;
    let mut racers = tokio::task::JoinSet::new();
    for _ in 0..10 {
        let (client, token) = (client.clone(), tokens.refresh.clone());
        racers.spawn(async move { Tokens::read(client.refresh(&token, &[]).await).await });
    }
    let answers = racers.join_all().await;
    let families: BTreeSet<&str> = answers.iter().map(|tokens| tokens.refresh.as_str()).collect();
    assert_eq!(families.len(), 1, "no sibling families");
    for tokens in &answers {
        assert!(works(&client, &tokens.access).await);
    }
    Tokens::read(client.refresh(&answers[0].refresh, &[]).await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn races_have_one_winner_in_memory() {
    race(Store::open("memory:").await.unwrap()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn races_have_one_winner_in_a_file() {
    let folder = tempfile::tempdir().unwrap();
    race(Store::open(&format!("file:{}/logins.db", folder.path().display())).await.unwrap()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn races_have_one_winner_in_redis() {
    let redis = RedisServer::start();
    race(Store::open(&redis.url()).await.unwrap()).await;
}
