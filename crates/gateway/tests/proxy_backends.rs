//! Several backends of one server: who gets a request, what is sent again and what never is.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

mod proxy_setup;

use std::time::Duration;

use mcp_login_gateway::proxy::{AtOnce, HealthChecks, Timeouts};
use mcp_login_gateway::serve::Limits;
use proxy_setup::lines::Lines;
use proxy_setup::{Backend, Gateway, Setup, Wire, caller, values};

const NO_CONTENT: &str = "HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n";
const POST: &str = "POST /mcp HTTP/1.1\nHost: h\nConnection: close\n";

/// A request that comes to this backend and is answered there. Gives its head, and the answer's as the client sees it.
async fn answered(gateway: &Gateway, backend: &Backend, request: &str, answer: &str) -> (String, String) {
    let mut client = gateway.ask(request).await;
    let mut server = backend.accept().await;
    let asked = server.head().await;
    server.send(answer).await;
    drop(server);
    (asked, client.rest().await)
}

fn get(headers: &str) -> String {
    format!("GET /mcp HTTP/1.1\nHost: h\nConnection: close\n{headers}")
}

/// A request that no backend has to do with.
async fn refused(gateway: &Gateway, request: &str) -> String {
    gateway.ask(request).await.rest().await
}

fn status(answer: &str) -> &str {
    answer.split(' ').nth(1).unwrap_or_default()
}

#[tokio::test]
async fn requests_take_turns() {
    let (a, b) = (Backend::start().await, Backend::start().await);
    let gateway = Setup::to_all(&[&a, &b]).start().await;
    for backend in [&a, &b, &a, &b] {
        let (_, answer) = answered(&gateway, backend, &get(""), NO_CONTENT).await;
        assert_eq!(status(&answer), "204", "{answer}");
    }
    assert!(a.is_alone().await && b.is_alone().await);
}

#[tokio::test]
async fn what_could_not_be_sent_goes_to_another_body_and_all() {
    let (away, b) = (Backend::away(), Backend::start().await);
    let gateway = Setup::to_all(&[&away, &b]).start().await;
    let mut client = gateway.ask(&format!("{POST}Transfer-Encoding: chunked")).await;
    let mut server = b.accept().await;
    server.head().await;
    client.send("5\r\nfirst\r\n").await;
    server.until("first").await;
    client.send("0\r\n\r\n").await;
    server.until("0\r\n\r\n").await;
    server.send(NO_CONTENT).await;
    assert_eq!(status(&client.rest().await), "204");
}

#[tokio::test]
async fn a_backend_that_is_too_slow_to_connect_is_passed_by() {
    let (a, b) = (Backend::start().await, Backend::start().await);
    // It accepts, and never begins the TLS handshake.
    let backends = vec![a.url().replace("http:", "https:"), b.url()];
    let timeouts = Timeouts { connect: Duration::from_millis(50), ..Timeouts::default() };
    let gateway = Setup { backends, timeouts, ..Setup::to(&a) }.start().await;
    let (_, answer) = answered(&gateway, &b, &format!("{POST}Content-Length: 0"), NO_CONTENT).await;
    assert_eq!(status(&answer), "204", "{answer}");
}

#[tokio::test]
async fn a_call_that_was_sent_is_never_sent_again() {
    let (a, b) = (Backend::start().await, Backend::start().await);
    let gateway = Setup::to_all(&[&a, &b]).start().await;
    let unavailable = "HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
    let delete = "DELETE /mcp HTTP/1.1\nHost: h\nConnection: close";
    // Turns go on: each is with the other backend than the last.
    for (n, (request, answer, seen)) in [
        (format!("{POST}Content-Length: 0"), "", "502"),
        (format!("{POST}Content-Length: 0"), unavailable, "503"),
        (delete.to_owned(), "", "502"),
        (get(""), unavailable, "503"),
    ]
    .into_iter()
    .enumerate()
    {
        let (this, other) = if n % 2 == 0 { (&a, &b) } else { (&b, &a) };
        let (_, answer) = answered(&gateway, this, &request, answer).await;
        assert_eq!(status(&answer), seen, "{request}: {answer}");
        assert!(other.is_alone().await, "{request}");
    }
    let mut client = gateway.ask(&format!("{POST}Content-Length: 4")).await;
    client.send("call").await;
    let mut server = a.accept().await;
    server.until("call").await;
    drop(server);
    assert_eq!(status(&client.rest().await), "502");
    assert!(b.is_alone().await);
}

#[tokio::test]
async fn a_get_of_which_no_answer_has_begun_is_asked_of_each_once() {
    let (a, b) = (Backend::start().await, Backend::start().await);
    let gateway = Setup::to_all(&[&a, &b]).start().await;
    let mut client = gateway.ask(&get("")).await;
    a.accept().await.head().await;
    let mut server = b.accept().await;
    server.head().await;
    server.send(NO_CONTENT).await;
    assert_eq!(status(&client.rest().await), "204");

    let mut client = gateway.ask(&get("")).await;
    for backend in [&a, &b] {
        backend.accept().await.head().await;
    }
    assert_eq!(status(&client.rest().await), "502");
    assert!(a.is_alone().await && b.is_alone().await);
}

