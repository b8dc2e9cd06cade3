#![allow(clippy::unwrap_used, clippy::panic)]
use serde_json::json;

use super::*;

fn at(seconds: u64) -> Timestamp {
    Timestamp::from_millis(seconds * 1000)
}

fn read(answer: &Value) -> Result<UpstreamTokens, UpstreamError> {
    read_as("oauth2", answer)
}

fn read_as(preset: &str, answer: &Value) -> Result<UpstreamTokens, UpstreamError> {
    let provider = crate::upstream::preset(preset).unwrap();
    UpstreamTokens::from_answer(answer.as_object().unwrap(), &provider, at(1000))
}

#[test]
fn a_lifetime_may_be_a_number_a_string_or_missing() {
    let ends =
        |expires_in: Value| read(&json!({"access_token": "a", "expires_in": expires_in})).unwrap().expires_at;
    assert_eq!(ends(json!(3600)), Some(at(4600)));
    assert_eq!(ends(json!("3600")), Some(at(4600)));
    assert_eq!(ends(json!(3600.7)), Some(at(4600)));
    for unknown in [json!(null), json!(0), json!(-1), json!("soon"), json!([]), json!("NaN")] {
        assert_eq!(ends(unknown.clone()), None, "{unknown}");
    }
    assert_eq!(ends(json!(1e300)), Some(at(1000).plus(MAX_LIFETIME)));
    let endless = read(&json!({"access_token": "a"})).unwrap();
    assert!(!endless.is_stale(Timestamp::from_millis(u64::MAX)));
}

#[test]
fn stale_is_a_minute_before_the_end_or_a_tenth_of_a_short_life() {
    let hour = read(&json!({"access_token": "a", "expires_in": 3600})).unwrap();
    assert!(!hour.is_stale(at(4539)));
    assert!(hour.is_stale(at(4540)));
    let short = read(&json!({"access_token": "a", "expires_in": 10})).unwrap();
    assert!(!short.is_stale(at(1008)));
    assert!(short.is_stale(at(1009)));
    let second = read(&json!({"access_token": "a", "expires_in": 1})).unwrap();
    assert!(!second.is_stale(at(1000)), "a token must be usable at least once");
}

#[test]
fn scopes_come_out_separated_by_spaces() {
    let scope = |scope: Value| read(&json!({"access_token": "a", "scope": scope})).unwrap().scope;
    assert_eq!(scope(json!("a b")).as_deref(), Some("a b"));
    assert_eq!(scope(json!("read:user,user:email")).as_deref(), Some("read:user user:email"));
    assert_eq!(scope(json!(["a", "b"])).as_deref(), Some("a b"));
    assert_eq!(scope(json!(null)), None);
}

#[test]
fn what_is_no_bearer_token_is_refused() {
    for bad in [
        json!({}),
        json!({"access_token": ""}),
        json!({"access_token": 7}),
        json!({"access_token": "a\r\nb"}),
        json!({"access_token": "a", "token_type": "DPoP"}),
    ] {
        assert!(matches!(read(&bad), Err(UpstreamError::Untrusted(_))), "{bad}");
    }
    assert_eq!(read(&json!({"access_token": "a", "token_type": "bearer"})).unwrap().token_type, "Bearer");
    for slacks in ["user", "bot"] {
        let answer = json!({"access_token": "a", "token_type": slacks});
        assert_eq!(read_as("slack", &answer).unwrap().token_type, "Bearer");
        assert!(read(&answer).is_err(), "{slacks}");
    }
}

#[test]
fn debug_shows_no_token_and_serde_keeps_them() {
    let tokens =
        read(&json!({"access_token": "hunter2", "refresh_token": "hunter3", "expires_in": 5})).unwrap();
    assert!(!format!("{tokens:?}").contains("hunter"));
    let back: UpstreamTokens = serde_json::from_str(&serde_json::to_string(&tokens).unwrap()).unwrap();
    assert_eq!(back, tokens);
}

