//! When servers are asked where things are: one question at a time, and not too often.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::sync::MutexGuard;
use tokio::time::{Instant, timeout_at};

use super::failure::Failure;

/// How often they are asked while all is well.
pub(super) const WATCH: Duration = Duration::from_secs(1);

/// At most this often.
const PAUSE: Duration = Duration::from_millis(100);

#[derive(Default)]
pub(super) struct News {
    /// Held while the question is asked; when it last was, and why in vain.
    last: tokio::sync::Mutex<Option<(Instant, Option<String>)>>,
    /// Somebody asks beside the calls.
    soon: AtomicBool,
}

/// Somebody's turn to ask.
pub(super) struct Turn<'a>(MutexGuard<'a, Option<(Instant, Option<String>)>>);

impl News {
    /// Waits for a turn; `None` when the last answer is new enough.
    pub(super) async fn turn(&self, deadline: Instant) -> Result<Option<Turn<'_>>, Failure> {
        let late = |_| Failure::NotNow("no server says in time where the records are".to_owned());
        let last = timeout_at(deadline, self.last.lock()).await.map_err(late)?;
        match &*last {
            Some((then, None)) if then.elapsed() < PAUSE => Ok(None),
            Some((then, Some(why))) if then.elapsed() < PAUSE => Err(Failure::NotNow(why.clone())),
            _ => Ok(Some(Turn(last))),
        }
    }

    /// Whether to ask beside the calls: `false` when somebody does. Afterwards [`done`](Self::done) is called.
    pub(super) fn begin(&self) -> bool {
        !self.soon.swap(true, Ordering::AcqRel)
    }

    pub(super) fn done(&self) {
        self.soon.store(false, Ordering::Release);
    }
}

impl Turn<'_> {
    /// Ends the turn with what became of it. It was a question: nothing has happened, whatever went wrong.
    pub(super) fn end(mut self, outcome: Result<(), String>) -> Result<(), Failure> {
        *self.0 = Some((Instant::now(), outcome.clone().err()));
        outcome.map_err(Failure::NotNow)
    }
}
