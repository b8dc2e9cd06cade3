//! What an `id_token` has to be at services that are particular about it.

use mcp_login::upstream::{Login, UpstreamError};
use serde_json::{Value, json};

use crate::run::Run;
use crate::shape::shape;

/// A login with the claims changed.
async fn log_in(name: &str, change: impl FnOnce(&Run<'_>, &mut Value)) -> Result<Login, UpstreamError> {
    let run = Run::new(name, shape(name)).await;
    let mut claims = run.claims();
    change(&run, &mut claims);
    run.play(&run.shape.answer, Some(&run.sign(&claims)));
    run.discover();
    run.exchange(&run.shape.callback).await
}

fn untrusted(result: Result<Login, UpstreamError>) -> &'static str {
    match result {
        Err(UpstreamError::Untrusted(why)) => why,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn google_has_two_names_and_no_third() {
    let spelt = |iss: &'static str| log_in("google", move |_, claims| claims["iss"] = json!(iss));
    spelt("accounts.google.com").await.unwrap();
    for other in ["https://accounts.google.com/", "https://accounts.google.com", "accounts.google.com/", ""] {
        // The first spelling was moved to loopback with the rest, so here it is a stranger's.
        assert_eq!(untrusted(spelt(other).await), "the id_token is from another issuer", "{other}");
    }
}

#[tokio::test]
async fn auth0s_slash_counts() {
    let spelt = |end: &'static str| {
        log_in("auth0", move |run, claims| {
            claims["iss"] = json!(run.services.moved(&format!("https://acme.eu.auth0.com{end}")));
        })
    };
    spelt("/").await.unwrap();
    for other in ["", "//", "/x"] {
        assert_eq!(untrusted(spelt(other).await), "the id_token is from another issuer", "{other:?}");
    }
}

#[tokio::test]
async fn linkedin_alone_may_leave_the_nonce_out() {
    log_in("linkedin", |_, _| {}).await.unwrap();
    let given = log_in("linkedin", |_, claims| claims["nonce"] = json!("another")).await;
    assert!(untrusted(given).contains("nonce"), "one that is there has to be right");
    for name in ["google", "apple", "twitch", "slack_oidc", "xero"] {
        let without = log_in(name, |_, claims| claims["nonce"] = Value::Null).await;
        assert_eq!(untrusted(without), "the id_token has no nonce", "{name}");
    }
}

#[tokio::test]
async fn another_apps_token_is_refused() {
    let aud = log_in("google", |_, claims| claims["aud"] = json!("another-client")).await;
    assert_eq!(untrusted(aud), "the id_token is for another client");
    let azp = log_in("google", |_, claims| claims["azp"] = json!("another-client")).await;
    assert!(untrusted(azp).contains("azp"));
}

#[tokio::test]
async fn userinfo_is_about_the_person_of_the_id_token() {
    for name in ["google", "linkedin", "salesforce", "slack_oidc", "twitch"] {
        let other = log_in(name, |_, claims| claims["sub"] = json!("somebody-else")).await;
        assert_eq!(untrusted(other), "the userinfo is about somebody else than the id_token", "{name}");
    }
}

#[tokio::test]
async fn an_address_counts_when_it_is_called_verified_even_in_a_string() {
    for (flag, known) in
        [(json!("true"), true), (json!(true), true), (json!("false"), false), (json!(null), false)]
    {
        let shown = flag.clone();
        let login = log_in("apple", |_, claims| claims["email_verified"] = flag).await.unwrap();
        assert_eq!(login.identity.email.is_some(), known, "{shown}");
    }
}

#[tokio::test]
async fn a_token_that_is_signed_with_the_secret_is_refused() {
    // Supabase's metadata names HS256 whatever the keys are.
    let run = Run::new("supabase", shape("supabase")).await;
    let forged = run.forged(&run.claims());
    run.play(&run.shape.answer, Some(&forged));
    let why = untrusted(run.exchange(&run.shape.callback).await);
    assert_eq!(why, "the id_token is signed with an algorithm that is not allowed");
}
