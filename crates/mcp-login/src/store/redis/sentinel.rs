//! Redis with Sentinel: everything is at the one master, which the sentinels name.
//!
//! Whoever they name has to say itself, each time it is connected to, that it is a master. When sentinels demote a
//! server they end its connections, but one that hung or was cut off meanwhile may have missed that for a moment, and
//! would answer from the past: so the sentinels are asked again and again.

use std::sync::Arc;

use redis::Value;
use tokio::time::Instant;

use super::address::{Access, Address};
use super::failure::Failure;
use super::news::{Known, Learns, News};
use super::node::{Command, Node, Role};
use super::route::ask_all;
use super::slots::text;
use crate::store::options::StoreOptions;

pub(super) struct Sentinel {
    sentinels: Vec<Arc<Node>>,
    name: String,
    access: Access,
    options: StoreOptions,
    news: News,
}

/// What a sentinel says of the master.
struct Word {
    master: Address,
    /// How many failovers this is after; a sentinel that is cut off has missed the last one.
    epoch: u64,
    /// The sentinel that leads a failover still names the old master when the others name the new one already.
    settled: bool,
}

impl Word {
    /// The word of the highest rank counts.
    fn rank(&self) -> (u64, bool) {
        (self.epoch, self.settled)
    }
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
        Self { sentinels, name, access, options: options.clone(), news: News::new(options.timeout) }
    }

    pub(super) fn sentinels(&self) -> &[Arc<Node>] {
        &self.sentinels
    }

    pub(super) async fn send(
        self: &Arc<Self>,
        command: &Command,
        deadline: Instant,
    ) -> Result<Value, Failure> {
        self.keep_learning();
        let master = self.master(deadline).await?;
        let answered = master.send(command, false, deadline).await;
        if answered.as_ref().is_err_and(Failure::asks_for_news) {
            self.learn_soon();
        }
        answered
    }

    pub(super) async fn master(&self, deadline: Instant) -> Result<Arc<Node>, Failure> {
        let known = || self.news.masters().nodes.first().cloned();
        if let Some(master) = known() {
            return Ok(master);
        }
        self.learn(deadline).await?;
        known().ok_or_else(|| Failure::NotNow("the sentinels name no master".to_owned()))
    }

    fn follow(&self, word: Word, asked: std::time::Instant) {
        self.news.tell(|masters| {
            let is_known = masters.nodes.first().is_some_and(|master| master.address == word.master);
            if !is_known {
                let master = Node::new(word.master, self.access.clone(), Role::Master, &self.options);
                masters.nodes = vec![Arc::new(master)];
            }
            if !is_known || masters.epoch != word.epoch {
                masters.changes += 1;
            }
            (masters.epoch, masters.known) = (word.epoch, Known::At(asked));
        });
    }
}

impl Learns for Sentinel {
    fn news(&self) -> &News {
        &self.news
    }

    /// Asks all sentinels; the word of the one counts that knows of the most failovers.
    async fn ask(&self, deadline: Instant) -> Result<(), String> {
        let (asked, sentinels) = (std::time::Instant::now(), self.sentinels.iter().cloned());
        let (words, failure) =
            ask_all(sentinels, deadline, |sentinel| word(sentinel, self.name.clone(), deadline)).await;
        match words.into_iter().max_by_key(Word::rank) {
            Some(word) => {
                self.follow(word, asked);
                Ok(())
            }
            None => {
                Err(failure
                    .map_or("no sentinel answers".to_owned(), |why| format!("sentinels: {}", why.text())))
            }
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
    Some(Word {
        master: Address { host, port },
        epoch: field("config-epoch")?.parse().ok()?,
        settled: !field("flags")?.contains("failover_in_progress"),
    })
}

#[cfg(test)]
mod tests;
