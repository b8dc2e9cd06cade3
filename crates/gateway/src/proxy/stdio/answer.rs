//! From what a process says to an answer in HTTP: JSON where there is nothing but the answer, else a stream of events.

use std::convert::Infallible;
use std::pin::Pin;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::http::{HeaderMap, HeaderValue, header};
use axum::response::Response;
use futures_util::Stream;
use futures_util::stream::unfold;
use tokio::time::{Instant, timeout_at};

use super::Limits;
use super::hub::Answer;
use super::message::{Kind, Message};
use super::stream::Reader;
use crate::proxy::error::{Failure, ProxyError};

/// A stream that says nothing says so: proxies on the way close what is silent.
const SILENCE: Duration = Duration::from_secs(15);

/// An answer; and what it says, where that is an error of JSON-RPC and all that there is.
pub(super) struct Answered {
    pub(super) response: Response,
    pub(super) error: Option<Bytes>,
}

/// What a client takes besides an answer alone.
#[derive(Debug, Clone, Copy)]
pub(super) struct Takes {
    /// A stream of events.
    pub(super) events: bool,
    /// Such as have an id and no data (MCP 2025-11-25, Streamable HTTP). Clients of earlier revisions stumble over them.
    pub(super) empty_events: bool,
}

impl Takes {
    pub(super) fn of(headers: &HeaderMap) -> Self {
        let version = headers.get("mcp-protocol-version").and_then(|version| version.to_str().ok());
        let empty_events = version.is_some_and(|version| version >= "2025-11-25");
        Self { events: takes_events(headers), empty_events }
    }
}

fn takes_events(headers: &HeaderMap) -> bool {
    let accepted = headers.get_all(header::ACCEPT).iter().filter_map(|value| value.to_str().ok());
    accepted
        .flat_map(|value| value.split(','))
        .filter_map(|range| range.split(';').next())
        .any(|range| matches!(range.trim().to_ascii_lowercase().as_str(), "text/event-stream" | "*/*"))
}

/// The answer to one request. A client that takes events gets them once there is something else than the answer, or once
/// the answer has let itself be waited for. One that knows events without data gets such a one first, so that it can come
/// back from the beginning.
pub(super) async fn to_request(
    mut answer: Answer,
    takes: Takes,
    limits: Limits,
) -> Result<Answered, Failure> {
    let end = Instant::now() + limits.response;
    let soon = if takes.events { end.min(Instant::now() + SILENCE) } else { end };
    let first = match timeout_at(soon, answer.next()).await {
        Ok(Some(first)) if first.is_last => {
            let error = first.is_error.then(|| first.line.clone());
            return Ok(Answered { response: json(first.hold(first.line.clone())), error });
        }
        Ok(Some(first)) => Some(first),
        Ok(None) => return Err(ProxyError::ProcessEnded.into()),
        Err(_) if soon < end => None,
        Err(_) => return Err(ProxyError::ResponseTimeout.into()),
    };
    let mut begin = comment();
    if takes.empty_events
        && let Some(id) = answer.id_of(0, end)
    {
        begin = empty(&id).into();
    }
    if let Some(first) = first {
        let part = event(&first.line, answer.id_of(first.place, end));
        begin = first.hold([begin, part].concat().into());
    }
    Ok(Answered { response: rest(answer, Some(begin), end), error: None })
}

/// What is still to come to a request, for a client that has come back to it.
pub(super) fn to_resumed(answer: Answer, end: Instant) -> Response {
    rest(answer, Some(comment()), end)
}

fn rest(answer: Answer, begin: Option<Bytes>, end: Instant) -> Response {
    events(unfold(Some((answer, begin)), move |state| async move {
        let (mut answer, begin) = state?;
        if let Some(begin) = begin {
            return Some((Ok(begin), Some((answer, None))));
        }
        let now = Instant::now();
        let error = match timeout_at(end.min(now + SILENCE), answer.next()).await {
            Ok(Some(next)) => {
                let part = next.hold(event(&next.line, answer.id_of(next.place, end)));
                return Some((Ok(part), (!next.is_last).then_some((answer, None))));
            }
            Ok(None) if answer.is_elsewhere() || answer.is_heard() => return None,
            Ok(None) => ProxyError::ProcessEnded,
            Err(_) if now + SILENCE < end => return Some((Ok(comment()), Some((answer, None)))),
            Err(_) => ProxyError::ResponseTimeout,
        };
        // The head of the answer has said 200 by now.
        answer.give_up();
        let last = event(&answer.error(&error.to_string()), None);
        Some((Ok(last), None))
    }))
}

/// An answer that the process has given before, to another request of the same kind.
pub(super) fn of_before(request: &Message, result: &[u8]) -> Answered {
    let id = match &request.kind {
        Kind::Request { id, .. } => request.at(id.at.clone()),
        _ => "null",
    };
    let parts = [br#"{"jsonrpc":"2.0","id":"#, id.as_bytes(), br#","result":"#, result, b"}"];
    Answered { response: json(parts.concat().into()), error: None }
}

/// What the server says by itself, for as long as the client listens and the session lives.
pub(super) fn to_listener(messages: Reader, takes: Takes) -> Response {
    // Something first, so that the client has the head of the answer at once.
    let id = messages.stream.id(messages.next.saturating_sub(1)).filter(|_| takes.empty_events);
    let begin = id.map_or_else(comment, |id| empty(&id).into());
    events(unfold((messages, Some(begin)), |(mut messages, begin)| async move {
        if let Some(begin) = begin {
            return Some((Ok(begin), (messages, None)));
        }
        let part = match timeout_at(Instant::now() + SILENCE, messages.next()).await {
            Ok(next) => {
                let next = next?;
                next.hold(event(&next.line, messages.stream.id(next.place)))
            }
            Err(_) => comment(),
        };
        Some((Ok(part), (messages, None)))
    }))
}

/// Nothing but an answer.
pub(super) fn json(line: Bytes) -> Response {
    let mut response = Response::new(Body::from(line));
    let json = HeaderValue::from_static("application/json");
    response.headers_mut().insert(header::CONTENT_TYPE, json);
    response
}

fn events(stream: impl Stream<Item = Result<Bytes, Infallible>> + Send + 'static) -> Response {
    let stream: Pin<Box<dyn Stream<Item = _> + Send>> = Box::pin(stream);
    let mut response = Response::new(Body::from_stream(stream));
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    // nginx keeps streams back until a buffer is full, unless told so.
    headers.insert("x-accel-buffering", HeaderValue::from_static("no"));
    response
}

fn event(line: &[u8], id: Option<String>) -> Bytes {
    let id = id.map(|id| format!("id: {id}\n")).unwrap_or_default();
    [id.as_bytes(), b"event: message\ndata: ", line, b"\n\n"].concat().into()
}

/// Nothing, after which a client can come back.
fn empty(id: &str) -> Vec<u8> {
    format!("id: {id}\ndata: \n\n").into_bytes()
}

fn comment() -> Bytes {
    Bytes::from_static(b":\n\n")
}
