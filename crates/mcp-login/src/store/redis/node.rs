//! One server: its connections, made when they are first needed, made anew when they are lost, never waited for
//! without bound.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, Client, Cmd, RedisResult, Value};
use tokio::time::{Instant, timeout_at};

use super::address::{Access, Address};
use super::failure::{Failure, judge};
use crate::store::options::StoreOptions;

/// Commands on their way at once on one connection, before callers wait for a place.
const PIPELINE: usize = 512;

/// After a connection is refused, how long nobody tries again; it doubles up to the longest.
const BACK_OFF: Duration = Duration::from_millis(50);
const LONGEST_BACK_OFF: Duration = Duration::from_secs(1);

/// A connection on which nothing was sent for this long is tried before a write is: firewalls and servers drop idle
/// ones, and a write whose connection breaks cannot be sent again.
const IDLE: Duration = Duration::from_secs(10);

/// What a server has to be before it is used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Role {
    /// Whatever the URL names, and nodes of a Cluster, which send away by themselves what they do not own.
    Any,
    /// A master, by its own word, each time a connection is made.
    Master,
}

/// A command, and whether it may be sent again after its connection broke.
pub(super) struct Command {
    pub(super) cmd: Cmd,
    pub(super) repeatable: bool,
}

impl Command {
    pub(super) fn read(name: &str, arguments: &[&str]) -> Self {
        let mut cmd = redis::cmd(name);
        for argument in arguments {
            cmd.arg(*argument);
        }
        Self { cmd, repeatable: true }
    }
}

/// A server with its connections.
pub(super) struct Node {
    pub(super) address: Address,
    access: Access,
    role: Role,
    connect_timeout: Duration,
    lanes: Box<[Lane]>,
    turn: AtomicUsize,
}

/// One connection. A lost one is replaced by the first caller that needs it, the others wait for him.
#[derive(Default)]
struct Lane {
    current: Mutex<Current>,
    making: tokio::sync::Mutex<()>,
}

#[derive(Default)]
struct Current {
    connection: Option<MultiplexedConnection>,
    /// Counts the connections of this lane, so that a late failure of an old one does not end a new one.
    number: u64,
    used: Option<Instant>,
    refusals: u32,
    refused: Option<(Instant, String)>,
}

impl Lane {
    fn lock(&self) -> MutexGuard<'_, Current> {
        self.current.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The connection, its number, and whether it has been idle; or why there is none now.
    fn ready(&self) -> Result<Option<(MultiplexedConnection, u64, bool)>, Failure> {
        let mut current = self.lock();
        let now = Instant::now();
        if let Some(connection) = current.connection.clone() {
            let idle = current.used.is_some_and(|used| now.duration_since(used) > IDLE);
            current.used = Some(now);
            return Ok(Some((connection, current.number, idle)));
        }
        match &current.refused {
            Some((until, why)) if now < *until => Err(Failure::NotNow(why.clone())),
            _ => Ok(None),
        }
    }

    fn made(&self, connection: MultiplexedConnection) -> (MultiplexedConnection, u64, bool) {
        let mut current = self.lock();
        let number = current.number.wrapping_add(1);
        *current = Current {
            connection: Some(connection.clone()),
            number,
            used: Some(Instant::now()),
            ..Current::default()
        };
        (connection, number, false)
    }

    fn refused(&self, why: String) {
        let mut current = self.lock();
        let wait = BACK_OFF.saturating_mul(1 << current.refusals.min(8)).min(LONGEST_BACK_OFF);
        current.refusals = current.refusals.saturating_add(1);
        current.refused = Some((Instant::now() + wait, why));
    }

    fn discard(&self, number: u64) {
        let mut current = self.lock();
        if current.number == number {
            current.connection = None;
        }
    }
}

impl Node {
    pub(super) fn new(address: Address, access: Access, role: Role, options: &StoreOptions) -> Self {
        if access.is_tls() {
            choose_crypto();
        }
        let lanes = (0..options.connections).map(|_| Lane::default()).collect();
        let connect_timeout = options.connect_timeout;
        Self { address, access, role, connect_timeout, lanes, turn: AtomicUsize::new(0) }
    }

