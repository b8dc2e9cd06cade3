//! RFC 9449 §4.3: a proof that is taken says what it is for, when, and with a public key.
//!
//! Input: the header and the claims, a line of JSON each.
#![no_main]

use std::time::Duration;

use libfuzzer_sys::fuzz_target;
use mcp_login_core::Timestamp;
use mcp_login_core::dpop::{JwkThumbprint, ProvedRequest, check_proof};
use mcp_login_core::error::OAuthError;
use mcp_login_fuzz::assert_error;
use serde_json::{Map, Value};

const NOW: u64 = 1_800_000_000;
const URI: &str = "https://mcp.example.com/mcp";
const TOKEN: &str = "mla_token";
/// The SHA-256 of [`TOKEN`] in base64url, by another program.
const TOKEN_HASH: &str = "6-UiIZM_dMDXoW7dpYGTA1qewV97XB2l-TN6vQZdzHY";

fn object(line: Option<&[u8]>) -> Option<Map<String, Value>> {
    serde_json::from_slice(line?).ok()
}

fuzz_target!(|data: &[u8]| {
    let mut lines = data.splitn(2, |b| *b == b'\n');
    let (Some(header), Some(claims)) = (object(lines.next()), object(lines.next())) else { return };
    let now = Timestamp::from_millis(NOW * 1000);
    for access_token in [None, Some(TOKEN)] {
        let request = ProvedRequest { method: "POST", uri: URI, access_token };
        match check_proof(&header, &claims, &request, now) {
            Ok(proof) => {
                let text = |name: &str| claims[name].as_str().unwrap();
                assert_eq!(text("htm"), "POST");
                let uri = url::Url::parse(text("htu")).unwrap();
                assert_eq!(
                    (uri.scheme(), uri.host_str(), uri.port()),
                    ("https", Some("mcp.example.com"), None)
                );
                assert!(uri.username().is_empty() && uri.password().is_none());
                let iat = claims["iat"].as_f64().unwrap();
                assert!((iat - 1_800_000_000.0).abs() <= 301.0, "{iat}");
                assert_eq!(proof.jti, text("jti"));
                assert!((1..=256).contains(&proof.jti.len()));
                assert!(proof.remembered_until >= now, "a proof that is good is remembered");
                assert!(proof.remembered_until.until(now) <= Duration::from_secs(11 * 60 + 1));
                assert!(access_token.is_none() || text("ath") == TOKEN_HASH);
                let jwk = header["jwk"].as_object().unwrap();
                for private in ["d", "p", "q", "dp", "dq", "qi", "oth", "k"] {
                    assert!(!jwk.contains_key(private));
                }
                // What is no part of the key is no part of its name (RFC 7638 §3.2).
                let mut named = jwk.clone();
                named.insert("kid".into(), "other".into());
                assert!(JwkThumbprint::of(&named) == Some(proof.key));
            }
            Err(error) => assert_error(&OAuthError::from(error)),
        }
    }
});
