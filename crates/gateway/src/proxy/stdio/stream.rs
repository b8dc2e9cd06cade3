//! What comes to one client on one stream of events, in its order: what it has not heard yet, within bounds.

use std::collections::VecDeque;
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::body::Bytes;
use tokio::sync::Notify;
use tokio::time::{Instant, timeout_at};

/// What is kept of a stream besides its answer: events, and bytes of all of them.
const MAX_EVENTS: usize = 64;
const MAX_BYTES: usize = 1024 * 1024;

/// A message to a client.
#[derive(Debug, Clone)]
pub(super) struct Event {
    pub(super) line: Bytes,
    /// Nothing comes after it.
    pub(super) is_last: bool,
    /// An answer that is an error.
    pub(super) is_error: bool,
}

/// One stream. It has one reader at a time: a message goes to a client once (MCP 2025-11-25, "Multiple Connections").
#[derive(Debug, Default)]
pub(super) struct Stream {
    log: Mutex<Log>,
    changed: Notify,
}

#[derive(Debug, Default)]
struct Log {
    events: VecDeque<Event>,
    bytes: usize,
    is_done: bool,
    /// The reader that there is.
    reader: Option<u64>,
    readers: u64,
}

impl Log {
    fn fits(&self, length: usize) -> bool {
        let is_within = self.events.len() < MAX_EVENTS && self.bytes + length <= MAX_BYTES;
        // Whoever reads gets what is too long to be kept.
        is_within || (self.reader.is_some() && self.events.is_empty())
    }

    fn add(&mut self, event: Event) {
        self.bytes += event.line.len();
        self.is_done |= event.is_last;
        self.events.push_back(event);
    }
}

impl Stream {
    fn log(&self) -> MutexGuard<'_, Log> {
        self.log.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn has_reader(&self) -> bool {
        self.log().reader.is_some()
    }

    /// Adds a message, if there is place for it: where somebody reads, that is waited for, but no longer than this. One who
    /// does not read has gone.
    pub(super) async fn push(&self, line: Bytes, patience: Duration) -> bool {
        let end = Instant::now() + patience;
        loop {
            let mut changed = pin!(self.changed.notified());
            changed.as_mut().enable();
            {
                let mut log = self.log();
                if log.is_done {
                    return false;
                }
                if log.fits(line.len()) {
                    log.add(Event { line, is_last: false, is_error: false });
                    break;
                }
                if log.reader.is_none() {
                    return false;
                }
            }
            if timeout_at(end, changed).await.is_err() {
                self.log().reader = None;
                self.changed.notify_waiters();
                return false;
            }
        }
        self.changed.notify_waiters();
        true
    }

    /// Adds the last message.
    pub(super) fn finish(&self, line: Bytes, is_error: bool) {
        let mut log = self.log();
        if !log.is_done {
            log.add(Event { line, is_last: true, is_error });
        }
        drop(log);
        self.changed.notify_waiters();
    }

    /// Nothing more comes. What is there can still be read.
    pub(super) fn close(&self) {
        self.log().is_done = true;
        self.changed.notify_waiters();
    }

    /// Reads on. Another reader of it ends.
    pub(super) fn read(self: &Arc<Self>) -> Reader {
        let mut log = self.log();
        log.readers += 1;
        let id = log.readers;
        log.reader = Some(id);
        drop(log);
        self.changed.notify_waiters();
        Reader { stream: Arc::clone(self), id }
    }
}

#[derive(Debug)]
pub(super) struct Reader {
    stream: Arc<Stream>,
    id: u64,
}

impl Reader {
    /// The next message; `None` at the end, or once another reads.
    pub(super) async fn next(&mut self) -> Option<Event> {
        loop {
            let mut changed = pin!(self.stream.changed.notified());
            changed.as_mut().enable();
            {
                let mut log = self.stream.log();
                if log.reader != Some(self.id) {
                    return None;
                }
                if let Some(event) = log.events.pop_front() {
                    log.bytes -= event.line.len();
                    drop(log);
                    self.stream.changed.notify_waiters();
                    return Some(event);
                }
                if log.is_done {
                    return None;
                }
            }
            changed.await;
        }
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        let mut log = self.stream.log();
        log.reader = log.reader.filter(|reader| *reader != self.id);
        drop(log);
        self.stream.changed.notify_waiters();
    }
}
