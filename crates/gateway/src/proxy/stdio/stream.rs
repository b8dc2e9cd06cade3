//! What comes to one client on one stream of events, in its order: what it has not heard yet, and of a session a little of
//! what it has, should its connection break. All of it within bounds.

use std::collections::VecDeque;
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::body::Bytes;
use tokio::sync::Notify;
use tokio::time::{Instant, timeout_at};

use super::budget::{Room, Share};

/// What is kept of a stream besides its answer: events, and bytes of all of them.
const MAX_EVENTS: usize = 64;
const MAX_BYTES: usize = 1024 * 1024;

/// A message to a client.
#[derive(Debug, Clone)]
pub(super) struct Event {
    /// Its place on its stream, from 1 on.
    pub(super) place: u64,
    pub(super) line: Bytes,
    /// Nothing comes after it.
    pub(super) is_last: bool,
    /// An answer that is an error.
    pub(super) is_error: bool,
    /// Of what may wait in all.
    room: Option<Arc<Room>>,
}

/// A line that waits no less for being handed on: its room is taken until nobody holds it any more.
struct Held {
    line: Bytes,
    _room: Option<Arc<Room>>,
}

impl AsRef<[u8]> for Held {
    fn as_ref(&self) -> &[u8] {
        &self.line
    }
}

impl Event {
    /// What is made of it for its client, with its room.
    pub(super) fn hold(&self, line: Bytes) -> Bytes {
        Bytes::from_owner(Held { line, _room: self.room.clone() })
    }
}

/// How long a reader is waited for where there is no place for a message.
#[derive(Debug, Clone, Copy)]
pub(super) enum Patience {
    /// For each message: nobody else suffers.
    Each(Duration),
    /// For all together, until everything was read: one who reads slowly, but reads, would hold up others for ever.
    All(Duration),
    None,
}

/// One stream. It has one reader at a time: a message goes to a client once (MCP 2025-11-25, "Multiple Connections").
#[derive(Debug)]
pub(super) struct Stream {
    /// What ids of events begin with, where there are some.
    pub(super) name: Option<String>,
    share: Share,
    /// Whether it is what a client listens on, and not what comes to a request.
    is_listening: bool,
    log: Mutex<Log>,
    changed: Notify,
}

#[derive(Debug)]
struct Log {
    events: VecDeque<Event>,
    bytes: usize,
    /// The places of the next event, and of the first that was not heard.
    next: u64,
    unheard: u64,
    /// Whether what was heard is kept.
    keeps: bool,
    is_done: bool,
    /// Whether its reader was waited for in vain, and has read nothing since.
    lags: bool,
    /// How long its reader was waited for at the cost of others, since it had read everything.
    waited: Duration,
    /// The place of the last event, where that has come.
    last: Option<u64>,
    /// The reader that there is.
    reader: Option<u64>,
    readers: u64,
}

impl Log {
    /// Lets go of what was heard, as far as there is not place for it and this much more.
    fn make_room(&mut self, more: usize) {
        while let Some(event) = self.events.front().filter(|event| event.place < self.unheard) {
            if self.keeps && self.events.len() < MAX_EVENTS && self.bytes + more <= MAX_BYTES {
                return;
            }
            self.bytes -= event.line.len();
            self.events.pop_front();
        }
    }

    fn fits(&mut self, length: usize) -> bool {
        self.make_room(length);
        let is_within = self.events.len() < MAX_EVENTS && self.bytes + length <= MAX_BYTES;
        // Whoever reads gets what is too long to be kept.
        is_within || (self.reader.is_some() && self.next == self.unheard)
    }

    fn add(&mut self, line: Bytes, is_last: bool, is_error: bool, room: Option<Room>) {
        self.bytes += line.len();
        self.is_done |= is_last;
        self.last = self.last.or(is_last.then_some(self.next));
        self.events.push_back(Event { place: self.next, line, is_last, is_error, room: room.map(Arc::new) });
        self.next += 1;
    }

    /// The event of this place, or the first that is kept after it.
    fn hear(&mut self, place: u64) -> Option<Event> {
        let first = self.events.front()?.place;
        let event = self.events.get(usize::try_from(place.saturating_sub(first)).ok()?)?.clone();
        self.unheard = self.unheard.max(event.place + 1);
        self.lags = false;
        if self.unheard == self.next {
            self.waited = Duration::ZERO;
        }
        self.make_room(0);
        Some(event)
    }
}

impl Stream {
    /// What comes to a request. With a name, events have ids, and what was heard is kept.
    pub(super) fn of_request(name: Option<String>, share: Share) -> Arc<Self> {
        Self::new(name, share, false)
    }

    /// What a client listens on.
    pub(super) fn to_listen(name: String, share: Share) -> Arc<Self> {
        Self::new(Some(name), share, true)
    }

