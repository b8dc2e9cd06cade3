//! One measurement of one engine, in a process of its own: it prints its figures as one line of JSON.

use std::io::Write;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use mcp_login_core::Timestamp;
use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::engines::{Fjall, Heed, Redb, Sqlite};
use crate::records::{Grants, NOW, REFRESH_LIFETIME, id, mix};
use crate::store::{Grouped, Shipped, Store};

/// What one phase needs to know.
#[derive(Clone)]
pub struct Task {
    pub records: u64,
    pub round: u64,
    pub seconds: f64,
}

/// As mcp-login takes out at least.
const SWEEP_STEP: usize = 100;

fn open(engine: &str, folder: &Path) -> Result<Arc<dyn Store>> {
    let redb = |quick_repair, cache, step| -> Result<Arc<dyn Store>> {
        Ok(Arc::new(Grouped::new(Arc::new(Redb::open(folder, quick_repair, cache)?), step)))
    };
    Ok(match engine {
        "redb" => Arc::new(Shipped::open(folder)?),
        "redb-same" => redb(true, 1, SWEEP_STEP)?,
        "redb-full-repair" => redb(false, 1, SWEEP_STEP)?,
        "redb-cache-x4" => redb(true, 4, SWEEP_STEP)?,
        "redb-sweep-25" => redb(true, 1, 25)?,
        "redb-sweep-400" => redb(true, 1, 400)?,
        "redb-sweep-1600" => redb(true, 1, 1600)?,
        "fjall" => Arc::new(Grouped::new(Arc::new(Fjall::open(folder)?), SWEEP_STEP)),
        "sqlite" => Arc::new(Grouped::new(Arc::new(Sqlite::open(folder)?), SWEEP_STEP)),
        "heed" => Arc::new(Grouped::new(Arc::new(Heed::open(folder)?), SWEEP_STEP)),
        other => bail!("no engine {other}"),
    })
}

pub async fn run(engine: &str, phase: &str, folder: &Path, task: &Task) -> Result<Value> {
    let grants = Arc::new(Grants::make()?);
    let begun = Instant::now();
    let store = open(engine, folder)?;
    // Whether it is open shows when it answers.
    store.get(&id(0), NOW).await?;
    let opened = begun.elapsed();
    let figures = match phase {
        "fill" => fill(&store, &grants, task).await?,
        "open" => open_and_read(&store, task, opened).await?,
        "write" => write_for_ever(&store, &grants, task).await?,
        "sweep" => sweep(&store, &grants, task).await?,
        "churn" => churn(&store, &grants, folder, task).await?,
        operation => {
            let (operation, callers) = operation.split_once('-').context("operation-callers")?;
            operate(&store, &grants, operation, callers.parse()?, task).await?
        }
    };
    drop(store);
    Ok(figures)
}

/// Memory of this process that is no file's.
fn private_memory() -> Result<f64> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:")).context("RssAnon")?;
    Ok(line.trim().trim_end_matches(" kB").parse::<f64>()? / 1024.0)
}

fn end(number: u64) -> Timestamp {
    // Logins end in about the order in which they began.
    NOW.plus(REFRESH_LIFETIME).plus(Duration::from_millis(number * 8_000))
}

/// Puts the first `records` grants in, as many callers at once as one commit holds.
async fn fill(store: &Arc<dyn Store>, grants: &Arc<Grants>, task: &Task) -> Result<Value> {
    let begun = Instant::now();
    insert_all(store, grants, 0..task.records, |number| (end(number), NOW)).await?;
    Ok(json!({ "fill_s": begun.elapsed().as_secs_f64() }))
}

async fn insert_all(
    store: &Arc<dyn Store>,
    grants: &Arc<Grants>,
    numbers: std::ops::Range<u64>,
    times: impl Fn(u64) -> (Timestamp, Timestamp) + Send + Sync + Copy + 'static,
) -> Result<()> {
    let next = Arc::new(AtomicU64::new(numbers.start));
    let mut callers = JoinSet::new();
    for _ in 0..512 {
        let (store, grants, next, last) =
            (Arc::clone(store), Arc::clone(grants), Arc::clone(&next), numbers.end);
        callers.spawn(async move {
            loop {
                let number = next.fetch_add(1, Ordering::Relaxed);
                if number >= last {
                    return Ok(());
                }
                let (end, now) = times(number);
                store.insert(&id(number), grants.refreshed(number), end, now).await?;
            }
        });
    }
    callers.join_all().await.into_iter().collect()
}