/// Opens a session; gives its id as the client has it.
async fn session(gateway: &Gateway, backend: &Backend, id: &str) -> String {
    let opened = format!("HTTP/1.1 204 No Content\r\nMcp-Session-Id: {id}\r\nConnection: close\r\n\r\n");
    let (_, answer) = answered(gateway, backend, &format!("{POST}Content-Length: 0"), &opened).await;
    values(&answer, "mcp-session-id")[0].to_owned()
}

#[tokio::test]
async fn a_session_stays_where_it_was_opened() {
    let (a, b) = (Backend::start().await, Backend::start().await);
    let gateway = Setup::to_all(&[&a, &b]).start().await;
    // Another gateway of the same configuration, in another order.
    let other = Setup::to_all(&[&b, &a]).start().await;
    let (of_a, of_b) = (session(&gateway, &a, "s.1").await, session(&gateway, &b, "s.1").await);
    assert!(of_a != of_b && of_a != "s.1");
    for gateway in [&gateway, &other] {
        for (backend, id) in [(&a, &of_a), (&a, &of_a), (&b, &of_b)] {
            for request in [
                get(&format!("Mcp-Session-Id: {id}")),
                format!("{POST}Mcp-Session-Id: {id}\nContent-Length: 0"),
            ] {
                let (asked, answer) = answered(gateway, backend, &request, NO_CONTENT).await;
                assert_eq!(values(&asked, "mcp-session-id"), ["s.1"]);
                assert_eq!(status(&answer), "204");
            }
        }
    }
    // No backend of the list has such a session.
    for id in ["s.1", "untagged"] {
        let answer = refused(&gateway, &get(&format!("Mcp-Session-Id: {id}"))).await;
        assert_eq!(status(&answer), "404", "{answer}");
    }
    assert!(a.is_alone().await && b.is_alone().await);
}

#[tokio::test]
async fn one_backend_alone_gives_out_its_own_ids() {
    let backend = Backend::start().await;
    let gateway = Setup::to(&backend).start().await;
    assert_eq!(session(&gateway, &backend, "s.1").await, "s.1");
    let (asked, _) = answered(&gateway, &backend, &get("Mcp-Session-Id: s.1"), NO_CONTENT).await;
    assert_eq!(values(&asked, "mcp-session-id"), ["s.1"]);
}

#[tokio::test]
async fn a_session_goes_to_no_other_backend_and_changes_are_logged_once() {
    let (mut a, b) = (Backend::start().await, Backend::start().await);
    let gateway = Setup::to_all(&[&a, &b]).start().await;
    let id = session(&gateway, &a, "s").await;
    let (lines, _logged) = Lines::logged();
    let changes = |what: &str| lines.text().lines().filter(|line| line.contains(what)).count();
    a.go();
    let in_session = get(&format!("Mcp-Session-Id: {id}"));
    for _ in 0..3 {
        let answer = refused(&gateway, &in_session).await;
        assert_eq!(status(&answer), "502", "{answer}");
        // The head holds digits that are nobody's.
        let (_, body) = answer.split_once("\r\n\r\n").unwrap();
        assert!(body.contains("mcp.backend") && !body.contains(&a.port.to_string()), "{body}");
    }
    assert!(b.is_alone().await);
    // Whoever has no session there does not notice.
    for _ in 0..3 {
        answered(&gateway, &b, &get(""), NO_CONTENT).await;
    }
    assert_eq!((changes("left out"), changes("is back")), (1, 0), "{}", lines.text());
    a.come();
    answered(&gateway, &a, &in_session, NO_CONTENT).await;
    assert_eq!((changes("left out"), changes("is back")), (1, 1), "{}", lines.text());
    assert!(lines.text().contains(&a.url()));
    let mut turns = Vec::new();
    for _ in 0..2 {
        turns.push(whoever(&gateway, &a, &b).await);
    }
    turns.sort_unstable();
    assert_eq!(turns, ["a", "b"]);
}

/// Who gets a request.
async fn whoever(gateway: &Gateway, a: &Backend, b: &Backend) -> &'static str {
    let mut client = gateway.ask(&get("")).await;
    let (mut server, name): (Wire, _) = tokio::select! {
        server = a.accept() => (server, "a"),
        server = b.accept() => (server, "b"),
    };
    server.head().await;
    server.send(NO_CONTENT).await;
    client.rest().await;
    name
}

