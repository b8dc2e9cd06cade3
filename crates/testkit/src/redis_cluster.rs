//! A real Redis Cluster for one test.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::missing_panics_doc,
    reason = "a test that cannot have its Cluster cannot go on"
)]

use std::time::Duration;

use crate::redis_server::{RedisServer, Reply, free_port, wait_for};

const SLOTS: usize = 16384;

/// How long a node is silent before the others think that it is down.
const NODE_TIMEOUT: Duration = Duration::from_secs(1);

/// Masters that share the slots evenly, each with as many replicas: every one a `redis-server` on free ports of
/// 127.0.0.1 with nothing on disk but who it is. They are killed when this is dropped.
#[derive(Debug)]
pub struct RedisCluster {
    nodes: Vec<RedisServer>,
    masters: usize,
}

impl RedisCluster {
    /// Starts a Cluster, and waits until each node says that it works and replicas have what their masters have.
    ///
    /// # Panics
    /// When `redis-server` (7 or later) is not installed, or the nodes do not find together.
    #[must_use]
    pub fn start(masters: usize, replicas_each: usize) -> Self {
        Self::start_with(masters, replicas_each, Vec::new)
    }

    /// The same with further settings of every node.
    ///
    /// # Panics
    /// As [`start`](Self::start).
    #[must_use]
    pub fn start_with(masters: usize, replicas_each: usize, settings: impl Fn() -> Vec<String>) -> Self {
        let all = || [settings(), of_a_node()].concat();
        let count = masters * (1 + replicas_each);
        let this = Self { nodes: (0..count).map(|_| RedisServer::start_with(all)).collect(), masters };
        this.share_slots();
        this.meet();
        for (n, replica) in this.nodes.iter().enumerate().skip(masters) {
            let master = this.id(n % masters);
            wait_for("a replica is one", || ok(&replica.query(&["CLUSTER", "REPLICATE", &master])));
        }
        this.wait_until_whole();
        this
    }

    fn share_slots(&self) {
        for n in 0..self.nodes.len() {
            let epoch = (n + 1).to_string();
            assert!(ok(&self.nodes[n].query(&["CLUSTER", "SET-CONFIG-EPOCH", &epoch])));
        }
        for n in 0..self.masters {
            let (first, end) = (n * SLOTS / self.masters, (n + 1) * SLOTS / self.masters);
            let (first, last) = (first.to_string(), (end - 1).to_string());
            assert!(ok(&self.nodes[n].query(&["CLUSTER", "ADDSLOTSRANGE", &first, &last])));
        }
    }

    fn meet(&self) {
        for node in &self.nodes[1..] {
            self.introduce(node);
        }
        self.wait_until_all_know_all();
    }

    fn introduce(&self, node: &RedisServer) {
        let nodes = node.text(&["CLUSTER", "NODES"]);
        let bus = nodes.split_once('@').and_then(|(_, rest)| rest.split([' ', ',']).next());
        // With TLS on the bus they know each other by that port.
        let port = if node.tls_port() == 0 { node.port() } else { node.tls_port() };
        let (port, bus) = (port.to_string(), bus.expect("a bus port"));
        assert!(ok(&self.nodes[0].query(&["CLUSTER", "MEET", "127.0.0.1", &port, bus])));
    }

    fn wait_until_all_know_all(&self) {
        wait_for("all nodes know all", || {
            self.nodes.iter().all(|node| {
                let known = node.text(&["CLUSTER", "NODES"]);
                known.lines().count() == self.nodes.len() && !known.contains("handshake")
            })
        });
    }

    /// Adds a master that has no slots yet, and gives its number.
    pub fn add_master(&mut self) -> usize {
        let node = RedisServer::start_with(of_a_node);
        self.introduce(&node);
        self.nodes.push(node);
        self.wait_until_all_know_all();
        self.wait_until_whole();
        self.nodes.len() - 1
    }

