//! What a backend is told, and what a client hears of it.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

mod proxy_setup;

use std::time::Duration;

use axum::http::header::WWW_AUTHENTICATE;
use axum::response::Response;
use mcp_login::resource::{LoginNeeded, UpstreamTokenError};
use proxy_setup::{Backend, Setup, caller, caller_after, caller_named, values};

const EMPTY_ANSWER: &str = "HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n";

#[tokio::test]
async fn the_backend_hears_of_the_caller_only_from_us() {
    let backend = Backend::start().await;
    let gateway = Setup {
        caller: Some(caller(Ok("t0k"))),
        headers: vec![("X-Upstream", "{upstream.access_token}"), ("Authorization", "Bearer {user.sub}")],
        ..Setup::to(&backend)
    };
    let gateway = gateway.start().await;
    let mut client = gateway
        .get(
            "Authorization: Bearer client-token
X-Forwarded-User: root
x_forwarded_user: root
X-Forwarded-For: 6.6.6.6
X_Forwarded_Email: root@example.com
X-Forwarded-Groups: wheel
Forwarded: for=6.6.6.6
X-Request-Id: mine
X-Upstream: forged
x_upstream: forged
Connection: X-Forwarded-User, X-Upstream, X-Hop, X-Forwarded-Scope
X-Hop: 1
Upgrade: websocket
TE: trailers
Proxy-Authorization: Basic x
Cookie: theme=dark; __Host-mcp-login-session=s
Cookie: mcp-login-consent=c
Mcp-Session-Id: s1
Accept: text/event-stream",
        )
        .await;
    let mut server = backend.accept().await;
    let head = server.head().await;
    server.send(EMPTY_ANSWER).await;
    let answer = client.head().await;

    assert!(head.starts_with("GET /base HTTP/1.1\r\n"), "{head}");
    for (name, value) in [
        ("x-forwarded-user", "user-1"),
        ("x-forwarded-email", "zoe@example.com"),
        ("x-forwarded-preferred-username", "zoë"),
        ("x-forwarded-client", "client-1"),
        ("x-forwarded-scope", "mcp x"),
        ("x-forwarded-for", "127.0.0.1"),
        ("x-forwarded-proto", "https"),
        ("x-forwarded-host", "mcp.example.com"),
        ("x-upstream", "t0k"),
        ("authorization", "Bearer user-1"),
        ("host", format!("127.0.0.1:{}", backend.port).as_str()),
        ("cookie", "theme=dark"),
        ("mcp-session-id", "s1"),
        ("accept", "text/event-stream"),
        ("x-request-id", values(&answer, "x-request-id")[0]),
    ] {
        assert_eq!(values(&head, name), [value], "{name} in\n{head}");
    }
    let names =
        ["x_forwarded_user", "x_forwarded_email", "x-forwarded-groups", "forwarded", "x_upstream", "x-hop"];
    for name in names.iter().chain(&["connection", "upgrade", "te", "proxy-authorization"]) {
        assert!(values(&head, name).is_empty(), "{name} in\n{head}");
    }
    for forged in ["root", "6.6.6.6", "forged", "mine", "client-token", "mcp-login-"] {
        assert!(!head.contains(forged), "{forged} in\n{head}");
    }
}

#[tokio::test]
async fn a_request_without_a_user_says_nothing_of_one() {
    let backend = Backend::start().await;
    let headers =
        vec![("X-Who", "{user.sub}"), ("X-Token", "{upstream.access_token}"), ("X-Key", "constant")];
    let gateway = Setup { headers, ..Setup::to(&backend) }.start().await;
    let _client = gateway.get("X-Who: root\nX-Token: forged\nX-Forwarded-User: root").await;
    let head = backend.accept().await.head().await;
    assert_eq!(values(&head, "x-key"), ["constant"]);
    for name in
        ["x-who", "x-token", "x-forwarded-user", "x-forwarded-client", "x-forwarded-scope", "authorization"]
    {
        assert!(values(&head, name).is_empty(), "{name} in\n{head}");
    }
}

