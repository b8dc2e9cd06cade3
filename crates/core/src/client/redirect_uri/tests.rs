#![allow(clippy::unwrap_used)]

use super::*;

fn policy() -> RedirectPolicy {
    RedirectPolicy::new(["claude.ai", "localhost", "127.0.0.1", "[::1]"], ["cursor", "javascript"])
}

fn check(registered: &[&str], requested: &str) -> Result<VerifiedRedirectUri, RedirectUriError> {
    let registered: Vec<String> = registered.iter().map(|&uri| uri.to_owned()).collect();
    check_redirect_uri(Some(requested), &registered, &policy())
}

#[test]
fn a_registered_uri_is_taken_byte_for_byte() {
    let uri = "https://claude.ai/api/mcp/auth_callback?a=b";
    assert_eq!(check(&[uri], uri).unwrap().as_str(), uri);
    for other in [
        "https://claude.ai/api/mcp/auth_callback",
        "https://claude.ai/api/mcp/auth_callback?a=b&c=d",
        "https://claude.ai/api/mcp/auth_callback/?a=b",
        "https://claude.ai:443/api/mcp/auth_callback?a=b",
        "https://CLAUDE.ai/api/mcp/auth_callback?a=b",
        "https://claude.ai.evil.com/api/mcp/auth_callback?a=b",
        "https://claude.ai/api/mcp/../mcp/auth_callback?a=b",
        "http://claude.ai/api/mcp/auth_callback?a=b",
    ] {
        assert_eq!(check(&[uri], other), Err(RedirectUriError::NotRegistered), "{other}");
    }
}

#[test]
fn the_port_is_free_on_loopback_and_nothing_else_is() {
    for (registered, requested) in [
        ("http://127.0.0.1/callback", "http://127.0.0.1:49152/callback"),
        ("http://localhost:8787/callback", "http://localhost:1/callback"),
        ("http://[::1]:80/callback", "http://[::1]/callback"),
        ("http://127.0.0.1:33418", "http://127.0.0.1:5000/"),
    ] {
        assert_eq!(check(&[registered], requested).unwrap().as_str(), requested);
    }
    for requested in [
        "http://localhost:5000/callback",
        "http://127.0.0.1:5000/other",
        "http://127.0.0.1:5000/callback?x=1",
        "https://127.0.0.1:5000/callback",
        "http://127.0.0.1:99999/callback",
        "http://127.0.0.1.evil.com/callback",
        "http://127.0.0.1:5000.evil.com/callback",
    ] {
        assert!(check(&["http://127.0.0.1/callback"], requested).is_err(), "{requested}");
    }
}

#[test]
fn what_could_be_read_in_two_ways_is_malformed() {
    for uri in [
        "http://127.0.0.1@evil.com/callback",
        "http://user:pass@localhost/callback",
        "https://@claude.ai/x",
        "https://:@claude.ai?x",
        "cursor://@app/x",
        "http://localhost/callback#f",
        "http://localhost\\@evil.com/",
        "http:localhost/callback",
        "http:/localhost/callback",
        "https:claude.ai/x",
        "//claude.ai/x",
        "/callback",
        "",
        "javascript:alert(1)",
        "data:text/html,x",
        "file:///etc/passwd",
        "http://local host/",
        "http://localhost/\r\nx",
        "http://lücalhost/",
    ] {
        assert_eq!(policy().check_allowed(uri), Err(RedirectUriError::Malformed), "{uri}");
        assert!(check(&[uri], uri).is_err(), "{uri}");
    }
    let long = format!("http://localhost/{}", "a".repeat(MAX_LENGTH));
    assert_eq!(policy().check_allowed(&long), Err(RedirectUriError::Malformed));
}

