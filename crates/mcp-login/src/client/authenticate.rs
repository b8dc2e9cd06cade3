//! Client authentication (OAuth 2.1 §2.4) at the endpoints that clients call.

use std::sync::Arc;
use std::time::Duration;

use mcp_login_core::Timestamp;
use mcp_login_core::client::{Client, ClientAuthMethod};
use mcp_login_core::error::{ErrorCode, OAuthError};
use mcp_login_core::grant::PresentedClient;
use mcp_login_core::params::Params;
use mcp_login_core::scope::Scopes;
use mcp_login_core::token::GrantType;

use super::assertion::{Assertion, not_verified};
use super::configured::ConfiguredClient;
use super::credentials::{Credentials, Proof};
use super::{Asker, Clients};
use crate::settings::Lifetimes;
use crate::store::Store;
use crate::store::backend::StoreError;

/// A client that has proved who it is, or has nothing to prove it with: its identifier.
#[derive(Debug)]
pub(crate) struct AuthenticatedClient {
    id: String,
    /// It has proved it.
    authenticated: bool,
    kind: Kind,
}

/// How the client is known.
#[derive(Debug)]
enum Kind {
    /// The operator has set it up.
    Configured(Arc<ConfiguredClient>),
    /// It describes itself by a document.
    Document,
    /// It has registered; `unused` as long as nobody has finished a login with it.
    Registered { unused: bool },
}

/// Why a client is refused.
#[derive(Debug)]
pub(crate) enum AuthenticationError {
    /// By a rule; `basic` when the client tried the `Authorization` header.
    Refused { error: OAuthError, basic: bool },
    /// Nobody knows: its keys cannot be fetched now. They are asked for again after this time.
    Unreachable { wait: Duration },
    /// Whoever asks has made us fetch too much; more after this time.
    TooMany { wait: Duration },
    /// Nobody knows: the store is away.
    Store(StoreError),
}

impl From<StoreError> for AuthenticationError {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

impl From<OAuthError> for AuthenticationError {
    fn from(error: OAuthError) -> Self {
        Self::Refused { error, basic: false }
    }
}

/// One answer for an unknown client and a wrong secret.
fn failed() -> OAuthError {
    OAuthError::invalid_client("the client is unknown or its secret is wrong; register again")
}

impl AuthenticatedClient {
    /// Authenticates by the `Authorization` headers and the form of a request.
    pub(crate) async fn authenticate(
        clients: &Clients,
        authorization: &[&[u8]],
        form: &Params,
        asker: Asker<'_>,
    ) -> Result<Self, AuthenticationError> {
        let found = Self::find(clients, authorization, form, asker).await;
        found.map_err(|error| match error {
            AuthenticationError::Refused { error, .. } => {
                AuthenticationError::Refused { error, basic: !authorization.is_empty() }
            }
            error => error,
        })
    }

    async fn find(
        clients: &Clients,
        authorization: &[&[u8]],
        form: &Params,
        asker: Asker<'_>,
    ) -> Result<Self, AuthenticationError> {
        let Credentials { client_id, proof } = Credentials::read(authorization, form)?;
        if let Proof::Assertion(jwt) = &proof {
            Assertion { client_id: &client_id, jwt, asker }.screen(clients)?;
        }
        if let Some(configured) = clients.configured.get(&client_id) {
            let authenticated = match &proof {
                Proof::Secret(secret) if configured.has_secret(secret.expose_secret()) => true,
                proof => prove(clients, &configured.client, proof, true, asker).await?,
            };
            return Ok(Self { id: client_id, authenticated, kind: Kind::Configured(Arc::clone(configured)) });
        }
        if let Some(address) = clients.document(&client_id) {
            let address = address.map_err(OAuthError::from)?;
            // A client that says it is a public one needs no document: what it presents is bound to its `client_id`, and
            // the grant knows whether it has to authenticate. A host that is away for an hour ends no login, and nobody
            // makes us fetch by asking for tokens.
            let authenticated = match (&proof, &clients.documents) {
                (Proof::Assertion(_), Some(documents)) => {
                    let client = documents.client(address, asker).await?;
                    prove(clients, &client, &proof, false, asker).await?
                }
                (Proof::None, _) => false,
                _ => return Err(failed().into()),
            };
            return Ok(Self { id: client_id, authenticated, kind: Kind::Document });
        }
        let unknown = || if matches!(proof, Proof::Assertion(_)) { not_verified() } else { failed() };
        let record = clients.registered(&client_id, asker.now).await?.ok_or_else(unknown)?;
        let authenticated = match &proof {
            Proof::Secret(secret) if record.has_secret(secret.expose_secret()) => true,
            proof => prove(clients, &record.client, proof, false, asker).await?,
        };
        let kind = Kind::Registered { unused: record.is_unused() };
        Ok(Self { id: client_id, authenticated, kind })
    }

