//! [`AuthenticatedRequest`]: the form of a client that has finished authenticating (OAuth 2.1 §2.4).

use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::{FromRequest, FromRequestParts, Request};
use axum::http::header::AUTHORIZATION;
use axum::http::{HeaderMap, HeaderValue};
use mcp_login_core::error::{ErrorCode, OAuthError};
use mcp_login_core::params::Params;

use super::AuthorizationServer;
use super::answer::{JsonError, is_media_type};
use super::rate_limit::{ClientNetwork, TooManyRequests};
use crate::client::{Asker, AuthenticatedClient, AuthenticationError};

/// A request of a client at the endpoints for programs.
#[derive(Debug)]
pub(crate) struct AuthenticatedRequest {
    pub(crate) client: AuthenticatedClient,
    pub(crate) form: Params,
    pub(crate) headers: HeaderMap,
}

impl FromRequest<Arc<AuthorizationServer>> for AuthenticatedRequest {
    type Rejection = JsonError;

    async fn from_request(request: Request, server: &Arc<AuthorizationServer>) -> Result<Self, JsonError> {
        let (mut parts, body) = request.into_parts();
        let network = match ClientNetwork::from_request_parts(&mut parts, server).await {
            Ok(network) => network,
            Err(never) => match never {},
        };
        let (headers, query) = (parts.headers.clone(), parts.uri.query().map(str::to_owned));
        let body = Bytes::from_request(Request::from_parts(parts, body), server).await?;
        let form = read_form(&headers, query.as_deref(), &body)?;
        let authorization: Vec<&[u8]> =
            headers.get_all(AUTHORIZATION).iter().map(HeaderValue::as_bytes).collect();
        let now = server.now();
        let asker = Asker { now, may_fetch: &|| server.limits.take_document(network, now) };
        let client = AuthenticatedClient::authenticate(&server.clients, &authorization, &form, asker).await?;
        Ok(Self { client, form, headers })
    }
}

/// The form of a request. Parameters in the query are refused, not ignored: they would stand in logs (OAuth 2.1 §3.2).
fn read_form(headers: &HeaderMap, query: Option<&str>, body: &[u8]) -> Result<Params, OAuthError> {
    if query.is_some_and(|query| !query.is_empty()) {
        return Err(OAuthError::invalid_request("send the parameters in the body, not in the query"));
    }
    if !is_media_type(headers, "application/x-www-form-urlencoded") {
        return Err(OAuthError::invalid_request("the body has to be application/x-www-form-urlencoded"));
    }
    Params::parse(body)
}

impl From<AuthenticationError> for JsonError {
    fn from(error: AuthenticationError) -> Self {
        match error {
            AuthenticationError::Refused { error, basic: true } if error.code == ErrorCode::InvalidClient => {
                Self::from(error).with_basic_challenge()
            }
            AuthenticationError::Refused { error, .. } => error.into(),
            AuthenticationError::Unreachable { wait } => {
                Self::unavailable("the client's keys cannot be fetched right now; try again", wait)
            }
            AuthenticationError::TooMany { wait } => TooManyRequests { wait }.into(),
            AuthenticationError::Store(error) => error.into(),
        }
    }
}
