//! The way to a server of the HTTP+SSE transport (MCP 2024-11-05, "HTTP with SSE"): one address gives a stream of events,
//! whose first names another one to which the client posts; the answers come over the stream.
//!
//! The mount is both for the client. What the first event names is kept in the query of the address that the client is told
//! instead, sealed for its user: nobody posts into the stream of somebody else, and nothing is stored here.

mod endpoint;
mod first_event;

use std::fmt::Display;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::http::header::{ACCEPT_ENCODING, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE};
use axum::http::{HeaderMap, Method, Request, Response, StatusCode, Uri};
use futures_util::{StreamExt, stream};
use http_body_util::BodyExt;
use mcp_login::resource::{OpenedSession, SessionBinding};
use url::Url;

use super::client::BackendClient;
use super::error::{Failure, ProxyError};
use super::forward::Forward;
use super::{ProxyOptions, RequestId};
use endpoint::{Endpoint, Fault, on_origin_of};
use first_event::Head;

/// The parameter in which the client is told its session, as most servers call it: clients look for it in the address.
pub const SESSION_QUERY: &str = "sessionId";

/// What one mount needs to pass streams and messages.
#[derive(Debug)]
pub(super) struct Sse {
    forward: Forward,
    /// Where the stream is.
    backend: Url,
    mount: String,
    /// How long the first event is waited for.
    first_event: Duration,
}

impl Sse {
    pub(super) fn new(options: ProxyOptions, client: BackendClient) -> Self {
        let (backend, mount) = (options.backends[0].clone(), options.mount.clone());
        let first_event = client.first_event();
        Self { forward: Forward::new(options, client), backend, mount, first_event }
    }

    /// Where this mount leads, for the log.
    pub(super) fn name(&self) -> &str {
        self.forward.name()
    }

    pub(super) async fn pass(&self, asked: Request<Body>, id: &RequestId) -> Result<Response<Body>, Failure> {
        let path = asked.uri().path();
        if path.strip_suffix('/').unwrap_or(path) != self.mount {
            return Err(ProxyError::NothingBelow.into());
        }
        match *asked.method() {
            Method::GET => self.stream(asked, id).await,
            Method::POST => self.message(asked, id).await,
            // Also HEAD: servers take it for GET and never end the answer, and the connection would be used again.
            _ => Err(ProxyError::StreamOnly.into()),
        }
    }

    async fn stream(&self, mut asked: Request<Body>, id: &RequestId) -> Result<Response<Body>, Failure> {
        // There are servers that take the session of another stream from it.
        if asked.uri().query().is_some() {
            return Err(ProxyError::NothingBelow.into());
        }
        // Without a user there is nobody for whom the session could be sealed: the configuration does not let it come to that.
        let binding =
            asked.extensions().get::<SessionBinding>().cloned().ok_or(ProxyError::SubjectNotPassed)?;
        // What is compressed could not be read.
        asked.headers_mut().remove(ACCEPT_ENCODING);
        let target = on_origin_of(&self.backend, self.backend.path()).ok_or(ProxyError::BadPath)?;
        let mut answer = self.pass_to(target, asked, id).await?;
        if answer.status() != StatusCode::OK || !is_event_stream(answer.headers()) {
            return Ok(answer);
        }
        if answer.headers().contains_key(CONTENT_ENCODING) {
            return Err(bad_stream(&"it is compressed, which it was not asked to be"));
        }
        // Another address is longer or shorter.
        answer.headers_mut().remove(CONTENT_LENGTH);
        let (parts, mut body) = answer.into_parts();
        let endpoint = Endpoint { backend: &self.backend, mount: &self.mount, binding: &binding };
        // Before the answer begins: a client that is told of a fault need not try again and again.
        let begin = tokio::time::timeout(self.first_event, begin(&mut body, &endpoint)).await;
        let begin = begin.map_err(|_| ProxyError::ResponseTimeout)?;
        let begin = begin.map_err(|fault| bad_stream(&fault))?;
        let rest = body.into_data_stream();
        Ok(Response::from_parts(parts, Body::from_stream(stream::iter([Ok(begin)]).chain(rest))))
    }

    async fn message(&self, asked: Request<Body>, id: &RequestId) -> Result<Response<Body>, Failure> {
        let Some(OpenedSession(named)) = asked.extensions().get() else {
            return Err(ProxyError::StreamOnly.into());
        };
        let target = on_origin_of(&self.backend, named).ok_or(ProxyError::BadPath)?;
        self.pass_to(target, asked, id).await
    }

    async fn pass_to(
        &self,
        target: Uri,
        asked: Request<Body>,
        id: &RequestId,
    ) -> Result<Response<Body>, Failure> {
        let (_, answer) = self.forward.pass_to(|_| Ok(target.clone()), None, asked, id).await?;
        Ok(answer)
    }
}

/// What is to be sent of a stream up to its first event, and a little more if it has come with it.
async fn begin(body: &mut Body, endpoint: &Endpoint<'_>) -> Result<Bytes, Fault> {
    let mut head = Head::default();
    loop {
        let Some(Ok(frame)) = body.frame().await else { return Err(Fault::Ended) };
        let data = frame.into_data().unwrap_or_default();
        if let Some(begin) = head.take(&data, |named| endpoint.instead_of(named))? {
            return Ok(begin);
        }
    }
}

fn bad_stream(cause: &dyn Display) -> Failure {
    Failure { error: ProxyError::BadStream, cause: Some(cause.to_string()) }
}

fn is_event_stream(headers: &HeaderMap) -> bool {
    let content_type = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    content_type.split(';').next().unwrap_or_default().trim().eq_ignore_ascii_case("text/event-stream")
}
