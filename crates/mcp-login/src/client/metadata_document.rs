//! Clients that describe themselves at the address that is their `client_id`: fetched when a login starts, kept in
//! memory, one fetch at a time for each.

mod cache;
mod fetch;

use std::sync::Arc;
use std::time::Duration;

use mcp_login_core::Timestamp;
use mcp_login_core::client::{Client, DocumentError, DocumentHosts, DocumentUrl, RedirectPolicy};
use mcp_login_core::error::OAuthError;
use tokio::sync::Semaphore;

use self::cache::{Cache, Entry};
use self::fetch::{Fetcher, MAX_AGE, TIMEOUT};
use super::known_documents::known_document;

/// How long a failure is remembered.
const FAILURE_AGE: Duration = Duration::from_secs(60);
/// The most fetches at once: each is a connection to wherever a stranger likes.
const MAX_FETCHES: usize = 32;

/// Why there is no client.
#[derive(Debug, Clone)]
pub(crate) enum DocumentRefusal {
    /// Nobody knows what the document says now. The reason is for the log.
    Unreachable(&'static str),
    /// The document, or what stands in its place, is no client's.
    Invalid(OAuthError),
}

impl From<DocumentError> for DocumentRefusal {
    fn from(error: DocumentError) -> Self {
        Self::Invalid(error.into())
    }
}

impl From<DocumentRefusal> for OAuthError {
    fn from(refusal: DocumentRefusal) -> Self {
        match refusal {
            DocumentRefusal::Unreachable(_) => Self::invalid_client(
                "the client's metadata document could not be fetched; try again in a minute",
            ),
            DocumentRefusal::Invalid(error) => error,
        }
    }
}

/// All documents that are known on this node.
#[derive(Debug)]
pub(crate) struct MetadataDocuments {
    cache: Cache,
    source: Arc<Source>,
}

/// Where documents come from.
#[derive(Debug)]
struct Source {
    fetcher: Fetcher,
    redirects: RedirectPolicy,
    fetches: Semaphore,
}

impl MetadataDocuments {
    /// With the hosts that the operator vouches for, and the redirect URIs that are allowed.
    pub(crate) fn new(named: DocumentHosts, redirects: RedirectPolicy) -> Self {
        let fetches = Semaphore::new(MAX_FETCHES);
        let source = Source { fetcher: Fetcher::new(named, TIMEOUT), redirects, fetches };
        Self { cache: Cache::default(), source: Arc::new(source) }
    }

    /// The address that a `client_id` is; `None` for one that is none.
    pub(crate) fn address(&self, client_id: &str) -> Option<Result<DocumentUrl, DocumentError>> {
        let named = self.source.fetcher.named();
        DocumentUrl::is_meant_by(client_id).then(|| DocumentUrl::parse(client_id, named))
    }

    /// The client that is described there.
    pub(crate) async fn client(
        &self,
        document: DocumentUrl,
        now: Timestamp,
    ) -> Result<Arc<Client>, DocumentRefusal> {
        let entry = self.cache.entry(document.client_id(), now);
        if let Some(known) = entry.fresh(now) {
            return known;
        }
        let flight = entry.take_off().await;
        if let Some(known) = entry.fresh(now) {
            return known;
        }
        // In a task of its own: a caller that hangs up must not undo a fetch, or hanging up would make us fetch again.
        let source = Arc::clone(&self.source);
        let fetched = tokio::spawn(async move {
            let known = source.look_up(&document, &entry, now).await;
            drop(flight);
            known
        });
        fetched.await.unwrap_or(Err(DocumentRefusal::Unreachable("the fetch broke off")))
    }
}

impl Source {
    /// Fetches, and remembers what came of it.
    async fn look_up(
        &self,
        document: &DocumentUrl,
        entry: &Entry,
        now: Timestamp,
    ) -> Result<Arc<Client>, DocumentRefusal> {
        let Ok(Ok(permit)) = tokio::time::timeout(TIMEOUT, self.fetches.acquire()).await else {
            // Nothing was asked, so there is nothing to remember.
            let busy = DocumentRefusal::Unreachable("too many other documents are being fetched");
            log_refusal(document, Some(&busy));
            return self.stand_in(document, entry, &busy, now).ok_or(busy);
        };
        let fetched = self.fetch(document).await;
        drop(permit);
        log_refusal(document, fetched.as_ref().err());
        match fetched {
            Ok((client, max_age)) => {
                let client = Arc::new(client);
                entry.keep(Ok(Arc::clone(&client)), now.plus(max_age));
                entry.keep_for_outages(Arc::clone(&client), now.plus(MAX_AGE));
                Ok(client)
            }
            Err(refusal) => {
                let known = self.stand_in(document, entry, &refusal, now).ok_or(refusal);
                entry.keep(known.clone(), now.plus(FAILURE_AGE));
                known
            }
        }
    }

