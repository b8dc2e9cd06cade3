//! Signed assertions of who is calling, for servers that can be reached otherwise than through us.
//!
//! Each process has a key of its own, in memory only: there is nothing to configure, to rotate or to lose, and a thief of
//! the store finds public keys. A key is listed in the store before it signs; the list of all nodes is what
//! `/.well-known/jwks.json` of each shows.

mod claims;
mod key_list;
mod own_keys;
mod signing_key;

use std::sync::Arc;

use mcp_login_core::Secret;

use self::claims::Claims;
use self::key_list::KeyList;
use self::own_keys::OwnKeys;
use crate::clock::Clock;
use crate::store::Store;
use crate::store::backend::StoreError;
use crate::store::records::{PublishedKey, random_secret};

pub(crate) use claims::Subject;

/// The longest assertion, in bytes. Node takes 16 KiB of headers in all.
const MAX_LENGTH: usize = 8 * 1024;

/// Why there is no assertion.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum AssertionError {
    /// No key of this process is published, and none can be: nobody could check what it signs. Try again.
    #[error("the caller's identity cannot be signed right now; try again")]
    Unavailable,
    /// It would be longer than 8 KiB, which is more than servers read.
    #[error("this login has more scopes, or a longer client_id, than can be passed on")]
    TooLong,
}

/// Signs, and knows which keys check it.
#[derive(Debug)]
pub(crate) struct Signer {
    issuer: String,
    clock: Arc<dyn Clock>,
    own: OwnKeys,
    list: KeyList,
}

impl Signer {
    pub(crate) fn new(issuer: &str, store: Store, clock: Arc<dyn Clock>) -> Arc<Self> {
        let list = KeyList::new(store);
        Arc::new(Self { issuer: issuer.to_owned(), clock, own: OwnKeys::default(), list })
    }

    /// Who is calling, for one audience. While the key is good this asks nobody; what has to be done for it to stay so is
    /// done beside the request.
    pub(crate) async fn sign(
        self: &Arc<Self>,
        subject: &Subject<'_>,
        audience: &str,
    ) -> Result<Secret, AssertionError> {
        let now = self.clock.now();
        let key = match self.own.signing(now) {
            Some(key) => key,
            None => self.own.obtain(&self.list, &*self.clock).await?,
        };
        if self.own.takes_turn(now) {
            let signer = Arc::clone(self);
            tokio::spawn(async move { signer.own.tend(&signer.list, &*signer.clock).await });
        }
        let jti = random_secret();
        let claims = Claims::new(&self.issuer, audience, jti.expose_secret(), subject, self.clock.now());
        let claims = serde_json::to_vec(&claims).map_err(|_| AssertionError::TooLong)?;
        let assertion = key.sign(&claims).map_err(|_| AssertionError::Unavailable)?;
        if assertion.expose_secret().len() > MAX_LENGTH {
            return Err(AssertionError::TooLong);
        }
        Ok(assertion)
    }

    /// Sees to it that a key is listed before the first assertion is wanted.
    pub(crate) async fn prepare(&self) -> Result<(), AssertionError> {
        match self.own.signing(self.clock.now()) {
            Some(_) => Ok(()),
            None => self.own.obtain(&self.list, &*self.clock).await.map(drop),
        }
    }

    /// The keys of all nodes.
    pub(crate) async fn keys(&self) -> Result<Vec<PublishedKey>, StoreError> {
        let keys = self.list.get(self.clock.now()).await?;
        self.own.look_for_themselves_in(&keys);
        Ok(keys)
    }
}
