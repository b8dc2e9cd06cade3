//! The layer before an MCP server: a request comes through with its [`Caller`], or as something that anybody may do.

use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::Json;
use axum::body::{Body, HttpBody as _};
use axum::extract::OriginalUri;
use axum::http::header::{
    ACCEPT_ENCODING, ALLOW, AUTHORIZATION, CONNECTION, CONTENT_LENGTH, COOKIE, USER_AGENT,
};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, Request, StatusCode, Version};
use axum::response::{IntoResponse, Response};
use http_body_util::{BodyExt, Limited};
use mcp_login_core::bearer::Authorization;
use mcp_login_core::dpop::{DpopError, ProvedRequest};
use mcp_login_core::mcp::{PublicMethods, Repeated, ToolScopes, call_id, is_tools_list};
use mcp_login_core::scope::Scopes;
use serde_json::{Value, json};
use tower::{Layer, Service};
use tower_http::cors::{AllowHeaders, Any, Cors, CorsLayer};
use url::Url;

use super::access::ChallengeForm;
use super::body::{is_plain_json, read_body, read_message, repeated};
use super::caller::{Caller, MaybeCaller};
use super::challenge::{Challenge, Scheme, unavailable};
use super::session::SessionError;
use super::stream::{end_with_token, is_event_stream};
use super::tools_list::{Listed, decorate};
use super::verify::{Admitted, Verifier, VerifyError};
use crate::dpop::{DPOP, Proof};
use crate::telemetry::log_failure;

/// The most that is read of a request that is refused without it, in bytes, and how long it is waited for.
const MAX_REFUSED_BODY: usize = 64 * 1024;
const REFUSED_BODY_TIMEOUT: Duration = Duration::from_millis(500);

/// The longest request for a list of tools that is looked at, in bytes.
const MAX_TOOLS_LIST: usize = 4096;

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
    /// What every token needs.
    pub(crate) baseline: Scopes,
    /// What single calls need besides.
    pub(crate) tool_scopes: ToolScopes,
    /// What anybody may do; `None` where every request needs a user.
    pub(crate) public: Option<PublicMethods>,
    /// How calls are refused that need a login, where discovery is public.
    pub(crate) form: ChallengeForm,
    /// Whether lists of tools leave out what the caller may not call.
    pub(crate) hides_tools: bool,
    /// Which clients read a refusal in a result, by their `User-Agent`, for [`ChallengeForm::Auto`].
    pub(crate) looks_into_results: fn(&str) -> bool,
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
            let method = request.method().clone();
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
                    end_with_token(response, &method, protection, admitted)
                }
                _ => response,
            })
        })
    }
}

impl Protection {
    /// Puts the caller into the request, or refuses it. `None` is nobody in particular.
    async fn admit(&self, request: &mut Request<Body>, scheme: Scheme) -> Result<Option<Admitted>, Response> {
        // Whatever a layer in front has put there: only what is verified here counts.
        request.extensions_mut().remove::<Caller>();
        request.extensions_mut().remove::<MaybeCaller>();
        let values: Vec<Vec<u8>> =
            request.headers().get_all(AUTHORIZATION).iter().map(|value| value.as_bytes().to_vec()).collect();
        let (token, proof) = match Authorization::parse(values.iter().map(Vec::as_slice)) {
            Authorization::Bearer(token) => (token, None),
            Authorization::Dpop(token) => match self.proof(request, token) {
                Ok(proof) => (token, Some(proof)),
                Err(error) => return Err(self.refuse_proof(error)),
            },
            // A bad token is never taken for none: the client believes that somebody is logged in.
            Authorization::Unusable => return Err(self.refuse_token("not one token", scheme)),
            // A proof without a token is the proof of nobody.
            Authorization::Absent => return self.admit_anonymous(request, scheme).await.map(|()| None),
        };
        match self.verifier.verify(token, proof.as_ref(), &self.resource).await {
            Ok((caller, admitted)) => {
                self.check_scopes(request, &caller, scheme).await?;
                request.extensions_mut().insert(MaybeCaller(Some(caller.clone())));
                request.extensions_mut().insert(caller);
                Ok(Some(admitted))
            }
            Err(VerifyError::Invalid(reason)) => Err(self.refuse_token(reason, scheme)),
            Err(VerifyError::Proof(error)) => Err(self.refuse_proof(error)),
            Err(VerifyError::Store(error)) => {
                log_failure(&error);
                Err(unavailable())
            }
        }
    }

