//! [`UpstashFront`]: the REST interface of Upstash in front of a real Redis, as its documentation and its client have it.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::missing_panics_doc,
    reason = "a test that cannot have its server cannot go on"
)]

mod command;
mod tls;

use std::net::{Ipv4Addr, SocketAddr, TcpListener as StdListener};
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread::JoinHandle;

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, Method, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::oneshot;

use self::command::{Asked as Commands, Shape, asked, encode};
use self::tls::TlsListener;
use crate::redis_server::{RedisServer, Reply, converse};
use crate::redis_tls::TlsFiles;

/// Names the state of the primary that an answer has seen.
const SYNC_TOKEN: &str = "upstash-sync-token";

/// Commands that a replica may answer; all others go to the primary.
const READS: [&str; 7] = ["GET", "SCAN", "PING", "DBSIZE", "EXISTS", "PTTL", "TTL"];

/// A front on a free port of 127.0.0.1. It runs on a thread of its own, so that a test may stop or block its own runtime,
/// and ends when this is dropped, with every request it left hanging.
///
/// `POST /` takes a command, `/pipeline` and `/multi-exec` several, any other path is a command itself. Nothing is done
/// without the token. Strings are base64 if `Upstash-Encoding` says so. Every answer has a sync token.
#[derive(Debug)]
pub struct UpstashFront {
    shared: Arc<Shared>,
    port: u16,
    scheme: &'static str,
    files: Option<Arc<TlsFiles>>,
    running: Option<(oneshot::Sender<()>, JoinHandle<()>)>,
}

/// What it does wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fault {
    /// It does what it is asked, and ends the connection in the place of an answer.
    LoseAnswer,
    /// It does nothing and answers nothing.
    Hang,
    /// It does nothing and answers with this status.
    Status(u16),
    /// It does what it is asked and answers with this, and 200.
    Answer(String),
    /// It sends the request there.
    Redirect(String),
}

/// A request as it came in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// Its path.
    pub path: String,
    /// The names of its commands, in capitals.
    pub commands: Vec<String>,
    /// The sync token that came with it.
    pub sync_token: Option<String>,
}

#[derive(Debug)]
struct Shared {
    redis: u16,
    token: String,
    state: Mutex<Seen>,
}

#[derive(Debug, Default)]
struct Seen {
    requests: Vec<Request>,
    /// And whether it is for one request only.
    fault: Option<(Fault, bool)>,
    /// How many writes there were.
    written: u64,
    lags: bool,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Seen> {
        self.state.lock().expect("nobody panics with it")
    }
}

impl UpstashFront {
    /// Starts one in front of this Redis.
    #[must_use]
    pub fn start(redis: &RedisServer) -> Self {
        Self::before(redis.port(), "http-auth/token+of+tests==")
    }

    /// The same for a Redis on this port of 127.0.0.1, and with this token.
    #[must_use]
    pub fn before(redis: u16, token: &str) -> Self {
        Self::launch(redis, token, None)
    }

    /// One that speaks TLS, as Upstash does.
    #[must_use]
    pub fn start_tls(redis: &RedisServer, files: Arc<TlsFiles>) -> Self {
        Self::launch(redis.port(), "token", Some(files))
    }

    fn launch(redis: u16, token: &str, files: Option<Arc<TlsFiles>>) -> Self {
        let shared = Arc::new(Shared { redis, token: token.to_owned(), state: Mutex::default() });
        let scheme = if files.is_some() { "https" } else { "http" };
        let mut front = Self { shared, port: 0, scheme, files, running: None };
        front.restart();
        front
    }

    /// `http://127.0.0.1:PORT`: what Upstash calls the REST URL.
    #[must_use]
    pub fn rest_url(&self) -> String {
        format!("{}://127.0.0.1:{}", self.scheme, self.port)
    }

    /// The token that it wants.
    #[must_use]
    pub fn token(&self) -> &str {
        &self.shared.token
    }

    /// `upstash+http://TOKEN@127.0.0.1:PORT`.
    #[must_use]
    pub fn url(&self) -> String {
        let token = percent_encoding::utf8_percent_encode(self.token(), percent_encoding::NON_ALPHANUMERIC);
        format!("upstash+{}://{token}@127.0.0.1:{}", self.scheme, self.port)
    }

    /// Does everything wrong from now on, until [`heal`](Self::heal).
    pub fn fail(&self, fault: Fault) {
        self.shared.lock().fault = Some((fault, false));
    }

    /// Does the next thing wrong.
    pub fn fail_once(&self, fault: Fault) {
        self.shared.lock().fault = Some((fault, true));
    }

    /// Does everything right again.
    pub fn heal(&self) {
        self.shared.lock().fault = None;
    }

    /// From now on reads are answered by a replica that has nothing yet, unless they come with the sync token of the last
    /// write.
    pub fn lag(&self) {
        self.shared.lock().lags = true;
    }

    /// The requests with the right token since the last call of this.
    #[must_use]
    pub fn requests(&self) -> Vec<Request> {
        std::mem::take(&mut self.shared.lock().requests)
    }

    /// Goes away; connections break and new ones are refused.
    pub fn stop(&mut self) {
        if let Some((stop, thread)) = self.running.take() {
            // It may have ended by itself.
            let _ = stop.send(());
            let _ = thread.join();
        }
    }

