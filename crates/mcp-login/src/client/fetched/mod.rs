//! Documents of strangers: what clients publish at addresses of their own. Fetched when it is needed, kept in memory, one
//! fetch at a time for each, and nobody can make us fetch as often as they like.

mod cache;
mod fetch;

use std::fmt::Debug;
use std::sync::Arc;
use std::time::Duration;

use mcp_login_core::Timestamp;
use mcp_login_core::error::OAuthError;
use tokio::sync::{OwnedMutexGuard, Semaphore};
use url::{Position, Url};

use self::cache::{Cache, Entry};
use self::fetch::{FetchError, Fetcher, MAX_AGE, TIMEOUT};

pub(super) use self::fetch::{Reach, WrongAnswer};
use super::Asker;

/// How long a failure is remembered.
pub(super) const FAILURE_AGE: Duration = Duration::from_secs(60);
/// The most fetches at once: each is a connection to wherever a stranger likes.
const MAX_FETCHES: usize = 32;
/// The least time between two fetches of the same document that a caller asks for because it does not say enough.
const FORCED_INTERVAL: Duration = Duration::from_secs(30);

/// A kind of document, and how it is read.
pub(super) trait Document: Debug + Send + Sync + 'static {
    /// Where one is.
    type Address: Debug + Send + Sync + 'static;
    /// What it says.
    type Content: Debug + Send + Sync + 'static;
    /// What it is called in the log.
    const NAME: &'static str;
    /// The most that is read, in bytes.
    const MAX_LENGTH: usize;
    /// Of how many something is remembered.
    const CAPACITY: usize;

    /// Where to fetch it.
    fn url(address: &Self::Address) -> &Url;
    /// What it says.
    fn read(&self, address: &Self::Address, body: &[u8]) -> Result<Self::Content, OAuthError>;
    /// Why something else than a document is there.
    fn wrong(answer: WrongAnswer) -> OAuthError;
    /// What can stand in for one that nobody has ever fetched.
    fn copy(&self, address: &Self::Address) -> Option<Self::Content>;
}

/// Why there is no document.
#[derive(Debug, Clone)]
pub(crate) enum Refusal {
    /// Nobody knows what it says now. The reason is for the log.
    Unreachable(&'static str),
    /// The same, because whoever asks has made us fetch too much; more after this time.
    TooMany(Duration),
    /// It is wrong, or what stands in its place.
    Invalid(OAuthError),
}

/// All documents of a kind that are known on this node.
#[derive(Debug)]
pub(super) struct Fetched<D: Document> {
    cache: Cache<D::Content>,
    source: Arc<Source<D>>,
}

/// Where documents come from.
#[derive(Debug)]
struct Source<D: Document> {
    kind: D,
    fetcher: Fetcher,
    fetches: Semaphore,
}

impl<D: Document> Fetched<D> {
    pub(super) fn new(kind: D, reach: Reach) -> Self {
        let fetcher = Fetcher::new(reach, D::MAX_LENGTH, TIMEOUT);
        let source = Source { kind, fetcher, fetches: Semaphore::new(MAX_FETCHES) };
        Self { cache: Cache::new(D::CAPACITY), source: Arc::new(source) }
    }

    /// What the document says.
    pub(super) async fn get(
        &self,
        address: D::Address,
        asker: Asker<'_>,
    ) -> Result<Arc<D::Content>, Refusal> {
        let now = asker.now;
        let entry = self.cache.entry(D::url(&address).as_str(), now);
        if let Some(known) = entry.fresh(now) {
            return known;
        }
        let flight = entry.take_off().await;
        if let Some(known) = entry.fresh(now) {
            return known;
        }
        if let Err(wait) = (asker.may_fetch)() {
            let refusal = Refusal::TooMany(wait);
            return self.source.stand_in(&address, &entry, &refusal, now).ok_or(refusal);
        }
        self.fly(address, entry, flight, now).await
    }

    /// What it says now that `old` was not enough. It is asked for now and then only; in between `old` comes back, unless
    /// nobody can tell whether it still holds.
    pub(super) async fn get_newer(
        &self,
        address: D::Address,
        old: Arc<D::Content>,
        asker: Asker<'_>,
    ) -> Result<Arc<D::Content>, Refusal> {
        let now = asker.now;
        let entry = self.cache.entry(D::url(&address).as_str(), now);
        let flight = entry.take_off().await;
        match entry.fresh(now) {
            // Somebody has fetched it in the meantime.
            Some(Ok(known)) if !Arc::ptr_eq(&known, &old) => return Ok(known),
            _ if entry.may_force(now) => {}
            _ if entry.is_stand_in() => return Err(Refusal::Unreachable("it could not be fetched just now")),
            _ => return Ok(old),
        }
        // Whoever may not make us fetch does not use up anybody else's turn.
        (asker.may_fetch)().map_err(Refusal::TooMany)?;
        entry.force(FORCED_INTERVAL, now);
        let newer = self.fly(address, entry, flight, now).await?;
        if Arc::ptr_eq(&newer, &old) {
            return Err(Refusal::Unreachable("only an older copy of it is known"));
        }
        Ok(newer)
    }

