//! The two metadata documents that clients find us by.

use serde::Serialize;

use crate::client::ClientAuthMethod;
use crate::pkce;
use crate::scope::{OFFLINE_ACCESS, Scopes};
use crate::token::GrantType;

/// What others may sign with: client assertions, identity assertions, DPoP proofs (RFC 7518 §3.1, RFC 8037 §3.1).
pub const SIGNING_ALGORITHMS: [&str; 4] = ["ES256", "EdDSA", "RS256", "PS256"];

/// Grant profiles: identity assertions (draft-ietf-oauth-identity-assertion-authz-grant).
const ID_JAG: &str = "urn:ietf:params:oauth:grant-profile:id-jag";

/// What this server offers, as the operator has set it up.
#[derive(Debug, Clone, Copy)]
pub struct Offer<'a> {
    /// The issuer identifier.
    pub issuer: &'a str,
    /// Every scope of every MCP server.
    pub scopes: &'a Scopes,
    /// Whether clients may register themselves.
    pub registration: bool,
    /// Whether clients may describe themselves by a document.
    pub metadata_documents: bool,
    /// What may be exchanged for tokens.
    pub grant_types: &'a [GrantType],
}

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
    grant_types_supported: Vec<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    authorization_grant_profiles_supported: Option<[&'static str; 1]>,
    token_endpoint_auth_methods_supported: Vec<&'static str>,
    /// What the assertions of `private_key_jwt` may be signed with.
    token_endpoint_auth_signing_alg_values_supported: [&'static str; 4],
    revocation_endpoint_auth_methods_supported: Vec<&'static str>,
    revocation_endpoint_auth_signing_alg_values_supported: [&'static str; 4],
    introspection_endpoint: String,
    introspection_endpoint_auth_methods_supported: Vec<&'static str>,
    introspection_endpoint_auth_signing_alg_values_supported: [&'static str; 4],
    code_challenge_methods_supported: [&'static str; 1],
    /// RFC 9207 §3.
    authorization_response_iss_parameter_supported: bool,
    /// draft-ietf-oauth-client-id-metadata-document-00 §5.
    client_id_metadata_document_supported: bool,
    /// RFC 9449 §5.1.
    dpop_signing_alg_values_supported: [&'static str; 4],
}

impl AuthorizationServerMetadata {
    /// The document of this issuer. `offline_access` is listed here, because that is where clients look before they
    /// ask for a refresh token, and never at the protected resource (MCP 2026-07-28).
    #[must_use]
    pub fn new(offer: &Offer<'_>) -> Self {
        let Offer { issuer, scopes, registration, metadata_documents, grant_types } = *offer;
        let auth_methods: Vec<_> = ClientAuthMethod::ALL.iter().map(|method| method.as_str()).collect();
        // Whoever asks what others' tokens are good for has to prove who asks (RFC 7662 §2.1).
        let none = ClientAuthMethod::None.as_str();
        let proving = auth_methods.iter().copied().filter(|method| *method != none).collect();
        Self {
            issuer: issuer.to_owned(),
            authorization_endpoint: format!("{issuer}/authorize"),
            token_endpoint: format!("{issuer}/token"),
            registration_endpoint: registration.then(|| format!("{issuer}/register")),
            revocation_endpoint: format!("{issuer}/revoke"),
            scopes_supported: scopes.iter().chain([OFFLINE_ACCESS]).map(str::to_owned).collect(),
            response_types_supported: ["code"],
            response_modes_supported: ["query"],
            grant_types_supported: grant_types.iter().map(|grant_type| grant_type.as_str()).collect(),
            authorization_grant_profiles_supported: grant_types
                .contains(&GrantType::JwtBearer)
                .then_some([ID_JAG]),
            token_endpoint_auth_methods_supported: auth_methods.clone(),
            token_endpoint_auth_signing_alg_values_supported: SIGNING_ALGORITHMS,
            revocation_endpoint_auth_methods_supported: auth_methods,
            revocation_endpoint_auth_signing_alg_values_supported: SIGNING_ALGORITHMS,
            introspection_endpoint: format!("{issuer}/introspect"),
            introspection_endpoint_auth_methods_supported: proving,
            introspection_endpoint_auth_signing_alg_values_supported: SIGNING_ALGORITHMS,
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
    dpop_signing_alg_values_supported: [&'static str; 4],
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
