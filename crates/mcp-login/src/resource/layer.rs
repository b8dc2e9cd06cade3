//! The layer before an MCP server: a request comes through with its [`Caller`], or as something that anybody may do.

use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::Body;
use axum::http::header::{ALLOW, AUTHORIZATION, CONTENT_ENCODING, CONTENT_TYPE};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, Request, StatusCode};
use axum::response::{IntoResponse, Response};
use http_body_util::{BodyExt, Limited};
use mcp_login_core::bearer::Authorization;
use mcp_login_core::mcp::{MAX_PUBLIC_BODY, PublicMethods};
use tower::{Layer, Service};
use tower_http::cors::{Any, Cors, CorsLayer};

use super::caller::{Caller, MaybeCaller};
use super::challenge::{Challenge, unavailable};
use super::verify::{Verifier, VerifyError};
use crate::telemetry::log_failure;

/// How long the body of an anonymous request is waited for.
const BODY_TIMEOUT: Duration = Duration::from_secs(10);

/// Put into the extensions of a response by whoever finds out, behind the layer, that a user is needed, or has to sign in
/// again ([`UpstreamTokenError::LoginNeeded`](super::UpstreamTokenError::LoginNeeded)): the layer answers with a challenge.
#[derive(Debug, Clone, Copy)]
pub struct LoginNeeded;

/// What one MCP server asks of a request.
#[derive(Debug)]
pub(crate) struct Protection {
    pub(crate) verifier: Arc<Verifier>,
    /// The exact URL of the server: the audience of its tokens.
    pub(crate) resource: String,
    pub(crate) challenge: Challenge,
    /// What anybody may do; `None` where every request needs a user.
    pub(crate) public: Option<PublicMethods>,
}

/// Protects an MCP server; made by [`AuthServer::protect`](crate::AuthServer::protect).
#[derive(Debug, Clone)]
pub struct ProtectLayer {
    protection: Arc<Protection>,
    cors: CorsLayer,
}

impl ProtectLayer {
    pub(crate) fn new(protection: Arc<Protection>) -> Self {
        Self { protection, cors: cors() }
    }
}

/// Programs in browsers may call MCP servers and everything they log in with; cookies are never among what they send.
pub(crate) fn cors() -> CorsLayer {
    let named =
        |names: &[&'static str]| names.iter().map(|name| HeaderName::from_static(name)).collect::<Vec<_>>();
    CorsLayer::new()
        .allow_origin(Any)
        .allow_methods([Method::GET, Method::POST, Method::DELETE, Method::OPTIONS])
        .allow_headers(named(&[
            "authorization",
            "content-type",
            "accept",
            "mcp-protocol-version",
            "mcp-session-id",
            "mcp-method",
            "mcp-name",
            "last-event-id",
        ]))
        .expose_headers(named(&["www-authenticate", "mcp-session-id", "retry-after"]))
        .max_age(Duration::from_secs(600))
}

impl<S> Layer<S> for ProtectLayer {
    type Service = Cors<Protect<S>>;

    fn layer(&self, inner: S) -> Self::Service {
        self.cors.layer(Protect { protection: Arc::clone(&self.protection), inner })
    }
}

/// A protected service.
#[derive(Debug, Clone)]
pub struct Protect<S> {
    protection: Arc<Protection>,
    inner: S,
}

impl<S> Service<Request<Body>> for Protect<S>
where
    S: Service<Request<Body>, Error = Infallible> + Clone + Send + 'static,
    S::Response: IntoResponse,
    S::Future: Send,
{
    type Response = Response;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response, Infallible>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let clone = self.inner.clone();
        let mut inner = std::mem::replace(&mut self.inner, clone);
        let protection = Arc::clone(&self.protection);
        Box::pin(async move {
            let request = match protection.admit(request).await {
                Ok(request) => request,
                Err(refusal) => return Ok(refusal),
            };
            let anonymous = request.extensions().get::<Caller>().is_none();
            let response = inner.call(request).await?.into_response();
            Ok(match response.extensions().get::<LoginNeeded>() {
                None => response,
                Some(LoginNeeded) if anonymous => protection.challenge.login_needed(),
                Some(LoginNeeded) => protection.challenge.invalid_token(),
            })
        })
    }
}

