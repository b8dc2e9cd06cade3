//! Who the masters are. Servers are asked, one question at a time and not too often, and what is new is told to whoever
//! follows the masters.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::sync::{MutexGuard, watch};
use tokio::time::{Instant, timeout_at};

use super::failure::Failure;
use super::node::Node;

/// How often they are asked while all is well: a master that was replaced while it hung would answer from the past.
const WATCH: Duration = Duration::from_millis(500);

/// At most this often.
const PAUSE: Duration = Duration::from_millis(100);

/// The masters, as far as is known.
#[derive(Clone, Default)]
pub(super) struct Masters {
    /// Each once; at first none.
    pub(super) nodes: Vec<Arc<Node>>,
    /// Counts the changes: who they are, and what each of them has.
    pub(super) changes: u64,
    /// How many failovers or elections this is after.
    pub(super) epoch: u64,
    pub(super) known: Known,
}

/// Until when the masters are known to have been these.
#[derive(Clone, Copy, Default)]
pub(super) enum Known {
    /// Nobody knows, or those who know say that they do not work.
    #[default]
    Never,
    /// The question that has this answer was asked then.
    At(std::time::Instant),
    /// There are no others.
    Always,
}

pub(super) struct News {
    /// Held while the question is asked; when it last was, and why in vain.
    last: tokio::sync::Mutex<Option<(Instant, Option<String>)>>,
    /// Somebody asks beside the calls.
    soon: AtomicBool,
    /// Somebody asks again and again.
    kept: AtomicBool,
    masters: watch::Sender<Masters>,
    timeout: Duration,
}

/// Somebody's turn to ask.
pub(super) struct Turn<'a>(MutexGuard<'a, Option<(Instant, Option<String>)>>);

impl News {
    /// The longest that one question takes.
    pub(super) fn new(timeout: Duration) -> Self {
        let (last, (soon, kept)) = (tokio::sync::Mutex::default(), Default::default());
        Self { last, soon, kept, masters: watch::Sender::default(), timeout }
    }

    /// The masters, now and from now on.
    pub(super) fn follow(&self) -> watch::Receiver<Masters> {
        self.masters.subscribe()
    }

    pub(super) fn masters(&self) -> watch::Ref<'_, Masters> {
        self.masters.borrow()
    }

    pub(super) fn tell(&self, change: impl FnOnce(&mut Masters)) {
        self.masters.send_modify(change);
    }

    /// Waits for a turn; `None` when the last answer is new enough.
    async fn turn(&self, deadline: Instant) -> Result<Option<Turn<'_>>, Failure> {
        let late = |_| Failure::NotNow("no server says in time where the records are".to_owned());
        let last = timeout_at(deadline, self.last.lock()).await.map_err(late)?;
        match &*last {
            Some((then, None)) if then.elapsed() < PAUSE => Ok(None),
            Some((then, Some(why))) if then.elapsed() < PAUSE => Err(Failure::NotNow(why.clone())),
            _ => Ok(Some(Turn(last))),
        }
    }
}

impl Turn<'_> {
    /// Ends the turn with what became of it. It was a question: nothing has happened, whatever went wrong.
    fn end(mut self, outcome: Result<(), String>) -> Result<(), Failure> {
        *self.0 = Some((Instant::now(), outcome.clone().err()));
        outcome.map_err(Failure::NotNow)
    }
}

/// Servers that say of each other who is a master.
pub(super) trait Learns: Sized + Send + Sync + 'static {
    fn news(&self) -> &News;

    /// Asks the servers, and goes by what they say; or why that was in vain.
    fn ask(&self, deadline: Instant) -> impl Future<Output = Result<(), String>> + Send;

    /// Asks, unless the last answer is new enough.
    fn learn(&self, deadline: Instant) -> impl Future<Output = Result<(), Failure>> + Send {
        async move {
            let Some(turn) = self.news().turn(deadline).await? else { return Ok(()) };
            turn.end(self.ask(deadline).await)
        }
    }

    /// Asks beside the calls, unless somebody does.
    fn learn_soon(self: &Arc<Self>) {
        if self.news().soon.swap(true, Ordering::AcqRel) {
            return;
        }
        let this = Arc::clone(self);
        tokio::spawn(async move {
            // What it failed of, the next call meets as well.
            let _ = this.learn(Instant::now() + this.news().timeout).await;
            this.news().soon.store(false, Ordering::Release);
        });
    }

    /// Asks again and again, from the first time that this is called on, as long as the store is there.
    fn keep_learning(self: &Arc<Self>) {
        if self.news().kept.swap(true, Ordering::AcqRel) {
            return;
        }
        let weak = Arc::downgrade(self);
        tokio::spawn(async move {
            loop {
                tokio::time::sleep(WATCH).await;
                let Some(this) = weak.upgrade() else { return };
                // All goes on as it is: that nobody answers says nothing about the masters.
                let _ = this.learn(Instant::now() + this.news().timeout).await;
            }
        });
    }
}