    fn new(name: Option<String>, share: Share, is_listening: bool) -> Arc<Self> {
        let log = Log {
            events: VecDeque::new(),
            bytes: 0,
            next: 1,
            unheard: 1,
            keeps: name.is_some(),
            is_done: false,
            lags: false,
            waited: Duration::ZERO,
            last: None,
            reader: None,
            readers: 0,
        };
        Arc::new(Self { name, share, is_listening, log: Mutex::new(log), changed: Notify::new() })
    }

    fn log(&self) -> MutexGuard<'_, Log> {
        self.log.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn has_reader(&self) -> bool {
        self.log().reader.is_some()
    }

    /// How often it was read: the same as before when nobody has come since.
    pub(super) fn readers(&self) -> u64 {
        self.log().readers
    }

    /// Whether the last event was heard.
    pub(super) fn is_heard(&self) -> bool {
        let log = self.log();
        log.last.is_some_and(|last| last < log.unheard)
    }

    /// Bytes that it holds.
    pub(super) fn bytes(&self) -> usize {
        self.log().bytes
    }

    /// The id of the event at this place; of the one before the first, it stands for the beginning.
    pub(super) fn id(&self, place: u64) -> Option<String> {
        self.name.as_ref().map(|name| format!("{name}-{place}"))
    }

    /// Adds a message, if there is place for it: where somebody reads, that is waited for, but no longer than this. One who
    /// listens and does not read has gone. One who has asked may be slow, and still wants the answer.
    pub(super) async fn push(&self, line: Bytes, patience: Patience) -> bool {
        let (begin, mut waits) = (Instant::now(), false);
        loop {
            let mut changed = pin!(self.changed.notified());
            changed.as_mut().enable();
            let end = {
                let mut log = self.log();
                if log.is_done {
                    return false;
                }
                if log.fits(line.len())
                    && let Some(room) = self.share.take(line.len())
                {
                    if waits {
                        log.waited += begin.elapsed();
                    }
                    log.add(line, false, false, Some(room));
                    break;
                }
                if log.reader.is_none() || log.lags {
                    return false;
                }
                match patience {
                    Patience::Each(each) => begin + each,
                    Patience::All(all) => begin + all.saturating_sub(log.waited),
                    Patience::None => return false,
                }
            };
            waits = true;
            if timeout_at(end, changed).await.is_err() {
                let mut log = self.log();
                log.lags = true;
                log.waited += begin.elapsed();
                if self.is_listening {
                    log.reader = None;
                }
                drop(log);
                self.changed.notify_waiters();
                return false;
            }
        }
        self.changed.notify_waiters();
        true
    }

    /// Adds the last message; where too much waits already, what stands for it, if something does.
    pub(super) fn finish(&self, line: Bytes, is_error: bool, instead: impl FnOnce() -> Option<Bytes>) {
        let mut log = self.log();
        if !log.is_done {
            match self.share.take(line.len()) {
                Some(room) => log.add(line, true, is_error, Some(room)),
                None => match instead() {
                    Some(line) => log.add(line, true, true, None),
                    None => log.is_done = true,
                },
            }
        }
        drop(log);
        self.changed.notify_waiters();
    }

    /// Nothing more comes. What is there can still be read.
    pub(super) fn close(&self) {
        self.log().is_done = true;
        self.changed.notify_waiters();
    }

    /// Reads on from here, or from what was not heard yet. Another reader of it ends.
    pub(super) fn read(self: &Arc<Self>, from: Option<u64>) -> Reader {
        let mut log = self.log();
        log.readers += 1;
        let id = log.readers;
        log.reader = Some(id);
        let next = from.unwrap_or(log.unheard);
        // What is read again has to stay until then, while more comes.
        let first = log.events.front().map_or(log.next, |event| event.place);
        log.unheard = log.unheard.min(next.max(first));
        drop(log);
        self.changed.notify_waiters();
        Reader { stream: Arc::clone(self), id, next }
    }
}

