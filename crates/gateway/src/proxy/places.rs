//! How many requests to one MCP server are in flight, in all and of one user: neither a slow backend nor somebody who asks for
//! much leaves nothing to the others.

use std::collections::HashMap;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};

use axum::body::{Body, Bytes};
use http_body::{Frame, SizeHint};

use super::error::{Failure, ProxyError};

/// How many requests there may be at once for one MCP server. An event stream is a request in flight for as long as it is open.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AtOnce {
    /// In all.
    pub requests: usize,
    /// Of one user. All of those who are not signed in are one.
    pub requests_per_user: usize,
}

impl AtOnce {
    /// Of one user, unless set otherwise.
    pub const DEFAULT_PER_USER: usize = 256;
}

impl Default for AtOnce {
    fn default() -> Self {
        Self { requests: 8192, requests_per_user: Self::DEFAULT_PER_USER }
    }
}

#[derive(Debug)]
pub(super) struct Places {
    bounds: AtOnce,
    taken: Mutex<Taken>,
}

#[derive(Debug, Default)]
struct Taken {
    all: usize,
    /// Of those who are not signed in.
    nobodys: usize,
    by_user: HashMap<Arc<str>, usize>,
}

impl Places {
    pub(super) fn new(bounds: AtOnce) -> Self {
        Self { bounds, taken: Mutex::default() }
    }

    fn taken(&self) -> MutexGuard<'_, Taken> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A place for one request, until what is given is dropped.
    pub(super) fn take(self: &Arc<Self>, user: Option<&str>) -> Result<Place, Failure> {
        let mut taken = self.taken();
        let theirs = user.map_or(taken.nobodys, |user| taken.by_user.get(user).copied().unwrap_or(0));
        if theirs >= self.bounds.requests_per_user {
            return Err(ProxyError::TooManyAtOnce.into());
        }
        if taken.all >= self.bounds.requests {
            let cause = "there are as many requests as limits.max_requests allows";
            return Err(Failure { error: ProxyError::Busy, cause: Some(cause.to_owned()) });
        }
        taken.all += 1;
        let user = match user {
            None => {
                taken.nobodys += 1;
                None
            }
            Some(user) => Some(taken.add(user)),
        };
        Ok(Place { places: Arc::clone(self), user })
    }
}

impl Taken {
    fn add(&mut self, user: &str) -> Arc<str> {
        if let Some((user, count)) =
            self.by_user.get_key_value(user).map(|(user, count)| (user.clone(), *count))
        {
            self.by_user.insert(Arc::clone(&user), count + 1);
            return user;
        }
        let user: Arc<str> = user.into();
        self.by_user.insert(Arc::clone(&user), 1);
        user
    }
}

/// The place of one request.
#[derive(Debug)]
pub(super) struct Place {
    places: Arc<Places>,
    user: Option<Arc<str>>,
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut taken = self.places.taken();
        taken.all -= 1;
        let Some(user) = &self.user else {
            taken.nobodys -= 1;
            return;
        };
        match taken.by_user.get_mut(user) {
            Some(count) if *count > 1 => *count -= 1,
            _ => drop(taken.by_user.remove(user)),
        }
    }
}

/// An answer's body, with which its request ends.
#[derive(Debug)]
pub(super) struct InPlace {
    /// Free before the backend hears of the end.
    pub(super) _place: Place,
    pub(super) inner: Body,
}

impl http_body::Body for InPlace {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Self::Data>, Self::Error>>> {
        Pin::new(&mut self.inner).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_place_is_free_again_when_its_request_ends() {
        let places = Arc::new(Places::new(AtOnce { requests: 3, requests_per_user: 2 }));
        let refused = |user| places.take(user).unwrap_err().error;
        let (first, second) = (places.take(Some("a")).unwrap(), places.take(Some("a")).unwrap());
        assert_eq!(refused(Some("a")), ProxyError::TooManyAtOnce);
        let third = places.take(Some("b")).unwrap();
        assert_eq!(refused(Some("b")), ProxyError::Busy);
        drop(first);
        let fourth = places.take(Some("a")).unwrap();
        assert_eq!(refused(None), ProxyError::Busy);
        drop((second, third, fourth));
        let _nobodys = (places.take(None).unwrap(), places.take(None).unwrap());
        assert_eq!(refused(None), ProxyError::TooManyAtOnce);
        // Nothing is kept of those who are gone.
        assert!(places.taken().by_user.is_empty());
    }
}
