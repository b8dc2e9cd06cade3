//! Redis Cluster: every key is at the master that owns its slot.
//!
//! Nothing is ever asked of a replica: without `READONLY` it sends away by itself. A redirection means that nothing has
//! happened, so it is followed; a command whose answer is lost is not sent again.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use redis::Value;
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::address::{Access, Address};
use super::failure::Failure;
use super::news::{News, WATCH};
use super::node::{Command, Node, Role};
use super::route::ask_all;
use super::slots::{SLOTS, View, slot_of, text, works};
use crate::store::options::StoreOptions;

/// The most nodes that are asked for news at once.
const ASKED: usize = 16;

/// A key moves once while it is followed; a few more are a resharding in full swing.
const HOPS: usize = 5;

pub(super) struct Cluster {
    seeds: Vec<Arc<Node>>,
    access: Access,
    options: StoreOptions,
    map: RwLock<Map>,
    news: News,
    watched: AtomicBool,
}

#[derive(Default)]
struct Map {
    nodes: BTreeMap<Address, Arc<Node>>,
    /// By slot; empty at first.
    owners: Vec<Option<Arc<Node>>>,
}

impl Map {
    fn owner(&self, slot: u16) -> Option<Arc<Node>> {
        self.owners.get(usize::from(slot)).cloned().flatten()
    }
}

impl Cluster {
    pub(super) fn new(seeds: &[Address], access: Access, options: &StoreOptions) -> Self {
        let seeds = seeds
            .iter()
            .map(|seed| Arc::new(Node::new(seed.clone(), access.clone(), Role::Any, options)))
            .collect();
        Self {
            seeds,
            access,
            options: options.clone(),
            map: RwLock::default(),
            news: News::default(),
            watched: AtomicBool::new(false),
        }
    }

    pub(super) fn seeds(&self) -> &[Arc<Node>] {
        &self.seeds
    }

    fn read<T>(&self, look: impl FnOnce(&Map) -> T) -> T {
        look(&self.map.read().unwrap_or_else(PoisonError::into_inner))
    }

    fn write<T>(&self, change: impl FnOnce(&mut Map) -> T) -> T {
        change(&mut self.map.write().unwrap_or_else(PoisonError::into_inner))
    }

    pub(super) async fn send(
        self: &Arc<Self>,
        key: &[u8],
        command: &Command,
        deadline: Instant,
    ) -> Result<Value, Failure> {
        self.watch();
        let slot = slot_of(key);
        let mut node = self.owner(slot, deadline).await?;
        let mut asking = false;
        for _ in 0..HOPS {
            match node.send(command, asking, deadline).await {
                Err(Failure::Moved { slot, to }) => {
                    (node, asking) = (self.moved(slot, &to), false);
                    // Seldom one slot moves alone.
                    self.learn_soon();
                }
                Err(Failure::Ask(to)) => (node, asking) = (self.node(&to), true),
                Err(failure) => {
                    if failure.asks_for_news() {
                        self.learn_soon();
                    }
                    return Err(failure);
                }
                answered => return answered,
            }
        }
        Err(Failure::NotNow("the nodes of the Cluster send it to and fro".to_owned()))
    }

    /// Asks every second, from the first call on, as long as the store is there: a master that was replaced while it hung
    /// would for a moment answer from the past.
    fn watch(self: &Arc<Self>) {
        if self.watched.swap(true, Ordering::AcqRel) {
            return;
        }
        let (weak, timeout) = (Arc::downgrade(self), self.options.timeout);
        tokio::spawn(async move {
            loop {
                tokio::time::sleep(WATCH).await;
                let Some(this) = weak.upgrade() else { return };
                // If nobody answers, the calls say so.
                let _ = this.learn(Instant::now() + timeout).await;
            }
        });
    }

    async fn owner(self: &Arc<Self>, slot: u16, deadline: Instant) -> Result<Arc<Node>, Failure> {
        if let Some(node) = self.read(|map| map.owner(slot)) {
            return Ok(node);
        }
        self.learn(deadline).await?;
        self.read(|map| map.owner(slot))
            .ok_or_else(|| Failure::NotNow("no node of the Cluster owns the slot of this key".to_owned()))
    }

    /// The node at this address, known or new.
    fn node(&self, address: &Address) -> Arc<Node> {
        self.write(|map| Arc::clone(self.node_in(map, address)))
    }