async fn open_and_read(store: &Arc<dyn Store>, task: &Task, opened: Duration) -> Result<Value> {
    for number in 0..20_000 {
        store.get(&id(mix(number) % task.records), NOW).await?;
    }
    Ok(json!({ "open_ms": opened.as_secs_f64() * 1e3, "memory_mb": private_memory()? }))
}

/// Refreshes and inserts until it is killed.
async fn write_for_ever(store: &Arc<dyn Store>, grants: &Arc<Grants>, task: &Task) -> Result<Value> {
    let mut callers = JoinSet::new();
    let written = Arc::new(AtomicU64::new(0));
    for caller in 0..16 {
        let (store, grants, task) = (Arc::clone(store), Arc::clone(grants), task.clone());
        let written = Arc::clone(&written);
        callers.spawn(async move {
            for step in 0_u64.. {
                let number = mix(task.round << 40 | caller << 32 | step) % task.records;
                store
                    .refresh(
                        &id(number),
                        grants.refreshed(step),
                        end(number).plus(Duration::from_secs(step)),
                        NOW,
                    )
                    .await?;
                if written.fetch_add(1, Ordering::Relaxed) == 2_000 {
                    println!("writing");
                    std::io::stdout().flush()?;
                }
            }
            anyhow::Ok(())
        });
    }
    callers.join_all().await.into_iter().collect::<Result<()>>()?;
    bail!("nobody has killed it")
}

/// One kind of call by many callers, each waiting for its answer before it calls again.
async fn operate(
    store: &Arc<dyn Store>,
    grants: &Arc<Grants>,
    operation: &str,
    callers: u64,
    task: &Task,
) -> Result<Value> {
    let over = Arc::new(AtomicBool::new(false));
    let next_new = Arc::new(AtomicU64::new(task.records + (task.round * 200 + callers) * 100_000));
    let mut running = JoinSet::new();
    let begun = Instant::now();
    for caller in 0..callers {
        let (store, grants, over) = (Arc::clone(store), Arc::clone(grants), Arc::clone(&over));
        let (operation, task, next_new) = (operation.to_owned(), task.clone(), Arc::clone(&next_new));
        running.spawn(async move {
            let mut latencies = Vec::new();
            for step in 0_u64.. {
                if over.load(Ordering::Relaxed) {
                    break;
                }
                let place = (task.round << 48) | (callers << 40) | (caller << 32) | step;
                let called = Instant::now();
                call(&*store, &grants, &operation, place, task.records, &next_new).await?;
                latencies.push(called.elapsed());
                if operation == "get" && step.is_multiple_of(64) {
                    tokio::task::yield_now().await;
                }
            }
            anyhow::Ok(latencies)
        });
    }
    tokio::time::sleep(Duration::from_secs_f64(task.seconds)).await;
    over.store(true, Ordering::Relaxed);
    let mut latencies = Vec::new();
    for of_caller in running.join_all().await {
        latencies.extend(of_caller?);
    }
    Ok(figures_of(latencies, begun.elapsed()))
}

async fn call(
    store: &dyn Store,
    grants: &Grants,
    operation: &str,
    place: u64,
    records: u64,
    next_new: &AtomicU64,
) -> Result<()> {
    let old = mix(place) % records;
    match operation {
        "insert" => {
            // The latest of all, as logins are.
            let number = next_new.fetch_add(1, Ordering::Relaxed);
            store.insert(&id(number), grants.fresh(number), end(number), NOW).await
        }
        "refresh" => {
            let later = end(records).plus(Duration::from_millis(place & 0xffff));
            store.refresh(&id(old), grants.refreshed(place), later, NOW).await
        }
        "take" => store.take(&id(old), NOW).await.map(drop),
        "get" => store.get(&id(old), NOW).await.map(drop),
        other => bail!("no operation {other}"),
    }
}

