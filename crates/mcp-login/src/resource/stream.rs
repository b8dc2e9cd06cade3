//! A stream of events ends with the token that opened it.
//!
//! A token is verified when a request comes. An answer may go on for hours after that, so it is judged again, by the same
//! rules: when the store tells of a change of its grant, when it ends by itself, and every few seconds in any case, for
//! what is not told and for clocks that are set. While the store is away nobody is logged out: nothing ends a stream then
//! but the end of its token, and of all the streams one asks each second whether it is back.
//!
//! A token that *expires* says nothing against its bearer, who gets the next one as soon as it is told to. What listens (a
//! GET, `subscriptions/listen`) is opened again then, and nothing is lost. The answer to a call is lost, perhaps after the
//! call took effect, if it is broken off. So it may go on for [`LAST_ANSWER`], and its login is judged meanwhile, not its
//! token. A token that is *revoked*, or a login that ends, breaks it off at once.
//!
//! In the HTTP+SSE transport the stream is the session, which no client can resume: it lasts as long as its login. Whoever
//! has only the expired token can read on, and ask for nothing: each message is a request of its own.
//!
//! What a stream costs while nothing happens: half a kilobyte, a timer, and a look into memory about every ten seconds.
//! Where changes are not told (Upstash; Redis while the connection that tells of them is down; any store without a cache)
//! each look reads the store, which makes 300 to 450 reads an hour for a stream, and fewer where calls of the same login
//! read it anyway.

use std::error::Error;
use std::fmt;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderMap, HeaderValue, Method, Request};
use axum::response::Response;
use http_body::{Body as HttpBody, Frame, SizeHint};

use super::cache::GrantCache;
use super::protection::Protection;
use super::verify::{Admitted, Lasts, VerifyError};
use crate::store::records::GrantId;

/// A token is judged again after 8 to 12 seconds, whatever is told: each grant has its own pace, so that streams which were
/// all woken at once do not ask at once ever after.
const PACE: Duration = Duration::from_secs(8);
const SPREAD: Duration = Duration::from_secs(4);

/// How long a call that is under way when its token expires may go on to be answered.
const LAST_ANSWER: Duration = Duration::from_secs(5 * 60);

/// MCP 2026-07-28, Streamable HTTP, "Request Metadata".
const MCP_METHOD: &str = "mcp-method";

/// How an answer ends with its token.
#[derive(Debug, Clone, Copy)]
pub(super) struct Ending {
    /// Whether it ends as what is not whole.
    breaks_off: bool,
    lasts: Lasts,
}

impl Ending {
    /// That of a GET ends as if it were over: clients open another one, and read in the challenge what is the matter. Any
    /// other breaks off, so that nobody takes it for whole.
    pub(super) fn of(request: &Request<Body>, protection: &Protection) -> Self {
        let breaks_off = request.method() != Method::GET;
        let subscribes = |value: &HeaderValue| value == "subscriptions/listen";
        let lasts = if !breaks_off && protection.session_query.is_some() {
            Lasts::Login
        } else if !breaks_off || request.headers().get_all(MCP_METHOD).iter().any(subscribes) {
            Lasts::Token
        } else {
            Lasts::Beyond(LAST_ANSWER)
        };
        Self { breaks_off, lasts }
    }
}

/// Whether these are the headers of a stream of events (HTML, "Server-sent events").
pub(super) fn is_event_stream(headers: &HeaderMap) -> bool {
    let of = |value: &HeaderValue| {
        let media_type = value.to_str().unwrap_or_default().split(';').next().unwrap_or_default().trim();
        media_type.eq_ignore_ascii_case("text/event-stream")
    };
    headers.get_all(CONTENT_TYPE).iter().any(of)
}

/// The answer, which ends when its token would be let in no longer.
pub(super) fn end_with_token(
    response: Response,
    ending: Ending,
    protection: Arc<Protection>,
    admitted: Admitted,
) -> Response {
    let Ending { breaks_off, lasts } = ending;
    let ended: Ended = Box::pin(until_refused(protection, admitted, lasts));
    response.map(|body| Body::new(Watched { body, ended: Some(ended), breaks_off }))
}

fn pace(grant: &GrantId) -> Duration {
    PACE + GrantCache::share(grant, SPREAD)
}

/// Ready when the token would be let in no longer, but for its expiry.
async fn until_refused(protection: Arc<Protection>, admitted: Admitted, lasts: Lasts) {
    let verifier = &protection.verifier;
    let (grants, clock) = (&verifier.grants, &verifier.clock);
    let pace = pace(&admitted.grant);
    let mut known = admitted.known;
    let mut told = pin!(grants.told(&admitted.grant));
    loop {
        if grants.generation(&admitted.grant) == known {
            let left = admitted.left(lasts, clock.now());
            // Told or not, it is judged.
            let _ = tokio::time::timeout(left.map_or(pace, |left| left.min(pace)), told.as_mut()).await;
        }
        // Before it is judged: what is told meanwhile is a reason to judge it once more.
        told.set(grants.told(&admitted.grant));
        known = grants.generation(&admitted.grant);
        // On the heap for this moment only: there are many streams, and most of them wait.
        match Box::pin(verifier.verify_again(&admitted, &protection.resource, lasts)).await {
            Ok(()) => {}
            Err(VerifyError::Invalid(reason)) => {
                tracing::info!(resource = protection.resource, reason, "a stream was ended with its token");
                return;
            }
            Err(VerifyError::Store(error)) => {
                tracing::debug!(%error, "a stream goes on: nobody knows whether its token is good");
            }
            // No proof is asked for.
            Err(VerifyError::Proof(_)) => return,
        }
    }
}

type Ended = Pin<Box<dyn Future<Output = ()> + Send>>;

/// A body that is let through until its token has ended. It is asked for no more than is asked of it.
struct Watched {
    body: Body,
    /// `None` when one of the two is over.
    ended: Option<Ended>,
    breaks_off: bool,
}

impl HttpBody for Watched {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        if let Some(ended) = &mut self.ended
            && ended.as_mut().poll(context).is_ready()
        {
            self.ended = None;
            // What is behind learns at once that nobody listens.
            self.body = Body::empty();
            let broken = self.breaks_off.then(|| Err(axum::Error::new(TokenEnded)));
            return Poll::Ready(broken);
        }
        let frame = ready!(Pin::new(&mut self.body).poll_frame(context));
        if !matches!(frame, Some(Ok(_))) {
            self.ended = None;
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// Why an answer breaks off.
#[derive(Debug)]
struct TokenEnded;

impl fmt::Display for TokenEnded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the token that the answer is for has ended")
    }
}

impl Error for TokenEnded {}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn each_grant_has_a_pace_of_its_own() {
        let pace = |id: u32| pace(&GrantId::parse(&format!("{id:032x}")).unwrap());
        assert_eq!(pace(0), Duration::from_secs(8));
        assert_eq!(pace(3_999), Duration::from_millis(11_999));
        assert_eq!(pace(4_001), Duration::from_millis(8_001));
    }
}
