//! A request's body while it is not known yet which backend gets it: what nobody has begun to read can be given to another,
//! and nothing is copied for that.

use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};

use axum::BoxError;
use axum::body::{Body, Bytes};
use http_body::{Body as _, Frame, SizeHint};

use super::body::Passing;

type Slot = Arc<Mutex<Option<Passing<Body>>>>;

/// The body as one try has it.
#[derive(Debug)]
pub(super) struct Lent {
    slot: Slot,
    /// Once it is read from.
    taken: Option<Passing<Body>>,
    hint: SizeHint,
    is_empty: bool,
}

/// The owner's side.
#[derive(Debug)]
pub(super) struct Kept(Slot);

impl Kept {
    /// The body, if nobody has begun to read it.
    pub(super) fn take(self) -> Option<Passing<Body>> {
        lock(&self.0).take()
    }
}

impl Lent {
    pub(super) fn new(body: Passing<Body>) -> (Self, Kept) {
        let (hint, is_empty) = (body.size_hint(), body.is_end_stream());
        let slot = Arc::new(Mutex::new(Some(body)));
        let kept = Kept(Arc::clone(&slot));
        (Self { slot, taken: None, hint, is_empty }, kept)
    }

    pub(super) fn empty() -> Self {
        Self::new(Passing::unbounded(Body::empty())).0
    }
}

fn lock(slot: &Slot) -> MutexGuard<'_, Option<Passing<Body>>> {
    slot.lock().unwrap_or_else(PoisonError::into_inner)
}

impl http_body::Body for Lent {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Self::Data>, Self::Error>>> {
        let this = &mut *self;
        if this.taken.is_none() {
            this.taken = lock(&this.slot).take();
        }
        match &mut this.taken {
            Some(body) => Pin::new(body).poll_frame(cx),
            // It went to another backend meanwhile; whoever reads here is to send no half of it as a whole.
            None => Poll::Ready(Some(Err("the body was taken back".into()))),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.taken.as_ref().map_or(self.is_empty, Passing::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.taken.as_ref().map_or(self.hint, Passing::size_hint)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use http_body_util::BodyExt;

    use super::*;

    fn body() -> Passing<Body> {
        Passing::unbounded(Body::from("abc"))
    }

    #[tokio::test]
    async fn what_nobody_has_read_comes_back() {
        let (lent, kept) = Lent::new(body());
        assert_eq!((lent.size_hint().exact(), lent.is_end_stream()), (Some(3), false));
        drop(lent);
        assert_eq!(kept.take().unwrap().collect().await.unwrap().to_bytes(), "abc");
    }

    #[tokio::test]
    async fn what_is_read_does_not() {
        let (mut lent, kept) = Lent::new(body());
        assert_eq!(lent.frame().await.unwrap().unwrap().into_data().unwrap(), "abc");
        assert!(kept.take().is_none() && lent.is_end_stream());
    }

    #[tokio::test]
    async fn what_went_to_another_is_no_end() {
        let (mut lent, kept) = Lent::new(body());
        assert!(kept.take().is_some());
        assert!(lent.frame().await.unwrap().is_err());
    }
}