#[test]
fn the_operator_decides_on_hosts_and_schemes() {
    assert_eq!(policy().check_allowed("https://claude.ai/x"), Ok(()));
    assert_eq!(policy().check_allowed("cursor://anysphere.cursor-mcp/oauth/callback"), Ok(()));
    assert_eq!(policy().check_allowed("https://evil.example/x"), Err(RedirectUriError::NotAllowed));
    assert_eq!(policy().check_allowed("https://sub.claude.ai/x"), Err(RedirectUriError::NotAllowed));
    assert_eq!(policy().check_allowed("vscode://x/y"), Err(RedirectUriError::NotAllowed));
    assert_eq!(policy().check_allowed("http://evil.example/x"), Err(RedirectUriError::InsecureHttp));
    assert_eq!(policy().check_allowed("http://localhost.evil.com/x"), Err(RedirectUriError::InsecureHttp));
    // Registered under an older configuration does not help.
    assert_eq!(
        check(&["https://evil.example/x"], "https://evil.example/x"),
        Err(RedirectUriError::NotAllowed)
    );
}

#[test]
fn a_star_is_any_site_with_https() {
    let any = RedirectPolicy::new(["*"], [""; 0]);
    assert_eq!(any.check_allowed("https://anything.example/x"), Ok(()));
    assert_eq!(any.check_allowed("https://10.0.0.1/x"), Err(RedirectUriError::NotAllowed));
    assert_eq!(any.check_allowed("http://anything.example/x"), Err(RedirectUriError::InsecureHttp));
    assert_eq!(any.check_allowed("http://localhost/x"), Err(RedirectUriError::NotAllowed));
}

#[test]
fn the_only_registered_uri_is_the_default() {
    let one = ["https://claude.ai/cb".to_owned()];
    assert_eq!(check_redirect_uri(None, &one, &policy()).unwrap().as_str(), "https://claude.ai/cb");
    let two = [one[0].clone(), "http://localhost/cb".to_owned()];
    assert_eq!(check_redirect_uri(None, &two, &policy()), Err(RedirectUriError::Missing));
    assert_eq!(check_redirect_uri(None, &[], &policy()), Err(RedirectUriError::Missing));
}

#[test]
fn parameters_are_added_and_encoded() {
    let add =
        |uri: &str| VerifiedRedirectUri(uri.to_owned()).with_params(&[("state", "a b&\r\nc=ü"), ("x", "y")]);
    assert_eq!(add("http://localhost/cb"), "http://localhost/cb?state=a+b%26%0D%0Ac%3D%C3%BC&x=y");
    assert_eq!(add("http://localhost/cb?q=1"), "http://localhost/cb?q=1&state=a+b%26%0D%0Ac%3D%C3%BC&x=y");
    assert_eq!(add("cursor://x/cb?"), "cursor://x/cb?state=a+b%26%0D%0Ac%3D%C3%BC&x=y");
}

#[test]
fn only_https_leads_to_a_website() {
    let is_website = |uri: &str| VerifiedRedirectUri(uri.to_owned()).is_website();
    assert!(is_website("https://claude.ai/x"));
    assert!(!is_website("http://[::1]:1/x"));
    assert!(!is_website("cursor://anysphere/x"));
    for host in ["localhost", "localhost.", "a.localhost", "127.0.0.1", "127.1", "[::1]"] {
        assert!(!is_website(&format!("https://{host}:9443/x")), "{host}");
        let any = RedirectPolicy::new(["*"], [""; 0]);
        assert!(any.check_allowed(&format!("https://{host}/x")).is_err(), "{host}");
    }
}

#[test]
fn the_operators_own_word_goes_beyond_the_lists_but_not_beyond_what_is_safe() {
    let policy = RedirectPolicy::unrestricted();
    for fine in
        ["https://any.example/cb", "http://127.0.0.1:5/cb", "http://localhost/cb", "com.example.app:/cb"]
    {
        assert_eq!(policy.check_allowed(fine), Ok(()), "{fine}");
    }
    for (wrong, error) in [
        ("https://any.example/cb#f", RedirectUriError::Malformed),
        ("https://u@any.example/cb", RedirectUriError::Malformed),
        ("javascript:alert(1)", RedirectUriError::Malformed),
        ("http://any.example/cb", RedirectUriError::InsecureHttp),
        ("/cb", RedirectUriError::Malformed),
    ] {
        assert_eq!(policy.check_allowed(wrong), Err(error), "{wrong}");
    }
}
