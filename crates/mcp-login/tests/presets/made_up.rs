//! A service that nobody has heard of is added by data alone.

use mcp_login::clock::Clock;
use mcp_login::settings::AccessRule;
use mcp_login::upstream::{Provider, Upstream, UpstreamError};
use mcp_login_testkit::browser::Browser;
use mcp_login_testkit::client::OAuthClient;
use mcp_login_testkit::clock::MockClock;
use mcp_login_testkit::fake_upstream::{FakeUpstream, FakeUser};
use mcp_login_testkit::server::{Options, TestServer};
use serde_json::{Value, json};

/// All that a service with discovery needs.
const WITH_DISCOVERY: &str = r#"
    display_name = "Example"
    kind = "oidc"
    issuer = "ISSUER"
    subject = ["id_token:/sub"]
    setup = "Ask for a client."
    source = "made up"
"#;

/// One without, which differs in what can differ.
const WITHOUT: &str = r#"
    display_name = "Example"
    kind = "oauth2"
    issuer = "ISSUER"
    authorization_endpoint = "ISSUER/{way}"
    token_endpoint = "ISSUER/token"
    userinfo_endpoint = "ISSUER/userinfo"
    subject = ["token:/user_id", "userinfo:/sub"]
    client_auth = "post"
    scopes = ["profile", "email"]
    auth_params = { login_hint = "bob" }
    keep_response = ["user_id"]
    rotation = "single_use"
    setup = "Ask for a client."
    source = "made up"
    [params.way]
    kind = "segment"
    default = "authorize"
    about = "the way in"
"#;

fn provider(text: &str, fake: &FakeUpstream) -> Provider {
    toml::from_str(&text.replace("ISSUER", fake.issuer())).unwrap()
}

async fn fake() -> FakeUpstream {
    let (fake, clock) = (FakeUpstream::start().await, MockClock::new());
    fake.set_now(move || clock.now());
    fake
}

fn upstream(text: &str, fake: &FakeUpstream) -> Upstream {
    let upstream = Upstream::new(provider(text, fake), fake.client_id(), Some(fake.client_secret().into()));
    assert_eq!(upstream.validate(), Ok(()));
    upstream
}

#[tokio::test]
async fn a_few_lines_are_enough_to_log_in_and_refresh() {
    let (fake, now) = (fake().await, MockClock::new().now());
    for (text, subject) in [
        (WITH_DISCOVERY, "sub-of-alice".to_owned()),
        (WITHOUT, format!("{}:sub-of-bob", FakeUser::new("bob").id)),
    ] {
        let upstream = upstream(text, &fake);
        let login = fake.login(&upstream, now).await.unwrap();
        assert_eq!(login.identity.subject, subject);
        let renewed = upstream.refresh(&login.tokens, now).await.unwrap();
        assert!(fake.accepts(renewed.access_token.expose_secret()));
    }
}

#[tokio::test]
async fn a_whole_server_signs_people_in_there() {
    let fake = fake().await;
    let access = AccessRule { email_domains: vec!["example.com".to_owned()], ..AccessRule::default() };
    let sign_in_at = Some(Box::new(upstream(WITHOUT, &fake)));
    let server = TestServer::with(Options { access, sign_in_at, ..Options::usual().await }).await;
    let client = OAuthClient::register(&server).await;
    let tokens = client.log_in(&Browser::new()).await;
    let known: Value = client.call("/mcp", &tokens.access).await.json().await.unwrap();
    let id = FakeUser::new("bob").id;
    assert_eq!(known["subject"], format!("{id}:sub-of-bob"));
    assert_eq!((&known["email"], &known["claims"]["user_id"]), (&json!("bob@example.com"), &json!(id)));
    assert!(fake.accepts(known["upstream_token"].as_str().unwrap()));
    assert!(server.upstream.seen_authorize().is_empty());
}

#[tokio::test]
async fn what_the_data_gets_wrong_is_told() {
    let fake = fake().await;
    for (instead, of) in [
        ("subjects = [\"id_token:/sub\"]", "subject = [\"id_token:/sub\"]"),
        ("kind = \"saml\"", "kind = \"oidc\""),
        ("", "setup = \"Ask for a client.\""),
    ] {
        let text = WITH_DISCOVERY.replace(of, instead);
        assert_ne!(text, WITH_DISCOVERY);
        assert!(toml::from_str::<Provider>(&text).is_err(), "{instead}");
    }
    let faults = |text: &str| {
        let upstream = Upstream::new(provider(text, &fake), "id", Some("secret".into()));
        upstream.validate().unwrap_err().into_iter().map(|(key, _)| key).collect::<Vec<_>>()
    };
    assert_eq!(faults(&WITHOUT.replace("token:/user_id", "id_token:/sub")), ["subject"]);
    assert_eq!(faults(&WITHOUT.replace("default = \"authorize\"", "")), ["params"]);
    assert_eq!(faults(&WITHOUT.replace("login_hint", "redirect_uri")), ["auth_params"]);
    let elsewhere = WITHOUT.replace("ISSUER/userinfo", "ISSUER/nothing");
    let lost = fake.login(&upstream(&elsewhere, &fake), MockClock::new().now()).await.unwrap_err();
    assert!(matches!(lost, UpstreamError::Misconfigured(_)), "{lost}");
    assert!(lost.to_string().starts_with("userinfo_endpoint: "), "{lost}");
}
