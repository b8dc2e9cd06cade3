//! `POST /token` (OAuth 2.1 §3.2).

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderMap, Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use mcp_login_core::dpop::ProvedRequest;
use mcp_login_core::error::{ErrorCode, OAuthError};
use mcp_login_core::token::{GrantType, TokenRequest};

use super::AuthorizationServer;
use super::answer::{JsonError, no_store};
use super::authenticated::AuthenticatedRequest;
use crate::client::AuthenticatedClient;
use crate::dpop::{Proof, ProofError};
use crate::grant_type::{Context, TokenError, grant_tokens};

impl From<TokenError> for JsonError {
    fn from(error: TokenError) -> Self {
        match error {
            TokenError::OAuth(error) => error.into(),
            TokenError::Store(error) => error.into(),
            TokenError::Proof(error) => error.into(),
            TokenError::Upstream(error) => error.into(),
        }
    }
}

impl From<ProofError> for JsonError {
    fn from(error: ProofError) -> Self {
        match error {
            ProofError::Refused(error) => OAuthError::from(error).into(),
            ProofError::Store(error) => error.into(),
        }
    }
}

/// A token request.
pub(crate) async fn post(
    State(server): State<Arc<AuthorizationServer>>,
    AuthenticatedRequest { client, form, headers }: AuthenticatedRequest,
) -> Result<Response, JsonError> {
    let request = TokenRequest::parse(&form, &server.indicators)?;
    check_grant_type(&server, &client, request.grant_type())?;
    let proof = read_proof(&server, &headers)?;
    let context = Context {
        store: &server.store,
        lifetimes: &server.lifetimes,
        issuer: &server.issuer,
        indicators: &server.indicators,
        resources: &server.resources,
        access: &server.access,
        sign_ins: &server.sign_ins,
        trusted_issuers: &server.trusted_issuers,
        now: server.now(),
        proof: proof.as_ref(),
    };
    let response = grant_tokens(&context, &client, request).await?;
    Ok((no_store(), Json(response)).into_response())
}

/// What is not offered at all is unsupported; what is offered to others is not for this client (RFC 6749 §5.2).
fn check_grant_type(
    server: &AuthorizationServer,
    client: &AuthenticatedClient,
    asked: GrantType,
) -> Result<(), OAuthError> {
    if !server.grant_types.contains(&asked) {
        let description = "this grant_type is not offered; see grant_types_supported in the metadata";
        return Err(OAuthError::new(ErrorCode::UnsupportedGrantType, description));
    }
    client.check_may_use(asked)
}

/// The proof of the key that the client holds (RFC 9449 §5).
fn read_proof(server: &AuthorizationServer, headers: &HeaderMap) -> Result<Option<Proof>, ProofError> {
    let uri = format!("{}/token", server.issuer);
    let request = ProvedRequest { method: Method::POST.as_str(), uri: &uri, access_token: None };
    Ok(Proof::read(headers, &request, server.now())?)
}

/// Any other method on an endpoint that takes `POST` only.
pub(crate) async fn method_not_allowed(method: Method) -> Response {
    let error =
        JsonError::from(OAuthError::invalid_request(format!("use POST, not {}", method_name(&method))));
    ([(header::ALLOW, "POST")], error.with_status(StatusCode::METHOD_NOT_ALLOWED)).into_response()
}

/// Only the registered methods are repeated in an answer.
fn method_name(method: &Method) -> &str {
    match *method {
        Method::GET | Method::HEAD | Method::PUT | Method::DELETE | Method::PATCH => method.as_str(),
        _ => "another method",
    }
}
