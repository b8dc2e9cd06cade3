//! The connection: made when it is first needed, made anew when it is lost, never waited for without bound.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use redis::aio::{ConnectionManager, ConnectionManagerConfig};
use redis::io::tcp::TcpSettings;
use redis::{Client, ConnectionAddr, ConnectionInfo, IntoConnectionInfo, RedisError, RedisResult};

use crate::store::backend::StoreError;

/// For making a connection, with TLS and authentication.
const CONNECT_LIMIT: Duration = Duration::from_secs(2);

/// For the answer to one command.
const RESPONSE_LIMIT: Duration = Duration::from_secs(2);

/// For a whole call, waiting for the connection included.
const CALL_LIMIT: Duration = Duration::from_secs(4);

/// A refused connection is tried this often again within one call: it hides a restart of Redis of a moment.
const CONNECT_RETRIES: usize = 2;
const RETRY_DELAY: Duration = Duration::from_millis(50);

/// Commands on their way at once, before callers wait for a place.
const PIPELINE: usize = 512;

/// The manager is replaced at most this often.
const RENEWAL_PAUSE: Duration = Duration::from_secs(1);

/// One multiplexed connection for all callers.
///
/// The manager connects again when a connection breaks, but stays with one that is merely silent (a dead network), and
/// with the first answer when it was refused at login (a password that has since been put right). So any failure but a
/// broken connection makes a new manager, now and then.
pub(super) struct Link {
    client: Client,
    current: Mutex<Current>,
}

#[derive(Default)]
struct Current {
    manager: Option<ConnectionManager>,
    renewed: Option<Instant>,
}

impl Link {
    pub(super) fn new(url: &str) -> Result<(Self, ConnectionAddr), StoreError> {
        // No text of the redis crate is passed on: it may hold parts of the URL.
        let unreadable = || {
            StoreError::Open(
                "the store's Redis URL cannot be read; it is redis://[USER:PASSWORD@]HOST[:PORT][/DB], or rediss:// \
                 for TLS, with special characters of the password percent-encoded"
                    .to_owned(),
            )
        };
        let info: ConnectionInfo = url.into_connection_info().map_err(|_| unreadable())?;
        let address = info.addr().clone();
        match &address {
            ConnectionAddr::TcpTls { insecure: true, .. } => {
                return Err(StoreError::Open(
                    "the store's Redis URL ends in #insecure, but certificates are always verified; remove it, and \
                     name the certificate authority in SSL_CERT_FILE if it is your own"
                        .to_owned(),
                ));
            }
            ConnectionAddr::TcpTls { .. } => choose_crypto(),
            ConnectionAddr::Tcp(..) => {}
            _ => return Err(unreadable()),
        }
        let info = info.set_tcp_settings(TcpSettings::default().set_nodelay(true));
        let client = Client::open(info).map_err(|_| unreadable())?;
        Ok((Self { client, current: Mutex::default() }, address))
    }

    /// For connections of one's own.
    pub(super) fn client(&self) -> &Client {
        &self.client
    }

    /// Sends a command once. Only a script that Redis does not know yet (it has run nothing then) is sent again, by
    /// [`redis::Script`].
    pub(super) async fn run<T>(
        &self,
        command: impl AsyncFnOnce(ConnectionManager) -> RedisResult<T>,
    ) -> Result<T, StoreError> {
        let manager = self.manager().map_err(|error| unavailable(&error))?;
        match tokio::time::timeout(CALL_LIMIT, command(manager)).await {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(error)) => {
                if !error.is_connection_dropped() {
                    self.renew();
                }
                Err(unavailable(&error))
            }
            Err(elapsed) => {
                self.renew();
                Err(StoreError::unavailable(elapsed))
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, Current> {
        self.current.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn manager(&self) -> RedisResult<ConnectionManager> {
        let mut current = self.lock();
        if let Some(manager) = &current.manager {
            return Ok(manager.clone());
        }
        let config = ConnectionManagerConfig::new()
            .set_connection_timeout(Some(CONNECT_LIMIT))
            .set_response_timeout(Some(RESPONSE_LIMIT))
            .set_number_of_retries(CONNECT_RETRIES)
            .set_min_delay(RETRY_DELAY)
            .set_pipeline_buffer_size(PIPELINE);
        let manager = ConnectionManager::new_lazy_with_config(self.client.clone(), config)?;
        Ok(current.manager.insert(manager).clone())
    }

    /// Whoever uses the old manager still gets his answer from it.
    fn renew(&self) {
        let mut current = self.lock();
        if current.renewed.is_none_or(|then| then.elapsed() >= RENEWAL_PAUSE) {
            *current = Current { manager: None, renewed: Some(Instant::now()) };
        }
    }
}

/// Without a choice rustls panics in a program that has two providers compiled in.
fn choose_crypto() {
    if rustls::crypto::CryptoProvider::get_default().is_none() {
        // Somebody else may have been quicker, which is as good.
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    }
}

/// Redis repeats the arguments of a command that it does not know: keys and records, which are not for the log.
fn unavailable(error: &RedisError) -> StoreError {
    let text = error.to_string();
    let safe = text.split(", with args").next().unwrap_or_default();
    StoreError::unavailable(safe.to_owned())
}
