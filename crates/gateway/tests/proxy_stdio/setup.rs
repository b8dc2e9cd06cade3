//! Clients of a stdio server behind a proxy, without a network between.
#![allow(dead_code, unreachable_pub)] // each test file uses its part

use std::path::Path;

use axum::body::{Body, BodyDataStream};
use axum::http::{Request, StatusCode};
use axum::response::Response;
use futures_util::StreamExt;
use http_body_util::BodyExt;
use mcp_login::resource::Caller;
use mcp_login_gateway::proxy::{Launch, ProcessLimits, Proxy, Sharing, StdioOptions, Template};
use serde_json::{Value, json};
use tokio::task::JoinHandle;

use super::proxy_setup::soon;

pub(crate) struct Setup {
    pub(crate) program: &'static str,
    pub(crate) env: Vec<(String, Template)>,
    pub(crate) inherit_env: Vec<&'static str>,
    pub(crate) limits: ProcessLimits,
    pub(crate) sharing: Sharing,
}

impl Setup {
    pub(crate) fn with_env(env: &[(&str, &str)]) -> Self {
        let env = env.iter().map(|(name, text)| ((*name).to_owned(), Template::parse(text).unwrap()));
        let limits = ProcessLimits::default();
        Self {
            program: "python3",
            env: env.collect(),
            inherit_env: Vec::new(),
            limits,
            sharing: Sharing::Session,
        }
    }

    pub(crate) fn start(self) -> Server {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/proxy_stdio/server.py");
        let launch = Launch {
            program: self.program.to_owned(),
            args: vec![script.to_str().unwrap().to_owned(), "$HOME; *".to_owned()],
            env: self.env,
            inherit_env: self.inherit_env.into_iter().map(ToOwned::to_owned).collect(),
        };
        let options =
            StdioOptions { mount: "/mcp".to_owned(), launch, limits: self.limits, sharing: self.sharing };
        Server { proxy: Proxy::stdio(options) }
    }
}

pub(crate) struct Server {
    pub(crate) proxy: Proxy,
}

impl Server {
    pub(crate) fn client(&self, caller: Option<Caller>) -> Client {
        Client {
            proxy: self.proxy.clone(),
            caller,
            session: None,
            pid: Value::Null,
            hello: json!({}),
            headers: Vec::new(),
            path: "/mcp",
            accept: "application/json, text/event-stream",
        }
    }
}

#[derive(Clone)]
pub(crate) struct Client {
    proxy: Proxy,
    pub(crate) caller: Option<Caller>,
    session: Option<String>,
    pub(crate) pid: Value,
    /// The parameters of its `initialize`.
    pub(crate) hello: Value,
    headers: Vec<(&'static str, String)>,
    path: &'static str,
    pub(crate) accept: &'static str,
}

impl Client {
    pub(crate) fn with_session_of(&self, other: &Self) -> Self {
        Self { session: other.session.clone(), ..self.clone() }
    }

    pub(crate) fn with_header(&self, name: &'static str, value: &str) -> Self {
        let mut client = self.clone();
        client.headers.push((name, value.to_owned()));
        client
    }

    /// A request of MCP 2026-07-28, without a session.
    pub(crate) async fn modern(&self, id: Value, method: &str, mut params: Value) -> Response {
        params["_meta"] = json!({ "io.modelcontextprotocol/protocolVersion": "2026-07-28" });
        let client = self.with_header("mcp-protocol-version", "2026-07-28").with_header("mcp-method", method);
        client.send("POST", &message(&id, method, &params)).await
    }

    pub(crate) fn at(&self, path: &'static str) -> Self {
        Self { path, ..self.clone() }
    }

    pub(crate) async fn send(&self, method: &str, body: &str) -> Response {
        self.send_body(method, Body::from(body.to_owned())).await
    }

    pub(crate) async fn send_body(&self, method: &str, body: Body) -> Response {
        soon("an answer", self.pass(method, body)).await
    }

    async fn pass(&self, method: &str, body: Body) -> Response {
        let mut request = Request::builder().method(method).uri(self.path);
        request = request.header("accept", self.accept);
        if let Some(session) = &self.session {
            request = request.header("mcp-session-id", session);
        }
        for (name, value) in &self.headers {
            request = request.header(*name, value);
        }
        let mut request = request.body(body).unwrap();
        if let Some(caller) = &self.caller {
            request.extensions_mut().insert(caller.clone());
        }
        self.proxy.pass(request).await
    }

