//! The list of tools says what each needs: `securitySchemes`, as `ChatGPT` reads it; or leaves out what the caller may not
//! call. What is not such a list, or too long, passes as it is.

use axum::body::{Body, Bytes};
use axum::http::header::{ACCEPT_ENCODING, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE};
use axum::http::{Method, Request, StatusCode};
use axum::response::{IntoResponse, Response};
use futures_util::{StreamExt, stream};
use http_body_util::BodyExt;
use mcp_login_core::mcp::is_tools_list;
use mcp_login_core::scope::Scopes;
use serde_json::{Value, json};

use super::body::{is_plain_json, read_message};
use super::caller::Caller;
use super::protection::Protection;
use super::stream::is_event_stream;

/// The longest request for a list of tools that is looked at, in bytes.
const MAX_TOOLS_LIST: usize = 4096;

/// The longest list that is held, in bytes: the whole answer, or one event of it.
const MAX_LIST: usize = 1024 * 1024;

/// How a tool stands in a list.
#[derive(Debug, Clone)]
pub(super) enum Listed {
    /// With its `securitySchemes`, if they are to be said.
    Shown(Option<Value>),
    Hidden,
}

/// Who asks for a list of tools, and how it is shown.
pub(super) struct Listing {
    /// What the caller may do; `None` for nobody in particular.
    held: Option<Scopes>,
    says_schemes: bool,
    hides: bool,
}

impl Protection {
    /// How the list of tools is to be shown that the request is for; `None` for as it is. Such a request is short; a long
    /// one is not looked at.
    pub(super) async fn listing(&self, request: &mut Request<Body>) -> Result<Option<Listing>, Response> {
        let held = request.extensions().get::<Caller>().map(|caller| caller.scopes().clone());
        let listing = Listing {
            says_schemes: self.public.is_some() && self.is_read_in_result(request.headers()),
            hides: self.hides_tools && !held.as_ref().is_some_and(|held| held.covers(&self.challenge.scopes)),
            held,
        };
        let length =
            request.headers().get(CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse().ok());
        let may_be = (listing.says_schemes || listing.hides)
            && request.method() == Method::POST
            && is_plain_json(request.headers())
            && length.is_some_and(|length: usize| length <= MAX_TOOLS_LIST);
        if !may_be {
            return Ok(None);
        }
        let Some(body) = read_message(request).await? else {
            return Err(StatusCode::BAD_REQUEST.into_response());
        };
        let is_list = is_tools_list(&body);
        if is_list {
            // What is compressed could not be read.
            request.headers_mut().remove(ACCEPT_ENCODING);
        }
        *request.body_mut() = Body::from(body);
        Ok(is_list.then_some(listing))
    }

    /// How a tool stands in a list.
    pub(super) fn listed(&self, tool: &str, listing: &Listing) -> Listed {
        if self.public.as_ref().is_some_and(|public| public.has_tool(tool)) {
            return Listed::Shown(listing.says_schemes.then(|| json!([{"type": "noauth"}])));
        }
        let needed = self.baseline.clone().union(&self.tool_scopes.needed_by_tool(tool));
        if listing.hides && !listing.held.as_ref().is_some_and(|held| held.covers(&needed)) {
            return Listed::Hidden;
        }
        let scopes: Vec<&str> = needed.iter().collect();
        Listed::Shown(listing.says_schemes.then(|| json!([{"type": "oauth2", "scopes": scopes}])))
    }
}

/// Shows each tool of the answer as `listed` says of its name.
pub(super) async fn decorate(
    mut response: Response,
    listed: impl Fn(&str) -> Listed + Send + 'static,
) -> Response {
    let content_type = response.headers().get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let media_type = content_type.unwrap_or_default().split(';').next().unwrap_or_default().trim();
    let is_json = media_type.eq_ignore_ascii_case("application/json");
    let is_stream = is_event_stream(response.headers());
    if response.headers().contains_key(CONTENT_ENCODING) || !(is_json || is_stream) {
        return response;
    }
    response.headers_mut().remove(CONTENT_LENGTH);
    let body = std::mem::take(response.body_mut());
    *response.body_mut() = if is_json { whole(body, &listed).await } else { events(body, listed) };
    response
}

