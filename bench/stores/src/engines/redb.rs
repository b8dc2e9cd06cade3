//! redb, with the settings of mcp-login or others.

use std::path::Path;

use anyhow::Result;
use redb::{Builder, Database, Durability, ReadableDatabase, ReadableTable, Table, TableDefinition};

use super::{CACHE_BYTES, Engine, Tables, Work, head_of};

const RECORDS: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("records");
const ENDS: TableDefinition<'_, &[u8], ()> = TableDefinition::new("ends");

pub struct Redb {
    database: Database,
    quick_repair: bool,
}

impl Redb {
    pub fn open(folder: &Path, quick_repair: bool, cache_factor: usize) -> Result<Self> {
        let cache = CACHE_BYTES * cache_factor;
        let database = Builder::new().set_cache_size(cache).create(folder.join("store.db"))?;
        let engine = Self { database, quick_repair };
        engine.transaction(&mut |_| Ok(()))?;
        Ok(engine)
    }
}

struct Open<'t> {
    records: Table<'t, &'static str, &'static [u8]>,
    ends: Table<'t, &'static [u8], ()>,
}

impl Engine for Redb {
    fn transaction(&self, work: Work<'_>) -> Result<()> {
        let mut transaction = self.database.begin_write()?;
        transaction.set_durability(Durability::Immediate)?;
        transaction.set_quick_repair(self.quick_repair);
        {
            let records = transaction.open_table(RECORDS)?;
            let ends = transaction.open_table(ENDS)?;
            work(&mut Open { records, ends })?;
        }
        Ok(transaction.commit()?)
    }

    fn get(&self, key: &str) -> Result<Option<Vec<u8>>> {
        let records = self.database.begin_read()?.open_table(RECORDS)?;
        Ok(records.get(key)?.map(|stored| stored.value().to_vec()))
    }

    fn any_before(&self, bound: &[u8]) -> Result<bool> {
        let ends = self.database.begin_read()?.open_table(ENDS)?;
        Ok(ends.range(..bound)?.next().transpose()?.is_some())
    }
}

impl Tables for Open<'_> {
    fn head(&self, key: &str) -> Result<Option<(u64, u64)>> {
        Ok(self.records.get(key)?.and_then(|stored| head_of(stored.value())))
    }

    fn put(&mut self, key: &str, stored: &[u8]) -> Result<()> {
        self.records.insert(key, stored)?;
        Ok(())
    }

    fn remove(&mut self, key: &str) -> Result<()> {
        self.records.remove(key)?;
        Ok(())
    }

    fn put_end(&mut self, row: &[u8]) -> Result<()> {
        self.ends.insert(row, ())?;
        Ok(())
    }

    fn remove_end(&mut self, row: &[u8]) -> Result<()> {
        self.ends.remove(row)?;
        Ok(())
    }

    fn before(&self, bound: &[u8], most: usize) -> Result<Vec<Vec<u8>>> {
        self.ends.range(..bound)?.take(most).map(|row| Ok(row?.0.value().to_vec())).collect()
    }
}
