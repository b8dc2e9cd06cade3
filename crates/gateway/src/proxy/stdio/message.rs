//! One message of JSON-RPC. It passes as it was written: what is read of it only says where it goes.

use axum::body::Bytes;
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::Value;

/// The longest id of a request, and token of a report of progress, in bytes of JSON.
const MAX_ID: usize = 256;

/// A message, on one line.
#[derive(Debug, Clone)]
pub(super) struct Message {
    pub(super) line: Bytes,
    pub(super) kind: Kind,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Kind {
    Request {
        /// In JSON, so that `1` and `"1"` are two.
        id: String,
        is_initialize: bool,
        /// What the answering side puts into its reports of progress, in JSON.
        progress: Option<String>,
    },
    Notification {
        /// The request that it reports of.
        progress: Option<String>,
    },
    Response {
        id: String,
        is_error: bool,
    },
}

#[derive(Deserialize)]
struct Envelope {
    jsonrpc: String,
    id: Option<Value>,
    method: Option<String>,
    params: Option<Value>,
    error: Option<IgnoredAny>,
}

impl Message {
    /// Reads one message. The error says what it is instead.
    pub(super) fn parse(text: &[u8]) -> Result<Self, &'static str> {
        if text.trim_ascii_start().first() == Some(&b'[') {
            return Err("batches are not taken: send one message of JSON-RPC (MCP 2025-06-18)");
        }
        let envelope: Envelope =
            serde_json::from_slice(text).map_err(|_| "the body is not one message of JSON-RPC 2.0")?;
        if envelope.jsonrpc != "2.0" {
            return Err("the body is not one message of JSON-RPC 2.0");
        }
        let token = |pointer| {
            let token = envelope.params.as_ref().and_then(|params: &Value| params.pointer(pointer));
            token.map(Value::to_string).filter(|token| token.len() <= MAX_ID)
        };
        let id = match &envelope.id {
            None => None,
            Some(id @ (Value::String(_) | Value::Number(_))) => Some(id.to_string()),
            Some(_) => return Err("an id is a string or a number"),
        };
        // They are kept until the answer comes.
        if id.as_ref().is_some_and(|id| id.len() > MAX_ID) {
            return Err("an id has at most 256 bytes");
        }
        let kind = match (envelope.method.as_deref(), id) {
            (Some(method), Some(id)) => Kind::Request {
                id,
                is_initialize: method == "initialize",
                progress: token("/_meta/progressToken"),
            },
            (Some(_), None) => Kind::Notification { progress: token("/progressToken") },
            (None, Some(id)) => Kind::Response { id, is_error: envelope.error.is_some() },
            (None, None) => return Err("neither a method nor an id"),
        };
        Ok(Self { line: one_line(text), kind })
    }
}

/// JSON has line breaks between its tokens only: inside of strings they are escaped.
fn one_line(text: &[u8]) -> Bytes {
    text.trim_ascii().iter().map(|b| if matches!(b, b'\n' | b'\r') { b' ' } else { *b }).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_message_is_one_line_and_otherwise_as_it_was() {
        let text = "{\r\n \"jsonrpc\": \"2.0\",\n\"id\":1.0, \"method\":\"x\\n\"}\n";
        let message = Message::parse(text.as_bytes()).unwrap();
        assert_eq!(message.line, "{   \"jsonrpc\": \"2.0\", \"id\":1.0, \"method\":\"x\\n\"}");
    }

    #[test]
    fn the_kinds_are_told_apart() {
        let kind = |text: &str| Message::parse(text.as_bytes()).unwrap().kind;
        let request = |id: &str, is_initialize, progress: Option<&str>| Kind::Request {
            id: id.to_owned(),
            is_initialize,
            progress: progress.map(ToOwned::to_owned),
        };
        assert_eq!(kind(r#"{"jsonrpc":"2.0","id":1,"method":"initialize"}"#), request("1", true, None));
        assert_eq!(
            kind(r#"{"jsonrpc":"2.0","id":"1","method":"x","params":{"_meta":{"progressToken":"t"}}}"#),
            request("\"1\"", false, Some("\"t\""))
        );
        let progress = Some("7".to_owned());
        assert_eq!(
            kind(r#"{"jsonrpc":"2.0","method":"notifications/progress","params":{"progressToken":7}}"#),
            Kind::Notification { progress }
        );
        for (text, is_error) in [
            (r#"{"jsonrpc":"2.0","id":1,"result":null}"#, false),
            (r#"{"jsonrpc":"2.0","id":1,"error":{"code":1,"message":"x"}}"#, true),
        ] {
            assert_eq!(kind(text), Kind::Response { id: "1".to_owned(), is_error });
        }
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
            "{\"jsonrpc\":\"2.0\",\"method\":\"x\ny\"}",
        ] {
            assert!(Message::parse(bad.as_bytes()).is_err(), "{bad:?}");
        }
    }
}