#[test]
fn refusals_are_told_apart() {
    assert!(matches!(refusal("invalid_grant"), UpstreamError::Refused { error } if error == "invalid_grant"));
    assert!(matches!(refusal("bad_verification_code"), UpstreamError::Refused { .. }));
    for (error, key) in [
        ("invalid_client", "client_secret"),
        ("incorrect_client_credentials", "client_secret"),
        ("redirect_uri_mismatch", "client_id"),
        ("invalid_scope", "scopes"),
    ] {
        let UpstreamError::Misconfigured(text) = refusal(error) else { panic!("{error}") };
        assert!(text.starts_with(&format!("{key}: ")), "{text}");
    }
    assert!(matches!(refusal("temporarily_unavailable"), UpstreamError::Unavailable { .. }));
}

#[test]
fn a_token_in_the_place_of_an_error_code_is_not_repeated() {
    for hostile in ["gho_16C7e42F292c6912E7710c838347Ae178B4a", "Invalid Token!", "", "a\nb", &"x".repeat(41)]
    {
        assert!(
            matches!(refusal(hostile), UpstreamError::Refused { error } if error == "unrecognized_error"),
            "{hostile}"
        );
    }
}

fn answer(status: u16, body: &Value) -> Answer {
    Answer::of(StatusCode::from_u16(status).unwrap(), body.to_string().into_bytes())
}

#[test]
fn what_says_that_a_refresh_token_is_dead_differs() {
    let dead = |preset: &str, status, body: &Value| {
        says_dead(&answer(status, body), &crate::upstream::preset(preset).unwrap().dead_refresh)
    };
    let invalid_request = json!({"error": "invalid_request"});
    assert!(dead("bitbucket", 400, &invalid_request));
    assert!(!dead("github", 400, &invalid_request));
    assert!(dead("atlassian", 403, &json!({"error": "unauthorized_client"})));
    assert!(!dead("atlassian", 401, &json!({"error": "unauthorized_client"})));
    assert!(dead("zoom", 400, &json!({"reason": "Invalid Token!", "error": "invalid_request"})));
    assert!(!dead(
        "zoom",
        400,
        &json!({"reason": "Invalid client_id or client_secret", "error": "invalid_client"})
    ));
    assert!(!dead("bitbucket", 200, &json!({"access_token": "a", "error": "invalid_request"})));
    assert!(dead("twitch", 400, &json!({"status": 400, "message": "Invalid refresh token"})));
    assert!(!dead("twitch", 403, &json!({"status": 403, "message": "invalid client secret"})));
    let strava = |resource: &str| json!({"message": "Bad Request", "errors": [{"resource": resource}]});
    assert!(dead("strava", 400, &strava("RefreshToken")));
    assert!(!dead("strava", 400, &strava("Application")));
    let x = |text: &str| json!({"error": "invalid_request", "error_description": text});
    assert!(dead("x", 400, &x("Value passed for the token was invalid.")));
    assert!(!dead("x", 400, &x("Missing required parameter [refresh_token].")));
    assert!(dead("reddit", 400, &json!({"message": "Bad Request", "error": 400})));
}

#[test]
fn an_error_in_a_200_is_an_error() {
    let accepted =
        |preset: &str, body: &Value| accept(&answer(200, body), &crate::upstream::preset(preset).unwrap());
    let refused = |preset: &str, body: &Value| match accepted(preset, body) {
        Err(UpstreamError::Refused { error }) => error,
        other => panic!("{other:?}"),
    };
    let github = json!({"error": "bad_verification_code", "error_description": "…"});
    assert_eq!(refused("github", &github), "bad_verification_code");
    assert_eq!(refused("slack", &json!({"ok": false, "error": "invalid_code"})), "invalid_code");
    assert_eq!(refused("slack", &json!({"ok": false, "error": "invalid_refresh_token"})), "invalid_grant");
    assert_eq!(refused("slack_oidc", &json!({"ok": false})), "unrecognized_error");
    assert!(
        accepted("github", &json!({"ok": false, "access_token": "a"})).is_ok(),
        "it is no error elsewhere"
    );
    let facebook = |code: i64| json!({"error": {"message": "…", "type": "OAuthException", "code": code}});
    assert_eq!(refused("facebook", &facebook(190)), "invalid_grant");
    assert_eq!(refused("facebook", &facebook(100)), "unrecognized_error");
    assert!(matches!(accepted("facebook", &facebook(4)), Err(UpstreamError::Unavailable { .. })));
}