async fn whole(mut body: Body, listed: &impl Fn(&str) -> Listed) -> Body {
    let mut held = Vec::new();
    while held.len() <= MAX_LIST {
        match body.frame().await {
            Some(Ok(frame)) => held.extend_from_slice(&frame.into_data().unwrap_or_default()),
            Some(Err(error)) => {
                let pieces = [Ok(Bytes::from(held)), Err(error)];
                return Body::from_stream(stream::iter(pieces));
            }
            None => return Body::from(decorated(&held, listed).unwrap_or(held)),
        }
    }
    let begin = stream::iter([Ok(Bytes::from(held))]);
    Body::from_stream(begin.chain(body.into_data_stream()))
}

/// What has come of a stream.
struct Events<F> {
    body: Body,
    held: Vec<u8>,
    /// Up to where no end of an event is.
    searched: usize,
    /// Nothing is looked at any more.
    passes: bool,
    listed: F,
}

/// Event by event, each as soon as it is there.
fn events(body: Body, listed: impl Fn(&str) -> Listed + Send + 'static) -> Body {
    let begin = Events { body, held: Vec::new(), searched: 0, passes: false, listed };
    Body::from_stream(stream::unfold(begin, |mut events| async move {
        loop {
            if let Some(event) = events.next() {
                return Some((Ok(event), events));
            }
            match events.body.frame().await {
                Some(Ok(frame)) => events.held.extend_from_slice(&frame.into_data().unwrap_or_default()),
                Some(Err(error)) => {
                    events.passes = true;
                    return Some((Err(error), events));
                }
                None if events.held.is_empty() => return None,
                None => return Some((Ok(std::mem::take(&mut events.held).into()), events)),
            }
        }
    }))
}

impl<F: Fn(&str) -> Listed> Events<F> {
    /// What can be sent on.
    fn next(&mut self) -> Option<Bytes> {
        self.passes = self.passes || self.held.len() > MAX_LIST;
        if self.passes {
            return Some(std::mem::take(&mut self.held).into()).filter(|held: &Bytes| !held.is_empty());
        }
        let Some(end) = end_of_event(&self.held, self.searched) else {
            self.searched = self.held.len().saturating_sub(3);
            return None;
        };
        let rest = self.held.split_off(end);
        let event = std::mem::replace(&mut self.held, rest);
        self.searched = 0;
        Some(decorated_event(&event, &self.listed).unwrap_or(event).into())
    }
}

/// Behind the empty line that ends an event (HTML, "Server-sent events").
fn end_of_event(held: &[u8], from: usize) -> Option<usize> {
    (from..held.len()).find_map(|at| {
        let rest = &held[at..];
        [&b"\n\n"[..], b"\r\n\r\n", b"\r\r"]
            .iter()
            .find(|end| rest.starts_with(end))
            .map(|end| at + end.len())
    })
}

/// The event with another `data`; `None` where it is none of ours.
fn decorated_event(event: &[u8], listed: &impl Fn(&str) -> Listed) -> Option<Vec<u8>> {
    let text = std::str::from_utf8(event).ok()?;
    let value =
        |line: &str| line.strip_prefix("data:").map(|data| data.strip_prefix(' ').unwrap_or(data).to_owned());
    let data: Vec<String> = text.lines().filter_map(value).collect();
    let data = decorated(data.join("\n").as_bytes(), listed)?;
    let mut out: Vec<u8> = Vec::new();
    for line in text.lines().filter(|line| !line.is_empty() && value(line).is_none()) {
        out.extend_from_slice(line.as_bytes());
        out.push(b'\n');
    }
    out.extend_from_slice(b"data: ");
    out.extend_from_slice(&data);
    out.extend_from_slice(b"\n\n");
    Some(out)
}

/// The list with what each tool needs, beside its name and in `_meta`; `None` where it is no list.
fn decorated(message: &[u8], listed: &impl Fn(&str) -> Listed) -> Option<Vec<u8>> {
    let mut message: Value = serde_json::from_slice(message).ok()?;
    message.pointer_mut("/result/tools")?.as_array_mut()?.retain_mut(|tool| {
        let Some(tool) = tool.as_object_mut() else { return true };
        match tool.get("name").and_then(Value::as_str).map(listed) {
            None | Some(Listed::Shown(None)) => true,
            Some(Listed::Hidden) => false,
            Some(Listed::Shown(Some(schemes))) => {
                if let Some(meta) = tool.entry("_meta").or_insert_with(|| json!({})).as_object_mut() {
                    meta.insert("securitySchemes".to_owned(), schemes.clone());
                }
                tool.insert("securitySchemes".to_owned(), schemes);
                true
            }
        }
    });
    serde_json::to_vec(&message).ok()
}

#[cfg(test)]
#[path = "tools_list/tests.rs"]
mod tests;
