//! The JWT bearer grant (RFC 7523 §2.1) with an identity assertion (ID-JAG; SEP-990): a company's identity provider has
//! decided that a person may use this server through a client, and nobody is asked.

use mcp_login_core::error::{ErrorCode, OAuthError};
use mcp_login_core::grant::User;
use mcp_login_core::token::identity_assertion::Expected;
use mcp_login_core::token::{IdentityAssertion, JwtBearerRequest, TokenResponse};

use super::issue::{Subject, issue_access_token};
use super::{Context, TokenError};
use crate::client::AuthenticatedClient;
use crate::store::records::UsedKind;
use crate::upstream::{TrustedIssuer, UpstreamError, identity_of, named_issuer};

/// Exchanges an assertion for an access token. There is no refresh token: the identity provider keeps the last word.
pub(super) async fn grant(
    context: &Context<'_>,
    client: &AuthenticatedClient,
    request: &JwtBearerRequest<'_>,
) -> Result<TokenResponse, TokenError> {
    let assertion = request.assertion.expose_secret();
    let issuer = named_issuer(context.trusted_issuers, assertion).ok_or_else(|| {
        OAuthError::invalid_grant("the assertion is from an issuer that is not trusted here")
    })?;
    let claims = issuer.verify(assertion, context.now).await.map_err(not_verified)?;
    let expected = Expected {
        issuer: issuer.issuer(),
        audience: context.issuer,
        client_id: client.id(),
        resources: context.indicators,
        now: context.now,
    };
    let held = IdentityAssertion::check(&claims, &expected)?;
    held.check_key(context.proved_key())?;
    let resource = resource(context, request.resource, held.resources.as_deref())?;
    let scope = context.granted_scope(request.scope, &[held.scope.as_ref(), client.scopes()], resource)?;
    let identity = identity_of(context.sign_ins.of(resource).upstream.provider(), issuer, claims)
        .map_err(not_verified)?;
    if !context.access.admits(&identity) {
        tracing::info!(subject = identity.subject, "a person who is not on the list was vouched for");
        return Err(OAuthError::invalid_grant("this person may not use this server").into());
    }
    use_up(context, issuer, &held).await?;
    let user = User {
        subject: identity.subject,
        email: identity.email,
        name: identity.name,
        preferred_username: identity.preferred_username,
    };
    let subject = Subject { user, claims: identity.claims };
    let mut response = issue_access_token(context, client, subject, resource, scope).await?;
    response.resource = Some(resource.to_owned());
    tracing::info!(
        client_id = client.id(),
        issuer = issuer.issuer(),
        resource,
        "an identity provider vouched for a person"
    );
    Ok(response)
}

/// The server that the assertion lets the token be for: the one that is asked for, or else the first.
fn resource<'a>(
    context: &Context<'a>,
    asked: Option<&'a str>,
    granted: Option<&'a [String]>,
) -> Result<&'a str, OAuthError> {
    let granted = granted.unwrap_or_default();
    match asked {
        Some(asked) if granted.is_empty() || granted.iter().any(|granted| granted == asked) => Ok(asked),
        Some(_) => {
            let description = "the resource is not one that the assertion is for";
            Err(OAuthError::new(ErrorCode::InvalidTarget, description))
        }
        None => Ok(granted.first().map_or_else(|| context.indicators.default(), String::as_str)),
    }
}

/// Once on all nodes, and only when everything else holds: a refused assertion can be presented again.
async fn use_up(
    context: &Context<'_>,
    issuer: &TrustedIssuer,
    held: &IdentityAssertion,
) -> Result<(), TokenError> {
    let (kind, until) = (UsedKind::IdentityAssertion, held.remember_until);
    if context.store.use_once(kind, issuer.issuer(), &held.jti, until, context.now).await? {
        return Ok(());
    }
    Err(OAuthError::invalid_grant("the assertion was used before").into())
}

/// What cannot be believed is refused; keys that cannot be had are an outage.
fn not_verified(error: UpstreamError) -> TokenError {
    match error {
        UpstreamError::Untrusted(reason) => OAuthError::invalid_grant(reason).into(),
        other => TokenError::Upstream(other),
    }
}
