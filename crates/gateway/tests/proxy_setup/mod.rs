//! A proxy between a client and a backend that the tests play themselves, byte by byte.
#![allow(dead_code, unreachable_pub)] // each test file uses its part

pub mod lines;

use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::http::{HeaderName, HeaderValue};
use mcp_login::core::Secret;
use mcp_login::core::scope::Scopes;
use mcp_login::resource::{Assertions, Caller, CallerIdentity, UpstreamTokenError, UpstreamTokenSource};
use mcp_login_gateway::proxy::{
    AtOnce, BackendClient, HealthChecks, Proxy, ProxyOptions, Template, Timeouts,
};
use mcp_login_gateway::serve::{Limits, serve};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio_util::sync::CancellationToken;

/// No test waits longer for anything.
const PATIENCE: Duration = Duration::from_secs(10);

pub async fn soon<T>(what: &str, future: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, future).await.unwrap_or_else(|_| panic!("{what} did not happen"))
}

/// The MCP server, whose connections the test answers by hand.
pub struct Backend {
    /// Nobody else gets its port while it does not listen.
    _port: TcpSocket,
    listener: Option<TcpListener>,
    pub port: u16,
}

fn bind(port: u16) -> TcpSocket {
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_reuseaddr(true).unwrap();
    socket.bind(SocketAddr::from(([127, 0, 0, 1], port))).unwrap();
    socket
}

impl Backend {
    #[allow(clippy::unused_async)] // a listener needs a runtime
    pub async fn start() -> Self {
        let mut backend = Self::away();
        backend.come();
        backend
    }

    /// One that refuses connections.
    pub fn away() -> Self {
        let socket = bind(0);
        let port = socket.local_addr().unwrap().port();
        Self { _port: socket, listener: None, port }
    }

    pub fn go(&mut self) {
        self.listener = None;
    }

    pub fn come(&mut self) {
        self.listener = Some(bind(self.port).listen(64).unwrap());
    }

    pub async fn accept(&self) -> Wire {
        let listener = self.listener.as_ref().unwrap();
        Wire::new(soon("a connection to the backend", listener.accept()).await.unwrap().0)
    }

    /// Whether nobody has connected. Only right after something that would have come later.
    pub async fn is_alone(&self) -> bool {
        let listener = self.listener.as_ref().unwrap();
        std::future::poll_fn(|cx| std::task::Poll::Ready(listener.poll_accept(cx).is_pending())).await
    }

    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}/base", self.port)
    }
}

/// One side of a connection, in text.
pub struct Wire {
    stream: TcpStream,
    seen: String,
}

impl Wire {
    fn new(stream: TcpStream) -> Self {
        Self { stream, seen: String::new() }
    }

    pub async fn send(&mut self, text: &str) {
        self.stream.write_all(text.as_bytes()).await.unwrap();
    }

    /// The same text again and again, until the other side takes no more of it and is gone.
    pub async fn flood(mut self, text: &str) {
        soon("the end of a flood", async { while self.stream.write_all(text.as_bytes()).await.is_ok() {} })
            .await;
    }

    /// Everything up to and with `end`.
    pub async fn until(&mut self, end: &str) -> String {
        while !self.seen.contains(end) {
            assert!(self.more().await, "the connection ended before {end:?}, after:\n{}", self.seen);
        }
        let at = self.seen.find(end).unwrap() + end.len();
        let rest = self.seen.split_off(at);
        std::mem::replace(&mut self.seen, rest)
    }

    /// The head of a request or an answer, names in lower case as hyper writes them.
    pub async fn head(&mut self) -> String {
        self.until("\r\n\r\n").await
    }

    /// Everything to the end of the connection.
    pub async fn rest(&mut self) -> String {
        while self.more().await {}
        std::mem::take(&mut self.seen)
    }

    /// Waits until the other side is gone.
    pub async fn gone(mut self) {
        self.rest().await;
    }

    async fn more(&mut self) -> bool {
        let mut buffer = [0; 4096];
        // A reset is an end, too.
        let length = soon("something on the wire", self.stream.read(&mut buffer)).await.unwrap_or(0);
        self.seen.push_str(&String::from_utf8_lossy(&buffer[..length]));
        length > 0
    }
}

/// A gateway with one proxy at `/mcp`.
pub struct Gateway {
    address: SocketAddr,
    _end: tokio_util::sync::DropGuard,
}

pub struct Setup {
    pub backends: Vec<String>,
    pub health: Option<HealthChecks>,
    pub at_once: AtOnce,
    pub caller: Option<Caller>,
    pub headers: Vec<(&'static str, &'static str)>,
    pub max_body: u64,
    pub timeouts: Timeouts,
    pub assertion: Option<(Assertions, String)>,
    /// Whether the backend is a server of HTTP+SSE.
    pub sse: bool,
    pub limits: Limits,
}

