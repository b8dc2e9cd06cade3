#![allow(clippy::unwrap_used)]
use serde_json::json;

use super::super::provider::preset;
use super::*;

const NOW: u64 = 1_700_000_000;

fn check(change: impl FnOnce(&mut Map<String, Value>)) -> Result<(), &'static str> {
    let Value::Object(mut claims) = json!({
        "iss": "https://accounts.google.com", "aud": "me", "sub": "248289761001", "nonce": "n-0S6_WzA2Mj",
        "exp": NOW + 3600, "iat": NOW,
    }) else {
        unreachable!()
    };
    change(&mut claims);
    let expected = Expected {
        provider: &preset("google").unwrap(),
        client_id: "me",
        nonce: &Secret::from("n-0S6_WzA2Mj"),
        access_token: &Secret::from("jHkWEdUXMU1BwAsC4vtUsZwnNvTIxEl0z9K3vx5KF0Y"),
        now: Timestamp::from_millis(NOW * 1000),
    };
    check_claims(&claims, Algorithm::RS256, &expected)
}

fn with(name: &str, value: Value) -> Result<(), &'static str> {
    check(|claims| {
        claims.insert(name.to_owned(), value);
    })
}

#[test]
fn the_plain_token_holds() {
    assert_eq!(check(|_| ()), Ok(()));
}

#[test]
fn every_required_claim_is_required() {
    for name in ["iss", "aud", "sub", "exp", "iat", "nonce"] {
        let missing = check(|claims| {
            claims.remove(name);
        });
        assert!(missing.is_err(), "{name} missing");
        for wrong in [json!(null), json!(true), json!({}), json!([])] {
            assert!(with(name, wrong.clone()).is_err(), "{name} = {wrong}");
        }
    }
}

#[test]
fn the_issuer_is_compared_byte_for_byte() {
    assert_eq!(with("iss", json!("accounts.google.com")), Ok(()), "Google's other spelling");
    for iss in ["https://accounts.google.com/", "HTTPS://accounts.google.com", "https://evil.example"] {
        assert!(with("iss", json!(iss)).is_err(), "{iss}");
    }
}

#[test]
fn several_audiences_need_azp() {
    assert_eq!(with("aud", json!(["me"])), Ok(()));
    assert!(with("aud", json!(["you"])).is_err());
    assert!(with("aud", json!(["me", "you"])).is_err());
    let azp = |azp: &str| {
        check(|claims| {
            claims.insert("aud".to_owned(), json!(["you", "me"]));
            claims.insert("azp".to_owned(), json!(azp));
        })
    };
    assert_eq!(azp("me"), Ok(()));
    assert!(azp("you").is_err());
    assert!(with("azp", json!("you")).is_err(), "azp counts with one audience too");
}

#[test]
fn times_have_thirty_seconds_of_tolerance() {
    assert_eq!(with("exp", json!(NOW - 29)), Ok(()));
    assert!(with("exp", json!(NOW - 30)).is_err());
    assert_eq!(with("iat", json!(NOW + 30)), Ok(()));
    assert!(with("iat", json!(NOW + 31)).is_err());
    assert_eq!(with("nbf", json!(NOW + 30)), Ok(()));
    assert!(with("nbf", json!(NOW + 31)).is_err());
    assert!(with("nbf", json!("now")).is_err());
    assert_eq!(with("exp", json!(1_700_000_100.5)), Ok(()));
    assert!(with("exp", json!("1700003600")).is_err());
}

#[test]
fn at_hash_follows_the_worked_example() {
    // The access token of OpenID Connect Core 1.0 §A.3 and the at_hash of its id_token.
    assert_eq!(with("at_hash", json!("77QmUPtjPfzWtF2AnpK9RQ")), Ok(()));
    assert!(with("at_hash", json!("77QmUPtjPfzWtF2AnpK9RA")).is_err());
    assert!(with("at_hash", json!(null)).is_err());
}

#[test]
fn the_nonce_is_the_one_of_this_login() {
    assert!(with("nonce", json!("n-0S6_WzA2Mk")).is_err());
}
