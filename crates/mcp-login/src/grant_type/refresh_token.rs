//! `refresh_token` (OAuth 2.1 §4.3), with rotation and a repeated answer for one that was lost.

use mcp_login_core::Timestamp;
use mcp_login_core::error::{ErrorCode, OAuthError};
use mcp_login_core::grant::{Active, Grant, GrantError, PresentedRefreshToken, RefreshStep, Sealed};
use mcp_login_core::scope::Scopes;
use mcp_login_core::token::{RefreshTokenRequest, TokenResponse};
use serde::{Deserialize, Serialize};

use super::issue::issue;
use super::{Context, MAX_ATTEMPTS, ProvedKey, TokenError, parse_scope};
use crate::client::AuthenticatedClient;
use crate::store::backend::Swap;
use crate::store::records::{CLAIMS_LABEL, DataKey, Handle, HandleKind, OpenError};
use crate::upstream::Identity;

/// What the answer to a refresh is sealed as.
const SUCCESSOR_LABEL: &str = "successor";

/// The answer to a refresh, kept sealed under the token that it replaced.
#[derive(Debug, Serialize, Deserialize)]
struct Successor {
    response: TokenResponse,
    access_expires_at: Timestamp,
}

/// Exchanges a refresh token for new tokens. Of any number at once one rotates, and the others are given its answer.
pub(super) async fn refresh(
    context: &Context<'_>,
    client: &AuthenticatedClient,
    request: &RefreshTokenRequest<'_>,
) -> Result<TokenResponse, TokenError> {
    let token = Handle::parse(HandleKind::Refresh, request.refresh_token.expose_secret())
        .ok_or(GrantError::Unknown)?;
    let asked = parse_scope(request.scope)?;
    let presented = PresentedRefreshToken {
        hash: token.hash(),
        lineage: token.lineage_hash(),
        client: client.presented(),
        resource: request.resource,
        scope: asked.as_ref(),
        jkt: context.proved_key(),
    };
    let mut used_up = None;
    for _ in 0..MAX_ATTEMPTS {
        let found = context.store.grant(token.grant(), context.now).await?.ok_or(GrantError::Unknown)?;
        let Grant::Active(mut active) = found.record else { return Err(GrantError::Unknown.into()) };
        let step = match active.check_refresh(&presented, context.now) {
            Ok(step) => step,
            Err(error) => {
                if error == GrantError::Replayed {
                    if !context.store.end_grant_at(token.grant(), found.version, context.now).await? {
                        continue;
                    }
                    tracing::warn!(
                        client_id = client.id(),
                        "a refresh token was presented long after its use; its login has been ended"
                    );
                }
                return Err(error.into());
            }
        };
        let proved = context.use_up_proof_once(&mut used_up).await?;
        let response = match step {
            RefreshStep::Repeat { successor } => {
                return repeat(&token, successor, asked.as_ref(), context.now);
            }
            RefreshStep::Rotate { wrapped_key, scope } => {
                let key = DataKey::unwrap(&token, wrapped_key)?;
                check_access(context, &active, &token, &key).await?;
                rotate(context, proved, &mut active, &token, &key, &scope)?
            }
        };
        let next = Grant::Active(active);
        match context.store.swap_grant(token.grant(), found.version, &next, context.now).await? {
            Swap::Done(_) => return Ok(response),
            Swap::Conflict => {}
            Swap::Missing => return Err(GrantError::Unknown.into()),
        }
    }
    Err(Context::overtaken())
}

/// That the person may still use this server: the rule may have changed since they logged in, and what the service says of
/// them. If they may not, the login ends.
async fn check_access(
    context: &Context<'_>,
    active: &Active,
    token: &Handle,
    key: &DataKey,
) -> Result<(), TokenError> {
    let user = &active.login.user;
    if !active.login.is_of(context.sign_ins.of(&active.login.resource).upstream.realm()) {
        context.store.end_grant(token.grant(), context.now).await?;
        tracing::info!("a login of a service that this server no longer signs people in with was ended");
        return Err(OAuthError::invalid_grant("people sign in elsewhere now; log in again").into());
    }
    let identity = Identity {
        subject: user.subject.clone(),
        email: user.email.clone(),
        name: user.name.clone(),
        preferred_username: user.preferred_username.clone(),
        claims: key.open(token.grant(), CLAIMS_LABEL, &active.login.claims)?,
    };
    if context.access.admits(&identity) {
        return Ok(());
    }
    context.store.end_grant(token.grant(), context.now).await?;
    tracing::info!(subject = user.subject, "a person who is no longer on the list was logged out");
    Err(OAuthError::invalid_grant("this account may no longer use this server").into())
}

fn rotate(
    context: &Context<'_>,
    proved: ProvedKey,
    active: &mut Active,
    token: &Handle,
    key: &DataKey,
    scope: &Scopes,
) -> Result<TokenResponse, OpenError> {
    let (issued, response) = issue(context, proved, &active.login, &token.successor(), key, scope)?;
    let successor = Successor { response, access_expires_at: issued.access.expires_at };
    let sealed = token.seal(SUCCESSOR_LABEL, &successor)?;
    active.rotate(issued, sealed, context.lifetimes.refresh_retry_window, context.now);
    Ok(successor.response)
}

/// The same answer again, to the holder of the token that it replaced.
fn repeat(
    token: &Handle,
    successor: &Sealed,
    asked: Option<&Scopes>,
    now: Timestamp,
) -> Result<TokenResponse, TokenError> {
    let Successor { mut response, access_expires_at } = token.open(SUCCESSOR_LABEL, successor)?;
    if asked.is_some_and(|asked| !asked.covers(&response.scope) || !response.scope.covers(asked)) {
        let description = "this refresh token was used for other scopes; use the newest one";
        return Err(OAuthError::new(ErrorCode::InvalidScope, description).into());
    }
    response.expires_in = access_expires_at.until(now).as_secs();
    Ok(response)
}
