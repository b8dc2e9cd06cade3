//! [`TrustedIssuer`]: an identity provider whose word about people is taken without a login here (SEP-990).

use std::sync::Arc;

use mcp_login_core::Timestamp;
use mcp_login_core::jwt::is_type;
use mcp_login_core::token::identity_assertion::TYP;
use serde::Deserialize;
use serde_json::{Map, Value};
use url::Url;

use super::cached::Cached;
use super::error::UpstreamError;
use super::http::Http;
use super::identity::{Identity, Sources};
use super::metadata::check_url;
use super::provider::{Provider, preset};
use crate::jwt::{JwtError, KeySet, UnverifiedJwt};

/// Between the parts of a subject; an issuer has no fragment (RFC 8414 §2).
const SEPARATOR: char = '#';

/// An identity provider that may vouch for people with identity assertions (ID-JAG).
///
/// Whoever holds its keys can log in as anybody whom `[access]` lets in: trust your own.
#[derive(Debug)]
pub struct TrustedIssuer {
    issuer: String,
    jwks_uri: Option<String>,
    http: Http,
    keys: Cached<KeySet>,
}

/// The part of a metadata document (RFC 8414 §2, OIDC Discovery 1.0 §3) that is used.
#[derive(Debug, Deserialize)]
struct Discovery {
    issuer: String,
    jwks_uri: String,
}

impl TrustedIssuer {
    /// The provider with this issuer identifier. Its keys are found by OIDC discovery.
    #[must_use]
    pub fn new(issuer: impl Into<String>) -> Self {
        Self { issuer: issuer.into(), jwks_uri: None, http: Http::default(), keys: Cached::default() }
    }

    /// Where its keys are, instead of asking its discovery document.
    #[must_use]
    pub fn jwks_uri(mut self, url: impl Into<String>) -> Self {
        self.jwks_uri = Some(url.into());
        self
    }

    /// Its issuer identifier, byte for byte.
    #[must_use]
    pub fn issuer(&self) -> &str {
        &self.issuer
    }

    /// What is wrong with it, each with the key.
    #[must_use]
    pub fn faults(&self) -> Vec<(&'static str, String)> {
        let issuer = check_url(&self.issuer).err().map(|fault| ("issuer", fault));
        let jwks_uri = self.jwks_uri.as_deref().and_then(|url| check_url(url).err());
        issuer.into_iter().chain(jwks_uri.map(|fault| ("jwks_uri", fault))).collect()
    }

    /// The claims of an assertion that this provider has signed. Nothing in them has been checked but who signed.
    ///
    /// # Errors
    /// [`Untrusted`](UpstreamError::Untrusted) when it has not; the others when its keys cannot be had.
    pub(crate) async fn verify(
        &self,
        assertion: &str,
        now: Timestamp,
    ) -> Result<Map<String, Value>, UpstreamError> {
        let untrusted = |error: JwtError| {
            UpstreamError::Untrusted(match error {
                JwtError::Malformed => "the assertion is not signed in a known way",
                JwtError::Algorithm => "the assertion is signed with an algorithm that is not allowed",
                JwtError::Critical => "the assertion has a critical header",
                JwtError::UnknownKey => "the assertion is signed with a key that its issuer does not publish",
                JwtError::Signature => "the signature of the assertion does not hold",
            })
        };
        let token = UnverifiedJwt::read(assertion).map_err(untrusted)?;
        // RFC 8725 §3.11: an ID token of the same provider, which every client has, is no assertion.
        if !token.typ().is_some_and(|typ| is_type(typ, TYP)) {
            return Err(UpstreamError::Untrusted("the assertion's typ is not oauth-id-jag+jwt"));
        }
        let mut keys = self.keys.get(now, self.fetch_keys()).await?;
        if !token.may_be_signed_by(&keys) {
            keys = self.keys.get_newer(Arc::clone(&keys), now, self.fetch_keys()).await?;
        }
        token.verify(&keys).map_err(untrusted)
    }

