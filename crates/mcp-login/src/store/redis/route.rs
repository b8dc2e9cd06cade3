//! Which server a key is at.

use std::sync::Arc;
use std::time::Duration;

use redis::Value;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout, timeout_at};

use super::address::Target;
use super::cluster::Cluster;
use super::failure::Failure;
use super::news::{Known, Learns, Masters};
use super::node::{Command, Node, Role};
use super::sentinel::Sentinel;
use super::tracking::Sign;
use crate::store::options::StoreOptions;

/// When nothing has happened, it is tried again after these: they hide a restart of a moment. An outage is answered
/// soon, so that callers do not pile up.
const PAUSES: [Duration; 2] = [Duration::from_millis(60), Duration::from_millis(120)];

/// After the first answer of several that were asked, how long the others are waited for.
const LATECOMERS: Duration = Duration::from_millis(150);

pub(super) enum Route {
    One(Arc<Node>, watch::Sender<Masters>),
    Cluster(Arc<Cluster>),
    Sentinel(Arc<Sentinel>),
}

enum Question<'a> {
    /// One key.
    Of { key: &'a [u8], command: &'a Command },
    /// All there is.
    All { ping: Command },
}

impl Route {
    pub(super) fn new(target: Target, options: &StoreOptions) -> Self {
        match target {
            Target::One { address, access } => {
                let node = Arc::new(Node::new(address, access, Role::Any, options));
                let nodes = vec![Arc::clone(&node)];
                let master = Masters { nodes, known: Known::Always, ..Masters::default() };
                Self::One(node, watch::Sender::new(master))
            }
            Target::Cluster { seeds, access } => {
                Self::Cluster(Arc::new(Cluster::new(&seeds, access, options)))
            }
            Target::Sentinel { sentinels, entry, master, access } => {
                Self::Sentinel(Arc::new(Sentinel::new(&sentinels, &entry, master, access, options)))
            }
        }
    }

    /// Sends a command that concerns this key.
    pub(super) async fn call(
        &self,
        key: &[u8],
        command: &Command,
        deadline: Instant,
    ) -> Result<Value, Failure> {
        self.ask(&Question::Of { key, command }, deadline).await
    }

    /// Whether every record can be reached.
    pub(super) async fn ping(&self, deadline: Instant) -> Result<(), Failure> {
        self.ask(&Question::All { ping: Command::read("PING", &[]) }, deadline).await.map(drop)
    }

    async fn ask(&self, question: &Question<'_>, deadline: Instant) -> Result<Value, Failure> {
        for pause in PAUSES {
            match self.once(question, deadline).await {
                Err(Failure::NotNow(_)) if Instant::now() + pause < deadline => {
                    tokio::time::sleep(pause).await;
                }
                answered => return answered,
            }
        }
        self.once(question, deadline).await
    }

    async fn once(&self, question: &Question<'_>, deadline: Instant) -> Result<Value, Failure> {
        let command = match question {
            Question::Of { command, .. } => *command,
            Question::All { ping } => ping,
        };
        match (self, question) {
            (Self::One(node, _), _) => node.send(command, false, deadline).await,
            (Self::Sentinel(sentinel), _) => sentinel.send(command, deadline).await,
            (Self::Cluster(cluster), Question::Of { key, .. }) => cluster.send(key, command, deadline).await,
            (Self::Cluster(cluster), Question::All { .. }) => {
                cluster.ping(deadline).await.map(|()| Value::Nil)
            }
        }
    }

    /// Every master that has records, in an order that stays while they do.
    pub(super) async fn masters(&self, deadline: Instant) -> Result<Vec<Arc<Node>>, Failure> {
        match self {
            Self::One(node, _) => Ok(vec![Arc::clone(node)]),
            Self::Cluster(cluster) => cluster.masters(deadline).await,
            Self::Sentinel(sentinel) => Ok(vec![sentinel.master(deadline).await?]),
        }
    }

    /// How often it has changed who the masters are, and what each of them has.
    pub(super) fn changes(&self) -> u64 {
        match self {
            Self::One(..) => 0,
            Self::Cluster(cluster) => cluster.news().masters().changes,
            Self::Sentinel(sentinel) => sentinel.news().masters().changes,
        }
    }

    /// The masters, now and from now on, and how each is asked whether it still is one.
    pub(super) fn follow(&self) -> (watch::Receiver<Masters>, Sign) {
        match self {
            Self::One(_, master) => (master.subscribe(), Sign::OfLife),
            Self::Cluster(cluster) => (follow(cluster), Sign::OfMaster),
            Self::Sentinel(sentinel) => (follow(sentinel), Sign::OfMaster),
        }
    }

    /// For Debug: where it is, not who.
    pub(super) fn places(&self) -> String {
        match self {
            Self::One(node, _) => node.address.to_string(),
            Self::Cluster(cluster) => places(cluster.seeds()),
            Self::Sentinel(sentinel) => places(sentinel.sentinels()),
        }
    }
}

fn follow(servers: &Arc<impl Learns>) -> watch::Receiver<Masters> {
    servers.keep_learning();
    servers.learn_soon();
    servers.news().follow()
}

fn places(nodes: &[Arc<Node>]) -> String {
    nodes.iter().map(|node| node.address.to_string()).collect::<Vec<_>>().join(",")
}

/// Asks several servers at once. Those that have not answered shortly after the first good answer are not waited for:
/// one that hangs must not keep the others from being heard.
pub(super) async fn ask_all<T: Send + 'static, F>(
    nodes: impl IntoIterator<Item = Arc<Node>>,
    deadline: Instant,
    ask: impl Fn(Arc<Node>) -> F,
) -> (Vec<T>, Option<Failure>)
where
    F: Future<Output = Result<T, Failure>> + Send + 'static,
{
    let mut asked: JoinSet<_> = nodes.into_iter().map(ask).collect();
    let (mut answers, mut failure) = (Vec::new(), None);
    let mut take = |joined| match joined {
        Ok(Ok(answer)) => {
            answers.push(answer);
            true
        }
        Ok(Err(failed)) => {
            failure = Some(failed);
            false
        }
        // A task of ours neither panics nor is it stopped.
        Err(_) => false,
    };
    let first = async {
        while let Some(joined) = asked.join_next().await {
            if take(joined) {
                break;
            }
        }
    };
    if timeout_at(deadline, first).await.is_ok() {
        let others = async {
            while let Some(joined) = asked.join_next().await {
                take(joined);
            }
        };
        // Whoever is late is not heard.
        let _ = timeout(LATECOMERS, others).await;
    }
    (answers, failure)
}
