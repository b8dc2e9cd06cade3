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
    /// The values of the preset's parameters.
    pub params: BTreeMap<String, String>,
    /// Whatever else is otherwise than the preset says.
    pub fields: serde_json::Map<String, serde_json::Value>,
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

/// `section` is `upstream`, or `upstreams.NAME`.
pub(super) fn judge(
    raw: raw::Upstream,
    section: &str,
    context: &Context<'_>,
    faults: &mut Faults,
) -> Option<UpstreamConfig> {
    let key = |name: &str| format!("{section}.{name}");
    let provider = provider(raw.provider, &key("provider"), context, faults);
    if raw.client_id.as_deref().unwrap_or_default().is_empty() {
        faults.missing(
            &key("client_id"),
            "what the provider calls this gateway; `mcp-login providers` says where to get it",
        );
    }
    let pkce = one_of(raw.pkce, &key("pkce"), &[("S256", Pkce::S256), ("off", Pkce::Off)], faults);
    let methods = [
        ("basic", ClientAuth::Basic),
        ("post", ClientAuth::Post),
        ("none", ClientAuth::None),
        ("jwt_es256", ClientAuth::JwtEs256),
        ("bearer_secret", ClientAuth::BearerSecret),
    ];
    let client_auth = one_of(raw.client_auth, &key("client_auth"), &methods, faults);
    let client_secret = client_secret(raw.client_secret, client_auth, &key("client_secret"), context, faults);
    let issuer = endpoint(raw.issuer, &key("issuer"), faults);
    let authorization_endpoint = endpoint(raw.authorization_endpoint, &key("authorization_endpoint"), faults);
    let token_endpoint = endpoint(raw.token_endpoint, &key("token_endpoint"), faults);
    let userinfo_endpoint = endpoint(raw.userinfo_endpoint, &key("userinfo_endpoint"), faults);
    let revocation_endpoint = endpoint(raw.revocation_endpoint, &key("revocation_endpoint"), faults);
    match provider.as_deref() {
        Some("oidc") if issuer.is_none() => {
            faults.missing(&key("issuer"), "provider \"oidc\" finds its endpoints there");
        }
        Some("oauth2") => {
            let endpoints = [
                (key("authorization_endpoint"), &authorization_endpoint),
                (key("token_endpoint"), &token_endpoint),
                (key("userinfo_endpoint"), &userinfo_endpoint),
            ];
            for (key, _) in endpoints.iter().filter(|(_, url)| url.is_none()) {
                faults.missing(key, "provider \"oauth2\" knows no endpoint by itself");
            }
        }
        _ => {}
    }
    check_auth_params(&raw.auth_params, &key("auth_params"), faults);
    let fields = fields(raw.fields, provider.as_deref(), &key, faults);
    Some(UpstreamConfig {
        provider: provider?,
        display_name: raw.display_name,
        client_id: raw.client_id?,
        client_secret,
        scopes: scopes(raw.scopes, &key("scopes"), faults),
        issuer,
        authorization_endpoint,
        token_endpoint,
        userinfo_endpoint,
        revocation_endpoint,
        subject: subject(raw.subject, &key("subject"), faults),
        pkce,
        client_auth,
        auth_params: raw.auth_params,
        params: raw.params,
        fields,
    })
}

/// The other fields of a preset, if the preset can take them.
fn fields(
    written: toml::Table,
    provider: Option<&str>,
    key: &impl Fn(&str) -> String,
    faults: &mut Faults,
) -> serde_json::Map<String, serde_json::Value> {
    let Ok(serde_json::Value::Object(fields)) = serde_json::to_value(written) else {
        return serde_json::Map::new();
    };
    let Some(preset) = provider.and_then(mcp_login::upstream::preset) else { return fields };
    for (name, value) in &fields {
        let alone = serde_json::Map::from_iter([(name.clone(), value.clone())]);
        if let Err(message) = preset.with_fields(alone) {
            faults.push(key(name), message);
        }
    }
    fields
}

fn provider(
    written: Option<String>,
    key: &str,
    context: &Context<'_>,
    faults: &mut Faults,
) -> Option<String> {
    let Some(provider) = written.filter(|name| !name.is_empty()) else {
        faults.missing(key, "a preset (see `mcp-login providers`), \"oidc\" or \"oauth2\"");
        return None;
    };
    if !context.providers.contains(&provider.as_str()) {
        let hint = suggest::hint(&provider, context.providers.iter().copied());
        let end = if hint.is_empty() { ";" } else { "" };
        faults.push(key, format!("no preset of this name{hint}{end} `mcp-login providers` lists them; any other service is \"oidc\" or \"oauth2\""));
        return None;
    }
    Some(provider)
}

fn client_secret(
    written: Option<raw::Secret>,
    client_auth: Option<ClientAuth>,
    key: &str,
    context: &Context<'_>,
    faults: &mut Faults,
) -> Option<Secret> {
    match (written, client_auth) {
        (Some(_), Some(ClientAuth::None)) => {
            faults.push(key, "client_auth = \"none\" never sends it: take one of the two out");
            None
        }
        (Some(written), _) => secret::fetch(written, context.places, key, faults),
        (None, Some(ClientAuth::None)) => None,
        (None, _) => {
            faults.missing(key, "from the provider; client_auth = \"none\" for a client that has none");
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

fn scopes(written: Option<Vec<String>>, key: &str, faults: &mut Faults) -> Option<Vec<String>> {
    let check = |name: &str| match mcp_login::core::scope::Scopes::from_names([name]) {
        Ok(_) => Ok(name.to_owned()),
        Err(_) => {
            Err("not a scope: one name for each entry, without spaces, quotes or backslashes".to_owned())
        }
    };
    written.map(|written| super::each(written, key, faults, check))
}

fn subject(written: Option<raw::OneOrMany>, key: &str, faults: &mut Faults) -> Option<Vec<String>> {
    let written = written?.into_vec();
    if written.is_empty() {
        faults.push(key, "names no part of the user's identity: write [\"/sub\"], or leave it out");
    }
    Some(super::each(written, key, faults, |entry| {
        let pointer = match entry.split_once(':') {
            Some(("userinfo" | "id_token" | "token" | "callback", pointer)) => pointer,
            _ => entry,
        };
        if pointer.len() > 1 && pointer.starts_with('/') {
            return Ok(entry.to_owned());
        }
        Err("not a JSON pointer: write \"/id\", or with its source \"userinfo:/id\" (id_token:, token:)"
            .to_owned())
    }))
}

fn check_auth_params(params: &BTreeMap<String, String>, section: &str, faults: &mut Faults) {
    for name in params.keys() {
        let key = check::join(section, name);
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