#[allow(clippy::cast_precision_loss)]
fn figures_of(mut latencies: Vec<Duration>, elapsed: Duration) -> Value {
    latencies.sort_unstable();
    let at = |of_hundred: usize| {
        let index = (latencies.len() * of_hundred / 100).min(latencies.len().saturating_sub(1));
        latencies.get(index).map_or(0.0, |latency| latency.as_secs_f64() * 1e3)
    };
    json!({
        "per_s": latencies.len() as f64 / elapsed.as_secs_f64(),
        "p50_ms": at(50), "p99_ms": at(99), "max_ms": at(100),
    })
}

/// Sixteen callers insert while what has ended is taken out between their commits.
async fn sweep(store: &Arc<dyn Store>, grants: &Arc<Grants>, task: &Task) -> Result<Value> {
    const BACKLOG: u64 = 20_000;
    let first = task.records + 200_000_000 + task.round * 1_000_000;
    insert_all(store, grants, first..first + BACKLOG, |_| (NOW.plus(Duration::from_secs(1)), NOW)).await?;
    let later = NOW.plus(Duration::from_secs(120));
    let (over, begun) = (Arc::new(AtomicBool::new(false)), Instant::now());
    let next = Arc::new(AtomicU64::new(first + BACKLOG));
    let mut running = JoinSet::new();
    for _ in 0..16 {
        let (store, grants, over) = (Arc::clone(store), Arc::clone(grants), Arc::clone(&over));
        let next = Arc::clone(&next);
        running.spawn(async move {
            let mut latencies = Vec::new();
            while !over.load(Ordering::Relaxed) {
                let number = next.fetch_add(1, Ordering::Relaxed);
                let called = Instant::now();
                store.insert(&id(number), grants.fresh(number), end(number), later).await?;
                latencies.push(called.elapsed());
            }
            anyhow::Ok(latencies)
        });
    }
    // The rows go in the order of their keys.
    while store.get(&id(first + BACKLOG - 1), NOW).await?.is_some() {
        if begun.elapsed() > Duration::from_secs(60) {
            bail!("what has ended is not taken out");
        }
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    let elapsed = begun.elapsed();
    over.store(true, Ordering::Relaxed);
    let mut latencies = Vec::new();
    for of_caller in running.join_all().await {
        latencies.extend(of_caller?);
    }
    let mut figures = figures_of(latencies, elapsed);
    figures["memory_mb"] = json!(private_memory()?);
    #[allow(clippy::cast_precision_loss)]
    let swept = BACKLOG as f64 / elapsed.as_secs_f64();
    figures["swept_per_s"] = json!(swept);
    Ok(figures)
}

/// 2,000 logins come a minute, are refreshed once, and end after ten: how large the files are as the minutes go by.
async fn churn(store: &Arc<dyn Store>, grants: &Arc<Grants>, folder: &Path, task: &Task) -> Result<Value> {
    const EACH: u64 = 2_000;
    const MINUTE: Duration = Duration::from_secs(60);
    let mut sizes = Vec::new();
    for minute in 0..task.records {
        let now = NOW.plus(MINUTE * u32::try_from(minute)?);
        let numbers = minute * EACH..(minute + 1) * EACH;
        insert_all(store, grants, numbers, move |_| (now.plus(5 * MINUTE), now)).await?;
        let mut refreshing = JoinSet::new();
        for caller in 0..128 {
            let (store, grants) = (Arc::clone(store), Arc::clone(grants));
            refreshing.spawn(async move {
                for number in (minute * EACH + caller..(minute + 1) * EACH).step_by(128) {
                    store.refresh(&id(number), grants.refreshed(number), now.plus(10 * MINUTE), now).await?;
                }
                anyhow::Ok(())
            });
        }
        refreshing.join_all().await.into_iter().collect::<Result<()>>()?;
        sizes.push(crate::disk_mb(folder)?);
    }
    let tenths: Vec<f64> =
        sizes.chunks(sizes.len().div_ceil(6)).map(|of| of.iter().copied().fold(0.0, f64::max)).collect();
    Ok(json!({ "max_mb": tenths }))
}