    /// While nobody can tell what the document says: what it said during the last day, then the copy of a well-known
    /// client's that we carry. Nothing stands in for a document that is wrong.
    fn stand_in(
        &self,
        document: &DocumentUrl,
        entry: &Entry,
        refusal: &DocumentRefusal,
        now: Timestamp,
    ) -> Option<Arc<Client>> {
        if matches!(refusal, DocumentRefusal::Invalid(_)) {
            return None;
        }
        let copy = || known_document(document.client_id(), &self.redirects).map(Arc::new);
        entry.for_outages(now).or_else(copy)
    }

    async fn fetch(&self, document: &DocumentUrl) -> Result<(Client, Duration), DocumentRefusal> {
        let fetched = self.fetcher.fetch(document).await?;
        Ok((document.read(&fetched.body, &self.redirects)?, fetched.max_age))
    }
}

/// Once for a fetch, and not for everybody who is answered from memory.
fn log_refusal(document: &DocumentUrl, refusal: Option<&DocumentRefusal>) {
    let host = document.host();
    match refusal {
        Some(DocumentRefusal::Unreachable(reason)) => {
            tracing::warn!(host, reason, "a client's metadata document could not be fetched");
        }
        Some(DocumentRefusal::Invalid(error)) => {
            tracing::info!(host, reason = %error.description, "a client's metadata document is refused");
        }
        None => {}
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_copy_stands_in_for_what_cannot_be_reached_and_not_for_what_is_wrong() {
        let documents =
            MetadataDocuments::new(DocumentHosts::default(), RedirectPolicy::new(["claude.ai"], [""; 0]));
        let (source, now) = (&documents.source, Timestamp::from_millis(1));
        let address = |id: &str| documents.address(id).unwrap().unwrap();
        let (known, other) = (
            address("https://claude.ai/oauth/mcp-oauth-client-metadata"),
            address("https://claude.ai/oauth/other"),
        );
        let away = DocumentRefusal::Unreachable("away");
        let wrong = DocumentRefusal::from(DocumentError::NotAnObject);
        let entry = Entry::default();
        let copy = source.stand_in(&known, &entry, &away, now).unwrap();
        assert_eq!(copy.redirect_uris, ["https://claude.ai/api/mcp/auth_callback"]);
        assert!(source.stand_in(&known, &entry, &wrong, now).is_none());
        assert!(source.stand_in(&other, &entry, &away, now).is_none());
        // What it said itself goes before the copy.
        let said = Arc::new(Client { client_name: Some("Said".into()), ..Client::clone(&copy) });
        entry.keep_for_outages(said, now.plus(MAX_AGE));
        let stands_in = source.stand_in(&known, &entry, &away, now).unwrap();
        assert_eq!(stands_in.client_name.as_deref(), Some("Said"));
    }

    #[test]
    fn only_addresses_are_documents() {
        let documents = MetadataDocuments::new(DocumentHosts::default(), RedirectPolicy::default());
        assert!(documents.address("0123456789abcdef0123456789abcdef").is_none());
        assert!(documents.address("http://client.example/a").unwrap().is_err());
    }
}
