//! RFC 7523 §3: an assertion that is taken is from whom it has to be, for us, now, and can be remembered.
//!
//! Input: the claims of a client's or an identity provider's assertion.
#![no_main]

use std::time::Duration;

use libfuzzer_sys::fuzz_target;
use mcp_login_core::Timestamp;
use mcp_login_core::client::assertion::{self, check_assertion};
use mcp_login_core::error::OAuthError;
use mcp_login_core::resource_indicator::Resources;
use mcp_login_core::token::IdentityAssertion;
use mcp_login_core::token::identity_assertion;
use mcp_login_fuzz::assert_error;
use serde_json::{Map, Value};

const NOW: u64 = 1_800_000_000;
const ISSUER: &str = "https://mcp.example.com";
const TOKEN_ENDPOINT: &str = "https://mcp.example.com/token";
const RESOURCE: &str = "https://mcp.example.com/mcp";
const PROVIDER: &str = "https://idp.example.com";
const CLIENT: &str = "client";

fuzz_target!(|data: &[u8]| {
    let Ok(claims) = serde_json::from_slice::<Map<String, Value>>(data) else { return };
    let now = Timestamp::from_millis(NOW * 1000);
    let text = |name: &str| claims.get(name).and_then(Value::as_str);
    let checked = |jti: &str, until: Timestamp, longest: u32| {
        assert_eq!(Some(jti), text("jti"));
        assert!((1..=256).contains(&jti.len()));
        let exp = claims["exp"].as_f64().unwrap();
        let ahead = exp - 1_800_000_000.0;
        assert!(ahead > -62.0 && ahead <= f64::from(longest) + 62.0, "{ahead}");
        assert!(until >= now && until.until(now) <= Duration::from_secs(u64::from(longest) + 130));
        let until = f64::from(u32::try_from(until.as_secs()).unwrap());
        assert!(until + 1.0 > exp, "it is forgotten before it ends");
    };
    let sole = |name: &str| match claims.get(name) {
        Some(Value::String(one)) => Some(one.clone()),
        Some(Value::Array(list)) if list.len() == 1 => list[0].as_str().map(str::to_owned),
        _ => None,
    };
    let of_client =
        assertion::Expected { client_id: CLIENT, issuer: ISSUER, token_endpoint: TOKEN_ENDPOINT, now };
    match check_assertion(None, &claims, &of_client) {
        Ok(held) => {
            assert_eq!((text("iss"), text("sub")), (Some(CLIENT), Some(CLIENT)));
            assert!([ISSUER, TOKEN_ENDPOINT].contains(&sole("aud").unwrap().as_str()));
            checked(&held.jti, held.remember_until, 600);
        }
        Err(error) => assert_error(&OAuthError::from(error)),
    }
    let resources = Resources::new([RESOURCE.to_owned()]).unwrap();
    let of_provider = identity_assertion::Expected {
        issuer: PROVIDER,
        audience: ISSUER,
        client_id: CLIENT,
        resources: &resources,
        now,
    };
    match IdentityAssertion::check(&claims, &of_provider) {
        Ok(held) => {
            assert_eq!((text("iss"), text("client_id")), (Some(PROVIDER), Some(CLIENT)));
            assert_eq!(sole("aud").as_deref(), Some(ISSUER));
            assert!(text("sub").is_some_and(|sub| !sub.is_empty()));
            assert_eq!(held.resources.is_some(), claims.contains_key("resource"));
            assert!(held.resources.iter().flatten().all(|resource| resource == RESOURCE));
            assert_eq!(held.scope.is_some(), claims.contains_key("scope"));
            checked(&held.jti, held.remember_until, 3600);
        }
        Err(error) => assert_error(&error),
    }
});
