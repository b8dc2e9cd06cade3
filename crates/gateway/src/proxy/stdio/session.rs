//! One session: what a client has begun with `initialize`, and comes back to.
//!
//! It belongs to its user, and to one process for as long as that lives. It ends when its client says so, with the process,
//! or when nothing has passed for a while.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use sha2::{Digest, Sha256};
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;

use super::budget::Share;
use super::hub::{Answer, Asker, Hub};
use super::message::Message;
use super::resumption::Kept;
use super::stream::{Reader, Stream};
use crate::proxy::error::{Failure, ProxyError};

#[derive(Debug)]
pub(super) struct Session {
    pub(super) id: String,
    /// Among those of its process.
    pub(super) number: u64,
    /// The subject of the user; `None` where nobody in particular has opened it.
    pub(super) owner: Option<String>,
    share: Share,
    pub(super) hub: Arc<Hub>,
    /// What belongs to no request: the client's GET.
    pub(super) listening: Arc<Stream>,
    used: Mutex<Instant>,
    /// What ids of its events begin with. Not the id: logs and pages may show it.
    tag: String,
    streams: AtomicU64,
    /// Streams of requests that the client may come back to.
    kept: Mutex<VecDeque<Arc<Kept>>>,
    /// Ends it. The process has its own.
    pub(super) end: CancellationToken,
}

impl Session {
    /// One more session of a process.
    pub(super) fn open(id: String, share: Share, hub: &Arc<Hub>) -> Result<Arc<Self>, Failure> {
        let hash: [u8; 32] = Sha256::digest(&id).into();
        let tag = format!("{:08x}", u32::from_be_bytes([hash[0], hash[1], hash[2], hash[3]]));
        hub.attach(|number| {
            Arc::new(Self {
                id,
                number,
                owner: share.owner.clone(),
                hub: Arc::clone(hub),
                listening: Stream::to_listen(format!("{tag}-0"), share.clone()),
                share,
                used: Mutex::new(Instant::now()),
                tag,
                streams: AtomicU64::new(0),
                kept: Mutex::default(),
                end: hub.end.child_token(),
            })
        })
    }

    /// Whether it still takes messages.
    pub(super) fn is_open(&self) -> bool {
        !self.end.is_cancelled() && self.hub.is_open()
    }

    /// Whether what is in flight still goes on: a process that retires asks and answers to its end.
    pub(super) fn is_live(&self) -> bool {
        !self.end.is_cancelled()
    }

    /// Whether the client listens.
    pub(super) fn listens(&self) -> bool {
        self.listening.has_reader()
    }

    /// When the client last sent something, listened or was answered.
    pub(super) fn used(&self) -> Instant {
        *self.used.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The client has done something, or was answered.
    pub(super) fn uses(&self) {
        *self.used.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
    }

    /// Since when nothing is asked and nobody listens.
    pub(super) fn idle_since(&self) -> Option<Instant> {
        (!self.listens() && !self.hub.has_asked(self.number)).then(|| self.used())
    }

    /// Comes back when the session is over: it was ended, its process was, or nothing has passed for this long.
    pub(super) async fn over(&self, limit: Duration) {
        loop {
            let since = self.idle_since();
            let end = since.unwrap_or_else(Instant::now) + limit;
            if end <= Instant::now() {
                return;
            }
            tokio::select! {
                () = sleep_until(end) => {}
                () = self.end.cancelled() => return,
            }
        }
    }

    /// Hands a request to the process. `takes_messages` if the client can be sent more than the answer.
    pub(super) async fn ask(
        self: &Arc<Self>,
        message: &Message,
        takes_messages: bool,
    ) -> Result<Answer, Failure> {
        self.check()?;
        let asker = Asker { session: Some(self), share: &self.share, takes_messages };
        self.hub.ask(message, asker).await
    }

    /// Hands on a notification, or an answer to what the process has asked.
    pub(super) async fn tell(&self, message: Message) -> Result<(), Failure> {
        self.check_live()?;
        self.hub.hear(message, self.number).await
    }

    /// The client listens. Another stream of it ends.
    pub(super) fn listen(&self) -> Result<Reader, Failure> {
        self.check()?;
        self.hub.uses();
        Ok(self.listening.read(None))
    }

    /// A stream for one request. No other of the session has its name, and no session's begins like another's.
    pub(super) fn stream(&self) -> Arc<Stream> {
        let n = self.streams.fetch_add(1, Ordering::Relaxed) + 1;
        Stream::of_request(Some(format!("{}-{n}", self.tag)), self.share.clone())
    }

    pub(super) fn kept(&self) -> MutexGuard<'_, VecDeque<Arc<Kept>>> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether something new can begin.
    pub(super) fn check(&self) -> Result<(), Failure> {
        if !self.is_open() {
            return Err(ProxyError::SessionEnded.into());
        }
        self.uses();
        Ok(())
    }

    /// Whether what has begun can go on.
    pub(super) fn check_live(&self) -> Result<(), Failure> {
        if !self.is_live() {
            return Err(ProxyError::SessionEnded.into());
        }
        self.uses();
        Ok(())
    }
}
