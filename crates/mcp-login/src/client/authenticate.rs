//! Client authentication (OAuth 2.1 §2.4) at the token and revocation endpoints.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use mcp_login_core::client::ClientAuthMethod;
use mcp_login_core::error::OAuthError;
use mcp_login_core::grant::PresentedClient;
use mcp_login_core::params::Params;
use mcp_login_core::{Secret, Timestamp};

use super::Clients;
use crate::settings::Lifetimes;
use crate::store::Store;
use crate::store::backend::StoreError;

/// A client that has proved who it is, or has nothing to prove it with: its identifier.
#[derive(Debug)]
pub(crate) struct AuthenticatedClient {
    id: String,
    /// It has proved it.
    authenticated: bool,
    /// It has registered, and nobody has finished a login with it yet.
    unused: bool,
}

/// Why a client is refused.
#[derive(Debug)]
pub(crate) enum AuthenticationError {
    /// By a rule; `basic` when the client tried the `Authorization` header.
    Refused { error: OAuthError, basic: bool },
    /// Nobody knows: the store is away.
    Store(StoreError),
}

impl From<StoreError> for AuthenticationError {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

/// What a client presents.
#[derive(Debug)]
struct Credentials {
    client_id: String,
    secret: Option<Secret>,
}

impl AuthenticatedClient {
    /// Authenticates by the `Authorization` headers and the form of a request.
    ///
    /// A client that describes itself by a document is a public one, and no document is looked at here: what it presents
    /// is bound to its `client_id`, which is all that the document could add, and a host that is away for an hour must
    /// not end the logins of its client. Nor can anybody make us fetch by asking for tokens.
    pub(crate) async fn authenticate(
        clients: &Clients,
        authorization: &[&[u8]],
        form: &Params,
        now: Timestamp,
    ) -> Result<Self, AuthenticationError> {
        let basic = !authorization.is_empty();
        let refused = |error| AuthenticationError::Refused { error, basic };
        let presented = Credentials::read(authorization, form).map_err(refused)?;
        // One answer for an unknown client and a wrong secret.
        let failed = || {
            refused(OAuthError::invalid_client(
                "the client is unknown or its secret is wrong; register again",
            ))
        };
        if let Some(address) = clients.document(&presented.client_id) {
            address.map_err(|error| refused(error.into()))?;
            let id = presented.client_id;
            return if presented.secret.is_none() {
                Ok(Self { id, authenticated: false, unused: false })
            } else {
                Err(failed())
            };
        }
        let record = clients.registered(&presented.client_id, now).await?.ok_or_else(failed)?;
        let authenticated = match (record.client.token_endpoint_auth_method, &presented.secret) {
            (ClientAuthMethod::None, None) => false,
            (ClientAuthMethod::None, Some(_)) | (_, None) => return Err(failed()),
            (_, Some(secret)) if record.has_secret(secret.expose_secret()) => true,
            (_, Some(_)) => return Err(failed()),
        };
        let unused = record.is_unused();
        Ok(Self { id: record.client.client_id, authenticated, unused })
    }

    /// Its identifier.
    pub(crate) fn id(&self) -> &str {
        &self.id
    }

    /// As the grant sees it.
    pub(crate) fn presented(&self) -> PresentedClient<'_> {
        PresentedClient { id: &self.id, authenticated: self.authenticated }
    }

    /// A login of it comes to an end: if it is the first, the registration becomes one that stays. `false` when the
    /// registration has ended in the meantime.
    pub(crate) async fn keep(
        &self,
        store: &Store,
        lifetimes: &Lifetimes,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        Ok(!self.unused || store.use_client(&self.id, lifetimes.client_idle(), now).await?)
    }
}

impl Credentials {
    /// One method at a time (RFC 6749 §2.3).
    fn read(authorization: &[&[u8]], form: &Params) -> Result<Self, OAuthError> {
        if form.has("client_assertion") || form.has("client_assertion_type") {
            return Err(OAuthError::invalid_client(
                "client assertions are not supported; use none or a client_secret",
            ));
        }
        let in_form = form.one("client_id")?;
        let secret = form.one("client_secret")?;
        match authorization {
            [] => Ok(Self {
                client_id: in_form
                    .ok_or_else(|| OAuthError::invalid_client("client_id is missing"))?
                    .to_owned(),
                secret: secret.map(Secret::from),
            }),
            [header] if secret.is_none() => {
                let credentials = Self::read_basic(header).ok_or_else(|| {
                    OAuthError::invalid_client("the Authorization header is not Basic credentials")
                })?;
                if in_form.is_some_and(|in_form| in_form != credentials.client_id) {
                    return Err(OAuthError::invalid_request("two client_ids are given"));
                }
                Ok(credentials)
            }
            _ => Err(OAuthError::invalid_request("use one way of client authentication")),
        }
    }

    /// `Basic`, with both parts form-encoded (RFC 6749 §2.3.1).
    fn read_basic(header: &[u8]) -> Option<Self> {
        let header = std::str::from_utf8(header).ok()?;
        let (scheme, encoded) = header.split_once(' ')?;
        if !scheme.eq_ignore_ascii_case("basic") || encoded.len() > 2048 {
            return None;
        }
        let decoded = zeroize::Zeroizing::new(STANDARD.decode(encoded.trim()).ok()?);
        let (client_id, secret) = std::str::from_utf8(&decoded).ok()?.split_once(':')?;
        let decode = |part: &str| {
            let pair = Params::parse(format!("p={}", part.replace('&', "%26")).as_bytes()).ok()?;
            pair.one("p").ok().map(|value| value.unwrap_or_default().to_owned())
        };
        let secret = decode(secret)?;
        let secret = (!secret.is_empty()).then(|| Secret::from(secret));
        Some(Self { client_id: decode(client_id)?, secret })
    }
}
