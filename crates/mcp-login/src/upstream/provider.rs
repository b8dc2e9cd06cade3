//! [`Provider`]: what is to know about a service, as data. The presets live in `presets.toml`.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::params::{Param, Values};
use super::quirk::{ClientAuth, Nonce, Pkce, Quirk, RevocationStyle, RevocationToken, Rotation, TokenBody};

static PRESETS: LazyLock<Vec<Provider>> = LazyLock::new(|| {
    // A test reads the file through the same function, so a fault in it cannot reach a user.
    read_presets(include_str!("presets.toml")).unwrap_or_default()
});

/// Every preset, by name.
#[must_use]
pub fn all() -> &'static [Provider] {
    &PRESETS
}

/// The preset of this name or alias: `github`, `google`, …, or the generic `oidc` and `oauth2`.
#[must_use]
pub fn preset(name: &str) -> Option<Provider> {
    let is =
        |provider: &&Provider| provider.name == name || provider.aliases.iter().any(|alias| alias == name);
    all().iter().find(is).cloned()
}

fn read_presets(text: &str) -> Result<Vec<Provider>, toml::de::Error> {
    let table: BTreeMap<String, Provider> = toml::from_str(text)?;
    Ok(table.into_iter().map(|(name, provider)| Provider { name, ..provider }).collect())
}

/// How a service tells who signed in.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// OIDC: a signed `id_token`, and discovery for whatever endpoint is not given.
    Oidc,
    /// Plain OAuth 2: the identity is read from the userinfo endpoint or the token answer.
    #[default]
    OAuth2,
}

/// How the userinfo endpoint is asked, where that is not a plain `GET`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct UserinfoRequest {
    /// Instead of `GET`.
    pub method: Method,
    /// What is sent, as it is.
    pub body: Option<String>,
    /// More headers.
    pub headers: BTreeMap<String, String>,
}

/// A method of HTTP.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Method {
    /// `GET`
    #[default]
    Get,
    /// `POST`
    Post,
}

/// A list that says more of a person: organizations, teams, tenants. It is fetched only where a rule asks for it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct List {
    /// Answers with a JSON list.
    pub endpoint: String,
    /// The parts of an entry's name, JSON pointers (RFC 6901) into it; several are joined with `/`.
    pub value: Vec<String>,
    /// A scope that it needs besides.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scope: Option<String>,
}

