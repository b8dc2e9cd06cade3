//! What a refused request is told (RFC 6750 §3, RFC 9728 §5.1).

use axum::Json;
use axum::http::header::{CACHE_CONTROL, RETRY_AFTER, WWW_AUTHENTICATE};
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use mcp_login_core::error::{ErrorCode, OAuthError};
use mcp_login_core::scope::Scopes;
use serde_json::json;

/// Where a client finds out how to log in, and what it then needs.
#[derive(Debug, Clone)]
pub(crate) struct Challenge {
    /// The address of the protected resource metadata.
    pub(crate) resource_metadata: String,
    /// Every scope that the server asks for: clients put exactly these into their request.
    pub(crate) scopes: Scopes,
}

impl Challenge {
    /// No token: how to get one, and no error (RFC 6750 §3.1).
    pub(super) fn login_needed(&self) -> Response {
        let description = "this server needs a login; see resource_metadata in WWW-Authenticate";
        self.response(StatusCode::UNAUTHORIZED, None, ErrorCode::InvalidToken, description)
    }

    /// A token that is not good, for whatever reason: one answer, so that nobody learns which.
    pub(super) fn invalid_token(&self) -> Response {
        let description = "the access token is unknown, expired, revoked or for another server";
        self.response(StatusCode::UNAUTHORIZED, Some(description), ErrorCode::InvalidToken, description)
    }

    /// A good token that may not do this (RFC 6750 §3.1).
    pub(super) fn insufficient_scope(&self) -> Response {
        let description = "the access token lacks a scope that this server needs";
        self.response(StatusCode::FORBIDDEN, Some(description), ErrorCode::InsufficientScope, description)
    }

    fn response(
        &self,
        status: StatusCode,
        told: Option<&str>,
        code: ErrorCode,
        description: &'static str,
    ) -> Response {
        let mut parts = vec![format!("resource_metadata=\"{}\"", self.resource_metadata)];
        if !self.scopes.is_empty() {
            parts.push(format!("scope=\"{}\"", self.scopes));
        }
        if let Some(told) = told {
            parts.push(format!("error=\"{}\"", code.as_str()));
            parts.push(format!("error_description=\"{told}\""));
        }
        let body = Json(json!({"error": code.as_str(), "error_description": description}));
        let mut response = (status, [(CACHE_CONTROL, "no-store")], body).into_response();
        if let Ok(challenge) = HeaderValue::from_str(&format!("Bearer {}", parts.join(", "))) {
            response.headers_mut().insert(WWW_AUTHENTICATE, challenge);
        }
        response
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
