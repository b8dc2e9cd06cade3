//! Between one process and those whose messages it gets: one session, many, or requests that belong to none.
//!
//! Two clients may use the same ids, so a process gets others in their place, and what comes back has the client's own
//! again. What belongs to no request goes to every session. What the process itself asks goes to one client, whose answer
//! alone it then takes; a process of several people's is told from the start that nobody answers.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::body::Bytes;
use tokio::runtime::Handle;
use tokio::sync::{Notify, mpsc, watch};
use tokio::time::{Instant, sleep_until, timeout};
use tokio_util::sync::CancellationToken;

use super::budget::{Room, Share};
use super::environment::Fingerprint;
use super::message::{Kind, Message, SUBSCRIPTION};
use super::session::Session;
use super::sharing::Key;
use super::stream::Stream;
use crate::proxy::error::{Failure, ProxyError};

mod answer;
mod deliver;
mod hear;

pub(super) use answer::Answer;

/// Lines that wait for the process: few, as each may be long.
const CHANNEL: usize = 4;
/// Requests at once: of one session, or of one user without any; and of all of a process.
const MAX_ASKED: usize = 64;
const MAX_ASKED_OF_ALL: usize = 1024;
/// Of one user, in all of their sessions, where the process is several people's.
const MAX_ASKED_OF_ONE: usize = MAX_ASKED_OF_ALL / 8;
/// The method that keeps a stream open (MCP 2026-07-28, "Subscriptions").
pub(super) const LISTEN: &str = "subscriptions/listen";
/// The method that a process answers once, for all that it serves.
pub(super) const INITIALIZE: &str = "initialize";
const INITIALIZED: &str = r#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#;

#[derive(Debug)]
pub(super) struct Hub {
    pub(super) number: u64,
    /// Who may have it.
    pub(super) key: Key,
    /// Of the environment that the process has.
    pub(super) fingerprint: Fingerprint,
    /// How long either side may take to take a line.
    patience: Duration,
    to_process: mpsc::Sender<Line>,
    state: Mutex<State>,
    changed: Notify,
    /// Whether the process has heard that its client is ready.
    is_ready: tokio::sync::Mutex<bool>,
    /// What the process has answered to `initialize`.
    hello: watch::Sender<Option<Bytes>>,
    /// Ends the process at once.
    pub(super) end: CancellationToken,
    /// The process is gone.
    pub(super) gone: CancellationToken,
}

#[derive(Debug)]
struct State {
    asked: HashMap<u64, Asked>,
    /// Numbers requests and sessions.
    count: u64,
    sessions: HashMap<u64, Arc<Session>>,
    /// Requests of the process's own, and the sessions that may answer them.
    asking: HashMap<String, u64>,
    /// When a client last sent something, listened or was answered.
    used: Instant,
    /// Takes nothing more, and ends with the last answer.
    retires: bool,
}

impl State {
    fn idle_since(&self) -> Option<Instant> {
        let is_idle = self.asked.values().all(|asked| asked.method == LISTEN)
            && !self.sessions.values().any(|session| session.listens());
        is_idle.then_some(self.used)
    }
}

/// What is written to the process, without its end.
#[derive(Debug)]
pub(super) struct Line {
    pub(super) text: Bytes,
    /// Of what may wait in all, for what clients have sent.
    _room: Option<Arc<Room>>,
}

impl From<Bytes> for Line {
    fn from(text: Bytes) -> Self {
        Self { text, _room: None }
    }
}

/// A request that is not answered yet.
#[derive(Debug)]
struct Asked {
    /// Its id, as the client wrote it, and what is the same for every way to write it.
    id: String,
    key: String,
    session: Option<u64>,
    user: Option<String>,
    stream: Arc<Stream>,
    /// Whether other messages may come before the answer.
    takes_messages: bool,
    /// As the client wrote it.
    progress: Option<String>,
    method: String,
}

/// Who asks.
#[derive(Clone, Copy)]
pub(super) struct Asker<'a> {
    pub(super) session: Option<&'a Arc<Session>>,
    /// What may wait for it.
    pub(super) share: &'a Share,
    /// Whether it can be sent more than the answer.
    pub(super) takes_messages: bool,
}

