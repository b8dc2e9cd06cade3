//! `assertion` and `assertion_audience` at `[[mcp]]`.

use super::{MINIMAL, check, one_fault, with};

const BACKEND: &str = "backend = \"http://127.0.0.1:3000/mcp\"";

fn audience(lines: &str) -> Option<String> {
    let checked = check(lines).unwrap_or_else(|faults| panic!("{faults}"));
    checked.config.mcp[0].assertion.clone()
}

#[test]
fn nothing_is_signed_unless_asked_for() {
    assert_eq!(audience(MINIMAL), None);
    assert_eq!(audience(&with(BACKEND, &format!("{BACKEND}\nassertion = false"))), None);
}

#[test]
fn the_audience_is_the_backend_as_it_is_written_or_what_is_said() {
    for written in ["http://127.0.0.1:3000/mcp", "http://LOCALHOST:80", "https://[::1]/a%2Fb/"] {
        let lines = with(BACKEND, &format!("backend = {written:?}\nassertion = true"));
        assert_eq!(audience(&lines).as_deref(), Some(written));
    }
    let lines = with(BACKEND, &format!("{BACKEND}\nassertion = true\nassertion_audience = \"urn:notes\""));
    assert_eq!(audience(&lines).as_deref(), Some("urn:notes"));
}

#[test]
fn what_cannot_be_is_a_fault() {
    for audience in ["", "a b", "caf\u{e9}", &"x".repeat(513)] {
        let lines = format!("{BACKEND}\nassertion = true\nassertion_audience = {audience:?}");
        one_fault(&with(BACKEND, &lines), "mcp[0].assertion_audience");
    }
    let alone = with(BACKEND, &format!("{BACKEND}\nassertion_audience = \"urn:notes\""));
    let message = one_fault(&alone, "mcp[0].assertion_audience");
    assert!(message.contains("assertion = true"), "{message}");
    let program = with(BACKEND, "command = [\"npx\", \"server\"]\nassertion = true");
    let message = one_fault(&program, "mcp[0].assertion");
    assert!(message.contains("write env"), "{message}");
    let two = "backend = [\"http://127.0.0.1:3000/mcp\", \"http://127.0.0.1:3001/mcp\"]\nassertion = true";
    one_fault(&with(BACKEND, two), "mcp[0].assertion_audience");
    assert_eq!(
        audience(&with(BACKEND, &format!("{two}\nassertion_audience = \"urn:notes\""))).as_deref(),
        Some("urn:notes")
    );
    let word = with(BACKEND, &format!("{BACKEND}\nassertion = \"yes\""));
    one_fault(&word, "mcp[0].assertion");
}

/// Two servers with these lines, before one backend.
fn two(upstreams: &str, one: &str, other: &str) -> String {
    let server = |path: &str, lines: &str| {
        format!("[[mcp]]\npath = \"/{path}\"\n{BACKEND}\nassertion = true\n{lines}\n")
    };
    format!(
        "public_url = \"https://mcp.example.com\"\n{upstreams}\n{}{}",
        server("a", one),
        server("b", other)
    )
}

fn github(section: &str) -> String {
    format!("[{section}]\nprovider = \"github\"\nclient_id = \"id\"\nclient_secret = \"hunter2\"\n")
}

#[test]
fn the_people_of_two_services_have_two_audiences() {
    let named = format!("{}{}", github("upstreams.a"), github("upstreams.b"));
    let message =
        one_fault(&two(&named, "upstream = \"a\"", "upstream = \"b\""), "mcp[1].assertion_audience");
    assert!(message.contains("mcp[0]") && message.contains("its own assertion_audience"), "{message}");
    // Also where it is said, and where one of the two has no name.
    let said = "assertion_audience = \"urn:notes\"";
    let mixed = format!("{}{}", github("upstream"), github("upstreams.b"));
    one_fault(&two(&mixed, said, &format!("upstream = \"b\"\n{said}")), "mcp[1].assertion_audience");

    let own = format!("upstream = \"b\"\n{said}");
    assert_eq!(
        audience(&two(&named, "upstream = \"a\"", &own)).as_deref(),
        Some("http://127.0.0.1:3000/mcp")
    );
    // The people of one service are the same at each server.
    assert!(check(&two(&named, "upstream = \"a\"", "upstream = \"a\"")).is_ok());
    assert!(
        check(&two(&github("upstream"), "", said)).is_ok()
            && check(&two(&github("upstream"), "", "")).is_ok()
    );
    assert!(check(&two(&github("upstreams.a"), "", "upstream = \"a\"")).is_ok());
    let unsigned = two(&named, "upstream = \"a\"", "upstream = \"b\"").replace("assertion = true", "");
    assert!(check(&unsigned).is_ok());
}

/// Nobody but the gateway may write it, whatever its spelling.
#[test]
fn no_file_writes_the_header_itself() {
    for name in ["X-Mcp-Login-Assertion", "x_mcp_login_assertion"] {
        let lines = format!("{BACKEND}\nheaders = {{ {name} = \"{{user.sub}}\" }}");
        one_fault(&with(BACKEND, &lines), &format!("mcp[0].headers.{name}"));
    }
}
