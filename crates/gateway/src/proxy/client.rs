//! The HTTP client towards backends: HTTP/1.1, with or without TLS.

use std::error::Error;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use anyhow::Context as _;
use axum::BoxError;
use axum::http::{Request, Response, Uri};
use hyper::body::Incoming;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use tokio::time::Instant;

use super::body::{Bounds, Upload};
use super::error::{Failure, ProxyError};
use super::lent::Lent;
use crate::descriptors::have_run_out;

/// Node closes idle connections after 5 s: ours are gone before, so that no request meets a closing one.
const POOL_IDLE: Duration = Duration::from_secs(4);
const MAX_IDLE_PER_HOST: usize = 256;

/// How long a backend may take. There is no bound for a whole answer: event streams stay open for hours.
#[derive(Debug, Clone, Copy)]
pub struct Timeouts {
    /// Until the connection stands, TLS included.
    pub connect: Duration,
    /// From the last of the request's body until the head of the answer.
    pub response: Duration,
    /// From the head of a stream of HTTP+SSE until its first event: servers send it at once.
    pub first_event: Duration,
    /// Until the client sends more of the request's body.
    pub body_idle: Duration,
    /// Until the client has sent all of it.
    pub body: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(5),
            response: Duration::from_secs(300),
            first_event: Duration::from_secs(30),
            body_idle: Duration::from_secs(30),
            body: Duration::from_secs(600),
        }
    }
}

/// Connections to backends, shared by every proxy. Cheap to clone.
#[derive(Debug, Clone)]
pub struct BackendClient {
    client: Client<Within<HttpsConnector<HttpConnector>>, Lent>,
    timeouts: Timeouts,
}

impl BackendClient {
    /// A client that trusts what the operating system trusts. It needs the process's crypto provider.
    pub fn new(timeouts: Timeouts) -> anyhow::Result<Self> {
        let mut http = HttpConnector::new();
        http.enforce_http(false);
        http.set_nodelay(true);
        http.set_connect_timeout(Some(timeouts.connect));
        http.set_keepalive(Some(Duration::from_secs(60)));
        let https = HttpsConnectorBuilder::new()
            .try_with_platform_verifier()
            .context("the certificates that this system trusts cannot be read")?
            .https_or_http()
            .enable_http1()
            .wrap_connector(http);
        // A request that met a closing connection before a byte of it was sent is sent again on another one: that is this
        // client's own rule. What goes to another backend is decided elsewhere.
        let client = Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(POOL_IDLE)
            .pool_max_idle_per_host(MAX_IDLE_PER_HOST)
            .build(Within { inner: https, limit: timeouts.connect });
        Ok(Self { client, timeouts })
    }

    /// The bounds of a request's body, whose length may be this.
    pub(super) const fn bounds(&self, length: u64) -> Bounds {
        Bounds { length, idle: self.timeouts.body_idle, whole: self.timeouts.body }
    }

    /// How long the first event of a stream is waited for.
    pub(super) const fn first_event(&self) -> Duration {
        self.timeouts.first_event
    }

    /// How long a connection may take to stand.
    pub(super) const fn connect_timeout(&self) -> Duration {
        self.timeouts.connect
    }

    /// Comes back when the backend has had its time. A body that does not arrive is not its fault, and neither is what others
    /// took before it.
    async fn too_late(&self, upload: &Upload) {
        let limit = self.timeouts.connect + self.timeouts.response;
        let begin = Instant::now();
        loop {
            let now = Instant::now();
            let end = upload.backends_turn().unwrap_or(now).max(begin) + limit;
            if end <= now {
                return;
            }
            tokio::time::sleep_until(end).await;
        }
    }

    /// The answer, once its head is there. Dropping the future or the answer's body closes the connection.
    pub(super) async fn send(
        &self,
        request: Request<Lent>,
        upload: &Upload,
    ) -> Result<Response<Incoming>, Failure> {
        let answered = tokio::select! {
            answered = self.client.request(request) => answered,
            () = self.too_late(upload) => return Err(ProxyError::ResponseTimeout.into()),
        };
        answered.map_err(|error| {
            let timed_out = chain(&error).any(is_timeout);
            // The body came from the client, so it is the client's fault when it fails.
            if chain(&error).any(|cause| cause.downcast_ref().is_some_and(hyper::Error::is_user)) {
                return ProxyError::BodyBroken.into();
            }
            let cause = chain(&error).map(ToString::to_string).collect::<Vec<_>>().join(": ");
            // The backend knows nothing of it.
            if chain(&error).any(is_of_descriptors) {
                return Failure { error: ProxyError::Busy, cause: Some(cause) };
            }
            let error = match (error.is_connect(), timed_out) {
                (true, true) => ProxyError::ConnectTimeout,
                (true, false) => ProxyError::BackendUnreachable,
                _ => ProxyError::BackendBroke,
            };
            Failure { error, cause: Some(cause) }
        })
    }

    /// Whether a GET is answered with 2xx in time. The error says what came instead. `None` where the gateway could not ask.
    pub(super) async fn check(&self, asked: Uri, limit: Duration) -> Option<Result<(), String>> {
        let mut request = Request::new(Lent::empty());
        *request.uri_mut() = asked;
        Some(match tokio::time::timeout(limit, self.client.request(request)).await {
            Ok(Err(error)) if chain(&error).any(is_of_descriptors) => return None,
            Ok(Ok(answer)) if answer.status().is_success() => Ok(()),
            Ok(Ok(answer)) => Err(format!("answered {}", answer.status().as_u16())),
            Ok(Err(error)) => Err(chain(&error).map(ToString::to_string).collect::<Vec<_>>().join(": ")),
            Err(_) => Err("did not answer in time".to_owned()),
        })
    }
}

fn chain<'e>(error: &'e (dyn Error + 'static)) -> impl Iterator<Item = &'e (dyn Error + 'static)> {
    std::iter::successors(Some(error), |error: &&'e (dyn Error + 'static)| (*error).source())
}

fn is_timeout(error: &(dyn Error + 'static)) -> bool {
    error.is::<ConnectTimedOut>()
        || error
            .downcast_ref::<std::io::Error>()
            .is_some_and(|error| error.kind() == std::io::ErrorKind::TimedOut)
}

/// Whether it is the gateway that has no file descriptor left.
fn is_of_descriptors(error: &(dyn Error + 'static)) -> bool {
    error.downcast_ref().is_some_and(have_run_out)
}

#[derive(Debug, thiserror::Error)]
#[error("the connection did not stand in time")]
struct ConnectTimedOut;

/// A connector with a bound for all of it: the TCP connector's own bound does not cover TLS.
#[derive(Debug, Clone)]
struct Within<C> {
    inner: C,
    limit: Duration,
}

impl<C> tower::Service<Uri> for Within<C>
where
    C: tower::Service<Uri, Error = BoxError>,
    C::Future: Send + 'static,
{
    type Response = C::Response;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<C::Response, BoxError>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        let connecting = tokio::time::timeout(self.limit, self.inner.call(uri));
        Box::pin(async move { connecting.await.unwrap_or_else(|_| Err(Box::new(ConnectTimedOut))) })
    }
}
