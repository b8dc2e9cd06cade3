//! Which MCP messages are public on a server with lazy login, and which scopes the others need.
//!
//! The answer comes from the body alone: a header such as `Mcp-Method` says what a client wants us to believe. And
//! what we read here a backend reads again with another parser, so only a message that every JSON parser reads alike
//! can be public: plain UTF-8 without a byte order mark, one object, no name twice or in another case, no escapes in
//! names or in the values we decide by, no nesting, number or escape that some parsers refuse. Everything else is
//! protected, which costs an honest client nothing but a login, and needs every scope of [`ToolScopes`].

mod glob;
mod headers;
mod tool_scopes;

use std::collections::BTreeSet;

use serde::Deserialize;
use serde::de::{self, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::Value;

pub use glob::{Glob, InvalidGlob};
pub use headers::{HeaderMismatch, Repeated, Said, is_stateless, name_parameter};
pub use tool_scopes::ToolScopes;

/// The longest body that is classified, in bytes; a longer one is protected.
pub const MAX_PUBLIC_BODY: usize = 64 * 1024;

/// What anybody may do on a server with lazy login.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PublicMethods {
    methods: BTreeSet<String>,
    tools: BTreeSet<String>,
}

/// The methods that are public unless the operator says otherwise.
pub const DEFAULT_PUBLIC_METHODS: [&str; 8] = [
    "initialize",
    "notifications/initialized",
    "ping",
    "server/discover",
    "tools/list",
    "resources/list",
    "resources/templates/list",
    "prompts/list",
];

impl PublicMethods {
    /// These methods, and calls of these tools. `tools/call` itself is never public: name tools.
    pub fn new(
        methods: impl IntoIterator<Item = impl Into<String>>,
        tools: impl IntoIterator<Item = impl Into<String>>,
    ) -> Self {
        Self {
            methods: methods.into_iter().map(Into::into).filter(|method| method != "tools/call").collect(),
            tools: tools.into_iter().map(Into::into).collect(),
        }
    }

    /// The one message in this body, if it is one that anybody may send. Notifications are: real clients send
    /// `notifications/cancelled` and take a refusal for a reason to log in again.
    #[must_use]
    pub fn public_message<'a>(&self, body: &'a [u8]) -> Option<Message<'a>> {
        let message = Message::read(body)?;
        let is_public = match message.method {
            "tools/call" => self.has_call(&message),
            method if method.starts_with("notifications/") => !message.has_id,
            method => self.methods.contains(method),
        };
        is_public.then_some(message)
    }

    /// Whether anybody may call this tool.
    #[must_use]
    pub fn has_tool(&self, name: &str) -> bool {
        self.tools.contains(name)
    }

    /// Whether it calls a tool that anybody may call.
    fn has_call(&self, message: &Message<'_>) -> bool {
        message.method == "tools/call" && message.params.name.is_some_and(|tool| self.has_tool(tool))
    }
}

/// A JSON-RPC request or notification of which only what is decided by is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Message<'a> {
    method: &'a str,
    has_id: bool,
    params: Params<'a>,
}

impl<'a> Message<'a> {
    /// The one message in this body, if every parser reads it alike.
    fn read(body: &'a [u8]) -> Option<Self> {
        if body.len() > MAX_PUBLIC_BODY {
            return None;
        }
        serde_json::from_str(std::str::from_utf8(body).ok()?).ok()
    }
}

/// Whether this body asks for the list of tools.
#[must_use]
pub fn is_tools_list(body: &[u8]) -> bool {
    Message::read(body).is_some_and(|message| message.method == "tools/list" && message.has_id)
}

/// The id of the call of a tool that this body is, if it can be answered: a string or a whole number.
#[must_use]
pub fn call_id(body: &[u8]) -> Option<Value> {
    Message::read(body).filter(|message| message.method == "tools/call")?;
    request_id(body)
}

/// The id of the request that this body is, if it can be answered: a string or a whole number.
#[must_use]
pub fn request_id(body: &[u8]) -> Option<Value> {
    Message::read(body).filter(|message| message.has_id)?;
    let mut message: Value = serde_json::from_slice(body).ok()?;
    Some(message["id"].take()).filter(|id| id.is_string() || id.is_i64() || id.is_u64())
}

/// What a client may send: a message, or its answer to a question of the server's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Sent<'a> {
    Message(Message<'a>),
    Answer,
}

impl<'a> Sent<'a> {
    /// All that is in a body: one, or a batch (MCP 2025-03-26). `None` where parsers could read something else.
    fn all(body: &'a [u8]) -> Option<Vec<Self>> {
        if body.len() > MAX_PUBLIC_BODY {
            return None;
        }
        let text = std::str::from_utf8(body).ok()?;
        let is_batch = text.trim_start_matches([' ', '\t', '\r', '\n']).starts_with('[');
        let all = if is_batch {
            serde_json::from_str(text)
        } else {
            serde_json::from_str(text).map(|one| vec![one])
        };
        all.ok()
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Message<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match Sent::deserialize(deserializer)? {
            Sent::Message(message) => Ok(message),
            Sent::Answer => Err(de::Error::missing_field("method")),
        }
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Sent<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(SentVisitor)
    }
}

struct SentVisitor;

