//! A program that speaks MCP on its standard input and output, as Streamable HTTP. [`Sharing`] says whose messages one
//! process gets; its environment says who its user is.
//!
//! A session ends with its process: when that dies, when the environment of its user would be another by now (a renewed
//! upstream token), when nothing has passed for a while. The client hears 404 then, and initializes anew. Requests of MCP
//! 2026-07-28 belong to no session: whatever process of this environment their user has at the time gets them.

mod answer;
mod budget;
mod environment;
mod hub;
mod json;
mod line;
mod log;
mod memory;
mod message;
mod options;
mod pool;
mod process;
mod rate;
mod resumption;
mod session;
mod sharing;
mod stateless;
mod stream;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use axum::body::Body;
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, Request, StatusCode};
use axum::response::{IntoResponse, Response};
use http_body_util::BodyExt;
use mcp_login::resource::Caller;
use tokio_util::sync::DropGuard;

use super::body::{Bounds, Passing, Upload};
use super::caller_of;
use super::error::{Failure, ProxyError};
use answer::Takes;
use environment::Environment;
use hub::{Asker, INITIALIZE, LISTEN};
use message::{Kind, Message};
use pool::Pool;
use resumption::Resumed;
use session::Session;

pub use options::{Launch, Limits, StdioOptions};
pub use sharing::Sharing;

/// As good as.
const FOR_EVER: Duration = Duration::from_secs(365 * 24 * 60 * 60);
const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");
const SESSION: HeaderName = HeaderName::from_static("mcp-session-id");

#[derive(Debug)]
pub(super) struct Stdio {
    mount: String,
    launch: Launch,
    limits: Limits,
    sharing: Sharing,
    pool: Pool,
    /// Whether the program has said that it does not know `server/discover`: then it knows only the revisions before that.
    is_of_the_past: AtomicBool,
}

impl Stdio {
    pub(super) fn new(options: StdioOptions) -> Self {
        let StdioOptions { mount, launch, limits, sharing } = options;
        let pool = Pool::new(Arc::from(mount.as_str()), limits);
        Self { mount, launch, limits, sharing, pool, is_of_the_past: AtomicBool::new(false) }
    }

    /// What is started, for the log.
    pub(super) fn program(&self) -> &str {
        &self.launch.program
    }

    /// Ends every process, and starts no more.
    pub(super) async fn end(&self) {
        self.pool.end().await;
    }

    /// Ends what stays open by itself, and opens nothing of the kind any more. Requests go on.
    pub(super) fn end_streams(&self) {
        self.pool.end_streams();
    }

    pub(super) async fn pass(&self, request: Request<Body>) -> Result<Response, Failure> {
        // A body is not to be shared between threads, so it is not held by what waits.
        let (parts, body) = request.into_parts();
        if parts.uri.path().trim_end_matches('/') != self.mount {
            return Err(ProxyError::BadPath.into());
        }
        let is_stateless = stateless::is_said_by(&parts.headers);
        match parts.method {
            Method::POST if is_stateless => self.post_stateless(&parts, body).await,
            Method::GET | Method::DELETE if is_stateless => Err(ProxyError::MethodNotAllowed.into()),
            Method::POST => self.post(&parts, body).await,
            Method::GET => self.get(&parts).await,
            Method::DELETE => {
                let session = self.session(&parts).await?;
                session.end.cancel();
                Ok(StatusCode::NO_CONTENT.into_response())
            }
            _ => Err(ProxyError::MethodNotAllowed.into()),
        }
    }

    async fn post(&self, request: &Parts, body: Body) -> Result<Response, Failure> {
        // Nobody's body is read for a session that is not theirs.
        let session =
            if request.headers.contains_key(SESSION) { Some(self.session(request).await?) } else { None };
        let message = self.message(request, body).await?;
        let takes = Takes::of(&request.headers);
        // A process is initialized once, and others may use it: whoever does it again opens another session.
        let begins = matches!(&message.kind, Kind::Request { method, .. } if method == INITIALIZE);
        let Some(session) = session.filter(|_| !begins) else {
            if let Err(reason) = stateless::check_headers(&request.headers, &message) {
                return Ok(stateless::mismatch(&message, &reason));
            }
            if !begins {
                return Err(ProxyError::BadMessage("an Mcp-Session-Id is needed: initialize first").into());
            }
            return self.initialize(request, message, takes).await;
        };
        if matches!(message.kind, Kind::Request { .. }) {
            let answer = session.ask(&message, takes.events).await?;
            // It may be long, and is not needed for the answer.
            drop(message);
            Ok(answer::to_request(answer, takes, self.limits).await?.response)
        } else {
            session.tell(message).await?;
            Ok(StatusCode::ACCEPTED.into_response())
        }
    }

