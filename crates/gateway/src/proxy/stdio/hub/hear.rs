//! What a client says besides requests.

use axum::body::Bytes;

use super::{Asked, Hub, INITIALIZE, INITIALIZED, Line};
use crate::proxy::error::{Failure, ProxyError};
use crate::proxy::stdio::message::{Kind, Message};

impl Hub {
    /// What a session says besides requests: a notification, or the answer to a request of the process's.
    pub(in crate::proxy::stdio) async fn hear(&self, message: Message, session: u64) -> Result<(), Failure> {
        // While it retires, too: what was asked before is to come to its end.
        if self.end.is_cancelled() {
            return Err(ProxyError::SessionEnded.into());
        }
        self.uses();
        let line = match &message.kind {
            Kind::Request { .. } => return Err(ProxyError::BadMessage("a request").into()),
            // Only what this session was asked: no client answers for another.
            Kind::Response { id, .. } => {
                let mut state = self.state();
                let is_theirs = state.asking.get(&id.key) == Some(&session);
                if is_theirs {
                    state.asking.remove(&id.key);
                }
                is_theirs.then(|| message.line.clone())
            }
            Kind::Notification { method, .. } if method == "notifications/initialized" => {
                // What one of them says of itself is not said to a process of all.
                let of_nobody = Bytes::from_static(INITIALIZED.as_bytes());
                return self.ready(if self.key.is_of_many { of_nobody } else { message.line.clone() }).await;
            }
            Kind::Notification { method, request, .. } if method == "notifications/cancelled" => {
                let n = request.as_ref().and_then(|request| self.find(session, &request.key));
                if let Some((request, n)) = request.as_ref().zip(n) {
                    let line = message.with(vec![(request.at.clone(), &*n.to_string())]);
                    let told = self.tell(Line { text: line, _room: message.room.clone() }).await;
                    self.end_cancelled(n);
                    return told;
                }
                None
            }
            // What one of them says of itself is not true of all.
            Kind::Notification { .. } => (!self.key.is_of_many).then(|| message.line.clone()),
        };
        let Some(text) = line else {
            tracing::debug!("an answer to nothing, or a notification that is not the process's, is dropped");
            return Ok(());
        };
        self.tell(Line { text, _room: message.room }).await
    }

    /// Most programs answer nothing to what was cancelled, so that it would keep its place until its time is over.
    fn end_cancelled(&self, n: u64) {
        let Some(asked) = self.state().asked.remove(&n) else { return };
        let id = &asked.id;
        let line = format!(
            r#"{{"jsonrpc":"2.0","id":{id},"error":{{"code":-32603,"message":"cancelled by its client"}}}}"#
        );
        asked.stream.finish(line.into(), true, || None);
        self.changed.notify_one();
    }

    fn find(&self, session: u64, key: &str) -> Option<u64> {
        let state = self.state();
        let mut asked = state.asked.iter();
        // MCP, "Cancellation": never of `initialize`, for which others wait, too.
        let is_it =
            |asked: &Asked| asked.session == Some(session) && asked.key == key && asked.method != INITIALIZE;
        asked.find(|(_, asked)| is_it(asked)).map(|(n, _)| *n)
    }

    /// Tells the process that its client is ready, once. It has heard so before anybody goes on.
    pub(super) async fn ready(&self, line: Bytes) -> Result<(), Failure> {
        let mut is_ready = self.is_ready.lock().await;
        if !*is_ready {
            self.tell(line).await?;
            *is_ready = true;
        }
        Ok(())
    }
}
