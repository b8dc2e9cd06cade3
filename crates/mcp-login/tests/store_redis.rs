//! The store in Redis: the contract of every store, and what a network adds to it. Needs `redis-server`.
#![cfg(feature = "redis")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod outage;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use mcp_login::clock::Clock;
use mcp_login::store::backend::{Backend, Key, StoreError, Swap, Version};
use mcp_login::store::options::StoreOptions;
use mcp_login::store::{conformance, redis::RedisBackend};
use mcp_login_testkit::clock::MockClock;
use mcp_login_testkit::redis_server::{RedisServer, Reply};
use outage::assert_returns;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

const PREFIX: &str = "mcp-login:";
const MINUTE: Duration = Duration::from_secs(60);

fn open(server: &RedisServer) -> Arc<RedisBackend> {
    Arc::new(RedisBackend::open(&server.url(), PREFIX).unwrap())
}

fn key() -> Key {
    Key::new("grant", "1")
}

async fn assert_unavailable(backend: &RedisBackend) {
    outage::assert_unavailable(backend, &key()).await;
}

/// The backend answers again, without a new one.
async fn assert_heals(backend: &RedisBackend) {
    assert_returns(backend).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn conforms() {
    let server = RedisServer::start();
    let backend = open(&server);
    outage::assert_tells_of_changes(&*backend);
    conformance::run(async || Arc::clone(&backend) as Arc<dyn Backend>).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn two_nodes_race_fairly() {
    let server = RedisServer::start();
    let now = MockClock::new().now();
    let nodes = [open(&server), open(&server)];
    assert!(nodes[0].insert(&key(), Bytes::new(), now.plus(MINUTE), now).await.unwrap());
    let mut tasks = tokio::task::JoinSet::new();
    for n in 0..50 {
        let node = Arc::clone(&nodes[n % 2]);
        tasks.spawn(async move {
            node.swap(&key(), Version::FIRST, Bytes::new(), now.plus(MINUTE), now).await.unwrap()
        });
    }
    let done = tasks.join_all().await.into_iter().filter(|swap| *swap == Swap::Done(Version(2)));
    assert_eq!(done.count(), 1);
}

#[tokio::test]
async fn a_record_is_one_string_that_outlives_the_record() {
    let server = RedisServer::start();
    let backend = open(&server);
    let now = MockClock::new().now();
    let name = "mcp-login:grant:1";

    let end = now.plus(10 * MINUTE);
    assert!(backend.insert(&key(), Bytes::from_static(b"value"), end, now).await.unwrap());
    let mut stored = 1_u64.to_be_bytes().to_vec();
    stored.extend(end.as_millis().to_be_bytes());
    stored.extend(b"value");
    assert_eq!(server.dump(), [(name.as_bytes().to_vec(), stored)]);
    for (version, life) in [(1, MINUTE), (2, 60 * MINUTE), (3, Duration::ZERO)] {
        let end = now.plus(life);
        backend.swap(&key(), Version(version), Bytes::new(), end, now).await.unwrap();
        let kept = server.time_to_live(name).expect("Redis has it, with an end");
        assert!(kept >= life, "Redis would end it after {kept:?}, its life is {life:?}");
        assert!(kept <= life + MINUTE, "Redis would keep it for {kept:?}, its life is {life:?}");
    }
}

#[tokio::test]
async fn killed_it_is_unavailable_and_started_again_it_heals() {
    let mut server = RedisServer::start();
    let backend = open(&server);
    backend.ping().await.unwrap();
    server.stop();
    assert_unavailable(&backend).await;
    assert_unavailable(&backend).await;
    server.restart();
    assert_heals(&backend).await;
}

#[tokio::test]
async fn away_at_first_it_heals_when_it_comes() {
    let mut server = RedisServer::start();
    server.stop();
    let backend = open(&server);
    assert_unavailable(&backend).await;
    server.restart();
    assert_heals(&backend).await;
}

#[cfg(unix)]
#[tokio::test]
async fn hanging_it_is_unavailable_and_going_on_it_heals() {
    let server = RedisServer::start();
    let backend = open(&server);
    backend.ping().await.unwrap();
    server.pause();
    assert_unavailable(&backend).await;
    assert_unavailable(&backend).await;
    server.resume();
    assert_heals(&backend).await;
}

/// Forwards to Redis; each connection falls silent, without breaking, when it is frozen, and breaks when an answer comes
/// that is to be swallowed.
struct Forwarder {
    url: String,
    freeze: Arc<tokio::sync::Notify>,
    swallow: Arc<AtomicBool>,
}

impl Forwarder {
    async fn start(server: &RedisServer) -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("redis://{}/", listener.local_addr().unwrap());
        let target = server.url().replace("redis://", "").replace('/', "");
        let freeze = Arc::new(tokio::sync::Notify::new());
        let frozen = Arc::clone(&freeze);
        let swallow = Arc::new(AtomicBool::new(false));
        let swallowed = Arc::clone(&swallow);
        tokio::spawn(async move {
            while let Ok((mut near, _)) = listener.accept().await {
                let mut far = tokio::net::TcpStream::connect(&target).await.unwrap();
                let (frozen, swallowed) = (Arc::clone(&frozen), Arc::clone(&swallowed));
                tokio::spawn(async move {
                    let ((mut asks, mut hears), (mut answers, mut sends)) = (near.split(), far.split());
                    let back = async {
                        let mut buffer = [0; 4096];
                        while let Ok(length @ 1..) = answers.read(&mut buffer).await {
                            if swallowed.swap(false, Ordering::Relaxed) {
                                return;
                            }
                            hears.write_all(&buffer[..length]).await.unwrap();
                        }
                    };
                    tokio::select! {
                        _ = tokio::io::copy(&mut asks, &mut sends) => {}
                        () = back => {}
                        () = frozen.notified() => std::future::pending().await,
                    }
                });
            }
        });
        Self { url, freeze, swallow }
    }
}

#[tokio::test]
async fn a_connection_that_falls_silent_is_replaced() {
    let server = RedisServer::start();
    let forwarder = Forwarder::start(&server).await;
    let backend = RedisBackend::open(&forwarder.url, PREFIX).unwrap();
    assert_heals(&backend).await;
    forwarder.freeze.notify_waiters();
    assert_unavailable(&backend).await;
    assert_heals(&backend).await;
}

#[tokio::test]
async fn a_write_is_not_lost_on_a_connection_that_died_while_it_was_idle() {
    let server = RedisServer::start();
    let forwarder = Forwarder::start(&server).await;
    let backend = RedisBackend::open(&forwarder.url, PREFIX).unwrap();
    assert_heals(&backend).await;
    forwarder.freeze.notify_waiters();
    tokio::time::pause();
    tokio::time::advance(Duration::from_secs(11)).await;
    tokio::time::resume();
    let (now, end) = (MockClock::new().now(), MockClock::new().now().plus(MINUTE));
    assert!(backend.insert(&key(), Bytes::new(), end, now).await.unwrap());
}

#[tokio::test]
async fn a_write_whose_answer_is_lost_is_never_sent_again() {
    let server = RedisServer::start();
    let forwarder = Forwarder::start(&server).await;
    let backend = RedisBackend::open(&forwarder.url, PREFIX).unwrap();
    let (now, end) = (MockClock::new().now(), MockClock::new().now().plus(MINUTE));
    let swallow = || forwarder.swallow.store(true, Ordering::Relaxed);
    // Every script is known by then.
    assert_heals(&backend).await;
    backend.swap(&key(), Version::FIRST, Bytes::new(), end, now).await.unwrap();

    swallow();
    let insert = backend.insert(&key(), Bytes::new(), end, now).await;
    assert!(matches!(insert, Err(StoreError::Unavailable(_))), "{insert:?}");
    // A connection that is there again; that a read's answer is lost is not seen.
    backend.ping().await.unwrap();
    swallow();
    assert_eq!(backend.get(&key(), now).await.unwrap().unwrap().version, Version::FIRST);
    swallow();
    let swap = backend.swap(&key(), Version::FIRST, Bytes::new(), end, now).await;
    assert!(matches!(swap, Err(StoreError::Unavailable(_))), "{swap:?}");
    assert_eq!(backend.get(&key(), now).await.unwrap().unwrap().version, Version(2));
    swallow();
    let take = backend.take(&key(), now).await;
    assert!(matches!(take, Err(StoreError::Unavailable(_))), "{take:?}");
    assert!(backend.get(&key(), now).await.unwrap().is_none());
}

#[tokio::test]
async fn a_read_is_asked_again_when_its_connection_broke() {
    let server = RedisServer::start();
    let backend = open(&server);
    assert_heals(&backend).await;
    for _ in 0..5 {
        server.query(&["CLIENT", "KILL", "TYPE", "normal"]);
        assert!(backend.get(&key(), MockClock::new().now()).await.unwrap().is_none());
        server.query(&["CLIENT", "KILL", "TYPE", "normal"]);
        backend.ping().await.unwrap();
    }
}

#[tokio::test]
async fn a_master_without_the_replicas_it_has_to_have_refuses_changes_only() {
    let server = RedisServer::start_with(|| vec!["min-replicas-to-write 1".to_owned()]);
    let backend = open(&server);
    let (now, end) = (MockClock::new().now(), MockClock::new().now().plus(MINUTE));
    let insert = backend.insert(&key(), Bytes::new(), end, now).await;
    assert!(matches!(insert, Err(StoreError::Unavailable(_))), "{insert:?}");
    assert!(backend.get(&key(), now).await.unwrap().is_none());
    backend.ping().await.unwrap();
    assert_eq!(server.dump(), []);
}

#[tokio::test]
async fn a_peer_that_never_answers_is_unavailable() {
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("redis://{}/", silent.local_addr().unwrap());
    let backend = RedisBackend::open(&url, PREFIX).unwrap();
    assert_unavailable(&backend).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_callers_do_not_storm_a_server_that_refuses_them() {
    let refusing = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("redis://{}/", refusing.local_addr().unwrap());
    let attempts = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&attempts);
    tokio::spawn(async move {
        while let Ok((connection, _)) = refusing.accept().await {
            counted.fetch_add(1, Ordering::Relaxed);
            drop(connection);
        }
    });
    let backend = Arc::new(RedisBackend::open(&url, PREFIX).unwrap());
    let begun = Instant::now();
    let mut callers = tokio::task::JoinSet::new();
    for _ in 0..20 {
        let backend = Arc::clone(&backend);
        callers.spawn(async move {
            while begun.elapsed() < Duration::from_secs(2) {
                assert!(backend.ping().await.is_err());
            }
        });
    }
    callers.join_all().await;
    // After 0, 50, 150, 350, 750, 1550 ms, and once more for those who came late.
    let attempts = attempts.load(Ordering::Relaxed);
    assert!((4..=8).contains(&attempts), "{attempts} attempts");
}

#[tokio::test]
async fn a_login_that_is_put_right_heals_and_no_text_shows_the_password() {
    let server = RedisServer::start();
    let set = |password: &str| {
        let user = ["ACL", "SETUSER", "alice", "on", "resetpass", password, "~*", "+@all"];
        assert_eq!(server.query(&user), Reply::Status("OK".to_owned()));
    };
    set(">other");
    let url = server.url().replace("redis://", "redis://alice:hunter2@");
    let backend = RedisBackend::open(&url, PREFIX).unwrap();
    assert_unavailable(&backend).await;
    let error = backend.ping().await.unwrap_err();
    assert!(!format!("{error:?} {error}").contains("hunter2"), "{error:?}");
    set(">hunter2");
    assert_heals(&backend).await;
}

#[tokio::test]
async fn forgotten_scripts_are_loaded_again() {
    let server = RedisServer::start();
    let backend = open(&server);
    assert_heals(&backend).await;
    assert_eq!(server.query(&["SCRIPT", "FLUSH"]), Reply::Status("OK".to_owned()));
    assert_heals(&backend).await;
}

#[tokio::test]
async fn what_nobody_here_wrote_is_an_error_never_a_record() {
    let server = RedisServer::start();
    let backend = open(&server);
    let (now, end) = (MockClock::new().now(), MockClock::new().now().plus(MINUTE));
    let name = "mcp-login:grant:1";

    server.query(&["RPUSH", name, "a list"]);
    let read = backend.get(&key(), now).await;
    assert!(matches!(read, Err(StoreError::Unavailable(_))), "{read:?}");
    let swap = backend.swap(&key(), Version::FIRST, Bytes::new(), end, now).await;
    assert!(matches!(swap, Err(StoreError::Unavailable(_))), "{swap:?}");
    server.query(&["DEL", name]);

    server.query(&["SET", name, "short"]);
    let damaged = |error: StoreError| assert!(matches!(error, StoreError::Damaged(_)), "{error:?}");
    damaged(backend.get(&key(), now).await.unwrap_err());
    damaged(backend.insert(&key(), Bytes::new(), end, now).await.unwrap_err());
    damaged(backend.swap(&key(), Version::FIRST, Bytes::new(), end, now).await.unwrap_err());
    damaged(backend.take(&key(), now).await.unwrap_err());
    assert_eq!(server.dump().len(), 1, "it is kept for whoever looks into it");
    assert!(backend.delete(&key(), now).await.unwrap(), "but it can be got rid of");
    assert_eq!(server.dump(), []);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_login_with_few_rights_is_enough() {
    let server = RedisServer::start();
    let rights = "resetkeys ~mcp-login:* nocommands +get +set +del +eval +evalsha +ping +client|tracking";
    let user = format!("ACL SETUSER mcp on >p@ss {rights}");
    assert_eq!(server.query(&user.split(' ').collect::<Vec<_>>()), Reply::Status("OK".to_owned()));
    let url = server.url().replace("redis://", "redis://mcp:p%40ss@");
    let backend = Arc::new(RedisBackend::open(&url, PREFIX).unwrap());
    conformance::run_serving(async || Arc::clone(&backend) as Arc<dyn Backend>).await;
    assert!(matches!(backend.list(None, 10).await, Err(StoreError::Unavailable(_))));
    let operator = ["ACL", "SETUSER", "mcp", "+scan", "+dbsize", "+info", "+config|get"];
    assert_eq!(server.query(&operator), Reply::Status("OK".to_owned()));
    conformance::run(async || Arc::clone(&backend) as Arc<dyn Backend>).await;
    assert!(backend.estimate().await.unwrap().is_some());
    assert!(backend.inspect().await.unwrap().iter().all(|finding| !finding.value.contains("not told")));
    let elsewhere = RedisBackend::open(&url, "other:").unwrap();
    outage::assert_unavailable_but_for_ping(&elsewhere, &key()).await;
}

#[tokio::test]
async fn a_listing_shows_what_is_damaged_and_what_is_of_others() {
    let server = RedisServer::start();
    // Taken as it is written, not as a pattern.
    let backend = RedisBackend::open(&server.url(), "a*[b]:").unwrap();
    let (now, end) = (MockClock::new().now(), MockClock::new().now().plus(MINUTE));
    assert!(backend.insert(&key(), Bytes::from_static(b"value"), end, now).await.unwrap());
    server.query(&["SET", "a*[b]:grant:short", "short"]);
    server.query(&["RPUSH", "a*[b]:grant:list", "a list"]);
    server.query(&["SET", "a*[b]:no key of ours", "value"]);
    server.query(&["SET", "axxb:grant:2", "of another prefix"]);
    let page = backend.list(None, 100).await.unwrap();
    assert_eq!((page.foreign, page.next), (1, None));
    let mut listed: Vec<_> = page.records.iter().map(|r| (r.key.id(), r.entry.as_ref().err())).collect();
    listed.sort_unstable();
    let (short, list) = ("it is shorter than its head", "it is of another type than a string");
    assert_eq!(listed, [("1", None), ("list", Some(&list)), ("short", Some(&short))]);
    assert_eq!(backend.estimate().await.unwrap(), Some(5), "all that is in the database");
}

#[tokio::test]
async fn an_operator_is_told_of_settings_that_lose_logins() {
    let server = RedisServer::start();
    let backend = open(&server);
    let advice = async |name: &str| {
        let findings = backend.inspect().await.unwrap();
        let finding = findings.into_iter().find(|finding| finding.name.ends_with(name)).unwrap();
        finding.advice
    };
    server.query(&["CONFIG", "SET", "appendonly", "yes"]);
    server.query(&["CONFIG", "SET", "maxmemory-policy", "allkeys-lru"]);
    assert_eq!((advice("appendonly").await, advice("maxmemory-policy").await), (None, None));
    server.query(&["CONFIG", "SET", "maxmemory", "1gb"]);
    assert!(advice("maxmemory-policy").await.unwrap().contains("set maxmemory-policy noeviction"));
    server.query(&["CONFIG", "SET", "maxmemory-policy", "noeviction"]);
    server.query(&["CONFIG", "SET", "appendonly", "no"]);
    assert_eq!(advice("maxmemory-policy").await, None);
    assert!(advice("appendonly").await.unwrap().contains("set appendonly yes"));
}

#[tokio::test]
async fn deadlines_and_connections_are_as_they_are_set() {
    let server = RedisServer::start();
    let options = StoreOptions::default().timeout(Duration::from_millis(300)).connections(3);
    let backend = RedisBackend::open_with(&server.url(), &options).unwrap();
    let (now, end) = (MockClock::new().now(), MockClock::new().now().plus(MINUTE));
    for n in 0..9 {
        assert!(backend.insert(&Key::new("n", &format!("{n}")), Bytes::new(), end, now).await.unwrap());
    }
    let clients = server.text(&["CLIENT", "LIST"]);
    // One is this question's own.
    assert_eq!(clients.lines().count(), 3 + 1, "{clients}");
    server.pause();
    let begun = Instant::now();
    assert!(matches!(backend.get(&key(), now).await, Err(StoreError::Unavailable(_))));
    let took = begun.elapsed();
    assert!(took >= Duration::from_millis(290) && took < Duration::from_millis(1_800), "it took {took:?}");
}

#[tokio::test]
async fn a_verification_is_one_round_trip_and_a_change_at_most_two() {
    let server = RedisServer::start();
    let backend = open(&server);
    let (now, end) = (MockClock::new().now(), MockClock::new().now().plus(MINUTE));
    let commands = || -> usize { server.info("stats", "total_commands_processed").parse().unwrap() };
    backend.ping().await.unwrap();
    let mut before = commands();
    // Every look at the counter is a command as well.
    let mut used = || {
        let after = commands();
        let used = after - before - 1;
        before = after;
        used
    };
    assert_eq!(used(), 0);
    assert!(backend.insert(&key(), Bytes::new(), end, now).await.unwrap());
    // EVALSHA, EVAL, and what the script itself calls: GET and SET.
    assert_eq!(used(), 4, "the script is new to it");
    backend.swap(&key(), Version::FIRST, Bytes::new(), end, now).await.unwrap();
    assert_eq!(used(), 4, "this one, too");
    backend.swap(&key(), Version(2), Bytes::new(), end, now).await.unwrap();
    assert_eq!(used(), 3, "EVALSHA with GET and SET");
    backend.get(&key(), now).await.unwrap();
    assert_eq!(used(), 1);
}
