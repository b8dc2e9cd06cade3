//! Identity assertions (ID-JAG, draft-ietf-oauth-identity-assertion-authz-grant; SEP-990): what a company's identity
//! provider says of a person to this server, about one client. Who signed has been checked before.

use std::time::Duration;

use serde_json::{Map, Value};

use crate::dpop::JwkThumbprint;
use crate::error::{ErrorCode, OAuthError};
use crate::jwt::{jti, numeric_date, sole};
use crate::resource_indicator::Resources;
use crate::scope::Scopes;
use crate::timestamp::Timestamp;

/// What the header of an assertion says that it is (draft §3).
pub const TYP: &str = "oauth-id-jag+jwt";
/// Two clocks may differ by this much.
const TOLERANCE: Duration = Duration::from_secs(30);
/// The longest that an assertion may still live: for so long its identifier has to be remembered.
const MAX_LIFETIME: Duration = Duration::from_secs(60 * 60);
/// What the claims are held against.
#[derive(Debug, Clone, Copy)]
pub struct Expected<'a> {
    /// The identity provider whose key signed.
    pub issuer: &'a str,
    /// This server's issuer identifier.
    pub audience: &'a str,
    /// The authenticated client.
    pub client_id: &'a str,
    /// The servers that tokens can be for.
    pub resources: &'a Resources,
    /// The time.
    pub now: Timestamp,
}

/// An assertion that holds.
#[derive(Debug, PartialEq, Eq)]
pub struct IdentityAssertion {
    /// Its identifier, which may be used once.
    pub jti: String,
    /// Until when it has to be remembered that it was.
    pub remember_until: Timestamp,
    /// The exact URLs of the servers that the token may be for; any, when the assertion names none.
    pub resources: Option<Vec<String>>,
    /// The scopes that the token may have; the server's own choice, when none is named.
    pub scope: Option<Scopes>,
    /// Whether the assertion is bound to a key, and to which (RFC 7800 §3.1, RFC 9449 §6).
    pub confirmation: Option<Option<JwkThumbprint>>,
}

impl IdentityAssertion {
    /// Holds the claims against what is expected (draft §4.4, RFC 7523 §3).
    pub fn check(claims: &Map<String, Value>, expected: &Expected<'_>) -> Result<Self, OAuthError> {
        let text = |name: &str| claims.get(name).and_then(Value::as_str);
        if text("iss") != Some(expected.issuer) {
            return Err(refused("the assertion is from another issuer than the one that signed it"));
        }
        if sole(claims.get("aud")) != Some(expected.audience) {
            return Err(refused("the assertion's aud has to be this issuer and nobody else"));
        }
        if text("client_id") != Some(expected.client_id) {
            return Err(refused("the assertion is for another client"));
        }
        if text("sub").is_none_or(str::is_empty) {
            return Err(refused("the assertion has no sub"));
        }
        let remember_until = check_times(claims, expected.now)?;
        let jti = jti(claims).ok_or_else(|| refused("the assertion needs a jti of at most 256 bytes"))?;
        if claims.contains_key("authorization_details") {
            // It may narrow what the scope says (RFC 9396), and nobody here could tell how.
            return Err(refused("the assertion has authorization_details, which are not understood here"));
        }
        let resources = claims.get("resource").map(|named| servers(named, expected.resources)).transpose()?;
        let scope = match claims.get("scope") {
            None => None,
            Some(list) => {
                let parsed = list.as_str().and_then(|list| Scopes::parse(list).ok());
                Some(parsed.ok_or_else(|| refused("the assertion's scope is not a list of scopes"))?)
            }
        };
        let confirmation = claims.get("cnf").map(|cnf| JwkThumbprint::parse(cnf.get("jkt")?.as_str()?).ok());
        Ok(Self { jti: jti.to_owned(), remember_until, resources, scope, confirmation })
    }

    /// An assertion that is bound to a key is good for the holder of that key only.
    pub fn check_key(&self, proved: Option<JwkThumbprint>) -> Result<(), OAuthError> {
        match self.confirmation {
            None => Ok(()),
            Some(Some(bound)) if proved == Some(bound) => Ok(()),
            Some(_) => Err(refused("the assertion is bound to a key; prove it with DPoP")),
        }
    }
}

fn refused(description: &'static str) -> OAuthError {
    OAuthError::invalid_grant(description)
}

/// One URI or a list of them (RFC 8707 §2); those of other servers are not for us to judge.
fn servers(named: &Value, known: &Resources) -> Result<Vec<String>, OAuthError> {
    let list = match named {
        Value::Array(list) => list.as_slice(),
        one => std::slice::from_ref(one),
    };
    let ours = list.iter().filter_map(|named| known.find(named.as_str()?)).map(str::to_owned);
    let ours: Vec<String> = ours.collect();
    if ours.is_empty() {
        let description = "the assertion is for no server that this issuer gives tokens for";
        return Err(OAuthError::new(ErrorCode::InvalidTarget, description));
    }
    Ok(ours)
}

