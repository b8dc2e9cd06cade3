//! A client's connection with a bound for writing: what is sent has to be taken.

use std::io::{self, IoSlice};
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use socket2::{SockRef, TcpKeepalive};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Sleep, sleep};

/// A client that is gone without a word (a laptop that was closed, a NAT that forgot) is found out after a minute of silence and
/// nine questions, ten seconds apart: event streams are silent for hours.
const KEEPALIVE_TIME: Duration = Duration::from_secs(60);
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(10);
/// The same for one to whom something was sent: then nothing is asked, but sent again.
#[cfg(target_os = "linux")]
const UNACKNOWLEDGED: Duration = Duration::from_secs(150);

/// The stream, on which a write that cannot go on for too long is an error.
#[derive(Debug)]
pub(super) struct Bounded<S> {
    inner: S,
    limit: Duration,
    /// Runs while a write waits.
    timer: Option<Pin<Box<Sleep>>>,
}

impl Bounded<TcpStream> {
    /// A client's connection, with the options that it needs. What cannot be set is no reason to refuse it.
    pub(super) fn client(stream: TcpStream, peer: SocketAddr, limit: Duration) -> Self {
        if let Err(error) = set_options(&stream, limit) {
            tracing::debug!(%error, %peer, "an option of a connection");
        }
        Self::new(stream, limit)
    }
}

#[cfg_attr(not(target_os = "linux"), allow(unused_variables))]
fn set_options(stream: &TcpStream, limit: Duration) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let socket = SockRef::from(stream);
    let keepalive = TcpKeepalive::new().with_time(KEEPALIVE_TIME).with_interval(KEEPALIVE_INTERVAL);
    socket.set_tcp_keepalive(&keepalive)?;
    // It counts for a client that is there and does not read, too.
    #[cfg(target_os = "linux")]
    socket.set_tcp_user_timeout(Some(UNACKNOWLEDGED.max(limit)))?;
    Ok(())
}

impl<S> Bounded<S> {
    const fn new(inner: S, limit: Duration) -> Self {
        Self { inner, limit, timer: None }
    }

    /// What a write has come to, once it has come to something.
    fn within<T>(&mut self, cx: &mut Context<'_>, written: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if written.is_ready() {
            self.timer = None;
            return written;
        }
        let timer = self.timer.get_or_insert_with(|| Box::pin(sleep(self.limit)));
        ready!(timer.as_mut().poll(cx));
        Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, "the client does not read")))
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Bounded<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_read(cx, buffer)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Bounded<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.inner).poll_write(cx, bytes);
        self.within(cx, written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        parts: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.inner).poll_write_vectored(cx, parts);
        self.within(cx, written)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        // Nothing waits here on a TCP stream, and a flush in between must not stop the clock of a write.
        Pin::new(&mut self.inner).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};
    use tokio::time::Instant;

    use super::*;

    const LIMIT: Duration = Duration::from_secs(60);

    #[tokio::test]
    async fn clients_that_are_gone_without_a_word_are_asked_for() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let _client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (stream, peer) = listener.accept().await.unwrap();
        let stream = Bounded::client(stream, peer, LIMIT);
        let socket = SockRef::from(&stream.inner);
        assert!(socket.keepalive().unwrap() && stream.inner.nodelay().unwrap());
        assert_eq!(socket.tcp_keepalive_time().unwrap(), KEEPALIVE_TIME);
        #[cfg(target_os = "linux")]
        assert_eq!(socket.tcp_user_timeout().unwrap(), Some(UNACKNOWLEDGED));
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_not_taken_for_too_long_is_an_error() {
        let (gateway, _client) = duplex(10);
        let mut stream = Bounded::new(gateway, LIMIT);
        stream.write_all(&[0; 10]).await.unwrap();
        let begin = Instant::now();
        assert_eq!(stream.write_all(&[0; 10]).await.unwrap_err().kind(), io::ErrorKind::TimedOut);
        assert!(begin.elapsed() >= LIMIT);
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_taken_slowly_is_none_and_neither_is_silence() {
        let (gateway, mut client) = duplex(10);
        let mut stream = Bounded::new(gateway, LIMIT);
        let reading = tokio::spawn(async move {
            for _ in 0..10 {
                tokio::time::sleep(LIMIT / 2).await;
                client.read_exact(&mut [0; 10]).await.unwrap();
            }
            client
        });
        stream.write_all(&[0; 100]).await.unwrap();
        let _client = reading.await.unwrap();
        tokio::time::sleep(100 * LIMIT).await;
        stream.write_all(&[0; 10]).await.unwrap();
    }
}
