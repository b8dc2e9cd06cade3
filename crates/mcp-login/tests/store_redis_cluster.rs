//! The store in a Redis Cluster of three masters. Needs `redis-server` 7.
#![cfg(all(feature = "redis", unix))]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stdout)]

mod outage;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use mcp_login::store::backend::{Backend, Key, StoreError, Swap, Version};
use mcp_login::store::options::StoreOptions;
use mcp_login::store::{conformance, redis::RedisBackend};
use mcp_login_testkit::redis_cluster::RedisCluster;
use mcp_login_testkit::redis_server::Reply;
use outage::{Load, assert_returns, assert_unavailable, end, now};

const PREFIX: &str = "mcp-login:";

fn open(cluster: &RedisCluster) -> Arc<dyn Backend> {
    Arc::new(RedisBackend::open(&cluster.url(), PREFIX).unwrap())
}

/// A key whose slot this node owned at first, as another says that is asked.
fn key_at(cluster: &RedisCluster, asked: usize, node: u16) -> Key {
    let slots = node * 5461..(node + 1) * 5461;
    let mut keys = (0..).map(|n| Key::new("at", &format!("{n}")));
    keys.find(|key| slots.contains(&cluster.slot(asked, &format!("{PREFIX}{}", key.as_str())))).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn conforms() {
    let cluster = RedisCluster::start(3, 0);
    outage::assert_tells_of_changes(&*open(&cluster));
    for connections in [1, 3] {
        let options = StoreOptions::default().connections(connections);
        let backend: Arc<dyn Backend> = Arc::new(RedisBackend::open_with(&cluster.url(), &options).unwrap());
        conformance::run(async || Arc::clone(&backend)).await;
    }
    for node in cluster.nodes() {
        assert_ne!(node.query(&["DBSIZE"]), Reply::Integer(0), "all three hold records");
    }
}

#[tokio::test]
async fn one_node_of_the_url_is_enough() {
    let cluster = RedisCluster::start(3, 0);
    // The first is nowhere.
    let url = format!("redis+cluster://127.0.0.1:1,127.0.0.1:{}", cluster.nodes()[2].port());
    let backend = RedisBackend::open(&url, PREFIX).unwrap();
    assert_returns(&backend).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_login_with_few_rights_is_enough() {
    let cluster = RedisCluster::start(3, 0);
    let rights = "+get +set +del +eval +evalsha +ping +asking +cluster|slots +cluster|info \
                  +role +client|tracking";
    for node in cluster.nodes() {
        let user = format!("ACL SETUSER mcp on >p@ss resetkeys ~{PREFIX}* nocommands {rights}");
        let set = node.query(&user.split(' ').collect::<Vec<_>>());
        assert_eq!(set, Reply::Status("OK".to_owned()));
    }
    let wrong = RedisBackend::open(&cluster.url().replace("//", "//mcp:hunter2@"), PREFIX).unwrap();
    assert_unavailable(&wrong, &key_at(&cluster, 0, 0)).await;
    assert!(!format!("{:?}", wrong.ping().await).contains("hunter2"));
    let url = cluster.url().replace("//", "//mcp:p%40ss@");
    let backend: Arc<dyn Backend> = Arc::new(RedisBackend::open(&url, PREFIX).unwrap());
    assert_returns(&*backend).await;
    conformance::run_serving(async || Arc::clone(&backend)).await;
    for node in cluster.nodes() {
        let operator = ["ACL", "SETUSER", "mcp", "+scan", "+dbsize"];
        assert_eq!(node.query(&operator), Reply::Status("OK".to_owned()));
    }
    conformance::run(async || Arc::clone(&backend)).await;
    assert!(backend.inspect().await.unwrap().iter().any(|finding| finding.value.contains("not told")));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_failover_under_writes_is_followed() {
    let mut cluster = RedisCluster::start(3, 1);
    let backend = open(&cluster);
    let load = Load::start(&backend);
    load.go_on(300).await;
    let promised = load.acknowledged();
    cluster.nodes()[3].wait_until_it_has_all_of(&cluster.nodes()[0]);
    cluster.nodes_mut()[0].stop();
    let (begun, before) = (Instant::now(), load.acknowledged());
    assert_reads(&*backend, &key_at(&cluster, 1, 0)).await;
    assert_returns(&*backend).await;
    println!("ready {:?} after its master was killed", begun.elapsed());
    assert_eq!(cluster.masters(), [1, 2, 3]);
    load.go_on(300).await;

    cluster.nodes_mut()[0].restart();
    cluster.wait_until_whole();
    assert_returns(&*backend).await;
    load.finish(&*backend, &promised, &before).await;
}

/// Calls alone find out; nobody asks whether it is ready.
async fn assert_reads(backend: &dyn Backend, key: &Key) {
    let begun = Instant::now();
    while let Err(error) = backend.get(key, now()).await {
        assert!(begun.elapsed() < outage::FAILOVER_BOUND, "it does not return: {error:?}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn what_a_master_knew_that_hung_is_never_read_again() {
    let cluster = RedisCluster::start(3, 1);
    let (busy, idle) = (open(&cluster), open(&cluster));
    let key = key_at(&cluster, 1, 0);
    assert!(busy.insert(&key, Bytes::from_static(b"old"), end(), now()).await.unwrap());
    assert!(idle.get(&key, now()).await.unwrap().is_some());
    cluster.nodes()[3].wait_until_it_has_all_of(&cluster.nodes()[0]);

    cluster.nodes()[0].pause();
    let begun = Instant::now();
    assert!(matches!(busy.get(&key, now()).await, Err(StoreError::Unavailable(_))));
    assert!(begun.elapsed() < outage::BOUND);
    assert_reads(&*busy, &key).await;
    assert_returns(&*busy).await;
    println!("ready {:?} after its master began to hang", begun.elapsed());
    let swap = busy.swap(&key, Version::FIRST, Bytes::from_static(b"new"), end(), now()).await.unwrap();
    assert_eq!(swap, Swap::Done(Version(2)));
    // Nothing is asked of the idle one, and still it has to know: it asks the masters again and again.
    tokio::time::sleep(Duration::from_millis(1_500)).await;
    let read = idle.get(&key, now()).await.expect("it has followed already");
    assert_eq!(read.expect("it is there").value, "new");

    cluster.nodes()[0].resume();
    let begun = Instant::now();
    while begun.elapsed() < Duration::from_millis(500) {
        for backend in [&busy, &idle] {
            let read = backend.get(&key, now()).await.unwrap().expect("it is there");
            assert_eq!(read.value, "new");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_planned_failover_loses_nothing() {
    let cluster = RedisCluster::start(3, 1);
    let backend = open(&cluster);
    let load = Load::start(&backend);
    load.go_on(300).await;
    assert_eq!(cluster.nodes()[3].query(&["CLUSTER", "FAILOVER"]), Reply::Status("OK".to_owned()));
    let begun = Instant::now();
    while cluster.masters() != [1, 2, 3] {
        assert!(begun.elapsed() < outage::FAILOVER_BOUND, "no failover");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    load.go_on(300).await;
    let all = load.acknowledged();
    load.finish(&*backend, &all, &all).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_node_that_hangs_is_unavailable_and_the_others_are_not() {
    let cluster = RedisCluster::start_with(3, 0, || vec!["cluster-require-full-coverage no".to_owned()]);
    let backend = open(&cluster);
    let keys = [0, 1, 2].map(|node| key_at(&cluster, 0, node));
    assert_returns(&*backend).await;
    cluster.nodes()[1].pause();
    for _ in 0..2 {
        assert_unavailable(&*backend, &keys[1]).await;
        for key in [&keys[0], &keys[2]] {
            let begun = Instant::now();
            assert!(backend.insert(key, Bytes::new(), end(), now()).await.unwrap());
            assert!(backend.delete(key, now()).await.unwrap());
            assert!(begun.elapsed() < Duration::from_millis(1_500), "it took {:?}", begun.elapsed());
        }
    }
    // One that begins now learns from the others.
    let late = open(&cluster);
    let begun = Instant::now();
    assert!(late.insert(&keys[0], Bytes::new(), end(), now()).await.unwrap());
    assert!(begun.elapsed() < Duration::from_millis(1_500), "it took {:?}", begun.elapsed());
    cluster.nodes()[1].resume();
    assert_returns(&*backend).await;
    assert_returns(&*late).await;
}

#[tokio::test]
async fn without_one_of_three_it_is_not_ready() {
    let mut cluster = RedisCluster::start(3, 0);
    let backend = open(&cluster);
    assert_returns(&*backend).await;
    let key = key_at(&cluster, 0, 2);
    cluster.nodes_mut()[2].stop();
    assert_unavailable(&*backend, &key).await;
    assert_unavailable(&*open(&cluster), &key).await;
    cluster.nodes_mut()[2].restart();
    assert_returns(&*backend).await;
}

/// Counts up by swaps until it is stopped; nobody else does, so each has to succeed.
async fn count(backend: Arc<dyn Backend>, key: Key, counted: Arc<AtomicU64>, stop: Arc<AtomicBool>) {
    assert!(backend.insert(&key, Bytes::new(), end(), now()).await.unwrap());
    let mut version = Version::FIRST;
    while !stop.load(Ordering::Relaxed) {
        let swap = backend.swap(&key, version, Bytes::new(), end(), now()).await.unwrap();
        assert_eq!(swap, Swap::Done(version.next()));
        version = version.next();
        let read = backend.get(&key, now()).await.unwrap().expect("it is there");
        assert_eq!(read.version, version);
        let new = Key::new("new", &format!("{}-{}", key.as_str().replace(':', "-"), version.0));
        assert!(backend.insert(&new, Bytes::new(), end(), now()).await.unwrap());
        assert!(backend.take(&new, now()).await.unwrap().is_some());
        counted.store(version.0, Ordering::Relaxed);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn slots_move_while_they_are_used() {
    let cluster = RedisCluster::start(3, 0);
    let backend = open(&cluster);
    let stop = Arc::new(AtomicBool::new(false));
    let keys = [0, 1, 2].map(|node| key_at(&cluster, 0, node));
    let counted = [(); 3].map(|()| Arc::new(AtomicU64::new(0)));
    let mut tasks = tokio::task::JoinSet::new();
    for (key, counted) in keys.iter().zip(&counted) {
        tasks.spawn(count(Arc::clone(&backend), key.clone(), Arc::clone(counted), Arc::clone(&stop)));
    }
    let go_on = async |n: usize| {
        let (begun, before) = (Instant::now(), counted[n].load(Ordering::Relaxed));
        while counted[n].load(Ordering::Relaxed) < before + 20 {
            assert!(begun.elapsed() < outage::FAILOVER_BOUND, "it stands still");
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    // There and back again, so that each of the three steps is met on each node.
    for (n, key) in keys.iter().enumerate() {
        let slot = cluster.slot(0, &format!("{PREFIX}{}", key.as_str()));
        for (from, to) in [(n, (n + 1) % 3), ((n + 1) % 3, n)] {
            go_on(n).await;
            cluster.begin_to_move(slot, from, to);
            go_on(n).await;
            cluster.move_keys(slot, from, to);
            go_on(n).await;
            cluster.end_to_move(slot, from, to);
        }
        go_on(n).await;
    }
    stop.store(true, Ordering::Relaxed);
    while let Some(joined) = tasks.join_next().await {
        joined.unwrap();
    }
    for (key, counted) in keys.iter().zip(&counted) {
        let read = backend.get(key, now()).await.unwrap().expect("it is there");
        assert_eq!(read.version.0, counted.load(Ordering::Relaxed));
    }
}
