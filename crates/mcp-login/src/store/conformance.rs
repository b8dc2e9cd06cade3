//! What every backend must do, as tests: [`run`] them all, or one case by its name.
//!
//! ```no_run
//! # use std::sync::Arc;
//! # use mcp_login::store::{backend::Backend, conformance, memory::MemoryBackend};
//! #[tokio::test(flavor = "multi_thread")]
//! async fn conforms() {
//!     conformance::run(async || Arc::new(MemoryBackend::new()) as Arc<dyn Backend>).await;
//! }
//! ```
//!
//! The races need a runtime of several threads to be races. Keys are new in each run, so a store that keeps its records
//! between runs is fine. No case waits for a lifetime: the time is handed in.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::missing_panics_doc,
    reason = "the assertions of a test suite"
)]

mod expiry;
mod listing;
mod races;
mod records;
mod told;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use mcp_login_core::Timestamp;

pub use self::expiry::{
    end_is_exact, ended_record_is_gone, forward_time_needs_no_wait, insert_after_the_end,
    swap_changes_the_end, written_already_ended,
};
pub use self::listing::{a_copy_is_as_it_was, a_copy_undoes_nothing, every_record_is_listed};
pub use self::races::{counter_loses_no_update, one_insert_wins, one_swap_wins, one_take_wins};
pub use self::records::{
    delete_removes, insert_if_absent, keys_of_different_kind, ping_answers, round_trip,
    swap_of_a_missing_record, swap_of_a_stale_version, take_once, versions_count_up,
};
pub use self::told::{every_write_is_told, nothing_is_told_of_other_kinds};

use super::backend::{Backend, Entry, Key, Version};

/// Runs every case, each on what `open` gives.
///
/// # Panics
/// When the backend breaks the contract: the place of the panic names the case.
pub async fn run(open: impl AsyncFn() -> Arc<dyn Backend>) {
    run_serving(&open).await;
    every_record_is_listed(open().await).await;
    a_copy_is_as_it_was(open().await).await;
    a_copy_undoes_nothing(open().await).await;
}

/// Runs the cases of what serving needs: all but listing and copying, for which a store may want more rights.
///
/// # Panics
/// As [`run`].
pub async fn run_serving(open: impl AsyncFn() -> Arc<dyn Backend>) {
    ping_answers(open().await).await;
    round_trip(open().await).await;
    keys_of_different_kind(open().await).await;
    insert_if_absent(open().await).await;
    versions_count_up(open().await).await;
    swap_of_a_stale_version(open().await).await;
    swap_of_a_missing_record(open().await).await;
    take_once(open().await).await;
    delete_removes(open().await).await;

    insert_after_the_end(open().await).await;
    ended_record_is_gone(open().await).await;
    swap_changes_the_end(open().await).await;
    end_is_exact(open().await).await;
    forward_time_needs_no_wait(open().await).await;
    written_already_ended(open().await).await;

    one_insert_wins(open().await).await;
    one_swap_wins(open().await).await;
    one_take_wins(open().await).await;
    counter_loses_no_update(open().await).await;

    every_write_is_told(open().await).await;
    nothing_is_told_of_other_kinds(open().await).await;
}

/// When the cases take place.
const NOW: Timestamp = Timestamp::from_millis(1_800_000_000_123);
const MINUTE: Duration = Duration::from_secs(60);

/// An id that no other case and no earlier run has used.
fn new_id() -> String {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    let nanos = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_nanos();
    format!("{nanos:x}-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed))
}

fn new_key() -> Key {
    Key::new("conformance", &new_id())
}

fn entry(version: u64, expires_at: Timestamp, value: &'static [u8]) -> Entry {
    Entry { version: Version(version), expires_at, value: Bytes::from_static(value) }
}

/// A key with a record `first` that ends a minute after [`NOW`].
async fn inserted(backend: &dyn Backend) -> (Key, Timestamp) {
    let key = new_key();
    let end = NOW.plus(MINUTE);
    assert!(
        backend.insert(&key, Bytes::from_static(b"first"), end, NOW).await.unwrap(),
        "a new key was refused"
    );
    (key, end)
}
