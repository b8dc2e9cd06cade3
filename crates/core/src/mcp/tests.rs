use super::*;

fn public(body: impl AsRef<[u8]>) -> bool {
    PublicMethods::new(DEFAULT_PUBLIC_METHODS, ["about"]).public_message(body.as_ref()).is_some()
}

#[test]
fn discovery_is_public() {
    for method in DEFAULT_PUBLIC_METHODS {
        let is_request = method != "notifications/initialized";
        assert_eq!(
            public(format!(r#"{{"jsonrpc":"2.0","id":1,"method":"{method}"}}"#)),
            is_request,
            "{method}"
        );
    }
    assert!(public(r#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#));
    assert!(public(r#"{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":"x"}}"#));
    let initialize = r#" { "method" : "initialize" , "params":{"protocolVersion":"2025-11-25","capabilities":{"a":[1,{}]},
        "clientInfo":{"name":"caf\u00e9","version":"1"}},"jsonrpc":"2.0","id":"1"}"#;
    assert!(public(initialize));
    assert!(public(r#"{"jsonrpc":"2.0","id":1,"method":"tools/list","params":{"cursor":"a"}}"#));
}

#[test]
fn only_named_tools_are_public() {
    assert!(public(
        r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"about","arguments":{}}}"#
    ));
    for body in [
        r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"delete"}}"#,
        r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{}}"#,
        r#"{"jsonrpc":"2.0","id":1,"method":"tools/call"}"#,
        r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":["about"]}}"#,
        r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"about","name":"delete"}}"#,
        r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"about","Name":"delete"}}"#,
        r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"about","n\u0061me":"delete"}}"#,
        r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"\u0061bout"}}"#,
        r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"about "}}"#,
        r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":[{"name":"about"}]}"#,
    ] {
        assert!(!public(body), "{body}");
    }
    let all = PublicMethods::new(["tools/call"], [""; 0]);
    assert!(
        all.public_message(br#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"x"}}"#)
            .is_none()
    );
}

