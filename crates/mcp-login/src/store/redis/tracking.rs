//! One connection on which a server tells which records change.

use std::convert::Infallible;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::{
    AsyncConnectionConfig, Client, Cmd, ErrorKind, ProtocolVersion, PushInfo, PushKind, RedisError,
    RedisResult, Value,
};
use tokio::sync::Notify;
use tokio::time::timeout;

use super::node::{Node, is_master};
use crate::store::watch::Watcher;

/// For making the connection, with TLS and authentication.
const CONNECT_LIMIT: Duration = Duration::from_secs(2);

/// For the answer to one command.
const ANSWER_LIMIT: Duration = Duration::from_secs(2);

/// What shows that a server still tells of all changes.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Sign {
    /// It answers.
    OfLife,
    /// It answers that it is a master.
    OfMaster,
}

/// What is told, and to whom.
#[derive(Clone)]
pub(super) struct Subject {
    /// Of a kind of record, up to its colon: what follows it in a key is the id.
    pub(super) prefix: String,
    pub(super) watcher: Weak<dyn Watcher>,
    /// That a connection broke.
    pub(super) broken: Arc<Notify>,
}

/// The connection. What comes on it after this was dropped is told to nobody.
pub(super) struct Tracking {
    redis: MultiplexedConnection,
    ear: Ear,
}

impl Tracking {
    pub(super) async fn begin(node: &Node, subject: Subject) -> RedisResult<Self> {
        let info = node.client()?.get_connection_info().clone();
        let settings = info.redis_settings().clone().set_protocol(ProtocolVersion::RESP3);
        let client = Client::open(info.set_redis_settings(settings))?;

        let mut tracking = redis::cmd("CLIENT");
        tracking.arg("TRACKING").arg("ON").arg("BCAST").arg("PREFIX").arg(&subject.prefix);
        let ear = Ear(Arc::new(Listener { subject, lives: AtomicBool::new(true) }));
        let listener = Arc::clone(&ear.0);
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(CONNECT_LIMIT))
            .set_response_timeout(Some(ANSWER_LIMIT))
            .set_push_sender(move |push| -> Result<(), Infallible> {
                listener.receive(&push);
                Ok(())
            });
        let connecting = client.get_multiplexed_async_connection_with_config(&config);
        let redis = timeout(CONNECT_LIMIT, connecting).await.map_err(|_| broken())??;
        ask(redis.clone(), &tracking).await?;
        Ok(Self { redis, ear })
    }

    /// Asks for a sign. When it comes, all changes that the server made before the question have been told.
    pub(super) fn sign(&self, sign: Sign) -> impl Future<Output = RedisResult<()>> + Send + 'static {
        let redis = self.redis.clone();
        async move {
            match sign {
                Sign::OfLife => ask(redis, &redis::cmd("PING")).await.map(drop),
                Sign::OfMaster if is_master(&ask(redis, &redis::cmd("ROLE")).await?) => Ok(()),
                Sign::OfMaster => Err((ErrorKind::Io, "the server is no master").into()),
            }
        }
    }

    pub(super) fn lives(&self) -> bool {
        self.ear.0.lives.load(Ordering::SeqCst)
    }
}

async fn ask(mut redis: MultiplexedConnection, command: &Cmd) -> RedisResult<Value> {
    let answer = redis.send_packed_command(command);
    timeout(ANSWER_LIMIT, answer).await.map_err(|_| broken())??.extract_error()
}

pub(super) fn broken() -> RedisError {
    (ErrorKind::Io, "the connection that tells of changes does not answer").into()
}

/// Ends the listening.
struct Ear(Arc<Listener>);

impl Drop for Ear {
    fn drop(&mut self) {
        self.0.lives.store(false, Ordering::SeqCst);
    }
}

struct Listener {
    subject: Subject,
    lives: AtomicBool,
}

impl Listener {
    /// Runs in the task that drives the connection, in the order in which Redis has sent.
    fn receive(&self, push: &PushInfo) {
        let Some(watcher) = self.subject.watcher.upgrade() else { return };
        match push.kind {
            PushKind::Disconnection if self.lives.swap(false, Ordering::SeqCst) => {
                watcher.lost();
                self.subject.broken.notify_one();
            }
            PushKind::Invalidate => match push.data.first() {
                Some(Value::Array(names)) => {
                    for name in names {
                        self.changed(&*watcher, name);
                    }
                }
                // The whole database was emptied.
                _ => watcher.all_changed(),
            },
            _ => {}
        }
    }

    fn changed(&self, watcher: &dyn Watcher, name: &Value) {
        let Value::BulkString(name) = name else { return watcher.all_changed() };
        let id = name.strip_prefix(self.subject.prefix.as_bytes());
        if let Some(id) = id.and_then(|id| std::str::from_utf8(id).ok()) {
            watcher.changed(id);
        }
    }
}
