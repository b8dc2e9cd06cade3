#![allow(clippy::unwrap_used)]

use proptest::prelude::*;
use serde_json::json;

use super::*;

/// RFC 9449 §4.1 and §7.1.
const TOKEN: &str = "Kz~8mXK1EalYznwH-LC-1fBAo.4Ljp~zsPE_NeO.gxU";
const KEY: &str = "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I";
const IAT: u64 = 1_562_262_618;

const REQUEST: ProvedRequest<'_> = ProvedRequest {
    method: "GET",
    uri: "https://resource.example.org/protectedresource",
    access_token: Some(TOKEN),
};

fn header() -> Value {
    json!({
        "typ": "dpop+jwt", "alg": "ES256",
        "jwk": {
            "kty": "EC", "crv": "P-256",
            "x": "l8tFrhx-34tV3hRICRDY9zCkDlpBhF42UQUfWVAWBFs", "y": "9VE4jf_Ok_o64zbTTlcuNJajHmt6v9TDVrU0CdvGRDA",
        },
    })
}

fn claims() -> Value {
    json!({
        "jti": "e1j3V_bKic8-LAEB", "htm": "GET", "htu": "https://resource.example.org/protectedresource",
        "iat": IAT, "ath": "fUHyO2r2Z3DZ53EsNrWBb0xWXoaNy59IiKCAqksmQEo",
    })
}

fn at(millis: u64) -> Timestamp {
    Timestamp::from_millis(millis)
}

fn check(header: &Value, claims: &Value, request: &ProvedRequest<'_>) -> Result<CheckedProof, DpopError> {
    check_proof(header.as_object().unwrap(), claims.as_object().unwrap(), request, at(IAT * 1000))
}

/// One member of the header or the claims changed; `null` takes it out.
fn changed(mut object: Value, member: &str, value: Value) -> Value {
    object.as_object_mut().unwrap().remove(member);
    if !value.is_null() {
        object[member] = value;
    }
    object
}

fn with_claim(member: &str, value: Value) -> Result<CheckedProof, DpopError> {
    check(&header(), &changed(claims(), member, value), &REQUEST)
}

#[test]
fn the_example_of_the_rfc_holds() {
    let proof = check(&header(), &claims(), &REQUEST).unwrap();
    assert_eq!(proof.key.to_string(), KEY);
    assert_eq!(proof.jti, "e1j3V_bKic8-LAEB");
    let at_token_endpoint = ProvedRequest { access_token: None, ..REQUEST };
    assert!(check(&header(), &changed(claims(), "ath", Value::Null), &at_token_endpoint).is_ok());
}

#[test]
fn the_type_tells_a_proof_from_other_tokens() {
    for good in ["dpop+jwt", "DPoP+JWT", "application/dpop+jwt"] {
        assert!(check(&changed(header(), "typ", good.into()), &claims(), &REQUEST).is_ok(), "{good}");
    }
    for bad in
        [Value::Null, "JWT".into(), "at+jwt".into(), "dpop+jwt ".into(), "text/dpop+jwt".into(), 1.into()]
    {
        let refused = check(&changed(header(), "typ", bad.clone()), &claims(), &REQUEST);
        assert_eq!(refused, Err(DpopError::Type), "{bad}");
    }
}

#[test]
fn the_key_is_public_and_asymmetric() {
    let with_key = |jwk| check(&changed(header(), "jwk", jwk), &claims(), &REQUEST);
    for bad in [
        Value::Null,
        "key".into(),
        json!({}),
        json!([header()["jwk"]]),
        json!({"kty": "oct"}),
        json!({"kty": "EC", "crv": "P-256", "x": "eA"}),
    ] {
        assert_eq!(with_key(bad.clone()), Err(DpopError::Key), "{bad}");
    }
    for private in ["d", "p", "q", "dp", "dq", "qi", "oth", "k"] {
        let jwk = changed(header()["jwk"].clone(), private, "c2VjcmV0".into());
        assert_eq!(with_key(jwk), Err(DpopError::PrivateKey), "{private}");
    }
    assert_eq!(with_key(json!({"kty": "oct", "k": "c2VjcmV0"})), Err(DpopError::PrivateKey));
}