    /// Waits until every running node says that the Cluster works, and every replica is connected to its master.
    pub fn wait_until_whole(&self) {
        wait_for("the Cluster works, and replicas follow", || {
            self.nodes.iter().filter(|node| node.is_running()).all(|node| {
                node.text(&["CLUSTER", "INFO"]).contains("cluster_state:ok")
                    && (is_master(node) || node.info("replication", "master_link_status") == "up")
            })
        });
    }

    /// `redis+cluster://…` with every node that began as a master.
    #[must_use]
    pub fn url(&self) -> String {
        let hosts: Vec<_> =
            self.nodes[..self.masters].iter().map(|node| format!("127.0.0.1:{}", node.port())).collect();
        format!("redis+cluster://{}", hosts.join(","))
    }

    /// The nodes: first those that began as masters, then those that began as replicas.
    #[must_use]
    pub fn nodes(&self) -> &[RedisServer] {
        &self.nodes
    }

    /// The same, to stop and start them.
    pub fn nodes_mut(&mut self) -> &mut [RedisServer] {
        &mut self.nodes
    }

    /// Which of the nodes are masters now, by their own word.
    #[must_use]
    pub fn masters(&self) -> Vec<usize> {
        let masters = self.nodes.iter().enumerate().filter(|(_, node)| node.is_running() && is_master(node));
        masters.map(|(n, _)| n).collect()
    }

    fn id(&self, node: usize) -> String {
        self.nodes[node].text(&["CLUSTER", "MYID"])
    }

    /// The slot of a key, as this node says.
    #[must_use]
    pub fn slot(&self, asked: usize, key: &str) -> u16 {
        match self.nodes[asked].query(&["CLUSTER", "KEYSLOT", key]) {
            Reply::Integer(slot) => u16::try_from(slot).expect("a slot"),
            other => panic!("CLUSTER KEYSLOT gave {other:?}"),
        }
    }

    /// Begins to move a slot: from now on `from` sends to `to` whoever asks for a key that it does not have.
    pub fn begin_to_move(&self, slot: u16, from: usize, to: usize) {
        let slot = slot.to_string();
        assert!(ok(&self.nodes[to].query(&["CLUSTER", "SETSLOT", &slot, "IMPORTING", &self.id(from)])));
        assert!(ok(&self.nodes[from].query(&["CLUSTER", "SETSLOT", &slot, "MIGRATING", &self.id(to)])));
    }

    /// Moves the keys of a slot that is being moved.
    pub fn move_keys(&self, slot: u16, from: usize, to: usize) {
        let port = self.nodes[to].port().to_string();
        loop {
            let found = self.nodes[from].query(&["CLUSTER", "GETKEYSINSLOT", &slot.to_string(), "100"]);
            let Reply::Array(keys) = found else { panic!("GETKEYSINSLOT gave {found:?}") };
            if keys.is_empty() {
                return;
            }
            for key in keys {
                let Reply::Bulk(Some(key)) = key else { panic!("GETKEYSINSLOT gives names") };
                let parts: [&[u8]; 6] = [b"MIGRATE", b"127.0.0.1", port.as_bytes(), &key, b"0", b"5000"];
                let moved = self.nodes[from].query(&parts);
                assert!(
                    matches!(&moved, Reply::Status(status) if status == "OK" || status == "NOKEY"),
                    "{moved:?}"
                );
            }
        }
    }

    /// Ends the moving of a slot: from now on `to` owns it.
    pub fn end_to_move(&self, slot: u16, from: usize, to: usize) {
        let (slot, id) = (slot.to_string(), self.id(to));
        for node in [to, from] {
            assert!(ok(&self.nodes[node].query(&["CLUSTER", "SETSLOT", &slot, "NODE", &id])));
        }
    }
}

fn of_a_node() -> Vec<String> {
    vec![
        "cluster-enabled yes".to_owned(),
        format!("cluster-port {}", free_port()),
        format!("cluster-node-timeout {}", NODE_TIMEOUT.as_millis()),
        "repl-diskless-sync-delay 0".to_owned(),
    ]
}

fn ok(reply: &Reply) -> bool {
    *reply == Reply::Status("OK".to_owned())
}

fn is_master(node: &RedisServer) -> bool {
    node.info("replication", "role") == "master"
}
