//! The `id_token` (OIDC Core 1.0 §3.1.3.7). Signature first, then every claim against the time handed in.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::Algorithm;
use mcp_login_core::{Secret, Timestamp};
use serde_json::{Map, Value};
use sha2::{Digest, Sha256, Sha512};
use url::Url;

use super::entra;
use super::error::UpstreamError;
use super::provider::Provider;
use super::quirk::{Nonce, Quirk};
use super::service::Upstream;
use crate::jwt::{JwtError, KeySet, UnverifiedJwt};

/// Seconds two clocks may differ.
const TOLERANCE: f64 = 30.0;

/// What the claims are held against.
pub(super) struct Expected<'a> {
    pub(super) provider: &'a Provider,
    pub(super) client_id: &'a str,
    pub(super) nonce: &'a Secret,
    pub(super) access_token: &'a Secret,
    pub(super) now: Timestamp,
}

impl Upstream {
    /// The claims of a token that holds. A `kid` nobody knows makes the keys be fetched once more.
    pub(super) async fn verify_id_token(
        &self,
        id_token: &str,
        jwks_uri: &Url,
        expected: &Expected<'_>,
    ) -> Result<Map<String, Value>, UpstreamError> {
        let untrusted = |error| UpstreamError::Untrusted(reason(error));
        let token = UnverifiedJwt::read(id_token).map_err(untrusted)?;
        let mut keys = self.key_set(jwks_uri, expected.now).await?;
        if !token.may_be_signed_by(&keys) {
            keys = self.newer_key_set(keys, jwks_uri, expected.now).await?;
        }
        let claims = token.verify(&keys).map_err(untrusted)?;
        check_claims(&claims, token.algorithm(), expected).map_err(UpstreamError::Untrusted)?;
        Ok(claims)
    }
}

impl Upstream {
    async fn key_set(&self, uri: &Url, now: Timestamp) -> Result<Arc<KeySet>, UpstreamError> {
        self.keys.get(now, self.fetch_keys(uri)).await
    }

    /// After a `kid` that `old` does not hold: the service may have changed its keys.
    async fn newer_key_set(
        &self,
        old: Arc<KeySet>,
        uri: &Url,
        now: Timestamp,
    ) -> Result<Arc<KeySet>, UpstreamError> {
        self.keys.get_newer(old, now, self.fetch_keys(uri)).await
    }

    async fn fetch_keys(&self, uri: &Url) -> Result<KeySet, UpstreamError> {
        KeySet::read(&self.http.document("jwks_uri", uri.clone()).await?)
            .ok_or(UpstreamError::Untrusted("the key set is not one"))
    }
}

/// For the operator's log.
const fn reason(error: JwtError) -> &'static str {
    match error {
        JwtError::Malformed => "the id_token is not signed in a known way",
        JwtError::Algorithm => "the id_token is signed with an algorithm that is not allowed",
        JwtError::Critical => "the id_token has a critical header",
        JwtError::UnknownKey => "the id_token is signed with a key the service does not publish",
        JwtError::Signature => "the signature of the id_token does not hold",
    }
}

/// OIDC Core 1.0 §3.1.3.7, steps 2 to 11.
fn check_claims(
    claims: &Map<String, Value>,
    algorithm: Algorithm,
    expected: &Expected<'_>,
) -> Result<(), &'static str> {
    let iss = claims.get("iss").and_then(Value::as_str).unwrap_or_default();
    let its_own = if expected.provider.has(Quirk::IssuerTemplate) {
        entra::is_issuer(expected.provider, claims, iss)
    } else {
        expected.provider.is_issuer(iss)
    };
    if !its_own {
        return Err("the id_token is from another issuer");
    }
    check_audience(claims, expected.client_id)?;
    check_time(claims, expected.now)?;
    match claims.get("nonce").and_then(Value::as_str) {
        None if expected.provider.nonce == Nonce::Skip => {}
        None => return Err("the id_token has no nonce"),
        Some(nonce) if Secret::from(nonce) == *expected.nonce => {}
        Some(_) => return Err("the nonce of the id_token is not the one of this login"),
    }
    if claims.get("sub").and_then(Value::as_str).is_none_or(str::is_empty) {
        return Err("the id_token has no sub");
    }
    if let Some(at_hash) = claims.get("at_hash")
        && at_hash.as_str() != Some(access_token_hash(algorithm, expected.access_token).as_str())
    {
        return Err("the at_hash of the id_token does not belong to the access token");
    }
    Ok(())
}

fn check_audience(claims: &Map<String, Value>, client_id: &str) -> Result<(), &'static str> {
    let several = match claims.get("aud") {
        Some(Value::String(aud)) if aud == client_id => false,
        Some(Value::Array(all)) if all.iter().any(|aud| aud.as_str() == Some(client_id)) => all.len() > 1,
        _ => return Err("the id_token is for another client"),
    };
    match claims.get("azp") {
        None if several => Err("the id_token is for several clients and does not say which one asked (azp)"),
        Some(azp) if azp.as_str() != Some(client_id) => Err("another client asked for the id_token (azp)"),
        _ => Ok(()),
    }
}

fn check_time(claims: &Map<String, Value>, now: Timestamp) -> Result<(), &'static str> {
    // Exact: seconds since 1970 fit a double's 53 bits.
    #[allow(clippy::cast_precision_loss)]
    let now = now.as_secs() as f64;
    let exp = claims.get("exp").and_then(Value::as_f64).ok_or("the id_token has no exp")?;
    let iat = claims.get("iat").and_then(Value::as_f64).ok_or("the id_token has no iat")?;
    if exp + TOLERANCE <= now {
        return Err("the id_token has expired (is this machine's clock right?)");
    }
    if iat - TOLERANCE > now {
        return Err("the id_token is from the future (is this machine's clock right?)");
    }
    match claims.get("nbf").map(Value::as_f64) {
        None => Ok(()),
        Some(Some(nbf)) if nbf - TOLERANCE <= now => Ok(()),
        Some(_) => Err("the id_token is not valid yet (is this machine's clock right?)"),
    }
}

/// OIDC Core 1.0 §3.1.3.6: the left half of the hash that goes with the signature.
fn access_token_hash(algorithm: Algorithm, access_token: &Secret) -> String {
    let token = access_token.expose_secret().as_bytes();
    if algorithm == Algorithm::EdDSA {
        URL_SAFE_NO_PAD.encode(&Sha512::digest(token)[..32])
    } else {
        URL_SAFE_NO_PAD.encode(&Sha256::digest(token)[..16])
    }
}

#[cfg(test)]
mod tests;
