//! What a call to a protected MCP server costs, with the cache of logins in use and without it, on each store. The middle
//! of several rounds, the two taking turns, so that what else the machine does falls on both.
//!
//! `cargo bench -p mcp-login --bench verification` (needs `redis-server`).
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stdout)]

use std::convert::Infallible;
use std::time::{Duration, Instant};

use axum::body::Body;
use axum::http::{Request, Response, StatusCode};
use axum::response::IntoResponse;
use mcp_login::settings::VerificationCache;
use mcp_login::{AuthServer, Resource, Store};
use mcp_login_testkit::browser::Browser;
use mcp_login_testkit::client::OAuthClient;
use mcp_login_testkit::redis_server::RedisServer;
use mcp_login_testkit::server::{Options, TestServer};
use tower::{Layer, Service, ServiceExt, service_fn};

const ROUNDS: usize = 15;
const ROUND: Duration = Duration::from_millis(200);
const TASKS: usize = 16;

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() {
    let (folder, redis) = (tempfile::tempdir().unwrap(), RedisServer::start());
    let file = format!("file:{}", folder.path().join("bench.db").display());
    println!("microseconds a call, the middle of {ROUNDS} rounds\n");
    println!("store    one after the other: without, with, ratio    {TASKS} at once: without, with, ratio");
    for url in ["memory:", &file, &redis.url()] {
        measure(url).await;
    }
}

/// Two servers on one store: they differ in the cache only.
async fn measure(url: &str) {
    let store = Store::open(url).await.unwrap();
    let server = TestServer::with(Options { store: store.clone(), ..Options::usual().await }).await;
    let tokens = OAuthClient::register(&server).await.log_in(&Browser::new()).await;
    let without = VerificationCache { entries: 0, ..VerificationCache::default() };
    let mut nodes = Vec::new();
    for cache in [without, VerificationCache::default()] {
        let auth = AuthServer::builder(&server.url)
            .upstream(server.upstream.oidc())
            .store(store.clone())
            .resource(Resource::new("/mcp").scopes(["mcp", "mcp:write"]))
            .verification_cache(cache)
            .build()
            .await
            .unwrap();
        nodes.push(auth);
    }
    // Until Redis tells of changes.
    tokio::time::sleep(Duration::from_millis(500)).await;
    let mut columns = Vec::new();
    for tasks in [1, TASKS] {
        let mut taken = [Vec::new(), Vec::new()];
        for _ in 0..=ROUNDS {
            for (node, taken) in nodes.iter().zip(&mut taken) {
                taken.push(round(node, &tokens.access, tasks).await);
            }
        }
        let [without, with] = taken.map(middle);
        columns.push(format!("{without:8.1} {with:8.1} {:8.1}", without / with));
    }
    let name = url.split(':').next().unwrap();
    println!("{name:8} {:>38}    {:>38}", columns[0], columns[1]);
}

/// Microseconds a call.
async fn round(node: &AuthServer, token: &str, tasks: usize) -> f64 {
    let begun = Instant::now();
    let mut running = tokio::task::JoinSet::new();
    for _ in 0..tasks {
        let served = service_fn(async |_: Request<Body>| Ok::<_, Infallible>(StatusCode::OK.into_response()));
        let (mut service, token) = (node.protect("/mcp").unwrap().layer(served), format!("Bearer {token}"));
        running.spawn(async move {
            let mut calls = 0_u32;
            while begun.elapsed() < ROUND {
                let request = Request::post("/mcp").header("authorization", &token).body(Body::empty());
                let answer: Response<_> =
                    service.ready().await.unwrap().call(request.unwrap()).await.unwrap();
                assert_eq!(answer.status(), StatusCode::OK);
                calls += 1;
                if calls.is_multiple_of(64) {
                    tokio::task::yield_now().await;
                }
            }
            calls
        });
    }
    let calls: u32 = running.join_all().await.into_iter().sum();
    begun.elapsed().as_secs_f64() * 1e6 / f64::from(calls)
}

/// The first round is for warming up.
fn middle(mut rounds: Vec<f64>) -> f64 {
    rounds.remove(0);
    rounds.sort_by(f64::total_cmp);
    rounds[rounds.len() / 2]
}