    /// Its identifier.
    pub(crate) fn id(&self) -> &str {
        &self.id
    }

    /// As the grant sees it.
    pub(crate) fn presented(&self) -> PresentedClient<'_> {
        PresentedClient { id: &self.id, authenticated: self.authenticated }
    }

    /// Whether the operator has set it up.
    pub(crate) const fn is_configured(&self) -> bool {
        matches!(self.kind, Kind::Configured(_))
    }

    /// Whether it may use this grant type. Who registers or describes itself may log people in; to bring what an identity
    /// provider says of a person (`jwt-bearer`), it has to have proved that it is the one. Who may act for itself is the
    /// operator's word alone (SEP-1046).
    pub(crate) fn may_use(&self, grant_type: GrantType) -> bool {
        match (&self.kind, grant_type) {
            (Kind::Configured(client), grant_type) => client.may_use(grant_type),
            (_, GrantType::AuthorizationCode | GrantType::RefreshToken) => true,
            (Kind::Document, GrantType::JwtBearer) => self.authenticated,
            _ => false,
        }
    }

    /// `unauthorized_client` (RFC 6749 §5.2) where it may not.
    pub(crate) fn check_may_use(&self, grant_type: GrantType) -> Result<(), OAuthError> {
        if self.may_use(grant_type) {
            return Ok(());
        }
        let description =
            "this client may not use this grant_type; the operator can add it to its grant_types";
        Err(OAuthError::new(ErrorCode::UnauthorizedClient, description))
    }

    /// The most that the tokens of a client that the operator has set up may be used for; `None` is every scope.
    pub(crate) fn scopes(&self) -> Option<&Scopes> {
        match &self.kind {
            Kind::Configured(client) => client.scopes(),
            Kind::Document | Kind::Registered { .. } => None,
        }
    }

    /// A login of it comes to an end: if it is the first, the registration becomes one that stays. `false` when the
    /// registration has ended in the meantime.
    pub(crate) async fn keep(
        &self,
        store: &Store,
        lifetimes: &Lifetimes,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        let unused = matches!(self.kind, Kind::Registered { unused: true });
        Ok(!unused || store.use_client(&self.id, lifetimes.client_idle(), now).await?)
    }
}

/// Whether the client has proved that it is the one; a public client need not. A secret that came this far is no good.
async fn prove(
    clients: &Clients,
    client: &Client,
    proof: &Proof<'_>,
    by_operator: bool,
    asker: Asker<'_>,
) -> Result<bool, AuthenticationError> {
    match (proof, &client.keys) {
        (Proof::None, _) if client.auth_methods.contains(ClientAuthMethod::None) => Ok(false),
        (Proof::Assertion(jwt), Some(keys))
            if client.auth_methods.contains(ClientAuthMethod::PrivateKeyJwt) =>
        {
            let assertion = Assertion { client_id: &client.client_id, jwt, asker };
            assertion.accept(clients, keys, by_operator).await?;
            Ok(true)
        }
        (Proof::Assertion(_), _) => Err(not_verified().into()),
        _ => Err(failed().into()),
    }
}