#[derive(Debug)]
pub(super) struct Reader {
    pub(super) stream: Arc<Stream>,
    id: u64,
    /// The place of the next event.
    pub(super) next: u64,
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
                if let Some(event) = log.hear(self.next) {
                    drop(log);
                    self.next = event.place + 1;
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

    /// Whether no other has come.
    pub(super) fn is_the_last(&self) -> bool {
        self.stream.readers() == self.id
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

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::proxy::stdio::budget::Budget;

    const SOON: Patience = Patience::Each(Duration::from_millis(1));

    fn new(name: Option<&str>) -> Arc<Stream> {
        Stream::of_request(name.map(ToOwned::to_owned), Budget::new(usize::MAX).share(None))
    }

    async fn heard(reader: &mut Reader) -> (u64, Bytes) {
        let event = reader.next().await.unwrap();
        (event.place, event.line)
    }

    #[tokio::test]
    async fn what_was_heard_can_be_heard_again_and_what_was_not_waits() {
        let stream = new(Some("s"));
        for line in ["a", "b", "c"] {
            assert!(stream.push(line.into(), SOON).await);
        }
        let mut reader = stream.read(None);
        assert_eq!((heard(&mut reader).await, heard(&mut reader).await), ((1, "a".into()), (2, "b".into())));
        // The other may come before the end of the first is known.
        let mut again = stream.read(Some(2));
        assert!(reader.next().await.is_none() && !reader.is_the_last());
        assert_eq!(heard(&mut again).await, (2, "b".into()));
        drop(again);
        let mut rest = stream.read(None);
        assert_eq!(heard(&mut rest).await, (3, "c".into()));
        stream.finish("d".into(), false, || None);
        assert!(rest.next().await.unwrap().is_last && rest.next().await.is_none());
        let mut past = stream.read(Some(5));
        assert!(past.next().await.is_none());
    }

    #[tokio::test]
    async fn no_more_is_kept_than_there_is_place_for() {
        let stream = new(Some("s"));
        for _ in 0..MAX_EVENTS {
            assert!(stream.push("x".into(), SOON).await);
        }
        assert!(!stream.push("x".into(), SOON).await, "nobody has heard any of it");
        let mut reader = stream.read(None);
        assert_eq!(heard(&mut reader).await.0, 1);
        assert!(stream.push("x".into(), SOON).await, "what was heard gives way");
        drop(reader);
        let mut reader = stream.read(Some(1));
        assert_eq!(heard(&mut reader).await.0, 2);

        let stream = new(Some("s"));
        let big = Bytes::from("x".repeat(MAX_BYTES + 1));
        assert!(!stream.push(big.clone(), SOON).await);
        let mut reader = stream.read(None);
        assert!(stream.push(big, SOON).await, "for whoever reads");
        heard(&mut reader).await;
        assert_eq!(stream.bytes(), 0);
    }

    #[tokio::test]
    async fn where_too_much_waits_in_all_an_answer_says_so() {
        let share = Budget::new(80).share(None);
        let (one, two) = (Stream::of_request(None, share.clone()), Stream::of_request(None, share));
        one.finish("1234567".into(), false, || None);
        assert!(!two.push("1234".into(), SOON).await);
        two.finish("1234".into(), false, || Some("too much".into()));
        let mut reader = two.read(None);
        let event = reader.next().await.unwrap();
        assert!(event.is_error && event.line == "too much");
        drop(one);
        assert!(two.share.take(10).is_some());
    }

    #[tokio::test(start_paused = true)]
    async fn one_who_listens_and_does_not_read_has_gone() {
        let stream = Stream::to_listen("s".into(), Budget::new(usize::MAX).share(None));
        let mut reader = stream.read(None);
        for _ in 0..MAX_EVENTS {
            stream.push("x".into(), SOON).await;
        }
        assert!(!stream.push("x".into(), SOON).await);
        assert!(!stream.has_reader() && reader.next().await.is_none());
    }

    #[tokio::test(start_paused = true)]
    async fn one_who_has_asked_and_is_slow_is_waited_for_once() {
        let stream = new(None);
        let mut reader = stream.read(None);
        for _ in 0..MAX_EVENTS {
            stream.push("x".into(), SOON).await;
        }
        let begin = Instant::now();
        for _ in 0..3 {
            assert!(!stream.push("lost".into(), SOON).await);
        }
        assert_eq!(begin.elapsed(), Duration::from_millis(1));
        heard(&mut reader).await;
        assert!(stream.push("y".into(), SOON).await);
        stream.finish("last".into(), false, || None);
        let mut last = None;
        while let Some(event) = reader.next().await {
            last = Some(event.line);
        }
        assert_eq!(last.unwrap(), "last");
    }

    #[tokio::test(start_paused = true)]
    async fn at_the_cost_of_others_one_is_waited_for_once_until_all_is_read() {
        let patience = Patience::All(Duration::from_millis(100));
        let stream = new(None);
        let mut reader = stream.read(None);
        let begin = Instant::now();
        for round in 1..3 {
            for _ in 0..MAX_EVENTS {
                assert!(stream.push("x".into(), patience).await);
            }
            assert!(!stream.push("lost".into(), Patience::None).await);
            for _ in 0..3 {
                // It reads one in a while, and no more.
                assert!(!stream.push("lost".into(), patience).await);
                heard(&mut reader).await;
                assert!(stream.push("x".into(), patience).await);
            }
            assert_eq!(begin.elapsed(), Duration::from_millis(100) * round);
            for _ in 0..MAX_EVENTS {
                heard(&mut reader).await;
            }
        }
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_heard_again_stays_while_more_comes() {
        let stream = new(Some("s"));
        let mut reader = stream.read(None);
        for place in 1..=MAX_EVENTS as u64 {
            assert!(stream.push("x".into(), SOON).await);
            assert_eq!(heard(&mut reader).await.0, place);
        }
        let mut again = stream.read(Some(2));
        // One gives way that it has heard, and no other.
        assert!(stream.push("y".into(), SOON).await && !stream.push("y".into(), SOON).await);
        assert_eq!(heard(&mut again).await.0, 2);
        assert!(stream.push("y".into(), SOON).await);
        assert_eq!(heard(&mut again).await.0, 3);
    }
}