/// What is to know about a service. All fields are open: take a preset and change what differs.
///
/// Addresses and the issuer may hold `{name}` for the [`params`](Self::params).
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Provider {
    /// The preset's name; the key in `presets.toml`.
    #[serde(default)]
    pub name: String,
    /// Other names of the preset.
    #[serde(default)]
    pub aliases: Vec<String>,
    /// What a person is shown: "Sign in with …".
    pub display_name: String,
    /// OIDC or plain OAuth 2.
    pub kind: Kind,
    /// What has to be said besides the client.
    #[serde(default)]
    pub params: BTreeMap<String, Param>,
    /// The issuer identifier, compared byte for byte. Required for [`Kind::Oidc`]. For [`Kind::OAuth2`] only the
    /// `iss` of the callback is held against it (RFC 9207).
    pub issuer: Option<String>,
    /// Other spellings the service uses for itself in `iss` (Google leaves the scheme out in some tokens).
    #[serde(default)]
    pub issuer_aliases: Vec<String>,
    /// RFC 6749 §3.1.
    pub authorization_endpoint: Option<String>,
    /// RFC 6749 §3.2.
    pub token_endpoint: Option<String>,
    /// Where tokens are refreshed, if not at the token endpoint.
    pub refresh_endpoint: Option<String>,
    /// Answers a bearer token with a JSON object about the user.
    pub userinfo_endpoint: Option<String>,
    /// How it is asked.
    #[serde(default)]
    pub userinfo_request: UserinfoRequest,
    /// Where in its answer the object about the user is, a JSON pointer.
    pub userinfo_pointer: Option<String>,
    /// What has to stand in it, by JSON pointer: of an account that is not active nobody logs in.
    #[serde(default)]
    pub require: BTreeMap<String, String>,
    /// Where in it stands whether the e-mail address was verified, if not at `/email_verified`.
    pub email_verified: Option<String>,
    /// Answers with a list of addresses, each with whether it is the primary one and verified (GitHub, Bitbucket).
    pub email_endpoint: Option<String>,
    /// More that can be asked about a person; each becomes a claim of this name.
    #[serde(default)]
    pub lists: BTreeMap<String, List>,
    /// The keys of the `id_token` (RFC 7517).
    pub jwks_uri: Option<String>,
    /// RFC 7009, or what stands for it. May hold `{client_id}`, `{refresh_token}` and `{uid}`.
    pub revocation_endpoint: Option<String>,
    /// How that is asked.
    #[serde(default)]
    pub revocation_style: RevocationStyle,
    /// Which token that takes.
    #[serde(default)]
    pub revocation_token: RevocationToken,
    /// The parts of the stable user id, each `userinfo:/pointer`, `id_token:/pointer`, `token:/pointer` or
    /// `callback:/parameter` (RFC 6901); a `/pointer` alone is into the id token, or without one into the userinfo.
    /// All are required; several are joined with `:`.
    pub subject: Vec<String>,
    /// RFC 7636.
    #[serde(default)]
    pub pkce: Pkce,
    /// Whether the `id_token` has a nonce.
    #[serde(default)]
    pub nonce: Nonce,
    /// RFC 6749 §2.3.
    #[serde(default)]
    pub client_auth: ClientAuth,
    /// What the token endpoint is sent.
    #[serde(default)]
    pub token_body: TokenBody,
    /// What the service calls `client_id`.
    #[serde(default = "client_id")]
    pub client_id_param: String,
    /// What is asked for unless the operator says otherwise.
    #[serde(default)]
    pub scopes: Vec<String>,
    /// What stands between two scopes in the authorization request; a space but for a few services.
    #[serde(default = "space")]
    pub scope_separator: String,
    /// What the service calls `scope` in the authorization request.
    #[serde(default = "scope")]
    pub scope_param: String,
    /// Whether a refresh has to say the scopes again.
    #[serde(default)]
    pub scope_on_refresh: bool,
    /// Constant extra parameters of the authorization request.
    #[serde(default)]
    pub auth_params: BTreeMap<String, String>,
    /// Constant extra parameters when a code is exchanged.
    #[serde(default)]
    pub token_params: BTreeMap<String, String>,
    /// Where in the answer to a code the tokens are, a JSON pointer.
    pub token_pointer: Option<String>,
    /// Members of the answer to a code that become claims.
    #[serde(default)]
    pub keep_response: Vec<String>,
    /// Parameters of the callback that become claims.
    #[serde(default)]
    pub keep_callback: Vec<String>,
    /// What else says that a refresh token is dead: an `error`, a status, or `/pointer=text` for a text elsewhere in the
    /// answer.
    #[serde(default)]
    pub dead_refresh: Vec<String>,
    /// What needs code of its own.
    #[serde(default)]
    pub quirks: Vec<Quirk>,
    /// What a refresh does to the refresh token.
    pub rotation: Option<Rotation>,
    /// What an operator should know about refresh tokens here.
    pub refresh: Option<String>,
    /// What to click at the service to get a client id.
    pub setup: String,
    /// Where these facts come from, with the date.
    pub source: String,
}

fn space() -> String {
    " ".to_owned()
}

fn scope() -> String {
    "scope".to_owned()
}

fn client_id() -> String {
    "client_id".to_owned()
}

impl Provider {
    /// Sets the issuer. Endpoints that came with the preset belong to the preset's issuer, so they are dropped when the
    /// issuer changes (for [`Kind::Oidc`] discovery then finds the new ones); endpoints set by hand stay, in whatever order
    /// they are set.
    #[must_use]
    pub fn with_issuer(mut self, issuer: impl Into<String>) -> Self {
        let issuer = issuer.into();
        if self.issuer.as_deref() == Some(issuer.as_str()) {
            return self;
        }
        if self.kind == Kind::Oidc
            && let Some(preset) = preset(&self.name)
        {
            forget(&mut self.authorization_endpoint, preset.authorization_endpoint.as_deref());
            forget(&mut self.token_endpoint, preset.token_endpoint.as_deref());
            forget(&mut self.userinfo_endpoint, preset.userinfo_endpoint.as_deref());
            forget(&mut self.jwks_uri, preset.jwks_uri.as_deref());
            forget(&mut self.revocation_endpoint, preset.revocation_endpoint.as_deref());
            if self.issuer_aliases == preset.issuer_aliases {
                self.issuer_aliases.clear();
            }
        }
        self.issuer = Some(issuer);
        self
    }

