//! [`Upstream`]: a provider, a client registered there, and what the operator changed.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::time::Duration;

use mcp_login_core::{Secret, Timestamp};
use url::Url;

use super::cached::Cached;
use super::error::UpstreamError;
use super::http::Http;
use super::metadata::{Discovery, check_url};
use super::provider::{Kind, Provider};
use super::quirk::{ClientAuth, Pkce, Quirk};
use crate::jwt::KeySet;

/// A service people sign in to, and the client that is registered there for this server.
///
/// Building one does nothing: no network, no failure. [`validate`](Self::validate) tells what is wrong with it.
pub struct Upstream {
    /// As it was given and changed.
    template: Provider,
    /// The values of its parameters.
    pub(super) params: BTreeMap<String, String>,
    /// The template with the values.
    pub(super) provider: Provider,
    /// The lists that are fetched.
    pub(super) wanted: BTreeSet<String>,
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
        let params = BTreeMap::new();
        Self {
            provider: provider.filled(&params),
            template: provider,
            params,
            wanted: BTreeSet::new(),
            client_id: client_id.into(),
            client_secret,
            http: Http::default(),
            discovery: Cached::default(),
            keys: Cached::default(),
        }
    }

    /// Changes whatever there is no setter for.
    #[must_use]
    pub fn with(mut self, change: impl FnOnce(&mut Provider)) -> Self {
        change(&mut self.template);
        self.provider = self.template.filled(&self.params);
        self
    }

    /// The value of a parameter of the preset ([`Provider::params`]): a domain, a tenant.
    #[must_use]
    pub fn param(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.params.insert(name.into(), value.into());
        self.with(|_| {})
    }

    /// Fetches these lists ([`Provider::lists`]) at each login, so that rules can ask for them. What the service has no
    /// list of is left out.
    #[must_use]
    pub(crate) fn fetching<'a>(mut self, claims: impl IntoIterator<Item = &'a String>) -> Self {
        let known = |name: &&String| self.template.lists.contains_key(*name);
        self.wanted = claims.into_iter().filter(known).cloned().collect();
        self
    }

    /// What is asked for, instead of the preset's scopes. For OIDC `openid` is added when missing.
    #[must_use]
    pub fn scopes<S: Into<String>>(self, scopes: impl IntoIterator<Item = S>) -> Self {
        self.with(|provider| provider.scopes = scopes.into_iter().map(Into::into).collect())
    }

    /// Another issuer, and with it other endpoints: see [`Provider::with_issuer`].
    #[must_use]
    pub fn issuer(self, issuer: impl Into<String>) -> Self {
        let issuer = issuer.into();
        self.with(|provider| *provider = std::mem::take(provider).with_issuer(issuer))
    }

    /// One more spelling of the issuer that is believed.
    #[must_use]
    pub fn issuer_alias(self, issuer: impl Into<String>) -> Self {
        self.with(|provider| provider.issuer_aliases.push(issuer.into()))
    }

    /// What a person is shown.
    #[must_use]
    pub fn named(self, display_name: impl Into<String>) -> Self {
        self.with(|provider| provider.display_name = display_name.into())
    }

    /// Overrides [`Provider::authorization_endpoint`].
    #[must_use]
    pub fn authorization_endpoint(self, url: impl Into<String>) -> Self {
        self.with(|provider| provider.authorization_endpoint = Some(url.into()))
    }

    /// Overrides [`Provider::token_endpoint`].
    #[must_use]
    pub fn token_endpoint(self, url: impl Into<String>) -> Self {
        self.with(|provider| provider.token_endpoint = Some(url.into()))
    }

    /// Overrides [`Provider::userinfo_endpoint`].
    #[must_use]
    pub fn userinfo_endpoint(self, url: impl Into<String>) -> Self {
        self.with(|provider| provider.userinfo_endpoint = Some(url.into()))
    }

    /// Overrides [`Provider::email_endpoint`].
    #[must_use]
    pub fn email_endpoint(self, url: impl Into<String>) -> Self {
        self.with(|provider| provider.email_endpoint = Some(url.into()))
    }

    /// Overrides [`Provider::jwks_uri`].
    #[must_use]
    pub fn jwks_uri(self, url: impl Into<String>) -> Self {
        self.with(|provider| provider.jwks_uri = Some(url.into()))
    }

    /// Overrides [`Provider::revocation_endpoint`].
    #[must_use]
    pub fn revocation_endpoint(self, url: impl Into<String>) -> Self {
        self.with(|provider| provider.revocation_endpoint = Some(url.into()))
    }

    /// Overrides [`Provider::subject`].
    #[must_use]
    pub fn subject<S: Into<String>>(self, parts: impl IntoIterator<Item = S>) -> Self {
        self.with(|provider| provider.subject = parts.into_iter().map(Into::into).collect())
    }

    /// Overrides [`Provider::pkce`].
    #[must_use]
    pub fn pkce(self, pkce: Pkce) -> Self {
        self.with(|provider| provider.pkce = pkce)
    }

    /// Overrides [`Provider::client_auth`].
    #[must_use]
    pub fn client_auth(self, client_auth: ClientAuth) -> Self {
        self.with(|provider| provider.client_auth = client_auth)
    }

    /// Adds or replaces one constant parameter of the authorization request.
    #[must_use]
    pub fn auth_param(self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.with(|provider| drop(provider.auth_params.insert(name.into(), value.into())))
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

    /// Within what a subject is unique: the issuer of an OpenID provider, else the service by where people sign in to it, which
    /// has the tenant where there are several.
    pub(crate) fn realm(&self) -> &str {
        let provider = &self.provider;
        match (provider.kind, &provider.issuer) {
            (Kind::Oidc, Some(issuer)) => issuer,
            // Its endpoints have a version in them.
            _ if provider.has(Quirk::Facebook) => &provider.name,
            _ => provider.authorization_endpoint.as_deref().unwrap_or(&provider.name),
        }
    }

    /// Whether the browser comes back with a form that the service posts, not with a query.
    #[must_use]
    pub fn answers_with_a_form(&self) -> bool {
        self.provider.has(Quirk::FormPostCallback)
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
        let mut scopes = self.provider.requested_scopes();
        let of_lists = self.wanted.iter().filter_map(|name| self.provider.lists.get(name)?.scope.as_deref());
        scopes.extend(of_lists);
        let mut asked = BTreeSet::new();
        scopes.retain(|scope| asked.insert(*scope));
        {
            let mut query = url.query_pairs_mut();
            query.append_pair("response_type", "code");
            query.append_pair(&self.provider.client_id_param, &self.client_id);
            query.append_pair("redirect_uri", callback.as_str());
            query.append_pair("state", state.expose_secret());
            if !scopes.is_empty() {
                query.append_pair(&self.provider.scope_param, &scopes.join(&self.provider.scope_separator));
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
