//! `[upstream]`: the service the user signs in to.

use std::collections::BTreeMap;

use mcp_login::core::Secret;
pub use mcp_login::upstream::{ClientAuth, Pkce};

use super::{Context, check_http_url, is_loopback};
use crate::config::fault::Faults;
use crate::config::{check, raw, secret, suggest};

/// The service the user signs in to. What is `None` (or empty) is what the preset says.
#[derive(Debug, Clone)]
pub struct UpstreamConfig {
    /// The preset's name, or `oidc` (then there is an issuer), or `oauth2` (then there are the endpoints).
    pub provider: String,
    /// What people are told that they sign in with.
    pub display_name: Option<String>,
    /// What the upstream calls this gateway.
    pub client_id: String,
    /// Present unless `client_auth` is `none`.
    pub client_secret: Option<Secret>,
    /// What is asked for.
    pub scopes: Option<Vec<String>>,
    /// The issuer, byte for byte.
    pub issuer: Option<String>,
    /// RFC 6749 §3.1
    pub authorization_endpoint: Option<String>,
    /// RFC 6749 §3.2
    pub token_endpoint: Option<String>,
    /// Says who the user is.
    pub userinfo_endpoint: Option<String>,
    /// RFC 7009
    pub revocation_endpoint: Option<String>,
    /// The parts of the stable user id, each a JSON pointer (RFC 6901), maybe behind `userinfo:`, `id_token:` or `token:`.
    pub subject: Option<Vec<String>>,
    /// Proof key.
    pub pkce: Option<Pkce>,
    /// Client authentication.
    pub client_auth: Option<ClientAuth>,
    /// Constant extra parameters of the authorization request.
    pub auth_params: BTreeMap<String, String>,
}

/// What the gateway itself writes into the authorization request.
const RESERVED_PARAMS: [&str; 10] = [
    "client_id",
    "client_secret",
    "redirect_uri",
    "response_type",
    "response_mode",
    "scope",
    "state",
    "nonce",
    "code_challenge",
    "code_challenge_method",
];

pub(super) fn judge(
    raw: raw::Upstream,
    context: &Context<'_>,
    faults: &mut Faults,
) -> Option<UpstreamConfig> {
    let provider = provider(raw.provider, context, faults);
    if raw.client_id.as_deref().unwrap_or_default().is_empty() {
        faults.missing(
            "upstream.client_id",
            "what the provider calls this gateway; `mcp-login providers` says where to get it",
        );
    }
    let pkce = one_of(raw.pkce, "upstream.pkce", &[("S256", Pkce::S256), ("off", Pkce::Off)], faults);
    let methods = [("basic", ClientAuth::Basic), ("post", ClientAuth::Post), ("none", ClientAuth::None)];
    let client_auth = one_of(raw.client_auth, "upstream.client_auth", &methods, faults);
    let client_secret = client_secret(raw.client_secret, client_auth, context, faults);
    let issuer = endpoint(raw.issuer, "upstream.issuer", faults);
    let authorization_endpoint =
        endpoint(raw.authorization_endpoint, "upstream.authorization_endpoint", faults);
    let token_endpoint = endpoint(raw.token_endpoint, "upstream.token_endpoint", faults);
    let userinfo_endpoint = endpoint(raw.userinfo_endpoint, "upstream.userinfo_endpoint", faults);
    let revocation_endpoint = endpoint(raw.revocation_endpoint, "upstream.revocation_endpoint", faults);
    if revocation_endpoint.is_some() {
        faults.warn("upstream.revocation_endpoint", "not in this version yet: it is not called");
    }
    match provider.as_deref() {
        Some("oidc") if issuer.is_none() => {
            faults.missing("upstream.issuer", "provider \"oidc\" finds its endpoints there");
        }
        Some("oauth2") => {
            let endpoints = [
                ("upstream.authorization_endpoint", &authorization_endpoint),
                ("upstream.token_endpoint", &token_endpoint),
                ("upstream.userinfo_endpoint", &userinfo_endpoint),
            ];
            for (key, _) in endpoints.iter().filter(|(_, url)| url.is_none()) {
                faults.missing(key, "provider \"oauth2\" knows no endpoint by itself");
            }
        }
        _ => {}
    }
    check_auth_params(&raw.auth_params, faults);
    Some(UpstreamConfig {
        provider: provider?,
        display_name: raw.display_name,
        client_id: raw.client_id?,
        client_secret,
        scopes: scopes(raw.scopes, faults),
        issuer,
        authorization_endpoint,
        token_endpoint,
        userinfo_endpoint,
        revocation_endpoint,
        subject: subject(raw.subject, faults),
        pkce,
        client_auth,
        auth_params: raw.auth_params,
    })
}

