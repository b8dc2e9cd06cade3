//! One session: the client on one side, its process on the other.
//!
//! A process has one session only: a stdio server is initialized once, keeps what its client can do, and uses ids that no
//! other client knows of. So messages pass as they are, and nothing of one user ever meets another's.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::body::Bytes;
use tokio::sync::{Notify, mpsc};
use tokio::time::{Instant, sleep_until, timeout};
use tokio_util::sync::CancellationToken;

use super::environment::Fingerprint;
use super::message::{Kind, Message};
use crate::proxy::error::{Failure, ProxyError};

/// Lines that wait for a reader: few, as each may be long.
const CHANNEL: usize = 4;
/// Requests of one session at once.
const MAX_ASKED: usize = 64;
/// What the server says while nobody listens is kept up to this: messages, and bytes of all of them.
const MAX_WAITING: usize = 64;
const MAX_WAITING_BYTES: usize = 1024 * 1024;

/// What comes to a client that has asked.
#[derive(Debug)]
pub(super) enum Event {
    /// A notification or a request of the server's.
    Message(Bytes),
    /// The answer, which is the last.
    Answer { line: Bytes, is_error: bool },
}

#[derive(Debug)]
pub(super) struct Session {
    pub(super) id: String,
    /// The subject of the user; `None` where nobody in particular has opened it.
    pub(super) owner: Option<String>,
    /// Of the environment that its process has.
    pub(super) fingerprint: Fingerprint,
    /// How long either side may take to take a line.
    patience: Duration,
    to_process: mpsc::Sender<Bytes>,
    state: Mutex<State>,
    changed: Notify,
    /// Ends the process at once.
    pub(super) end: CancellationToken,
    /// The process is gone.
    pub(super) gone: CancellationToken,
}

#[derive(Debug)]
struct State {
    asked: HashMap<String, Asked>,
    /// Numbers the requests.
    count: u64,
    /// The client's GET.
    stream: Option<mpsc::Sender<Bytes>>,
    /// For the next GET.
    waiting: VecDeque<Bytes>,
    /// When the client last sent something, listened or was answered.
    used: Instant,
    /// Takes nothing more, and ends with the last answer.
    retires: bool,
}

/// A request that is not answered yet.
#[derive(Debug)]
struct Asked {
    events: mpsc::Sender<Event>,
    /// Whether other messages may come before the answer.
    takes_messages: bool,
    progress: Option<String>,
    nth: u64,
}

