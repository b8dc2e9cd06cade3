//! MCP sessions belong to whoever opened them: the id that a client sees is the backend's with a tag that fits its user
//! only. Nothing is stored for a session, and nothing is asked of the network.
//!
//! A session that nobody in particular has opened (lazy login) is open to whoever knows its id, as it was for the backend:
//! the client that opened it logs in later and goes on with it.

use axum::http::{HeaderMap, HeaderName, HeaderValue};
use mcp_login_core::Timestamp;
use tokio::sync::OnceCell;

use crate::store::Store;
use crate::store::backend::StoreError;
use crate::store::records::SessionKey;

/// MCP, Streamable HTTP: "Session Management".
const SESSION: HeaderName = HeaderName::from_static("mcp-session-id");
/// What stands between the backend's id and the tag.
const SEPARATOR: char = '.';

/// Why a request has no part in the session that it names.
#[derive(Debug)]
pub(super) enum SessionError {
    /// It is another user's, or none of ours.
    NotTheirs,
    /// Nobody knows.
    Store(StoreError),
}

impl From<StoreError> for SessionError {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

/// Tags the sessions of all MCP servers.
#[derive(Debug)]
pub(crate) struct Sessions {
    store: Store,
    key: OnceCell<SessionKey>,
}

impl Sessions {
    pub(super) fn new(store: Store) -> Self {
        Self { store, key: OnceCell::new() }
    }

    pub(super) async fn key(&self, now: Timestamp) -> Result<&SessionKey, StoreError> {
        self.key.get_or_try_init(|| self.store.session_key(now)).await
    }

    /// Puts the backend's id in the place of the one that the client has sent, if it is this user's to use.
    pub(super) async fn open(
        &self,
        headers: &mut HeaderMap,
        resource: &str,
        user: Option<&str>,
        now: Timestamp,
    ) -> Result<(), SessionError> {
        let mut values = headers.get_all(SESSION).iter();
        let Some(value) = values.next() else { return Ok(()) };
        if values.next().is_some() {
            return Err(SessionError::NotTheirs);
        }
        let (id, tag) = value
            .to_str()
            .ok()
            .and_then(|text| text.rsplit_once(SEPARATOR))
            .ok_or(SessionError::NotTheirs)?;
        let key = self.key(now).await?;
        let is_of = |owner| key.has_tag(&parts(resource, owner, id), tag.as_bytes());
        if !is_of(user) && !is_of(None) {
            return Err(SessionError::NotTheirs);
        }
        let id = HeaderValue::from_str(id).map_err(|_| SessionError::NotTheirs)?;
        headers.insert(SESSION, id);
        Ok(())
    }

    /// Puts the tag of its user behind the id that the backend has sent.
    pub(super) async fn seal(
        &self,
        headers: &mut HeaderMap,
        resource: &str,
        user: Option<&str>,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let Some(id) = headers.get(SESSION).and_then(|id| id.to_str().ok()) else {
            headers.remove(SESSION);
            return Ok(());
        };
        let tag = self.key(now).await?.tag(&parts(resource, user, id));
        match HeaderValue::from_str(&format!("{id}{SEPARATOR}{tag}")) {
            Ok(sealed) => drop(headers.insert(SESSION, sealed)),
            Err(_) => drop(headers.remove(SESSION)),
        }
        Ok(())
    }
}

/// A user whose subject is empty is still somebody.
fn parts<'a>(resource: &'a str, user: Option<&'a str>, id: &'a str) -> [&'a [u8]; 4] {
    let (kind, user): (&[u8], &str) = user.map_or((b"anybody", ""), |user| (b"user", user));
    [resource.as_bytes(), kind, user.as_bytes(), id.as_bytes()]
}
