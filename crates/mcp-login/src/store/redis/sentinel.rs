//! Redis with Sentinel: everything is at the one master, which the sentinels name.
//!
//! Whoever they name has to say itself, each time it is connected to, that it is a master. When sentinels demote a
//! server they end its connections, but one that hung or was cut off meanwhile may have missed that for a moment, and
//! would answer from the past: so the sentinels are asked every second.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use redis::Value;
use tokio::time::Instant;

use super::address::{Access, Address};
use super::failure::Failure;
use super::news::{News, WATCH};
use super::node::{Command, Node, Role};
use super::route::ask_all;
use super::slots::text;
use crate::store::options::StoreOptions;

pub(super) struct Sentinel {
    sentinels: Vec<Arc<Node>>,
    name: String,
    access: Access,
    options: StoreOptions,
    master: Mutex<Option<Arc<Node>>>,
    news: News,
    watched: AtomicBool,
}

/// What a sentinel says of the master.
struct Word {
    master: Address,
    /// How many failovers this is after; a sentinel that is cut off has missed the last one.
    epoch: u64,
}

impl Sentinel {
    pub(super) fn new(
        sentinels: &[Address],
        entry: &Access,
        name: String,
        access: Access,
        options: &StoreOptions,
    ) -> Self {
        let one_each = options.clone().connections(1);
        let sentinels = sentinels
            .iter()
            .map(|sentinel| Arc::new(Node::new(sentinel.clone(), entry.clone(), Role::Any, &one_each)))
            .collect();
        Self {
            sentinels,
            name,
            access,
            options: options.clone(),
            master: Mutex::default(),
            news: News::default(),
            watched: AtomicBool::new(false),
        }
    }

    pub(super) fn sentinels(&self) -> &[Arc<Node>] {
        &self.sentinels
    }

    fn lock(&self) -> MutexGuard<'_, Option<Arc<Node>>> {
        self.master.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) async fn send(
        self: &Arc<Self>,
        command: &Command,
        deadline: Instant,
    ) -> Result<Value, Failure> {
        self.watch();
        let master = self.master(deadline).await?;
        let answered = master.send(command, false, deadline).await;
        if answered.as_ref().is_err_and(Failure::asks_for_news) {
            self.look_soon();
        }
        answered
    }

    pub(super) async fn master(&self, deadline: Instant) -> Result<Arc<Node>, Failure> {
        let known = self.lock().clone();
        if let Some(master) = known {
            return Ok(master);
        }
        self.look(deadline).await?;
        self.lock().clone().ok_or_else(|| Failure::NotNow("the sentinels name no master".to_owned()))
    }

    /// Asks every second, from the first call on, as long as the store is there.
    fn watch(self: &Arc<Self>) {
        if self.watched.swap(true, Ordering::AcqRel) {
            return;
        }
        let (weak, timeout) = (Arc::downgrade(self), self.options.timeout);
        tokio::spawn(async move {
            loop {
                tokio::time::sleep(WATCH).await;
                let Some(this) = weak.upgrade() else { return };
                // Without the sentinels all goes on as it is: that they are away says nothing about the master.
                let _ = this.look(Instant::now() + timeout).await;
            }
        });
    }

    fn look_soon(self: &Arc<Self>) {
        if self.news.begin() {
            let this = Arc::clone(self);
            tokio::spawn(async move {
                // What it failed of, the next call meets as well.
                let _ = this.look(Instant::now() + this.options.timeout).await;
                this.news.done();
            });
        }
    }

    /// Asks all sentinels; the word of the one counts that knows of the most failovers.
    async fn look(&self, deadline: Instant) -> Result<(), Failure> {
        let Some(turn) = self.news.turn(deadline).await? else { return Ok(()) };
        let asked = self.sentinels.iter().cloned();
        let (words, failure) =
            ask_all(asked, deadline, |sentinel| word(sentinel, self.name.clone(), deadline)).await;
        turn.end(match words.into_iter().max_by_key(|word| word.epoch) {
            Some(word) => {
                self.follow(word.master);
                Ok(())
            }
            None => {
                Err(failure
                    .map_or("no sentinel answers".to_owned(), |why| format!("sentinels: {}", why.text())))
            }
        })
    }

    fn follow(&self, address: Address) {
        let mut master = self.lock();
        if master.as_ref().is_none_or(|master| master.address != address) {
            *master = Some(Arc::new(Node::new(address, self.access.clone(), Role::Master, &self.options)));
        }
    }
}

async fn word(sentinel: Arc<Node>, name: String, deadline: Instant) -> Result<Word, Failure> {
    let answer = sentinel.send(&Command::read("SENTINEL", &["MASTER", &name]), false, deadline).await?;
    read_word(&answer).ok_or_else(|| Failure::Refused("a sentinel's answer cannot be understood".to_owned()))
}

/// Names and values in turn.
fn read_word(answer: &Value) -> Option<Word> {
    let Value::Array(parts) = answer else { return None };
    let field =
        |name: &str| parts.chunks_exact(2).find(|pair| text(&pair[0]) == name).map(|pair| text(&pair[1]));
    let (host, port) = (field("ip")?, field("port")?.parse().ok()?);
    Some(Word { master: Address { host, port }, epoch: field("config-epoch")?.parse().ok()? })
}
