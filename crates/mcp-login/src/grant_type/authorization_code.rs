//! `authorization_code` (OAuth 2.1 §4.1.3).

use mcp_login_core::error::OAuthError;
use mcp_login_core::grant::{Grant, GrantError, PresentedCode};
use mcp_login_core::token::{AuthorizationCodeRequest, TokenResponse};

use super::issue::issue;
use super::{Context, MAX_ATTEMPTS, TokenError};
use crate::client::AuthenticatedClient;
use crate::store::backend::Swap;
use crate::store::records::{DataKey, Handle, HandleKind};

/// Exchanges a code for tokens. Of any number at once one wins; to the others the code is spent, and a spent code
/// that is presented ends the grant (OAuth 2.1 §4.1.3): nobody can say which of them is the thief.
pub(super) async fn exchange(
    context: &Context<'_>,
    client: &AuthenticatedClient,
    request: &AuthorizationCodeRequest<'_>,
) -> Result<TokenResponse, TokenError> {
    let code = Handle::parse(HandleKind::Code, request.code.expose_secret()).ok_or(GrantError::Unknown)?;
    let presented = PresentedCode {
        code: code.hash(),
        client: client.presented(),
        redirect_uri: request.redirect_uri,
        code_verifier: &request.code_verifier,
        resource: request.resource,
        jkt: context.proved_key(),
    };
    let mut used_up = None;
    for _ in 0..MAX_ATTEMPTS {
        let found = context.store.grant(code.grant(), context.now).await?.ok_or(GrantError::Unknown)?;
        let issued = match found.record {
            Grant::CodeIssued(issued) => issued,
            Grant::Active(active) => {
                let error = active.check_code(presented.code, presented.client, presented.jkt);
                if error == GrantError::Replayed {
                    if !context.store.end_grant_at(code.grant(), found.version, context.now).await? {
                        continue;
                    }
                    tracing::warn!(
                        client_id = client.id(),
                        "a code was presented twice; its login has been ended"
                    );
                }
                return Err(error.into());
            }
            Grant::Pending(_) | Grant::Approved(_) | Grant::Claimed(_) => {
                return Err(GrantError::Unknown.into());
            }
        };
        issued.check(&presented, context.now)?;
        if !issued.login.is_of(context.sign_ins.of(&issued.login.resource).upstream.realm()) {
            return Err(GrantError::Unknown.into());
        }
        // Before the code is spent: if the store goes away in between, the client can come back with it.
        if !client.keep(context.store, context.lifetimes, context.now).await? {
            return Err(OAuthError::invalid_client("the registration has ended; register again").into());
        }
        let proved = context.use_up_proof_once(&mut used_up).await?;
        let key = DataKey::unwrap(&code, &issued.wrapped_key)?;
        let refresh = Handle::new(HandleKind::Refresh, code.grant());
        let (tokens, response) = issue(context, proved, &issued.login, &refresh, &key, &issued.login.scope)?;
        let next = Grant::Active(Box::new(issued.exchange(refresh.lineage_hash(), tokens)));
        match context.store.swap_grant(code.grant(), found.version, &next, context.now).await? {
            Swap::Done(_) => return Ok(response),
            Swap::Conflict => {}
            Swap::Missing => return Err(GrantError::Unknown.into()),
        }
    }
    Err(Context::overtaken())
}
