//! The listener: HTTP/1.1 and HTTP/2 without TLS, with a bound for everything, and an end that lets requests finish.

mod answer;
mod in_flight;
mod limits;
mod stream;

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::ConnectInfo;
use axum::response::Response;
use hyper::Request;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tower::ServiceExt;

pub use limits::Limits;

use answer::Answers;
use in_flight::InFlight;
use stream::Bounded;

/// How an HTTP/2 connection begins (RFC 9113 §3.4).
const HTTP2_PREFACE: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// Serves until `shutdown`, then lets what is in flight finish.
pub async fn serve(listener: TcpListener, app: Router, shutdown: CancellationToken, limits: Limits) {
    let connection =
        Arc::new(Connection { app, shutdown: shutdown.clone(), limits, builder: builder(limits) });
    let permits = Arc::new(Semaphore::new(limits.connections));
    let mut open = JoinSet::new();
    loop {
        let accepted = tokio::select! {
            () = shutdown.cancelled() => break,
            accepted = accept(&listener, &permits) => accepted,
        };
        while open.try_join_next().is_some() {}
        match accepted {
            Ok((stream, peer, permit)) => {
                let connection = Arc::clone(&connection);
                open.spawn(async move {
                    connection.serve(stream, peer).await;
                    drop(permit);
                });
            }
            Err(error) if is_of_one_connection(&error) => {}
            Err(error) => {
                // Out of file descriptors, mostly: trying again at once would only burn the processor.
                tracing::error!(%error, "no connection can be accepted");
                tokio::time::sleep(Duration::from_millis(500)).await;
            }
        }
    }
    drop(listener);
    let drained =
        tokio::time::timeout(limits.drain, async { while open.join_next().await.is_some() {} }).await;
    if drained.is_err() {
        tracing::info!(open = open.len(), "connections that did not end in time are cut");
        open.shutdown().await;
    }
}

async fn accept(
    listener: &TcpListener,
    permits: &Arc<Semaphore>,
) -> io::Result<(TcpStream, SocketAddr, tokio::sync::OwnedSemaphorePermit)> {
    let permit = Arc::clone(permits).acquire_owned().await.map_err(io::Error::other)?;
    let (stream, peer) = listener.accept().await?;
    Ok((stream, peer, permit))
}

/// Errors that concern a connection which ended before it was accepted, not the listener.
fn is_of_one_connection(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset)
}

fn builder(limits: Limits) -> Builder<TokioExecutor> {
    let mut builder = Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(limits.header_read)
        .max_headers(100)
        .max_buf_size(64 * 1024);
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(200)
        .max_header_list_size(64 * 1024)
        .keep_alive_interval(Duration::from_secs(30))
        .keep_alive_timeout(Duration::from_secs(20));
    builder
}

/// What every connection of a listener shares.
struct Connection {
    app: Router,
    shutdown: CancellationToken,
    limits: Limits,
    builder: Builder<TokioExecutor>,
}

impl Connection {
    async fn serve(&self, stream: TcpStream, peer: SocketAddr) {
        let first = tokio::select! {
            () = self.shutdown.cancelled() => return,
            first = tokio::time::timeout(self.limits.header_read, is_http2(&stream)) => first,
        };
        let Ok(Ok(http2)) = first else { return };
        let builder =
            if http2 { self.builder.clone().http2_only() } else { self.builder.clone().http1_only() };
        let (in_flight, answers) = (InFlight::new(), Answers::default());
        let service = service_fn(|mut request: Request<Incoming>| {
            request.extensions_mut().insert(ConnectInfo(peer));
            let one = in_flight.one();
            let (answer, answers) = (self.app.clone().oneshot(request.map(Body::new)), answers.clone());
            async move {
                let answer: Response = answer.await?;
                Ok::<_, Infallible>(answer.map(|body| answers.answer(body, one)))
            }
        });
        let stream = TokioIo::new(Bounded::client(stream, peer, self.limits.write));
        let mut connection = pin!(builder.serve_connection(stream, service));
        // On HTTP/1.1 a client that does not read stops the connection itself, which has its bound. To the very end: requests
        // still come in until the client has heard of it.
        let mut stalled = pin!(answers.drop_stalled(&in_flight, self.limits.write));
        let ended = tokio::select! {
            ended = connection.as_mut() => Some(ended),
            () = self.shutdown.cancelled() => None,
            // HTTP/2 has no such bound of its own, and a client that answers pings would stay for ever.
            () = in_flight.none_for(self.limits.idle) => None,
            never = stalled.as_mut(), if http2 => match never {},
        };
        let ended = if let Some(ended) = ended {
            ended
        } else {
            connection.as_mut().graceful_shutdown();
            tokio::select! {
                ended = connection => ended,
                () = in_flight.none_for(self.limits.goodbye) => return,
                never = stalled, if http2 => match never {},
            }
        };
        if let Err(error) = ended {
            tracing::debug!(%error, "a connection ended early");
        }
    }
}

/// Whether the connection begins with the HTTP/2 preface. Looked at here because the HTTP library waits for these bytes
/// without a bound.
async fn is_http2(stream: &TcpStream) -> io::Result<bool> {
    let mut start = [0; HTTP2_PREFACE.len()];
    loop {
        let seen = stream.peek(&mut start).await?;
        if seen == 0 || start[..seen] != HTTP2_PREFACE[..seen] {
            return Ok(false);
        }
        if seen == HTTP2_PREFACE.len() {
            return Ok(true);
        }
        // A part of the preface: the bytes stay where they are, so waiting for readiness would not wait.
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// A token that SIGTERM or SIGINT cancels. The second signal ends the process at once.
pub fn shutdown_on_signals() -> io::Result<CancellationToken> {
    let token = CancellationToken::new();
    let mut signals = Signals::new()?;
    let cancelled = token.clone();
    tokio::spawn(async move {
        signals.next().await;
        tracing::info!("ending: requests in flight may finish");
        cancelled.cancel();
        signals.next().await;
        std::process::exit(1);
    });
    Ok(token)
}

#[cfg(unix)]
struct Signals {
    terminate: tokio::signal::unix::Signal,
    interrupt: tokio::signal::unix::Signal,
    hangup: tokio::signal::unix::Signal,
}

#[cfg(unix)]
impl Signals {
    fn new() -> io::Result<Self> {
        use tokio::signal::unix::{SignalKind, signal};
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hangup: signal(SignalKind::hangup())?,
        })
    }

    async fn next(&mut self) {
        loop {
            tokio::select! {
                _ = self.terminate.recv() => return,
                _ = self.interrupt.recv() => return,
                _ = self.hangup.recv() => {
                    tracing::warn!("SIGHUP: reloading is not in this version yet; start again to read the configuration");
                }
            }
        }
    }
}

#[cfg(not(unix))]
struct Signals;

#[cfg(not(unix))]
impl Signals {
    fn new() -> io::Result<Self> {
        Ok(Self)
    }

    async fn next(&mut self) {
        if tokio::signal::ctrl_c().await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}

#[cfg(test)]
mod tests;
