//! The end of a login, here and at the service.

use std::sync::Arc;

use mcp_login_core::grant::Login;

use super::AuthorizationServer;
use crate::store::backend::StoreError;
use crate::store::records::{DataKey, GrantId, UPSTREAM_TOKENS_LABEL};
use crate::telemetry::log_failure;
use crate::upstream::UpstreamTokens;

/// Ends a login at once, and the service's tokens soon after, if the one who ends it could open them. Nobody waits for the
/// service, and it cannot keep a login from ending.
pub(super) async fn end_login(
    server: &Arc<AuthorizationServer>,
    grant: &GrantId,
    login: &Login,
    key: Option<DataKey>,
) -> Result<bool, StoreError> {
    let ended = server.store.end_grant(grant, server.now()).await?;
    let tokens = key.zip(login.upstream_tokens.as_ref());
    let tokens = tokens.and_then(|(key, sealed)| key.open(grant, UPSTREAM_TOKENS_LABEL, sealed).ok());
    let sign_in = server.sign_ins.of(&login.resource);
    if let Some(tokens) = tokens.filter(|_| login.is_of(sign_in.upstream.realm())) {
        discard(server, &sign_in.name, &login.user.subject, tokens);
    }
    Ok(ended)
}

/// Ends tokens of the service of this name that nobody keeps. Nobody waits for it.
pub(super) fn discard(
    server: &Arc<AuthorizationServer>,
    upstream: &str,
    subject: &str,
    tokens: UpstreamTokens,
) {
    let (server, upstream, subject) = (Arc::clone(server), upstream.to_owned(), subject.to_owned());
    tokio::spawn(async move { revoke(&server, &upstream, &subject, &tokens).await });
}

/// Many services end everything that a person has given this client when one token is revoked (RFC 7009 §2.1 lets them), so
/// as long as the person has another login here the tokens are left to end by themselves.
async fn revoke(server: &AuthorizationServer, upstream: &str, subject: &str, tokens: &UpstreamTokens) {
    let (Some(sign_in), now) = (server.sign_ins.named(upstream), server.now()) else { return };
    match server.store.logins_of(&server.person(&sign_in.name, subject), now).await {
        Ok(others) if others.is_empty() => {}
        Ok(_) => return,
        Err(error) => return log_failure(&error),
    }
    match sign_in.upstream.revoke(tokens, subject, now).await {
        Ok(true) => tracing::info!("tokens that nobody needs any more were revoked at the service"),
        Ok(false) => {}
        Err(error) => log_failure(&error),
    }
}
