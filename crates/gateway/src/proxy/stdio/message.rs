//! One message of JSON-RPC. It passes as it was written, but for the few values that only one client's messages are told
//! apart by: those are replaced where they stand.

use std::ops::Range;
use std::sync::Arc;

use axum::body::Bytes;
use serde_json::Value;

use super::budget::Room;
use super::json::{Spot, is_deep, members, members_of, place, splice};

/// The longest id of a request, and token of a report of progress, in bytes of JSON.
const MAX_ID: usize = 256;
/// The `_meta` that says which `subscriptions/listen` a message belongs to (MCP 2026-07-28, "Subscriptions").
pub(super) const SUBSCRIPTION: &str = "io.modelcontextprotocol/subscriptionId";
/// The `_meta` that says which revision a request is of (MCP 2026-07-28, "`_meta`").
const REVISION: &str = "io.modelcontextprotocol/protocolVersion";
const NO_TOKEN: &str = "a progressToken or subscriptionId is a string or a number of at most 256 bytes";
const NO_MESSAGE: &str = "the body is not one message of JSON-RPC 2.0, each member once";

/// A message, on one line.
#[derive(Debug, Clone)]
pub(super) struct Message {
    pub(super) line: Bytes,
    pub(super) kind: Kind,
    /// Where `params` or `result` stand.
    inner: Option<Range<usize>>,
    /// Of what may wait in all, for what a client has sent.
    pub(super) room: Option<Arc<Room>>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Kind {
    Request {
        id: Spot,
        method: String,
        /// What the answering side puts into its reports of progress.
        progress: Option<Spot>,
    },
    Notification {
        method: String,
        /// The report of progress that it is.
        progress: Option<Spot>,
        /// The request that it cancels.
        request: Option<Spot>,
        /// The `subscriptions/listen` that it belongs to.
        subscription: Option<Spot>,
    },
    Response {
        id: Spot,
        is_error: bool,
    },
}

/// What `initialize` says of its client.
pub(super) struct Hello {
    pub(super) version: String,
    /// Of capabilities, the same for every way to write them.
    pub(super) capabilities: String,
}

impl Message {
    /// Reads one message. The error says what it is instead.
    pub(super) fn parse(text: &Bytes) -> Result<Self, &'static str> {
        let text = text.slice_ref(text.trim_ascii());
        if text.first() == Some(&b'[') {
            return Err("batches are not taken: send one message of JSON-RPC (MCP 2025-06-18)");
        }
        let json = std::str::from_utf8(&text).map_err(|_| NO_MESSAGE)?;
        if is_deep(json) {
            return Err("the message is nested too deeply");
        }
        let [jsonrpc, id, method, params, result, error] =
            members(json, ["jsonrpc", "id", "method", "params", "result", "error"])
                .map_err(|_| NO_MESSAGE)?;
        if jsonrpc.and_then(string).as_deref() != Some("2.0") {
            return Err(NO_MESSAGE);
        }
        let id = match id {
            None => None,
            Some(id) if id.len() > MAX_ID => return Err("an id has at most 256 bytes"),
            Some(id) => Some(Spot::of(json, id, MAX_ID).ok_or("an id is a string or a number")?),
        };
        // What one parser takes for a request and another for an answer is neither.
        if (method.is_some() || error.is_some()) && result.is_some() || method.is_some() && error.is_some() {
            return Err(NO_MESSAGE);
        }
        let method = method.map(|method| string(method).ok_or(NO_MESSAGE)).transpose()?;
        let (kind, inner) = match (method, id) {
            (Some(method), Some(id)) => {
                let [meta] = members_of(params, ["_meta"]).map_err(|_| NO_MESSAGE)?;
                let [progress] = members_of(meta, ["progressToken"]).map_err(|_| NO_MESSAGE)?;
                // What cannot be replaced would be told apart from nobody else's.
                let progress =
                    progress.map(|token| Spot::of(json, token, MAX_ID).ok_or(NO_TOKEN)).transpose()?;
                (Kind::Request { id, method, progress }, params)
            }
            (Some(method), None) => (notification(json, method, params)?, params),
            (None, Some(id)) => (Kind::Response { id, is_error: error.is_some() }, result),
            (None, None) => return Err("neither a method nor an id"),
        };
        let inner = inner.map(|inner| place(json, inner));
        Ok(Self { line: one_line(text), kind, inner, room: None })
    }

    /// What stands in `params` or `result`.
    pub(super) fn inner(&self) -> Option<&str> {
        let text = std::str::from_utf8(&self.line).ok()?;
        self.inner.clone().and_then(|at| text.get(at))
    }

    /// The text at one place.
    pub(super) fn at(&self, at: Range<usize>) -> &str {
        self.line.get(at).and_then(|text| std::str::from_utf8(text).ok()).unwrap_or("null")
    }

    /// The line with other values at these places.
    pub(super) fn with(&self, edits: Vec<(Range<usize>, &str)>) -> Bytes {
        if edits.is_empty() { self.line.clone() } else { splice(&self.line, edits) }
    }

