//! Bodies as they pass through: data only, counted where a bound is set.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::BoxError;
use axum::body::Bytes;
use http_body::{Body, Frame, SizeHint};
use tokio::time::{Instant, Sleep, sleep_until};

/// What is known of a request's body on its way. The HTTP client wraps the error that stops a body; this tells which it was.
#[derive(Debug, Clone)]
pub(super) struct Upload(Arc<State>);

#[derive(Debug)]
struct State {
    exceeded: AtomicBool,
    stalled: AtomicBool,
    begin: Instant,
    /// Milliseconds from `begin` until the last thing that the client sent; [`WAITING`] while more is waited for.
    last: AtomicU64,
}

const WAITING: u64 = u64::MAX;

impl Upload {
    pub(super) fn new() -> Self {
        Self(Arc::new(State {
            exceeded: AtomicBool::new(false),
            stalled: AtomicBool::new(false),
            begin: Instant::now(),
            last: AtomicU64::new(0),
        }))
    }

    /// Whether the body has gone over its bound.
    pub(super) fn is_exceeded(&self) -> bool {
        self.0.exceeded.load(Ordering::Acquire)
    }

    /// Whether the body stopped arriving.
    pub(super) fn is_stalled(&self) -> bool {
        self.0.stalled.load(Ordering::Acquire)
    }

    /// Since when it is the backend's turn; `None` while it is the client's.
    pub(super) fn backends_turn(&self) -> Option<Instant> {
        let last = self.0.last.load(Ordering::Acquire);
        (last != WAITING).then(|| self.0.begin + Duration::from_millis(last))
    }

    fn arrived(&self) {
        let elapsed = u64::try_from(self.0.begin.elapsed().as_millis()).unwrap_or(0);
        self.0.last.store(elapsed, Ordering::Release);
    }

    fn waits(&self) {
        self.0.last.store(WAITING, Ordering::Release);
    }
}

/// The bounds of a request's body.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bounds {
    /// In bytes.
    pub(super) length: u64,
    /// Until more of it comes.
    pub(super) idle: Duration,
    /// Until all of it is there: a client that sends a byte now and then is cut, too.
    pub(super) whole: Duration,
}

/// The other body, without its trailers: a name in a trailer would get past the rules for headers.
#[derive(Debug)]
pub(super) struct Passing<B> {
    inner: B,
    bounded: Option<Bounded>,
    done: bool,
}

#[derive(Debug)]
struct Bounded {
    bounds: Bounds,
    left: u64,
    upload: Upload,
    /// Runs while more is waited for.
    timer: Option<Pin<Box<Sleep>>>,
}

impl Bounded {
    /// More is waited for. The error is that it was for too long.
    fn waits(&mut self, cx: &mut Context<'_>) -> Poll<BoxError> {
        let end = self.upload.0.begin + self.bounds.whole;
        let timer = self.timer.get_or_insert_with(|| {
            self.upload.waits();
            Box::pin(sleep_until(end.min(Instant::now() + self.bounds.idle)))
        });
        ready!(timer.as_mut().poll(cx));
        self.upload.0.stalled.store(true, Ordering::Release);
        Poll::Ready("the body stopped arriving".into())
    }

    fn arrived(&mut self) {
        self.timer = None;
        self.upload.arrived();
    }

    /// Counts. The error is that it was too much.
    fn takes(&mut self, length: usize) -> Result<(), BoxError> {
        let Some(left) = self.left.checked_sub(length as u64) else {
            self.upload.0.exceeded.store(true, Ordering::Release);
            return Err("the body is too large".into());
        };
        self.left = left;
        Ok(())
    }
}

impl<B> Passing<B> {
    /// No bound.
    pub(super) const fn unbounded(inner: B) -> Self {
        Self { inner, bounded: None, done: false }
    }

    /// Within these bounds; then an error, of which `upload` knows.
    pub(super) const fn bounded(inner: B, bounds: Bounds, upload: Upload) -> Self {
        let bounded = Bounded { bounds, left: bounds.length, upload, timer: None };
        Self { inner, bounded: Some(bounded), done: false }
    }
}

