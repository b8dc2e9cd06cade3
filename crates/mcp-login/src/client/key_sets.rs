//! The keys of clients that sign: by value, or at an address of theirs.

use std::sync::Arc;

use mcp_login_core::client::keys::MAX_KEY_SET_LENGTH;
use mcp_login_core::client::{ClientKeys, DocumentHosts};
use mcp_login_core::error::OAuthError;
use serde_json::Value;
use url::Url;

use super::Asker;
use super::fetched::{Document, Fetched, Reach, Refusal, WrongAnswer};
use crate::jwt::{KeySet, UnverifiedJwt};

/// All key sets that are known on this node. What the operator has named is fetched from anywhere, and apart from what
/// strangers have: neither can push the other out, or be asked for in the other's name.
#[derive(Debug)]
pub(crate) struct KeySets {
    of_strangers: Fetched<KeySetDocument>,
    of_operator: Fetched<KeySetDocument>,
}

#[derive(Debug)]
struct KeySetDocument;

impl KeySets {
    /// With the hosts that the operator vouches for.
    pub(crate) fn new(named: DocumentHosts) -> Self {
        Self {
            of_strangers: Fetched::new(KeySetDocument, Reach::Internet(named)),
            of_operator: Fetched::new(KeySetDocument, Reach::Anywhere),
        }
    }

    /// The keys that may have signed this. A key that is not among them may be a new one, so an address is asked again.
    pub(super) async fn of(
        &self,
        keys: &ClientKeys,
        by_operator: bool,
        jwt: &UnverifiedJwt<'_>,
        asker: Asker<'_>,
    ) -> Result<Arc<KeySet>, Refusal> {
        let uri = match keys {
            ClientKeys::Jwks(jwks) => return read(jwks).map(Arc::new).map_err(Refusal::Invalid),
            ClientKeys::JwksUri(uri) => uri,
        };
        let (fetched, asker) =
            if by_operator { (&self.of_operator, asker.for_operator()) } else { (&self.of_strangers, asker) };
        let known = fetched.get(uri.clone(), asker).await?;
        if jwt.may_be_signed_by(&known) {
            return Ok(known);
        }
        fetched.get_newer(uri.clone(), known, asker).await
    }
}

impl Document for KeySetDocument {
    type Address = Url;
    type Content = KeySet;
    const NAME: &'static str = "a client's key set";
    const MAX_LENGTH: usize = MAX_KEY_SET_LENGTH;
    const CAPACITY: usize = 250;

    fn url(address: &Url) -> &Url {
        address
    }

    fn read(&self, _: &Url, body: &[u8]) -> Result<KeySet, OAuthError> {
        serde_json::from_slice(body).ok().as_ref().map_or_else(|| Err(no_key_set()), read)
    }

    fn wrong(_: WrongAnswer) -> OAuthError {
        no_key_set()
    }

    fn copy(&self, _: &Url) -> Option<KeySet> {
        None
    }
}

fn read(jwks: &Value) -> Result<KeySet, OAuthError> {
    KeySet::read(jwks).ok_or_else(no_key_set)
}

fn no_key_set() -> OAuthError {
    OAuthError::invalid_client("there is no JSON Web Key Set at the client's jwks_uri")
}

/// Whether any of these keys can sign an assertion here.
pub(crate) fn has_usable_key(jwks: &Value) -> bool {
    KeySet::read(jwks).is_some_and(|keys| !keys.is_empty())
}
