//! [`Upstream`]: a provider, a client registered there, and what the operator changed.

use std::fmt;
use std::time::Duration;

use mcp_login_core::{Secret, Timestamp};
use url::Url;

use super::cached::Cached;
use super::error::UpstreamError;
use super::http::Http;
use super::metadata::{Discovery, check_url};
use super::provider::{ClientAuth, Kind, Pkce, Provider};
use crate::jwt::KeySet;

/// A service people sign in to, and the client that is registered there for this server.
///
/// Building one does nothing: no network, no failure. [`validate`](Self::validate) tells what is wrong with it.
pub struct Upstream {
    pub(super) provider: Provider,
    pub(super) client_id: String,
    pub(super) client_secret: Option<Secret>,
    pub(super) http: Http,
    pub(super) discovery: Cached<Discovery>,
    pub(super) keys: Cached<KeySet>,
}

impl fmt::Debug for Upstream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Upstream")
            .field("provider", &self.provider)
            .field("client_id", &self.client_id)
            .field("client_secret", &self.client_secret)
            .finish_non_exhaustive()
    }
}

impl Upstream {
    /// A client of `provider`. A public client (`client_auth` none) has no secret.
    #[must_use]
    pub fn new(provider: Provider, client_id: impl Into<String>, client_secret: Option<Secret>) -> Self {
        Self {
            provider,
            client_id: client_id.into(),
            client_secret,
            http: Http::default(),
            discovery: Cached::default(),
            keys: Cached::default(),
        }
    }

    /// What is asked for, instead of the preset's scopes. For OIDC `openid` is added when missing.
    #[must_use]
    pub fn scopes<S: Into<String>>(mut self, scopes: impl IntoIterator<Item = S>) -> Self {
        self.provider.scopes = scopes.into_iter().map(Into::into).collect();
        self
    }

    /// Another issuer, and with it other endpoints: see [`Provider::with_issuer`].
    #[must_use]
    pub fn issuer(mut self, issuer: impl Into<String>) -> Self {
        self.provider = self.provider.with_issuer(issuer);
        self
    }

    /// One more spelling of the issuer that is believed.
    #[must_use]
    pub fn issuer_alias(mut self, issuer: impl Into<String>) -> Self {
        self.provider.issuer_aliases.push(issuer.into());
        self
    }

    /// What a person is shown.
    #[must_use]
    pub fn named(mut self, display_name: impl Into<String>) -> Self {
        self.provider.display_name = display_name.into();
        self
    }

    /// Overrides [`Provider::authorization_endpoint`].
    #[must_use]
    pub fn authorization_endpoint(mut self, url: impl Into<String>) -> Self {
        self.provider.authorization_endpoint = Some(url.into());
        self
    }

    /// Overrides [`Provider::token_endpoint`].
    #[must_use]
    pub fn token_endpoint(mut self, url: impl Into<String>) -> Self {
        self.provider.token_endpoint = Some(url.into());
        self
    }

    /// Overrides [`Provider::userinfo_endpoint`].
    #[must_use]
    pub fn userinfo_endpoint(mut self, url: impl Into<String>) -> Self {
        self.provider.userinfo_endpoint = Some(url.into());
        self
    }

    /// Overrides [`Provider::email_endpoint`].
    #[must_use]
    pub fn email_endpoint(mut self, url: impl Into<String>) -> Self {
        self.provider.email_endpoint = Some(url.into());
        self
    }

    /// Overrides [`Provider::jwks_uri`].
    #[must_use]
    pub fn jwks_uri(mut self, url: impl Into<String>) -> Self {
        self.provider.jwks_uri = Some(url.into());
        self
    }

    /// Overrides [`Provider::revocation_endpoint`].
    #[must_use]
    pub fn revocation_endpoint(mut self, url: impl Into<String>) -> Self {
        self.provider.revocation_endpoint = Some(url.into());
        self
    }

    /// Overrides [`Provider::subject`].
    #[must_use]
    pub fn subject<S: Into<String>>(mut self, parts: impl IntoIterator<Item = S>) -> Self {
        self.provider.subject = parts.into_iter().map(Into::into).collect();
        self
    }

    /// Overrides [`Provider::pkce`].
    #[must_use]
    pub fn pkce(mut self, pkce: Pkce) -> Self {
        self.provider.pkce = pkce;
        self
    }

    /// Overrides [`Provider::client_auth`].
    #[must_use]
    pub fn client_auth(mut self, client_auth: ClientAuth) -> Self {
        self.provider.client_auth = client_auth;
        self
    }

    /// Adds or replaces one constant parameter of the authorization request.
    #[must_use]
    pub fn auth_param(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.provider.auth_params.insert(name.into(), value.into());
        self
    }

    /// How long one call to the service may take, connecting and reading included; 15 s unless set.
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.http = Http::new(timeout);
        self
    }

    /// The provider, with what was overridden.
    #[must_use]
    pub fn provider(&self) -> &Provider {
        &self.provider
    }

    /// What a person is shown: "Sign in with …".
    #[must_use]
    pub fn display_name(&self) -> &str {
        &self.provider.display_name
    }

    /// The client id at the service.
    #[must_use]
    pub fn client_id(&self) -> &str {
        &self.client_id
    }

    /// `scheme://host[:port]` of the authorization endpoint, for a page's `form-action`; `None` when only discovery
    /// could tell.
    #[must_use]
    pub fn authorization_origin(&self) -> Option<String> {
        let url = check_url(self.provider.authorization_endpoint.as_deref()?).ok()?;
        Some(url.origin().ascii_serialization())
    }

    /// Where to send the browser (RFC 6749 §4.1.1). `callback` goes out as it is and must be the `redirect_uri` of
    /// [`exchange`](Self::exchange); `code_challenge` is the S256 one (RFC 7636 §4.2); `nonce` is used by OIDC only.
    /// There is never a `resource`: the token is for the service's own API, and services trip over it.
    ///
    /// # Errors
    /// [`Unavailable`](UpstreamError::Unavailable), [`Untrusted`](UpstreamError::Untrusted) or
    /// [`Misconfigured`](UpstreamError::Misconfigured) when discovery was needed and failed.
    pub async fn authorization_url(
        &self,
        callback: &Url,
        state: &Secret,
        nonce: &Secret,
        code_challenge: &str,
        now: Timestamp,
    ) -> Result<Url, UpstreamError> {
        let mut url = self.metadata(now).await?.authorization_endpoint;
        let scopes = self.provider.requested_scopes();
        {
            let mut query = url.query_pairs_mut();
            query.append_pair("response_type", "code");
            query.append_pair("client_id", &self.client_id);
            query.append_pair("redirect_uri", callback.as_str());
            query.append_pair("state", state.expose_secret());
            if !scopes.is_empty() {
                query.append_pair("scope", &scopes.join(&self.provider.scope_separator));
            }
            if self.provider.kind == Kind::Oidc {
                query.append_pair("nonce", nonce.expose_secret());
            }
            if self.provider.pkce == Pkce::S256 {
                query.append_pair("code_challenge", code_challenge);
                query.append_pair("code_challenge_method", "S256");
            }
            for (name, value) in &self.provider.auth_params {
                query.append_pair(name, value);
            }
        }
        Ok(url)
    }
}