impl Hub {
    /// One that nobody uses yet, and the lines for its process.
    pub(super) fn new(
        number: u64,
        key: Key,
        fingerprint: Fingerprint,
        patience: Duration,
    ) -> (Arc<Self>, mpsc::Receiver<Line>) {
        let (to_process, lines) = mpsc::channel(CHANNEL);
        let state = State {
            asked: HashMap::new(),
            count: 0,
            sessions: HashMap::new(),
            asking: HashMap::new(),
            used: Instant::now(),
            retires: false,
        };
        let hub = Self {
            number,
            key,
            fingerprint,
            patience,
            to_process,
            state: Mutex::new(state),
            changed: Notify::new(),
            is_ready: tokio::sync::Mutex::new(false),
            hello: watch::Sender::new(None),
            end: CancellationToken::new(),
            gone: CancellationToken::new(),
        };
        (Arc::new(hub), lines)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether it still takes messages.
    pub(super) fn is_open(&self) -> bool {
        !self.state().retires && !self.end.is_cancelled()
    }

    /// Since when nothing is asked and no session listens. A subscription gives way: its client opens another.
    pub(super) fn idle_since(&self) -> Option<Instant> {
        self.state().idle_since()
    }

    /// Takes nothing more, if it is still idle.
    pub(super) fn gives_way(&self) -> bool {
        let mut state = self.state();
        let is_idle = state.idle_since().is_some();
        state.retires |= is_idle;
        is_idle
    }

    /// Whether something of this session is not answered yet.
    pub(super) fn has_asked(&self, session: u64) -> bool {
        self.state().asked.values().any(|asked| asked.session == Some(session))
    }

    /// A client has done something.
    pub(super) fn uses(&self) {
        self.state().used = Instant::now();
    }

    /// Takes nothing more, and ends once everything asked is answered.
    pub(super) fn retire(&self) {
        self.state().retires = true;
        self.end_streams();
    }

    /// Comes back when the process is not needed any more: after retirement, or when nothing has passed for this long.
    pub(super) async fn unused(&self, limit: Duration) {
        loop {
            let (free, retires, end) = {
                let mut state = self.state();
                let (free, end) = (state.asked.is_empty(), state.used + limit);
                // Decided under one lock: nothing is taken in between that would not be answered.
                state.retires |= free && end <= Instant::now();
                (free, state.retires, end)
            };
            if free && retires {
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
        for asked in std::mem::take(&mut state.asked).into_values() {
            asked.stream.close();
        }
        for session in std::mem::take(&mut state.sessions).into_values() {
            session.listening.close();
        }
    }

    /// Ends what stays open by itself, as a server does that ends (MCP 2026-07-28, Subscriptions, "Graceful Closure").
    pub(super) fn end_streams(&self) {
        let mut state = self.state();
        for session in state.sessions.values() {
            session.listening.close();
        }
        for (_, asked) in state.asked.extract_if(|_, asked| asked.method == LISTEN) {
            let id = &asked.id;
            let line = format!(
                r#"{{"jsonrpc":"2.0","id":{id},"result":{{"resultType":"complete","_meta":{{"{SUBSCRIPTION}":{id}}}}}}}"#
            );
            asked.stream.finish(line.into(), false, || None);
        }
        drop(state);
        self.changed.notify_one();
    }

    /// One more session. The number is its own among those of this process.
    pub(super) fn attach(&self, session: impl FnOnce(u64) -> Arc<Session>) -> Result<Arc<Session>, Failure> {
        let mut state = self.state();
        if state.retires || self.end.is_cancelled() {
            return Err(ProxyError::ProcessEnded.into());
        }
        state.used = Instant::now();
        state.count += 1;
        let number = state.count;
        let session = session(number);
        state.sessions.insert(number, Arc::clone(&session));
        Ok(session)
    }

    /// One session less: nobody waits for what it has asked, and nobody answers what it was asked.
    pub(super) async fn detach(&self, number: u64) {
        let (asked, asking) = {
            let mut state = self.state();
            if let Some(session) = state.sessions.remove(&number) {
                session.listening.close();
            }
            let asked: Vec<_> = state.asked.extract_if(|_, asked| asked.session == Some(number)).collect();
            let asking: Vec<_> = state.asking.extract_if(|_, session| *session == number).collect();
            (asked, asking)
        };
        self.changed.notify_one();
        if self.key.own.is_some() {
            self.end.cancel();
        }
        for (n, asked) in asked {
            self.given_up(&asked);
            if let Some(line) = cancelled(n, &asked.method) {
                let _ = self.tell(line).await;
            }
        }
        for (id, _) in asking {
            self.refuse(&id, "the client has gone").await;
        }
    }

    /// Hands a line to the process.
    async fn tell(&self, line: impl Into<Line>) -> Result<(), Failure> {
        let line = line.into();
        tokio::select! {
            sent = timeout(self.patience, self.to_process.send(line)) => match sent {
                Ok(Ok(())) => Ok(()),
                Ok(Err(_)) => Err(ProxyError::ProcessEnded.into()),
                Err(_) => Err(ProxyError::ResponseTimeout.into()),
            },
            () = self.end.cancelled() => Err(ProxyError::ProcessEnded.into()),
        }
    }

    /// Hands a request to the process.
    pub(super) async fn ask(self: &Arc<Self>, message: &Message, who: Asker<'_>) -> Result<Answer, Failure> {
        let Kind::Request { id, method, progress } = &message.kind else {
            return Err(ProxyError::BadMessage("not a request").into());
        };
        let session = who.session.map(|session| session.number);
        let asked = Asked {
            id: message.at(id.at.clone()).to_owned(),
            key: id.key.clone(),
            session,
            user: who.share.owner.clone(),
            stream: who
                .session
                .map_or_else(|| Stream::of_request(None, who.share.clone()), |session| session.stream()),
            takes_messages: who.takes_messages,
            progress: progress.as_ref().map(|token| message.at(token.at.clone()).to_owned()),
            method: method.clone(),
        };
        let stream = asked.stream.read(None);
        let id_of_client = asked.id.clone();
        let n = self.register(asked)?;
        let number = n.to_string();
        let places = [Some(id), progress.as_ref()].into_iter().flatten();
        let line = message.with(places.map(|spot| (spot.at.clone(), &*number)).collect());
        let line = Line { text: line, _room: message.room.clone() };
        let answer = Answer::new(self, n, id_of_client, stream, who.session);
        self.tell(line).await?;
        Ok(answer)
    }

    fn register(&self, asked: Asked) -> Result<u64, Failure> {
        let mut state = self.state();
        if state.retires || self.end.is_cancelled() {
            return Err(ProxyError::SessionEnded.into());
        }
        let (mut of_them, mut of_user) = (0, 0);
        for other in state.asked.values() {
            of_user += usize::from(other.user == asked.user);
            let is_theirs =
                other.session == asked.session && (asked.session.is_some() || other.user == asked.user);
            of_them += usize::from(is_theirs);
            // Requests without a session are told apart by their connections.
            if is_theirs && asked.session.is_some() && other.key == asked.key {
                return Err(ProxyError::BadMessage("another request of this id is not answered yet").into());
            }
        }
        let is_too_much_of_one = self.key.is_of_many && of_user >= MAX_ASKED_OF_ONE;
        if of_them >= MAX_ASKED || is_too_much_of_one || state.asked.len() >= MAX_ASKED_OF_ALL {
            return Err(ProxyError::Busy.into());
        }
        state.used = Instant::now();
        state.count += 1;
        let n = state.count;
        state.asked.insert(n, asked);
        Ok(n)
    }

    /// What the process has answered to `initialize`, once it has: no other `initialize` is sent to it. `None` when it has
    /// ended before.
    pub(super) async fn hello(&self, limit: Duration) -> Result<Option<Bytes>, Failure> {
        let mut hello = self.hello.subscribe();
        let result = tokio::select! {
            result = timeout(limit, hello.wait_for(Option::is_some)) => {
                let result = result.map_err(|_| ProxyError::ResponseTimeout)?;
                result.ok().and_then(|result| result.clone())
            }
            () = self.end.cancelled() => None,
        };
        if result.is_some() {
            self.ready(Bytes::from_static(INITIALIZED.as_bytes())).await?;
        }
        Ok(result)
    }

    /// Nobody hears the answer to this any more. Without the one to `initialize` a process is of no use to anybody: others
    /// would wait for it for nothing.
    fn given_up(&self, asked: &Asked) {
        asked.stream.close();
        if asked.method == INITIALIZE {
            self.end.cancel();
        }
    }

    /// Nobody waits for this answer any more.
    pub(super) fn cancel(self: &Arc<Self>, n: u64) {
        let Some(asked) = self.state().asked.remove(&n) else { return };
        self.given_up(&asked);
        self.changed.notify_one();
        let Some(line) = cancelled(n, &asked.method) else { return };
        let Err(mpsc::error::TrySendError::Full(line)) = self.to_process.try_send(line.into()) else {
            return;
        };
        let hub = Arc::clone(self);
        if let Ok(runtime) = Handle::try_current() {
            runtime.spawn(async move {
                let _ = hub.tell(line).await;
            });
        }
    }
}

/// MCP, "Cancellation": never of `initialize`, with which the process ends anyway.
fn cancelled(n: u64, method: &str) -> Option<Bytes> {
    let line = format!(
        r#"{{"jsonrpc":"2.0","method":"notifications/cancelled","params":{{"requestId":{n},"reason":"the client has gone"}}}}"#
    );
    (method != INITIALIZE).then(|| line.into())
}

#[cfg(test)]
mod tests;
