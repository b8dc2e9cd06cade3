//! [`Provider`]: what is to know about a service, as data. The presets live in `presets.toml`.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use serde::{Deserialize, Serialize};

static PRESETS: LazyLock<Vec<Provider>> = LazyLock::new(|| {
    // A test reads the file through the same function, so a fault in it cannot reach a user.
    read_presets(include_str!("presets.toml")).unwrap_or_default()
});

/// Every preset, by name.
#[must_use]
pub fn all() -> &'static [Provider] {
    &PRESETS
}

/// The preset of this name: `github`, `github_app`, `google`, or the generic `oidc` and `oauth2`.
#[must_use]
pub fn preset(name: &str) -> Option<Provider> {
    all().iter().find(|provider| provider.name == name).cloned()
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

/// Proof Key for Code Exchange towards the service (RFC 7636).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Pkce {
    /// Send a challenge.
    #[default]
    S256,
    /// Send none: for the few services that refuse or misread it.
    #[serde(rename = "off")]
    Off,
}

/// How the client proves itself at the token endpoint (RFC 6749 §2.3).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ClientAuth {
    /// HTTP Basic, id and secret form-encoded first, as RFC 6749 §2.3.1 says.
    #[default]
    Basic,
    /// `client_id` and `client_secret` in the form.
    Post,
    /// A public client: only `client_id`.
    None,
}

/// What is to know about a service. All fields are open: take a preset and change what differs.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Provider {
    /// The preset's name; the key in `presets.toml`.
    #[serde(default)]
    pub name: String,
    /// What a person is shown: "Sign in with …".
    pub display_name: String,
    /// OIDC or plain OAuth 2.
    pub kind: Kind,
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
    /// Answers a bearer token with a JSON object about the user.
    pub userinfo_endpoint: Option<String>,
    /// Answers with GitHub's list of `{email, primary, verified}`.
    pub email_endpoint: Option<String>,
    /// The keys of the `id_token` (RFC 7517).
    pub jwks_uri: Option<String>,
    /// RFC 7009.
    pub revocation_endpoint: Option<String>,
    /// The parts of the stable user id, each `userinfo:/pointer`, `id_token:/pointer` or `token:/pointer` (RFC 6901); a
    /// `/pointer` alone is into the id token, or without one into the userinfo.
    /// All are required; several are joined with `:`.
    pub subject: Vec<String>,
    /// RFC 7636.
    #[serde(default)]
    pub pkce: Pkce,
    /// RFC 6749 §2.3.
    #[serde(default)]
    pub client_auth: ClientAuth,
    /// What is asked for unless the operator says otherwise.
    #[serde(default)]
    pub scopes: Vec<String>,
    /// What stands between two scopes in the authorization request; a space but for a few services.
    #[serde(default = "space")]
    pub scope_separator: String,
    /// Constant extra parameters of the authorization request.
    #[serde(default)]
    pub auth_params: BTreeMap<String, String>,
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
        if self.kind == Kind::Oidc && !scopes.contains(&"openid") {
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
        let names: Vec<_> = presets.iter().map(|provider| provider.name.as_str()).collect();
        assert_eq!(names, ["github", "github_app", "google", "oauth2", "oidc"]);
        assert_eq!(all(), presets);
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