impl<'de> Visitor<'de> for SentVisitor {
    type Value = Sent<'de>;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a JSON-RPC message with its plain members")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let (mut version, mut id, mut method, mut params, mut answer) = (None, None, None, None, None);
        // `&str` borrows only what is written without escapes; anything but these names, in this case, is an error.
        while let Some(name) = map.next_key::<&'de str>()? {
            match name {
                "jsonrpc" if version.is_none() => version = Some(map.next_value::<&'de str>()?),
                "id" if id.is_none() => id = Some(map.next_value::<Unread>()?),
                "method" if method.is_none() => method = Some(map.next_value::<&'de str>()?),
                "params" if params.is_none() => params = Some(map.next_value::<Params<'de>>()?),
                "result" | "error" if answer.is_none() => answer = Some(map.next_value::<Unread>()?),
                _ => return Err(de::Error::custom("a member twice, or one that is not JSON-RPC's")),
            }
        }
        if version != Some("2.0") {
            return Err(de::Error::custom("not JSON-RPC 2.0"));
        }
        match (method, params, answer) {
            (Some(method), params, None) => {
                let params = params.unwrap_or_default();
                Ok(Sent::Message(Message { method, has_id: id.is_some(), params }))
            }
            (None, None, Some(Unread)) => Ok(Sent::Answer),
            _ => Err(de::Error::custom("neither a message nor an answer")),
        }
    }
}

/// `params`: an object in which no name stands twice, whatever its case. What is not written plainly is not kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Params<'a> {
    name: Option<&'a str>,
    uri: Option<&'a str>,
    task_id: Option<&'a str>,
    /// The revision that the message is of, from `_meta` (MCP 2026-07-28).
    version: Option<&'a str>,
}

impl<'de: 'a, 'a> Deserialize<'de> for Params<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(ParamsVisitor)
    }
}

struct ParamsVisitor;

impl<'de> Visitor<'de> for ParamsVisitor {
    type Value = Params<'de>;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("an object of parameters")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut seen = BTreeSet::new();
        let mut params = Params::default();
        while let Some(name) = map.next_key::<&'de str>()? {
            if !name.is_ascii() || !seen.insert(name.to_ascii_lowercase()) {
                return Err(de::Error::custom("a parameter twice, or a name that is not ASCII"));
            }
            match name {
                "name" => params.name = map.next_value::<Name<'de>>()?.0,
                "uri" => params.uri = map.next_value::<Name<'de>>()?.0,
                "taskId" => params.task_id = map.next_value::<Name<'de>>()?.0,
                "_meta" => params.version = map.next_value::<Meta<'de>>()?.0,
                _ => {
                    map.next_value::<Unread>()?;
                }
            }
        }
        Ok(params)
    }
}

/// The name or URI of what is asked for, if it is written plainly; other methods may have a `name` of any kind.
#[derive(Deserialize)]
#[serde(untagged)]
enum NameOr<'a> {
    #[serde(borrow)]
    Name(&'a str),
    Other(Unread),
}

struct Name<'a>(Option<&'a str>);

impl<'de: 'a, 'a> Deserialize<'de> for Name<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(Self(match NameOr::deserialize(deserializer)? {
            NameOr::Name(name) => Some(name),
            NameOr::Other(Unread) => None,
        }))
    }
}

/// `_meta`, whatever it is; of an object, the revision that it names once and plainly.
struct Meta<'a>(Option<&'a str>);

impl<'de: 'a, 'a> Deserialize<'de> for Meta<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        struct Named<'a> {
            #[serde(borrow, default, rename = "io.modelcontextprotocol/protocolVersion")]
            version: Option<&'a str>,
        }
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum NamedOr<'a> {
            #[serde(borrow)]
            Named(Named<'a>),
            Other(Unread),
        }
        Ok(Self(match NamedOr::deserialize(deserializer)? {
            NamedOr::Named(named) => named.version,
            NamedOr::Other(Unread) => None,
        }))
    }
}

/// A value that nothing is decided by. It is read all the same: what `serde_json` skips it does not check, and half a
/// surrogate, 1e999 or ten thousand brackets are an error to one parser and none to the next.
struct Unread;

impl<'de> Deserialize<'de> for Unread {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(UnreadVisitor)
    }
}

struct UnreadVisitor;

impl<'de> Visitor<'de> for UnreadVisitor {
    type Value = Unread;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("any JSON")
    }
    fn visit_bool<E>(self, _: bool) -> Result<Unread, E> {
        Ok(Unread)
    }
    fn visit_i64<E>(self, _: i64) -> Result<Unread, E> {
        Ok(Unread)
    }
    fn visit_u64<E>(self, _: u64) -> Result<Unread, E> {
        Ok(Unread)
    }
    fn visit_f64<E>(self, _: f64) -> Result<Unread, E> {
        Ok(Unread)
    }
    fn visit_str<E>(self, _: &str) -> Result<Unread, E> {
        Ok(Unread)
    }
    fn visit_unit<E>(self) -> Result<Unread, E> {
        Ok(Unread)
    }
    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Unread, A::Error> {
        while list.next_element::<Unread>()?.is_some() {}
        Ok(Unread)
    }
    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Unread, A::Error> {
        while map.next_entry::<Unread, Unread>()?.is_some() {}
        Ok(Unread)
    }
}

#[cfg(test)]
#[path = "mcp/tests.rs"]
mod tests;
