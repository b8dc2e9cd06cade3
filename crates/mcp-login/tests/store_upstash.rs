//! The store in Upstash: the contract of every store, and what requests over a network add to it. Upstash itself is a
//! front with its REST interface before a real Redis. Needs `redis-server`.
#![cfg(all(feature = "redis", feature = "upstash"))]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod outage;

use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use bytes::Bytes;
use mcp_login::core::Timestamp;
use mcp_login::store::backend::{Backend, Key, StoreError, Swap, Version};
use mcp_login::store::options::StoreOptions;
use mcp_login::store::redis::RedisBackend;
use mcp_login::store::watch::{Coherence, Watcher};
use mcp_login::store::{conformance, upstash::UpstashBackend};
use mcp_login_testkit::redis_server::{RedisServer, Reply};
use mcp_login_testkit::upstash_front::{Fault, UpstashFront};
use outage::{assert_returns, end, now};

const PREFIX: &str = "mcp-login:";
const MINUTE: Duration = Duration::from_secs(60);

/// Redis, Upstash before it, and the store there.
struct Upstash {
    redis: RedisServer,
    front: UpstashFront,
    backend: Arc<UpstashBackend>,
}

impl Upstash {
    fn start() -> Self {
        Self::start_with(&StoreOptions::default())
    }

    fn start_with(options: &StoreOptions) -> Self {
        let redis = RedisServer::start();
        let front = UpstashFront::start(&redis);
        let backend = Arc::new(UpstashBackend::open_with(&front.url(), options).unwrap());
        Self { redis, front, backend }
    }

    /// Another node.
    fn open(&self) -> UpstashBackend {
        UpstashBackend::open_with(&self.front.url(), &StoreOptions::default()).unwrap()
    }

    /// By the protocol of Redis, which Upstash speaks as well.
    fn by_redis(&self) -> RedisBackend {
        RedisBackend::open(&self.redis.url(), PREFIX).unwrap()
    }

    async fn assert_unavailable(&self) {
        outage::assert_unavailable(&*self.backend, &key()).await;
    }

    /// How many requests there were since the last look.
    fn asked(&self) -> usize {
        self.front.requests().len()
    }
}

fn key() -> Key {
    Key::new("grant", "0123456789abcdef")
}

