//! The backends of one MCP server: who gets a request, and who gets it when that one does not answer.
//!
//! A request is sent again only when nothing of it was sent, or when it is a GET or HEAD without a body of which no answer has
//! begun (RFC 9110 §9.2.1, §9.2.2): a call to a tool never happens twice. A backend gets it once, and no more than a few do.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use axum::body::Body;
use axum::http::{HeaderMap, Method, Request, Response, Uri};
use http_body::Body as _;
use hyper::body::Incoming;
use tokio::task::JoinSet;
use tokio::time::Instant;
use url::Url;

use super::affinity::{self, Tag};
use super::body::{Passing, Upload};
use super::client::BackendClient;
use super::error::{Failure, ProxyError};
use super::health::{Health, HealthChecks};
use super::lent::Lent;
use super::target::{BadPath, Target};

/// A request is not sent to more of them than this: each may take all of `connect_timeout` to say nothing.
const MAX_TRIES: u32 = 3;
/// More backends of one server than this are not told apart.
pub const MAX_BACKENDS: usize = 64;

#[derive(Debug)]
pub(super) struct Backends {
    client: BackendClient,
    all: Arc<[Backend]>,
    tags: Vec<Tag>,
    /// For the log.
    name: String,
    turn: AtomicUsize,
    /// Ends with this.
    _checks: JoinSet<()>,
}

#[derive(Debug)]
struct Backend {
    url: Url,
    target: Target,
    health: Health,
}

/// Those that have had the request, one bit each.
type Tried = u64;

/// What a backend gets, whichever it is.
#[derive(Debug)]
pub(super) struct Outgoing {
    pub(super) method: Method,
    pub(super) headers: HeaderMap,
    pub(super) body: Passing<Body>,
}

#[derive(Debug, Clone, Copy)]
struct Choice {
    at: usize,
    is_trial: bool,
}

impl Backends {
    /// Checks run from here on, in tasks of their own. The first [`MAX_BACKENDS`] of the URLs count.
    pub(super) fn new(
        mount: &str,
        urls: &[Url],
        checks: Option<&HealthChecks>,
        client: BackendClient,
    ) -> Self {
        let mcp: Arc<str> = mount.into();
        let urls = &urls[..urls.len().min(MAX_BACKENDS)];
        let one = |url: &Url| Backend {
            url: url.clone(),
            target: Target::new(mount, url),
            health: Health::new(Arc::clone(&mcp), url.to_string()),
        };
        let all: Arc<[Backend]> = urls.iter().map(one).collect();
        let mut running = JoinSet::new();
        // Where there is nobody else to ask, nothing hangs on the answer.
        if let Some(checks) = checks.filter(|_| all.len() > 1) {
            for at in 0..all.len() {
                running.spawn(check(Arc::clone(&all), at, checks.clone(), client.clone()));
            }
        }
        Self {
            client,
            tags: urls.iter().map(Tag::of).collect(),
            name: urls.iter().map(Url::as_str).collect::<Vec<_>>().join(", "),
            all,
            turn: AtomicUsize::new(0),
            _checks: running,
        }
    }

    /// For the log.
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// That the path leads nowhere else, before anything is done for the request. What is wrong with it does not hang on the
    /// backend, so one is looked at.
    pub(super) fn check(&self, place: impl Fn(&Target) -> Result<Uri, BadPath>) -> Result<(), ProxyError> {
        self.all
            .iter()
            .take(1)
            .try_for_each(|one| place(&one.target).map(drop))
            .map_err(|_| ProxyError::BadPath)
    }

    /// The backend that has the session which the request names; its id becomes the backend's own.
    pub(super) fn open_session(&self, headers: &mut HeaderMap) -> Result<Option<usize>, ProxyError> {
        affinity::take(headers, &self.tags)
    }

    /// A session that this backend has opened will lead to it.
    pub(super) fn mark_session(&self, at: usize, headers: &mut HeaderMap) {
        if self.all.len() > 1 {
            self.tags[at].put(headers);
        }
    }

