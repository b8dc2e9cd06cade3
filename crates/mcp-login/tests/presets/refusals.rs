//! What services say in the place of an answer: errors in a 200, objects, accounts that are not active.

use mcp_login::upstream::UpstreamError;

use crate::run::Run;
use crate::shape::shape;

/// What comes of a login in which the code is answered with this.
async fn answered(name: &str, status: u16, body: &str) -> UpstreamError {
    let run = Run::new(name, shape(name)).await;
    run.services.answers_with(&run.shape.exchange.to, status, body);
    let error = run.exchange(&run.shape.callback).await.unwrap_err();
    let shown = format!("{error} {error:?}");
    assert!(!shown.contains("do-not-show"), "{shown}");
    error
}

fn word(error: &UpstreamError) -> &str {
    match error {
        UpstreamError::Refused { error } => error,
        other => panic!("{other}"),
    }
}

#[tokio::test]
async fn github_says_no_with_200() {
    let bad_code = r#"{"error":"bad_verification_code","error_description":"do-not-show"}"#;
    assert_eq!(word(&answered("github", 200, bad_code).await), "bad_verification_code");
    for (code, key) in
        [("incorrect_client_credentials", "client_secret: "), ("redirect_uri_mismatch", "client_id: ")]
    {
        let error = answered("github_app", 200, &format!(r#"{{"error":"{code}"}}"#)).await;
        assert!(
            matches!(error, UpstreamError::Misconfigured(_)) && error.to_string().starts_with(key),
            "{error}"
        );
    }
    let todoist = answered("todoist", 400, r#"{"error":"incorrect_application_credentials"}"#).await;
    assert!(todoist.to_string().starts_with("client_secret: "), "{todoist}");
    // Even beside a token.
    let both = r#"{"access_token":"do-not-show","token_type":"bearer","error":"bad_verification_code"}"#;
    assert_eq!(word(&answered("github", 200, both).await), "bad_verification_code");
}

#[tokio::test]
async fn slack_says_no_with_ok_false() {
    for name in ["slack", "slack_oidc"] {
        let error = answered(name, 200, r#"{"ok":false,"error":"invalid_code"}"#).await;
        assert_eq!(word(&error), "invalid_code", "{name}");
        assert_eq!(word(&answered(name, 200, r#"{"ok":false}"#).await), "unrecognized_error", "{name}");
        let secret = answered(name, 200, r#"{"ok":false,"error":"bad_client_secret"}"#).await;
        assert!(secret.to_string().starts_with("client_secret: "), "{name}: {secret}");
        let busy = answered(name, 200, r#"{"ok":false,"error":"ratelimited"}"#).await;
        assert!(matches!(busy, UpstreamError::Unavailable { .. }), "{name}: {busy}");
    }
    let mean = r#"{"ok":false,"authed_user":{"id":"U1","access_token":"do-not-show"},"team":{"id":"T1"}}"#;
    assert_eq!(word(&answered("slack", 200, mean).await), "unrecognized_error");
}

#[tokio::test]
async fn slacks_person_is_all_of_team_and_user() {
    for answer in [
        r#"{"ok":true,"authed_user":{"id":"U1","access_token":"x","token_type":"user"}}"#,
        r#"{"ok":true,"team":{"id":"T1"},"authed_user":{"access_token":"x","token_type":"user"}}"#,
        r#"{"ok":true,"team":{"id":"T:1"},"authed_user":{"id":"U1","access_token":"x","token_type":"user"}}"#,
    ] {
        let error = answered("slack", 200, answer).await;
        assert!(matches!(error, UpstreamError::Untrusted(_)), "{answer}: {error}");
    }
}

#[tokio::test]
async fn facebooks_errors_are_objects() {
    let said = |code: i64| {
        format!(r#"{{"error":{{"message":"do-not-show","type":"OAuthException","code":{code}}}}}"#)
    };
    assert_eq!(word(&answered("facebook", 400, &said(190)).await), "invalid_grant");
    assert_eq!(word(&answered("facebook", 400, &said(100)).await), "unrecognized_error");
    for busy in [1, 2, 4, 17, 341] {
        let error = answered("facebook", 400, &said(busy)).await;
        assert!(matches!(error, UpstreamError::Unavailable { .. }), "{busy}: {error}");
    }
}

#[tokio::test]
async fn facebooks_longer_life_has_to_come() {
    let run = Run::new("facebook", shape("facebook")).await;
    let (to, answer) = (&run.shape.exchange.to, &run.shape.answer);
    run.services.answers(to, answer);
    run.services.answers_with(to, 503, "");
    let error = run.exchange(&run.shape.callback).await.unwrap_err();
    assert!(matches!(error, UpstreamError::Unavailable { .. }), "{error}");
    run.services.answers(to, answer);
    run.services.answers(to, r#"{"error":{"code":190}}"#);
    assert_eq!(word(&run.exchange(&run.shape.callback).await.unwrap_err()), "invalid_grant");
    // The proof belongs to the token that is used: it changes with it.
    run.services.seen();
    run.services.answers(to, answer);
    run.services.answers(to, r#"{"access_token":"another","expires_in":1}"#);
    run.services.answers("https://graph.facebook.com/v24.0/me", run.shape.person.clone().unwrap());
    run.exchange(&run.shape.callback).await.unwrap();
    let asked = run.services.seen().pop().unwrap().url;
    assert_ne!(asked, run.shape.userinfo.as_ref().unwrap().to);
    assert!(asked.contains("&appsecret_proof="), "{asked}");
}

#[tokio::test]
async fn an_account_that_is_not_active_does_not_log_in() {
    let person = shape("gitlab").person.as_ref().unwrap();
    for state in [r#""blocked""#, r#""deactivated""#, "null", "true"] {
        let run = Run::new("gitlab", shape("gitlab")).await;
        run.services.answers(&run.shape.exchange.to, &run.shape.answer);
        let changed = person.replace(r#""active""#, state);
        assert_ne!(&changed, person);
        run.services.answers(&run.shape.userinfo.as_ref().unwrap().to, changed);
        let error = run.exchange(&run.shape.callback).await.unwrap_err();
        assert_eq!(word(&error), "account_not_active", "{state}");
    }
    let without = person.replace(r#""state":"active","#, "");
    let run = Run::new("gitlab", shape("gitlab")).await;
    run.services.answers(&run.shape.exchange.to, &run.shape.answer);
    run.services.answers(&run.shape.userinfo.as_ref().unwrap().to, without);
    assert_eq!(word(&run.exchange(&run.shape.callback).await.unwrap_err()), "account_not_active");
}

#[tokio::test]
async fn a_notion_workspace_without_a_person_is_nobody() {
    let error =
        answered("notion", 200, r#"{"access_token":"x","owner":{"type":"workspace","workspace":true}}"#)
            .await;
    assert!(matches!(error, UpstreamError::Untrusted(_)), "{error}");
}

#[tokio::test]
async fn whoever_writes_another_company_into_the_callback_stays_who_they_are() {
    let run = Run::new("quickbooks", shape("quickbooks")).await;
    run.play(&run.shape.answer, run.shape.person.as_deref());
    let forged = std::collections::BTreeMap::from([("realmId".to_owned(), "1".to_owned())]);
    let login = run.exchange(&forged).await.unwrap();
    assert_eq!(login.identity.subject, run.shape.subject);
    assert_ne!(login.identity.subject, "1");
}
