use super::HeaderMismatch::{Differs, Malformed, Missing};
use super::*;

const LATE: &str = "2026-07-28";

/// Method, name, version.
fn check(body: &str, [method, name, version]: [&str; 3]) -> Result<(), HeaderMismatch> {
    Repeated { method: given(method), name: given(name), version: given(version) }.check(body.as_bytes())
}

fn given(held: &str) -> Option<&[u8]> {
    Some(held.as_bytes()).filter(|held| !held.is_empty())
}

fn request(method: &str, params: &str) -> String {
    format!(r#"{{"jsonrpc":"2.0","id":1,"method":"{method}","params":{{{params}}}}}"#)
}

fn call(tool: &str) -> String {
    request("tools/call", &format!(r#""name":"{tool}","arguments":{{"name":"other"}}"#))
}

fn of_revision(version: &str) -> String {
    let meta = format!(r#""_meta":{{"io.modelcontextprotocol/protocolVersion":"{version}","a":[1]}}"#);
    request("tools/call", &format!(r#""name":"add",{meta}"#))
}

#[test]
fn what_contradicts_the_body_is_refused_in_every_revision() {
    for version in ["", "2025-11-25", LATE, "2027-01-01", "DRAFT-2026-v1"] {
        assert_eq!(check(&call("add"), ["tools/call", "add", version]), Ok(()), "{version}");
        for (header, headers) in [
            (METHOD, ["tools/list", "add", version]),
            (METHOD, ["Tools/Call", "add", version]),
            (NAME, ["tools/call", "delete", version]),
            (NAME, ["tools/call", "Add", version]),
            (NAME, ["tools/call", "other", version]),
        ] {
            assert_eq!(check(&call("add"), headers), Err(Differs(header)), "{headers:?}");
        }
    }
    let read = request("resources/read", r#""uri":"note://one","name":"add""#);
    assert_eq!(check(&read, ["resources/read", "note://one", LATE]), Ok(()));
    assert_eq!(check(&read, ["resources/read", "add", LATE]), Err(Differs(NAME)));
    let get = request("prompts/get", r#""name":"plan""#);
    assert_eq!(check(&get, ["prompts/get", "plan", LATE]), Ok(()));
    assert_eq!(check(&get, ["prompts/get", "x", ""]), Err(Differs(NAME)));
    let task = request("tasks/get", r#""taskId":"7""#);
    assert_eq!(check(&task, ["tasks/get", "7", LATE]), Ok(()));
    assert_eq!(check(&task, ["tasks/get", "8", LATE]), Err(Differs(NAME)));
}

#[test]
fn a_late_revision_asks_for_the_headers() {
    assert_eq!(check(&call("add"), ["", "add", LATE]), Err(Missing(METHOD)));
    assert_eq!(check(&call("add"), ["tools/call", "", LATE]), Err(Missing(NAME)));
    assert_eq!(check(&call("add"), ["tools/call", "", "2030-01-01"]), Err(Missing(NAME)));
    for (method, params) in [("resources/read", r#""uri":"a:b""#), ("prompts/get", r#""name":"plan""#)] {
        assert_eq!(check(&request(method, params), [method, "", LATE]), Err(Missing(NAME)), "{method}");
    }
    assert_eq!(check(&request("tools/list", ""), ["tools/list", "", LATE]), Ok(()));
    assert_eq!(check(&request("tools/list", ""), ["", "", LATE]), Err(Missing(METHOD)));
    // Earlier ones know nothing of them, and what is no date nobody knows.
    for version in ["", "2025-11-25", "2026-07-27", "DRAFT-2026-v1", "2026-7-28", "9"] {
        assert_eq!(check(&call("add"), ["", "", version]), Ok(()), "{version}");
    }
    // Nothing is asked of notifications, nor of a first message to an older server.
    let notification = r#"{"jsonrpc":"2.0","method":"notifications/x"}"#;
    assert_eq!(check(notification, ["", "", LATE]), Ok(()));
    assert_eq!(check(notification, ["tools/call", "", LATE]), Err(Differs(METHOD)));
    assert_eq!(check(&request("initialize", ""), ["", "", LATE]), Ok(()));
}

#[test]
fn the_revision_is_the_same_in_both_places() {
    assert_eq!(check(&of_revision(LATE), ["tools/call", "add", LATE]), Ok(()));
    assert_eq!(check(&of_revision(LATE), ["tools/call", "add", "2025-11-25"]), Err(Differs(VERSION)));
    assert_eq!(check(&of_revision("2025-11-25"), ["", "", LATE]), Err(Differs(VERSION)));
    assert_eq!(check(&of_revision(LATE), ["tools/call", "add", ""]), Err(Missing(VERSION)));
    assert_eq!(check(&of_revision("2025-11-25"), ["", "", ""]), Ok(()));
    // What is not said plainly is not compared.
    for meta in [
        "null",
        "[1]",
        "{}",
        r#"{"io.modelcontextprotocol/protocolVersion":7}"#,
        r#"{"io.modelcontextprotocol/protocolVersion":"2025-11\u002d25"}"#,
        r#"{"io.modelcontextprotocol/protocolVersion":"a","io.modelcontextprotocol/protocolVersion":"b"}"#,
    ] {
        let body = request("tools/list", &format!(r#""_meta":{meta}"#));
        assert_eq!(check(&body, ["tools/list", "", LATE]), Ok(()), "{meta}");
    }
}

/// The examples of the specification, and what is none.
#[test]
fn a_name_may_be_encoded() {
    for (name, held) in [
        ("us-west1", "us-west1"),
        ("Hello, 世界", "=?base64?SGVsbG8sIOS4lueVjA==?="),
        (" padded ", "=?base64?IHBhZGRlZCA=?="),
        ("=?base64?literal?=", "=?base64?PT9iYXNlNjQ/bGl0ZXJhbD89?="),
        ("=?base64?x", "=?base64?x"),
        ("=?BASE64?eA==?=", "=?BASE64?eA==?="),
    ] {
        assert_eq!(check(&call(name), ["tools/call", held, LATE]), Ok(()), "{held}");
        assert_eq!(check(&call("add"), ["tools/call", held, LATE]), Err(Differs(NAME)), "{held}");
    }
    for held in ["=?base64?SGVsbG8?=", "=?base64?*?=", "=?base64?YWRk\n?=", "世界", "a\u{1}"] {
        assert_eq!(check(&call("add"), ["tools/call", held, LATE]), Err(Malformed(NAME)), "{held}");
    }
    assert_eq!(check(&call("=?base64?YWRk?="), ["", "=?base64?YWRk?=", ""]), Err(Differs(NAME)));
    assert_eq!(check(&call("add"), ["tools/call", "=?base64?YWRk?=", ""]), Ok(()));
    assert_eq!(check(&call("add"), ["tools/call", "=?base64??=", ""]), Err(Differs(NAME)));
}

#[test]
fn what_cannot_be_compared_agrees_with_nothing_and_is_no_contradiction() {
    let headers = ["tools/call", "add", LATE];
    for body in [
        call("a\\u0064d"),
        request("tools/call", r#""name":["add"]"#),
        request("tools/call", ""),
        request("tools/call", r#""name":"add","Name":"delete""#),
        "x".into(),
        String::new(),
    ] {
        assert_eq!(check(&body, headers), Ok(()), "{body}");
        if let Some(message) = Message::read(body.as_bytes()) {
            assert!(!message.agrees_with(Some(b"tools/call"), Some(b"add")), "{body}");
        }
    }
    // A name where none is repeated: nobody knows what it is for.
    assert_eq!(check(&request("tools/list", r#""name":"add""#), ["tools/list", "add", LATE]), Ok(()));
}

#[test]
fn of_several_messages_or_of_an_answer_no_header_speaks() {
    let batch = format!("[{},{}]", call("add"), call("add"));
    let answer = r#"{"jsonrpc":"2.0","id":1,"result":{}}"#;
    for body in [batch.as_str(), answer] {
        assert_eq!(check(body, ["tools/call", "add", ""]), Err(Differs(METHOD)));
        assert_eq!(check(body, ["", "add", ""]), Err(Differs(NAME)));
        assert_eq!(check(body, ["", "", "2025-03-26"]), Ok(()));
    }
    assert_eq!(check(&format!("[{}]", call("add")), ["tools/call", "add", ""]), Ok(()), "a batch of one");
}

#[test]
fn a_header_is_there_once() {
    let of = |twice: &'static str| {
        Repeated::of(|name| if name == twice { vec![b"a".as_slice(), b"a"] } else { vec![b"b"] })
    };
    for header in [METHOD, NAME, VERSION] {
        assert_eq!(of(header), Err(Malformed(header)));
    }
    let once = Repeated { method: Some(b"b"), name: Some(b"b"), version: Some(b"b") };
    assert_eq!(of(""), Ok(once));
    assert_eq!(Repeated::of(|_| Vec::new()), Ok(Repeated::default()));
}

#[test]
fn a_refusal_names_the_header_and_nothing_else() {
    assert_eq!(Differs(NAME).to_string(), "Header mismatch: Mcp-Name does not say what the body says");
    assert_eq!(HeaderMismatch::CODE, -32020);
}