    /// In a task of its own: a caller that hangs up must not undo a fetch, or hanging up would make us fetch again.
    async fn fly(
        &self,
        address: D::Address,
        entry: Arc<Entry<D::Content>>,
        flight: OwnedMutexGuard<()>,
        now: Timestamp,
    ) -> Result<Arc<D::Content>, Refusal> {
        let source = Arc::clone(&self.source);
        let fetched = tokio::spawn(async move {
            let known = source.look_up(&address, &entry, now).await;
            drop(flight);
            known
        });
        fetched.await.unwrap_or(Err(Refusal::Unreachable("the fetch broke off")))
    }
}

impl<D: Document> Source<D> {
    /// Fetches, and remembers what came of it.
    async fn look_up(
        &self,
        address: &D::Address,
        entry: &Entry<D::Content>,
        now: Timestamp,
    ) -> Result<Arc<D::Content>, Refusal> {
        let Ok(Ok(permit)) = tokio::time::timeout(TIMEOUT, self.fetches.acquire()).await else {
            // Nothing was asked, so there is nothing to remember.
            let busy = Refusal::Unreachable("too many other documents are being fetched");
            log_refusal::<D>(address, Some(&busy));
            return self.stand_in(address, entry, &busy, now).ok_or(busy);
        };
        let fetched = self.fetch(address).await;
        drop(permit);
        log_refusal::<D>(address, fetched.as_ref().err());
        match fetched {
            Ok((content, max_age)) => {
                let content = Arc::new(content);
                entry.keep(Ok(Arc::clone(&content)), now.plus(max_age));
                entry.keep_for_outages(Arc::clone(&content), now.plus(MAX_AGE));
                Ok(content)
            }
            Err(refusal) => {
                let until = now.plus(FAILURE_AGE);
                let Some(said) = self.stand_in(address, entry, &refusal, now) else {
                    entry.keep(Err(refusal.clone()), until);
                    return Err(refusal);
                };
                entry.keep_stand_in(Arc::clone(&said), until);
                Ok(said)
            }
        }
    }

    /// While nobody can tell what the document says: what it said during the last day, then a copy that we carry. Nothing
    /// stands in for a document that is wrong.
    fn stand_in(
        &self,
        address: &D::Address,
        entry: &Entry<D::Content>,
        refusal: &Refusal,
        now: Timestamp,
    ) -> Option<Arc<D::Content>> {
        if matches!(refusal, Refusal::Invalid(_)) {
            return None;
        }
        entry.for_outages(now).or_else(|| self.kind.copy(address).map(Arc::new))
    }

    async fn fetch(&self, address: &D::Address) -> Result<(D::Content, Duration), Refusal> {
        let fetched = self.fetcher.fetch(D::url(address)).await.map_err(|error| match error {
            FetchError::Unreachable(reason) => Refusal::Unreachable(reason),
            FetchError::Wrong(answer) => Refusal::Invalid(D::wrong(answer)),
        })?;
        let content = self.kind.read(address, &fetched.body).map_err(Refusal::Invalid)?;
        Ok((content, fetched.max_age))
    }
}

/// Once for a fetch, and not for everybody who is answered from memory.
fn log_refusal<D: Document>(address: &D::Address, refusal: Option<&Refusal>) {
    let host = &D::url(address)[Position::BeforeHost..Position::AfterPort];
    match refusal {
        Some(Refusal::Unreachable(reason)) => {
            tracing::warn!(host, reason, "{} could not be fetched", D::NAME);
        }
        Some(Refusal::Invalid(error)) => {
            tracing::info!(host, reason = %error.description, "{} is refused", D::NAME);
        }
        // The limiter counts those.
        Some(Refusal::TooMany(_)) | None => {}
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    /// A document of which there is a copy.
    #[derive(Debug)]
    struct Copied;

    impl Document for Copied {
        type Address = Url;
        type Content = String;
        const NAME: &'static str = "a document";
        const MAX_LENGTH: usize = 10;
        const CAPACITY: usize = 10;

        fn url(address: &Url) -> &Url {
            address
        }

        fn read(&self, _: &Url, _: &[u8]) -> Result<String, OAuthError> {
            Ok("read".to_owned())
        }

        fn wrong(_: WrongAnswer) -> OAuthError {
            OAuthError::invalid_client("wrong")
        }

        fn copy(&self, address: &Url) -> Option<String> {
            (address.path() == "/known").then(|| "copy".to_owned())
        }
    }

    #[test]
    fn a_copy_stands_in_for_what_cannot_be_reached_and_not_for_what_is_wrong() {
        let fetched = Fetched::new(Copied, Reach::Anywhere);
        let (source, entry, now) = (&fetched.source, Entry::default(), Timestamp::from_millis(1));
        let address = |path: &str| format!("https://client.example{path}").parse().unwrap();
        let (known, other) = (address("/known"), address("/other"));
        let away = Refusal::Unreachable("away");
        let wrong = Refusal::Invalid(OAuthError::invalid_client("wrong"));
        let stand_in = |address: &Url, refusal: &Refusal, entry: &Entry<String>| {
            source.stand_in(address, entry, refusal, now).map(|said| said.to_string())
        };
        assert_eq!(stand_in(&known, &away, &entry).as_deref(), Some("copy"));
        assert_eq!(stand_in(&known, &wrong, &entry), None);
        assert_eq!(stand_in(&other, &away, &entry), None);
        // What it said itself goes before the copy.
        entry.keep_for_outages(Arc::new("said".to_owned()), now.plus(MAX_AGE));
        assert_eq!(stand_in(&known, &away, &entry).as_deref(), Some("said"));
        assert_eq!(stand_in(&other, &away, &entry).as_deref(), Some("said"));
        assert_eq!(stand_in(&known, &wrong, &entry), None);
    }
}