impl Setup {
    pub fn to(backend: &Backend) -> Self {
        Self::to_all(&[backend])
    }

    /// To each in turn.
    pub fn to_all(backends: &[&Backend]) -> Self {
        Self {
            backends: backends.iter().map(|backend| backend.url()).collect(),
            health: None,
            at_once: AtOnce::default(),
            caller: None,
            headers: Vec::new(),
            max_body: 1024,
            timeouts: Timeouts::default(),
            assertion: None,
            sse: false,
            limits: Limits::default(),
        }
    }

    pub async fn start(self) -> Gateway {
        self.start_with(|router| router).await
    }

    pub async fn start_with(self, layer: impl FnOnce(Router) -> Router) -> Gateway {
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let headers = self.headers.iter().map(|(name, template)| {
            (HeaderName::try_from(*name).unwrap(), Template::parse(template).unwrap())
        });
        let options = ProxyOptions {
            mount: "/mcp".to_owned(),
            backends: self.backends.iter().map(|url| url.parse().unwrap()).collect(),
            health: self.health,
            public_scheme: "https",
            public_host: HeaderValue::from_static("mcp.example.com"),
            headers: headers.collect(),
            max_body: self.max_body,
            assertion: self.assertion,
        };
        let client = BackendClient::new(self.timeouts).unwrap();
        let proxy = if self.sse { Proxy::sse(options, client) } else { Proxy::new(options, client) };
        let mut router: Router = proxy.at_once(self.at_once).into_router();
        if let Some(caller) = self.caller {
            router = router.layer(axum::Extension(caller));
        }
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let shutdown = CancellationToken::new();
        tokio::spawn(serve(listener, layer(router), shutdown.clone(), self.limits));
        Gateway { address, _end: shutdown.drop_guard() }
    }
}

impl Gateway {
    pub async fn connect(&self) -> Wire {
        Wire::new(TcpStream::connect(self.address).await.unwrap())
    }

    /// Sends a request, given without its last empty line.
    pub async fn ask(&self, head: &str) -> Wire {
        let mut wire = self.connect().await;
        let head = head.trim().replace('\n', "\r\n");
        wire.send(&format!("{head}\r\n\r\n")).await;
        wire
    }

    /// A GET of `/mcp` with these header lines.
    pub async fn get(&self, headers: &str) -> Wire {
        self.ask(&format!("GET /mcp HTTP/1.1\nHost: client.example\n{headers}")).await
    }
}

/// The token, and what comes after it was refused.
struct Tokens([Result<&'static str, UpstreamTokenError>; 2]);

// What `#[async_trait]` writes; the macro is no dependency of this crate.
impl UpstreamTokenSource for Tokens {
    fn upstream_token<'s, 'f>(
        &'s self,
    ) -> Pin<Box<dyn Future<Output = Result<Secret, UpstreamTokenError>> + Send + 'f>>
    where
        's: 'f,
        Self: 'f,
    {
        Box::pin(async { self.0[0].clone().map(Secret::from) })
    }

    fn upstream_token_after<'s, 'r, 'f>(
        &'s self,
        _: &'r Secret,
    ) -> Pin<Box<dyn Future<Output = Result<Secret, UpstreamTokenError>> + Send + 'f>>
    where
        's: 'f,
        'r: 'f,
        Self: 'f,
    {
        Box::pin(async { self.0[1].clone().map(Secret::from) })
    }
}

/// Zoë, whose upstream token is this.
pub fn caller(token: Result<&'static str, UpstreamTokenError>) -> Caller {
    caller_named("user-1", token)
}

/// Zoë under another identifier.
pub fn caller_named(subject: &str, token: Result<&'static str, UpstreamTokenError>) -> Caller {
    caller_with(subject, [token.clone(), token])
}

/// Zoë, whose upstream token `t0k` was refused.
pub fn caller_after(refusal: Result<&'static str, UpstreamTokenError>) -> Caller {
    caller_with("user-1", [Ok("t0k"), refusal])
}

fn caller_with(subject: &str, tokens: [Result<&'static str, UpstreamTokenError>; 2]) -> Caller {
    let identity = CallerIdentity {
        subject: subject.to_owned(),
        email: Some("zoe@example.com".to_owned()),
        name: Some("Zoë".to_owned()),
        preferred_username: Some("zoë".to_owned()),
        client_id: "client-1".to_owned(),
        scopes: Scopes::parse("mcp x").unwrap(),
        ..CallerIdentity::default()
    };
    Caller::new(identity, Arc::new(Tokens(tokens)))
}

/// The values of a header in a head.
pub fn values<'h>(head: &'h str, name: &str) -> Vec<&'h str> {
    head.lines()
        .filter_map(|line| line.split_once(':'))
        .filter(|(key, _)| key.eq_ignore_ascii_case(name))
        .map(|(_, value)| value.trim())
        .collect()
}
