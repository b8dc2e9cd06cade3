//! fjall: a log-structured tree, synced at each commit.

use std::path::Path;

use anyhow::Result;
use fjall::{
    KeyspaceCreateOptions, PersistMode, Readable, SingleWriterTxDatabase, SingleWriterTxKeyspace,
    SingleWriterWriteTx,
};

use super::{CACHE_BYTES, Engine, Tables, Work, head_of};

pub struct Fjall {
    database: SingleWriterTxDatabase,
    records: SingleWriterTxKeyspace,
    ends: SingleWriterTxKeyspace,
}

impl Fjall {
    pub fn open(folder: &Path) -> Result<Self> {
        let database =
            SingleWriterTxDatabase::builder(folder.join("fjall")).cache_size(CACHE_BYTES as u64).open()?;
        let records = database.keyspace("records", KeyspaceCreateOptions::default)?;
        let ends = database.keyspace("ends", KeyspaceCreateOptions::default)?;
        Ok(Self { database, records, ends })
    }
}

struct Open<'t> {
    engine: &'t Fjall,
    transaction: SingleWriterWriteTx<'t>,
}

impl Engine for Fjall {
    fn transaction(&self, work: Work<'_>) -> Result<()> {
        let transaction = self.database.write_tx().durability(Some(PersistMode::SyncData));
        let mut open = Open { engine: self, transaction };
        work(&mut open)?;
        Ok(open.transaction.commit()?)
    }

    fn get(&self, key: &str) -> Result<Option<Vec<u8>>> {
        Ok(self.records.get(key)?.map(|stored| stored.to_vec()))
    }

    fn any_before(&self, bound: &[u8]) -> Result<bool> {
        Ok(self.database.read_tx().range(&self.ends, ..bound).next().is_some())
    }
}

impl Tables for Open<'_> {
    fn head(&self, key: &str) -> Result<Option<(u64, u64)>> {
        Ok(self.transaction.get(&self.engine.records, key)?.and_then(|stored| head_of(&stored)))
    }

    fn put(&mut self, key: &str, stored: &[u8]) -> Result<()> {
        self.transaction.insert(&self.engine.records, key, stored);
        Ok(())
    }

    fn remove(&mut self, key: &str) -> Result<()> {
        self.transaction.remove(&self.engine.records, key);
        Ok(())
    }

    fn put_end(&mut self, row: &[u8]) -> Result<()> {
        self.transaction.insert(&self.engine.ends, row, b"");
        Ok(())
    }

    fn remove_end(&mut self, row: &[u8]) -> Result<()> {
        self.transaction.remove(&self.engine.ends, row);
        Ok(())
    }

    fn before(&self, bound: &[u8], most: usize) -> Result<Vec<Vec<u8>>> {
        let rows = self.transaction.range(&self.engine.ends, ..bound).take(most);
        rows.map(|row| Ok(row.key()?.to_vec())).collect()
    }
}
