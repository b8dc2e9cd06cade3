//! What the upstream says of a person who has come back from it.

use std::time::Duration;

use mcp_login_core::grant::User;
use mcp_login_core::params::Params;

use super::AuthorizationServer;
use super::session::Session;
use crate::upstream::{Callback, Exchange, Identity, Login, SignIn, UpstreamError};

/// How long the upstream may take for all that it is asked: less than a request may.
const UPSTREAM_TIMEOUT: Duration = Duration::from_secs(45);

/// Why nobody has signed in.
#[derive(Debug, thiserror::Error)]
pub(super) enum SignInError {
    #[error("the person did not sign in")]
    Cancelled,
    #[error("the upstream answered with an error")]
    Refused,
    #[error("the callback has neither code nor error")]
    NoCode,
    #[error(transparent)]
    Upstream(#[from] UpstreamError),
}

impl SignInError {
    const fn away(reason: &'static str) -> Self {
        Self::Upstream(UpstreamError::Unavailable { retry_after: None, reason, source: None })
    }
}

/// Who has signed in.
pub(super) async fn finish_sign_in(
    server: &AuthorizationServer,
    sign_in: &SignIn,
    session: &Session,
    query: &Params,
) -> Result<Login, SignInError> {
    let asking = ask(server, sign_in, session, query);
    let answered = tokio::time::timeout(UPSTREAM_TIMEOUT, asking).await;
    answered.unwrap_or_else(|_| Err(SignInError::away("it takes too long")))
}

/// Whose answer it is comes first, also when it is a refusal (RFC 9207 §2.4).
async fn ask(
    server: &AuthorizationServer,
    sign_in: &SignIn,
    session: &Session,
    query: &Params,
) -> Result<Login, SignInError> {
    let now = server.now();
    // Given twice it is nobody's.
    let iss = query.one("iss").unwrap_or(Some(""));
    sign_in.upstream.check_callback(iss, now).await?;
    match query.one("error") {
        Ok(None) => {}
        Ok(Some("access_denied")) => return Err(SignInError::Cancelled),
        Ok(Some("temporarily_unavailable")) => return Err(SignInError::away("it says so itself")),
        _ => return Err(SignInError::Refused),
    }
    let Ok(Some(code)) = query.one("code") else { return Err(SignInError::NoCode) };
    let parameters: Vec<_> = query.pairs().collect();
    let exchange = Exchange {
        code: &code.into(),
        iss,
        callback: Callback(&parameters),
        redirect_uri: &sign_in.callback,
        code_verifier: &session.code_verifier,
        nonce: &session.nonce,
        now,
    };
    Ok(sign_in.upstream.exchange(exchange).await?)
}

/// What is kept of a person in the clear.
pub(super) fn user(identity: Identity) -> User {
    User {
        subject: identity.subject,
        email: identity.email,
        name: identity.name,
        preferred_username: identity.preferred_username,
    }
}