#[test]
fn a_proof_is_for_one_method_and_url() {
    for bad in [Value::Null, "get".into(), "POST".into(), "".into(), 1.into()] {
        assert_eq!(with_claim("htm", bad.clone()), Err(DpopError::Method), "{bad}");
    }
    for good in [
        "https://RESOURCE.example.org:443/protectedresource",
        "https://resource.example.org/protected%72esource?q#f",
    ] {
        assert!(with_claim("htu", good.into()).is_ok(), "{good}");
    }
    for bad in [
        Value::Null,
        "".into(),
        "/protectedresource".into(),
        "https://resource.example.org".into(),
        "http://resource.example.org/protectedresource".into(),
        "https://resource.example.org.evil.example/protectedresource".into(),
        json!(["https://resource.example.org/protectedresource"]),
    ] {
        assert_eq!(with_claim("htu", bad.clone()), Err(DpopError::Uri), "{bad}");
    }
    let nowhere = ProvedRequest { uri: "nowhere", ..REQUEST };
    assert_eq!(check(&header(), &changed(claims(), "htu", "nowhere".into()), &nowhere), Err(DpopError::Uri));
}

#[test]
fn a_proof_is_good_for_five_minutes() {
    let check_at = |millis| {
        check_proof(header().as_object().unwrap(), claims().as_object().unwrap(), &REQUEST, at(millis))
    };
    let (iat, window) = (IAT * 1000, 300_000);
    for good in [iat - window, iat, iat + window - 1] {
        let proof = check_at(good).unwrap();
        assert!(proof.remembered_until > at(iat + window), "no moment at which it is good and forgotten");
    }
    for bad in [0, iat - window - 1, iat + window, u64::MAX] {
        assert_eq!(check_at(bad), Err(DpopError::IssuedAt), "{bad}");
    }
    for bad in [Value::Null, "1562262618".into(), (-1).into(), json!(1e300), json!(-1e300), u64::MAX.into()] {
        assert_eq!(with_claim("iat", bad.clone()), Err(DpopError::IssuedAt), "{bad}");
    }
    assert!(with_claim("iat", json!(1_562_262_618.5)).is_ok());
}

#[test]
fn a_proof_that_names_an_end_has_one() {
    assert!(with_claim("exp", (IAT + 10).into()).is_ok());
    assert!(with_claim("exp", (IAT - 59).into()).is_ok(), "clocks differ");
    for bad in [json!(IAT - 60), json!("never"), json!(-1)] {
        assert_eq!(with_claim("exp", bad.clone()), Err(DpopError::Expired), "{bad}");
    }
}

#[test]
fn a_proof_has_an_identifier() {
    assert!(with_claim("jti", "a".repeat(256).into()).is_ok());
    for bad in [Value::Null, "".into(), "a".repeat(257).into(), 1.into()] {
        assert_eq!(with_claim("jti", bad.clone()), Err(DpopError::Identifier), "{bad}");
    }
}

#[test]
fn at_a_resource_a_proof_is_for_one_token() {
    let hash = claims()["ath"].as_str().unwrap().to_owned();
    for bad in [Value::Null, "".into(), TOKEN.into(), format!("{hash}=").into(), hash.to_lowercase().into()] {
        assert_eq!(with_claim("ath", bad.clone()), Err(DpopError::TokenHash), "{bad}");
    }
    let other = ProvedRequest { access_token: Some("other"), ..REQUEST };
    assert_eq!(check(&header(), &claims(), &other), Err(DpopError::TokenHash));
}

/// Something that looks like JSON that somebody could send.
fn json_value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        ".{0,20}".prop_map(Value::from),
    ];
    leaf.prop_recursive(2, 8, 3, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..3).prop_map(Value::from),
            prop::collection::btree_map("[a-z]{1,3}", inner, 0..3).prop_map(Value::from_iter),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    /// One member that is anything else: refused, or what was not changed still stands.
    #[test]
    fn nothing_panics_and_nothing_else_gets_in(
        place in 0_usize..12, value in json_value(), now in IAT * 1000 - 400_000..IAT * 1000 + 400_000,
    ) {
        let (mut header, mut claims) = (header(), claims());
        match place {
            0 => header["typ"] = value,
            1 => header["jwk"] = value,
            2..=6 => header["jwk"][["kty", "crv", "x", "y", "d"][place - 2]] = value,
            _ => claims[["jti", "htm", "htu", "iat", "ath"][place - 7]] = value,
        }
        let checked = check_proof(header.as_object().unwrap(), claims.as_object().unwrap(), &REQUEST, at(now));
        if let Ok(proof) = checked {
            prop_assert!(!proof.jti.is_empty() && proof.remembered_until > at(now));
            prop_assert!(matches!(place, 3..=5 | 7 | 10), "another public key, jti or iat at most");
        }
    }
}
