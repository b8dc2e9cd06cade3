//! What the builder says of a setup that cannot work.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::collections::BTreeMap;
use std::time::Duration;

use mcp_login::server::AuthServerBuilder;
use mcp_login::settings::{AccessRule, Lifetimes, RateLimit, RateLimits};
use mcp_login::upstream::{Quirk, Upstream};
use mcp_login::{AuthServer, Resource, Store, presets};
use reqwest::header::FORWARDED;

fn builder(public_url: &str) -> AuthServerBuilder {
    AuthServer::builder(public_url).upstream(presets::github("id", "secret"))
}

fn faults(public_url: &str, resources: &[Resource]) -> Vec<String> {
    resources.iter().cloned().fold(builder(public_url), AuthServerBuilder::resource).faults()
}

#[test]
fn a_good_setup_has_no_faults() {
    for url in [
        "https://mcp.example.com",
        "https://mcp.example.com:8443/base",
        "http://localhost:8080",
        "http://[::1]:1",
    ] {
        assert_eq!(faults(url, &[Resource::new("/mcp"), Resource::new("/a/b-c")]), [""; 0], "{url}");
    }
}

#[test]
fn a_public_url_is_an_issuer() {
    for url in [
        "mcp.example.com",
        "http://mcp.example.com",
        "http://localhost.example.com",
        "ftp://mcp.example.com",
        "https://mcp.example.com/",
        "https://MCP.example.com",
        "https://mcp.example.com:443",
        "https://mcp.example.com?x",
        "https://mcp.example.com#x",
        "https://user@mcp.example.com",
        "https://mcp.example.com/:a",
        "https://mcp.example.com/*a",
        "https://mcp.example.com/{a}",
        "https://mcp.example.com/a%20b",
        "https://mcp.example.com/.well-known",
        "data:x",
    ] {
        let faults = faults(url, &[Resource::new("/mcp")]);
        assert_eq!(faults.len(), 1, "{url}: {faults:?}");
        assert!(faults[0].starts_with("public_url: "), "{faults:?}");
    }
}

#[test]
fn every_fault_is_told_at_once() {
    let hours = |hours: u64| Duration::from_secs(hours * 3600);
    let faults = AuthServer::builder("https://mcp.example.com")
        .upstream(presets::github("", "secret"))
        .lifetimes(Lifetimes { code: hours(1), ..Lifetimes::default() })
        .resource(Resource::new("mcp"))
        .resource(Resource::new("/b/"))
        .resource(Resource::new("/c").scopes(["a b"]))
        .resource(Resource::new("/d"))
        .resource(Resource::new("/d"))
        .faults();
    for key in [
        "tokens.code_ttl",
        "mcp[0].path",
        "mcp[1].path",
        "mcp[2].scopes",
        "mcp[4].path",
        "upstream.client_id",
    ] {
        assert!(faults.iter().any(|fault| fault.starts_with(key)), "{key} in {faults:?}");
    }
}

#[tokio::test]
async fn nothing_is_built_without_store_resource_and_upstream() {
    let store = Store::open("memory:").await.unwrap();
    let whole = || builder("https://mcp.example.com").store(store.clone()).resource(Resource::new("/mcp"));
    assert!(whole().build().await.is_ok());
    assert!(builder("https://mcp.example.com").store(store.clone()).build().await.is_err());
    assert!(builder("https://mcp.example.com").resource(Resource::new("/mcp")).build().await.is_err());
    let no_upstream = AuthServer::builder("https://mcp.example.com").store(store.clone());
    assert!(no_upstream.resource(Resource::new("/mcp")).build().await.is_err());
    let auth = whole().build().await.unwrap();
    assert!(auth.protect("/mcp").is_ok());
    assert!(auth.protect("/other").unwrap_err().to_string().contains("/other"));
}

#[test]
fn limits_that_let_nobody_in_are_faults() {
    let nothing = Some(RateLimit { burst: 1, per_minute: 0 });
    let limits =
        RateLimits { register: nothing, token: Some(RateLimit::per_minute(0)), ..RateLimits::default() };
    let builder = builder("https://mcp.example.com").resource(Resource::new("/mcp"));
    assert_eq!(builder.faults(), [""; 0]);
    let faults = builder.rate_limits(limits).client_address_header(FORWARDED).faults();
    assert_eq!(faults.len(), 3, "{faults:?}");
    for (fault, key) in faults.iter().zip(["limits.register: ", "limits.token: ", "client_address_header: "])
    {
        assert!(fault.starts_with(key), "{fault}");
    }
    let off = AuthServer::builder("https://mcp.example.com").rate_limits(RateLimits::OFF);
    assert_eq!(off.resource(Resource::new("/mcp")).faults(), [""; 0]);
}

/// The address that the browser brings is written by whoever sits at it, unless the service signs it.
#[test]
fn nobody_is_known_by_what_only_the_browser_says() {
    let claims = |name: &str| AccessRule {
        claims: BTreeMap::from([(name.to_owned(), vec!["1".into()])]),
        ..AccessRule::default()
    };
    let kept =
        || presets::github("id", "secret").with(|provider| provider.keep_callback = vec!["company".into()]);
    let builder = |upstream: Upstream| {
        AuthServer::builder("https://mcp.example.com").upstream(upstream).resource(Resource::new("/mcp"))
    };
    assert_eq!(builder(kept()).faults(), [""; 0]);
    for name in ["company", "/company"] {
        let faults = builder(kept()).access(claims(name)).faults();
        assert!(faults.len() == 1 && faults[0].starts_with("access.claims."), "{faults:?}");
    }
    assert_eq!(builder(kept()).access(claims("/login")).faults(), [""; 0]);
    let named = || kept().subject(["callback:/company"]);
    let faults = builder(named()).faults();
    assert!(faults.len() == 1 && faults[0].starts_with("upstream.subject: "), "{faults:?}");
    let signed = named().with(|provider| provider.quirks = vec![Quirk::ShopifyCallback]);
    assert_eq!(builder(signed).access(claims("company")).faults(), [""; 0]);
}
