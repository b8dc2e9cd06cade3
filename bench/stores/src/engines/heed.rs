//! LMDB, through heed: mapped into memory, synced at each commit.

use std::ops::Bound;
use std::path::Path;

use anyhow::Result;
use heed::types::{Bytes, Str, Unit};
use heed::{CommitOrAbort, Database, Env, EnvOpenOptions, RwTxn, WithoutTls};

use super::{Engine, Tables, Work, head_of};

/// The most that the file may come to.
const MAP_BYTES: usize = 16 << 30;

type Records = Database<'static, Str, Bytes>;
type Ends = Database<'static, Bytes, Unit>;

pub struct Heed {
    env: Env<WithoutTls>,
    records: Records,
    ends: Ends,
}

impl Heed {
    pub fn open(folder: &Path) -> Result<Self> {
        let folder = folder.join("lmdb");
        std::fs::create_dir_all(&folder)?;
        let mut options = EnvOpenOptions::new().read_txn_without_tls();
        options.map_size(MAP_BYTES).max_dbs(2);
        // SAFETY: nothing else writes to the file while it is mapped.
        #[allow(unsafe_code)]
        let env = unsafe { options.open(&folder) }?;
        let (records, ends) = databases(&env)?;
        Ok(Self { env, records, ends })
    }
}

fn databases(env: &Env<WithoutTls>) -> Result<(Records, Ends)> {
    let made = env.create_databases_and_commit(env.write_txn()?, |open, transaction| {
        let records = open.create_database(transaction, Some("records"))?;
        let ends = open.create_database(transaction, Some("ends"))?;
        heed::Result::Ok(CommitOrAbort::<_, ()>::Commit((records, ends)))
    })?;
    Ok(made.unwrap_commit())
}

struct Open<'t> {
    engine: &'t Heed,
    transaction: RwTxn<'t>,
}

impl Engine for Heed {
    fn transaction(&self, work: Work<'_>) -> Result<()> {
        let mut open = Open { engine: self, transaction: self.env.write_txn()? };
        work(&mut open)?;
        Ok(open.transaction.commit()?)
    }

    fn get(&self, key: &str) -> Result<Option<Vec<u8>>> {
        let transaction = self.env.read_txn()?;
        Ok(self.records.get(&transaction, key)?.map(<[u8]>::to_vec))
    }

    fn any_before(&self, bound: &[u8]) -> Result<bool> {
        let transaction = self.env.read_txn()?;
        Ok(self
            .ends
            .range(&transaction, &(Bound::Unbounded, Bound::Excluded(bound)))?
            .next()
            .transpose()?
            .is_some())
    }
}

impl Tables for Open<'_> {
    fn head(&self, key: &str) -> Result<Option<(u64, u64)>> {
        Ok(self.engine.records.get(&self.transaction, key)?.and_then(head_of))
    }

    fn put(&mut self, key: &str, stored: &[u8]) -> Result<()> {
        Ok(self.engine.records.put(&mut self.transaction, key, stored)?)
    }

    fn remove(&mut self, key: &str) -> Result<()> {
        self.engine.records.delete(&mut self.transaction, key)?;
        Ok(())
    }

    fn put_end(&mut self, row: &[u8]) -> Result<()> {
        Ok(self.engine.ends.put(&mut self.transaction, row, &())?)
    }

    fn remove_end(&mut self, row: &[u8]) -> Result<()> {
        self.engine.ends.delete(&mut self.transaction, row)?;
        Ok(())
    }

    fn before(&self, bound: &[u8], most: usize) -> Result<Vec<Vec<u8>>> {
        let rows = self
            .engine
            .ends
            .range(&self.transaction, &(Bound::Unbounded, Bound::Excluded(bound)))?
            .take(most);
        rows.map(|row| Ok(row?.0.to_vec())).collect()
    }
}