    /// Opens a session: a new process gets this request, one that there is has answered the like of it.
    async fn initialize(&self, request: &Parts, message: Message, takes: Takes) -> Result<Response, Failure> {
        let user = caller_of(&request.extensions);
        let environment = Environment::of(&self.launch, user).await?;
        let user = user.map(Caller::subject);
        let hello = message.hello().map_err(ProxyError::BadMessage)?;
        let key = self.sharing.key(user, &environment, Some(&hello), || self.pool.fresh());
        // Where the first of several is refused, the next is the first.
        for _ in 0..3 {
            let (hub, is_new) = self.pool.process(&self.launch, user, &key, &environment).await?;
            // A client that goes away meanwhile leaves no session, and no process that only it has begun.
            let opening = is_new.then(|| hub.end.clone().drop_guard());
            let session = match self.pool.open(user, &hub) {
                Err(Failure { error: ProxyError::ProcessEnded, .. }) if !is_new => continue,
                opened => opened?,
            };
            let closing = session.end.clone().drop_guard();
            let mut answered = if is_new {
                let message = if key.is_of_many {
                    message.of_nobody(sharing::revision(&hello)).map_err(ProxyError::BadMessage)?
                } else {
                    message.clone()
                };
                let answer = session.ask(&message, takes.events).await?;
                answer::to_request(answer, takes, self.limits).await?
            } else {
                let Some(result) = hub.hello(self.limits.response).await? else { continue };
                answer::of_before(&message, &result)
            };
            if answered.error.is_none() {
                closing.disarm();
                opening.map(DropGuard::disarm);
                let id = HeaderValue::try_from(&session.id).map_err(|_| ProxyError::ProcessEnded)?;
                answered.response.headers_mut().insert(SESSION, id);
            }
            return Ok(answered.response);
        }
        Err(ProxyError::ProcessEnded.into())
    }

    /// A request of MCP 2026-07-28: its user's process gets it, for which it is one of many.
    async fn post_stateless(&self, request: &Parts, body: Body) -> Result<Response, Failure> {
        let message = self.message(request, body).await?;
        if let Err(reason) = stateless::check_headers(&request.headers, &message) {
            return Ok(stateless::mismatch(&message, &reason));
        }
        let method = match &message.kind {
            Kind::Request { method, .. } if method != INITIALIZE => method.as_str(),
            // None of the protocol's own goes over HTTP, and none needs a process.
            Kind::Notification { .. } => return Ok(StatusCode::ACCEPTED.into_response()),
            _ => {
                return Err(ProxyError::BadMessage(
                    "MCP 2026-07-28 sends requests that stand for themselves",
                )
                .into());
            }
        };
        let asks_of_revisions = method == "server/discover";
        if asks_of_revisions && self.is_of_the_past.load(Ordering::Relaxed) {
            // In words of our own: what the program has said was said to somebody else.
            let answer = answer::json(stateless::of_error(&message, stateless::UNKNOWN_METHOD));
            return Ok(stateless::with_status(answer, StatusCode::NOT_FOUND));
        }
        let takes = Takes::of(&request.headers);
        let mut limits = self.limits;
        if method == LISTEN {
            if !takes.events {
                return Err(
                    ProxyError::BadMessage("subscriptions/listen is answered in text/event-stream").into()
                );
            }
            if self.pool.is_ending() {
                return Err(ProxyError::Busy.into());
            }
            // For as long as its client listens.
            limits.response = FOR_EVER;
        } else if asks_of_revisions {
            limits.response = limits.discover;
        }
        // Resumption is not of this revision: events have no ids where there is no session.
        let takes = Takes { events: takes.events && !asks_of_revisions, ..takes };
        let asked = self.ask_stateless(request, message, takes, limits).await;
        match asked {
            // A program of the past may end at a request before `initialize`, or not answer it. Its client tries that next.
            Err(Failure { error: ProxyError::ProcessEnded | ProxyError::ResponseTimeout, cause: None })
                if asks_of_revisions =>
            {
                Err(ProxyError::BadMessage(
                    "no answer to server/discover: try initialize, of earlier revisions",
                )
                .into())
            }
            Ok(response) => Ok(response),
            Err(failure) => Err(failure),
        }
    }

