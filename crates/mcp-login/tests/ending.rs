//! What ends a login, here and at the service.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::time::{Duration, Instant};

use mcp_login::Store;
use mcp_login::settings::AccessRule;
use mcp_login_testkit::browser::Browser;
use mcp_login_testkit::client::{OAuthClient, Tokens, error_of};
use mcp_login_testkit::fake_upstream::FakeUser;
use mcp_login_testkit::server::{Options, TestServer};
use serde_json::{Value, json};

/// How soon the service hears of the end.
const SOON: Duration = Duration::from_secs(5);

async fn revoke(client: &OAuthClient, token: &str) {
    let form = [("token", token), ("client_id", client.id())];
    assert_eq!(client.form("/revoke", &form).await.status(), 200);
}

async fn upstream_token(client: &OAuthClient, tokens: &Tokens) -> String {
    let answer: Value = client.call("/mcp", &tokens.access).await.json().await.unwrap();
    answer["upstream_token"].as_str().unwrap().to_owned()
}

async fn until(what: &str, holds: impl Fn() -> bool) {
    let begun = Instant::now();
    while !holds() {
        assert!(begun.elapsed() < SOON, "{what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_revoked_login_is_ended_at_the_service_too() {
    let server = TestServer::start().await;
    let client = OAuthClient::register(&server).await;
    let tokens = client.log_in(&Browser::new()).await;
    let held = upstream_token(&client, &tokens).await;
    assert!(server.upstream.accepts(&held));
    revoke(&client, &tokens.refresh).await;
    assert_eq!(client.call("/mcp", &tokens.access).await.status(), 401, "here at once");
    until("it is not revoked at the service", || !server.upstream.accepts(&held)).await;
    let seen = server.upstream.seen_revocations();
    assert_eq!(seen.len(), 1);
    assert_eq!(seen[0].get("token_type_hint"), Some("refresh_token"));
}

#[tokio::test(flavor = "multi_thread")]
async fn as_long_as_the_person_has_another_login_the_service_keeps_what_it_gave() {
    let server = TestServer::start().await;
    let client = OAuthClient::register(&server).await;
    let (first, second) = (client.log_in(&Browser::new()).await, client.log_in(&Browser::new()).await);
    server.upstream.sign_in_as(FakeUser::new("bob"));
    let of_somebody_else = client.log_in(&Browser::new()).await;
    revoke(&client, &first.refresh).await;
    revoke(&client, &second.refresh).await;
    until("the last one is not revoked", || server.upstream.seen_revocations().len() == 1).await;
    assert!(server.upstream.accepts(&upstream_token(&client, &of_somebody_else).await));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_access_token_goes_alone_and_a_service_that_is_away_keeps_nobody_logged_in() {
    let mut server = TestServer::start().await;
    let client = OAuthClient::register(&server).await;
    let tokens = client.log_in(&Browser::new()).await;
    revoke(&client, &tokens.access).await;
    assert_eq!(client.call("/mcp", &tokens.access).await.status(), 401);
    let tokens = Tokens::read(client.refresh(&tokens.refresh, &[]).await).await;
    assert_eq!(server.upstream.seen_revocations().len(), 0);
    server.upstream = mcp_login_testkit::fake_upstream::FakeUpstream::start().await;
    revoke(&client, &tokens.refresh).await;
    assert_eq!(client.call("/mcp", &tokens.access).await.status(), 401);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_may_no_longer_log_in_gets_no_new_tokens() {
    let store = Store::open("memory:").await.unwrap();
    let may = |org: &str| AccessRule {
        claims: [("org".to_owned(), vec![json!(org)])].into(),
        ..AccessRule::default()
    };
    let options =
        async |org: &str| Options { store: store.clone(), access: may(org), ..Options::usual().await };
    let server = TestServer::with(options("acme").await).await;
    server.upstream.sign_in_as(FakeUser::new("alice").claim("org", json!(["acme"])));
    let client = OAuthClient::register(&server).await;
    let tokens = client.log_in(&Browser::new()).await;
    let tokens = Tokens::read(client.refresh(&tokens.refresh, &[]).await).await;

    // The operator changes the rule: another node, as after a restart.
    let changed = client.through(&server.start_node(options("other").await).await);
    assert_eq!(
        error_of(changed.refresh(&tokens.refresh, &[]).await).await,
        (400, "invalid_grant".to_owned())
    );
    assert_eq!(client.call("/mcp", &tokens.access).await.status(), 401, "the login has ended");
}