impl<B> Body for Passing<B>
where
    B: Body<Data = Bytes, Error: Into<BoxError>> + Unpin,
{
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Self::Data>, Self::Error>>> {
        let this = &mut *self;
        if this.done {
            return Poll::Ready(None);
        }
        let polled = Pin::new(&mut this.inner).poll_frame(cx);
        let frame = match (polled, &mut this.bounded) {
            (Poll::Ready(frame), bounded) => {
                if let Some(bounded) = bounded {
                    bounded.arrived();
                }
                frame
            }
            (Poll::Pending, None) => return Poll::Pending,
            (Poll::Pending, Some(bounded)) => {
                let error = ready!(bounded.waits(cx));
                this.done = true;
                return Poll::Ready(Some(Err(error)));
            }
        };
        let frame = match frame {
            Some(Ok(frame)) => frame,
            Some(Err(error)) => return Poll::Ready(Some(Err(error.into()))),
            None => return Poll::Ready(None),
        };
        // Trailers are the last frame of a body.
        let Ok(data) = frame.into_data() else {
            this.done = true;
            return Poll::Ready(None);
        };
        if let Some(bounded) = &mut this.bounded
            && let Err(error) = bounded.takes(data.len())
        {
            this.done = true;
            return Poll::Ready(Some(Err(error)));
        }
        Poll::Ready(Some(Ok(Frame::data(data))))
    }

    fn is_end_stream(&self) -> bool {
        self.done || self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use axum::http::HeaderMap;
    use futures_util::StreamExt;
    use http_body_util::{BodyExt, StreamBody};

    use super::*;

    const HOUR: Duration = Duration::from_secs(3600);

    /// Two chunks of three bytes and a trailer.
    fn body() -> impl Body<Data = Bytes, Error = BoxError> + Unpin {
        let frames =
            [Frame::data("abc".into()), Frame::data("def".into()), Frame::trailers(HeaderMap::new())];
        StreamBody::new(futures_util::stream::iter(frames.map(Ok)))
    }

    #[tokio::test]
    async fn trailers_do_not_pass() {
        assert!(body().collect().await.unwrap().trailers().is_some());
        let passed = Passing::unbounded(body()).collect().await.unwrap();
        assert!(passed.trailers().is_none());
        assert_eq!(passed.to_bytes(), "abcdef");
    }

    #[tokio::test]
    async fn the_bound_itself_is_within() {
        for (max, over) in [(6, false), (5, true)] {
            let upload = Upload::new();
            let bounds = Bounds { length: max, idle: HOUR, whole: HOUR };
            let passed = Passing::bounded(body(), bounds, upload.clone()).collect().await;
            assert_eq!((passed.is_err(), upload.is_exceeded()), (over, over), "{max}");
            assert!(!upload.is_stalled());
        }
    }

    #[tokio::test]
    async fn it_is_the_clients_turn_only_while_more_is_waited_for() {
        for (idle, whole) in [(Duration::from_millis(20), HOUR), (HOUR, Duration::from_millis(20))] {
            let upload = Upload::new();
            let first = futures_util::stream::iter([Ok::<_, BoxError>(Frame::data(Bytes::from("x")))]);
            let frames = StreamBody::new(first.chain(futures_util::stream::pending()));
            let mut passing = Passing::bounded(frames, Bounds { length: 100, idle, whole }, upload.clone());
            assert!(upload.backends_turn().is_some());
            passing.frame().await.unwrap().unwrap();
            assert!(upload.backends_turn().is_some());
            let mut next = passing.frame();
            assert!(futures_util::poll!(&mut next).is_pending());
            assert!(upload.backends_turn().is_none() && !upload.is_stalled());
            assert!(next.await.unwrap().is_err() && upload.is_stalled());
            assert!(passing.frame().await.is_none());
        }
    }
}
