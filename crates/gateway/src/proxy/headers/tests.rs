#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use super::*;

fn map(entries: &[(&str, &str)]) -> HeaderMap {
    let mut map = HeaderMap::new();
    for (name, value) in entries {
        map.append(HeaderName::try_from(*name).unwrap(), HeaderValue::try_from(*value).unwrap());
    }
    map
}

fn names(headers: &HeaderMap) -> Vec<&str> {
    let mut names: Vec<&str> = headers.keys().map(HeaderName::as_str).collect();
    names.sort_unstable();
    names
}

#[test]
fn what_a_client_says_of_itself_does_not_pass() {
    let mut headers = map(&[
        ("Authorization", "Bearer x"),
        ("DPoP", "proof"),
        ("X-Forwarded-User", "root"),
        ("x_forwarded_user", "root"),
        ("X.Forwarded.User", "root"),
        ("X-Forwarded_For", "1.1.1.1"),
        ("X-Forwarded-Anything", "1"),
        ("Forwarded", "for=1.1.1.1"),
        ("X-Request-ID", "1"),
        ("X-Mcp-Login-Assertion", "a.b.c"),
        ("x_mcp_login_assertion", "a.b.c"),
        ("X-Mcp-Login_Assertion", "a.b.c"),
        ("x_request_id", "1"),
        ("Proxy_Authorization", "x"),
        ("X-Team", "a"),
        ("x_team", "a"),
        ("Mcp-Session-Id", "s"),
        ("Mcp_Session_Id", "another's"),
        ("Content_Encoding", "gzip"),
        ("Last.Event.Id", "1"),
        ("Origin", "https://inspector.example"),
        ("Accept", "text/event-stream"),
    ]);
    clean_request(&mut headers, &[HeaderName::from_static("x-team")]);
    assert_eq!(names(&headers), ["accept", "mcp-session-id"]);
}

#[test]
fn no_request_acts_as_another() {
    for name in OVERRIDES {
        for name in
            [name.to_owned(), name.replace('-', "_"), name.replacen('-', "_", 1), name.replace('-', ".")]
        {
            let mut headers = map(&[(name.as_str(), "DELETE")]);
            clean_request(&mut headers, &[]);
            assert!(headers.is_empty(), "{name}");
        }
    }
}

#[test]
fn what_connection_lists_is_dropped_in_every_line_of_it() {
    let mut headers = map(&[
        ("Connection", "X-One, close"),
        ("Connection", " x-two ,, not a name, X-Forwarded-User"),
        ("X-One", "1"),
        ("X-Two", "2"),
        ("X-Three", "3"),
        ("TE", "trailers"),
        ("Upgrade", "websocket"),
        ("Keep-Alive", "5"),
    ]);
    clean_request(&mut headers, &[]);
    assert_eq!(names(&headers), ["x-three"]);
}

#[test]
fn only_our_cookies_are_taken_out() {
    let mut headers = map(&[
        ("Cookie", "a=1; __Host-mcp-login-session=s; b=\"2\""),
        ("Cookie", "MCP-LOGIN-x=1"),
        ("Cookie", "not-mcp-login-x=1;c"),
    ]);
    clean_request(&mut headers, &[]);
    let cookies: Vec<_> = headers.get_all("cookie").iter().collect();
    assert_eq!(cookies, ["a=1; b=\"2\"", "not-mcp-login-x=1;c"]);
}

#[test]
fn an_answer_sets_no_cookie_of_ours_and_no_cors() {
    let mut headers = map(&[
        ("Set-Cookie", "__host-MCP-login-session=evil; Path=/"),
        ("Set-Cookie", " mcp-login-consent=evil"),
        ("Set-Cookie", "theme=dark"),
        ("Access-Control-Allow-Origin", "*"),
        ("Connection", "x-internal"),
        ("X-Internal", "1"),
        ("Transfer-Encoding", "chunked"),
        ("X-Request-Id", "backend"),
        ("Content-Type", "text/plain"),
        ("WWW-Authenticate", "Basic"),
        ("DPoP-Nonce", "backend"),
    ]);
    clean_response(&mut headers);
    assert_eq!(names(&headers), ["content-type", "set-cookie"]);
    assert_eq!(headers.get_all("set-cookie").iter().collect::<Vec<_>>(), ["theme=dark"]);
}

#[test]
fn an_answer_sets_no_cookie_without_a_name() {
    let mut headers = map(&[
        ("Set-Cookie", "=__Host-mcp-login-session=evil; Path=/"),
        ("Set-Cookie", " = mcp-login-consent=evil"),
        ("Set-Cookie", "nameless"),
        ("Set-Cookie", "; a=b"),
        ("Set-Cookie", "a=b=c"),
        ("Clear-Site-Data", "\"cookies\""),
    ]);
    clean_response(&mut headers);
    assert_eq!(names(&headers), ["set-cookie"]);
    assert_eq!(headers.get_all("set-cookie").iter().collect::<Vec<_>>(), ["a=b=c"]);
}

#[test]
fn a_length_beside_a_transfer_encoding_does_not_pass() {
    let mut headers = map(&[("Transfer-Encoding", "chunked"), ("Content-Length", "3")]);
    clean_response(&mut headers);
    assert!(headers.is_empty(), "{headers:?}");
    let mut headers = map(&[("Content-Length", "3")]);
    clean_response(&mut headers);
    assert_eq!(names(&headers), ["content-length"]);
}

#[test]
fn a_file_may_set_authorization_but_not_what_the_gateway_sets() {
    for good in ["Authorization", "X-Forwarded-Access-Token", "X-Api-Key", "Cookie"] {
        assert!(check_configured_name(good).is_ok(), "{good}");
    }
    for bad in [
        "",
        "a b",
        "Connection",
        "TE",
        "Host",
        "Content-Length",
        "X-Forwarded-User",
        "x_request_id",
        "Ü",
        "X_Mcp_Login_Assertion",
    ] {
        assert!(check_configured_name(bad).is_err(), "{bad}");
    }
}
