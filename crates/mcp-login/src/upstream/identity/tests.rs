#![allow(clippy::unwrap_used, clippy::panic)]
use serde_json::json;

use super::super::provider::preset;
use super::*;

fn object(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(object) => object,
        other => panic!("{other} is no object"),
    }
}

fn github(userinfo: Value) -> Result<Identity, UpstreamError> {
    let sources = Sources { userinfo: object(userinfo), ..Sources::default() };
    sources.into_identity(&preset("github").unwrap())
}

fn oidc(id_token: Value, userinfo: Value) -> Result<Identity, UpstreamError> {
    let sources = Sources { id_token: object(id_token), userinfo: object(userinfo), ..Sources::default() };
    sources.into_identity(&preset("oidc").unwrap())
}

#[test]
fn a_number_becomes_a_decimal_string() {
    let identity =
        github(json!({"id": 583_231, "login": "octocat", "name": null, "email": "o@example.com"})).unwrap();
    assert_eq!(identity.subject, "583231");
    assert_eq!(identity.preferred_username.as_deref(), Some("octocat"));
    assert_eq!(identity.email, None, "GitHub's public address is not called verified");
    assert_eq!(identity.name, None);
}

#[test]
fn a_subject_is_there_whole_and_bounded() {
    for id in [json!(null), json!(""), json!(1.5), json!(1e30), json!(true), json!([1]), json!("a\nb")] {
        assert!(matches!(github(json!({"id": id})), Err(UpstreamError::Untrusted(_))), "{id}");
    }
    assert!(github(json!({"login": "octocat", "email": "o@example.com"})).is_err(), "never by name");
    assert!(github(json!({"id": "x".repeat(255)})).is_ok());
    assert!(github(json!({"id": "x".repeat(256)})).is_err());
}

#[test]
fn parts_are_joined_and_cannot_be_confused() {
    let mut provider = preset("oidc").unwrap();
    provider.subject = vec!["id_token:/tid".to_owned(), "token:/team/id".to_owned()];
    let join = |tid: &str, team: &str| {
        let sources = Sources {
            id_token: object(json!({"sub": "s", "tid": tid})),
            token: object(json!({"team": {"id": team}})),
            ..Sources::default()
        };
        sources.into_identity(&provider).map(|identity| identity.subject)
    };
    assert_eq!(join("t", "1").unwrap(), "t:1");
    assert!(join("t:1", "2").is_err());
}

#[test]
fn pointers_follow_rfc_6901() {
    let source = object(json!({"https://a/b": 1, "m~n": {"x/y": [2, 3]}, "": 4}));
    assert_eq!(point(&source, "/https:~1~1a~1b"), Some(&json!(1)));
    assert_eq!(point(&source, "/m~0n/x~1y/1"), Some(&json!(3)));
    assert_eq!(point(&source, "/"), Some(&json!(4)));
    assert_eq!(point(&source, "/nope"), None);
}

#[test]
fn an_address_counts_only_when_verified() {
    let email = |verified: Value| {
        oidc(json!({"sub": "s"}), json!({"sub": "s", "email": "a@example.com", "email_verified": verified}))
            .unwrap()
            .email
    };
    assert_eq!(email(json!(true)).as_deref(), Some("a@example.com"));
    assert_eq!(email(json!("true")).as_deref(), Some("a@example.com"));
    for not in [json!(false), json!("false"), json!(null), json!(1), json!("yes")] {
        assert_eq!(email(not.clone()), None, "{not}");
    }
    let mixed = oidc(
        json!({"sub": "s", "email": "signed@example.com", "email_verified": false}),
        json!({"sub": "s", "email_verified": true}),
    );
    assert_eq!(
        mixed.unwrap().email,
        None,
        "a flag of one source says nothing about the address of the other"
    );
}

#[test]
fn userinfo_must_be_about_the_same_person() {
    assert!(oidc(json!({"sub": "a"}), json!({"sub": "b"})).is_err());
    assert!(oidc(json!({"sub": "a"}), json!({"email": "x@example.com"})).is_err(), "sub is required there");
    assert!(oidc(json!({"sub": "a"}), json!({})).is_ok(), "no userinfo endpoint");
}

#[test]
fn the_signed_claim_wins_and_protocol_claims_stay_out() {
    let identity = oidc(
        json!({"sub": "s", "org": "acme", "nonce": "n", "at_hash": "h", "exp": 1}),
        json!({"sub": "s", "org": "evil", "team": ["x"], "big": "y".repeat(MAX_CLAIMS)}),
    )
    .unwrap();
    assert_eq!(Value::Object(identity.claims), json!({"sub": "s", "org": "acme", "team": ["x"]}));
}
