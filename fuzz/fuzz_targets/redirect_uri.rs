//! RFC 8252 §7.3, §8.10 and OAuth 2.1 §2.3.1: an answer goes to a registered URI, byte for byte but for the port of a
//! loopback host, and never to anything that runs, shows a file or leads elsewhere.
//!
//! Input: lines. The first is the requested URI (empty: none is named), the others are the registered ones.
#![no_main]

use libfuzzer_sys::fuzz_target;
use mcp_login_core::client::redirect_uri::{RedirectPolicy, VerifiedRedirectUri, check_redirect_uri};
use mcp_login_fuzz::{assert_redirectable, is_same_but_for_loopback_port, policies};
use url::Url;

fuzz_target!(|input: &str| {
    let mut lines = input.split('\n');
    let requested = lines.next().filter(|line| !line.is_empty());
    let registered: Vec<String> = lines.take(8).map(str::to_owned).collect();
    for (any_site, policy) in [false, true].into_iter().zip(policies()) {
        if let Some(uri) = requested {
            check_policy(uri, &policy, any_site);
            let exact = registered.iter().any(|registered| registered == uri);
            let found = check_redirect_uri(requested, &registered, &policy);
            assert!(!exact || policy.check_allowed(uri).is_err() || found.is_ok(), "refused: {uri}");
        }
        if let Ok(verified) = check_redirect_uri(requested, &registered, &policy) {
            let uri = verified.as_str();
            match requested {
                Some(requested) => assert_eq!(uri, requested),
                None => assert_eq!([uri.to_owned()].as_slice(), registered),
            }
            let known = registered.iter().any(|registered| is_same_but_for_loopback_port(registered, uri));
            assert!(known, "{uri} is none of {registered:?}");
            assert_redirectable(uri, any_site);
            assert_answer(&verified, input);
        }
    }
});

fn check_policy(uri: &str, policy: &RedirectPolicy, any_site: bool) {
    if policy.check_allowed(uri).is_ok() {
        assert_redirectable(uri, any_site);
    }
}

/// The parameters of an answer arrive as they were, after what the URI had, at the same place.
fn assert_answer(verified: &VerifiedRedirectUri, state: &str) {
    let uri = verified.as_str();
    let answer = verified.with_params(&[("state", state), ("iss", "https://mcp.example.com")]);
    assert!(answer.starts_with(uri) && answer.is_ascii(), "{answer}");
    let (before, after) = (Url::parse(uri).expect("was parsed"), Url::parse(&answer).expect("is a URL"));
    assert_eq!((before.scheme(), before.host(), before.port()), (after.scheme(), after.host(), after.port()));
    assert_eq!(before.path(), after.path());
    assert!(after.fragment().is_none() && after.username().is_empty() && after.password().is_none());
    let mut pairs: Vec<_> = before.query_pairs().collect();
    pairs.extend([("state".into(), state.into()), ("iss".into(), "https://mcp.example.com".into())]);
    assert_eq!(after.query_pairs().collect::<Vec<_>>(), pairs);
    assert!(!verified.is_website() || before.scheme() == "https");
}