/// What a log would show of why it is unavailable: nothing of the token, the key or a record.
fn unavailable<T: std::fmt::Debug>(answered: Result<T, StoreError>) -> String {
    let Err(error @ StoreError::Unavailable(_)) = answered else { panic!("{answered:?}") };
    let shown = format!("{error:?}");
    for secret in ["token", "http-auth", "0123456789", "record of a login", "7265636f7264206f66"] {
        let harmless = shown.replace("the token of the store's URL", "").replace("the REST token", "");
        assert!(!harmless.contains(secret), "{shown}");
    }
    let StoreError::Unavailable(why) = error else { panic!("{shown}") };
    why.to_string()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn conforms() {
    let upstash = Upstash::start();
    conformance::run(async || Arc::clone(&upstash.backend) as Arc<dyn Backend>).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_user_with_few_rights_is_enough() {
    let upstash = Upstash::start();
    let rights = "resetkeys ~mcp-login:* nocommands +get +set +del +eval +evalsha +ping";
    let user = format!("ACL SETUSER default {rights}");
    assert_eq!(upstash.redis.query(&user.split(' ').collect::<Vec<_>>()), Reply::Status("OK".to_owned()));
    conformance::run_serving(async || Arc::clone(&upstash.backend) as Arc<dyn Backend>).await;
    assert!(unavailable(upstash.backend.list(None, 10).await).contains("NOPERM"));
}

/// Never told anything.
#[derive(Debug)]
struct Nobody;

impl Watcher for Nobody {
    fn changed(&self, _: &str) {}
    fn all_changed(&self) {}
    fn confirmed(&self, _: Instant) {}
    fn lost(&self) {}
}

#[tokio::test]
async fn changes_are_not_told() {
    let nobody: Weak<Nobody> = Weak::new();
    assert_eq!(Upstash::start().backend.watch("grant", nobody), Coherence::None);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn two_nodes_race_fairly_by_more_requests_than_connections() {
    let upstash = Upstash::start();
    let nodes = [Arc::clone(&upstash.backend), Arc::new(upstash.open())];
    assert!(nodes[0].insert(&key(), Bytes::new(), end(), now()).await.unwrap());
    let mut tasks = tokio::task::JoinSet::new();
    for n in 0..200 {
        let node = Arc::clone(&nodes[n % 2]);
        tasks.spawn(
            async move { node.swap(&key(), Version::FIRST, Bytes::new(), end(), now()).await.unwrap() },
        );
    }
    let done = tasks.join_all().await.into_iter().filter(|swap| *swap == Swap::Done(Version(2)));
    assert_eq!(done.count(), 1);
}

#[tokio::test]
async fn a_record_is_the_same_by_rest_and_by_the_protocol_of_redis() {
    let upstash = Upstash::start();
    let (rest, redis) = (&*upstash.backend, upstash.by_redis());
    let every_byte: Bytes = (0..=u8::MAX).collect();
    for (writer, reader) in [(rest as &dyn Backend, &redis as &dyn Backend), (&redis, rest)] {
        assert!(writer.insert(&key(), every_byte.clone(), end(), now()).await.unwrap());
        let mut stored = 1_u64.to_be_bytes().to_vec();
        stored.extend(end().as_millis().to_be_bytes());
        stored.extend(&every_byte);
        let name = b"mcp-login:grant:0123456789abcdef".to_vec();
        assert_eq!(upstash.redis.dump(), [(name, stored)]);
        let entry = reader.get(&key(), now()).await.unwrap().unwrap();
        assert_eq!((entry.version, entry.expires_at, &entry.value), (Version::FIRST, end(), &every_byte));
        assert!(!reader.insert(&key(), Bytes::new(), end(), now()).await.unwrap());
        let swap = reader.swap(&key(), Version::FIRST, Bytes::from_static(b"new"), end(), now()).await;
        assert_eq!(swap.unwrap(), Swap::Done(Version(2)));
        assert_eq!(writer.list(None, 10).await.unwrap(), reader.list(None, 10).await.unwrap());
        assert_eq!(writer.take(&key(), now()).await.unwrap().unwrap().value, "new");
        assert_eq!(upstash.redis.dump(), []);
    }
}

#[tokio::test]
async fn redis_keeps_a_record_longer_than_it_lives() {
    let upstash = Upstash::start();
    let name = "mcp-login:grant:0123456789abcdef";
    assert!(upstash.backend.insert(&key(), Bytes::new(), end(), now()).await.unwrap());
    for (version, life) in [(1, MINUTE), (2, 60 * MINUTE), (3, Duration::ZERO)] {
        let end = now().plus(life);
        upstash.backend.swap(&key(), Version(version), Bytes::new(), end, now()).await.unwrap();
        let kept = upstash.redis.time_to_live(name).expect("Redis has it, with an end");
        assert!(kept >= life && kept <= life + MINUTE, "it would keep it for {kept:?}, its life is {life:?}");
    }
    let for_ever = Timestamp::from_millis(u64::MAX);
    assert!(
        upstash.backend.insert(&key(), Bytes::new(), for_ever, now()).await.unwrap(),
        "over the ended one"
    );
    assert_eq!(upstash.redis.time_to_live(name), None);
}

#[tokio::test]
async fn gone_it_is_unavailable_and_back_it_heals() {
    let mut upstash = Upstash::start();
    upstash.backend.ping().await.unwrap();
    upstash.front.stop();
    upstash.assert_unavailable().await;
    upstash.assert_unavailable().await;
    assert!(unavailable(upstash.backend.ping().await).contains("cannot be reached"));
    upstash.front.restart();
    assert_returns(&*upstash.backend).await;
}

#[tokio::test]
async fn a_write_is_not_lost_on_a_connection_that_the_other_side_has_closed() {
    let mut upstash = Upstash::start();
    for n in 0..5 {
        let key = Key::new("grant", &format!("{n}"));
        assert!(upstash.backend.insert(&key, Bytes::new(), end(), now()).await.unwrap());
        upstash.front.restart();
        // The runtime has to be told of the end, as it always is where others run beside.
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn away_at_first_it_heals_when_it_comes() {
    let redis = RedisServer::start();
    let mut front = UpstashFront::start(&redis);
    front.stop();
    let backend = Arc::new(UpstashBackend::open_with(&front.url(), &StoreOptions::default()).unwrap());
    outage::assert_unavailable(&*backend, &key()).await;
    front.restart();
    assert_returns(&*backend).await;
}

#[tokio::test]
async fn a_database_that_is_away_behind_upstash_is_unavailable() {
    let mut upstash = Upstash::start();
    upstash.redis.stop();
    upstash.assert_unavailable().await;
    upstash.redis.restart();
    assert_returns(&*upstash.backend).await;
}

#[cfg(unix)]
#[tokio::test]
async fn a_database_that_hangs_behind_upstash_is_unavailable() {
    let upstash = Upstash::start();
    upstash.backend.ping().await.unwrap();
    upstash.redis.pause();
    upstash.assert_unavailable().await;
    upstash.redis.resume();
    assert_returns(&*upstash.backend).await;
}

#[tokio::test]
async fn hanging_it_is_unavailable_in_time_and_going_on_it_heals() {
    let options = StoreOptions::default().timeout(Duration::from_millis(300));
    let upstash = Upstash::start_with(&options);
    upstash.backend.ping().await.unwrap();
    upstash.front.fail(Fault::Hang);
    upstash.assert_unavailable().await;
    let begun = Instant::now();
    let why = unavailable(upstash.backend.get(&key(), now()).await);
    let took = begun.elapsed();
    assert!(took >= Duration::from_millis(290) && took < Duration::from_millis(1_800), "it took {took:?}");
    assert!(why.contains("in time"), "{why}");
    upstash.front.heal();
    assert_returns(&*upstash.backend).await;
}

#[tokio::test]
async fn an_address_where_nobody_answers_is_given_up_in_time() {
    // Its backlog is full after one connection, so that others are not made.
    let socket = tokio::net::TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let listener = socket.listen(0).unwrap();
    let address = listener.local_addr().unwrap();
    let _full = tokio::net::TcpStream::connect(address).await.unwrap();
    let options = StoreOptions::default().connect_timeout(Duration::from_millis(200));
    let url = format!("upstash+http://t@{address}");
    let backend = UpstashBackend::open_with(&url, &options).unwrap();
    let begun = Instant::now();
    unavailable(backend.ping().await);
    // Three attempts and the pauses between them.
    assert!(begun.elapsed() < Duration::from_secs(4), "it took {:?}", begun.elapsed());
}

#[tokio::test]
async fn a_write_whose_answer_is_lost_is_never_sent_again() {
    let upstash = Upstash::start();
    let (backend, front) = (&*upstash.backend, &upstash.front);
    // Every script is known by then.
    assert_returns(backend).await;
    backend.swap(&key(), Version::FIRST, Bytes::new(), end(), now()).await.unwrap();
    upstash.asked();

    front.fail_once(Fault::LoseAnswer);
    let why = unavailable(backend.insert(&key(), Bytes::new(), end(), now()).await);
    assert!(why.contains("broke"), "{why}");
    assert_eq!(upstash.asked(), 1);
    assert_eq!(backend.get(&key(), now()).await.unwrap().unwrap().version, Version::FIRST);
    upstash.asked();

    front.fail_once(Fault::LoseAnswer);
    unavailable(backend.swap(&key(), Version::FIRST, Bytes::new(), end(), now()).await);
    assert_eq!(upstash.asked(), 1);
    assert_eq!(backend.get(&key(), now()).await.unwrap().unwrap().version, Version(2));
    upstash.asked();

    front.fail_once(Fault::LoseAnswer);
    unavailable(backend.take(&key(), now()).await);
    assert_eq!(upstash.asked(), 1);
    assert!(backend.get(&key(), now()).await.unwrap().is_none());
}

#[tokio::test]
async fn a_write_that_is_answered_with_a_failure_is_never_sent_again() {
    let upstash = Upstash::start();
    for code in [429, 500, 502, 503, 504, 408, 404, 418] {
        upstash.front.fail(Fault::Status(code));
        let why = unavailable(upstash.backend.insert(&key(), Bytes::new(), end(), now()).await);
        assert!(why.contains(&code.to_string()), "{why}");
        assert_eq!(upstash.asked(), 1, "{code}");
    }
    for answer in ["", "<html>", "{}", "[]", r#"{"result":"MQ=="}"#, r#"{"result":{}}"#, r#"{"result":1.5}"#]
    {
        upstash.front.fail(Fault::Answer(answer.to_owned()));
        let why = unavailable(upstash.backend.insert(&key(), Bytes::new(), end(), now()).await);
        assert!(why.contains("cannot be understood"), "{answer} gave {why}");
        assert_eq!(upstash.asked(), 1, "{answer}");
    }
}

#[tokio::test]
async fn a_read_is_asked_again_but_not_without_end() {
    let upstash = Upstash::start();
    let get = async || upstash.backend.get(&key(), now()).await;
    for fault in [Fault::LoseAnswer, Fault::Status(503)] {
        upstash.front.fail_once(fault.clone());
        assert_eq!(get().await.unwrap(), None);
        assert_eq!(upstash.asked(), 2, "{fault:?}");
        upstash.front.fail(fault);
        unavailable(get().await);
        assert_eq!(upstash.asked(), 3);
        upstash.front.heal();
    }
    upstash.front.fail(Fault::Status(429));
    unavailable(get().await);
    assert_eq!(upstash.asked(), 1, "asking again makes it worse");
}

#[tokio::test]
async fn an_answer_without_end_is_refused() {
    let upstash = Upstash::start();
    let large = format!(r#"{{"result":"{}"}}"#, "A".repeat(16 * 1024 * 1024));
    upstash.front.fail(Fault::Answer(large));
    let why = unavailable(upstash.backend.get(&key(), now()).await);
    assert!(why.contains("larger than any honest one"), "{why}");
}

#[tokio::test]
async fn the_token_is_not_sent_where_a_redirect_points() {
    let upstash = Upstash::start();
    let other = UpstashFront::start(&upstash.redis);
    upstash.front.fail(Fault::Redirect(other.rest_url()));
    let why = unavailable(upstash.backend.get(&key(), now()).await);
    assert!(why.contains("not followed") && why.contains("307"), "{why}");
    assert_eq!(other.requests(), []);
}

#[tokio::test]
async fn a_wrong_token_is_said_in_words() {
    let upstash = Upstash::start();
    let url = upstash.front.url().replace("tests", "hunter2");
    let backend = UpstashBackend::open_with(&url, &StoreOptions::default()).unwrap();
    outage::assert_unavailable(&backend, &key()).await;
    let why = unavailable(backend.get(&key(), now()).await);
    assert!(why.contains("does not accept the token") && !why.contains("hunter2"), "{why}");
}

#[tokio::test]
async fn a_refusal_of_redis_is_said_without_what_was_sent() {
    let upstash = Upstash::start();
    let record = Bytes::from_static(b"record of a login");
    for (rights, code) in [("-evalsha", "NOPERM"), ("+evalsha resetkeys ~other:*", "NOPERM")] {
        let user = format!("ACL SETUSER default {rights}");
        assert_eq!(upstash.redis.query(&user.split(' ').collect::<Vec<_>>()), Reply::Status("OK".to_owned()));
        let why = unavailable(upstash.backend.insert(&key(), record.clone(), end(), now()).await);
        assert!(why.contains(code), "{why}");
    }
    upstash.redis.query(&["ACL", "SETUSER", "default", "-dbsize", "allkeys"]);
    assert_eq!(upstash.backend.estimate().await.unwrap(), None);
    // The database is full.
    upstash.redis.query(&["CONFIG", "SET", "maxmemory", "1"]);
    let why = unavailable(upstash.backend.insert(&key(), record, end(), now()).await);
    assert!(why.contains("OOM"), "{why}");
}

#[tokio::test]
async fn forgotten_scripts_are_sent_again() {
    let upstash = Upstash::start();
    assert!(upstash.backend.insert(&key(), Bytes::new(), end(), now()).await.unwrap());
    upstash.redis.query(&["SCRIPT", "FLUSH"]);
    upstash.asked();
    assert!(!upstash.backend.insert(&key(), Bytes::new(), end(), now()).await.unwrap());
    let names: Vec<String> = upstash.front.requests().into_iter().flat_map(|asked| asked.commands).collect();
    assert_eq!(names, ["EVALSHA", "EVAL"]);
    assert_eq!(upstash.backend.take(&key(), now()).await.unwrap().unwrap().value, "");
}

#[tokio::test]
async fn prefixes_keep_stores_apart() {
    let upstash = Upstash::start();
    let options = StoreOptions::default().key_prefix("other:");
    let other = UpstashBackend::open_with(&upstash.front.url(), &options).unwrap();
    assert!(upstash.backend.insert(&key(), Bytes::new(), end(), now()).await.unwrap());
    assert!(other.insert(&key(), Bytes::new(), end(), now()).await.unwrap());
    assert!(other.delete(&key(), now()).await.unwrap());
    assert!(upstash.backend.get(&key(), now()).await.unwrap().is_some());
}

#[tokio::test]
async fn what_is_no_record_is_damaged() {
    let upstash = Upstash::start();
    let (backend, name) = (&*upstash.backend, "mcp-login:grant:0123456789abcdef");
    // What Upstash says as it is even where it encodes is a value as well.
    for short in ["", "OK", "short", "fifteen bytes.."] {
        upstash.redis.query(&["SET", name, short]);
        let damaged = |error: StoreError| assert!(matches!(error, StoreError::Damaged(_)), "{error:?}");
        damaged(backend.get(&key(), now()).await.unwrap_err());
        damaged(backend.insert(&key(), Bytes::new(), end(), now()).await.unwrap_err());
        damaged(backend.swap(&key(), Version::FIRST, Bytes::new(), end(), now()).await.unwrap_err());
        damaged(backend.take(&key(), now()).await.unwrap_err());
        assert_eq!(upstash.redis.dump().len(), 1, "it is kept for whoever looks into it");
        assert!(backend.delete(&key(), now()).await.unwrap(), "but it can be got rid of");
    }
    upstash.redis.query(&["RPUSH", name, "a list"]);
    assert!(unavailable(backend.get(&key(), now()).await).contains("WRONGTYPE"));
}

#[tokio::test]
async fn a_listing_shows_what_is_damaged_and_what_is_of_others() {
    // Taken as it is written, not as a pattern.
    let upstash = Upstash::start_with(&StoreOptions::default().key_prefix("a*[b]:"));
    let (redis, backend) = (&upstash.redis, &*upstash.backend);
    assert!(backend.insert(&key(), Bytes::from_static(b"value"), end(), now()).await.unwrap());
    redis.query(&["SET", "a*[b]:grant:short", "short"]);
    redis.query(&["RPUSH", "a*[b]:grant:list", "a list"]);
    redis.query(&["SET", "a*[b]:no key of ours", "value"]);
    redis.query(&[b"SET".as_slice(), b"a*[b]:grant:\xff\xfe", b"no text"]);
    redis.query(&["SET", "axxb:grant:2", "of another prefix"]);
    let page = backend.list(None, 100).await.unwrap();
    assert_eq!((page.foreign, page.next), (2, None));
    let mut listed: Vec<_> = page.records.iter().map(|r| (r.key.id(), r.entry.as_ref().err())).collect();
    listed.sort_unstable();
    let (short, list) = ("it is shorter than its head", "it is of another type than a string");
    assert_eq!(listed, [("0123456789abcdef", None), ("list", Some(&list)), ("short", Some(&short))]);
    assert_eq!(backend.estimate().await.unwrap(), Some(6), "all that is in the database");
}

#[tokio::test]
async fn a_page_of_a_listing_is_two_requests() {
    let upstash = Upstash::start();
    for n in 0..100 {
        let key = Key::new("grant", &format!("{n}"));
        assert!(upstash.backend.insert(&key, Bytes::new(), end(), now()).await.unwrap());
    }
    upstash.asked();
    assert_eq!(upstash.backend.list(None, 1000).await.unwrap().records.len(), 100);
    let requests = upstash.front.requests();
    let paths: Vec<_> = requests.iter().map(|asked| (asked.path.as_str(), asked.commands.len())).collect();
    assert_eq!(paths, [("/", 1), ("/pipeline", 100)]);
}

#[tokio::test]
async fn a_verification_is_one_request_and_a_change_at_most_two() {
    let upstash = Upstash::start();
    let backend = &*upstash.backend;
    assert!(backend.insert(&key(), Bytes::new(), end(), now()).await.unwrap());
    assert_eq!(upstash.asked(), 2, "the script is new to it");
    backend.swap(&key(), Version::FIRST, Bytes::new(), end(), now()).await.unwrap();
    assert_eq!(upstash.asked(), 2, "this one, too");
    backend.swap(&key(), Version(2), Bytes::new(), end(), now()).await.unwrap();
    assert_eq!(upstash.asked(), 1);
    backend.get(&key(), now()).await.unwrap();
    assert_eq!(upstash.asked(), 1);
}

#[tokio::test]
async fn a_node_reads_what_it_has_written_though_replicas_lag() {
    let upstash = Upstash::start();
    upstash.front.lag();
    for n in 0..5 {
        let key = Key::new("grant", &format!("{n}"));
        assert!(upstash.backend.insert(&key, Bytes::new(), end(), now()).await.unwrap());
        assert!(upstash.backend.get(&key, now()).await.unwrap().is_some(), "it has seen its own write");
        // Nobody can promise that to others; but what they change is decided where it was written.
        let other = upstash.open();
        assert!(other.get(&key, now()).await.unwrap().is_none());
        assert!(!other.insert(&key, Bytes::new(), end(), now()).await.unwrap());
        upstash.backend.swap(&key, Version(9), Bytes::new(), end(), now()).await.unwrap();
    }
}

#[tokio::test]
async fn an_operator_is_told_what_rest_cannot_tell() {
    let findings = Upstash::start().backend.inspect().await.unwrap();
    let [finding] = findings.as_slice() else { panic!("{findings:?}") };
    assert!(finding.name.ends_with("Eviction") && !finding.name.contains("token"), "{finding:?}");
    assert!(finding.value.contains("that it is off") && finding.advice.is_none(), "{finding:?}");
}
