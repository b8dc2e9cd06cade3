//! The two metadata documents that clients find us by.

use serde::Serialize;

use crate::client::ClientAuthMethod;
use crate::dpop::SIGNING_ALGORITHMS;
use crate::pkce;
use crate::scope::{OFFLINE_ACCESS, Scopes};

/// Authorization server metadata (RFC 8414 §2).
#[derive(Debug, Clone, Serialize)]
pub struct AuthorizationServerMetadata {
    issuer: String,
    authorization_endpoint: String,
    token_endpoint: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    registration_endpoint: Option<String>,
    revocation_endpoint: String,
    scopes_supported: Vec<String>,
    response_types_supported: [&'static str; 1],
    response_modes_supported: [&'static str; 1],
    grant_types_supported: [&'static str; 2],
    token_endpoint_auth_methods_supported: Vec<&'static str>,
    revocation_endpoint_auth_methods_supported: Vec<&'static str>,
    code_challenge_methods_supported: [&'static str; 1],
    /// RFC 9207 §3.
    authorization_response_iss_parameter_supported: bool,
    /// draft-ietf-oauth-client-id-metadata-document-00 §5.
    client_id_metadata_document_supported: bool,
    /// RFC 9449 §5.1.
    dpop_signing_alg_values_supported: [&'static str; SIGNING_ALGORITHMS.len()],
}

impl AuthorizationServerMetadata {
    /// The document of this issuer. `offline_access` is listed here, because that is where clients look before they
    /// ask for a refresh token, and never at the protected resource (MCP 2026-07-28).
    #[must_use]
    pub fn new(issuer: &str, scopes: &Scopes, registration: bool, metadata_documents: bool) -> Self {
        let auth_methods: Vec<_> = ClientAuthMethod::ALL.iter().map(|method| method.as_str()).collect();
        Self {
            issuer: issuer.to_owned(),
            authorization_endpoint: format!("{issuer}/authorize"),
            token_endpoint: format!("{issuer}/token"),
            registration_endpoint: registration.then(|| format!("{issuer}/register")),
            revocation_endpoint: format!("{issuer}/revoke"),
            scopes_supported: scopes.iter().chain([OFFLINE_ACCESS]).map(str::to_owned).collect(),
            response_types_supported: ["code"],
            response_modes_supported: ["query"],
            grant_types_supported: ["authorization_code", "refresh_token"],
            token_endpoint_auth_methods_supported: auth_methods.clone(),
            revocation_endpoint_auth_methods_supported: auth_methods,
            code_challenge_methods_supported: [pkce::S256],
            authorization_response_iss_parameter_supported: true,
            client_id_metadata_document_supported: metadata_documents,
            dpop_signing_alg_values_supported: SIGNING_ALGORITHMS,
        }
    }
}

/// Protected resource metadata (RFC 9728 §2).
#[derive(Debug, Clone, Serialize)]
pub struct ProtectedResourceMetadata {
    resource: String,
    authorization_servers: [String; 1],
    scopes_supported: Vec<String>,
    bearer_methods_supported: [&'static str; 1],
    dpop_signing_alg_values_supported: [&'static str; SIGNING_ALGORITHMS.len()],
    #[serde(skip_serializing_if = "Option::is_none")]
    resource_name: Option<String>,
}

impl ProtectedResourceMetadata {
    /// The document of this MCP server.
    #[must_use]
    pub fn new(resource: &str, issuer: &str, scopes: &Scopes, name: Option<&str>) -> Self {
        Self {
            resource: resource.to_owned(),
            authorization_servers: [issuer.to_owned()],
            scopes_supported: scopes.iter().map(str::to_owned).collect(),
            bearer_methods_supported: ["header"],
            dpop_signing_alg_values_supported: SIGNING_ALGORITHMS,
            resource_name: name.map(str::to_owned),
        }
    }
}
