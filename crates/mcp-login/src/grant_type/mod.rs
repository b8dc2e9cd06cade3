//! Grant types: what a token request exchanges for tokens, one file each.

mod authorization_code;
mod client_credentials;
mod issue;
mod jwt_bearer;
mod refresh_token;

use mcp_login_core::Timestamp;
use mcp_login_core::authorize::checks::ScopesOf;
use mcp_login_core::dpop::JwkThumbprint;
use mcp_login_core::error::{ErrorCode, OAuthError};
use mcp_login_core::grant::GrantError;
use mcp_login_core::resource_indicator::Resources;
use mcp_login_core::scope::{OFFLINE_ACCESS, Scopes};
use mcp_login_core::token::{TokenRequest, TokenResponse};

use crate::client::AuthenticatedClient;
use crate::dpop::{Proof, ProofError};
use crate::settings::{AccessRule, Lifetimes, ResourceList};
use crate::store::Store;
use crate::store::backend::StoreError;
use crate::store::records::OpenError;
use crate::upstream::{SignIns, TrustedIssuer, UpstreamError};

/// How often a step is tried that others keep overtaking. Each loss means that somebody else's step was done, so
/// honest clients come nowhere near.
const MAX_ATTEMPTS: usize = 64;

/// What every grant type works with.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Context<'a> {
    pub(crate) store: &'a Store,
    pub(crate) lifetimes: &'a Lifetimes,
    /// This server's issuer identifier.
    pub(crate) issuer: &'a str,
    /// The servers that tokens can be for, and their scopes.
    pub(crate) indicators: &'a Resources,
    pub(crate) resources: &'a ResourceList,
    /// Who may log in.
    pub(crate) access: &'a AccessRule,
    /// Where people sign in.
    pub(crate) sign_ins: &'a SignIns,
    /// Whose identity assertions are taken.
    pub(crate) trusted_issuers: &'a [TrustedIssuer],
    pub(crate) now: Timestamp,
    /// The proof of the key that the new access token is to be bound to (RFC 9449 §5).
    pub(crate) proof: Option<&'a Proof>,
}

/// The key of a proof that has been used up, if there was one: what new tokens are bound to.
#[derive(Debug, Clone, Copy)]
struct ProvedKey(Option<JwkThumbprint>);

/// Why there are no tokens.
#[derive(Debug)]
pub(crate) enum TokenError {
    /// By a rule.
    OAuth(OAuthError),
    /// Nobody knows: the store is away.
    Store(StoreError),
    /// The DPoP proof was used before.
    Proof(ProofError),
    /// Nobody knows: the keys of an identity provider cannot be had.
    Upstream(UpstreamError),
}

impl From<OAuthError> for TokenError {
    fn from(error: OAuthError) -> Self {
        Self::OAuth(error)
    }
}

impl From<ProofError> for TokenError {
    fn from(error: ProofError) -> Self {
        Self::Proof(error)
    }
}

impl From<GrantError> for TokenError {
    fn from(error: GrantError) -> Self {
        Self::OAuth(error.into())
    }
}

impl From<StoreError> for TokenError {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

impl From<OpenError> for TokenError {
    fn from(error: OpenError) -> Self {
        Self::Store(error.into())
    }
}

/// Answers a token request of an authenticated client.
pub(crate) async fn grant_tokens(
    context: &Context<'_>,
    client: &AuthenticatedClient,
    request: TokenRequest<'_>,
) -> Result<TokenResponse, TokenError> {
    match request {
        TokenRequest::AuthorizationCode(request) => {
            authorization_code::exchange(context, client, &request).await
        }
        TokenRequest::RefreshToken(request) => refresh_token::refresh(context, client, &request).await,
        TokenRequest::ClientCredentials(request) => {
            client_credentials::grant(context, client, &request).await
        }
        TokenRequest::JwtBearer(request) => jwt_bearer::grant(context, client, &request).await,
    }
}

fn invalid_scope(description: &'static str) -> OAuthError {
    OAuthError::new(ErrorCode::InvalidScope, description)
}

/// A scope parameter; `None` when it asks for nothing. `offline_access` is no scope of a token, and some clients ask for it
/// whatever they were given.
fn parse_scope(list: Option<&str>) -> Result<Option<Scopes>, OAuthError> {
    let parsed = Scopes::parse(list.unwrap_or_default())
        .map_err(|_| invalid_scope("scope is not a list of scopes (RFC 6749 section 3.3)"))?;
    Ok(Some(parsed.without(OFFLINE_ACCESS)).filter(|scope| !scope.is_empty()))
}

impl Context<'_> {
    /// The key that the client says it holds.
    fn proved_key(&self) -> Option<JwkThumbprint> {
        self.proof.map(Proof::key)
    }

    /// Uses the proof up. New tokens cannot be made without having done so, and it is done when all else holds: what is
    /// refused anyway leaves nothing in the store.
    async fn use_up_proof(&self) -> Result<ProvedKey, ProofError> {
        if let Some(proof) = self.proof {
            proof.use_up(self.store, self.now).await?;
        }
        Ok(ProvedKey(self.proved_key()))
    }

    /// The same for a step that is tried until nobody overtakes it: the proof is used up the first time.
    async fn use_up_proof_once(&self, used_up: &mut Option<ProvedKey>) -> Result<ProvedKey, ProofError> {
        match *used_up {
            Some(proved) => Ok(proved),
            None => Ok(*used_up.insert(self.use_up_proof().await?)),
        }
    }

    /// What a token without a consent page may be used for: what was asked, or else all that is granted; never more than
    /// each of those grants that have a say, and than the server knows.
    fn granted_scope(
        &self,
        asked: Option<&str>,
        granted: &[Option<&Scopes>],
        resource: &str,
    ) -> Result<Scopes, OAuthError> {
        let supported = self.resources.supported(resource);
        let all = granted.iter().flatten();
        let granted = all.fold(supported.clone(), |left, granted| left.intersection(granted));
        let scope = match parse_scope(asked)? {
            Some(asked) => asked.intersection(&granted),
            None => granted,
        };
        if scope.is_empty() && !supported.is_empty() {
            return Err(invalid_scope("none of these scopes may be given here"));
        }
        Ok(scope)
    }

    /// Others are too many: the caller may come back.
    fn overtaken() -> TokenError {
        StoreError::unavailable("the grant changes faster than it can be written").into()
    }
}