#[test]
fn what_parsers_could_read_differently_is_protected() {
    let list = r#"{"jsonrpc":"2.0","id":1,"method":"tools/list"}"#;
    assert!(public(list));
    for body in [
        r#"{"jsonrpc":"2.0","id":1,"method":"tools/list","method":"tools/call"}"#,
        r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","method":"tools/list"}"#,
        r#"{"jsonrpc":"2.0","id":1,"method":"tools/list","Method":"tools/call"}"#,
        r#"{"jsonrpc":"2.0","id":1,"method":"tools/list","m\u0065thod":"tools/call"}"#,
        r#"{"jsonrpc":"2.0","id":1,"method":"tools\u002flist"}"#,
        r#"{"jsonrpc":"2.0","id":1,"method":"tools\/list"}"#,
        r#"{"jsonrpc":"2.0","id":1,"id":2,"method":"tools/list"}"#,
        r#"{"jsonrpc":"2.0","id":1,"method":"tools/list","extra":1}"#,
        r#"{"jsonrpc":"2.0","id":1,"method":"tools/list","params":{"a":1,"a":2}}"#,
        r#"{"jsonrpc":"2.0","id":1,"method":"tools/list","params":{"a":1,"A":2}}"#,
        r#"{"jsonrpc":"2.0","id":1e999,"method":"tools/list"}"#,
        r#"{"jsonrpc":"2.0","id":1,"method":"tools/list","params":{"a":"\ud800"}}"#,
        r#"{"jsonrpc":"2.0","id":1,"method":"tools/list","params":{"a":{"\udc00":1}}}"#,
        r#"{"jsonrpc":"2.0","id":1,"method":"tools/list","params":{"name":[-1e999]}}"#,
        r#"{"jsonrpc":"2.0","id":1,"method":"tools/list"} {"jsonrpc":"2.0","id":1,"method":"tools/call"}"#,
        r#"{"jsonrpc":"2.0","id":1,"method":"tools/list"}x"#,
        r#"[{"jsonrpc":"2.0","id":1,"method":"tools/list"}]"#,
        r#"{"jsonrpc":"1.0","id":1,"method":"tools/list"}"#,
        r#"{"id":1,"method":"tools/list"}"#,
        r#"{"jsonrpc":"2.0","id":1,"method":"TOOLS/LIST"}"#,
        r#"{"jsonrpc":"2.0","id":1,"method":"notifications/cancelled"}"#,
        r#"{"jsonrpc":"2.0","id":1,"result":{}}"#,
        r#"{"jsonrpc":"2.0","id":1,"method":7}"#,
        r#"{jsonrpc:"2.0",id:1,method:"tools/list"}"#,
        r#"{"jsonrpc":"2.0","id":1,"method":"tools/list",}"#,
        r#"{"jsonrpc":"2.0","id":1,"method":"tools/list"/**/}"#,
        r#"{"jsonrpc":"2.0","id":1,"method":"#,
        "",
        "null",
        "\"tools/list\"",
    ] {
        assert!(!public(body), "{body}");
    }
    assert!(!public(format!("\u{feff}{list}")), "a byte order mark");
    assert!(!public([b"\xff".as_slice(), list.as_bytes()].concat()), "not UTF-8");
    let nested = |depth: usize| {
        let (open, close) = ("[".repeat(depth), "]".repeat(depth));
        format!(r#"{{"jsonrpc":"2.0","id":1,"method":"tools/list","params":{{"a":{open}{close}}}}}"#)
    };
    assert!(public(nested(100)));
    assert!(!public(nested(200)), "deeper than parsers have to read (RFC 8259 section 9)");
    let utf16: Vec<u8> = list.encode_utf16().flat_map(u16::to_le_bytes).collect();
    assert!(!public(utf16));
    assert!(!public(format!("{list}{}", " ".repeat(MAX_PUBLIC_BODY))));
    assert!(!public(format!(
        r#"{{"jsonrpc":"2.0","id":1,"method":"tools/list","params":{}"#,
        "[".repeat(5000)
    )));
}

#[test]
fn the_operator_can_close_what_is_public_by_default() {
    let none = PublicMethods::new([""; 0], [""; 0]);
    assert!(none.public_message(br#"{"jsonrpc":"2.0","id":1,"method":"tools/list"}"#).is_none());
}

#[test]
fn headers_have_to_say_what_the_body_says() {
    let public = PublicMethods::new(DEFAULT_PUBLIC_METHODS, ["about"]);
    let list = public.public_message(br#"{"jsonrpc":"2.0","id":1,"method":"tools/list"}"#);
    let call =
        public.public_message(br#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"about"}}"#);
    let agrees = |message: Option<Message<'_>>, method: Option<&str>, name: Option<&str>| {
        message.is_some_and(|message| message.agrees_with(method.map(str::as_bytes), name.map(str::as_bytes)))
    };
    assert!(agrees(list, None, None));
    assert!(agrees(list, Some("tools/list"), None));
    assert!(!agrees(list, Some("tools/call"), None));
    assert!(!agrees(list, Some("Tools/List"), None));
    assert!(!agrees(list, Some("tools/list"), Some("about")));
    assert!(agrees(call, Some("tools/call"), Some("about")));
    assert!(!agrees(call, Some("tools/call"), Some("delete")));
}

#[test]
fn only_a_single_call_with_an_id_can_be_answered() {
    let call = |id: &str| format!(r#"{{"jsonrpc":"2.0",{id}"method":"tools/call","params":{{"name":"x"}}}}"#);
    assert_eq!(call_id(call(r#""id":7,"#).as_bytes()), Some(7.into()));
    assert_eq!(call_id(call(r#""id":"a\u0062","#).as_bytes()), Some("ab".into()));
    for body in [
        call(""),
        call(r#""id":null,"#),
        call(r#""id":1.5,"#),
        call(r#""id":[1],"#),
        call(r#""id":1,"id":2,"#),
        call(r#""id":1,"#).replace("call", "list"),
        format!("[{}]", call(r#""id":1,"#)),
    ] {
        assert_eq!(call_id(body.as_bytes()), None, "{body}");
    }
}
