//! The way from a protected path to the MCP server behind it: bytes are passed on as they come, in both directions, and
//! only headers are changed; or, for a program that speaks on its standard input and output, messages. Who may pass is not decided here: a layer in front puts the [`Caller`] into the request.
//!
//! [`Caller`]: mcp_login::resource::Caller

mod affinity;
mod backends;
mod body;
mod client;
mod error;
mod forward;
mod headers;
mod health;
mod lent;
mod places;
mod sse;
mod stdio;
mod target;
mod template;

use std::convert::Infallible;
use std::hash::{BuildHasher, RandomState};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Instant;

use axum::Router;
use axum::body::Body;
use axum::http::{Extensions, HeaderName, HeaderValue, Request};
use axum::response::{IntoResponse, Response};
use mcp_login::resource::{Assertions, Caller, MaybeCaller};
use url::Url;

pub use backends::MAX_BACKENDS;
pub use client::{BackendClient, Timeouts};
pub use error::ProxyError;
pub use headers::{check_configured_name, same_name};
pub use health::HealthChecks;
pub use places::AtOnce;
pub use sse::SESSION_QUERY;
pub use stdio::{Launch, Limits as ProcessLimits, Sharing, StdioOptions};
pub use template::{Template, Values};

use error::Failure;
use forward::Forward;
use places::{InPlace, Places};
use sse::Sse;
use stdio::Stdio;

/// The largest request body unless set otherwise: 32 MiB.
pub const DEFAULT_MAX_BODY: u64 = 32 * 1024 * 1024;

/// What one proxy passes where.
#[derive(Debug, Clone)]
pub struct ProxyOptions {
    /// The path under which requests arrive, as the request line has it.
    pub mount: String,
    /// Where they go, in turns: http or https, without userinfo, query and fragment. At least one, [`MAX_BACKENDS`] at most.
    pub backends: Vec<Url>,
    /// How those are asked whether they are well; `None` for not at all.
    pub health: Option<HealthChecks>,
    /// `http` or `https`: what `X-Forwarded-Proto` says.
    pub public_scheme: &'static str,
    /// What `X-Forwarded-Host` says.
    pub public_host: HeaderValue,
    /// Headers to add; what a client sends under these names is dropped.
    pub headers: Vec<(HeaderName, Template)>,
    /// The largest request body, in bytes.
    pub max_body: u64,
    /// Who signs the assertions that the backend gets, and for whom they are; `None` where it gets none.
    pub assertion: Option<(Assertions, String)>,
}

/// What one request is called in the logs, the backend's and the client's. A layer in front may put one into the request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RequestId(HeaderValue);

impl RequestId {
    /// A new one: 32 hexadecimal digits. Not a secret, and not to be guessed from the last one either.
    #[must_use]
    pub fn new() -> Self {
        let half = || RandomState::new().hash_one(Instant::now());
        let id = format!("{:016x}{:016x}", half(), half());
        Self(HeaderValue::try_from(id).unwrap_or(HeaderValue::from_static("none")))
    }

    /// The digits.
    #[must_use]
    pub fn as_str(&self) -> &str {
        self.0.to_str().unwrap_or_default()
    }
}

impl Default for RequestId {
    fn default() -> Self {
        Self::new()
    }
}

/// One protected path's way to its backend: a service that never fails, errors are answers. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Proxy {
    backend: Backend,
    mount: Arc<str>,
    places: Arc<Places>,
}

/// What answers behind a mount.
#[derive(Debug, Clone)]
enum Backend {
    /// A server at an address.
    Http(Arc<Forward>),
    /// A server of the HTTP+SSE transport.
    Sse(Arc<Sse>),
    /// Processes of our own.
    Stdio(Arc<Stdio>),
}

impl Backend {
    async fn pass(&self, request: Request<Body>, id: &RequestId) -> Result<Response, Failure> {
        match self {
            Self::Http(forward) => forward.pass(request, id).await,
            Self::Sse(sse) => sse.pass(request, id).await,
            Self::Stdio(stdio) => stdio.pass(request).await,
        }
    }

    /// For the log.
    fn name(&self) -> &str {
        match self {
            Self::Http(forward) => forward.name(),
            Self::Sse(sse) => sse.name(),
            Self::Stdio(stdio) => stdio.program(),
        }
    }
}