impl Session {
    /// A session, and the lines for its process.
    pub(super) fn new(
        id: String,
        owner: Option<String>,
        fingerprint: Fingerprint,
        patience: Duration,
    ) -> (Arc<Self>, mpsc::Receiver<Bytes>) {
        let (to_process, lines) = mpsc::channel(CHANNEL);
        let state = State {
            asked: HashMap::new(),
            count: 0,
            stream: None,
            waiting: VecDeque::new(),
            used: Instant::now(),
            retires: false,
        };
        let session = Self {
            id,
            owner,
            fingerprint,
            patience,
            to_process,
            state: Mutex::new(state),
            changed: Notify::new(),
            end: CancellationToken::new(),
            gone: CancellationToken::new(),
        };
        (Arc::new(session), lines)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether it still takes messages.
    pub(super) fn is_open(&self) -> bool {
        !self.state().retires && !self.end.is_cancelled()
    }

    /// Since when nothing is asked and nobody listens.
    pub(super) fn idle_since(&self) -> Option<Instant> {
        let state = self.state();
        let listens = state.stream.as_ref().is_some_and(|stream| !stream.is_closed());
        (state.asked.is_empty() && !listens).then_some(state.used)
    }

    /// Takes nothing more, and ends once everything asked is answered.
    pub(super) fn retire(&self) {
        let mut state = self.state();
        state.retires = true;
        state.stream = None;
        drop(state);
        self.changed.notify_one();
    }

    /// Comes back when the process is not needed any more: after retirement, or when nothing has passed for this long.
    pub(super) async fn unused(&self, limit: Duration) {
        loop {
            let (free, retires, end) = {
                let state = self.state();
                (state.asked.is_empty(), state.retires, state.used + limit)
            };
            if free && (retires || end <= Instant::now()) {
                return;
            }
            tokio::select! {
                () = sleep_until(end), if free => {}
                () = self.changed.notified() => {}
            }
        }
    }

    /// The process takes nothing and says nothing any more: whoever waits for it hears of it.
    pub(super) fn close(&self) {
        self.end.cancel();
        let mut state = self.state();
        state.asked.clear();
        state.stream = None;
        state.waiting.clear();
    }

    /// Hands a line to the process.
    pub(super) async fn tell(&self, line: Bytes) -> Result<(), Failure> {
        if !self.is_open() {
            return Err(ProxyError::SessionEnded.into());
        }
        self.state().used = Instant::now();
        tokio::select! {
            sent = timeout(self.patience, self.to_process.send(line)) => match sent {
                Ok(Ok(())) => Ok(()),
                Ok(Err(_)) => Err(ProxyError::ProcessEnded.into()),
                Err(_) => Err(ProxyError::ResponseTimeout.into()),
            },
            () = self.end.cancelled() => Err(ProxyError::ProcessEnded.into()),
        }
    }

    /// Hands a request to the process. `takes_messages` if the client can be sent more than the answer.
    pub(super) async fn ask(
        self: &Arc<Self>,
        message: Message,
        takes_messages: bool,
    ) -> Result<Answer, Failure> {
        let Kind::Request { id, is_initialize, progress } = message.kind else {
            return Err(ProxyError::BadMessage("not a request").into());
        };
        let (events, answer) = mpsc::channel(CHANNEL);
        {
            let mut state = self.state();
            if state.retires || self.end.is_cancelled() {
                return Err(ProxyError::SessionEnded.into());
            }
            if state.asked.len() >= MAX_ASKED {
                return Err(ProxyError::Busy.into());
            }
            if state.asked.contains_key(&id) {
                return Err(ProxyError::BadMessage("another request of this id is not answered yet").into());
            }
            state.count += 1;
            let asked = Asked { events, takes_messages, progress, nth: state.count };
            state.asked.insert(id.clone(), asked);
        }
        let session = Arc::clone(self);
        let answer = Answer { session, id, events: answer, is_done: false, is_initialize };
        self.tell(message.line).await?;
        Ok(answer)
    }

    /// The client listens. Another stream of it ends.
    pub(super) fn listen(&self) -> Result<(mpsc::Receiver<Bytes>, VecDeque<Bytes>), Failure> {
        let (stream, messages) = mpsc::channel(CHANNEL);
        let mut state = self.state();
        if state.retires || self.end.is_cancelled() {
            return Err(ProxyError::SessionEnded.into());
        }
        state.stream = Some(stream);
        state.used = Instant::now();
        Ok((messages, std::mem::take(&mut state.waiting)))
    }

    /// Hands on what the process has said.
    pub(super) async fn deliver(&self, message: Message) {
        let Message { line, kind } = message;
        match kind {
            Kind::Response { id, is_error } => {
                let asked = {
                    let mut state = self.state();
                    let asked = state.asked.remove(&id);
                    // A server that only talks is not in use.
                    if asked.is_some() {
                        state.used = Instant::now();
                    }
                    asked
                };
                self.changed.notify_one();
                if let Some(asked) = asked {
                    // Whoever has asked and does not read has gone.
                    let _ = timeout(self.patience, asked.events.send(Event::Answer { line, is_error })).await;
                } else {
                    tracing::debug!("an answer to nothing that was asked, or that is not waited for");
                }
            }
            Kind::Notification { progress } => self.route(line, progress.as_deref()).await,
            Kind::Request { .. } => self.route(line, None).await,
        }
    }

    /// A report of progress goes to whoever has asked for it; the rest to the stream, or to the last that has asked.
    async fn route(&self, line: Bytes, progress: Option<&str>) {
        let (stream, events) = {
            let state = self.state();
            let takers = || state.asked.values().filter(|asked| asked.takes_messages);
            let reported = progress
                .and_then(|progress| takers().find(|asked| asked.progress.as_deref() == Some(progress)));
            let stream = state.stream.as_ref().filter(|stream| reported.is_none() && !stream.is_closed());
            let asked = reported.or_else(|| takers().max_by_key(|asked| asked.nth));
            (stream.cloned(), asked.map(|asked| asked.events.clone()))
        };
        let sent = match (stream, events) {
            (Some(stream), _) => {
                let sent = timeout(self.patience, stream.send(line.clone())).await;
                let is_sent = matches!(sent, Ok(Ok(())));
                if !is_sent {
                    self.state().stream.take_if(|held| held.same_channel(&stream));
                }
                is_sent
            }
            (None, Some(events)) => {
                matches!(timeout(self.patience, events.send(Event::Message(line.clone()))).await, Ok(Ok(())))
            }
            (None, None) => false,
        };
        if !sent {
            self.keep(line);
        }
    }

    fn keep(&self, line: Bytes) {
        let mut state = self.state();
        let bytes: usize = state.waiting.iter().map(Bytes::len).sum();
        if state.waiting.len() < MAX_WAITING && bytes + line.len() <= MAX_WAITING_BYTES {
            state.waiting.push_back(line);
        } else {
            tracing::debug!("a message of the server's is dropped: nobody listens");
        }
    }
}

/// What comes to one request. Dropped before the answer is there, it tells the process that nobody waits for it.
#[derive(Debug)]
pub(super) struct Answer {
    session: Arc<Session>,
    /// Of the request, in JSON.
    pub(super) id: String,
    events: mpsc::Receiver<Event>,
    is_done: bool,
    is_initialize: bool,
}

impl Answer {
    /// The next; `None` when the process has ended without an answer.
    pub(super) async fn next(&mut self) -> Option<Event> {
        let event = self.events.recv().await;
        self.is_done = !matches!(event, Some(Event::Message(_)));
        event
    }
}

impl Drop for Answer {
    fn drop(&mut self) {
        if self.is_done {
            return;
        }
        self.session.state().asked.remove(&self.id);
        self.session.changed.notify_one();
        // MCP, "Cancellation": never of `initialize`, with which the session ends anyway.
        if !self.is_initialize {
            let line = format!(
                r#"{{"jsonrpc":"2.0","method":"notifications/cancelled","params":{{"requestId":{},"reason":"the client has gone"}}}}"#,
                self.id
            );
            let _ = self.session.to_process.try_send(line.into());
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_server_that_only_talks_is_not_in_use() {
        let (session, _lines) = Session::new("1".into(), None, [0; 32], Duration::from_secs(1));
        let since = session.idle_since();
        assert!(since.is_some());
        tokio::time::advance(Duration::from_secs(9)).await;
        for line in [
            r#"{"jsonrpc":"2.0","method":"notifications/x"}"#,
            r#"{"jsonrpc":"2.0","id":1,"method":"ping"}"#,
            r#"{"jsonrpc":"2.0","id":1,"result":{}}"#,
        ] {
            session.deliver(Message::parse(line.as_bytes()).unwrap()).await;
        }
        assert_eq!(session.idle_since(), since);
    }
}