    async fn fetch_keys(&self) -> Result<KeySet, UpstreamError> {
        let uri = match &self.jwks_uri {
            Some(uri) => callable("trusted_issuers.jwks_uri", uri)?,
            None => self.discover().await?,
        };
        let document = self.http.document("trusted_issuers.jwks_uri", uri).await?;
        KeySet::read(&document).ok_or(UpstreamError::Untrusted("the key set is not one"))
    }

    async fn discover(&self) -> Result<Url, UpstreamError> {
        const KEY: &str = "trusted_issuers.issuer";
        let own = callable(KEY, &self.issuer)?;
        let location = format!("{}/.well-known/openid-configuration", self.issuer.trim_end_matches('/'));
        let location = callable(KEY, &location)?;
        let document = self.http.document(KEY, location).await?;
        let document: Discovery = serde_json::from_value(document)
            .map_err(|_| UpstreamError::Untrusted("the discovery document is not one"))?;
        if document.issuer != self.issuer {
            let fault = format!("{KEY}: its discovery document names another issuer");
            return Err(UpstreamError::Misconfigured(fault));
        }
        let uri = check_url(&document.jwks_uri).map_err(|_| {
            UpstreamError::Untrusted("the discovery document names a jwks_uri that may not be called")
        })?;
        // Only an issuer on loopback may send us there.
        if uri.scheme() == "http" && own.scheme() != "http" {
            return Err(UpstreamError::Untrusted("the discovery document names a jwks_uri without https"));
        }
        Ok(uri)
    }
}

fn callable(key: &'static str, url: &str) -> Result<Url, UpstreamError> {
    check_url(url).map_err(|fault| UpstreamError::Misconfigured(format!("{key}: {fault}")))
}

/// The issuer that an assertion says it is from: only to find the key that proves it.
pub(crate) fn named_issuer<'a>(issuers: &'a [TrustedIssuer], assertion: &str) -> Option<&'a TrustedIssuer> {
    let claims = UnverifiedJwt::read(assertion).ok()?.unverified_claims()?;
    let named = claims.get("iss")?.as_str()?;
    issuers.iter().find(|issuer| issuer.issuer == named)
}

/// The person of whom verified claims speak. If the service that people sign in to is the one that speaks, they are the
/// person who signs in there; anybody else's people are kept apart by the issuer's name.
pub(crate) fn identity_of(
    signs_in_at: &Provider,
    issuer: &TrustedIssuer,
    claims: Map<String, Value>,
) -> Result<Identity, UpstreamError> {
    // Unique only together with the tenant, where there is one.
    let tenant = match claims.get("tenant").map(Value::as_str) {
        None => None,
        Some(Some(tenant)) if !tenant.is_empty() && !tenant.contains(SEPARATOR) => Some(tenant.to_owned()),
        Some(_) => {
            return Err(UpstreamError::Untrusted("the assertion's tenant cannot be part of a subject"));
        }
    };
    let sources = Sources { id_token: claims, ..Sources::default() };
    if tenant.is_none() && signs_in_at.is_issuer(&issuer.issuer) {
        return sources.into_identity(signs_in_at);
    }
    let Some(any) = preset("oidc") else {
        return Err(UpstreamError::Misconfigured("the preset oidc is missing".to_owned()));
    };
    let identity = sources.into_identity(&any)?;
    // With a separator inside a part two people could share one subject.
    if identity.subject.contains(SEPARATOR) {
        return Err(UpstreamError::Untrusted("the assertion's sub cannot be part of a subject"));
    }
    let tenant = tenant.map(|tenant| format!("{tenant}{SEPARATOR}")).unwrap_or_default();
    let subject = format!("{}{SEPARATOR}{tenant}{}", issuer.issuer, identity.subject);
    Ok(Identity { subject, ..identity })
}