fn provider(written: Option<String>, context: &Context<'_>, faults: &mut Faults) -> Option<String> {
    const KEY: &str = "upstream.provider";
    let Some(provider) = written.filter(|name| !name.is_empty()) else {
        faults.missing(KEY, "a preset (see `mcp-login providers`), \"oidc\" or \"oauth2\"");
        return None;
    };
    if !context.providers.contains(&provider.as_str()) {
        let hint = suggest::hint(&provider, context.providers.iter().copied());
        faults.push(KEY, format!("no preset of this name{hint} `mcp-login providers` lists them; any other service is \"oidc\" or \"oauth2\""));
        return None;
    }
    Some(provider)
}

fn client_secret(
    written: Option<raw::Secret>,
    client_auth: Option<ClientAuth>,
    context: &Context<'_>,
    faults: &mut Faults,
) -> Option<Secret> {
    const KEY: &str = "upstream.client_secret";
    match (written, client_auth) {
        (Some(_), Some(ClientAuth::None)) => {
            faults.push(KEY, "client_auth = \"none\" never sends it: take one of the two out");
            None
        }
        (Some(written), _) => secret::fetch(written, context.places, KEY, faults),
        (None, Some(ClientAuth::None)) => None,
        (None, _) => {
            faults.missing(KEY, "from the provider; client_auth = \"none\" for a client that has none");
            None
        }
    }
}

/// An absolute https URL (http on loopback), kept byte for byte.
fn endpoint(written: Option<String>, key: &str, faults: &mut Faults) -> Option<String> {
    let written = written?;
    match check_http_url(&written) {
        Err(message) => faults.push(key, message),
        Ok(url) if url.scheme() != "https" && !is_loopback(&url) => {
            faults.push(key, "write https; http is for loopback hosts only");
        }
        Ok(_) => {}
    }
    Some(written)
}

fn scopes(written: Option<Vec<String>>, faults: &mut Faults) -> Option<Vec<String>> {
    let check = |name: &str| match mcp_login::core::scope::Scopes::from_names([name]) {
        Ok(_) => Ok(name.to_owned()),
        Err(_) => {
            Err("not a scope: one name for each entry, without spaces, quotes or backslashes".to_owned())
        }
    };
    written.map(|written| super::each(written, "upstream.scopes", faults, check))
}

fn subject(written: Option<raw::OneOrMany>, faults: &mut Faults) -> Option<Vec<String>> {
    const KEY: &str = "upstream.subject";
    let written = written?.into_vec();
    if written.is_empty() {
        faults.push(KEY, "names no part of the user's identity: write [\"/sub\"], or leave it out");
    }
    Some(super::each(written, KEY, faults, |entry| {
        let pointer = match entry.split_once(':') {
            Some(("userinfo" | "id_token" | "token", pointer)) => pointer,
            _ => entry,
        };
        if pointer.len() > 1 && pointer.starts_with('/') {
            return Ok(entry.to_owned());
        }
        Err("not a JSON pointer: write \"/id\", or with its source \"userinfo:/id\" (id_token:, token:)"
            .to_owned())
    }))
}

fn check_auth_params(params: &BTreeMap<String, String>, faults: &mut Faults) {
    for name in params.keys() {
        let key = check::join("upstream.auth_params", name);
        if RESERVED_PARAMS.contains(&name.as_str()) {
            faults.push(key, "the gateway sets this one itself: take it out");
        } else if name.is_empty() {
            faults.push(key, "a parameter needs a name");
        }
    }
}

/// The value that stands for the word.
pub(super) fn one_of<T: Copy>(
    written: Option<String>,
    key: &str,
    words: &[(&str, T)],
    faults: &mut Faults,
) -> Option<T> {
    let written = written?;
    let found = words.iter().find(|(word, _)| *word == written).map(|(_, value)| *value);
    if found.is_none() {
        let list: Vec<String> = words.iter().map(|(word, _)| format!("{word:?}")).collect();
        faults.push(key, format!("write {}", list.join(" or ")));
    }
    found
}
