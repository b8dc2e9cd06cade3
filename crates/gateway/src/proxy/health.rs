//! Which backends take requests: one that cannot be connected to is left out for a while, and one whose check fails until it
//! does not.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// How long a backend is left out after its first failure; twice as long after each trial that fails.
const FIRST_BACKOFF: Duration = Duration::from_secs(1);
const MAX_BACKOFF: Duration = Duration::from_secs(30);
/// A backend that was left out for so long takes its sessions with it.
const LOST: Duration = Duration::from_secs(60);

/// How backends are asked whether they are well.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HealthChecks {
    /// What is asked for at each backend's host, by GET: a path, which begins with a slash. Well is who answers 2xx.
    pub path: String,
    /// From one question to the next.
    pub interval: Duration,
    /// Until the head of the answer.
    pub timeout: Duration,
}

impl HealthChecks {
    /// Unless set otherwise.
    pub const DEFAULT_INTERVAL: Duration = Duration::from_secs(5);
    /// Unless set otherwise.
    pub const DEFAULT_TIMEOUT: Duration = Duration::from_secs(2);
}

/// What is known of one backend. What changes is logged, once.
#[derive(Debug)]
pub(super) struct Health {
    mcp: Arc<str>,
    backend: String,
    /// Of `state`, for whoever does not want to wait for it.
    is_up: AtomicBool,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// That it could not be connected to.
    away: Option<Away>,
    /// That its last check has failed.
    is_failing: bool,
    /// Since when it is left out, for either.
    left_out: Option<Instant>,
}

#[derive(Debug)]
struct Away {
    backoff: Duration,
    /// When one request may try it.
    trial: Instant,
}

impl Health {
    pub(super) fn new(mcp: Arc<str>, backend: String) -> Self {
        Self { mcp, backend, is_up: AtomicBool::new(true), state: Mutex::default() }
    }

    /// Whether it takes requests like any other.
    pub(super) fn is_up(&self) -> bool {
        self.is_up.load(Ordering::Acquire)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether the caller is the one who tries it again. A trial has until `limit`; then another may.
    pub(super) fn begins_trial(&self, now: Instant, limit: Duration) -> bool {
        if self.is_up() {
            return false;
        }
        let mut state = self.state();
        let is_failing = state.is_failing;
        match &mut state.away {
            Some(away) if !is_failing && away.trial <= now => {
                away.trial = now + away.backoff.max(limit);
                true
            }
            _ => false,
        }
    }

    /// It could not be connected to. Of requests that fail at the same time one counts, so only a trial makes it worse.
    pub(super) fn unreachable(&self, now: Instant, is_trial: bool, cause: &str) {
        let mut state = self.state();
        match &mut state.away {
            None => state.away = Some(Away { backoff: FIRST_BACKOFF, trial: now + FIRST_BACKOFF }),
            Some(away) if is_trial => {
                away.backoff = (away.backoff * 2).min(MAX_BACKOFF);
                away.trial = now + away.backoff;
            }
            Some(_) => {}
        }
        self.changed(&mut state, cause);
    }

    /// Whether nobody needs to wait for its sessions any more.
    pub(super) fn is_lost(&self, now: Instant) -> bool {
        self.state().left_out.is_some_and(|since| now.saturating_duration_since(since) >= LOST)
    }

    /// It has answered a request.
    pub(super) fn reached(&self) {
        if !self.is_up() {
            let mut state = self.state();
            state.away = None;
            self.changed(&mut state, "");
        }
    }

    /// It was asked whether it is well. The error is why it is not.
    pub(super) fn checked(&self, answer: Result<(), String>) {
        let mut state = self.state();
        state.is_failing = answer.is_err();
        if answer.is_ok() {
            state.away = None;
        }
        self.changed(&mut state, &answer.err().unwrap_or_default());
    }

    fn changed(&self, state: &mut State, cause: &str) {
        let is_up = state.away.is_none() && !state.is_failing;
        if self.is_up.swap(is_up, Ordering::AcqRel) == is_up {
            return;
        }
        state.left_out = (!is_up).then(Instant::now);
        let (mcp, backend) = (&*self.mcp, &*self.backend);
        if is_up {
            tracing::info!(mcp, backend, "a backend is back");
        } else if state.is_failing {
            tracing::warn!(mcp, backend, cause, "a backend is left out: its check fails");
        } else {
            tracing::warn!(mcp, backend, cause, "a backend is left out: it cannot be reached");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn health() -> (Health, Instant) {
        (Health::new("/mcp".into(), "http://b/".to_owned()), Instant::now())
    }

    #[test]
    fn one_request_tries_it_again_and_it_waits_twice_as_long_each_time() {
        let (health, mut now) = health();
        assert!(health.is_up() && !health.begins_trial(now, SECOND));
        health.unreachable(now, false, "refused");
        for wait in [1, 2, 4, 8, 16, 30, 30] {
            // Others that fail meanwhile make nothing worse.
            health.unreachable(now, false, "refused");
            let due = now + wait * SECOND;
            assert!(!health.begins_trial(due - SECOND / 2, SECOND), "{wait}");
            assert!(health.begins_trial(due, SECOND) && !health.begins_trial(due, SECOND), "{wait}");
            assert!(!health.is_up());
            now = due;
            health.unreachable(now, true, "refused");
        }
        health.reached();
        assert!(health.is_up());
        health.unreachable(now, false, "refused");
        assert!(health.begins_trial(now + SECOND, SECOND));
    }

    /// The client may have left in the middle of it.
    #[test]
    fn a_trial_that_nobody_ends_is_followed_by_another() {
        let (health, now) = health();
        health.unreachable(now, false, "refused");
        let begin = now + SECOND;
        assert!(health.begins_trial(begin, 5 * SECOND));
        assert!(!health.begins_trial(begin + 4 * SECOND, 5 * SECOND));
        assert!(health.begins_trial(begin + 5 * SECOND, 5 * SECOND));
    }

    #[test]
    fn whose_check_fails_is_out_until_a_check_is_well() {
        let (health, now) = health();
        health.checked(Err("503".to_owned()));
        // An answer to a request is no reason to send it more of them: it may be about to end.
        health.reached();
        assert!(!health.is_up() && !health.begins_trial(now + 60 * SECOND, SECOND));
        health.checked(Ok(()));
        assert!(health.is_up());
        health.unreachable(now, false, "refused");
        health.checked(Ok(()));
        assert!(health.is_up());
    }
}
