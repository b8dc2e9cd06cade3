//! `SQLite`, through rusqlite: write-ahead log, synced at each commit.

use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError, TryLockError};

use anyhow::Result;
use rusqlite::{Connection, OptionalExtension, Transaction, params};

use super::{CACHE_BYTES, Engine, Tables, Work, head_of};

/// One for each thread of the runtime that reads, and one.
const READERS: usize = 3;

pub struct Sqlite {
    writer: Mutex<Connection>,
    readers: Vec<Mutex<Connection>>,
}

impl Sqlite {
    pub fn open(folder: &Path) -> Result<Self> {
        let path = folder.join("store.sqlite");
        let connect = || -> Result<Connection> {
            let connection = Connection::open(&path)?;
            connection.pragma_update(None, "journal_mode", "WAL")?;
            connection.pragma_update(None, "synchronous", "FULL")?;
            connection.pragma_update(None, "cache_size", -i64::try_from(CACHE_BYTES / 1024)?)?;
            Ok(connection)
        };
        let writer = connect()?;
        writer.execute_batch(
            "CREATE TABLE IF NOT EXISTS records (key TEXT NOT NULL UNIQUE, stored BLOB NOT NULL);
             CREATE TABLE IF NOT EXISTS ends (row BLOB PRIMARY KEY) WITHOUT ROWID;",
        )?;
        let readers = (0..READERS).map(|_| Ok(Mutex::new(connect()?))).collect::<Result<_>>()?;
        Ok(Self { writer: Mutex::new(writer), readers })
    }

    fn reader(&self) -> MutexGuard<'_, Connection> {
        for reader in &self.readers {
            match reader.try_lock() {
                Ok(reader) => return reader,
                Err(TryLockError::Poisoned(poisoned)) => return poisoned.into_inner(),
                Err(TryLockError::WouldBlock) => {}
            }
        }
        self.readers[0].lock().unwrap_or_else(PoisonError::into_inner)
    }
}

struct Open<'t>(Transaction<'t>);

impl Engine for Sqlite {
    fn transaction(&self, work: Work<'_>) -> Result<()> {
        let mut writer = self.writer.lock().unwrap_or_else(PoisonError::into_inner);
        let mut open = Open(writer.transaction()?);
        work(&mut open)?;
        Ok(open.0.commit()?)
    }

    fn get(&self, key: &str) -> Result<Option<Vec<u8>>> {
        let reader = self.reader();
        let mut query = reader.prepare_cached("SELECT stored FROM records WHERE key = ?1")?;
        Ok(query.query_row(params![key], |row| row.get(0)).optional()?)
    }

    fn any_before(&self, bound: &[u8]) -> Result<bool> {
        let reader = self.reader();
        let mut query = reader.prepare_cached("SELECT 1 FROM ends WHERE row < ?1 LIMIT 1")?;
        Ok(query.exists(params![bound])?)
    }
}

impl Open<'_> {
    fn run(&self, statement: &str, parameters: impl rusqlite::Params) -> Result<()> {
        self.0.prepare_cached(statement)?.execute(parameters)?;
        Ok(())
    }
}

impl Tables for Open<'_> {
    fn head(&self, key: &str) -> Result<Option<(u64, u64)>> {
        let mut query = self.0.prepare_cached("SELECT substr(stored, 1, 16) FROM records WHERE key = ?1")?;
        let head: Option<Vec<u8>> = query.query_row(params![key], |row| row.get(0)).optional()?;
        Ok(head.and_then(|head| head_of(&head)))
    }

    fn put(&mut self, key: &str, stored: &[u8]) -> Result<()> {
        self.run(
            "INSERT INTO records VALUES (?1, ?2) ON CONFLICT (key) DO UPDATE SET stored = excluded.stored",
            params![key, stored],
        )
    }

    fn remove(&mut self, key: &str) -> Result<()> {
        self.run("DELETE FROM records WHERE key = ?1", params![key])
    }

    fn put_end(&mut self, row: &[u8]) -> Result<()> {
        self.run("INSERT INTO ends VALUES (?1)", params![row])
    }

    fn remove_end(&mut self, row: &[u8]) -> Result<()> {
        self.run("DELETE FROM ends WHERE row = ?1", params![row])
    }

    fn before(&self, bound: &[u8], most: usize) -> Result<Vec<Vec<u8>>> {
        let mut query = self.0.prepare_cached("SELECT row FROM ends WHERE row < ?1 ORDER BY row LIMIT ?2")?;
        let rows = query.query_map(params![bound, i64::try_from(most)?], |row| row.get(0))?;
        Ok(rows.collect::<rusqlite::Result<_>>()?)
    }
}
