//! Logins that go well, and what goes over the wire.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::collections::HashSet;
use std::time::Duration;

use mcp_login::clock::{Clock, SystemClock};
use mcp_login::core::{Secret, Timestamp};
use mcp_login::upstream::{ClientAuth, Pkce, Upstream, UpstreamError, preset};
use mcp_login_testkit::fake_upstream::{FakeUpstream, FakeUser, Fault, SigningAlgorithm};
use serde_json::{Value, json};
use url::Url;

fn now() -> Timestamp {
    SystemClock.now()
}

#[tokio::test]
async fn oidc_from_discovery_to_identity() {
    for algorithm in [SigningAlgorithm::Es256, SigningAlgorithm::Rs256] {
        let fake = FakeUpstream::start_signing(algorithm).await;
        let upstream = fake.oidc();
        assert_eq!(upstream.validate(), Ok(()));
        assert_eq!(upstream.authorization_origin(), None, "only discovery knows");
        let started = now();
        let login = fake.login(&upstream, started).await.unwrap();
        assert_eq!(login.identity.subject, "sub-of-alice");
        assert_eq!(login.identity.email.as_deref(), Some("alice@example.com"));
        assert_eq!(login.identity.name.as_deref(), Some("alice Example"));
        assert_eq!(login.identity.preferred_username.as_deref(), Some("alice"));
        assert_eq!(login.identity.claims.get("nonce"), None);
        assert_eq!(login.tokens.expires_at, Some(started.plus(Duration::from_secs(3600))));
        assert_eq!(login.tokens.scope.as_deref(), Some("openid email profile"));
        assert!(fake.accepts(login.tokens.access_token.expose_secret()));
        assert!(login.tokens.refresh_token.is_some());
    }
}

#[tokio::test]
async fn github_in_its_own_shapes() {
    let fake = FakeUpstream::start().await;
    let upstream = fake.github();
    assert_eq!(upstream.validate(), Ok(()));
    assert_eq!(upstream.authorization_origin().as_deref(), Some(fake.issuer()));
    let login = fake.login(&upstream, now()).await.unwrap();
    assert_eq!(login.identity.subject, FakeUser::new("alice").id.to_string());
    assert_eq!(login.identity.preferred_username.as_deref(), Some("alice"));
    assert_eq!(login.identity.email.as_deref(), Some("alice@example.com"), "the verified primary one");
    assert_eq!(fake.discoveries() + fake.key_fetches(), 0);
    for request in [&fake.seen_token()[0], &fake.seen_userinfo()[0]] {
        assert_eq!(request.accept.as_deref(), Some("application/json"));
        assert!(request.user_agent.as_ref().unwrap().starts_with("mcp-login/"));
    }
}

#[tokio::test]
async fn github_without_permission_for_addresses_has_none() {
    let fake = FakeUpstream::start().await;
    for status in [403, 404] {
        fake.clear();
        fake.set(Fault::EmailsStatus(status));
        assert_eq!(fake.login(&fake.github(), now()).await.unwrap().identity.email, None);
    }
    fake.clear();
    fake.set(Fault::EmailsStatus(503));
    let down = fake.login(&fake.github(), now()).await;
    assert!(matches!(down, Err(UpstreamError::Unavailable { .. })), "an outage is not a missing address");
    fake.clear();
    let mut unverified = FakeUser::new("carol");
    unverified.email_verified = Value::Bool(false);
    fake.sign_in_as(unverified);
    assert_eq!(fake.login(&fake.github(), now()).await.unwrap().identity.email, None);
}

#[tokio::test]
async fn plain_oauth2_reads_the_subject_where_it_is_told_to() {
    let fake = FakeUpstream::start().await;
    fake.set(Fault::NoIss);
    assert_eq!(fake.login(&fake.oauth2(), now()).await.unwrap().identity.subject, "sub-of-alice");
    let from_token = fake.oauth2().subject(["token:/user_id"]);
    let login = fake.login(&from_token, now()).await.unwrap();
    assert_eq!(login.identity.subject, FakeUser::new("alice").id.to_string());
    assert!(!login.identity.claims.contains_key("access_token"), "the token answer is no claim");
    let nowhere = fake.login(&fake.oauth2().subject(["userinfo:/uuid"]), now()).await;
    assert!(matches!(nowhere, Err(UpstreamError::Untrusted(_))));
}

#[tokio::test]
async fn an_answer_in_a_form_and_scopes_in_an_array_are_read() {
    let fake = FakeUpstream::start().await;
    fake.set(Fault::FormEncoded);
    let login = fake.login(&fake.github(), now()).await.unwrap();
    assert_eq!(login.tokens.scope.as_deref(), Some("read:user user:email"));
    assert!(login.tokens.expires_at.is_some());
    fake.clear();
    fake.set(Fault::ScopeArray);
    fake.set(Fault::ExpiresInString);
    let login = fake.login(&fake.github(), now()).await.unwrap();
    assert_eq!(login.tokens.scope.as_deref(), Some("read:user user:email"));
    assert!(login.tokens.expires_at.is_some());
    fake.clear();
    fake.set(Fault::NoExpiresIn);
    fake.set(Fault::NoRefreshToken);
    let login = fake.login(&fake.github(), now()).await.unwrap();
    assert_eq!((login.tokens.expires_at, login.tokens.refresh_token), (None, None));
}

async fn url_of(upstream: &Upstream) -> Vec<(String, String)> {
    let callback = Url::parse("https://mcp.example.com/callback?x=%2F+y").unwrap();
    let (state, nonce) = (Secret::from("the&state"), Secret::from("the+nonce"));
    let url = upstream.authorization_url(&callback, &state, &nonce, "the-challenge", now()).await.unwrap();
    assert_eq!(url.fragment(), None);
    url.query_pairs().into_owned().collect()
}