#[tokio::test]
async fn an_answer_passes_without_what_is_ours_to_say() {
    let backend = Backend::start().await;
    let gateway = Setup::to(&backend).start().await;
    let mut client = gateway.get("").await;
    let mut server = backend.accept().await;
    server.head().await;
    server
        .send(
            "HTTP/1.1 418 Teapot\r\nContent-Type: text/plain\r\nMcp-Session-Id: s1\r\nSet-Cookie: theme=dark\r\n\
             Set-Cookie: __Host-mcp-login-session=evil; Path=/\r\nAccess-Control-Allow-Origin: *\r\n\
             X-Request-Id: theirs\r\nConnection: X-Internal\r\nX-Internal: 1\r\nKeep-Alive: timeout=5\r\n\
             Content-Length: 3\r\n\r\nabc",
        )
        .await;
    let head = client.head().await;
    assert!(head.starts_with("HTTP/1.1 418 "), "{head}");
    assert_eq!(client.until("abc").await, "abc");
    assert_eq!(values(&head, "set-cookie"), ["theme=dark"]);
    assert_eq!(values(&head, "mcp-session-id"), ["s1"]);
    assert_eq!(values(&head, "content-length"), ["3"]);
    assert_eq!(values(&head, "x-request-id")[0].len(), 32, "{head}");
    for name in ["access-control-allow-origin", "connection", "x-internal", "keep-alive"] {
        assert!(values(&head, name).is_empty(), "{name} in\n{head}");
    }
}

#[tokio::test]
async fn an_ended_upstream_login_is_for_the_layer_in_front_to_answer() {
    let backend = Backend::start().await;
    let gateway = Setup {
        caller: Some(caller(Err(UpstreamTokenError::LoginNeeded))),
        headers: vec![("X-Token", "{upstream.access_token}")],
        ..Setup::to(&backend)
    };
    let challenge = |mut response: Response| async move {
        if response.extensions().get::<LoginNeeded>().is_some() {
            response
                .headers_mut()
                .insert(WWW_AUTHENTICATE, "Bearer error=\"invalid_token\"".parse().unwrap());
        }
        response
    };
    let gateway = gateway.start_with(|router| router.layer(axum::middleware::map_response(challenge))).await;
    let head = gateway.get("").await.head().await;
    assert!(head.starts_with("HTTP/1.1 401 "), "{head}");
    assert_eq!(values(&head, "www-authenticate"), ["Bearer error=\"invalid_token\""]);
    assert!(backend.is_alone().await);
}

#[tokio::test]
async fn an_upstream_that_is_away_logs_nobody_out() {
    let backend = Backend::start().await;
    let retry_after = Some(Duration::from_millis(6500));
    let gateway = Setup {
        caller: Some(caller(Err(UpstreamTokenError::Unavailable { retry_after }))),
        headers: vec![("X-Token", "{upstream.access_token}")],
        ..Setup::to(&backend)
    };
    let gateway = gateway.start().await;
    let mut client = gateway.get("Connection: close").await;
    let answer = client.rest().await;
    assert!(answer.starts_with("HTTP/1.1 503 "), "{answer}");
    assert_eq!(values(&answer, "retry-after"), ["7"]);
    assert!(answer.contains("\"error\":\"temporarily_unavailable\""), "{answer}");
}

#[tokio::test]
async fn an_upstream_token_is_not_asked_for_in_vain() {
    let backend = Backend::start().await;
    let caller = Some(caller(Err(UpstreamTokenError::LoginNeeded)));
    let gateway =
        Setup { caller, headers: vec![("X-Who", "{user.sub}")], ..Setup::to(&backend) }.start().await;
    let _client = gateway.get("").await;
    assert_eq!(values(&backend.accept().await.head().await, "x-who"), ["user-1"]);
}

