//! Who comes through: the caller of a token that may do what the request asks for, or anybody where that is public.

use axum::Json;
use axum::body::{Body, HttpBody as _};
use axum::http::header::{ALLOW, AUTHORIZATION, COOKIE};
use axum::http::{HeaderMap, HeaderValue, Method, Request, StatusCode};
use axum::response::{IntoResponse, Response};
use mcp_login_core::bearer::Authorization;
use mcp_login_core::dpop::{DpopError, ProvedRequest};
use mcp_login_core::mcp::{Repeated, call_id};
use mcp_login_core::scope::Scopes;
use serde_json::{Value, json};
use url::Url;

use super::body::{is_plain_json, read_body, read_message, repeated};
use super::caller::{Caller, MaybeCaller};
use super::challenge::{Scheme, unavailable};
use super::protection::{Protection, asked_path};
use super::session_query::OpenedSession;
use super::verify::{Admitted, VerifyError};
use crate::dpop::{DPOP, Proof};
use crate::telemetry::log_failure;

impl Protection {
    /// Puts the caller into the request, or refuses it. `None` is nobody in particular.
    pub(super) async fn admit(
        &self,
        request: &mut Request<Body>,
        scheme: Scheme,
    ) -> Result<Option<Admitted>, Response> {
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
                self.bind_session(request, &caller).await?;
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
        // What lies below the server's own path, or behind a query, may be anything: no message tells. The query that names
        // a session says no more than that.
        let names_session = request.extensions().get::<OpenedSession>().is_some();
        if !self.is_own_path(request) || (request.uri().query().is_some() && !names_session) {
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

    /// The id of the call that a request of a user is, if it is to be refused in its result.
    async fn call_to_answer(&self, request: &mut Request<Body>) -> Result<Option<Value>, Response> {
        let plain = request.method() == Method::POST && is_plain_json(request.headers());
        if self.public.is_none() || !plain || !self.is_read_in_result(request.headers()) {
            return Ok(None);
        }
        Ok(read_body(request).await?.as_deref().and_then(call_id))
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
}

/// How the request presents its token.
pub(super) fn scheme_of(headers: &HeaderMap) -> Scheme {
    let values = headers.get_all(AUTHORIZATION).iter().map(HeaderValue::as_bytes);
    let bound = matches!(Authorization::parse(values), Authorization::Dpop(_));
    if bound || headers.contains_key(DPOP) { Scheme::Dpop } else { Scheme::Bearer }
}

fn post_only() -> Response {
    let description = "without a login there is no stream here; use POST";
    let body = Json(json!({"error": "invalid_request", "error_description": description}));
    (StatusCode::METHOD_NOT_ALLOWED, [(ALLOW, "POST")], body).into_response()
}
