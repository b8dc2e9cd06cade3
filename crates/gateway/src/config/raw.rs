//! The file as it is written: every key of the contract, nothing judged yet.
//!
//! [`super::check`] has looked at unknown keys and types before, to report all of them at once; serde refuses them here
//! again, so that a key which one of the two does not know is found by the first test that uses it.

use std::collections::BTreeMap;

use serde::Deserialize;

/// The whole file.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
#[allow(missing_docs)] // the keys are documented where they are judged, in `valid`
pub struct Config {
    pub public_url: Option<String>,
    pub listen: Option<String>,
    pub admin_listen: Option<String>,
    pub client_address_header: Option<String>,
    pub allowed_hosts: Option<Vec<String>>,
    pub allowed_origins: Option<Vec<String>>,
    pub store: Option<Store>,
    pub upstream: Option<Upstream>,
    pub upstreams: BTreeMap<String, Upstream>,
    pub access: Option<Access>,
    pub trusted_issuers: Vec<TrustedIssuer>,
    pub clients: Clients,
    pub tokens: Tokens,
    pub limits: Limits,
    pub mcp: Vec<Mcp>,
}

/// A secret or where it is. No `Debug` of the literal.
#[derive(Clone, Deserialize)]
#[serde(untagged)]
#[allow(missing_docs)]
pub enum Secret {
    Literal(mcp_login::core::Secret),
    Place(SecretPlace),
}

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Literal(_) => f.write_str("[secret]"),
            Self::Place(place) => place.fmt(f),
        }
    }
}

/// Where a secret is.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "lowercase")]
pub enum SecretPlace {
    /// In this environment variable.
    Env(String),
    /// In this file.
    File(String),
}

/// `[store]`
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
#[allow(missing_docs)]
pub struct Store {
    pub url: Option<Secret>,
    pub key_prefix: Option<String>,
    pub timeout: Option<String>,
    pub connect_timeout: Option<String>,
    pub connections: Option<i64>,
    pub cache_entries: Option<i64>,
    pub outage_grace: Option<String>,
}

/// `[upstream]` and `[upstreams.NAME]`
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
#[allow(missing_docs)]
pub struct Upstream {
    pub provider: Option<String>,
    pub display_name: Option<String>,
    pub client_id: Option<String>,
    pub client_secret: Option<Secret>,
    pub scopes: Option<Vec<String>>,
    pub issuer: Option<String>,
    pub authorization_endpoint: Option<String>,
    pub token_endpoint: Option<String>,
    pub userinfo_endpoint: Option<String>,
    pub revocation_endpoint: Option<String>,
    pub subject: Option<OneOrMany>,
    pub pkce: Option<String>,
    pub client_auth: Option<String>,
    pub auth_params: BTreeMap<String, String>,
    pub params: BTreeMap<String, String>,
    /// Fields of the preset; what is none is refused where they are put into it.
    #[serde(flatten)]
    pub fields: toml::Table,
}

/// A string or a list of strings.
#[derive(Debug, Clone, Deserialize)]
#[serde(untagged)]
#[allow(missing_docs)]
pub enum OneOrMany {
    One(String),
    Many(Vec<String>),
}

impl OneOrMany {
    /// The list.
    #[must_use]
    pub fn into_vec(self) -> Vec<String> {
        match self {
            Self::One(one) => vec![one],
            Self::Many(many) => many,
        }
    }
}

/// `[access]`
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
#[allow(missing_docs)]
pub struct Access {
    pub emails: Vec<String>,
    pub email_domains: Vec<String>,
    pub subjects: Vec<String>,
    pub claims: BTreeMap<String, Vec<serde_json::Value>>,
    pub contact: Option<String>,
}

/// `[[trusted_issuers]]`
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
#[allow(missing_docs)]
pub struct TrustedIssuer {
    pub issuer: Option<String>,
    pub jwks_uri: Option<String>,
}

/// `[clients]`
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
#[allow(missing_docs)]
pub struct Clients {
    pub redirect_hosts: Option<Vec<String>>,
    pub redirect_schemes: Option<Vec<String>>,
    pub registration: Option<bool>,
    pub metadata_documents: Option<bool>,
    pub metadata_document_hosts: Option<Vec<String>>,
    pub r#static: Vec<StaticClient>,
}

/// `[[clients.static]]`
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
#[allow(missing_docs)]
pub struct StaticClient {
    pub client_id: Option<String>,
    pub client_name: Option<String>,
    pub client_secret: Option<Secret>,
    pub jwks: Option<toml::Table>,
    pub jwks_uri: Option<String>,
    pub redirect_uris: Option<Vec<String>>,
    pub grant_types: Option<Vec<String>>,
    pub scopes: Option<Vec<String>>,
}

/// `[tokens]`
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
#[allow(missing_docs)]
pub struct Tokens {
    pub session_ttl: Option<String>,
    pub code_ttl: Option<String>,
    pub access_ttl: Option<String>,
    pub refresh_ttl: Option<String>,
    pub refresh_retry_window: Option<String>,
}

/// `[limits]`
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
#[allow(missing_docs)]
pub struct Limits {
    pub connections: Option<i64>,
    pub header_timeout: Option<String>,
    pub idle_timeout: Option<String>,
    pub write_timeout: Option<String>,
    pub drain_timeout: Option<String>,
    pub max_body: Option<String>,
    pub body_timeout: Option<String>,
    pub body_idle_timeout: Option<String>,
    pub connect_timeout: Option<String>,
    pub response_timeout: Option<String>,
    pub max_requests: Option<i64>,
    pub max_requests_per_user: Option<i64>,
}

/// `[[mcp]]`
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
#[allow(missing_docs)]
pub struct Mcp {
    pub path: Option<String>,
    pub backend: Option<OneOrMany>,
    pub transport: Option<String>,
    pub health_path: Option<String>,
    pub health_interval: Option<String>,
    pub health_timeout: Option<String>,
    pub max_body: Option<String>,
    pub command: Option<Vec<String>>,
    pub env: Option<BTreeMap<String, String>>,
    pub inherit_env: Option<Vec<String>>,
    pub processes: Option<String>,
    pub idle_timeout: Option<String>,
    pub max_processes: Option<i64>,
    pub max_processes_per_user: Option<i64>,
    pub max_memory: Option<String>,
    pub upstream: Option<String>,
    pub auth: Option<String>,
    pub challenge: Option<String>,
    pub hide_tools: bool,
    pub public_methods: Option<Vec<String>>,
    pub public_tools: Vec<String>,
    pub scopes: Option<Vec<String>>,
    pub tool_scopes: BTreeMap<String, Vec<String>>,
    pub scope_descriptions: BTreeMap<String, String>,
    pub headers: BTreeMap<String, String>,
    pub assertion: bool,
    pub assertion_audience: Option<String>,
}
