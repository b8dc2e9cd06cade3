//! What comes to one request.

use std::sync::Arc;

use axum::body::Bytes;
use tokio::time::Instant;

use super::Hub;
use crate::proxy::stdio::resumption::Kept;
use crate::proxy::stdio::session::Session;
use crate::proxy::stdio::stream::{Event, Reader};

/// What comes to one request. Dropped before the answer is there, it tells the process that nobody waits for it, unless its
/// client may come back.
#[derive(Debug)]
pub(in crate::proxy::stdio) struct Answer {
    hub: Arc<Hub>,
    n: u64,
    /// Of the request, as the client wrote it.
    pub(in crate::proxy::stdio) id: String,
    stream: Reader,
    is_done: bool,
    session: Option<Arc<Session>>,
    kept: Option<Arc<Kept>>,
}

impl Answer {
    pub(super) fn new(
        hub: &Arc<Hub>,
        n: u64,
        id: String,
        stream: Reader,
        session: Option<&Arc<Session>>,
    ) -> Self {
        Self { hub: Arc::clone(hub), n, id, stream, is_done: false, session: session.cloned(), kept: None }
    }

    /// The same to a client that has come back for what begins here.
    pub(in crate::proxy::stdio) fn again(session: &Arc<Session>, kept: Arc<Kept>, next: u64) -> Self {
        let stream = kept.stream.read(Some(next));
        let mut answer = Self::new(&session.hub, kept.n, kept.id.clone(), stream, Some(session));
        answer.kept = Some(kept);
        answer
    }

    /// The next; `None` when the process has ended without an answer, or when the client reads on elsewhere.
    pub(in crate::proxy::stdio) async fn next(&mut self) -> Option<Event> {
        let event = self.stream.next().await;
        self.is_done = event.as_ref().is_none_or(|event| event.is_last);
        event
    }

    /// Whether the client reads it elsewhere by now.
    pub(in crate::proxy::stdio) fn is_elsewhere(&self) -> bool {
        !self.stream.is_the_last()
    }

    /// Whether all of it was heard before, the last message, too.
    pub(in crate::proxy::stdio) fn is_heard(&self) -> bool {
        self.stream.stream.is_heard()
    }

    /// Nobody comes back to it any more.
    pub(in crate::proxy::stdio) fn give_up(&mut self) {
        if let Some((kept, session)) = self.kept.take().zip(self.session.as_ref()) {
            session.kept().retain(|other| !Arc::ptr_eq(other, &kept));
        }
    }

    /// The id of the event at this place, where there are ids. Once the client has one, it can come back until `end`.
    pub(in crate::proxy::stdio) fn id_of(&mut self, place: u64, end: Instant) -> Option<String> {
        let id = self.stream.stream.id(place)?;
        if let Some(session) = self.session.as_ref().filter(|_| self.kept.is_none()) {
            let kept = Kept::new(Arc::clone(&self.stream.stream), self.n, self.id.clone(), end);
            session.keep(&kept);
            self.kept = Some(kept);
        }
        Some(id)
    }

    /// The last part of the stream for this client, where it can come back no more.
    pub(in crate::proxy::stdio) fn error(&self, message: &str) -> Bytes {
        let id = &self.id;
        format!(r#"{{"jsonrpc":"2.0","id":{id},"error":{{"code":-32603,"message":"{message}"}}}}"#).into()
    }
}

impl Drop for Answer {
    fn drop(&mut self) {
        if self.is_elsewhere() {
            return;
        }
        match (self.kept.take(), self.session.take()) {
            // What has come to its end may not have come to the client's.
            (Some(kept), Some(session)) if session.is_live() => {
                session.wait_for(&kept, Arc::clone(&self.hub));
            }
            _ if !self.is_done => self.hub.cancel(self.n),
            _ => {}
        }
    }
}
