#![allow(clippy::unwrap_used)]
use super::super::{DEFAULT_PUBLIC_METHODS, MAX_PUBLIC_BODY};
use super::*;

fn rules(rules: &[(&str, &str)]) -> ToolScopes {
    let mut all = ToolScopes::default();
    for (key, scopes) in rules {
        all.add(key, &Scopes::parse(scopes).unwrap()).unwrap();
    }
    all
}

fn usual() -> ToolScopes {
    rules(&[
        ("delete_*", "write"),
        ("*_user", "users"),
        ("about", "about"),
        ("prompt:secret*", "prompts"),
        ("resource:file:///private/*", "files"),
        ("resource:note://one", "note"),
    ])
}

fn needed(body: &str) -> String {
    let public = PublicMethods::new(DEFAULT_PUBLIC_METHODS, ["about"]);
    usual().needed_by_body(body.as_bytes(), Some(&public), None, None).to_string()
}

fn request(method: &str, params: &str) -> String {
    format!(r#"{{"jsonrpc":"2.0","id":1,"method":"{method}","params":{{{params}}}}}"#)
}

fn call(tool: &str) -> String {
    request("tools/call", &format!(r#""name":"{tool}","arguments":{{"name":"delete_x","a":[1]}}"#))
}

const ALL: &str = "write users about prompts files note";

#[test]
fn every_pattern_that_matches_adds_its_scopes() {
    assert_eq!(needed(&call("list")), "");
    assert_eq!(needed(&call("delete_note")), "write");
    assert_eq!(needed(&call("delete_user")), "write users");
    assert_eq!(
        needed(&call("DELETE_note")),
        "write",
        "to a backend that does not mind the case it is the same"
    );
    assert_eq!(needed(&call("about")), "", "it was named as public");
    assert_eq!(usual().needed_by_body(call("about").as_bytes(), None, None, None).to_string(), "about");
    for method in ["tools/list", "initialize", "resources/templates/list", "notifications/x"] {
        assert_eq!(needed(&request(method, r#""name":"delete_x","uri":"note://one""#)), "", "{method}");
    }
}

#[test]
fn what_names_nothing_but_reaches_it_needs_the_scopes_of_its_kind() {
    for method in ["tasks/result", "tasks/list", "Tasks/get"] {
        assert_eq!(needed(&request(method, r#""taskId":"1""#)), "write users about", "{method}");
    }
    assert_eq!(needed(&request("completion/complete", r#""ref":{}"#)), "prompts files note");
    assert_eq!(needed(&request("subscriptions/listen", "")), "files note");
}

#[test]
fn prompts_go_by_name_and_resources_by_uri() {
    let get = |name: &str| needed(&request("prompts/get", &format!(r#""name":"{name}""#)));
    assert_eq!((get("secret_plan").as_str(), get("plan").as_str()), ("prompts", ""));
    assert_eq!(get("delete_x"), "", "that is a pattern of tools");
    let read = |uri: &str| needed(&request("resources/read", &format!(r#""uri":"{uri}""#)));
    assert_eq!(read("file:///public/a"), "");
    assert_eq!(read("file:///private/a"), "files");
    assert_eq!(read("note://one"), "note");
    assert_eq!(read("note://one?x#y"), "note", "a query may mean nothing");
    assert_eq!(needed(&request("resources/subscribe", r#""uri":"note://one""#)), "note");
}

#[test]
fn a_uri_that_could_be_written_otherwise_needs_the_scopes_of_all_resources() {
    for uri in [
        "file:///public/../private/a",
        "file:///public/./a",
        "file:////private/a",
        "FILE:///public/a",
        "file:///%70rivate/a",
        "file:///public\\\\..\\\\private",
        "note://a//b",
        "note://x@one",
        "note://one:1",
        "note://one./",
        "private",
        "",
    ] {
        let body = request("resources/read", &format!(r#""uri":"{uri}""#));
        assert_eq!(needed(&body), "files note", "{uri}");
    }
    assert_eq!(needed(&request("resources/read", "")), "files note", "none at all");
}

#[test]
fn a_batch_needs_what_all_its_messages_need() {
    let batch = |bodies: &[&str]| needed(&format!(" \n[{}]", bodies.join(",")));
    assert_eq!(batch(&[&call("list"), &call("delete_x"), &call("a_user")]), "write users");
    assert_eq!(batch(&[&call("list"), &call("list")]), "");
    assert_eq!(batch(&[&call("list"), "7"]), ALL);
    assert_eq!(batch(&[&format!("[{}]", call("list"))]), ALL, "no batch in a batch");
}

#[test]
fn answers_to_the_server_need_nothing() {
    for answer in [r#""result":{"action":"accept"}"#, r#""error":{"code":-1,"message":"no"}"#] {
        assert_eq!(needed(&format!(r#"{{"jsonrpc":"2.0","id":1,{answer}}}"#)), "");
        let both =
            format!(r#"{{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{{"name":"x"}},{answer}}}"#);
        assert_eq!(needed(&both), ALL);
        assert_eq!(needed(&format!(r#"{{"jsonrpc":"2.0","id":1,"params":{{}},{answer}}}"#)), ALL);
    }
    assert_eq!(needed(r#"{"jsonrpc":"2.0","id":1,"result":{},"error":{}}"#), ALL);
    assert_eq!(needed(r#"{"jsonrpc":"2.0","id":1}"#), ALL);
}

#[test]
fn what_parsers_could_read_differently_needs_everything() {
    for body in [
        request("tools/call", r#""name":"list","name":"delete_x""#),
        request("tools/call", r#""name":"list","Name":"delete_x""#),
        request("tools/list", r#""a":1"#).replace("\"params\"", "\"method\":\"tools/call\",\"params\""),
        request("tools/list", r#""a":1"#).replace("\"params\"", "\"Method\":\"tools/call\",\"params\""),
        call("list").replace("\"name\":\"list\"", "\"n\\u0061me\":\"delete_x\""),
        call("list").replace("tools/call", "tools\\/list"),
        format!("\u{feff}{}", call("list")),
        format!("{}{}", call("list"), " ".repeat(MAX_PUBLIC_BODY)),
        format!("{}{}", call("list"), call("delete_x")),
        String::new(),
        "x".into(),
    ] {
        assert_eq!(needed(&body), ALL, "{body:.100}");
    }
    let tools = "write users about";
    assert_eq!(needed(&call("del\\u0065te_x")), tools, "a call, but of which tool?");
    assert_eq!(
        needed(&call("list").replace("tools/call", "Tools/Call").replace("list", "delete_x")),
        "write"
    );
    assert_eq!(needed(&call(&"x".repeat(MAX_NAME + 1))), tools);
    assert_eq!(
        usual().needed_by_body(&[b"\xff", call("list").as_bytes()].concat(), None, None, None).to_string(),
        ALL
    );
}

#[test]
fn headers_have_to_say_what_the_body_says() {
    let needed = |body: &str, method: Option<&str>, name: Option<&str>| {
        let (method, name) = (method.map(str::as_bytes), name.map(str::as_bytes));
        usual().needed_by_body(body.as_bytes(), None, method, name).to_string()
    };
    let (list, read) = (call("list"), request("resources/read", r#""uri":"file:///public/a""#));
    assert_eq!(needed(&list, Some("tools/call"), Some("list")), "");
    assert_eq!(needed(&list, Some("tools/call"), Some("delete_x")), ALL);
    assert_eq!(needed(&list, Some("tools/list"), None), ALL);
    assert_eq!(needed(&read, Some("resources/read"), Some("file:///public/a")), "");
    assert_eq!(needed(&read, Some("resources/read"), Some("file:///private/a")), ALL);
    assert_eq!(needed(&format!("[{list},{list}]"), Some("tools/call"), Some("list")), ALL);
    assert_eq!(needed(r#"{"jsonrpc":"2.0","id":1,"result":{}}"#, Some("tools/call"), Some("delete_x")), ALL);
}

#[test]
fn a_key_has_a_pattern() {
    let mut scopes = ToolScopes::default();
    for key in ["", "prompt:", "resource:", &"x".repeat(257)] {
        assert_eq!(scopes.add(key, &Scopes::default()), Err(InvalidGlob), "{key:.20}");
    }
    assert_eq!(usual().all().to_string(), ALL);
}
