//! Several nodes with one Redis, behind Sentinel or not, or with a Cluster: each keeps in memory who may call, and none
//! goes on with what another has ended. Needs `redis-server` 7.
#![cfg(all(feature = "redis", unix))]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod failover;
mod nodes;
mod outage;
mod partition;
mod quiet;
mod resharding;
mod steps;
mod streams;

use std::time::{Duration, Instant};

/// How soon a node refuses what another one has ended.
const SOON: Duration = Duration::from_secs(1);

/// How long anything may take in an outage, and after it; a failover, too.
const BOUND: Duration = Duration::from_secs(12);

/// Waits until something holds. What is asked after the bound has passed would be too late.
async fn until(bound: Duration, what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let begun = Instant::now();
    loop {
        let asked = begun.elapsed();
        if holds().await {
            return;
        }
        assert!(asked < bound, "{what}: not within {bound:?}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}
