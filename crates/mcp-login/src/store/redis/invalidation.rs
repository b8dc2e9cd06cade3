//! Redis tells which records change: client tracking (RESP 3, `CLIENT TRACKING ON BCAST PREFIX`), on one connection to each
//! master.
//!
//! Broadcasting, because then Redis need not remember who has read what, and because every change is told, whichever
//! connection made the read. Connections are made anew for as long as somebody watches; whatever changed in between was
//! not told, so everything counts as changed. The same when masters or slots change: the new master may lack what the old
//! one had told of, and has changed since what nobody told.
//!
//! A sign from each server, twice a second, shows that it lives and, where there are several, that it is a master: it comes
//! after all changes that the server made before it was asked. That alone is no confirmation: a master that was cut off
//! and replaced may not know it yet. So nothing is confirmed that is later than the last question to which the answer was
//! that these are the masters.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use redis::RedisError;
use tokio::sync::{Notify, watch};
use tokio::task::JoinSet;

use super::address::Address;
use super::news::{Known, Masters};
use super::node::Node;
use super::tracking::{Sign, Subject, Tracking, broken};
use crate::store::watch::Watcher;

/// Between two questions for a sign.
const HEARTBEAT: Duration = Duration::from_millis(500);

/// Before broken connections are made anew; it doubles up to the longest, until all have held.
const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(2);

/// Tells the watcher of changes, for as long as it and the store live.
pub(super) struct Invalidation {
    masters: watch::Receiver<Masters>,
    sign: Sign,
    subject: Subject,
    /// Those that hold stay when others break.
    connections: BTreeMap<Address, Tracking>,
    pause: Duration,
    /// Whether the log last said that changes are told.
    said: Option<bool>,
}

/// Why changes are told no longer.
enum End {
    /// Somebody else is a master now, or has other slots.
    Moved,
    Broken(RedisError),
    /// The store or the watcher is gone.
    Over,
}

impl Invalidation {
    /// `prefix` is of a kind of record, up to its colon.
    pub(super) fn new(
        masters: watch::Receiver<Masters>,
        sign: Sign,
        prefix: String,
        watcher: Weak<dyn Watcher>,
    ) -> Self {
        let subject = Subject { prefix, watcher, broken: Arc::new(Notify::new()) };
        Self { masters, sign, subject, connections: BTreeMap::new(), pause: FIRST_PAUSE, said: None }
    }

    pub(super) async fn run(mut self) {
        loop {
            let masters = self.masters.borrow_and_update().clone();
            let end = match self.follow(&masters).await {
                Ok(never) => match never {},
                Err(end) => end,
            };
            match self.subject.watcher.upgrade() {
                Some(watcher) => watcher.lost(),
                None => return,
            }
            match end {
                End::Moved => {}
                End::Broken(error) => {
                    if self.said.replace(false) != Some(false) {
                        tracing::warn!(kind = ?error.kind(), "Redis does not tell of changes now: every call reads the store");
                    }
                    // A new master is not waited for.
                    let moved = moved(&mut self.masters, masters.changes);
                    if let Ok(End::Over) = tokio::time::timeout(self.pause, moved).await {
                        return;
                    }
                    self.pause = (self.pause * 2).min(LONGEST_PAUSE);
                }
                End::Over => return,
            }
        }
    }

    /// Follows these masters until one does not hold, or others are named.
    async fn follow(&mut self, masters: &Masters) -> Result<Infallible, End> {
        if masters.nodes.is_empty() {
            return Err(moved(&mut self.masters, masters.changes).await);
        }
        self.connections.retain(|address, connection| {
            connection.lives() && masters.nodes.iter().any(|node| node.address == *address)
        });
        tokio::select! {
            end = moved(&mut self.masters, masters.changes) => return Err(end),
            connected = connect(&mut self.connections, &masters.nodes, &self.subject) => connected?,
        }
        let mut are_new = true;
        loop {
            let at = Instant::now();
            tokio::select! {
                end = moved(&mut self.masters, masters.changes) => return Err(end),
                signs = signs(&mut self.connections, self.sign) => signs?,
            }
            if std::mem::take(&mut are_new) {
                // Now that changes are told: what was read before may have changed unseen.
                self.subject.watcher.upgrade().ok_or(End::Over)?.all_changed();
            }
            self.confirm_until_next_beat(at, masters.changes).await?;
        }
    }

    /// All servers have given a sign since `at`, and the masters may be known to be these for longer than before.
    async fn confirm_until_next_beat(&mut self, at: Instant, changes: u64) -> Result<(), End> {
        let beat = tokio::time::sleep_until((at + HEARTBEAT).into());
        tokio::pin!(beat);
        loop {
            self.confirm(at, changes)?;
            tokio::select! {
                () = &mut beat => return Ok(()),
                told = self.masters.changed() => told.map_err(|_| End::Over)?,
                () = self.subject.broken.notified() => {}
            }
        }
    }

    fn confirm(&mut self, at: Instant, changes: u64) -> Result<(), End> {
        let watcher = self.subject.watcher.upgrade().ok_or(End::Over)?;
        let known = {
            let masters = self.masters.borrow_and_update();
            if masters.changes != changes {
                return Err(End::Moved);
            }
            masters.known
        };
        let at = match known {
            Known::Always => at,
            Known::At(asked) => at.min(asked),
            Known::Never => {
                watcher.lost();
                return Ok(());
            }
        };
        watcher.confirmed(at);
        // One may have broken before the confirmation, which must not be the last word.
        if !self.connections.values().all(Tracking::lives) {
            return Err(End::Broken(broken()));
        }
        self.pause = FIRST_PAUSE;
        if self.said.replace(true) != Some(true) {
            tracing::info!("Redis tells of changes");
        }
        Ok(())
    }
}

/// Waits until the masters, or what they have, are others than those of that count.
async fn moved(masters: &mut watch::Receiver<Masters>, changes: u64) -> End {
    match masters.wait_for(|masters| masters.changes != changes).await {
        Ok(_) => End::Moved,
        Err(_) => End::Over,
    }
}

/// Connects to those to whom there is no connection yet.
async fn connect(
    connections: &mut BTreeMap<Address, Tracking>,
    nodes: &[Arc<Node>],
    subject: &Subject,
) -> Result<(), End> {
    let new = nodes.iter().filter(|node| !connections.contains_key(&node.address)).cloned();
    let mut connecting: JoinSet<_> = new
        .map(|node| {
            let subject = subject.clone();
            async move { (node.address.clone(), Tracking::begin(&node, subject).await) }
        })
        .collect();
    let mut failure = None;
    while let Some(connected) = connecting.join_next().await {
        match connected {
            Ok((address, Ok(connection))) => drop(connections.insert(address, connection)),
            Ok((_, Err(error))) => failure = Some(error),
            Err(_) => failure = Some(broken()),
        }
    }
    failure.map_or(Ok(()), |error| Err(End::Broken(error)))
}

/// Asks all for a sign. Connections on which none comes are ended.
async fn signs(connections: &mut BTreeMap<Address, Tracking>, sign: Sign) -> Result<(), End> {
    let mut asked: JoinSet<_> = connections
        .iter()
        .map(|(address, connection)| {
            let (address, answer) = (address.clone(), connection.sign(sign));
            async move { (address, answer.await) }
        })
        .collect();
    while let Some(answered) = asked.join_next().await {
        match answered {
            Ok((_, Ok(()))) => {}
            Ok((address, Err(error))) => {
                connections.remove(&address);
                return Err(End::Broken(error));
            }
            Err(_) => return Err(End::Broken(broken())),
        }
    }
    Ok(())
}