fn pairs(list: &[(&str, &str)]) -> Vec<(String, String)> {
    list.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

#[tokio::test]
async fn the_authorization_url_holds_this_and_nothing_else() {
    let google = Upstream::new(preset("google").unwrap(), "me", Some("secret".into()));
    assert_eq!(
        url_of(&google).await,
        pairs(&[
            ("response_type", "code"),
            ("client_id", "me"),
            ("redirect_uri", "https://mcp.example.com/callback?x=%2F+y"),
            ("state", "the&state"),
            ("scope", "openid email profile"),
            ("nonce", "the+nonce"),
            ("code_challenge", "the-challenge"),
            ("code_challenge_method", "S256"),
            ("access_type", "offline"),
            ("prompt", "consent"),
        ])
    );
    let app = Upstream::new(preset("github_app").unwrap(), "me", Some("secret".into())).pkce(Pkce::Off);
    assert_eq!(
        url_of(&app.authorization_endpoint("https://ghe.example/authorize?tenant=1")).await,
        pairs(&[
            ("tenant", "1"),
            ("response_type", "code"),
            ("client_id", "me"),
            ("redirect_uri", "https://mcp.example.com/callback?x=%2F+y"),
            ("state", "the&state"),
        ])
    );
}

#[tokio::test]
async fn resource_is_never_sent_and_no_other_name_is_either() {
    let fake = FakeUpstream::start().await;
    for upstream in [fake.oidc(), fake.github()] {
        let login = fake.login(&upstream, now()).await.unwrap();
        upstream.refresh(&login.tokens, now()).await.unwrap();
    }
    let names = |requests: Vec<mcp_login_testkit::fake_upstream::SeenRequest>| -> HashSet<String> {
        requests.into_iter().flat_map(|request| request.params).map(|(name, _)| name).collect()
    };
    let expect = |list: &[&str]| list.iter().map(|name| (*name).to_owned()).collect::<HashSet<_>>();
    assert_eq!(
        names(fake.seen_authorize()),
        expect(&[
            "response_type",
            "client_id",
            "redirect_uri",
            "state",
            "scope",
            "nonce",
            "code_challenge",
            "code_challenge_method"
        ])
    );
    assert_eq!(
        names(fake.seen_token()),
        expect(&[
            "grant_type",
            "code",
            "redirect_uri",
            "code_verifier",
            "client_id",
            "client_secret",
            "refresh_token"
        ])
    );
}

#[tokio::test]
async fn the_redirect_uri_is_the_same_in_both_requests() {
    let fake = FakeUpstream::start().await;
    fake.login(&fake.oidc(), now()).await.unwrap();
    let sent = fake.seen_authorize()[0].get("redirect_uri").unwrap().to_owned();
    assert_eq!(sent, "https://mcp.example.com/callback");
    assert_eq!(fake.seen_token()[0].get("redirect_uri"), Some(sent.as_str()));
}

#[tokio::test]
async fn every_way_to_prove_the_client() {
    let fake = FakeUpstream::start().await;
    for client_auth in [ClientAuth::Basic, ClientAuth::Post] {
        fake.login(&fake.oidc().client_auth(client_auth), now()).await.unwrap();
    }
    let seen = fake.seen_token();
    assert!(seen[0].authorization.is_some() && seen[0].get("client_secret").is_none());
    assert!(seen[1].authorization.is_none() && seen[1].get("client_secret").is_some());
    fake.set_public_client();
    let public = Upstream::new(preset("oidc").unwrap(), fake.client_id(), None)
        .issuer(fake.issuer())
        .client_auth(ClientAuth::None);
    assert_eq!(public.validate(), Ok(()));
    fake.login(&public, now()).await.unwrap();
}

#[tokio::test]
async fn without_pkce_no_verifier_is_sent() {
    let fake = FakeUpstream::start().await;
    fake.allow_no_pkce();
    fake.login(&fake.oidc().pkce(Pkce::Off), now()).await.unwrap();
    assert_eq!(fake.seen_authorize()[0].get("code_challenge"), None);
    assert_eq!(fake.seen_token()[0].get("code_verifier"), None);
}

#[tokio::test]
async fn the_address_needs_its_flag_and_the_flag_may_be_a_string() {
    let fake = FakeUpstream::start().await;
    let upstream = fake.oidc();
    for (flag, known) in
        [(json!("true"), true), (json!(false), false), (json!("false"), false), (json!(null), false)]
    {
        let mut user = FakeUser::new("dave").claim("org", json!("acme"));
        user.email_verified = flag.clone();
        fake.sign_in_as(user);
        let identity = fake.login(&upstream, now()).await.unwrap().identity;
        assert_eq!(identity.email.is_some(), known, "{flag}");
        assert_eq!(identity.claims.get("org"), Some(&json!("acme")));
    }
}

#[tokio::test]
async fn a_second_spelling_of_the_issuer_is_believed_when_it_is_configured() {
    let fake = FakeUpstream::start().await;
    let other = fake.issuer().strip_prefix("http://").unwrap().to_owned();
    fake.set(Fault::IssuerIs(other.clone()));
    let refused = fake.login(&fake.oidc(), now()).await;
    assert!(matches!(refused, Err(UpstreamError::Untrusted(_))), "{refused:?}");
    fake.login(&fake.oidc().issuer_alias(other), now()).await.unwrap();
}