    /// Which `subscriptions/listen` this answer belongs to.
    pub(super) fn subscription_of_result(&self) -> Option<Spot> {
        let text = std::str::from_utf8(&self.line).ok()?;
        let [meta] = members_of(self.inner(), ["_meta"]).ok()?;
        let [id] = members_of(meta, [SUBSCRIPTION]).ok()?;
        Spot::of(text, id?, MAX_ID)
    }

    /// The revision that this request says it is of, from 2026-07-28 on. The error is that it says so twice.
    pub(super) fn revision(&self) -> Result<Option<String>, &'static str> {
        let [meta] = members_of(self.inner(), ["_meta"]).map_err(|_| NO_MESSAGE)?;
        let [version] = members_of(meta, [REVISION]).map_err(|_| NO_MESSAGE)?;
        Ok(version.and_then(string))
    }

    /// A string of the parameters. The error is that it is there twice.
    pub(super) fn param(&self, name: &'static str) -> Result<Option<String>, &'static str> {
        let [value] = members_of(self.inner(), [name]).map_err(|_| NO_MESSAGE)?;
        Ok(value.and_then(string))
    }

    /// What this `initialize` says of its client.
    pub(super) fn hello(&self) -> Result<Hello, &'static str> {
        let [version, capabilities] =
            members_of(self.inner(), ["protocolVersion", "capabilities"]).map_err(|_| NO_MESSAGE)?;
        let same =
            |value| serde_json::from_str::<Value>(value).map_or_else(|_| value.to_owned(), |v| v.to_string());
        Ok(Hello {
            version: version.and_then(string).unwrap_or_default(),
            capabilities: capabilities.map(same).unwrap_or_default(),
        })
    }

    /// This `initialize` without anything that its client says of itself: of one that can do nothing besides asking.
    pub(super) fn of_nobody(&self, revision: &str) -> Result<Self, &'static str> {
        let id = match &self.kind {
            Kind::Request { id, .. } => self.at(id.at.clone()),
            _ => return Err(NO_MESSAGE),
        };
        let info = format!(r#"{{"name":"mcp-login","version":"{}"}}"#, env!("CARGO_PKG_VERSION"));
        let params = format!(r#"{{"protocolVersion":"{revision}","capabilities":{{}},"clientInfo":{info}}}"#);
        let line = format!(r#"{{"jsonrpc":"2.0","id":{id},"method":"initialize","params":{params}}}"#);
        Ok(Self { room: self.room.clone(), ..Self::parse(&line.into())? })
    }
}

fn notification(json: &str, method: String, params: Option<&str>) -> Result<Kind, &'static str> {
    let [meta] = members_of(params, ["_meta"]).map_err(|_| NO_MESSAGE)?;
    let [subscription] = members_of(meta, [SUBSCRIPTION]).map_err(|_| NO_MESSAGE)?;
    let of_params = |name: &'static str, is_there: bool| {
        let [value] =
            if is_there { members_of(params, [name]) } else { Ok([None]) }.map_err(|_| NO_MESSAGE)?;
        Ok::<_, &'static str>(value.and_then(|value| Spot::of(json, value, MAX_ID)))
    };
    let progress = of_params("progressToken", method == "notifications/progress")?;
    let request = of_params("requestId", method == "notifications/cancelled")?;
    let subscription = subscription.map(|id| Spot::of(json, id, MAX_ID).ok_or(NO_TOKEN)).transpose()?;
    Ok(Kind::Notification { method, progress, request, subscription })
}

fn string(json: &str) -> Option<String> {
    serde_json::from_str(json).ok()
}

