//! Other answers that a service gives, by a setting of the app or a mood of its own.

use std::time::Duration;

use mcp_login::upstream::{Login, UpstreamError};

use crate::run::Run;
use crate::shape::shape;

/// A login in which the code is answered with this.
async fn log_in(name: &str, answer: &str) -> (Run<'static>, Result<Login, UpstreamError>) {
    let run = Run::new(name, shape(name)).await;
    run.play(answer, None);
    let login = run.exchange(&run.shape.callback).await;
    run.services.seen();
    (run, login)
}

#[tokio::test]
async fn tidals_refresh_token_is_used_if_one_comes() {
    let answer =
        r#"{"token_type":"Bearer","access_token":"a","expires_in":14400,"user_id":1,"refresh_token":"r"}"#;
    let (run, login) = log_in("tidal", answer).await;
    run.services.answers(&run.shape.exchange.to, r#"{"access_token":"b","expires_in":14400}"#);
    let renewed = run.upstream.refresh(&login.unwrap().tokens, run.now).await.unwrap();
    assert_eq!(renewed.access_token.expose_secret(), "b");
    let sent = &run.services.seen()[0];
    assert_eq!(
        (sent.get("grant_type"), sent.get("refresh_token")),
        (Some("refresh_token".into()), Some("r".into()))
    );
}

#[tokio::test]
async fn tokens_that_do_not_end_come_without_a_refresh_token() {
    for (name, answer) in [
        // An app that opted out of expiry.
        ("github_app", r#"{"access_token":"a","scope":"","token_type":"bearer"}"#),
        // Token rotation is off.
        (
            "slack",
            r#"{"ok":true,"team":{"id":"T"},"authed_user":{"id":"U","access_token":"a","token_type":"user"}}"#,
        ),
        ("notion", r#"{"access_token":"a","refresh_token":null,"owner":{"type":"user","user":{"id":"d"}}}"#),
        // An older app.
        ("todoist", r#"{"access_token":"a","token_type":"Bearer"}"#),
    ] {
        let (run, login) = log_in(name, answer).await;
        let tokens = login.unwrap().tokens;
        assert_eq!((&tokens.refresh_token, tokens.expires_at), (&None, None), "{name}");
        assert!(!tokens.is_stale(run.now.plus(Duration::from_secs(365 * 24 * 3600))), "{name}");
    }
}

#[tokio::test]
async fn a_bots_token_is_nobodys() {
    for user in [r#"{"id":"U"}"#, "null"] {
        let answer = format!(
            r#"{{"ok":true,"access_token":"xoxb-bot","token_type":"bot","team":{{"id":"T"}},"authed_user":{user}}}"#
        );
        let (_, login) = log_in("slack", &answer).await;
        assert!(matches!(login, Err(UpstreamError::Untrusted(_))), "{login:?}");
    }
}

#[tokio::test]
async fn a_form_is_read_as_what_it_says() {
    // What GitHub answers to whoever does not ask for JSON.
    let (run, login) =
        log_in("github_app", "access_token=a%2Bb&expires_in=28800&refresh_token=r&scope=&token_type=bearer")
            .await;
    let tokens = login.unwrap().tokens;
    assert_eq!(tokens.access_token.expose_secret(), "a+b");
    assert_eq!(tokens.expires_at, Some(run.now.plus(Duration::from_secs(28800))));
    let (_, refused) = log_in("github", "error=bad_verification_code&error_description=x").await;
    assert!(matches!(refused, Err(UpstreamError::Refused { error }) if error == "bad_verification_code"));
}
