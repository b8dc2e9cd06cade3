//! The store in a Redis that Sentinel watches. Needs `redis-server`.
#![cfg(all(feature = "redis", unix))]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stdout)]

mod outage;

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use mcp_login::store::backend::{Backend, Key, Swap, Version};
use mcp_login::store::{conformance, redis::RedisBackend};
use mcp_login_testkit::redis_sentinel::RedisSentinel;
use mcp_login_testkit::redis_server::RedisServer;
use outage::{Load, assert_returns, assert_unavailable, end, now};

const PREFIX: &str = "mcp-login:";

fn open(url: &str) -> Arc<dyn Backend> {
    Arc::new(RedisBackend::open(url, PREFIX).unwrap())
}

fn key() -> Key {
    Key::new("grant", "1")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn conforms() {
    let sentinel = RedisSentinel::start();
    let backend = open(&sentinel.url());
    outage::assert_tells_of_changes(&*backend);
    conformance::run(async || Arc::clone(&backend)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn servers_and_sentinels_have_logins_of_their_own() {
    let rights = "+get +set +del +eval +evalsha +ping +role +client|tracking";
    let user = format!("user mcp on >p@ss ~{PREFIX}* {rights}");
    let watcher = "user watcher on >w@tch +sentinel|master";
    let sentinel = RedisSentinel::start_with(&[&user], &[watcher]);
    let with = |servers: &str, sentinels: &str| {
        let url = sentinel.url().replace("//", &format!("//mcp:{servers}@"));
        open(&format!("{url}?sentinel_user=watcher&sentinel_password={sentinels}"))
    };
    for wrong in [with("hunter2", "w%40tch"), with("p%40ss", "hunter2")] {
        assert_unavailable(&*wrong, &key()).await;
        assert!(!format!("{:?}", wrong.ping().await).contains("hunter2"));
    }
    let backend = with("p%40ss", "w%40tch");
    assert_returns(&*backend).await;
    conformance::run_serving(async || Arc::clone(&backend)).await;
}

#[tokio::test]
async fn an_unknown_master_and_absent_sentinels_are_unavailable() {
    let sentinel = RedisSentinel::start();
    assert_unavailable(&*open(&sentinel.url().replace("mymaster", "other")), &key()).await;
    assert_unavailable(&*open("redis+sentinel://127.0.0.1:1,127.0.0.1:2/mymaster"), &key()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_failover_under_writes_is_followed() {
    let mut sentinel = RedisSentinel::start();
    let backend = open(&sentinel.url());
    let load = Load::start(&backend);
    load.go_on(300).await;
    let promised = load.acknowledged();
    sentinel.servers()[1].wait_until_it_has_all_of(&sentinel.servers()[0]);
    sentinel.servers_mut()[0].stop();
    let (begun, before) = (Instant::now(), load.acknowledged());
    assert_returns(&*backend).await;
    println!("ready {:?} after the master was killed", begun.elapsed());
    assert_eq!(sentinel.servers()[1].info("replication", "role"), "master");
    load.go_on(300).await;

    // It comes back empty, and as a master until the sentinels see to it: nobody must be sent to it.
    sentinel.servers_mut()[0].restart();
    assert_eq!(sentinel.servers()[0].info("replication", "role"), "master");
    load.go_on(300).await;
    assert_returns(&*open(&sentinel.url())).await;
    load.finish(&*backend, &promised, &before).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_master_that_hangs_is_unavailable_and_what_it_knew_is_never_read_again() {
    let sentinel = RedisSentinel::start();
    let (busy, idle) = (open(&sentinel.url()), open(&sentinel.url()));
    assert!(busy.insert(&key(), Bytes::from_static(b"old"), end(), now()).await.unwrap());
    assert!(idle.get(&key(), now()).await.unwrap().is_some());
    sentinel.servers()[1].wait_until_it_has_all_of(&sentinel.servers()[0]);

    sentinel.servers()[0].pause();
    let begun = Instant::now();
    assert_unavailable(&*busy, &Key::new("grant", "2")).await;
    assert_returns(&*busy).await;
    println!("ready {:?} after the master began to hang", begun.elapsed());
    let swap = busy.swap(&key(), Version::FIRST, Bytes::from_static(b"new"), end(), now()).await.unwrap();
    assert_eq!(swap, Swap::Done(Version(2)));
    // Nothing is asked of the idle one, and still it has to know: it asks the sentinels again and again.
    tokio::time::sleep(Duration::from_millis(1_500)).await;
    let read = idle.get(&key(), now()).await.expect("it has followed already");
    assert_eq!(read.expect("it is there").value, "new");

    sentinel.servers()[0].resume();
    let begun = Instant::now();
    while begun.elapsed() < Duration::from_millis(500) {
        for backend in [&busy, &idle] {
            let read = backend.get(&key(), now()).await.unwrap().expect("it is there");
            assert_eq!(read.value, "new");
        }
    }
}

#[tokio::test]
async fn without_sentinels_it_goes_on_with_the_master_it_knows() {
    let mut sentinel = RedisSentinel::start();
    let backend = open(&sentinel.url());
    assert_returns(&*backend).await;
    sentinel.sentinels_mut().iter_mut().for_each(RedisServer::stop);
    assert_returns(&*backend).await;
}

#[tokio::test]
async fn one_sentinel_is_enough() {
    let mut sentinel = RedisSentinel::start();
    sentinel.sentinels_mut()[..2].iter_mut().for_each(RedisServer::stop);
    assert_returns(&*open(&sentinel.url())).await;
}

#[tokio::test]
async fn a_replica_is_not_taken_for_a_master() {
    let mut sentinel = RedisSentinel::start();
    let backend = open(&sentinel.url());
    assert_returns(&*backend).await;
    // Nobody decides on a failover, but an operator makes the master a replica.
    sentinel.sentinels_mut().iter_mut().for_each(RedisServer::stop);
    let port = sentinel.servers()[1].port().to_string();
    sentinel.servers()[1].query(&["REPLICAOF", "NO", "ONE"]);
    sentinel.servers()[0].query(&["REPLICAOF", "127.0.0.1", &port]);
    // A write finds out; sentinels, who would end the connections, are away.
    assert!(backend.insert(&key(), Bytes::new(), end(), now()).await.is_err());
    assert_unavailable(&*backend, &key()).await;
    assert_unavailable(&*open(&sentinel.url()), &key()).await;
}