    /// The answer, once its head is there, and whose it is. `place` says where at a backend the request goes. One of a session
    /// goes to its backend or to none.
    pub(super) async fn send(
        &self,
        outgoing: Outgoing,
        place: impl Fn(&Target) -> Result<Uri, BadPath>,
        session: Option<usize>,
        upload: &Upload,
    ) -> Result<(usize, Response<Incoming>), Failure> {
        let Outgoing { method, mut headers, mut body } = outgoing;
        let may_go_on = session.is_none() && self.all.len() > 1;
        let is_repeatable = matches!(method, Method::GET | Method::HEAD) && body.is_end_stream();
        let mut tried: Tried = 0;
        let mut next = session.map(|at| Choice { at, is_trial: false }).or_else(|| self.choose(tried));
        let mut failure = Failure::from(ProxyError::BackendUnreachable);
        while let Some(Choice { at, is_trial }) = next {
            tried |= 1 << at;
            let (lent, kept) = Lent::new(body);
            let mut request = Request::new(lent);
            *request.method_mut() = method.clone();
            *request.uri_mut() = place(&self.all[at].target).map_err(|_| ProxyError::BadPath)?;
            *request.headers_mut() = if may_go_on { headers.clone() } else { std::mem::take(&mut headers) };
            let failed = match self.ask(Choice { at, is_trial }, request, upload).await {
                Ok(answer) => return Ok((at, answer)),
                Err(failed) => failed,
            };
            if session.is_some() && self.has_lost(at, &failed.error) {
                return Err(ProxyError::SessionEnded.into());
            }
            let may_repeat = match failed.error {
                ProxyError::BackendUnreachable | ProxyError::ConnectTimeout => true,
                ProxyError::BackendBroke => is_repeatable,
                _ => false,
            };
            failure = failed;
            body = match kept.take() {
                _ if !(may_repeat && may_go_on) => break,
                Some(unread) => unread,
                None if is_repeatable => Passing::unbounded(Body::empty()),
                None => break,
            };
            next = if tried.count_ones() < MAX_TRIES { self.choose(tried) } else { None };
        }
        Err(failure)
    }

    /// Whether the backend of a session has been away for so long that its client had better begin anew elsewhere.
    fn has_lost(&self, at: usize, error: &ProxyError) -> bool {
        matches!(error, ProxyError::BackendUnreachable | ProxyError::ConnectTimeout)
            && self.all[at].health.is_lost(Instant::now())
    }

    async fn ask(
        &self,
        Choice { at, is_trial }: Choice,
        request: Request<Lent>,
        upload: &Upload,
    ) -> Result<Response<Incoming>, Failure> {
        let answered = self.client.send(request, upload).await;
        // One alone has nobody to give way to.
        let [_, _, ..] = &*self.all else { return answered };
        let Backend { url, health, .. } = &self.all[at];
        answered.inspect(|_| health.reached()).map_err(|mut failure| {
            let cause = failure.cause.take().unwrap_or_else(|| failure.error.to_string());
            if matches!(failure.error, ProxyError::BackendUnreachable | ProxyError::ConnectTimeout) {
                health.unreachable(Instant::now(), is_trial, &cause);
            }
            failure.cause = Some(format!("{url}: {cause}"));
            failure
        })
    }

    /// The next in turn among those that have not had the request: one whose time to be tried again has come, else one that is
    /// well, else any, as that refuses less than nobody.
    fn choose(&self, tried: Tried) -> Option<Choice> {
        let fresh = |at: &usize| tried & (1 << at) == 0;
        let (all, now) = (0..self.all.len(), Instant::now());
        let limit = self.client.connect_timeout();
        if let Some(at) = all.clone().filter(fresh).find(|at| self.all[*at].health.begins_trial(now, limit)) {
            return Some(Choice { at, is_trial: true });
        }
        let is_up = |at: &usize| self.all[*at].health.is_up();
        let turn = self.turn.fetch_add(1, Ordering::Relaxed);
        let pick = |among: &dyn Fn(&usize) -> bool| {
            let count = all.clone().filter(among).count();
            all.clone().filter(among).nth(turn.checked_rem(count)?)
        };
        let at = pick(&|at| fresh(at) && is_up(at)).or_else(|| pick(&fresh))?;
        Some(Choice { at, is_trial: false })
    }
}