    /// That the token may do this (RFC 6750 §3.1). One that may do everything is not asked what it does.
    async fn check_scopes(
        &self,
        request: &mut Request<Body>,
        caller: &Caller,
        scheme: Scheme,
    ) -> Result<(), Response> {
        if caller.scopes().covers(&self.challenge.scopes) {
            return Ok(());
        }
        let mut needed = self.baseline.clone();
        if !self.tool_scopes.all().is_empty() {
            needed = needed.union(&self.needed_by(request).await?);
        }
        if caller.scopes().covers(&needed) {
            return Ok(());
        }
        tracing::info!(resource = self.resource, %needed, reason = "a scope is missing", "refused with 403");
        if let Some(id) = self.call_to_answer(request).await? {
            return Err(self.challenge.insufficient_scope_in_result(&id, &needed));
        }
        Err(self.challenge.insufficient_scope(&needed, scheme))
    }

    /// What a request needs beyond the baseline: every scope, unless it can only be read in one way.
    async fn needed_by(&self, request: &mut Request<Body>) -> Result<Scopes, Response> {
        let every = || Ok(self.tool_scopes.all().clone());
        // What lies below the server's own path, or behind a query, may be anything: no message tells.
        if !self.is_own_path(request) || request.uri().query().is_some() {
            return every();
        }
        match *request.method() {
            Method::POST => {}
            // The stream and the end of a session.
            Method::GET | Method::HEAD | Method::DELETE if request.body().is_end_stream() => {
                return Ok(Scopes::default());
            }
            _ => return every(),
        }
        if !is_plain_json(request.headers()) {
            return every();
        }
        let Some(body) = read_message(request).await? else { return every() };
        let Ok(Repeated { method, name, .. }) = repeated(request.headers()) else { return every() };
        let needed = self.tool_scopes.needed_by_body(&body, self.public.as_ref(), method, name);
        *request.body_mut() = Body::from(body);
        Ok(needed)
    }

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

    /// The proof that comes with a token (RFC 9449 §7.1). It is for the public URL of the request: our own origin with the
    /// request's path, which may lie below the server's.
    fn proof(&self, request: &Request<Body>, token: &str) -> Result<Proof, DpopError> {
        let own = Url::parse(&self.resource).map_err(|_| DpopError::Uri)?;
        let uri = format!("{}{}", own.origin().ascii_serialization(), asked_path(request));
        let proved =
            ProvedRequest { method: request.method().as_str(), uri: &uri, access_token: Some(token) };
        let proof = Proof::read(request.headers(), &proved, self.verifier.clock.now())?;
        proof.ok_or(DpopError::Missing)
    }

    /// The client learns that its token is not good; the operator reads why.
    fn refuse_token(&self, reason: &'static str, scheme: Scheme) -> Response {
        tracing::info!(resource = self.resource, reason, "refused with 401: a bad token");
        self.challenge.invalid_token(scheme)
    }

    fn refuse_proof(&self, reason: DpopError) -> Response {
        tracing::info!(resource = self.resource, %reason, "refused with 401: a bad DPoP proof");
        self.challenge.invalid_proof(reason)
    }

    fn refuse_anonymous(&self, reason: &'static str, scheme: Scheme) -> Response {
        tracing::info!(resource = self.resource, reason, "refused with 401: no token");
        self.challenge.login_needed(scheme)
    }

    /// Whether a request is to the server's own URL, not to something below it.
    fn is_own_path(&self, request: &Request<Body>) -> bool {
        let asked = asked_path(request);
        let own = Url::parse(&self.resource);
        own.is_ok_and(|own| own.path() == asked || asked.strip_suffix('/') == Some(own.path()))
    }

    /// Whether the client looks for a refusal in the result of its call.
    fn is_read_in_result(&self, headers: &HeaderMap) -> bool {
        match self.form {
            ChallengeForm::Http => false,
            ChallengeForm::Result => true,
            ChallengeForm::Auto => {
                let agent = headers.get(USER_AGENT).and_then(|agent| agent.to_str().ok());
                agent.is_some_and(self.looks_into_results)
            }
        }
    }

    /// How the list of tools is to be shown that the request is for; `None` for as it is. Such a request is short; a long
    /// one is not looked at.
    async fn listing(&self, request: &mut Request<Body>) -> Result<Option<Listing>, Response> {
        let held = request.extensions().get::<Caller>().map(|caller| caller.scopes().clone());
        let listing = Listing {
            says_schemes: self.public.is_some() && self.is_read_in_result(request.headers()),
            hides: self.hides_tools && !held.as_ref().is_some_and(|held| held.covers(&self.challenge.scopes)),
            held,
        };
        let length =
            request.headers().get(CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse().ok());
        let may_be = (listing.says_schemes || listing.hides)
            && request.method() == Method::POST
            && is_plain_json(request.headers())
            && length.is_some_and(|length: usize| length <= MAX_TOOLS_LIST);
        if !may_be {
            return Ok(None);
        }
        let Some(body) = read_message(request).await? else {
            return Err(StatusCode::BAD_REQUEST.into_response());
        };
        let is_list = is_tools_list(&body);
        if is_list {
            // What is compressed could not be read.
            request.headers_mut().remove(ACCEPT_ENCODING);
        }
        *request.body_mut() = Body::from(body);
        Ok(is_list.then_some(listing))
    }