    /// Sends a command once, or, if nothing of it can have happened, not at all. `asking` is for a key that is on its
    /// way to this node.
    pub(super) async fn send(
        &self,
        command: &Command,
        asking: bool,
        deadline: Instant,
    ) -> Result<Value, Failure> {
        let turn = self.turn.fetch_add(1, Ordering::Relaxed) % self.lanes.len().max(1);
        let Some(lane) = self.lanes.get(turn) else { return Err(Failure::NotNow(String::new())) };
        let (connection, number) = self.connection(lane, command, deadline).await?;
        let failure = match timeout_at(deadline, transmit(connection, command, asking)).await {
            Ok(Ok(value)) => return Ok(value),
            Ok(Err(error)) => judge(&error, &self.address.host),
            Err(_) => Failure::Lost("it did not answer in time".to_owned()),
        };
        if failure.ends_connection() {
            lane.discard(number);
        }
        Err(match failure {
            Failure::Lost(why) if command.repeatable && Instant::now() < deadline => Failure::NotNow(why),
            Failure::Stale(why) => Failure::NotNow(why),
            failure => failure,
        })
    }

    async fn connection(
        &self,
        lane: &Lane,
        command: &Command,
        deadline: Instant,
    ) -> Result<(MultiplexedConnection, u64), Failure> {
        let (connection, number, idle) = match lane.ready()? {
            Some(ready) => ready,
            None => self.make(lane, deadline).await?,
        };
        if !idle || command.repeatable {
            return Ok((connection, number));
        }
        let soon = Instant::now() + deadline.saturating_duration_since(Instant::now()) / 4;
        let ping = Command::read("PING", &[]);
        if let Ok(Ok(_)) = timeout_at(soon, transmit(connection.clone(), &ping, false)).await {
            return Ok((connection, number));
        }
        lane.discard(number);
        self.make(lane, deadline).await.map(|(connection, number, _)| (connection, number))
    }

    async fn make(
        &self,
        lane: &Lane,
        deadline: Instant,
    ) -> Result<(MultiplexedConnection, u64, bool), Failure> {
        let too_late = || Failure::NotNow("no connection could be made in time".to_owned());
        let _making = timeout_at(deadline, lane.making.lock()).await.map_err(|_| too_late())?;
        if let Some(ready) = lane.ready()? {
            return Ok(ready);
        }
        let by = deadline.min(Instant::now() + self.connect_timeout);
        let failure = match timeout_at(by, self.connect()).await {
            Ok(Ok(connection)) => return Ok(lane.made(connection)),
            Ok(Err(failure)) => failure,
            Err(_) => too_late(),
        };
        lane.refused(failure.text().to_owned());
        // Nothing was sent yet, whatever went wrong.
        Err(Failure::NotNow(failure.text().to_owned()))
    }

    /// For connections of one's own.
    pub(super) fn client(&self) -> RedisResult<Client> {
        self.access.to(&self.address).and_then(Client::open)
    }

    async fn connect(&self) -> Result<MultiplexedConnection, Failure> {
        let judged = |error| judge(&error, &self.address.host);
        let client = self.client().map_err(judged)?;
        // The limits are the caller's.
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(self.connect_timeout))
            .set_response_timeout(None)
            .set_pipeline_buffer_size(PIPELINE);
        let connection =
            client.get_multiplexed_async_connection_with_config(&config).await.map_err(judged)?;
        if self.role == Role::Master {
            let role =
                transmit(connection.clone(), &Command::read("ROLE", &[]), false).await.map_err(judged)?;
            if !is_master(&role) {
                return Err(Failure::NotNow("the sentinels name a server that is no master".to_owned()));
            }
        }
        Ok(connection)
    }
}

/// Whether this is the answer of a master to `ROLE`.
pub(super) fn is_master(role: &Value) -> bool {
    matches!(role, Value::Array(parts)
        if matches!(parts.first(), Some(Value::BulkString(role)) if role == b"master"))
}

async fn transmit(
    mut connection: MultiplexedConnection,
    command: &Command,
    asking: bool,
) -> Result<Value, redis::RedisError> {
    if !asking {
        return connection.send_packed_command(&command.cmd).await?.extract_error();
    }
    // In one piece: between two the command of another caller would be asked for.
    let mut pipeline = redis::pipe();
    pipeline.cmd("ASKING").add_command(command.cmd.clone());
    let mut answers = connection.send_packed_commands(&pipeline, 1, 1).await?;
    answers.pop().unwrap_or(Value::Nil).extract_error()
}

/// Without a choice rustls panics in a program that has two providers compiled in.
fn choose_crypto() {
    if rustls::crypto::CryptoProvider::get_default().is_none() {
        // Somebody else may have been quicker, which is as good.
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    }
}
