//! A program that speaks MCP on its standard input and output, as Streamable HTTP: each session has a process of its own,
//! whose environment says who its user is.
//!
//! A session ends with its process, and a process with its session: when it dies, when the environment of its user would be
//! another by now (a renewed upstream token), when nothing has passed for a while. The client hears 404 then, and
//! initializes anew.

mod answer;
mod environment;
mod line;
mod message;
mod process;
mod session;
mod sessions;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, Request, StatusCode};
use axum::response::{IntoResponse, Response};
use http_body_util::BodyExt;
use mcp_login::resource::{Caller, MaybeCaller};

use super::body::{Bounds, Passing, Upload};
use super::error::{Failure, ProxyError};
use super::template::Template;
use environment::Environment;
use message::{Kind, Message};
use session::Session;
use sessions::Sessions;

const SESSION: HeaderName = HeaderName::from_static("mcp-session-id");

/// What is started, and with what.
#[derive(Clone)]
pub struct Launch {
    /// The program, looked up in `PATH` if its name has no slash. No shell reads it.
    pub program: String,
    /// Its arguments, as they are.
    pub args: Vec<String>,
    /// Variables of its environment.
    pub env: Vec<(String, Template)>,
    /// Names of variables that it gets of the gateway's own, besides `PATH`, `HOME`, `LANG` and `TMPDIR`.
    pub inherit_env: Vec<String>,
}

/// Arguments may be secrets of the operator.
impl fmt::Debug for Launch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Launch").field("program", &self.program).finish_non_exhaustive()
    }
}

/// What the processes of one MCP server may take.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Processes at once.
    pub processes: usize,
    /// Of them one user's. All of those who are not signed in are one.
    pub processes_per_user: usize,
    /// How long a process stays without a message.
    pub idle: Duration,
    /// The longest message, in bytes, in either direction.
    pub line: usize,
    /// Until a message is taken, by the process or by the client.
    pub write: Duration,
    /// Until a request is answered.
    pub response: Duration,
    /// From being asked to end until being killed.
    pub goodbye: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            processes: 64,
            processes_per_user: 8,
            idle: Duration::from_secs(600),
            line: 10 * 1024 * 1024,
            write: Duration::from_secs(10),
            response: Duration::from_secs(300),
            // Container runtimes kill after ten seconds, and requests in flight had eight of them.
            goodbye: Duration::from_secs(1),
        }
    }
}

/// One program behind one mount.
#[derive(Debug, Clone)]
pub struct StdioOptions {
    /// The path under which requests arrive, as the request line has it.
    pub mount: String,
    /// What is started.
    pub launch: Launch,
    /// What it may take.
    pub limits: Limits,
}

#[derive(Debug)]
pub(super) struct Stdio {
    mount: String,
    launch: Launch,
    limits: Limits,
    sessions: Sessions,
}

impl Stdio {
    pub(super) fn new(options: StdioOptions) -> Self {
        let StdioOptions { mount, launch, limits } = options;
        let sessions = Sessions::new(Arc::from(mount.as_str()), limits);
        Self { mount, launch, limits, sessions }
    }

    /// What is started, for the log.
    pub(super) fn program(&self) -> &str {
        &self.launch.program
    }

    /// Ends every process, and starts no more.
    pub(super) async fn end(&self) {
        self.sessions.end().await;
    }

    pub(super) async fn pass(&self, request: Request<Body>) -> Result<Response, Failure> {
        // A body is not to be shared between threads, so it is not held by what waits.
        let (parts, body) = request.into_parts();
        if parts.uri.path().trim_end_matches('/') != self.mount {
            return Err(ProxyError::BadPath.into());
        }
        match parts.method {
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
        let message = self.message(body).await?;
        let takes_events = answer::takes_events(&request.headers);
        let Some(session) = session else {
            return match message.kind {
                Kind::Request { is_initialize: true, .. } => {
                    self.initialize(request, message, takes_events).await
                }
                _ => Err(ProxyError::BadMessage("an Mcp-Session-Id is needed: initialize first").into()),
            };
        };
        if matches!(message.kind, Kind::Request { .. }) {
            let answer = session.ask(message, takes_events).await?;
            Ok(answer::to_request(answer, takes_events, self.limits).await?.response)
        } else {
            session.tell(message.line).await?;
            Ok(StatusCode::ACCEPTED.into_response())
        }
    }

    /// Opens a session: its process gets this request first.
    async fn initialize(
        &self,
        request: &Parts,
        message: Message,
        takes_events: bool,
    ) -> Result<Response, Failure> {
        let caller = caller(request);
        let environment = Environment::of(&self.launch, caller).await?;
        let session = self.sessions.open(&self.launch, caller.map(Caller::subject), environment).await?;
        // A client that goes away meanwhile leaves no process.
        let opening = session.end.clone().drop_guard();
        let answer = session.ask(message, takes_events).await?;
        let mut answered = answer::to_request(answer, takes_events, self.limits).await?;
        if !answered.is_error {
            opening.disarm();
            let id = HeaderValue::try_from(&session.id).map_err(|_| ProxyError::ProcessEnded)?;
            answered.response.headers_mut().insert(SESSION, id);
        }
        Ok(answered.response)
    }

    async fn get(&self, request: &Parts) -> Result<Response, Failure> {
        if !answer::takes_events(&request.headers) {
            return Err(ProxyError::MethodNotAllowed.into());
        }
        let (messages, waiting) = self.session(request).await?.listen()?;
        Ok(answer::to_listener(messages, &waiting))
    }

    /// The session that the request names, if it is the user's and its process still has the right environment.
    async fn session(&self, request: &Parts) -> Result<Arc<Session>, Failure> {
        let id = session_id(&request.headers)?;
        let caller = caller(request);
        let session = self.sessions.find(id, caller.map(Caller::subject)).ok_or(ProxyError::SessionEnded)?;
        let environment = Environment::of(&self.launch, caller).await?;
        if environment.fingerprint != session.fingerprint {
            session.retire();
            return Err(ProxyError::SessionEnded.into());
        }
        Ok(session)
    }

    async fn message(&self, body: Body) -> Result<Message, Failure> {
        let upload = Upload::new();
        let max = self.limits.line as u64;
        let bounds = Bounds { length: max, idle: Duration::from_secs(30), whole: Duration::from_secs(600) };
        let text: Bytes = match Passing::bounded(body, bounds, upload.clone()).collect().await {
            Ok(body) => body.to_bytes(),
            Err(_) if upload.is_exceeded() => return Err(ProxyError::BodyTooLarge { limit: max }.into()),
            Err(_) if upload.is_stalled() => return Err(ProxyError::BodyStalled.into()),
            Err(_) => return Err(ProxyError::BodyBroken.into()),
        };
        Ok(Message::parse(&text).map_err(ProxyError::BadMessage)?)
    }
}

fn caller(request: &Parts) -> Option<&Caller> {
    let extensions = &request.extensions;
    extensions
        .get::<Caller>()
        .or_else(|| extensions.get::<MaybeCaller>().and_then(|caller| caller.0.as_ref()))
}

fn session_id(headers: &HeaderMap) -> Result<&str, ProxyError> {
    let id = headers.get(SESSION).ok_or(ProxyError::BadMessage("an Mcp-Session-Id is needed"))?;
    id.to_str().map_err(|_| ProxyError::SessionEnded)
}
