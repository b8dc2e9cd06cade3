//! The layer before an MCP server: a request comes through with its [`Caller`], or as something that anybody may do.

use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::Json;
use axum::body::Body;
use axum::http::header::CONNECTION;
use axum::http::{HeaderName, HeaderValue, Method, Request, StatusCode, Version};
use axum::response::{IntoResponse, Response};
use http_body_util::{BodyExt, Limited};
use serde_json::json;
use tower::{Layer, Service};
use tower_http::cors::{AllowHeaders, Any, Cors, CorsLayer};

use super::admission::scheme_of;
use super::caller::Caller;
use super::challenge::{Scheme, unavailable};
use super::protection::Protection;
use super::session::SessionError;
use super::stream::{Ending, end_with_token, is_event_stream};
use super::tools_list::decorate;
use crate::telemetry::log_failure;

/// The most that is read of a request that is refused without it, in bytes, and how long it is waited for.
const MAX_REFUSED_BODY: usize = 64 * 1024;
const REFUSED_BODY_TIMEOUT: Duration = Duration::from_millis(500);

/// Put into the extensions of a response by whoever finds out, behind the layer, that a user is needed, or has to sign in
/// again ([`UpstreamTokenError::LoginNeeded`](super::UpstreamTokenError::LoginNeeded)): the layer answers with a challenge.
#[derive(Debug, Clone, Copy)]
pub struct LoginNeeded;

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
        // Whatever is asked for: no header gives a page more than it could send by itself without a browser.
        .allow_headers(AllowHeaders::mirror_request())
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
            let scheme = scheme_of(request.headers());
            let mut request = request;
            let admitted = match protection.admit(&mut request, scheme).await {
                Ok(admitted) => admitted,
                Err(refusal) => return Ok(settle(request, refusal).await),
            };
            let user = request.extensions().get::<Caller>().map(|caller| caller.subject().to_owned());
            if let Err(refusal) = protection.open_session(&mut request, user.as_deref(), scheme).await {
                return Ok(settle(request, refusal).await);
            }
            let listing = match protection.listing(&mut request).await {
                Ok(listing) => listing,
                Err(refusal) => return Ok(settle(request, refusal).await),
            };
            let ending = Ending::of(&request, &protection);
            let mut response = inner.call(request).await?.into_response();
            if let Some(listing) = listing {
                let protection = Arc::clone(&protection);
                response = decorate(response, move |tool| protection.listed(tool, &listing)).await;
            }
            let response = match response.extensions().get::<LoginNeeded>() {
                None => protection.seal_session(response, user.as_deref()).await,
                Some(LoginNeeded) if user.is_none() => protection.challenge.login_needed(scheme),
                Some(LoginNeeded) => protection.challenge.invalid_token(scheme),
            };
            Ok(match admitted {
                Some(admitted) if is_event_stream(response.headers()) => {
                    end_with_token(response, ending, protection, admitted)
                }
                _ => response,
            })
        })
    }
}

impl Protection {
    /// That the session which the request names is the user's.
    async fn open_session(
        &self,
        request: &mut Request<Body>,
        user: Option<&str>,
        scheme: Scheme,
    ) -> Result<(), Response> {
        let (sessions, now) = (&self.verifier.sessions, self.verifier.clock.now());
        match sessions.open(request.headers_mut(), &self.resource, user, now).await {
            Ok(()) => Ok(()),
            // Whoever has opened it logs in again and goes on.
            Err(SessionError::NotTheirs) if user.is_none() => {
                Err(self.refuse_anonymous("the session is a user's, or none of ours", scheme))
            }
            Err(SessionError::NotTheirs) => {
                let reason = "the session is another user's, or none of ours";
                tracing::info!(resource = self.resource, reason, "refused with 404");
                Err(no_session())
            }
            Err(SessionError::Store(error)) => {
                log_failure(&error);
                Err(unavailable())
            }
        }
    }

    /// The session that the backend has opened becomes the user's.
    async fn seal_session(&self, mut response: Response, user: Option<&str>) -> Response {
        let (sessions, now) = (&self.verifier.sessions, self.verifier.clock.now());
        match sessions.seal(response.headers_mut(), &self.resource, user, now).await {
            Ok(()) => response,
            Err(error) => {
                log_failure(&error);
                unavailable()
            }
        }
    }
}

/// Reads what is left of a refused request, within bounds. A connection on which a request was not read to its end cannot be
/// used again, and a client that is not told so finds out with its next request.
async fn settle(request: Request<Body>, mut refusal: Response) -> Response {
    let version = request.version();
    let rest = Limited::new(request.into_body(), MAX_REFUSED_BODY).collect();
    let is_read = matches!(tokio::time::timeout(REFUSED_BODY_TIMEOUT, rest).await, Ok(Ok(_)));
    if !is_read && version <= Version::HTTP_11 {
        refusal.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    }
    refusal
}

/// MCP, Streamable HTTP: on 404 a client opens a new session.
pub(super) fn no_session() -> Response {
    let description = "this session is not open for this user; initialize again";
    let body = Json(json!({"error": "invalid_request", "error_description": description}));
    (StatusCode::NOT_FOUND, body).into_response()
}
