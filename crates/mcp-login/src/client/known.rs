//! Where and how well-known clients let themselves be answered: data, in `known_clients.toml`.

use std::sync::LazyLock;

use mcp_login_core::mcp::Glob;
use serde::Deserialize;

/// What is known of them; of redirect URIs the lists that hold when the operator writes none.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct KnownClients {
    /// Hosts of redirect URIs.
    pub(crate) redirect_hosts: Vec<String>,
    /// Private-use schemes of redirect URIs.
    pub(crate) redirect_schemes: Vec<String>,
    /// Patterns of the `User-Agent` of those that look for a challenge in the result of a tool.
    challenge_in_result: Vec<String>,
    /// Of those that do not, though one of the others matches.
    challenge_not_in_result: Vec<String>,
}

/// Whether a client of this `User-Agent` looks for a challenge in the result of a tool.
#[must_use]
pub(crate) fn looks_into_results(user_agent: &str) -> bool {
    static GLOBS: LazyLock<[Vec<Glob>; 2]> = LazyLock::new(|| {
        let known = known_clients();
        [&known.challenge_in_result, &known.challenge_not_in_result]
            .map(|patterns| patterns.iter().filter_map(|pattern| Glob::parse(pattern).ok()).collect())
    });
    let [like, unlike] = &*GLOBS;
    let is = |globs: &[Glob]| globs.iter().any(|glob| glob.matches(user_agent));
    is(like) && !is(unlike)
}

/// The well-known clients.
#[must_use]
pub(crate) fn known_clients() -> &'static KnownClients {
    static KNOWN: LazyLock<KnownClients> =
        LazyLock::new(|| toml::from_str(include_str!("../../known_clients.toml")).unwrap_or_default());
    &KNOWN
}

#[cfg(test)]
mod tests {
    use mcp_login_core::client::RedirectPolicy;

    use super::*;

    #[test]
    fn chatgpt_looks_into_results_and_codex_does_not() {
        for (user_agent, looks) in [
            ("openai-mcp/1.0.0", true),
            ("openai-mcp/1.0.0 (ChatGPT)", true),
            ("openai-mcp/1.0.0 (Codex)", false),
            ("claude-code/2.1.278 (cli)", false),
            ("not-openai-mcp/1.0.0", false),
            ("", false),
        ] {
            assert_eq!(looks_into_results(user_agent), looks, "{user_agent}");
        }
    }

    #[test]
    fn redirect_uris_of_real_clients_are_allowed() {
        let known = known_clients();
        let policy = RedirectPolicy::new(&known.redirect_hosts, &known.redirect_schemes);
        for uri in [
            "https://claude.ai/api/mcp/auth_callback",
            "https://claude.com/api/mcp/auth_callback",
            "http://localhost:53682/callback",
            "https://chatgpt.com/connector_platform_oauth_redirect",
            "http://127.0.0.1:1456/mcp/oauth/callback",
            "https://vscode.dev/redirect",
            "http://127.0.0.1:33418/",
            "cursor://anysphere.cursor-mcp/oauth/callback",
            "https://www.cursor.com/agents/mcp/oauth/callback",
            "https://callback.mistral.ai/v1/integrations_auth/oauth2_callback",
            "https://grok.com/connectors-oauth-exchange-code/",
            "https://global.consent.azure-apim.net/redirect/a-tool",
        ] {
            assert_eq!(policy.check_allowed(uri), Ok(()), "{uri}");
        }
        assert!(policy.check_allowed("https://evil.example/cb").is_err());
    }
}