#[tokio::test]
async fn path_and_query_pass_as_they_are_and_nothing_climbs_out() {
    let backend = Backend::start().await;
    let gateway = Setup::to(&backend).start().await;
    for (asked, wanted) in [
        ("/mcp?a=%2F&b=..", "/base?a=%2F&b=.."),
        ("/mcp/", "/base/"),
        ("/mcp/x%2Fy/%252e%252e/z?q", "/base/x%2Fy/%252e%252e/z?q"),
    ] {
        let _client = gateway.ask(&format!("DELETE {asked} HTTP/1.1\nHost: h")).await;
        let mut server = backend.accept().await;
        let head = server.head().await;
        assert!(head.starts_with(&format!("DELETE {wanted} HTTP/1.1\r\n")), "{head}");
        server.send(EMPTY_ANSWER).await;
    }
    for (asked, status) in [
        ("GET /mcp/../admin", "400"),
        ("GET /mcp/%2e%2e/admin", "400"),
        ("GET /mcp/..%5cadmin", "400"),
        ("GET /mcpx", "404"),
        ("TRACE /mcp", "405"),
    ] {
        let head = gateway.ask(&format!("{asked} HTTP/1.1\nHost: h")).await.head().await;
        assert!(head.starts_with(&format!("HTTP/1.1 {status} ")), "{asked}: {head}");
    }
    assert!(backend.is_alone().await);
}

#[tokio::test]
async fn a_backends_401_is_no_reason_to_log_in_again() {
    let backend = Backend::start().await;
    let gateway = Setup::to(&backend).start().await;
    for (status, wanted) in [("401 Unauthorized", "502"), ("403 Forbidden", "403")] {
        let mut client = gateway.get("Connection: close").await;
        let mut server = backend.accept().await;
        server.head().await;
        server
            .send(&format!(
                "HTTP/1.1 {status}\r\nWWW-Authenticate: Bearer resource_metadata=\"https://other.example\"\r\n\
                 Connection: close\r\nContent-Length: 4\r\n\r\nbody"
            ))
            .await;
        let answer = client.rest().await;
        assert!(answer.starts_with(&format!("HTTP/1.1 {wanted} ")), "{answer}");
        assert!(values(&answer, "www-authenticate").is_empty(), "{answer}");
        assert_eq!(answer.ends_with("body"), wanted == "403", "{answer}");
        assert_eq!(answer.contains("mcp.headers"), wanted == "502", "{answer}");
    }
}

#[tokio::test]
async fn a_backends_401_may_be_the_upstream_tokens() {
    let unavailable = UpstreamTokenError::Unavailable { retry_after: None };
    for (after, status, said) in [
        (Ok("t0k"), "502", "mcp.headers"),
        (Ok("an0ther"), "503", "try again"),
        (Err(UpstreamTokenError::LoginNeeded), "401", "sign in"),
        (Err(unavailable), "503", "try again"),
    ] {
        let backend = Backend::start().await;
        let caller = Some(caller_after(after.clone()));
        let headers = vec![("Authorization", "Bearer {upstream.access_token}")];
        let gateway = Setup { caller, headers, ..Setup::to(&backend) }.start().await;
        let mut client = gateway.get("Connection: close").await;
        let mut server = backend.accept().await;
        assert_eq!(values(&server.head().await, "authorization"), ["Bearer t0k"]);
        server.send("HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\n\r\n").await;
        let answer = client.rest().await;
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{after:?}: {answer}");
        assert!(answer.contains(said), "{after:?}: {answer}");
        assert_eq!(values(&answer, "retry-after").len(), usize::from(status == "503"), "{answer}");
        assert!(!answer.contains("t0k") && !answer.contains("an0ther"), "{answer}");
    }
}

#[tokio::test]
async fn a_user_who_cannot_be_named_is_not_passed_on_as_nobody() {
    let backend = Backend::start().await;
    for subject in ["", "a\nb", " root", "root ", "a\u{7f}"] {
        let caller = Some(caller_named(subject, Ok("t0k")));
        let gateway = Setup { caller, ..Setup::to(&backend) }.start().await;
        let answer = gateway.get("Connection: close").await.rest().await;
        assert!(answer.starts_with("HTTP/1.1 403 "), "{subject:?}: {answer}");
        assert!(answer.contains("\"access_denied\""), "{answer}");
        assert!(answer.contains("this user's identifier cannot be passed on"), "{answer}");
    }
    assert!(backend.is_alone().await);
}