/// JSON has line breaks between its tokens only: inside of strings they are escaped. So they make no difference, and
/// everything stays in its place.
fn one_line(text: Bytes) -> Bytes {
    let is_break = |b: &u8| matches!(b, b'\n' | b'\r');
    if text.iter().any(is_break) {
        text.iter().map(|b| if is_break(b) { b' ' } else { *b }).collect()
    } else {
        text
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic)]
    use super::*;

    fn parse(text: &str) -> Result<Message, &'static str> {
        Message::parse(&Bytes::copy_from_slice(text.as_bytes()))
    }

    fn key(spot: Option<&Spot>) -> Option<&str> {
        spot.map(|spot| spot.key.as_str())
    }

    #[test]
    fn a_message_is_one_line_and_otherwise_as_it_was() {
        let message = parse("{\r\n \"jsonrpc\": \"2.0\",\n\"id\":1.0, \"method\":\"x\\n\"}\n").unwrap();
        assert_eq!(message.line, "{   \"jsonrpc\": \"2.0\", \"id\":1.0, \"method\":\"x\\n\"}");
        let Kind::Request { id, .. } = &message.kind else { panic!("a request") };
        assert_eq!(
            message.with(vec![(id.at.clone(), "7")]),
            "{   \"jsonrpc\": \"2.0\", \"id\":7, \"method\":\"x\\n\"}"
        );
    }

    #[test]
    fn the_kinds_are_told_apart() {
        let kind = |text: &str| parse(text).unwrap().kind;
        let request = |text: &str| {
            let Kind::Request { id, progress, .. } = kind(text) else { panic!("a request") };
            (id.key, progress.map(|spot| spot.key))
        };
        assert_eq!(request(r#"{"jsonrpc":"2.0","id":1,"method":"initialize"}"#), ("1".into(), None));
        assert_eq!(
            request(r#"{"jsonrpc":"2.0","id":"1","method":"x","params":{"_meta":{"progressToken":"t"}}}"#),
            ("\"1\"".into(), Some("\"t\"".into()))
        );
        for (text, found) in [
            (
                r#"{"jsonrpc":"2.0","method":"notifications/progress","params":{"progressToken":7}}"#,
                [Some("7"), None, None],
            ),
            (
                r#"{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":7}}"#,
                [None, Some("7"), None],
            ),
            (
                r#"{"jsonrpc":"2.0","method":"x","params":{"_meta":{"io.modelcontextprotocol/subscriptionId":"7"},"requestId":1}}"#,
                [None, None, Some("\"7\"")],
            ),
            (r#"{"jsonrpc":"2.0","method":"x","params":[1]}"#, [None, None, None]),
        ] {
            let Kind::Notification { progress, request, subscription, .. } = kind(text) else {
                panic!("{text}")
            };
            assert_eq!([key(progress.as_ref()), key(request.as_ref()), key(subscription.as_ref())], found);
        }
        for (text, wanted) in [
            (r#"{"jsonrpc":"2.0","id":1,"result":null}"#, false),
            (r#"{"jsonrpc":"2.0","id":1,"error":{"code":1,"message":"x"}}"#, true),
        ] {
            assert!(matches!(kind(text), Kind::Response { is_error, .. } if is_error == wanted));
        }
    }

    #[test]
    fn clients_that_can_do_the_same_are_the_same() {
        let hello = |params: &str| {
            parse(&format!(r#"{{"jsonrpc":"2.0","id":1,"method":"initialize","params":{params}}}"#))
                .unwrap()
                .hello()
                .unwrap()
        };
        let one = hello(
            r#"{"protocolVersion":"2025-06-18","capabilities":{"a":{}, "b":1},"clientInfo":{"name":"x"}}"#,
        );
        let same = hello(r#"{"capabilities":{"b":1,"a":{ }},"protocolVersion":"2025-06-18"}"#);
        assert_eq!((&one.version, &one.capabilities), (&same.version, &same.capabilities));
        assert_ne!(
            one.capabilities,
            hello(r#"{"protocolVersion":"2025-06-18","capabilities":{}}"#).capabilities
        );
    }

    #[test]
    fn what_is_no_message_is_refused() {
        for bad in [
            "",
            "x",
            "{}",
            r#"[{"jsonrpc":"2.0","id":1,"method":"x"}]"#,
            r#"{"jsonrpc":"1.0","id":1,"method":"x"}"#,
            r#"{"jsonrpc":"2.0"}"#,
            r#"{"jsonrpc":"2.0","id":[],"method":"x"}"#,
            &format!(r#"{{"jsonrpc":"2.0","id":"{}","method":"x"}}"#, "i".repeat(255)),
            r#"{"jsonrpc":"2.0","id":1,"id":2,"method":"x"}"#,
            r#"{"jsonrpc":"2.0","id":1,"method":"x","result":{}}"#,
            r#"{"jsonrpc":"2.0","id":1,"method":"x","error":{"code":1,"message":"x"}}"#,
            r#"{"jsonrpc":"2.0","id":1,"result":{},"error":{"code":1,"message":"x"}}"#,
            r#"{"jsonrpc":"2.0","id":1,"method":"x","params":{"_meta":{"progressToken":true}}}"#,
            r#"{"jsonrpc":"2.0","id":1,"method":"x","params":{"_meta":{"progressToken":{"a":1}}}}"#,
            r#"{"jsonrpc":"2.0","method":"x","params":{"_meta":{"io.modelcontextprotocol/subscriptionId":[]}}}"#,
            r#"{"jsonrpc":"2.0","id":1,"ID":2,"method":"x"}"#,
            r#"{"jsonrpc":"2.0","id":1,"method":"x","params":{"_meta":{},"_Meta":{"progressToken":1}}}"#,
            r#"{"jsonrpc":"2.0","id":1,"method":"x","params":{"_meta":{"progressToken":1,"progresstoken":2}}}"#,
            r#"{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":1,"requestID":2}}"#,
            &format!(
                r#"{{"jsonrpc":"2.0","id":1,"method":"x","params":{}{}}}"#,
                "[".repeat(200),
                "]".repeat(200)
            ),
            "{\"jsonrpc\":\"2.0\",\"method\":\"x\ny\"}",
            "{\"jsonrpc\":\"2.0\",\"method\":\"x\",\"params\":{\"a\":\"x\ny\"}}",
        ] {
            assert!(parse(bad).is_err(), "{bad:?}");
        }
        assert!(
            Message::parse(&Bytes::from_static(
                b"{\"jsonrpc\":\"2.0\",\"method\":\"x\",\"params\":\"\xff\"}"
            ))
            .is_err()
        );
    }
}