    async fn ask_stateless(
        &self,
        request: &Parts,
        message: Message,
        takes: Takes,
        limits: Limits,
    ) -> Result<Response, Failure> {
        let user = caller_of(&request.extensions);
        let environment = Environment::of(&self.launch, user).await?;
        let user = user.map(Caller::subject);
        let key = self.sharing.key(user, &environment, None, || self.pool.fresh());
        let share = self.pool.share(user);
        let is_discover =
            matches!(&message.kind, Kind::Request { method, .. } if method == "server/discover");
        // More than once where the process has just ended.
        for _ in 0..3 {
            let (hub, _) = self.pool.process(&self.launch, user, &key, &environment).await?;
            let who = Asker { session: None, share: &share, takes_messages: takes.events };
            let asked = hub.ask(&message, who).await;
            if matches!(&asked, Err(Failure { error: ProxyError::SessionEnded, .. })) {
                continue;
            }
            drop(message);
            let answered = answer::to_request(asked?, takes, limits).await?;
            let Some(line) = answered.error else { return Ok(answered.response) };
            let code = stateless::code(&line);
            if is_discover && stateless::is_unknown(code) {
                // It is the program that does not know, whoever's: the next who asks needs no process for it.
                self.is_of_the_past.store(true, Ordering::Relaxed);
                hub.retire();
            } else if is_discover && !stateless::is_known(code) && !key.is_of_many {
                // Its client initializes next, for which there is another. One of many ends for nobody's odd question.
                hub.retire();
            }
            return Ok(stateless::with_status(answered.response, stateless::status(code)));
        }
        Err(ProxyError::ProcessEnded.into())
    }

    async fn get(&self, request: &Parts) -> Result<Response, Failure> {
        let takes = Takes::of(&request.headers);
        if !takes.events {
            return Err(ProxyError::MethodNotAllowed.into());
        }
        let session = self.session(request).await?;
        let Some(last) = request.headers.get(LAST_EVENT_ID) else {
            return Ok(answer::to_listener(session.listen()?, takes));
        };
        Ok(match session.resume(last.to_str().unwrap_or_default())? {
            Resumed::Listening(messages) => answer::to_listener(messages, takes),
            Resumed::Answer(answer, end) => answer::to_resumed(answer, end),
        })
    }

    /// The session that the request names, if it is the user's. Where its process should have another environment by now, it
    /// takes no more requests, and what was asked comes to its end.
    async fn session(&self, request: &Parts) -> Result<Arc<Session>, Failure> {
        let id = session_id(&request.headers)?;
        let caller = caller_of(&request.extensions);
        let session = self.pool.find(id, caller.map(Caller::subject)).ok_or(ProxyError::SessionEnded)?;
        let environment = Environment::of(&self.launch, caller).await?;
        if environment.fingerprint != session.hub.fingerprint {
            session.hub.retire();
        }
        Ok(session)
    }

    async fn message(&self, request: &Parts, body: Body) -> Result<Message, Failure> {
        let upload = Upload::new();
        let max = self.limits.line as u64;
        let bounds = Bounds { length: max, idle: Duration::from_secs(30), whole: Duration::from_secs(600) };
        let mut body = Passing::bounded(body, bounds, upload.clone());
        let mut room = self
            .pool
            .share(caller_of(&request.extensions).map(Caller::subject))
            .take(0)
            .ok_or(ProxyError::Busy)?;
        let mut text = Vec::new();
        while let Some(frame) = body.frame().await {
            let part = match frame {
                Ok(frame) => frame.into_data().unwrap_or_default(),
                Err(_) if upload.is_exceeded() => return Err(ProxyError::BodyTooLarge { limit: max }.into()),
                Err(_) if upload.is_stalled() => return Err(ProxyError::BodyStalled.into()),
                Err(_) => return Err(ProxyError::BodyBroken.into()),
            };
            if !room.grow(part.len()) {
                let cause = "as much waits to be taken as may wait for one user, or for all";
                return Err(Failure { error: ProxyError::Busy, cause: Some(cause.to_owned()) });
            }
            text.extend_from_slice(&part);
        }
        let mut message = Message::parse(&text.into()).map_err(ProxyError::BadMessage)?;
        message.room = Some(Arc::new(room));
        Ok(message)
    }
}

fn session_id(headers: &HeaderMap) -> Result<&str, ProxyError> {
    let id = headers.get(SESSION).ok_or(ProxyError::BadMessage("an Mcp-Session-Id is needed"))?;
    id.to_str().map_err(|_| ProxyError::SessionEnded)
}
