//! What one gateway can do, and what it costs: calls, refreshes and whole logins through the built program, on the embedded
//! store and on Redis. It counts processor time of the gateway's own process, and of Redis: that stays the same on a machine
//! that does other things, too. Answers a second are told beside it.
//!
//! `cargo bench -p mcp-login-gateway --bench capacity` (Linux; needs `redis-server`).
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stdout, missing_docs)]

use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use axum::Router;
use axum::routing::post;
use futures_util::future::join_all;
use mcp_login_testkit::browser::Browser;
use mcp_login_testkit::client::{OAuthClient, Tokens};
use mcp_login_testkit::clock::MockClock;
use mcp_login_testkit::fake_upstream::FakeUpstream;
use mcp_login_testkit::redis_server::RedisServer;
use mcp_login_testkit::server::TestServer;
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::sync::Mutex;

/// How long each thing is done.
const ROUND: Duration = Duration::from_secs(4);
/// How many do it at once.
const TASKS: usize = 32;
/// How many logins the size of one is measured by.
const LOGINS: usize = 2_048;

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() {
    println!("{TASKS} at once; microseconds of processor time for each\n");
    println!("{:<7}{:<20}{:>10}{:>14}{:>12}", "store", "what", "a second", "gateway us", "Redis us");
    let redis = RedisServer::start_with(|| vec!["appendonly yes".to_owned()]);
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("bench.db");
    measure("file", &format!("file:{}", file.display()), None).await;
    println!("       the file: {} MiB", std::fs::metadata(&file).unwrap().len() >> 20);
    measure("redis", &redis.url(), Some(&redis)).await;
}

async fn measure(name: &str, store: &str, redis: Option<&RedisServer>) {
    let server = TestServer {
        url: format!("http://127.0.0.1:{}", free_port()),
        clock: MockClock::new(),
        upstream: FakeUpstream::start().await,
    };
    let gateway = Gateway::start(&server, store, "", "").await;
    let meter = Meter { store: name, gateway: &gateway, redis };
    let client = OAuthClient::register(&server).await;
    let tokens = client.log_in(&Browser::new()).await;
    meter.run("call, token known", async |_| call(&client, &tokens).await).await;

    let refreshing =
        join_all((0..TASKS).map(async |_| Mutex::new(client.log_in(&Browser::new()).await))).await;
    let refresh = async |task: usize| {
        let mut held = refreshing[task].lock().await;
        *held = Tokens::read(client.refresh(&held.refresh, &[]).await).await;
    };
    meter.run("refresh", refresh).await;
    let browsers: Vec<_> = (0..TASKS).map(|_| Browser::new()).collect();
    meter.run("whole login", async |task| drop(client.log_in(&browsers[task]).await)).await;

    let (memory, in_redis) = (gateway.resident(), redis.map(used_memory));
    let mut logins = Vec::new();
    for _ in 0..LOGINS / TASKS {
        logins.extend(join_all(browsers.iter().map(|browser| client.log_in(browser))).await);
    }
    for tokens in &logins {
        call(&client, tokens).await;
    }
    let each = gateway.resident().saturating_sub(memory) / LOGINS as u64;
    println!("       memory of the gateway: {} MiB, and {each} bytes for each login in use", memory >> 20);
    if let (Some(before), Some(redis)) = (in_redis, redis) {
        println!("       memory of Redis: {} bytes a login", (used_memory(redis) - before) / LOGINS as u64);
    }
    // The same address, and the same service: logins are for them.
    drop(gateway);
    let gateway = Gateway::start(&server, store, "cache_entries = 0", "").await;
    let meter = Meter { store: name, gateway: &gateway, redis };
    meter.run("call, token unknown", async |_| call(&client, &logins[0]).await).await;
    drop(gateway);
    // What else the machine does falls on both.
    for _ in 0..3 {
        for (what, more) in [("call, no assertion", ""), ("call, assertion", "assertion = true\n")] {
            let gateway = Gateway::start(&server, store, "", more).await;
            let meter = Meter { store: name, gateway: &gateway, redis };
            meter.run(what, async |_| call(&client, &logins[0]).await).await;
        }
    }
}

