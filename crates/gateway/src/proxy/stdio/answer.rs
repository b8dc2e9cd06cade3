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

/// Whether the client takes a stream of events.
pub(super) fn takes_events(headers: &HeaderMap) -> bool {
    let accepted = headers.get_all(header::ACCEPT).iter().filter_map(|value| value.to_str().ok());
    accepted
        .flat_map(|value| value.split(','))
        .filter_map(|range| range.split(';').next())
        .any(|range| matches!(range.trim().to_ascii_lowercase().as_str(), "text/event-stream" | "*/*"))
}

/// The answer to one request. A client that takes events gets them once there is something else than the answer, or once
/// the answer has let itself be waited for.
pub(super) async fn to_request(
    mut answer: Answer,
    takes_events: bool,
    limits: Limits,
) -> Result<Answered, Failure> {
    let end = Instant::now() + limits.response;
    let soon = if takes_events { end.min(Instant::now() + SILENCE) } else { end };
    let first = match timeout_at(soon, answer.next()).await {
        Ok(Some(first)) if first.is_last => {
            let error = first.is_error.then(|| first.line.clone());
            return Ok(Answered { response: json(first.line), error });
        }
        Ok(Some(first)) => event(&first.line),
        Ok(None) => return Err(ProxyError::ProcessEnded.into()),
        Err(_) if soon < end => comment(),
        Err(_) => return Err(ProxyError::ResponseTimeout.into()),
    };
    let response = events(unfold(Some((answer, Some(first))), move |state| async move {
        let (mut answer, first) = state?;
        if let Some(first) = first {
            return Some((Ok(first), Some((answer, None))));
        }
        let now = Instant::now();
        let part = match timeout_at(end.min(now + SILENCE), answer.next()).await {
            Ok(Some(next)) if next.is_last => return Some((Ok(event(&next.line)), None)),
            Ok(Some(next)) => event(&next.line),
            Ok(None) => {
                return Some((Ok(failed(&answer.id, &ProxyError::ProcessEnded)), None));
            }
            Err(_) if now + SILENCE < end => comment(),
            Err(_) => {
                return Some((Ok(failed(&answer.id, &ProxyError::ResponseTimeout)), None));
            }
        };
        Some((Ok(part), Some((answer, None))))
    }));
    Ok(Answered { response, error: None })
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
pub(super) fn to_listener(messages: Reader) -> Response {
    // A comment first, so that the client has the head of the answer at once.
    events(unfold((messages, Some(comment())), |(mut messages, begin)| async move {
        if let Some(begin) = begin {
            return Some((Ok(begin), (messages, None)));
        }
        let part = match timeout_at(Instant::now() + SILENCE, messages.next()).await {
            Ok(next) => event(&next?.line),
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

fn event(line: &[u8]) -> Bytes {
    [b"event: message\ndata: ", line, b"\n\n"].concat().into()
}

fn comment() -> Bytes {
    Bytes::from_static(b":\n\n")
}

/// The head of the answer has said 200 by now.
fn failed(id: &str, error: &ProxyError) -> Bytes {
    event(
        format!(r#"{{"jsonrpc":"2.0","id":{id},"error":{{"code":-32603,"message":"{error}"}}}}"#).as_bytes(),
    )
}
