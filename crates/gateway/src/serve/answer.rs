//! Answers on their way to a client, and those that a client lets lie. On HTTP/2 a client that gives a stream no window stops
//! that stream alone: no write to the connection waits, and nobody asks for the rest of the body. It would hold a connection to
//! the backend for as long as the client likes.

use std::collections::HashMap;
use std::convert::Infallible;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::BoxError;
use axum::body::{Body, Bytes};
use http_body::{Body as _, Frame, SizeHint};
use tokio::time::{Instant, sleep};

use super::in_flight::{InFlight, One};

/// What is given to an HTTP/2 stream at once, in bytes: whoever takes that much within the bound is slow, not stalled.
const PIECE: usize = 16 * 1024;

/// The answers of one connection.
#[derive(Debug, Clone, Default)]
pub(super) struct Answers(Arc<Mutex<Open>>);

#[derive(Debug, Default)]
struct Open {
    last: u64,
    answers: HashMap<u64, Arc<Mutex<State>>>,
}

#[derive(Debug)]
struct State {
    /// `None` once the client has let it lie for too long.
    body: Option<(Body, One)>,
    /// What of the last piece is still to be given.
    rest: Bytes,
    /// Since when it is the client's turn; `None` while there is nothing to send.
    clients_turn: Option<Instant>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Answers {
    /// An answer with which its request ends. It is the client's turn from the beginning: it may not even want the first piece.
    pub(super) fn answer(&self, body: Body, one: One) -> Answer {
        let state = State { body: Some((body, one)), rest: Bytes::new(), clients_turn: Some(Instant::now()) };
        let state = Arc::new(Mutex::new(state));
        let mut open = lock(&self.0);
        open.last += 1;
        let key = open.last;
        open.answers.insert(key, Arc::clone(&state));
        Answer { state, open: Arc::clone(&self.0), key }
    }

    /// Lets go of every answer of which the client has taken nothing for so long. Never comes back.
    pub(super) async fn drop_stalled(&self, in_flight: &InFlight, limit: Duration) -> Infallible {
        loop {
            in_flight.some().await;
            sleep(limit / 4).await;
            // Dropped outside of the locks: what hangs on a body may be long.
            let dropped: Vec<(Body, One)> = {
                let open = lock(&self.0);
                open.answers.values().filter_map(|state| lock(state).give_up(limit)).collect()
            };
            if !dropped.is_empty() {
                tracing::debug!(count = dropped.len(), "answers that a client does not read are dropped");
            }
        }
    }
}

impl State {
    fn give_up(&mut self, limit: Duration) -> Option<(Body, One)> {
        self.clients_turn.filter(|since| since.elapsed() >= limit)?;
        self.rest = Bytes::new();
        self.body.take()
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let Some((body, _)) = &mut self.body else {
            return Poll::Ready(Some(Err("the client did not read its answer".into())));
        };
        if self.rest.is_empty() {
            // From here on it is the backend's, until there is something.
            self.clients_turn = None;
            let frame = ready!(Pin::new(body).poll_frame(cx));
            self.clients_turn = Some(Instant::now());
            match frame.map(|frame| frame.map(Frame::into_data)) {
                Some(Ok(Ok(data))) => self.rest = data,
                Some(Ok(Err(trailers))) => return Poll::Ready(Some(Ok(trailers))),
                Some(Err(error)) => return Poll::Ready(Some(Err(error.into()))),
                None => return Poll::Ready(None),
            }
        }
        self.clients_turn = Some(Instant::now());
        let piece = self.rest.split_to(self.rest.len().min(PIECE));
        Poll::Ready(Some(Ok(Frame::data(piece))))
    }
}

/// An answer's body.
#[derive(Debug)]
pub(super) struct Answer {
    state: Arc<Mutex<State>>,
    open: Arc<Mutex<Open>>,
    key: u64,
}

impl Drop for Answer {
    fn drop(&mut self) {
        lock(&self.open).answers.remove(&self.key);
    }
}

impl http_body::Body for Answer {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Self::Data>, Self::Error>>> {
        lock(&self.state).poll(cx)
    }

    fn is_end_stream(&self) -> bool {
        let state = lock(&self.state);
        state.rest.is_empty() && state.body.as_ref().is_some_and(|(body, _)| body.is_end_stream())
    }

    fn size_hint(&self) -> SizeHint {
        let state = lock(&self.state);
        let left = state.rest.len() as u64;
        let Some((body, _)) = &state.body else { return SizeHint::default() };
        let (lower, upper) = (body.size_hint().lower() + left, body.size_hint().upper());
        let mut hint = SizeHint::new();
        hint.set_lower(lower);
        if let Some(upper) = upper {
            hint.set_upper(upper + left);
        }
        hint
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use futures_util::{FutureExt, StreamExt, stream};
    use http_body_util::BodyExt;

    use super::*;

    const LIMIT: Duration = Duration::from_secs(60);

    const CHUNK: Result<&[u8], std::io::Error> = Ok(b"abc");

    #[tokio::test(start_paused = true)]
    async fn who_takes_nothing_is_dropped_and_who_waits_for_more_is_not() {
        let (in_flight, answers) = (InFlight::new(), Answers::default());
        let silent = Body::from_stream(stream::iter([CHUNK]).chain(stream::pending()));
        let mut silent = answers.answer(silent, in_flight.one());
        silent.frame().await.unwrap().unwrap();
        assert!(silent.frame().now_or_never().is_none());

        let mut unread = answers.answer(Body::from_stream(stream::iter([CHUNK, CHUNK])), in_flight.one());
        unread.frame().await.unwrap().unwrap();
        let mut never_begun = answers.answer(Body::from("x"), in_flight.one());

        assert!(tokio::time::timeout(2 * LIMIT, answers.drop_stalled(&in_flight, LIMIT)).await.is_err());
        assert!(silent.frame().now_or_never().is_none());
        assert!(unread.frame().await.unwrap().is_err() && never_begun.frame().await.unwrap().is_err());
        assert!(!unread.is_end_stream() && unread.size_hint().exact().is_none());
        // What was let go is in flight no more.
        drop(silent);
        assert!(in_flight.none_for(LIMIT).now_or_never().is_none() && in_flight.is_none());
    }

    #[tokio::test(start_paused = true)]
    async fn who_takes_a_long_answer_slowly_gets_all_of_it() {
        let (in_flight, answers) = (InFlight::new(), Answers::default());
        let mut slow = answers.answer(Body::from(vec![7; 10 * PIECE + 1]), in_flight.one());
        let reading = async {
            let mut length = 0;
            while !slow.is_end_stream() {
                assert_eq!(slow.size_hint().exact(), Some((10 * PIECE + 1 - length) as u64));
                let piece = slow.frame().await.unwrap().unwrap().into_data().unwrap();
                assert!(piece.len() <= PIECE);
                length += piece.len();
                sleep(LIMIT / 2).await;
            }
            length
        };
        let length = tokio::select! {
            length = reading => length,
            never = answers.drop_stalled(&in_flight, LIMIT) => match never {},
        };
        assert_eq!(length, 10 * PIECE + 1);
        assert!(slow.frame().await.is_none());
        drop(slow);
        assert!(lock(&answers.0).answers.is_empty());
    }
}
