//! Redis tells which records change: client tracking (RESP 3, `CLIENT TRACKING ON BCAST PREFIX`) on a connection of its own.
//!
//! Broadcasting, because then Redis need not remember who has read what, and because every change is told, whichever
//! connection made the read. The connection is made anew for as long as somebody watches; whatever changed in between was
//! not told, so everything counts as changed. A PING each second shows that the connection lives: its answer comes after
//! all changes that Redis made before the PING.
//!
//! This follows one server. A Cluster needs one such connection to each master, and everything counts as changed when the
//! slots move; Sentinel needs a new one to the new master, and `ROLE` in the place of PING, so that a server that is
//! master no longer is noticed.

use std::convert::Infallible;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use redis::aio::MultiplexedConnection;
use redis::{
    AsyncConnectionConfig, Client, Cmd, ErrorKind, ProtocolVersion, PushInfo, PushKind, RedisError,
    RedisResult, Value,
};
use tokio::sync::Notify;
use tokio::time::timeout;

use crate::store::watch::Watcher;

/// For making the connection, with TLS and authentication.
const CONNECT_LIMIT: Duration = Duration::from_secs(2);

/// For the answer to one command.
const ANSWER_LIMIT: Duration = Duration::from_secs(2);

/// Between two signs of life.
const HEARTBEAT: Duration = Duration::from_secs(1);

/// Before the connection is made anew; it doubles up to the longest, until one has held.
const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(2);

/// Tells the watcher, for as long as it lives, of changes to the keys that begin with `prefix`.
pub(super) struct Invalidation {
    client: Client,
    prefix: String,
    watcher: Weak<dyn Watcher>,
}

impl Invalidation {
    /// `prefix` is of a kind of record, up to its colon: what follows it in a key is the id.
    pub(super) fn new(client: &Client, prefix: String, watcher: Weak<dyn Watcher>) -> RedisResult<Self> {
        let info = client.get_connection_info().clone();
        let settings = info.redis_settings().clone().set_protocol(ProtocolVersion::RESP3);
        Ok(Self { client: Client::open(info.set_redis_settings(settings))?, prefix, watcher })
    }

    pub(super) async fn run(self) {
        let mut pause = FIRST_PAUSE;
        let mut told = true;
        while self.watcher.strong_count() > 0 {
            let connection = Arc::new(Connection::new(self.prefix.clone(), Weak::clone(&self.watcher)));
            let error = self.follow(&connection).await;
            connection.end();
            if connection.has_held() {
                (pause, told) = (FIRST_PAUSE, true);
            }
            if self.watcher.strong_count() > 0 && std::mem::take(&mut told) {
                tracing::warn!(kind = ?error.kind(), "Redis does not tell of changes now: every call reads the store");
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    /// Follows the changes until the connection breaks, or nobody watches any more. Gives the reason.
    async fn follow(&self, told: &Arc<Connection>) -> RedisError {
        match self.connect_and_follow(told).await {
            Ok(never) => match never {},
            Err(error) => error,
        }
    }

    async fn connect_and_follow(&self, told: &Arc<Connection>) -> RedisResult<Infallible> {
        let sink = Arc::clone(told);
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(CONNECT_LIMIT))
            .set_response_timeout(Some(ANSWER_LIMIT))
            .set_push_sender(move |push| -> Result<(), Infallible> {
                sink.receive(&push);
                Ok(())
            });
        let connecting = self.client.get_multiplexed_async_connection_with_config(&config);
        let mut redis = timeout(CONNECT_LIMIT, connecting).await.map_err(|_| broken())??;
        let mut tracking = redis::cmd("CLIENT");
        tracking.arg("TRACKING").arg("ON").arg("BCAST").arg("PREFIX").arg(&self.prefix);
        ask(&mut redis, &tracking).await?;
        // Now that changes are told: what was read before may have changed unseen.
        let Some(watcher) = self.watcher.upgrade() else { return Err(broken()) };
        watcher.all_changed();
        drop(watcher);
        loop {
            let at = Instant::now();
            ask(&mut redis, &redis::cmd("PING")).await?;
            if !told.confirm(at) {
                return Err(broken());
            }
            tokio::select! {
                () = tokio::time::sleep(HEARTBEAT) => {}
                () = told.broken.notified() => return Err(broken()),
            }
        }
    }
}

async fn ask(redis: &mut MultiplexedConnection, command: &Cmd) -> RedisResult<()> {
    let answer = redis.send_packed_command(command);
    timeout(ANSWER_LIMIT, answer).await.map_err(|_| broken())??.extract_error().map(drop)
}

fn broken() -> RedisError {
    (ErrorKind::Io, "the connection that tells of changes does not answer").into()
}

/// One connection, from its beginning to its end: what comes after the end is nothing to the next one.
struct Connection {
    prefix: String,
    watcher: Weak<dyn Watcher>,
    lives: AtomicBool,
    held: AtomicBool,
    broken: Notify,
}

impl Connection {
    fn new(prefix: String, watcher: Weak<dyn Watcher>) -> Self {
        let (lives, held) = (AtomicBool::new(true), AtomicBool::new(false));
        Self { prefix, watcher, lives, held, broken: Notify::new() }
    }

    fn has_held(&self) -> bool {
        self.held.load(Ordering::SeqCst)
    }

    /// Runs in the task that drives the connection, in the order in which Redis has sent.
    fn receive(&self, push: &PushInfo) {
        match push.kind {
            PushKind::Disconnection => self.end(),
            PushKind::Invalidate => {
                let Some(watcher) = self.watcher.upgrade() else { return };
                match push.data.first() {
                    Some(Value::Array(names)) => {
                        for name in names {
                            self.changed(&*watcher, name);
                        }
                    }
                    // The whole database was emptied.
                    _ => watcher.all_changed(),
                }
            }
            _ => {}
        }
    }

    fn changed(&self, watcher: &dyn Watcher, name: &Value) {
        let Value::BulkString(name) = name else { return watcher.all_changed() };
        let id = name.strip_prefix(self.prefix.as_bytes()).and_then(|id| std::str::from_utf8(id).ok());
        if let Some(id) = id {
            watcher.changed(id);
        }
    }

    /// `false` when the connection has ended, or nobody watches.
    fn confirm(&self, at: Instant) -> bool {
        let Some(watcher) = self.watcher.upgrade() else { return false };
        if !self.held.swap(true, Ordering::SeqCst) {
            tracing::info!("Redis tells of changes");
        }
        watcher.confirmed(at);
        // It may have broken between the answer and the confirmation, which would then be the last word.
        let lives = self.lives.load(Ordering::SeqCst);
        if !lives {
            watcher.lost();
        }
        lives
    }

    fn end(&self) {
        if self.lives.swap(false, Ordering::SeqCst)
            && let Some(watcher) = self.watcher.upgrade()
        {
            watcher.lost();
        }
        self.broken.notify_one();
    }
}