/// `exp` and `iat` are required, `nbf` counts; until when the assertion could be presented again.
fn check_times(claims: &Map<String, Value>, now: Timestamp) -> Result<Timestamp, OAuthError> {
    let time = |name: &str| claims.get(name).and_then(numeric_date);
    let (Some(exp), Some(iat)) = (time("exp"), time("iat")) else {
        return Err(refused("the assertion needs exp and iat, in seconds"));
    };
    let until = exp.plus(TOLERANCE);
    if until.has_passed(now) {
        return Err(refused("the assertion has expired"));
    }
    if exp.until(now) > MAX_LIFETIME {
        return Err(refused("the assertion lives longer than an hour"));
    }
    let nbf = claims.get("nbf").map_or(Some(iat), numeric_date);
    let nbf = nbf.ok_or_else(|| refused("the assertion's nbf is no time in seconds"))?;
    if iat.max(nbf) > now.plus(TOLERANCE) {
        return Err(refused("the assertion is from the future"));
    }
    Ok(until)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use serde_json::json;

    use super::*;

    const NOW: u64 = 1_800_000_000;
    const ISSUER: &str = "https://mcp.example.com";
    const RESOURCE: &str = "https://mcp.example.com/mcp";

    fn claims() -> Value {
        json!({
            "iss": "https://idp.example.com", "aud": ISSUER, "client_id": "agent", "sub": "ada",
            "iat": NOW - 10, "exp": NOW + 290, "jti": "1", "resource": RESOURCE, "scope": "a b",
        })
    }

    fn check(claims: &Value) -> Result<IdentityAssertion, ErrorCode> {
        let expected = Expected {
            issuer: "https://idp.example.com",
            audience: ISSUER,
            client_id: "agent",
            resources: &Resources::new([RESOURCE.to_owned()]).unwrap(),
            now: Timestamp::from_millis(NOW * 1000),
        };
        IdentityAssertion::check(claims.as_object().unwrap(), &expected).map_err(|error| error.code)
    }

    fn with(name: &str, value: Value) -> Value {
        let mut claims = claims();
        match value {
            Value::Null => drop(claims.as_object_mut().unwrap().remove(name)),
            value => claims[name] = value,
        }
        claims
    }

    #[test]
    fn an_assertion_for_this_server_and_client_holds() {
        let held = check(&claims()).unwrap();
        assert_eq!((held.jti.as_str(), held.resources), ("1", Some(vec![RESOURCE.to_owned()])));
        assert_eq!(held.scope.unwrap().to_string(), "a b");
        assert_eq!(held.remember_until, Timestamp::from_millis((NOW + 320) * 1000));
        for (name, value) in [
            ("aud", json!([ISSUER])),
            ("resource", json!([format!("{RESOURCE}/")])),
            ("resource", json!(["https://other.example.com/mcp", RESOURCE])),
            ("exp", json!(NOW - 29)),
            ("iat", json!(NOW + 30)),
            ("nbf", json!(NOW)),
        ] {
            assert!(check(&with(name, value)).is_ok(), "{name}");
        }
        let open = with("resource", Value::Null);
        assert_eq!(check(&open).unwrap().resources, None);
        assert_eq!(check(&with("scope", Value::Null)).unwrap().scope, None);
    }

    #[test]
    fn one_that_is_bound_to_a_key_needs_it() {
        let key = |text: &str| JwkThumbprint::parse(text).unwrap();
        let (own, other) = ("A".repeat(43), "B".repeat(42) + "A");
        let bound = check(&with("cnf", json!({"jkt": own}))).unwrap();
        assert!(bound.check_key(Some(key(&own))).is_ok());
        assert!(bound.check_key(Some(key(&other))).is_err());
        assert!(bound.check_key(None).is_err());
        for unknown in [json!({"x5t#S256": "x"}), json!({"jkt": 7}), json!({"jkt": "x"}), json!(7)] {
            let bound = check(&with("cnf", unknown)).unwrap();
            assert!(bound.check_key(None).is_err() && bound.check_key(Some(key(&own))).is_err());
        }
        assert!(check(&claims()).unwrap().check_key(None).is_ok());
    }

    #[test]
    fn anything_else_does_not() {
        for (name, value) in [
            ("iss", json!("https://other.example.com")),
            ("aud", json!("https://other.example.com")),
            ("aud", json!([ISSUER, "https://other.example.com"])),
            ("aud", Value::Null),
            ("client_id", json!("other")),
            ("client_id", Value::Null),
            ("sub", json!("")),
            ("sub", json!(7)),
            ("exp", json!(NOW - 30)),
            ("exp", json!(NOW + 3601)),
            ("exp", json!("soon")),
            ("exp", json!(-1)),
            ("exp", json!(1e300)),
            ("exp", Value::Null),
            ("iat", json!(NOW + 31)),
            ("iat", Value::Null),
            ("nbf", json!(NOW + 31)),
            ("nbf", json!("now")),
            ("jti", Value::Null),
            ("jti", json!("")),
            ("jti", json!("x".repeat(257))),
            ("scope", json!("a\"b")),
            ("scope", json!(["a"])),
            ("authorization_details", json!([])),
        ] {
            assert_eq!(check(&with(name, value.clone())), Err(ErrorCode::InvalidGrant), "{name}: {value}");
        }
        for value in [json!("https://other.example.com/mcp"), json!([]), json!(["x"]), json!(7)] {
            assert_eq!(check(&with("resource", value)), Err(ErrorCode::InvalidTarget));
        }
    }
}
