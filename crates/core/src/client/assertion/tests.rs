#![allow(clippy::unwrap_used)]

use serde_json::json;

use super::*;

const NOW: u64 = 1_800_000_000;

fn claims() -> Value {
    json!({
        "iss": "client", "sub": "client", "aud": "https://mcp.example.com", "exp": NOW + 60, "iat": NOW, "jti": "1",
    })
}

fn with(name: &str, value: Value) -> Value {
    let mut claims = claims();
    claims[name] = value;
    claims
}

fn without(name: &str) -> Value {
    let mut claims = claims();
    claims.as_object_mut().unwrap().remove(name);
    claims
}

fn check_typed(typ: Option<&str>, claims: &Value) -> Result<CheckedAssertion, AssertionError> {
    let expected = Expected {
        client_id: "client",
        issuer: "https://mcp.example.com",
        token_endpoint: "https://mcp.example.com/token",
        now: Timestamp::from_millis(NOW * 1000),
    };
    check_assertion(typ, claims.as_object().unwrap(), &expected)
}

fn check(claims: &Value) -> Result<CheckedAssertion, AssertionError> {
    check_typed(None, claims)
}

#[test]
fn an_assertion_tells_how_long_it_has_to_be_remembered() {
    let checked = check(&claims()).unwrap();
    assert_eq!(checked.jti, "1");
    assert_eq!(checked.remember_until, Timestamp::from_millis((NOW + 120) * 1000));
}

#[test]
fn the_client_speaks_of_itself() {
    for name in ["iss", "sub"] {
        for wrong in [json!("other"), json!("Client"), json!(["client"]), json!(null), json!("")] {
            assert_eq!(check(&with(name, wrong)), Err(AssertionError::Client), "{name}");
        }
        assert_eq!(check(&without(name)), Err(AssertionError::Client), "{name}");
    }
}

#[test]
fn it_is_for_this_server_and_no_other() {
    let (issuer, endpoint) = ("https://mcp.example.com", "https://mcp.example.com/token");
    for fine in [json!(issuer), json!(endpoint), json!([issuer]), json!([endpoint])] {
        assert!(check(&with("aud", fine.clone())).is_ok(), "{fine}");
    }
    for wrong in [
        json!("https://mcp.example.com/"),
        json!("https://MCP.example.com"),
        json!("https://evil.example"),
        json!("client"),
        json!([issuer, "https://evil.example"]),
        json!(["https://evil.example", issuer]),
        json!([issuer, endpoint]),
        json!([]),
        json!([[issuer]]),
        json!({"a": issuer}),
        json!(null),
    ] {
        assert_eq!(check(&with("aud", wrong.clone())), Err(AssertionError::Audience), "{wrong}");
    }
    assert_eq!(check(&without("aud")), Err(AssertionError::Audience));
}

#[test]
fn it_ends_soon() {
    assert_eq!(check(&without("exp")), Err(AssertionError::NoExpiry));
    for wrong in [json!("1800000060"), json!(null), json!(-1), json!(1e300)] {
        assert_eq!(check(&with("exp", wrong.clone())), Err(AssertionError::NoExpiry), "{wrong}");
    }
    // Both clocks may be a minute wrong.
    assert!(check(&with("exp", json!(NOW - 59))).is_ok());
    assert_eq!(check(&with("exp", json!(NOW - 60))), Err(AssertionError::Expired));
    assert_eq!(check(&with("exp", json!(0))), Err(AssertionError::Expired));
    assert!(check(&with("exp", json!(NOW + 660))).is_ok());
    assert_eq!(check(&with("exp", json!(NOW + 661))), Err(AssertionError::TooLong));
    assert!(check(&with("exp", json!(1_800_000_060.5))).is_ok());
}

#[test]
fn it_is_not_from_the_future() {
    for name in ["iat", "nbf"] {
        assert!(check(&with(name, json!(NOW + 60))).is_ok());
        assert_eq!(check(&with(name, json!(NOW + 61))), Err(AssertionError::NotYet), "{name}");
        assert_eq!(check(&with(name, json!("now"))), Err(AssertionError::NotYet), "{name}");
        assert!(check(&without(name)).is_ok());
    }
}

#[test]
fn it_can_be_told_from_others() {
    assert_eq!(check(&without("jti")), Err(AssertionError::Jti));
    for wrong in [json!(""), json!(1), json!("x".repeat(257))] {
        assert_eq!(check(&with("jti", wrong)), Err(AssertionError::Jti));
    }
    assert!(check(&with("jti", json!("x".repeat(256)))).is_ok());
}

#[test]
fn no_other_kind_of_token_stands_in_for_it() {
    for fine in [None, Some("JWT"), Some("jwt"), Some("client-authentication+jwt"), Some("application/jwt")] {
        assert!(check_typed(fine, &claims()).is_ok(), "{fine:?}");
    }
    for wrong in ["at+jwt", "dpop+jwt", "oauth-id-jag+jwt", "application/at+jwt", ""] {
        assert_eq!(check_typed(Some(wrong), &claims()), Err(AssertionError::Type), "{wrong}");
    }
}

#[test]
fn every_refusal_can_be_said_on_the_wire() {
    use AssertionError::*;
    for error in [Type, Client, Audience, NoExpiry, Expired, TooLong, NotYet, Jti] {
        assert_eq!(OAuthError::from(error).code, crate::ErrorCode::InvalidClient);
    }
}