    /// With these fields, by their names in this type, in the place of its own.
    ///
    /// # Errors
    /// What is wrong with them, in words; an unknown field is an error.
    pub fn with_fields(&self, fields: Map<String, Value>) -> Result<Self, String> {
        let Ok(Value::Object(mut all)) = serde_json::to_value(self) else { return Ok(self.clone()) };
        all.extend(fields);
        serde_json::from_value(Value::Object(all)).map_err(|error| error.to_string())
    }

    /// With these values in the place of its parameters.
    pub(super) fn filled(&self, said: &BTreeMap<String, String>) -> Self {
        let values = Values { params: &self.params, said };
        let mut filled = self.clone();
        for address in [
            &mut filled.issuer,
            &mut filled.authorization_endpoint,
            &mut filled.token_endpoint,
            &mut filled.refresh_endpoint,
            &mut filled.userinfo_endpoint,
            &mut filled.email_endpoint,
            &mut filled.jwks_uri,
            &mut filled.revocation_endpoint,
        ]
        .into_iter()
        .flatten()
        {
            *address = values.fill(address);
        }
        for list in filled.lists.values_mut() {
            list.endpoint = values.fill(&list.endpoint);
        }
        filled
    }

    /// Whether it needs this code.
    #[must_use]
    pub fn has(&self, quirk: Quirk) -> bool {
        self.quirks.contains(&quirk)
    }

    /// Whether `iss` names this service, byte for byte.
    #[must_use]
    pub fn is_issuer(&self, iss: &str) -> bool {
        self.issuer.as_deref() == Some(iss) || self.issuer_aliases.iter().any(|alias| alias == iss)
    }

    /// The scopes of the authorization request. OIDC without `openid` is not OIDC, so it is added
    /// (Core 1.0 §3.1.2.1).
    #[must_use]
    pub(super) fn requested_scopes(&self) -> Vec<&str> {
        let mut scopes: Vec<&str> = self.scopes.iter().map(String::as_str).collect();
        // Apple gives an id_token always, and knows no such scope.
        if self.kind == Kind::Oidc && !scopes.contains(&"openid") && !self.has(Quirk::FormPostCallback) {
            scopes.insert(0, "openid");
        }
        scopes
    }
}

fn forget(endpoint: &mut Option<String>, of_preset: Option<&str>) {
    if endpoint.as_deref() == of_preset {
        *endpoint = None;
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::upstream::Upstream;

    #[test]
    fn the_preset_file_is_read_without_loss() {
        let presets = read_presets(include_str!("presets.toml")).unwrap();
        assert_eq!(presets.len(), 53 + 2, "and the generic ones");
        assert_eq!(all(), presets);
        let names: Vec<_> =
            presets.iter().flat_map(|provider| provider.aliases.iter().chain([&provider.name])).collect();
        let distinct: std::collections::BTreeSet<_> = names.iter().collect();
        assert_eq!(distinct.len(), names.len(), "a name stands twice");
        assert_eq!(preset("twitter").unwrap().name, "x");
    }

    #[test]
    fn an_unknown_key_in_a_preset_is_an_error() {
        let text = include_str!("presets.toml").replace("pkce =", "pcke =");
        assert!(read_presets(&text).is_err());
    }

    #[test]
    fn every_named_preset_needs_only_a_client() {
        for name in ["github", "github_app", "google"] {
            let upstream = Upstream::new(preset(name).unwrap(), "id", Some("secret".into()));
            assert_eq!(upstream.validate(), Ok(()), "{name}");
            assert!(upstream.authorization_origin().is_some(), "{name}");
        }
    }

    #[test]
    fn a_new_issuer_drops_the_presets_endpoints_and_keeps_ones_own() {
        let mut google = preset("google").unwrap();
        google.token_endpoint = Some("https://t.example/token".to_owned());
        let moved = google.with_issuer("https://idp.example");
        assert_eq!(moved.authorization_endpoint, None);
        assert_eq!(moved.token_endpoint.as_deref(), Some("https://t.example/token"));
        assert!(moved.is_issuer("https://idp.example"));
        assert!(!moved.is_issuer("accounts.google.com"));
        assert!(!moved.is_issuer("https://idp.example/"));
    }

    #[test]
    fn openid_is_always_asked_for() {
        let mut google = preset("google").unwrap();
        google.scopes = vec!["email".to_owned()];
        assert_eq!(google.requested_scopes(), ["openid", "email"]);
        assert_eq!(preset("github_app").unwrap().requested_scopes(), Vec::<&str>::new());
    }
}