impl Proxy {
    /// A proxy. Where backends are to be asked whether they are well, that begins here, on the runtime that this is called in.
    #[must_use]
    pub fn new(options: ProxyOptions, client: BackendClient) -> Self {
        let mount = options.mount.as_str().into();
        Self::before(Backend::Http(Arc::new(Forward::new(options, client))), mount)
    }

    fn before(backend: Backend, mount: Arc<str>) -> Self {
        Self { backend, mount, places: Arc::new(Places::new(AtOnce::default())) }
    }

    /// How many requests there may be at once.
    #[must_use]
    pub fn at_once(mut self, bounds: AtOnce) -> Self {
        self.places = Arc::new(Places::new(bounds));
        self
    }

    /// The way to a server of the HTTP+SSE transport (MCP 2024-11-05): the first of `backends` is the address of its stream. The protection
    /// in front has to open sessions that [`SESSION_QUERY`] names.
    #[must_use]
    pub fn sse(options: ProxyOptions, client: BackendClient) -> Self {
        let mount = options.mount.as_str().into();
        Self::before(Backend::Sse(Arc::new(Sse::new(options, client))), mount)
    }

    /// The way to a program that speaks MCP on its standard input and output.
    #[must_use]
    pub fn stdio(options: StdioOptions) -> Self {
        let mount = options.mount.as_str().into();
        Self::before(Backend::Stdio(Arc::new(Stdio::new(options))), mount)
    }

    /// Ends the streams of its processes that stay open by themselves, and opens no more of them: the gateway is about to end,
    /// and these would only hold it up. What was asked is still answered.
    pub fn end_streams(&self) {
        if let Backend::Stdio(stdio) = &self.backend {
            stdio.end_streams();
        }
    }

    /// Ends the processes that this proxy has started, and starts no more.
    pub async fn end(&self) {
        if let Backend::Stdio(stdio) = &self.backend {
            stdio.end().await;
        }
    }

    /// A router that answers the mount and everything under it. Layers of protection go on top.
    pub fn into_router<S: Clone + Send + Sync + 'static>(self) -> Router<S> {
        let mount = self.mount.clone();
        Router::new()
            .route_service(&mount, self.clone())
            .route_service(&format!("{mount}/"), self.clone())
            .route_service(&format!("{mount}/{{*rest}}"), self)
    }

    async fn pass_in_place(&self, request: Request<Body>, id: &RequestId) -> Result<Response, Failure> {
        let place = self.places.take(caller_of(request.extensions()).map(Caller::subject))?;
        let answer = self.backend.pass(request, id).await?;
        Ok(answer.map(|inner| Body::new(InPlace { _place: place, inner })))
    }

    /// Passes one request on and gives the answer, whose body still comes in.
    pub async fn pass(&self, request: Request<Body>) -> Response {
        let id = request.extensions().get::<RequestId>().cloned().unwrap_or_default();
        let method = request.method().clone();
        let begin = Instant::now();
        let result = self.pass_in_place(request, &id).await;
        let milliseconds = u64::try_from(begin.elapsed().as_millis()).unwrap_or(u64::MAX);
        let (request_id, mcp) = (id.as_str(), &*self.mount);
        let mut response = match result {
            Ok(response) => {
                let status = response.status().as_u16();
                tracing::debug!(request_id, mcp, %method, status, milliseconds, "passed on");
                response
            }
            Err(Failure { error, cause }) => {
                let (status, backend) = (error.status(), self.backend.name());
                if error.is_operators() {
                    tracing::warn!(request_id, mcp, backend, %method, status = status.as_u16(), milliseconds, cause, "{error}");
                } else {
                    tracing::debug!(request_id, mcp, %method, status = status.as_u16(), milliseconds, "{error}");
                }
                error.into_response()
            }
        };
        response.headers_mut().insert(headers::X_REQUEST_ID, id.0);
        response
    }
}

/// Whose request it is; `None` for nobody's in particular.
fn caller_of(extensions: &Extensions) -> Option<&Caller> {
    let of_anybody = || extensions.get::<MaybeCaller>().and_then(|caller| caller.0.as_ref());
    extensions.get::<Caller>().or_else(of_anybody)
}

impl tower::Service<Request<Body>> for Proxy {
    type Response = Response;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let proxy = self.clone();
        Box::pin(async move { Ok(proxy.pass(request).await) })
    }
}