#[tokio::test]
async fn where_all_are_away_all_are_tried() {
    let mut backends = [Backend::away(), Backend::away()];
    let gateway = Setup::to_all(&[&backends[0], &backends[1]]).start().await;
    for _ in 0..3 {
        assert_eq!(status(&refused(&gateway, &get("")).await), "502");
    }
    backends[1].come();
    let (_, answer) = answered(&gateway, &backends[1], &get(""), NO_CONTENT).await;
    assert_eq!(status(&answer), "204", "{answer}");
}

#[tokio::test]
async fn a_request_waits_for_three_backends_and_no_more() {
    let (away, b) = ([Backend::away(), Backend::away(), Backend::away()], Backend::start().await);
    let gateway = Setup::to_all(&[&away[0], &away[1], &away[2], &b]).start().await;
    assert_eq!(status(&refused(&gateway, &get("")).await), "502");
    assert!(b.is_alone().await);
    // By now it is known who is away.
    let (_, answer) = answered(&gateway, &b, &get(""), NO_CONTENT).await;
    assert_eq!(status(&answer), "204", "{answer}");
}

#[tokio::test]
async fn a_backend_whose_check_fails_gets_no_requests_until_it_is_well() {
    const WELL: &str = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
    const REDIRECT: &str =
        "HTTP/1.1 302 Found\r\nLocation: /base\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
    let (a, b) = (Backend::start().await, Backend::start().await);
    let hour = Duration::from_secs(3600);
    let health =
        HealthChecks { path: "/healthz".to_owned(), interval: Duration::from_millis(1), timeout: hour };
    let gateway = Setup { health: Some(health), ..Setup::to_all(&[&a, &b]) }.start().await;
    let mut check = a.accept().await;
    assert!(check.head().await.starts_with("GET /healthz HTTP/1.1\r\n"));
    check.send(REDIRECT).await;
    drop(check);
    // The next check comes when the last was judged.
    let mut check = a.accept().await;
    check.head().await;
    let _pending = b.accept().await;
    for _ in 0..3 {
        answered(&gateway, &b, &get(""), NO_CONTENT).await;
    }
    check.send(WELL).await;
    drop(check);
    let _pending = a.accept().await;
    let mut turns = [whoever(&gateway, &a, &b).await, whoever(&gateway, &a, &b).await];
    turns.sort_unstable();
    assert_eq!(turns, ["a", "b"]);
}

#[tokio::test]
async fn checks_end_with_their_proxy() {
    let (a, b) = (Backend::start().await, Backend::start().await);
    let hour = Duration::from_secs(3600);
    let health = HealthChecks { path: "/healthz".to_owned(), interval: hour, timeout: hour };
    let gateway = Setup { health: Some(health), ..Setup::to_all(&[&a, &b]) }.start().await;
    let (check_a, check_b) = (a.accept().await, b.accept().await);
    drop(gateway);
    check_a.gone().await;
    check_b.gone().await;
}

#[tokio::test]
async fn requests_beyond_the_bound_are_503_until_one_ends() {
    let backend = Backend::start().await;
    let at_once = AtOnce { requests: 1, requests_per_user: 1 };
    let gateway =
        Setup { at_once: AtOnce { requests_per_user: 2, ..at_once }, ..Setup::to(&backend) }.start().await;
    let streaming = gateway.get("").await;
    let mut server = backend.accept().await;
    server.head().await;
    server.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n").await;
    let answer = refused(&gateway, &get("")).await;
    assert_eq!((status(&answer), &values(&answer, "retry-after")[..]), ("503", &["5"][..]), "{answer}");
    drop(streaming);
    server.gone().await;
    assert_eq!(status(&answered(&gateway, &backend, &get(""), NO_CONTENT).await.1), "204");

    // What is one user's bound says so to them.
    let at_once = AtOnce { requests: 2, ..at_once };
    let gateway = Setup { at_once, caller: Some(caller(Ok("t"))), ..Setup::to(&backend) }.start().await;
    let _waiting = gateway.get("").await;
    let mut server = backend.accept().await;
    server.head().await;
    let answer = refused(&gateway, &get("")).await;
    assert_eq!((status(&answer), &values(&answer, "retry-after")[..]), ("429", &["5"][..]), "{answer}");
}

#[tokio::test]
async fn a_client_that_does_not_read_lets_go_of_the_backend() {
    let backend = Backend::start().await;
    let limits = Limits { write: Duration::from_millis(50), ..Limits::default() };
    let at_once = AtOnce { requests: 1, requests_per_user: 1 };
    let gateway = Setup { at_once, limits, ..Setup::to(&backend) }.start().await;
    let _unread = gateway.get("").await;
    let mut server = backend.accept().await;
    server.head().await;
    server.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n").await;
    server.flood(&format!("{:x}\r\n{}\r\n", 65536, "x".repeat(65536))).await;
    assert_eq!(status(&answered(&gateway, &backend, &get(""), NO_CONTENT).await.1), "204");
}
