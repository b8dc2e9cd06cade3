//! [`StaticClient`]: a client that the operator has set up: `[[clients.static]]` of the configuration.

use std::fmt;

use mcp_login_core::Secret;
use mcp_login_core::grant::SecretHash;
use mcp_login_core::token::GrantType;
use serde_json::Value;
use url::Url;

use crate::store::records::hash_secret;

/// Shorter secrets can be found by trying.
pub(crate) const MIN_SECRET_LENGTH: usize = 16;

/// A client that the operator has set up by hand, beside those that register or describe themselves. It may do what it
/// is given, and what it is goes before a document or a registration of the same `client_id`.
///
/// With a secret it authenticates by `client_secret_basic` or `client_secret_post`, with keys by `private_key_jwt`; with
/// neither it is a public client. What does not fit together is found by
/// [`AuthServerBuilder::build`](crate::server::AuthServerBuilder::build).
#[derive(Debug, Clone)]
pub struct StaticClient {
    pub(crate) client_id: String,
    pub(crate) name: Option<String>,
    pub(crate) secret: Option<StaticSecret>,
    pub(crate) jwks: Option<Value>,
    pub(crate) jwks_uri: Option<Url>,
    pub(crate) redirect_uris: Vec<String>,
    pub(crate) grant_types: Vec<String>,
    pub(crate) scopes: Option<Vec<String>>,
}

/// What is kept of a secret.
#[derive(Clone, Copy)]
pub(crate) struct StaticSecret {
    pub(crate) hash: SecretHash,
    pub(crate) is_short: bool,
}

impl fmt::Debug for StaticSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[secret]")
    }
}

impl StaticClient {
    /// A public client of this identifier: 1 to 200 visible ASCII characters.
    pub fn new(client_id: impl Into<String>) -> Self {
        let usual = [GrantType::AuthorizationCode, GrantType::RefreshToken];
        Self {
            client_id: client_id.into(),
            name: None,
            secret: None,
            jwks: None,
            jwks_uri: None,
            redirect_uris: Vec::new(),
            grant_types: usual.iter().map(|grant| grant.as_str().to_owned()).collect(),
            scopes: None,
        }
    }

    /// The name that people see.
    #[must_use]
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.name = Some(name.into());
        self
    }

    /// Its secret, of 16 characters at least. Only a hash is kept.
    #[must_use]
    #[allow(clippy::needless_pass_by_value)] // It ends here.
    pub fn secret(mut self, secret: Secret) -> Self {
        let text = secret.expose_secret();
        self.secret = Some(StaticSecret {
            hash: hash_secret(text),
            is_short: text.chars().count() < MIN_SECRET_LENGTH,
        });
        self
    }

    /// Its public keys, a JSON Web Key Set (RFC 7517 §5).
    #[must_use]
    pub fn jwks(mut self, jwks: Value) -> Self {
        self.jwks = Some(jwks);
        self
    }

    /// Where its public keys are: https anywhere, or http on this computer.
    #[must_use]
    pub fn jwks_uri(mut self, jwks_uri: Url) -> Self {
        self.jwks_uri = Some(jwks_uri);
        self
    }

    /// Where answers to it may be sent. The lists of allowed hosts and schemes do not hold for it.
    #[must_use]
    pub fn redirect_uris(mut self, uris: impl IntoIterator<Item = impl Into<String>>) -> Self {
        self.redirect_uris = uris.into_iter().map(Into::into).collect();
        self
    }

    /// What it may do, by registered names; `authorization_code` and `refresh_token`, unless said otherwise.
    #[must_use]
    pub fn grant_types(mut self, names: impl IntoIterator<Item = impl Into<String>>) -> Self {
        self.grant_types = names.into_iter().map(Into::into).collect();
        self
    }

    /// The most that its tokens may be used for; every scope, unless said otherwise.
    #[must_use]
    pub fn scopes(mut self, scopes: impl IntoIterator<Item = impl Into<String>>) -> Self {
        self.scopes = Some(scopes.into_iter().map(Into::into).collect());
        self
    }
}
