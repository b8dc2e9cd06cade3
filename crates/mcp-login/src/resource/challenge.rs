//! What a refused request is told (RFC 6750 §3, RFC 9449 §7.1, RFC 9728 §5.1).

use axum::Json;
use axum::http::header::{CACHE_CONTROL, RETRY_AFTER, WWW_AUTHENTICATE};
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use mcp_login_core::dpop::DpopError;
use mcp_login_core::error::{ErrorCode, OAuthError};
use mcp_login_core::metadata::SIGNING_ALGORITHMS;
use mcp_login_core::scope::Scopes;
use serde_json::{Value, json};

/// Where a client finds out how to log in, and what it then needs.
#[derive(Debug, Clone)]
pub(crate) struct Challenge {
    /// The address of the protected resource metadata.
    pub(crate) resource_metadata: String,
    /// Every scope that a token can have: clients put exactly these into their request, and there are some that cannot ask
    /// for more later.
    pub(crate) scopes: Scopes,
}

/// How a request presents its token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Scheme {
    /// As a bearer token, or not at all.
    Bearer,
    /// With a DPoP proof, or at least with an attempt at one.
    Dpop,
}

impl Challenge {
    /// No token: how to get one, and no error (RFC 6750 §3.1).
    pub(super) fn login_needed(&self, scheme: Scheme) -> Response {
        let description = "this server needs a login; see resource_metadata in WWW-Authenticate";
        let body = OAuthError::new(ErrorCode::InvalidToken, description);
        self.response(StatusCode::UNAUTHORIZED, scheme, &body, &self.scopes, [None, None])
    }

    /// No token for this call, said in its result: clients that look for it there take it for a reason to log in only with an
    /// error.
    pub(super) fn login_needed_in_result(&self, id: &Value) -> Response {
        let description = "this tool needs a login";
        self.in_result(id, &self.scopes, &OAuthError::new(ErrorCode::InvalidToken, description))
    }

    /// A good token that may not make this call, said in its result.
    pub(super) fn insufficient_scope_in_result(&self, id: &Value, needed: &Scopes) -> Response {
        let description = "this tool needs a login that may do more";
        self.in_result(id, needed, &OAuthError::new(ErrorCode::InsufficientScope, description))
    }

    /// The answer to a call (JSON-RPC 2.0 §5, MCP `CallToolResult`).
    fn in_result(&self, id: &Value, scopes: &Scopes, error: &OAuthError) -> Response {
        let challenge = format!("Bearer {}", self.parameters(scopes, Some(error)).join(", "));
        let result = json!({
            "content": [{"type": "text", "text": error.description}],
            "isError": true,
            "_meta": {"mcp/www_authenticate": [challenge]},
        });
        let body = Json(json!({"jsonrpc": "2.0", "id": id, "result": result}));
        ([(CACHE_CONTROL, "no-store")], body).into_response()
    }

    /// A token that is not good, for whatever reason: one answer, so that nobody learns which.
    pub(super) fn invalid_token(&self, scheme: Scheme) -> Response {
        let description = "the access token is unknown, expired, revoked or for another server";
        let error = OAuthError::new(ErrorCode::InvalidToken, description);
        self.response(StatusCode::UNAUTHORIZED, scheme, &error, &self.scopes, [Some(&error), Some(&error)])
    }

    /// A good token that may not do this (RFC 6750 §3.1): told is all that it needs, not only what the token lacks.
    pub(super) fn insufficient_scope(&self, needed: &Scopes, scheme: Scheme) -> Response {
        let description = "the access token lacks a scope that this request needs";
        let error = OAuthError::new(ErrorCode::InsufficientScope, description);
        self.response(StatusCode::FORBIDDEN, scheme, &error, needed, [Some(&error), Some(&error)])
    }

    /// A proof that is not good (RFC 9449 §7.1). The holder of the key is told what to change: it makes the next one.
    pub(super) fn invalid_proof(&self, error: DpopError) -> Response {
        let error = error.into();
        let unauthorized = StatusCode::UNAUTHORIZED;
        self.response(unauthorized, Scheme::Dpop, &error, &self.scopes, [None, Some(&error)])
    }

    /// `told` is what the challenges of the schemes `Bearer` and `DPoP` say. The second stands in a header of its own, and
    /// only for clients that use it: there are clients that read nothing but the first challenge, or the first header.
    fn response(
        &self,
        status: StatusCode,
        scheme: Scheme,
        body: &OAuthError,
        scopes: &Scopes,
        [bearer, dpop]: [Option<&OAuthError>; 2],
    ) -> Response {
        let body = Json(json!({"error": body.code.as_str(), "error_description": body.description}));
        let mut response = (status, [(CACHE_CONTROL, "no-store")], body).into_response();
        let mut challenges = vec![format!("Bearer {}", self.parameters(scopes, bearer).join(", "))];
        if scheme == Scheme::Dpop {
            let mut parameters = self.parameters(scopes, dpop);
            parameters.push(format!("algs=\"{}\"", SIGNING_ALGORITHMS.join(" ")));
            challenges.push(format!("DPoP {}", parameters.join(", ")));
        }
        for challenge in challenges {
            if let Ok(challenge) = HeaderValue::from_str(&challenge) {
                response.headers_mut().append(WWW_AUTHENTICATE, challenge);
            }
        }
        response
    }

    fn parameters(&self, scopes: &Scopes, told: Option<&OAuthError>) -> Vec<String> {
        let mut parameters = vec![format!("resource_metadata=\"{}\"", self.resource_metadata)];
        if !scopes.is_empty() {
            parameters.push(format!("scope=\"{scopes}\""));
        }
        if let Some(told) = told {
            parameters.push(format!("error=\"{}\"", told.code.as_str()));
            parameters.push(format!("error_description=\"{}\"", told.description));
        }
        parameters
    }
}

/// The store is away: nobody knows whether the token is good, so nobody is sent to log in again.
pub(super) fn unavailable() -> Response {
    let error =
        OAuthError::new(ErrorCode::TemporarilyUnavailable, "logins cannot be checked right now; try again");
    let body = Json(json!({"error": error.code.as_str(), "error_description": error.description}));
    let headers = [(RETRY_AFTER, "5"), (CACHE_CONTROL, "no-store")];
    (StatusCode::SERVICE_UNAVAILABLE, headers, body).into_response()
}