/// Asks one backend for as long as there is somebody who wants to know.
async fn check(all: Arc<[Backend]>, at: usize, checks: HealthChecks, client: BackendClient) {
    let Backend { url, health, .. } = &all[at];
    let Ok(asked) = format!("{}{}", &url[..url::Position::BeforePath], checks.path).parse::<Uri>() else {
        return;
    };
    loop {
        if let Some(answer) = client.check(asked.clone(), checks.timeout).await {
            health.checked(answer);
        }
        tokio::time::sleep(checks.interval).await;
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::time::Duration;

    use tokio::time::advance;

    use super::*;
    use crate::proxy::Timeouts;

    const SECOND: Duration = Duration::from_secs(1);

    fn backends(count: usize) -> Backends {
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let urls: Vec<Url> = (0..count).map(|n| format!("http://10.0.0.{n}/").parse().unwrap()).collect();
        Backends::new("/mcp", &urls, None, BackendClient::new(Timeouts::default()).unwrap())
    }

    fn turns(backends: &Backends, count: usize) -> Vec<(usize, bool)> {
        let choices = (0..count).map(|_| backends.choose(0).unwrap());
        choices.map(|Choice { at, is_trial }| (at, is_trial)).collect()
    }

    #[tokio::test(start_paused = true)]
    async fn who_is_away_is_left_out_and_then_tried_with_one_request() {
        let backends = backends(3);
        let away = |is_trial| backends.all[1].health.unreachable(Instant::now(), is_trial, "refused");
        assert_eq!(turns(&backends, 3), [(0, false), (1, false), (2, false)]);
        away(false);
        for at in turns(&backends, 6) {
            assert!(matches!(at, (0 | 2, false)), "{at:?}");
        }
        advance(SECOND).await;
        assert_eq!(turns(&backends, 1), [(1, true)]);
        assert!(turns(&backends, 6).iter().all(|(at, _)| *at != 1));
        away(true);
        advance(SECOND).await;
        assert!(turns(&backends, 6).iter().all(|(at, _)| *at != 1));
        advance(SECOND).await;
        assert_eq!(turns(&backends, 1), [(1, true)]);
        backends.all[1].health.reached();
        let mut again: Vec<usize> = turns(&backends, 3).into_iter().map(|(at, _)| at).collect();
        again.sort_unstable();
        assert_eq!(again, [0, 1, 2]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_session_outlives_its_backend_for_a_minute() {
        let backends = backends(2);
        let lost = || backends.has_lost(1, &ProxyError::BackendUnreachable);
        backends.all[1].health.unreachable(Instant::now(), false, "refused");
        for _ in 0..59 {
            advance(SECOND).await;
            backends.all[1].health.unreachable(Instant::now(), true, "refused");
            assert!(!lost());
        }
        advance(SECOND).await;
        assert!(lost() && !backends.has_lost(0, &ProxyError::BackendUnreachable));
        assert!(!backends.has_lost(1, &ProxyError::ResponseTimeout), "what has connected is there");
        backends.all[1].health.reached();
        assert!(!lost());
    }

    #[tokio::test(start_paused = true)]
    async fn whoever_has_a_session_at_a_lost_backend_begins_anew() {
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        // Nobody listens there.
        let urls = ["http://127.0.0.1:1/a", "http://127.0.0.1:1/b"].map(|url| url.parse().unwrap());
        let client = BackendClient::new(Timeouts::default()).unwrap();
        let backends = Backends::new("/mcp", &urls, None, client);
        let ask = async || {
            let (method, headers, body) = (Method::POST, HeaderMap::new(), Passing::unbounded(Body::empty()));
            let place = |target: &Target| target.of(&Uri::from_static("/mcp"));
            let outgoing = Outgoing { method, headers, body };
            backends.send(outgoing, place, Some(0), &Upload::new()).await.unwrap_err().error
        };
        assert_ne!(ask().await, ProxyError::SessionEnded);
        advance(60 * SECOND).await;
        assert_eq!(ask().await, ProxyError::SessionEnded);
    }

    #[tokio::test(start_paused = true)]
    async fn each_has_a_request_once() {
        for count in [1, 2, MAX_BACKENDS] {
            let backends = backends(count);
            let mut tried = 0;
            for _ in 0..count {
                let Choice { at, .. } = backends.choose(tried).unwrap();
                assert_eq!(tried & (1 << at), 0);
                backends.all[at].health.unreachable(Instant::now(), false, "refused");
                tried |= 1 << at;
            }
            assert!(backends.choose(tried).is_none());
        }
    }
}