impl Protection {
    /// The request with its caller, or the refusal.
    async fn admit(&self, mut request: Request<Body>) -> Result<Request<Body>, Response> {
        // Whatever a layer in front has put there: only what is verified here counts.
        request.extensions_mut().remove::<Caller>();
        request.extensions_mut().remove::<MaybeCaller>();
        let values: Vec<Vec<u8>> =
            request.headers().get_all(AUTHORIZATION).iter().map(|value| value.as_bytes().to_vec()).collect();
        let token = match Authorization::parse(values.iter().map(Vec::as_slice)) {
            Authorization::Bearer(token) => token,
            // A bad token is never taken for none: the client believes that somebody is logged in.
            Authorization::Unusable => return Err(self.challenge.invalid_token()),
            Authorization::Absent => return self.admit_anonymous(request).await,
        };
        match self.verifier.verify(token, &self.resource, &self.challenge.scopes).await {
            Ok(caller) => {
                request.extensions_mut().insert(MaybeCaller(Some(caller.clone())));
                request.extensions_mut().insert(caller);
                Ok(request)
            }
            Err(VerifyError::Invalid) => Err(self.challenge.invalid_token()),
            Err(VerifyError::InsufficientScope) => Err(self.challenge.insufficient_scope()),
            Err(VerifyError::Store(error)) => {
                log_failure(&error);
                Err(unavailable())
            }
        }
    }

    /// A request without a token: through if it is something that anybody may do.
    async fn admit_anonymous(&self, request: Request<Body>) -> Result<Request<Body>, Response> {
        let Some(public) = &self.public else { return Err(self.challenge.login_needed()) };
        match *request.method() {
            Method::POST => {}
            // Clients take 401 on the stream for a reason to log in at once.
            Method::GET | Method::HEAD => {
                return Err((StatusCode::METHOD_NOT_ALLOWED, [(ALLOW, "POST")]).into_response());
            }
            _ => return Err(self.challenge.login_needed()),
        }
        if !is_plain_json(request.headers()) {
            return Err(self.challenge.login_needed());
        }
        let (parts, body) = request.into_parts();
        let body = Limited::new(body, MAX_PUBLIC_BODY).collect();
        let body = match tokio::time::timeout(BODY_TIMEOUT, body).await {
            Ok(Ok(body)) => body.to_bytes(),
            Ok(Err(_)) => return Err(self.challenge.login_needed()),
            Err(_) => return Err(StatusCode::REQUEST_TIMEOUT.into_response()),
        };
        if !public.is_public(&body) {
            return Err(self.challenge.login_needed());
        }
        let mut request = Request::from_parts(parts, Body::from(body));
        request.extensions_mut().insert(MaybeCaller(None));
        Ok(request)
    }
}

/// Whether the body is what it looks like: JSON in UTF-8, not compressed. A backend might decode anything else into
/// another message than the one that was read here.
fn is_plain_json(headers: &HeaderMap) -> bool {
    let only = |name: HeaderName| {
        let mut values = headers.get_all(name).iter();
        (values.next(), values.next())
    };
    let (content_type, second) = only(CONTENT_TYPE);
    let content_type = content_type.and_then(|value: &HeaderValue| value.to_str().ok()).unwrap_or_default();
    let mut parts = content_type.split(';').map(|part| part.trim().to_ascii_lowercase());
    let is_json = parts.next().as_deref() == Some("application/json");
    let in_utf8 = parts.all(|part| matches!(part.as_str(), "charset=utf-8" | "charset=\"utf-8\"" | ""));
    second.is_none() && is_json && in_utf8 && !headers.contains_key(CONTENT_ENCODING)
}
