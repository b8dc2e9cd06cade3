//! Who has signed in to look at their connections: `account:<hash>`. It is found by a browser's cookie, of which the store
//! has the hash only, and gives nothing but a look at what the person has and the power to end it.

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use mcp_login_core::grant::User;
use mcp_login_core::{Secret, Timestamp};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::{BrowserSecret, decode, encode};
use crate::store::Store;
use crate::store::backend::{Key, StoreError};

/// The kind of these records.
pub(super) const ACCOUNTS: &str = "account";

/// How long a sign-in to the account page is good.
pub(crate) const ACCOUNT_TTL: Duration = Duration::from_secs(15 * 60);

/// The most services that one browser is signed in with.
const MAX_IDENTITIES: usize = 16;

/// A browser's session at the account page.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct AccountSession {
    /// Who signed in, once for each service.
    pub(crate) identities: Vec<AccountIdentity>,
}

/// Somebody, as one service knows them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct AccountIdentity {
    /// The name of the service here.
    pub(crate) upstream: String,
    /// The person.
    pub(crate) user: User,
    /// When they have to sign in again.
    pub(crate) until: Timestamp,
}

impl AccountSession {
    /// The same with somebody who has just signed in, in the place of whoever this service knew before.
    #[must_use]
    pub(crate) fn with(mut self, upstream: &str, user: User, now: Timestamp) -> Self {
        self.identities.retain(|held| held.upstream != upstream);
        let surplus = (self.identities.len() + 1).saturating_sub(MAX_IDENTITIES);
        self.identities.drain(..surplus);
        self.identities.push(AccountIdentity {
            upstream: upstream.to_owned(),
            user,
            until: now.plus(ACCOUNT_TTL),
        });
        self
    }
}

impl BrowserSecret {
    fn account(&self) -> Key {
        let digest = Sha256::digest(self.as_secret().expose_secret());
        Key::new(ACCOUNTS, &URL_SAFE_NO_PAD.encode(digest))
    }

    /// What the forms of the session carry. Only who has the cookie can make it, and nobody the cookie from it.
    pub(crate) fn form_token(&self) -> Secret {
        let mut digest = Sha256::new_with_prefix("mcp-login/1/account form/");
        digest.update(self.as_secret().expose_secret());
        Secret::new(URL_SAFE_NO_PAD.encode(digest.finalize()))
    }
}

impl Store {
    /// Keeps a new session.
    pub(crate) async fn insert_account(
        &self,
        browser: &BrowserSecret,
        session: &AccountSession,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let end = session.identities.iter().map(|identity| identity.until).max().unwrap_or(now);
        if self.backend().insert(&browser.account(), encode(session)?, end, now).await? {
            Ok(())
        } else {
            Err(StoreError::Damaged("a new account session's key is taken"))
        }
    }

    /// The session of this browser: those of its people whose time is not over.
    pub(crate) async fn account(
        &self,
        browser: &BrowserSecret,
        now: Timestamp,
    ) -> Result<Option<AccountSession>, StoreError> {
        let Some(entry) = self.backend().get(&browser.account(), now).await? else { return Ok(None) };
        let mut session: AccountSession = decode(&entry.value, "an account session")?;
        session.identities.retain(|identity| !identity.until.has_passed(now));
        Ok((!session.identities.is_empty()).then_some(session))
    }

    /// Ends the session of this browser.
    pub(crate) async fn end_account(
        &self,
        browser: &BrowserSecret,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        self.backend().delete(&browser.account(), now).await
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::store::memory::MemoryBackend;

    fn user(subject: &str) -> User {
        User { subject: subject.to_owned(), ..User::default() }
    }

    #[tokio::test]
    async fn each_service_has_its_own_quarter_of_an_hour() {
        let store = Store::new(Arc::new(MemoryBackend::new()));
        let (browser, start) = (BrowserSecret::new(), Timestamp::from_millis(1_000_000));
        let later = start.plus(ACCOUNT_TTL / 2);
        let session = AccountSession::default().with("a", user("ada"), start).with("b", user("bob"), later);
        store.insert_account(&browser, &session, later).await.unwrap();
        let names = async |now| {
            let session = store.account(&browser, now).await.unwrap().unwrap_or_default();
            session.identities.into_iter().map(|identity| identity.user.subject).collect::<Vec<_>>()
        };
        assert_eq!(names(later).await, ["ada", "bob"]);
        assert_eq!(names(start.plus(ACCOUNT_TTL)).await, ["bob"]);
        assert!(store.account(&browser, later.plus(ACCOUNT_TTL)).await.unwrap().is_none());
        assert!(store.account(&BrowserSecret::new(), later).await.unwrap().is_none());
    }

    #[test]
    fn of_each_service_the_last_one_counts_and_of_many_services_the_last() {
        let now = Timestamp::from_millis(1);
        let session = AccountSession::default().with("a", user("ada"), now).with("a", user("alan"), now);
        assert_eq!(session.identities.len(), 1);
        assert_eq!(session.identities[0].user.subject, "alan");
        let many = (0..40).fold(session, |session, n| session.with(&n.to_string(), user("x"), now));
        assert_eq!(many.identities.len(), MAX_IDENTITIES);
        assert_eq!(many.identities[MAX_IDENTITIES - 1].upstream, "39");
    }

    #[test]
    fn the_forms_token_is_neither_the_cookie_nor_what_the_store_has() {
        let browser = BrowserSecret::new();
        let token = browser.form_token();
        assert_eq!(token, browser.form_token());
        assert_ne!(token.expose_secret(), browser.as_secret().expose_secret());
        assert!(!browser.account().as_str().contains(token.expose_secret()));
        assert_ne!(token, BrowserSecret::new().form_token());
    }
}
