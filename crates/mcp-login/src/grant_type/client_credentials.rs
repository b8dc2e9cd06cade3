//! `client_credentials` (OAuth 2.1 §4.2, SEP-1046): a client that the operator has named acts for itself.

use mcp_login_core::grant::User;
use mcp_login_core::token::{ClientCredentialsRequest, TokenResponse};
use serde_json::Map;

use super::issue::{Subject, issue_access_token};
use super::{Context, TokenError};
use crate::client::AuthenticatedClient;
use crate::upstream::CLIENT_SUBJECT_PREFIX;

/// Gives a client a token of its own. There is no refresh token: the client can ask again (RFC 6749 §4.4.3).
pub(super) async fn grant(
    context: &Context<'_>,
    client: &AuthenticatedClient,
    request: &ClientCredentialsRequest<'_>,
) -> Result<TokenResponse, TokenError> {
    let resource = request.resource.unwrap_or_else(|| context.indicators.default());
    let scope = context.granted_scope(request.scope, &[client.scopes()], resource)?;
    // Nobody who signs in may be taken for a client, nor the other way round (RFC 9700 §4.15).
    let user = User { subject: format!("{CLIENT_SUBJECT_PREFIX}{}", client.id()), ..User::default() };
    let subject = Subject { user, claims: Map::new() };
    let response = issue_access_token(context, client, subject, resource, scope).await?;
    tracing::info!(client_id = client.id(), resource, "a client acts for itself");
    Ok(response)
}
