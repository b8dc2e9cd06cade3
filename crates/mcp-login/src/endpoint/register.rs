//! `POST /register`: dynamic client registration (RFC 7591).

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use mcp_login_core::client::{Client, ClientAuthMethod, ClientKeys, Registration, RegistrationRequest};
use mcp_login_core::error::{ErrorCode, OAuthError};
use mcp_login_core::{Secret, Timestamp};
use serde::Serialize;

use super::AuthorizationServer;
use super::answer::{Body, JsonError, is_media_type, no_store};
use crate::client::has_usable_key;
use crate::store::backend::StoreError;
use crate::store::records::{ClientRecord, GrantId, random_secret};

/// The longest registration request, in bytes.
pub(crate) const MAX_BODY: usize = 64 * 1024;

/// What the client is told that it is (RFC 7591 §3.2.1).
#[derive(Debug, Serialize)]
struct ClientInformation {
    client_id: String,
    client_id_issued_at: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    client_secret: Option<Secret>,
    /// Zero: it does not.
    #[serde(skip_serializing_if = "Option::is_none")]
    client_secret_expires_at: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    client_name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    client_uri: Option<String>,
    redirect_uris: Vec<String>,
    token_endpoint_auth_method: ClientAuthMethod,
    #[serde(flatten)]
    keys: Option<ClientKeys>,
    grant_types: [&'static str; 2],
    response_types: [&'static str; 1],
    #[serde(skip_serializing_if = "Option::is_none")]
    application_type: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    scope: Option<String>,
}

/// A registration request.
pub(crate) async fn post(
    State(server): State<Arc<AuthorizationServer>>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, JsonError> {
    if !server.registration {
        let description =
            "clients cannot register themselves here; the operator can set clients.registration";
        return Err(OAuthError::new(ErrorCode::AccessDenied, description).into());
    }
    check_content_type(&headers)?;
    let now = server.now();
    // An id in the order of time, like a grant's.
    let client_id = GrantId::new(now).as_str().to_owned();
    let registration =
        RegistrationRequest::parse(&body?)?.check(client_id, &server.redirects, &server.document_hosts)?;
    check_usable_key(&registration.client)?;
    let secret = registration.client.auth_methods.has_secret().then(random_secret);
    let record = ClientRecord::new(registration.client.clone(), secret.as_ref(), now);
    if !server.store.insert_client(&record, server.lifetimes.client_unused(), now).await? {
        return Err(StoreError::Damaged("a new client's id is taken").into());
    }
    tracing::info!(client_id = record.client.client_id, "a client has registered");
    let answer = ClientInformation::new(registration, secret, now);
    Ok((StatusCode::CREATED, no_store(), Json(answer)).into_response())
}

/// A client that registers keys with which it can never sign would find out only when it comes for tokens.
fn check_usable_key(client: &Client) -> Result<(), OAuthError> {
    match &client.keys {
        Some(ClientKeys::Jwks(jwks)) if !has_usable_key(jwks) => Err(OAuthError::new(
            ErrorCode::InvalidClientMetadata,
            "none of the keys in jwks can sign with RS256, PS256, ES256 or EdDSA (Ed25519)",
        )),
        _ => Ok(()),
    }
}

fn check_content_type(headers: &HeaderMap) -> Result<(), OAuthError> {
    if is_media_type(headers, "application/json") {
        return Ok(());
    }
    Err(OAuthError::new(ErrorCode::InvalidClientMetadata, "the body has to be application/json"))
}

impl ClientInformation {
    fn new(registration: Registration, client_secret: Option<Secret>, now: Timestamp) -> Self {
        let Registration { client, application_type, scope } = registration;
        Self {
            client_id: client.client_id,
            client_id_issued_at: now.as_secs(),
            client_secret_expires_at: client_secret.as_ref().map(|_| 0),
            client_secret,
            client_name: client.client_name,
            client_uri: client.client_uri,
            redirect_uris: client.redirect_uris,
            token_endpoint_auth_method: client.auth_methods.preferred(),
            keys: client.keys,
            grant_types: ["authorization_code", "refresh_token"],
            response_types: ["code"],
            application_type,
            scope,
        }
    }
}