    fn node_in<'m>(&self, map: &'m mut Map, address: &Address) -> &'m Arc<Node> {
        map.nodes.entry(address.clone()).or_insert_with(|| {
            let seed = self.seeds.iter().find(|seed| seed.address == *address);
            seed.cloned().unwrap_or_else(|| {
                Arc::new(Node::new(address.clone(), self.access.clone(), Role::Any, &self.options))
            })
        })
    }

    fn moved(&self, slot: u16, to: &Address) -> Arc<Node> {
        self.write(|map| {
            let node = Arc::clone(self.node_in(map, to));
            if let Some(owner) = map.owners.get_mut(usize::from(slot)) {
                *owner = Some(Arc::clone(&node));
            }
            node
        })
    }

    /// Asks for news beside the calls, unless somebody does.
    fn learn_soon(self: &Arc<Self>) {
        if self.news.begin() {
            let this = Arc::clone(self);
            tokio::spawn(async move {
                // What it failed of, the next call meets as well.
                let _ = this.learn(Instant::now() + this.options.timeout).await;
                this.news.done();
            });
        }
    }

    /// Asks the nodes who owns what. One that is cut off from the others still thinks that it is what it was, so the
    /// word of those counts that say the Cluster works, and of these the one that knows of the most elections.
    async fn learn(&self, deadline: Instant) -> Result<(), Failure> {
        let Some(turn) = self.news.turn(deadline).await? else { return Ok(()) };
        let known = self.read(|map| map.nodes.values().cloned().collect::<Vec<_>>());
        let mut addresses = BTreeSet::new();
        let asked = known.into_iter().chain(self.seeds.iter().cloned());
        let asked = asked.filter(|node| addresses.insert(node.address.clone())).take(ASKED);
        let (views, failure) = ask_all(asked, deadline, |node| view(node, deadline)).await;
        turn.end(match views.into_iter().max_by_key(View::rank) {
            Some(view) => {
                self.install(&view);
                Ok(())
            }
            None => {
                Err(failure.map_or("no node of the Cluster answers".to_owned(), |why| why.text().to_owned()))
            }
        })
    }

    fn install(&self, view: &View) {
        self.write(|map| {
            map.owners = vec![None; usize::from(SLOTS)];
            for (first, last, address) in &view.ranges {
                let node = Arc::clone(self.node_in(map, address));
                for owner in &mut map.owners[usize::from(*first)..=usize::from(*last)] {
                    *owner = Some(Arc::clone(&node));
                }
            }
            map.nodes.retain(|address, _| view.ranges.iter().any(|(_, _, master)| master == address));
        });
    }

    /// Those who own slots, by their address.
    pub(super) async fn masters(self: &Arc<Self>, deadline: Instant) -> Result<Vec<Arc<Node>>, Failure> {
        self.owner(0, deadline).await?;
        let masters: BTreeMap<_, _> = self.read(|map| {
            let owners = map.owners.iter().flatten();
            owners.map(|owner| (owner.address.clone(), Arc::clone(owner))).collect()
        });
        Ok(masters.into_values().collect())
    }

    /// Every slot has a master that answers and says that the Cluster works.
    pub(super) async fn ping(self: &Arc<Self>, deadline: Instant) -> Result<(), Failure> {
        let answered = self.ping_masters(deadline).await;
        if answered.is_err() {
            self.learn_soon();
        }
        answered
    }

    async fn ping_masters(self: &Arc<Self>, deadline: Instant) -> Result<(), Failure> {
        self.owner(0, deadline).await?;
        let (covered, masters) = self.read(|map| {
            (map.owners.iter().all(Option::is_some), map.nodes.values().cloned().collect::<Vec<_>>())
        });
        if !covered {
            return Err(Failure::NotNow("the Cluster has slots that no node owns".to_owned()));
        }
        let mut asked: JoinSet<_> = masters
            .into_iter()
            .map(|node| async move { node.send(&Command::read("CLUSTER", &["INFO"]), false, deadline).await })
            .collect();
        while let Some(answer) = asked.join_next().await {
            let info = answer.map_err(|_| Failure::Lost("the question was dropped".to_owned()))??;
            if !works(&text(&info)) {
                return Err(Failure::NotNow("the Cluster says that it is down".to_owned()));
            }
        }
        Ok(())
    }
}

async fn view(node: Arc<Node>, deadline: Instant) -> Result<View, Failure> {
    let slots = node.send(&Command::read("CLUSTER", &["SLOTS"]), false, deadline).await?;
    // Some services keep it from their users; then all nodes are equal.
    let info = node.send(&Command::read("CLUSTER", &["INFO"]), false, deadline).await.ok();
    View::read(info.as_ref(), &slots, &node.address.host)
        .ok_or_else(|| Failure::Refused("this Redis is no Cluster that can be understood".to_owned()))
}
