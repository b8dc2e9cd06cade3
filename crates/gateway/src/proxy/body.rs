//! Bodies as they pass through: data only, counted where a bound is set.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};

use axum::BoxError;
use axum::body::Bytes;
use http_body::{Body, Frame, SizeHint};

/// Set once a body has gone over its bound. The HTTP client wraps the error that stops the body; this tells it apart.
#[derive(Debug, Clone, Default)]
pub(super) struct Exceeded(Arc<AtomicBool>);

impl Exceeded {
    pub(super) fn is_set(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }
}

/// The other body, without its trailers: a name in a trailer would get past the rules for headers.
#[derive(Debug)]
pub(super) struct Passing<B> {
    inner: B,
    left: u64,
    exceeded: Exceeded,
    done: bool,
}

impl<B> Passing<B> {
    /// No bound.
    pub(super) fn unbounded(inner: B) -> Self {
        Self::bounded(inner, u64::MAX, Exceeded::default())
    }

    /// At most `max` bytes of data; then an error, with `exceeded` set.
    pub(super) const fn bounded(inner: B, max: u64, exceeded: Exceeded) -> Self {
        Self { inner, left: max, exceeded, done: false }
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
        if self.done {
            return Poll::Ready(None);
        }
        let frame = match ready!(Pin::new(&mut self.inner).poll_frame(cx)) {
            Some(Ok(frame)) => frame,
            Some(Err(error)) => return Poll::Ready(Some(Err(error.into()))),
            None => return Poll::Ready(None),
        };
        // Trailers are the last frame of a body.
        let Ok(data) = frame.into_data() else {
            self.done = true;
            return Poll::Ready(None);
        };
        let Some(left) = self.left.checked_sub(data.len() as u64) else {
            self.done = true;
            self.exceeded.0.store(true, Ordering::Release);
            return Poll::Ready(Some(Err("the body is too large".into())));
        };
        self.left = left;
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
    use http_body_util::{BodyExt, StreamBody};

    use super::*;

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
            let exceeded = Exceeded::default();
            let passed = Passing::bounded(body(), max, exceeded.clone()).collect().await;
            assert_eq!((passed.is_err(), exceeded.is_set()), (over, over), "{max}");
        }
    }
}
