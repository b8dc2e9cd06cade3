//! Lazy login: what is said to be public is, however a backend reads it. Scopes of single tools: what is said not to need
//! one is no call of such a tool, however a backend reads it. The body is read again by `serde_json` and by a reader that
//! keeps every member, as parsers do that take the first or the last of two, or do not mind the case. Headers that say what a
//! public message says are not refused; those that do not, are.
//!
//! Input: the body of a POST to an MCP server.
#![no_main]

use libfuzzer_sys::fuzz_target;
use mcp_login_core::mcp::{
    DEFAULT_PUBLIC_METHODS, HeaderMismatch, MAX_PUBLIC_BODY, PublicMethods, Repeated, ToolScopes,
};
use mcp_login_core::scope::Scopes;
use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::Value;

const TOOLS: [&str; 2] = ["about", "name"];

fuzz_target!(|body: &[u8]| {
    check_scopes(body);
    let public = PublicMethods::new(DEFAULT_PUBLIC_METHODS.into_iter().chain(["tools/call"]), TOOLS);
    let Some(message) = public.public_message(body) else { return };
    assert!(body.len() <= MAX_PUBLIC_BODY);

    let value: Value = serde_json::from_slice(body).expect("JSON that every parser reads");
    assert!(value.is_object(), "one message, not a batch");
    assert_eq!(value["jsonrpc"], "2.0");
    let method = value["method"].as_str().expect("a method");
    assert_public(method, value.get("id").is_some(), value["params"]["name"].as_str());
    assert!(message.agrees_with(None, None));
    assert!(message.agrees_with(Some(method.as_bytes()), None));
    assert!(!message.agrees_with(Some(b"tools/delete"), None));
    let name = value["params"]["name"].as_str().filter(|_| method == "tools/call");
    for held in [&b"about"[..], b"=?base64?YWJvdXQ=?="] {
        assert_eq!(message.agrees_with(None, Some(held)), name == Some("about"));
    }
    // Others would have to be encoded.
    let name = name.filter(|name| name.bytes().all(|b| matches!(b, b' '..=b'~')) && !name.starts_with("=?"));
    let headers = Repeated { method: Some(method.as_bytes()), name: name.map(str::as_bytes), version: None };
    assert!(Repeated { method: Some(b"tools/delete"), ..headers }.check(body).is_err());
    let checked = headers.check(body);
    assert!(
        matches!(checked, Ok(()) | Err(HeaderMismatch::Missing("MCP-Protocol-Version"))),
        "headers that say what the body says"
    );

    let read: Every = serde_json::from_slice(body).expect("JSON that every parser reads");
    let methods = read.members("method");
    let names: Vec<Option<&str>> =
        read.members("params").iter().flat_map(|params| params.members("name")).map(Every::text).collect();
    for method in &methods {
        let method = method.text().expect("a method is text, in every reading");
        for name in names.iter().chain(names.is_empty().then_some(&None)) {
            assert_public(method, !read.members("id").is_empty(), *name);
        }
    }
    assert_eq!(methods.len(), 1, "one method in every reading");
});

/// A body that needs nothing holds no call of `about`, get of `plan` or read of `note://one`, in any reading.
fn check_scopes(body: &[u8]) {
    let scope = Scopes::parse("one").expect("a scope");
    let mut scopes = ToolScopes::default();
    for key in ["abou?", "prompt:plan*", "resource:note://one"] {
        scopes.add(key, &scope).expect("a pattern");
    }
    let needed = scopes.needed_by_body(body, None, None, None);
    assert!(scopes.all().covers(&needed));
    if !needed.is_empty() {
        return;
    }
    assert!(body.len() <= MAX_PUBLIC_BODY);
    let read: Every = serde_json::from_slice(body).expect("JSON that every parser reads");
    let messages = match &read {
        Every::List(messages) => messages.iter().collect(),
        _ => vec![&read],
    };
    for message in messages {
        assert!(matches!(message, Every::Object(_)), "a message");
        let params = message.members("params");
        for method in message.members("method") {
            let (member, protected) = match method.text().expect("a method is text").to_lowercase().as_str() {
                "tools/call" => ("name", "about"),
                "prompts/get" => ("name", "plan"),
                "resources/read" => ("uri", "note://one"),
                _ => continue,
            };
            for named in params.iter().flat_map(|params| params.members(member)) {
                let named = named.text().expect("what is asked for is text");
                assert_ne!(named.to_lowercase(), protected);
            }
        }
    }
}

fn assert_public(method: &str, has_id: bool, tool: Option<&str>) {
    let is_public = match method {
        "tools/call" => tool.is_some_and(|tool| TOOLS.contains(&tool)),
        _ if method.starts_with("notifications/") => !has_id,
        _ => DEFAULT_PUBLIC_METHODS.contains(&method),
    };
    assert!(is_public, "{method} {has_id} {tool:?}");
}

/// JSON of which nothing is thrown away.
enum Every {
    Text(String),
    Object(Vec<(String, Every)>),
    List(Vec<Every>),
    Other,
}

impl Every {
    /// All members of this name, in any case.
    fn members(&self, name: &str) -> Vec<&Every> {
        let Self::Object(members) = self else { return Vec::new() };
        // Unicode has letters that become ASCII in another case: the Kelvin sign, the long s, the dotless i.
        let is_it = |held: &str| held.to_lowercase() == name || held.to_uppercase() == name.to_uppercase();
        members.iter().filter(|(held, _)| is_it(held)).map(|(_, value)| value).collect()
    }

    fn text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            _ => None,
        }
    }
}

impl<'de> Deserialize<'de> for Every {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(EveryVisitor)
    }
}

struct EveryVisitor;

impl<'de> Visitor<'de> for EveryVisitor {
    type Value = Every;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("JSON")
    }
    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Every, A::Error> {
        let mut members = Vec::new();
        while let Some(member) = map.next_entry()? {
            members.push(member);
        }
        Ok(Every::Object(members))
    }
    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Every, A::Error> {
        let mut elements = Vec::new();
        while let Some(element) = list.next_element()? {
            elements.push(element);
        }
        Ok(Every::List(elements))
    }
    fn visit_str<E>(self, text: &str) -> Result<Every, E> {
        Ok(Every::Text(text.to_owned()))
    }
    fn visit_bool<E>(self, _: bool) -> Result<Every, E> {
        Ok(Every::Other)
    }
    fn visit_i64<E>(self, _: i64) -> Result<Every, E> {
        Ok(Every::Other)
    }
    fn visit_u64<E>(self, _: u64) -> Result<Every, E> {
        Ok(Every::Other)
    }
    fn visit_f64<E>(self, _: f64) -> Result<Every, E> {
        Ok(Every::Other)
    }
    fn visit_unit<E>(self) -> Result<Every, E> {
        Ok(Every::Other)
    }
}
