//! `[[trusted_issuers]]`: identity providers whose word about people is taken (SEP-990).

use super::{check_http_url, is_loopback};
use crate::config::fault::Faults;
use crate::config::raw;

/// An identity provider whose identity assertions are taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TrustedIssuer {
    /// Its issuer identifier, byte for byte.
    pub issuer: String,
    /// Where its keys are, when its discovery document is not to be asked.
    pub jwks_uri: Option<String>,
}

pub(super) fn judge(raw: Vec<raw::TrustedIssuer>, faults: &mut Faults) -> Vec<TrustedIssuer> {
    let mut issuers: Vec<TrustedIssuer> = Vec::with_capacity(raw.len());
    for (n, raw) in raw.into_iter().enumerate() {
        let key = |name: &str| format!("trusted_issuers[{n}].{name}");
        let Some(issuer) = raw.issuer else {
            faults.missing(
                &key("issuer"),
                "the identity provider's issuer identifier, such as \"https://acme.okta.com\"",
            );
            continue;
        };
        check(&key("issuer"), &issuer, faults);
        if let Some(uri) = &raw.jwks_uri {
            check(&key("jwks_uri"), uri, faults);
        }
        if issuers.iter().any(|other| other.issuer == issuer) {
            faults.push(key("issuer"), "is written twice");
        }
        issuers.push(TrustedIssuer { issuer, jwks_uri: raw.jwks_uri });
    }
    issuers
}

fn check(key: &str, written: &str, faults: &mut Faults) {
    match check_http_url(written) {
        Ok(url) if url.scheme() == "http" && !is_loopback(&url) => {
            faults.push(key, "has to be https (http only for this computer)");
        }
        Ok(_) => {}
        Err(message) => faults.push(key, message),
    }
}