async fn call(client: &OAuthClient, tokens: &Tokens) {
    let answer = client.call("/mcp", &tokens.access).await;
    assert_eq!(answer.status(), 200);
    answer.bytes().await.unwrap();
}

/// The built program, and an MCP server behind it.
struct Gateway {
    program: Child,
    _folder: TempDir,
}

impl Gateway {
    async fn start(server: &TestServer, store: &str, of_store: &str, of_mcp: &str) -> Self {
        let backend = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mcp = format!("http://{}/mcp", backend.local_addr().unwrap());
        let answer = r#"{"jsonrpc":"2.0","id":1,"result":{"content":[{"type":"text","text":"me"}]}}"#;
        let json = [("content-type", "application/json")];
        let router = Router::new().route("/mcp", post(async move || (json, answer)));
        tokio::spawn(async move { axum::serve(backend, router).await });

        let (url, upstream) = (&server.url, &server.upstream);
        let listen = url.trim_start_matches("http://");
        let folder = tempfile::tempdir().unwrap();
        let config = format!(
            "public_url = {url:?}\nlisten = {listen:?}\n[store]\nurl = {store:?}\n{of_store}\n[upstream]\n\
             provider = \"oidc\"\nissuer = {:?}\nclient_id = {:?}\nclient_secret = {:?}\n[[mcp]]\npath = \"/mcp\"\n\
             backend = {mcp:?}\nscopes = [\"mcp\", \"mcp:write\"]\n{of_mcp}",
            upstream.issuer(),
            upstream.client_id(),
            upstream.client_secret(),
        );
        std::fs::write(folder.path().join("mcp-login.toml"), config).unwrap();
        let program = Command::new(env!("CARGO_BIN_EXE_mcp-login"))
            .arg("serve")
            .current_dir(folder.path())
            .env("RUST_LOG", "warn")
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        let begun = Instant::now();
        while reqwest::get(format!("{}/readyz", server.url)).await.map_or(0, |a| a.status().as_u16()) != 200 {
            assert!(begun.elapsed() < Duration::from_secs(10), "the gateway does not start");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        Self { program, _folder: folder }
    }

    /// Processor time so far, in microseconds.
    fn processor(&self) -> f64 {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.program.id())).unwrap();
        let fields: Vec<&str> = stat.rsplit(')').next().unwrap().split_whitespace().collect();
        // utime and stime, in hundredths of a second.
        (fields[11].parse::<f64>().unwrap() + fields[12].parse::<f64>().unwrap()) * 10_000.0
    }

    /// Memory, in bytes.
    fn resident(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.program.id())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
        line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() * 1024
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        let _ = self.program.kill();
        let _ = self.program.wait();
    }
}

fn free_port() -> u16 {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

struct Meter<'a> {
    store: &'a str,
    gateway: &'a Gateway,
    redis: Option<&'a RedisServer>,
}

impl Meter<'_> {
    /// Does one thing again and again, as many at once as there are tasks.
    async fn run(&self, what: &str, step: impl AsyncFn(usize)) {
        step(0).await;
        let (begun, gateway, redis) = (Instant::now(), self.gateway.processor(), self.redis.map(processor));
        let done = join_all((0..TASKS).map(async |task| {
            let mut done = 0_u32;
            while begun.elapsed() < ROUND {
                step(task).await;
                done += 1;
            }
            done
        }))
        .await;
        let done = f64::from(done.into_iter().sum::<u32>());
        let a_second = done / begun.elapsed().as_secs_f64();
        let gateway = (self.gateway.processor() - gateway) / done;
        let redis = self.redis.zip(redis).map(|(redis, before)| (processor(redis) - before) / done);
        let redis = redis.map_or_else(String::new, |redis| format!("{redis:.0}"));
        println!("{:<7}{what:<20}{a_second:>10.0}{gateway:>14.0}{redis:>12}", self.store);
    }
}

/// Processor time of Redis so far, in microseconds.
fn processor(redis: &RedisServer) -> f64 {
    ["used_cpu_user", "used_cpu_sys"]
        .map(|name| redis.info("cpu", name).parse::<f64>().unwrap())
        .iter()
        .sum::<f64>()
        * 1e6
}

fn used_memory(redis: &RedisServer) -> u64 {
    redis.info("memory", "used_memory").parse().unwrap()
}
