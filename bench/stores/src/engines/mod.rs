//! The engines, each as two tables: records by their key, and rows that begin with the end of a record.

mod fjall;
mod heed;
mod redb;
mod sqlite;

pub use self::fjall::Fjall;
pub use self::heed::Heed;
pub use self::redb::Redb;
pub use self::sqlite::Sqlite;

use anyhow::Result;

/// For an engine's own cache: what mcp-login gives redb.
pub const CACHE_BYTES: usize = 64 << 20;

/// What runs in a transaction.
pub type Work<'w> = &'w mut dyn FnMut(&mut dyn Tables) -> Result<()>;

pub trait Engine: Send + Sync {
    /// Runs `work` in one transaction, which is on disk when this returns.
    fn transaction(&self, work: Work<'_>) -> Result<()>;
    /// On the caller's thread.
    fn get(&self, key: &str) -> Result<Option<Vec<u8>>>;
    /// Whether there is an end before `bound`.
    fn any_before(&self, bound: &[u8]) -> Result<bool>;
}

pub trait Tables {
    /// Version and end of a record.
    fn head(&self, key: &str) -> Result<Option<(u64, u64)>>;
    fn put(&mut self, key: &str, stored: &[u8]) -> Result<()>;
    fn remove(&mut self, key: &str) -> Result<()>;
    fn put_end(&mut self, row: &[u8]) -> Result<()>;
    fn remove_end(&mut self, row: &[u8]) -> Result<()>;
    /// The first ends before `bound`.
    fn before(&self, bound: &[u8], most: usize) -> Result<Vec<Vec<u8>>>;
}

fn head_of(stored: &[u8]) -> Option<(u64, u64)> {
    let (version, rest) = stored.split_first_chunk()?;
    let (end, _) = rest.split_first_chunk()?;
    Some((u64::from_be_bytes(*version), u64::from_be_bytes(*end)))
}
