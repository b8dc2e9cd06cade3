//! Requests to commands, replies to JSON.

use axum::body::Bytes;
use axum::http::{Method, Uri};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use percent_encoding::percent_decode_str;
use serde_json::Value;

use crate::redis_server::Reply;

type Words = Vec<Vec<u8>>;

/// How commands came in, and so how their answers go out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Shape {
    Single,
    Pipeline,
    Transaction,
}

/// What a request asks for.
#[derive(Debug)]
pub(super) struct Asked {
    pub(super) shape: Shape,
    commands: Vec<Words>,
}

impl Asked {
    pub(super) fn names(&self) -> Vec<String> {
        let name = |words: &Words| words.first().map(|name| String::from_utf8_lossy(name).to_uppercase());
        self.commands.iter().filter_map(name).collect()
    }

    /// As Redis is sent them.
    pub(super) fn in_order(self) -> Vec<Words> {
        let frame = |name: &str| vec![name.as_bytes().to_vec()];
        match self.shape {
            Shape::Transaction => {
                [vec![frame("MULTI")], self.commands, vec![frame("EXEC")]].into_iter().flatten().collect()
            }
            Shape::Single | Shape::Pipeline => self.commands,
        }
    }
}

/// `_token` of the query.
pub(super) fn token_of(uri: &Uri) -> Option<String> {
    pairs(uri).find(|(name, _)| name == "_token").map(|(_, value)| value)
}

fn pairs(uri: &Uri) -> impl Iterator<Item = (String, String)> {
    url::form_urlencoded::parse(uri.query().unwrap_or_default().as_bytes()).into_owned()
}

pub(super) fn asked(method: &Method, uri: &Uri, body: &Bytes) -> Result<Asked, &'static str> {
    const UNREADABLE: &str = "ERR failed to parse command";
    let has_body = matches!(*method, Method::POST | Method::PUT);
    let shape = match uri.path() {
        "/" if has_body => Shape::Single,
        "/pipeline" if has_body => Shape::Pipeline,
        "/multi-exec" if has_body => Shape::Transaction,
        _ => return in_path(uri, has_body.then_some(body)).ok_or(UNREADABLE),
    };
    let body: Value = serde_json::from_slice(body).map_err(|_| UNREADABLE)?;
    let commands = match (shape, &body) {
        (Shape::Single, _) => vec![words(&body).ok_or(UNREADABLE)?],
        (_, Value::Array(commands)) if !commands.is_empty() => {
            commands.iter().map(words).collect::<Option<_>>().ok_or(UNREADABLE)?
        }
        _ => return Err(UNREADABLE),
    };
    Ok(Asked { shape, commands })
}

/// `/COMMAND/ARGUMENT/…`, then the body, then what the query has.
fn in_path(uri: &Uri, body: Option<&Bytes>) -> Option<Asked> {
    let path = uri.path().trim_matches('/');
    let mut words: Words = path.split('/').map(|part| percent_decode_str(part).collect()).collect();
    words.extend(body.filter(|body| !body.is_empty()).map(|body| body.to_vec()));
    for (name, value) in pairs(uri).filter(|(name, _)| name != "_token") {
        words.push(name.into_bytes());
        words.extend((!value.is_empty()).then(|| value.into_bytes()));
    }
    (!path.is_empty()).then(|| Asked { shape: Shape::Single, commands: vec![words] })
}

fn words(command: &Value) -> Option<Words> {
    let words = command.as_array().filter(|words| !words.is_empty())?;
    let word = |word: &Value| match word {
        Value::String(text) => Some(text.clone().into_bytes()),
        Value::Number(number) => Some(number.to_string().into_bytes()),
        Value::Bool(value) => Some(value.to_string().into_bytes()),
        _ => None,
    };
    words.iter().map(word).collect()
}

/// Bytes that are no text come out as U+FFFD, unless base64 is asked for.
pub(super) fn encode(reply: &Reply, base64: bool) -> Value {
    let text = |bytes: &[u8]| {
        if base64 && bytes != b"OK" {
            BASE64_STANDARD.encode(bytes)
        } else {
            String::from_utf8_lossy(bytes).into_owned()
        }
    };
    match reply {
        Reply::Status(status) | Reply::Error(status) => text(status.as_bytes()).into(),
        Reply::Integer(number) => (*number).into(),
        Reply::Bulk(None) => Value::Null,
        Reply::Bulk(Some(bytes)) => text(bytes).into(),
        Reply::Array(replies) => replies.iter().map(|reply| encode(reply, base64)).collect(),
    }
}