    pub(crate) async fn send_initialize(&self) -> Response {
        let client = Self { session: None, ..self.clone() };
        client.send("POST", &message(&json!(0), "initialize", &self.hello)).await
    }

    /// Opens a session, and gives what the server says of itself.
    pub(crate) async fn initialize(&mut self) -> Value {
        self.session = None;
        let answer = self.send_initialize().await;
        assert_eq!(answer.status(), StatusCode::OK);
        self.session = Some(answer.headers()["mcp-session-id"].to_str().unwrap().to_owned());
        self.tell(r#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#).await;
        let result = json(answer).await["result"].clone();
        self.pid = result["pid"].clone();
        result
    }

    pub(crate) async fn request(&mut self, method: &str, params: Value) -> Response {
        self.send("POST", &message(&json!(1), method, &params)).await
    }

    /// A notification, or an answer to the server.
    pub(crate) async fn tell(&self, message: &str) {
        assert_eq!(self.send("POST", message).await.status(), StatusCode::ACCEPTED);
    }

    /// The result of a request that is answered in JSON.
    pub(crate) async fn call(&self, id: Value, method: &str, params: Value) -> Value {
        let answer = self.send("POST", &message(&id, method, &params)).await;
        assert_eq!(answer.status(), StatusCode::OK);
        let mut answer = json(answer).await;
        assert_eq!(answer["id"], id, "{answer}");
        answer["result"].take()
    }

    /// A request to which the server says something else before its answer.
    pub(crate) async fn begin(&self, id: Value, method: &str, params: Value) -> Events {
        Events::of(self.send("POST", &message(&id, method, &params)).await)
    }

    pub(crate) async fn listen(&self) -> Events {
        Events::of(self.send("GET", "").await)
    }

    /// Comes back to a stream after this event.
    pub(crate) async fn resume(&self, last: &str) -> Response {
        self.with_header("last-event-id", last).send("GET", "").await
    }

    pub(crate) async fn delete(&self) -> Response {
        self.send("DELETE", "").await
    }

    /// A request whose answer is not waited for yet, but asked by the time that something else is answered.
    pub(crate) fn later(&self, method: &str) -> JoinHandle<Response> {
        self.later_with(&json!("later"), method, &json!({}))
    }

    pub(crate) fn later_with(&self, id: &Value, method: &str, params: &Value) -> JoinHandle<Response> {
        let (client, message) = (self.clone(), message(id, method, params));
        tokio::spawn(async move { client.pass("POST", Body::from(message)).await })
    }
}

fn message(id: &Value, method: &str, params: &Value) -> String {
    json!({ "jsonrpc": "2.0", "id": id, "method": method, "params": params }).to_string()
}

pub(crate) async fn json(answer: Response) -> Value {
    assert_eq!(answer.headers()["content-type"], "application/json");
    let body = soon("a body", answer.into_body().collect()).await.unwrap().to_bytes();
    serde_json::from_slice(&body).unwrap()
}

/// A stream of events.
pub(crate) struct Events {
    body: BodyDataStream,
    seen: String,
    /// The id of the last event.
    pub(crate) id: Option<String>,
}

impl Events {
    pub(crate) fn of(answer: Response) -> Self {
        assert_eq!(answer.status(), StatusCode::OK);
        assert_eq!(answer.headers()["content-type"], "text/event-stream");
        Self { body: answer.into_body().into_data_stream(), seen: String::new(), id: None }
    }

    /// The next message; `None` at the end.
    pub(crate) async fn next(&mut self) -> Option<Value> {
        loop {
            if let Some(end) = self.seen.find("\n\n") {
                let event: String = self.seen.drain(..end + 2).collect();
                if let Some(id) = event.lines().find_map(|line| line.strip_prefix("id: ")) {
                    self.id = Some(id.to_owned());
                }
                if let Some(data) =
                    event.lines().find_map(|line| line.strip_prefix("data: ").filter(|data| !data.is_empty()))
                {
                    return Some(serde_json::from_str(data).unwrap());
                }
                continue;
            }
            let part = soon("an event", self.body.next()).await?.unwrap();
            self.seen.push_str(std::str::from_utf8(&part).unwrap());
        }
    }
}

/// Whether there is a process of this id that has not ended. One that has, and that nobody has asked for its end yet, has.
pub(crate) fn is_alive(pid: &Value) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat"));
    stat.is_ok_and(|stat| !stat.rsplit(')').next().unwrap().starts_with(" Z"))
}

pub(crate) async fn gone(pid: &Value) {
    soon("the end of a process", async {
        while is_alive(pid) {
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
    })
    .await;
}