    /// How a tool stands in a list.
    fn listed(&self, tool: &str, listing: &Listing) -> Listed {
        if self.public.as_ref().is_some_and(|public| public.has_tool(tool)) {
            return Listed::Shown(listing.says_schemes.then(|| json!([{"type": "noauth"}])));
        }
        let needed = self.baseline.clone().union(&self.tool_scopes.needed_by_tool(tool));
        if listing.hides && !listing.held.as_ref().is_some_and(|held| held.covers(&needed)) {
            return Listed::Hidden;
        }
        let scopes: Vec<&str> = needed.iter().collect();
        Listed::Shown(listing.says_schemes.then(|| json!([{"type": "oauth2", "scopes": scopes}])))
    }

    /// The id of the call that a request of a user is, if it is to be refused in its result.
    async fn call_to_answer(&self, request: &mut Request<Body>) -> Result<Option<Value>, Response> {
        let plain = request.method() == Method::POST && is_plain_json(request.headers());
        if self.public.is_none() || !plain || !self.is_read_in_result(request.headers()) {
            return Ok(None);
        }
        Ok(read_body(request).await?.as_deref().and_then(call_id))
    }

    /// A request without a token: through if it is something that anybody may do.
    async fn admit_anonymous(&self, request: &mut Request<Body>, scheme: Scheme) -> Result<(), Response> {
        let refuse = |reason| Err(self.refuse_anonymous(reason, scheme));
        let Some(public) = &self.public else {
            return refuse("every request needs a user");
        };
        match *request.method() {
            Method::POST => {}
            // Clients take 401 on the stream for a reason to log in at once.
            Method::GET | Method::HEAD => {
                return Err(post_only());
            }
            _ => return refuse("only POST is ever public"),
        }
        // What lies below the server's own path, or behind a query, may be anything: no message tells.
        if !self.is_own_path(request) || request.uri().query().is_some() || !is_plain_json(request.headers())
        {
            return refuse("not a plain message to the server itself");
        }
        let Some(body) = read_message(request).await? else {
            return refuse("the body is too long, or broke off");
        };
        let repeated = repeated(request.headers()).ok();
        let is_public = repeated.zip(public.public_message(&body)).is_some_and(|(repeated, message)| {
            message.agrees_with(repeated.method, repeated.name)
                && self.tool_scopes.needed_by(&message, Some(public)).is_empty()
        });
        if !is_public {
            let refusal = self.refuse_anonymous("not a public message", scheme);
            let id = call_id(&body).filter(|_| self.is_read_in_result(request.headers()));
            return Err(id.map_or(refusal, |id| self.challenge.login_needed_in_result(&id)));
        }
        // Nobody in particular has no session at the backend.
        request.headers_mut().remove(COOKIE);
        *request.body_mut() = Body::from(body);
        request.extensions_mut().insert(MaybeCaller(None));
        Ok(())
    }
}

/// Who asks for a list of tools, and how it is shown.
struct Listing {
    /// What the caller may do; `None` for nobody in particular.
    held: Option<Scopes>,
    says_schemes: bool,
    hides: bool,
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

/// The path that was asked for, whatever the routers in front have taken off it.
fn asked_path(request: &Request<Body>) -> &str {
    let original = request.extensions().get::<OriginalUri>().map(|original| original.0.path());
    original.unwrap_or_else(|| request.uri().path())
}

fn scheme_of(headers: &HeaderMap) -> Scheme {
    let values = headers.get_all(AUTHORIZATION).iter().map(HeaderValue::as_bytes);
    let bound = matches!(Authorization::parse(values), Authorization::Dpop(_));
    if bound || headers.contains_key(DPOP) { Scheme::Dpop } else { Scheme::Bearer }
}

/// MCP, Streamable HTTP: on 404 a client opens a new session.
fn no_session() -> Response {
    let description = "this session is not open for this user; initialize again";
    let body = Json(json!({"error": "invalid_request", "error_description": description}));
    (StatusCode::NOT_FOUND, body).into_response()
}

fn post_only() -> Response {
    let description = "without a login there is no stream here; use POST";
    let body = Json(json!({"error": "invalid_request", "error_description": description}));
    (StatusCode::METHOD_NOT_ALLOWED, [(ALLOW, "POST")], body).into_response()
}
