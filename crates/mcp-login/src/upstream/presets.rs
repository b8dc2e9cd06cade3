//! The presets as functions: `presets::github(client_id, client_secret)`.

use mcp_login_core::Secret;

use super::provider::preset;
use super::service::Upstream;

/// GitHub, with an OAuth app.
#[must_use]
pub fn github(client_id: impl Into<String>, client_secret: impl Into<Secret>) -> Upstream {
    named("github", client_id, client_secret)
}

/// GitHub, with a GitHub App: permissions come from the app, tokens are refreshed.
#[must_use]
pub fn github_app(client_id: impl Into<String>, client_secret: impl Into<Secret>) -> Upstream {
    named("github_app", client_id, client_secret)
}

/// Google.
#[must_use]
pub fn google(client_id: impl Into<String>, client_secret: impl Into<Secret>) -> Upstream {
    named("google", client_id, client_secret)
}

/// Any OIDC service. `issuer` is what its discovery document states, byte for byte.
#[must_use]
pub fn oidc(
    issuer: impl Into<String>,
    client_id: impl Into<String>,
    client_secret: impl Into<Secret>,
) -> Upstream {
    named("oidc", client_id, client_secret).issuer(issuer)
}

/// Any OAuth 2 service that says who a token belongs to at `userinfo_endpoint`. The user id is its `/sub` unless
/// [`subject`](Upstream::subject) says otherwise.
#[must_use]
pub fn oauth2(
    authorization_endpoint: impl Into<String>,
    token_endpoint: impl Into<String>,
    userinfo_endpoint: impl Into<String>,
    client_id: impl Into<String>,
    client_secret: impl Into<Secret>,
) -> Upstream {
    named("oauth2", client_id, client_secret)
        .authorization_endpoint(authorization_endpoint)
        .token_endpoint(token_endpoint)
        .userinfo_endpoint(userinfo_endpoint)
}

fn named(name: &str, client_id: impl Into<String>, client_secret: impl Into<Secret>) -> Upstream {
    // Never the default while `presets.toml` is whole, which a test sees to; `validate` refuses the default.
    Upstream::new(preset(name).unwrap_or_default(), client_id, Some(client_secret.into()))
}
