//! Streams whose connection may break: what an answer was to go to is kept for a while, and a client that comes back with
//! `Last-Event-ID` hears what it has missed (MCP 2025-11-25, "Resumability and Redelivery").
//!
//! In these revisions a connection that ends is no cancellation. So where a client has been given an event with an id, its
//! request goes on without it for a minute. Where it has not, it could never come back to it: then it is cancelled.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::{CancellationToken, DropGuard};

use super::hub::{Answer, Hub};
use super::session::Session;
use super::stream::{Reader, Stream};
use crate::proxy::error::{Failure, ProxyError};

/// How long an answer without a listener is kept, and waited for.
const UNHEARD: Duration = Duration::from_secs(60);
/// Streams that one session keeps while nobody reads them, and bytes of all of them.
const MAX_KEPT: usize = 16;
const MAX_KEPT_BYTES: usize = 4 * 1024 * 1024;

/// A request's stream that can be come back to.
#[derive(Debug)]
pub(super) struct Kept {
    pub(super) stream: Arc<Stream>,
    /// The request's number at its process, and its id as its client wrote it.
    pub(super) n: u64,
    pub(super) id: String,
    /// Until when it is waited for at all.
    pub(super) end: Instant,
    /// Of what waits for its client to come back; gone, that ends.
    waits: Mutex<Option<DropGuard>>,
}

impl Kept {
    pub(super) fn new(stream: Arc<Stream>, n: u64, id: String, end: Instant) -> Arc<Self> {
        Arc::new(Self { stream, n, id, end, waits: Mutex::default() })
    }

    fn waits(&self, guard: Option<DropGuard>) {
        *self.waits.lock().unwrap_or_else(PoisonError::into_inner) = guard;
    }
}

/// What a client comes back to.
pub(super) enum Resumed {
    /// The stream of its session.
    Listening(Reader),
    /// The answer to a request.
    Answer(Answer, Instant),
}

impl Session {
    /// Keeps a stream that an event with an id goes to. Others give way that nobody reads.
    pub(super) fn keep(&self, kept: &Arc<Kept>) {
        self.kept().push_back(Arc::clone(kept));
        self.bound_kept();
    }

    fn bound_kept(&self) {
        let mut given_up = Vec::new();
        {
            let mut all = self.kept();
            loop {
                let unread = || all.iter().enumerate().filter(|(_, kept)| !kept.stream.has_reader());
                let bytes: usize = unread().map(|(_, kept)| kept.stream.bytes()).sum();
                if unread().count() <= MAX_KEPT && bytes <= MAX_KEPT_BYTES {
                    break;
                }
                let oldest = unread().next().map(|(at, _)| at);
                given_up.extend(oldest.and_then(|at| all.remove(at)));
            }
        }
        for kept in given_up {
            self.hub.cancel(kept.n);
        }
    }

    /// The client of this stream has gone. Whether it comes back is waited for.
    pub(super) fn wait_for(self: &Arc<Self>, kept: &Arc<Kept>, hub: Arc<Hub>) {
        let (readers, n) = (kept.stream.readers(), kept.n);
        let end = kept.end.min(Instant::now() + UNHEARD);
        // What gives way to others is gone at once.
        let back = CancellationToken::new();
        kept.waits(Some(back.clone().drop_guard()));
        let (session, kept) = (Arc::clone(self), Arc::downgrade(kept));
        self.bound_kept();
        // Without one everything ends.
        let Ok(runtime) = Handle::try_current() else { return };
        runtime.spawn(async move {
            tokio::select! {
                () = sleep_until(end) => {}
                () = session.end.cancelled() => {}
                () = back.cancelled() => return,
            }
            // Else the next end of a connection waits.
            if let Some(kept) = kept.upgrade()
                && kept.stream.readers() == readers
            {
                session.kept().retain(|other| !Arc::ptr_eq(other, &kept));
                hub.cancel(n);
            }
        });
    }

    /// Goes on after the event of this id. One of another session's, or of a stream that is no longer kept, gives nothing.
    pub(super) fn resume(self: &Arc<Self>, last: &str) -> Result<Resumed, Failure> {
        self.check_live()?;
        self.hub.uses();
        let (name, place) = last.rsplit_once('-').unwrap_or_default();
        let next = place.parse::<u64>().ok().and_then(|place| place.checked_add(1));
        let is_of = |stream: &Stream| stream.name.as_deref() == Some(name);
        let unknown = ProxyError::BadMessage("nothing is kept of this Last-Event-ID");
        let next = next.ok_or_else(|| unknown.clone())?;
        if is_of(&self.listening) {
            self.check()?;
            return Ok(Resumed::Listening(self.listening.read(Some(next))));
        }
        let kept = self.kept().iter().find(|kept| is_of(&kept.stream)).cloned().ok_or(unknown)?;
        kept.waits(None);
        let end = kept.end;
        Ok(Resumed::Answer(Answer::again(self, kept, next), end))
    }
}
