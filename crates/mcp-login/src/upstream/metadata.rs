//! The endpoints of a service: those of the configuration, and for OIDC those of its discovery document.

use mcp_login_core::Timestamp;
use serde::Deserialize;
use url::{Host, Url};

use super::error::UpstreamError;
use super::provider::Kind;
use super::service::Upstream;

/// What the flow needs to know, checked.
#[derive(Debug)]
pub(super) struct Metadata {
    pub(super) authorization_endpoint: Url,
    pub(super) token_endpoint: Url,
    pub(super) refresh_endpoint: Option<Url>,
    pub(super) userinfo_endpoint: Option<Url>,
    pub(super) revocation_endpoint: Option<String>,
    pub(super) jwks_uri: Option<Url>,
    /// RFC 9207 §3: the callback must carry `iss`.
    pub(super) iss_parameter: bool,
}

/// OIDC Discovery 1.0 §3, the part that is used.
#[derive(Debug, Deserialize)]
pub(super) struct Discovery {
    issuer: String,
    authorization_endpoint: Option<String>,
    token_endpoint: Option<String>,
    userinfo_endpoint: Option<String>,
    revocation_endpoint: Option<String>,
    jwks_uri: Option<String>,
    #[serde(default)]
    authorization_response_iss_parameter_supported: bool,
}

impl Upstream {
    /// The endpoints; goes to the network only when the configuration leaves one open.
    pub(super) async fn metadata(&self, now: Timestamp) -> Result<Metadata, UpstreamError> {
        let provider = &self.provider;
        let complete = provider.kind == Kind::OAuth2
            || (provider.authorization_endpoint.is_some()
                && provider.token_endpoint.is_some()
                && provider.jwks_uri.is_some());
        let found =
            if complete { None } else { Some(self.discovery.get(now, self.fetch_discovery()).await?) };
        let found = found.as_deref();
        let endpoint = |key, own: &Option<String>, named: Option<&String>| match (own, named) {
            (Some(own), _) => parse(key, own, true).map(Some),
            // Only a service on loopback may send us to loopback.
            (None, Some(named)) => parse(key, named, self.issuer_is_loopback()).map(Some),
            (None, None) => Ok(None),
        };
        let needed = |key: &'static str, url: Option<Url>| {
            url.ok_or_else(|| UpstreamError::Misconfigured(format!("{key}: is not set")))
        };
        let jwks_uri = endpoint("jwks_uri", &provider.jwks_uri, found.and_then(|d| d.jwks_uri.as_ref()))?;
        Ok(Metadata {
            authorization_endpoint: needed(
                "authorization_endpoint",
                endpoint(
                    "authorization_endpoint",
                    &provider.authorization_endpoint,
                    found.and_then(|d| d.authorization_endpoint.as_ref()),
                )?,
            )?,
            token_endpoint: needed(
                "token_endpoint",
                endpoint(
                    "token_endpoint",
                    &provider.token_endpoint,
                    found.and_then(|d| d.token_endpoint.as_ref()),
                )?,
            )?,
            userinfo_endpoint: endpoint(
                "userinfo_endpoint",
                &provider.userinfo_endpoint,
                found.and_then(|d| d.userinfo_endpoint.as_ref()),
            )?,
            refresh_endpoint: endpoint("refresh_endpoint", &provider.refresh_endpoint, None)?,
            revocation_endpoint: provider
                .revocation_endpoint
                .clone()
                .or_else(|| found.and_then(|d| d.revocation_endpoint.clone()))
                .filter(|named| {
                    provider.revocation_endpoint.is_some()
                        || parse("revocation_endpoint", named, self.issuer_is_loopback()).is_ok()
                }),
            jwks_uri,
            iss_parameter: found.is_some_and(|d| d.authorization_response_iss_parameter_supported),
        })
    }

    /// Discovery 1.0 §4: the document's issuer must be the configured one, byte for byte.
    async fn fetch_discovery(&self) -> Result<Discovery, UpstreamError> {
        let Some(issuer) = self.provider.issuer.as_deref() else {
            return Err(UpstreamError::Misconfigured("issuer: is not set".to_owned()));
        };
        let location = format!("{}/.well-known/openid-configuration", issuer.trim_end_matches('/'));
        let location = parse("issuer", &location, true)?;
        let document = self.http.document("issuer", location).await?;
        let document: Discovery = serde_json::from_value(document)
            .map_err(|_| UpstreamError::Untrusted("the discovery document is not one"))?;
        if document.issuer != issuer {
            let hint = if document.issuer.trim_end_matches('/') == issuer.trim_end_matches('/') {
                "; they differ only in the slash at the end"
            } else {
                ""
            };
            return Err(UpstreamError::Misconfigured(format!(
                "issuer: the service's discovery document names another issuer than {issuer:?}{hint}"
            )));
        }
        Ok(document)
    }

    fn issuer_is_loopback(&self) -> bool {
        let issuer = self.provider.issuer.as_deref().and_then(|issuer| Url::parse(issuer).ok());
        issuer.is_some_and(|issuer| is_loopback(&issuer))
    }
}

fn parse(key: &'static str, text: &str, loopback: bool) -> Result<Url, UpstreamError> {
    let url = check_url(text).map_err(|fault| UpstreamError::Misconfigured(format!("{key}: {fault}")))?;
    if url.scheme() == "http" && !loopback {
        return Err(UpstreamError::Untrusted("the discovery document names an endpoint without https"));
    }
    Ok(url)
}

/// An address this client may call: https, or http on loopback; no credentials, no fragment (RFC 6749 §3.1).
pub(super) fn check_url(text: &str) -> Result<Url, String> {
    let url = Url::parse(text).map_err(|error| format!("is not a URL ({error})"))?;
    if url.host().is_none() {
        return Err("has no host".to_owned());
    }
    match url.scheme() {
        "https" => {}
        "http" if is_loopback(&url) => {}
        "http" => return Err("must be https (http is only for localhost, 127.0.0.1 and [::1])".to_owned()),
        _ => return Err("must be an https URL".to_owned()),
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err("must not contain a user name or password".to_owned());
    }
    if url.fragment().is_some() {
        return Err("must not contain a fragment (#…)".to_owned());
    }
    Ok(url)
}

fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Domain(name)) => name == "localhost" || name.ends_with(".localhost"),
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn https_or_loopback() {
        for good in
            ["https://a.example/x?y=1", "http://127.0.0.1:1/x", "http://[::1]/", "http://localhost:80/"]
        {
            assert!(check_url(good).is_ok(), "{good}");
        }
        for bad in [
            "http://a.example/",
            "http://localhost.example/",
            "http://10.0.0.1/",
            "ftp://127.0.0.1/",
            "https://u:p@a.example/",
            "https://a.example/#f",
            "data:text/plain,x",
            "/authorize",
            "",
        ] {
            assert!(check_url(bad).is_err(), "{bad}");
        }
    }
}
