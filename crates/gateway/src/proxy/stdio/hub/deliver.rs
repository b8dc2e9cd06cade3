//! What the process says, and to whom.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Bytes;
use tokio::time::Instant;

use super::{Asked, Hub, INITIALIZE, LISTEN};
use crate::proxy::stdio::json::Spot;
use crate::proxy::stdio::message::{Kind, Message};
use crate::proxy::stdio::session::Session;
use crate::proxy::stdio::stream::{Patience, Stream};

/// Requests of a process's own at once.
const MAX_ASKING: usize = 64;

impl Hub {
    /// Hands on what the process has said.
    pub(in crate::proxy::stdio) async fn deliver(&self, message: Message) {
        match &message.kind {
            Kind::Response { id, is_error } => self.answer(&message, id, *is_error),
            Kind::Notification { progress: Some(token), .. } => self.report(&message, token).await,
            Kind::Notification { subscription: Some(id), request, .. } => {
                self.tell_listener(&message, id, request.as_ref()).await;
            }
            Kind::Notification { request: Some(request), .. } => {
                let session = {
                    // It waits for no answer any more.
                    let mut state = self.state();
                    let session = state.asking.remove(&request.key);
                    session.and_then(|session| state.sessions.get(&session)).cloned()
                };
                match session {
                    Some(session) => {
                        self.say(&session, message.line.clone(), self.patience_for_one()).await;
                    }
                    // A server of 2026-07-28 ends a subscription so.
                    None => self.tell_listener(&message, request, Some(request)).await,
                }
            }
            // Nobody's that can be found, and so not everybody's.
            Kind::Notification { method, .. }
                if matches!(&**method, "notifications/progress" | "notifications/cancelled") =>
            {
                tracing::debug!(method, "a message of nothing that was asked is dropped");
            }
            Kind::Notification { .. } => self.tell_all(message.line).await,
            Kind::Request { id, method, .. } => self.ask_client(&message, id, method).await,
        }
    }

