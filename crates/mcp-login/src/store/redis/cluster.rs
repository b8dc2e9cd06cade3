//! Redis Cluster: every key is at the master that owns its slot.
//!
//! Nothing is ever asked of a replica: without `READONLY` it sends away by itself. A redirection means that nothing has
//! happened, so it is followed; a command whose answer is lost is not sent again.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use redis::Value;
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::address::{Access, Address};
use super::failure::Failure;
use super::news::{Known, Learns, News};
use super::node::{Command, Node, Role};
use super::route::ask_all;
use super::slots::{SLOTS, View, slot_of, text, works};
use crate::store::options::StoreOptions;

/// The most nodes that are asked for news at once.
const ASKED: usize = 16;

/// A key moves once while it is followed; a few more are a resharding in full swing.
const HOPS: usize = 5;

/// What a Cluster is that has lost a part.
const UNCOVERED: &str = "the Cluster has slots that no node owns";

/// How long a node without slots is followed after a key was found there.
const IMPORTING: Duration = Duration::from_secs(60);

pub(super) struct Cluster {
    seeds: Vec<Arc<Node>>,
    access: Access,
    options: StoreOptions,
    map: RwLock<Map>,
    news: News,
}

#[derive(Default)]
struct Map {
    nodes: BTreeMap<Address, Arc<Node>>,
    /// By slot; empty at first.
    owners: Vec<Option<Arc<Node>>>,
    /// Those of the nodes that have no slots yet, but keys that are on their way to them; and when one was last asked for.
    importing: BTreeMap<Address, Instant>,
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
            news: News::new(options.timeout),
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
        self.keep_learning();
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
                Err(Failure::Ask(to)) => (node, asking) = (self.importing(&to), true),
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

    async fn owner(self: &Arc<Self>, slot: u16, deadline: Instant) -> Result<Arc<Node>, Failure> {
        if let Some(node) = self.read(|map| map.owner(slot)) {
            return Ok(node);
        }
        self.learn(deadline).await?;
        self.read(|map| map.owner(slot))
            .ok_or_else(|| Failure::NotNow("no node of the Cluster owns the slot of this key".to_owned()))
    }

    /// The node to which a key is on its way.
    fn importing(&self, address: &Address) -> Arc<Node> {
        self.write(|map| {
            let is_new = !map.nodes.contains_key(address);
            let node = Arc::clone(self.node_in(map, address));
            if is_new || map.importing.contains_key(address) {
                map.importing.insert(address.clone(), Instant::now());
            }
            if is_new {
                self.tell_of_a_change(map);
            }
            node
        })
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
            if let Some(owner) = map.owners.get_mut(usize::from(slot))
                && !same(owner.as_ref(), Some(&node))
            {
                *owner = Some(Arc::clone(&node));
                self.tell_of_a_change(map);
            }
            node
        })
    }

    /// Before anybody reads from where something new is.
    fn tell_of_a_change(&self, map: &Map) {
        self.news.tell(|masters| {
            masters.nodes = map.nodes.values().cloned().collect();
            masters.changes += 1;
        });
    }

    fn install(&self, view: &View, asked: std::time::Instant) {
        self.write(|map| {
            let before = std::mem::replace(&mut map.owners, vec![None; usize::from(SLOTS)]);
            let mut masters = BTreeSet::new();
            for (first, last, address) in &view.ranges {
                let node = Arc::clone(self.node_in(map, address));
                for owner in &mut map.owners[usize::from(*first)..=usize::from(*last)] {
                    *owner = Some(Arc::clone(&node));
                }
                masters.insert(address);
            }
            map.importing.retain(|node, asked| !masters.contains(node) && asked.elapsed() < IMPORTING);
            let count = map.nodes.len();
            map.nodes.retain(|node, _| masters.contains(node) || map.importing.contains_key(node));
            let is_as_before = before.len() == map.owners.len()
                && before.iter().zip(&map.owners).all(|(before, now)| same(before.as_ref(), now.as_ref()));
            if !is_as_before || map.nodes.len() != count || self.news.masters().epoch != view.epoch {
                self.tell_of_a_change(map);
            }
            // A master that is cut off from most others finds that out before they replace it.
            let known = if view.works == Some(false) { Known::Never } else { Known::At(asked) };
            self.news.tell(|masters| (masters.epoch, masters.known) = (view.epoch, known));
        });
    }

    /// Those who own slots, by their address.
    pub(super) async fn masters(self: &Arc<Self>, deadline: Instant) -> Result<Vec<Arc<Node>>, Failure> {
        self.owner(0, deadline).await?;
        let (covered, masters) = self.read(|map| {
            let owners = map.owners.iter().flatten();
            let masters: BTreeMap<_, _> =
                owners.map(|owner| (owner.address.clone(), Arc::clone(owner))).collect();
            (map.owners.iter().all(Option::is_some), masters)
        });
        if !covered {
            return Err(Failure::NotNow(UNCOVERED.to_owned()));
        }
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
            let masters = map.nodes.iter().filter(|(address, _)| !map.importing.contains_key(*address));
            let masters: Vec<_> = masters.map(|(_, node)| Arc::clone(node)).collect();
            (map.owners.iter().all(Option::is_some), masters)
        });
        if !covered {
            return Err(Failure::NotNow(UNCOVERED.to_owned()));
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

impl Learns for Cluster {
    fn news(&self) -> &News {
        &self.news
    }

    /// Asks the nodes who owns what. One that is cut off from the others still thinks that it is what it was, so the
    /// word of those counts that say the Cluster works, and of these the one that knows of the most elections.
    async fn ask(&self, deadline: Instant) -> Result<(), String> {
        let known = self.read(|map| map.nodes.values().cloned().collect::<Vec<_>>());
        let mut addresses = BTreeSet::new();
        let nodes = known.into_iter().chain(self.seeds.iter().cloned());
        let nodes = nodes.filter(|node| addresses.insert(node.address.clone())).take(ASKED);
        let asked = std::time::Instant::now();
        let (views, failure) = ask_all(nodes, deadline, |node| view(node, deadline)).await;
        match views.into_iter().max_by_key(View::rank) {
            Some(view) => {
                self.install(&view, asked);
                Ok(())
            }
            None => {
                Err(failure.map_or("no node of the Cluster answers".to_owned(), |why| why.text().to_owned()))
            }
        }
    }
}

fn same(one: Option<&Arc<Node>>, other: Option<&Arc<Node>>) -> bool {
    match (one, other) {
        (Some(one), Some(other)) => Arc::ptr_eq(one, other),
        (one, other) => one.is_none() && other.is_none(),
    }
}

async fn view(node: Arc<Node>, deadline: Instant) -> Result<View, Failure> {
    let slots = node.send(&Command::read("CLUSTER", &["SLOTS"]), false, deadline).await?;
    let info = node.send(&Command::read("CLUSTER", &["INFO"]), false, deadline).await.ok();
    View::read(info.as_ref(), &slots, &node.address.host)
        .ok_or_else(|| Failure::Refused("this Redis is no Cluster that can be understood".to_owned()))
}

#[cfg(test)]
mod tests;
