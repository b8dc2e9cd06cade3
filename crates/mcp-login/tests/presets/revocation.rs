//! Ending a login at the service: what each style makes of an answer. What is sent stands in the shapes.

use std::collections::BTreeSet;

use mcp_login::upstream::{UpstreamError, UpstreamTokens, all};

use crate::run::Run;
use crate::shape::shape;

/// Ends the login that the shape gives, without its refresh token if need be; the service answers with this.
async fn revoke(
    name: &str,
    refresh: bool,
    status: u16,
    body: &str,
) -> (Run<'static>, Result<bool, UpstreamError>) {
    let run = Run::new(name, shape(name)).await;
    run.discover();
    let login = run.log_in().await.unwrap();
    run.services.seen();
    let mut tokens: UpstreamTokens = login.tokens;
    if !refresh {
        tokens.refresh_token = None;
    }
    if let Some(revoke) = &run.shape.revoke {
        run.services.answers_with(&revoke.to, status, body);
    }
    let ended = run.upstream.revoke(&tokens, &login.identity.subject, run.now).await;
    (run, ended)
}

#[test]
fn every_style_is_some_services() {
    let of_presets: BTreeSet<String> = all()
        .iter()
        .filter(|provider| shape_revokes(&provider.name))
        .map(|provider| format!("{:?}", provider.revocation_style))
        .collect();
    let styles = [
        "AccessTokenPost",
        "BearerForm",
        "BearerPost",
        "ClientIdPost",
        "FacebookDelete",
        "GithubDelete",
        "HubspotDelete",
        "JsonBasic",
        "Rfc7009",
        "Rfc7009Basic",
        "StripeDeauthorize",
    ];
    assert_eq!(of_presets, styles.map(str::to_owned).into());
}

fn shape_revokes(name: &str) -> bool {
    crate::shape::shapes().get(name).is_some_and(|shape| shape.revoke.is_some())
}

/// A preset of each style.
const EACH: [&str; 11] = [
    "strava",
    "digitalocean",
    "dropbox",
    "twitch",
    "facebook",
    "github",
    "hubspot",
    "notion",
    "discord",
    "todoist",
    "stripe_connect",
];

#[tokio::test]
async fn a_token_that_is_gone_is_as_good_as_ended() {
    for name in EACH {
        for status in [200, 204, 404] {
            assert!(revoke(name, true, status, "").await.1.unwrap(), "{name} {status}");
        }
    }
}

#[tokio::test]
async fn a_refusal_and_an_outage_are_told_apart() {
    for name in EACH {
        let (_, refused) = revoke(name, true, 400, r#"{"error":"invalid_request"}"#).await;
        assert!(matches!(refused, Err(UpstreamError::Refused { .. })), "{name}: {refused:?}");
        let (_, down) = revoke(name, true, 503, "").await;
        assert!(matches!(down, Err(UpstreamError::Unavailable { .. })), "{name}: {down:?}");
    }
}

#[tokio::test]
async fn slack_says_with_200_whether_it_did() {
    assert!(revoke("slack", true, 200, r#"{"ok":true,"revoked":true}"#).await.1.unwrap());
    for gone in ["token_revoked", "token_expired", "invalid_auth", "account_inactive"] {
        let said = format!(r#"{{"ok":false,"error":"{gone}"}}"#);
        assert!(revoke("slack", true, 200, &said).await.1.unwrap(), "{gone}");
    }
    for no in [r#"{"ok":false,"error":"not_allowed_token_type"}"#, r#"{"ok":false}"#, "{}", "[]"] {
        let (_, refused) = revoke("slack", true, 200, no).await;
        assert!(matches!(refused, Err(UpstreamError::Refused { .. })), "{no}: {refused:?}");
    }
}

#[tokio::test]
async fn without_a_refresh_token_the_access_token_is_ended() {
    let (run, ended) = revoke("discord", false, 200, "").await;
    assert!(ended.unwrap());
    let seen = run.services.seen();
    assert_eq!(
        (seen[0].get("token"), seen[0].get("token_type_hint")),
        (Some("at-1".into()), Some("access_token".into()))
    );
    // Here the refresh token is the address.
    let (run, ended) = revoke("hubspot", false, 200, "").await;
    assert!(!ended.unwrap());
    assert!(run.services.seen().is_empty());
}