    fn answer(&self, message: &Message, id: &Spot, is_error: bool) {
        let asked = {
            let mut state = self.state();
            let asked = number(id).and_then(|n| state.asked.remove(&n));
            // A server that only talks is not in use.
            if let Some(asked) = &asked {
                state.used = Instant::now();
                let session = asked.session.and_then(|session| state.sessions.get(&session));
                session.inspect(|session| session.uses());
            }
            asked
        };
        self.changed.notify_one();
        let Some(asked) = asked else {
            tracing::debug!("an answer to nothing that was asked, or that is not waited for");
            return;
        };
        let mut edits = vec![(id.at.clone(), &*asked.id)];
        if asked.method == LISTEN
            && let Some(subscription) = message.subscription_of_result()
            && subscription.key == id.key
        {
            edits.push((subscription.at, &asked.id));
        }
        asked.stream.finish(message.with(edits), is_error, || {
            let reason = "too many answers wait to be read: try again";
            let id = &asked.id;
            Some(
                format!(r#"{{"jsonrpc":"2.0","id":{id},"error":{{"code":-32603,"message":"{reason}"}}}}"#)
                    .into(),
            )
        });
        if asked.method == INITIALIZE {
            if is_error {
                self.retire();
            } else {
                let result = message.inner().unwrap_or("null");
                self.hello.send_replace(Some(Bytes::copy_from_slice(result.as_bytes())));
            }
        }
    }

    /// A report of progress goes to whoever has asked for it.
    async fn report(&self, message: &Message, token: &Spot) {
        let asked = self.asked(token, |asked| {
            let progress = asked.progress.clone()?;
            asked.takes_messages.then(|| (Arc::clone(&asked.stream), progress))
        });
        if let Some((stream, progress)) = asked {
            stream.push(message.with(vec![(token.at.clone(), &progress)]), self.patience_for_one()).await;
        } else {
            tracing::debug!("a report of progress that nobody waits for is dropped");
        }
    }

    /// A message of a subscription goes to whoever has opened it. It ends with one that cancels it.
    async fn tell_listener(&self, message: &Message, id: &Spot, request: Option<&Spot>) {
        let asked = self.asked(id, |asked| {
            (asked.method == LISTEN).then(|| (Arc::clone(&asked.stream), asked.id.clone()))
        });
        let Some((stream, own)) = asked else {
            tracing::debug!("a message of no subscription is dropped");
            return;
        };
        let ends = request.is_some_and(|request| request.key == id.key);
        let places = [Some(id), request.filter(|request| request.key == id.key && request.at != id.at)];
        let line = message.with(places.into_iter().flatten().map(|spot| (spot.at.clone(), &*own)).collect());
        if !ends {
            stream.push(line, self.patience_for_one()).await;
            return;
        }
        if let Some(n) = number(id) {
            self.state().asked.remove(&n);
        }
        stream.finish(line, false, || None);
        self.changed.notify_one();
    }

    fn asked<T>(&self, id: &Spot, found: impl FnOnce(&Asked) -> Option<T>) -> Option<T> {
        let state = self.state();
        number(id).and_then(|n| state.asked.get(&n)).and_then(found)
    }

    /// What belongs to nothing that was asked goes to every session. Without any there is one request at most that it can
    /// belong to.
    async fn tell_all(&self, line: Bytes) {
        let (sessions, only) = {
            let state = self.state();
            let mut asked = state.asked.values();
            let only = asked.next().filter(|_| state.asked.len() == 1);
            // Of several people it may be meant for another, who has just gone.
            let only = only.filter(|_| !self.key.is_of_many);
            let only = only.filter(|asked| asked.session.is_none() && asked.takes_messages);
            (
                state.sessions.values().cloned().collect::<Vec<_>>(),
                only.map(|asked| Arc::clone(&asked.stream)),
            )
        };
        let patience = if self.is_ones() { Patience::Each(self.patience) } else { Patience::None };
        if let Some(stream) = only {
            stream.push(line, patience).await;
            return;
        }
        for session in sessions {
            self.say(&session, line.clone(), patience).await;
        }
        // Whoever reads can do so before the next.
        tokio::task::yield_now().await;
    }

    /// To the session's stream where the client listens, else to what it has asked last; else it is kept.
    async fn say(&self, session: &Session, line: Bytes, patience: Patience) -> bool {
        let last: Option<Arc<Stream>> = {
            let state = self.state();
            let asked = state.asked.iter().filter(|(_, asked)| asked.session == Some(session.number));
            let last = asked.filter(|(_, asked)| asked.takes_messages).max_by_key(|(n, _)| **n);
            last.filter(|_| !session.listens()).map(|(_, asked)| Arc::clone(&asked.stream))
        };
        let stream = last.unwrap_or_else(|| Arc::clone(&session.listening));
        let is_taken = stream.push(line, patience).await;
        if !is_taken {
            tracing::debug!("a message of the server's is dropped: nobody listens");
        }
        is_taken
    }

    /// Whether nobody else suffers where a client is slow.
    fn is_ones(&self) -> bool {
        self.state().sessions.len() <= 1 && !self.key.is_of_many
    }

    /// Where others wait, too, one is waited for only as long as it takes to come to reading: it is at their cost.
    fn patience_for_one(&self) -> Patience {
        if self.is_ones() {
            Patience::Each(self.patience)
        } else {
            Patience::All(self.patience.min(Duration::from_millis(100)))
        }
    }

    /// The process asks: its user, on the session that has asked last.
    async fn ask_client(&self, message: &Message, id: &Spot, method: &str) {
        if self.key.is_of_many {
            // Whose request this belongs to is not to be known, and nobody answers for another.
            if method == "ping" {
                let line = format!(r#"{{"jsonrpc":"2.0","id":{},"result":{{}}}}"#, id.key);
                let _ = self.tell(Bytes::from(line)).await;
            } else {
                self.refuse(&id.key, "this process serves several people: none of them is asked").await;
            }
            return;
        }
        let session = {
            let mut state = self.state();
            let asked = state.asked.iter().filter(|(_, asked)| asked.session.is_some());
            let last = asked.max_by_key(|(n, _)| **n).and_then(|(_, asked)| asked.session);
            let listening = || state.sessions.values().find(|session| session.listens());
            let latest = || state.sessions.values().max_by_key(|session| session.used());
            let session = last.and_then(|last| state.sessions.get(&last)).or_else(listening).or_else(latest);
            let session = session.cloned().filter(|_| state.asking.len() < MAX_ASKING);
            if let Some(session) = &session {
                state.asking.insert(id.key.clone(), session.number);
            }
            session
        };
        let is_asked = match session {
            Some(session) => self.say(&session, message.line.clone(), self.patience_for_one()).await,
            None => false,
        };
        if !is_asked {
            self.state().asking.remove(&id.key);
            self.refuse(&id.key, "there is no client to ask").await;
        }
    }

    /// Answers the process in the place of a client.
    pub(super) async fn refuse(&self, id: &str, reason: &str) {
        let line = format!(r#"{{"jsonrpc":"2.0","id":{id},"error":{{"code":-32601,"message":"{reason}"}}}}"#);
        let _ = self.tell(Bytes::from(line)).await;
    }
}

/// The number that the process got in the place of an id.
fn number(id: &Spot) -> Option<u64> {
    id.key.parse().ok()
}