    /// Comes back, on the same port.
    pub fn restart(&mut self) {
        self.stop();
        let listener = StdListener::bind((Ipv4Addr::LOCALHOST, self.port)).expect("the port is free");
        listener.set_nonblocking(true).expect("a listener");
        self.port = listener.local_addr().expect("an address").port();
        let (stop, stopped) = oneshot::channel();
        let router = Router::new().fallback(answer).with_state(Arc::clone(&self.shared));
        let files = self.files.clone();
        let thread = std::thread::spawn(move || {
            let runtime =
                tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
            runtime.block_on(async move {
                let listener = TcpListener::from_std(listener).expect("a listener");
                let serving = async {
                    match files {
                        Some(files) => axum::serve(TlsListener::new(listener, &files), router).await,
                        None => axum::serve(listener, router).await,
                    }
                };
                tokio::select! {
                    _ = serving => {}
                    _ = stopped => {}
                }
            });
            // A Redis that hangs is not waited for.
            runtime.shutdown_background();
        });
        self.running = Some((stop, thread));
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, self.port).into()
    }
}

impl Drop for UpstashFront {
    fn drop(&mut self) {
        self.stop();
    }
}

async fn answer(
    State(shared): State<Arc<Shared>>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    if !matches!(method, Method::HEAD | Method::GET | Method::POST | Method::PUT) {
        return refuse(StatusCode::METHOD_NOT_ALLOWED, "ERR method not allowed");
    }
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    let bearer = text("authorization").and_then(|value| value.strip_prefix("Bearer ")).map(str::to_owned);
    if bearer.or_else(|| command::token_of(&uri)).is_none_or(|token| token != shared.token) {
        return refuse(StatusCode::UNAUTHORIZED, "WRONGPASS invalid or missing auth token");
    }
    let commands = match asked(&method, &uri, &body) {
        Ok(commands) => commands,
        Err(why) => return refuse(StatusCode::BAD_REQUEST, why),
    };
    let (fault, fresh) = note(&shared, &uri, &commands, text(SYNC_TOKEN));
    match &fault {
        Some(Fault::Hang) => std::future::pending().await,
        Some(Fault::Status(code)) => {
            return refuse(StatusCode::from_u16(*code).expect("a status"), "ERR as the test wants it");
        }
        Some(Fault::Redirect(to)) => {
            return (StatusCode::TEMPORARY_REDIRECT, [(header::LOCATION, to.clone())]).into_response();
        }
        _ => {}
    }
    let base64 = text("upstash-encoding").is_some_and(|encoding| encoding.eq_ignore_ascii_case("base64"));
    let (status, said) = perform(shared.redis, commands, base64, fresh).await;
    match fault {
        // Each connection has a task of its own, and this ends it without the noise of a panic.
        Some(Fault::LoseAnswer) => std::panic::resume_unwind(Box::new("the answer is lost")),
        Some(Fault::Answer(instead)) => return (StatusCode::OK, instead).into_response(),
        _ => {}
    }
    let written = shared.lock().written.to_string();
    (status, [(header::CONTENT_TYPE.as_str(), "application/json"), (SYNC_TOKEN, &written)], said.to_string())
        .into_response()
}

/// Keeps what came in; says what is to be done wrong, and whether reads are answered from what is there.
fn note(shared: &Shared, uri: &Uri, commands: &Commands, sync_token: Option<&str>) -> (Option<Fault>, bool) {
    let names = commands.names();
    let mut seen = shared.lock();
    if names.iter().any(|name| !READS.contains(&name.as_str())) {
        seen.written += 1;
    }
    let fresh = !seen.lags || sync_token == Some(seen.written.to_string().as_str());
    let sync_token = sync_token.map(str::to_owned);
    seen.requests.push(Request { path: uri.path().to_owned(), commands: names, sync_token });
    let fault = match seen.fault.clone() {
        Some((fault, once)) => {
            if once {
                seen.fault = None;
            }
            Some(fault)
        }
        None => None,
    };
    (fault, fresh)
}

async fn perform(redis: u16, commands: Commands, base64: bool, fresh: bool) -> (StatusCode, Value) {
    if !fresh && commands.names() == ["GET"] {
        return (StatusCode::OK, json!({ "result": null }));
    }
    let shape = commands.shape;
    let replies = tokio::task::spawn_blocking(move || converse(redis, &commands.in_order())).await;
    let Ok(Ok(replies)) = replies else {
        return (StatusCode::SERVICE_UNAVAILABLE, json!({ "error": "ERR the database is away" }));
    };
    let one = |reply: &Reply| match reply {
        Reply::Error(error) => json!({ "error": error }),
        reply => json!({ "result": encode(reply, base64) }),
    };
    let status = |answer: &Value| {
        if answer.get("error").is_some() { StatusCode::BAD_REQUEST } else { StatusCode::OK }
    };
    let answer = match (shape, replies.as_slice()) {
        (Shape::Single, [reply]) => one(reply),
        (Shape::Transaction, [.., Reply::Array(replies)]) => replies.iter().map(one).collect(),
        // What was refused when it was queued, or the refusal of the whole.
        (Shape::Transaction, replies) => {
            let refused = replies.iter().find(|reply| matches!(reply, Reply::Error(_)));
            one(refused.unwrap_or(&Reply::Error("ERR no transaction".to_owned())))
        }
        (_, replies) => replies.iter().map(one).collect(),
    };
    (status(&answer), answer)
}

fn refuse(status: StatusCode, error: &str) -> Response {
    let said = json!({ "error": error }).to_string();
    (status, [(header::CONTENT_TYPE, "application/json")], said).into_response()
}
