//! The file itself: what its tables are, how it is opened, and how one record is read.

use std::io::{self, ErrorKind};
use std::ops::Bound;
use std::path::Path;
use std::sync::{PoisonError, RwLock};

use bytes::Bytes;
use mcp_login_core::Timestamp;
use redb::{
    Builder, Database, DatabaseError, Durability, ReadTransaction, ReadableDatabase, ReadableTableMetadata,
    StorageError, TableDefinition, TableError, WriteTransaction,
};

use super::making::{self, Unmade};
use crate::store::backend::{Cursor, Entry, Finding, Key, Page, StoreError};
use crate::store::layout;

/// Key → record, as [`layout`] writes it.
pub(super) const RECORDS: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("records");
/// End of a record (`u64`, network byte order) and its key: what to take out next is always first.
pub(super) const ENDS: TableDefinition<'_, &[u8], ()> = TableDefinition::new("ends");
const META: TableDefinition<'_, &str, u64> = TableDefinition::new("meta");

/// The version of these tables, at `format` in [`META`].
const FORMAT: u64 = 1;

/// For redb's own page cache; the operating system's cache stands behind it.
pub(super) const CACHE_BYTES: usize = 64 << 20;

/// How a [`Slot`] comes to its database, at first and again after an I/O error.
pub(super) type Open = Box<dyn Fn() -> Result<Database, StoreError> + Send + Sync>;

/// Holds the database, unless an I/O error has closed it.
pub(super) struct Slot {
    open: Open,
    database: RwLock<Option<Database>>,
}

impl Slot {
    pub(super) fn open(open: Open) -> Result<Self, StoreError> {
        let database = RwLock::new(Some(open()?));
        Ok(Self { open, database })
    }

    /// Closes the file and opens it again: redb answers nothing more after an I/O error, though the disk may.
    /// When that fails too, the next call tries again.
    pub(super) fn reopen(&self) {
        let mut database = self.database.write().unwrap_or_else(PoisonError::into_inner);
        *database = None;
        match (self.open)() {
            Ok(opened) => *database = Some(opened),
            Err(error) => tracing::error!(%error, "the store's file could not be opened again"),
        }
    }

    fn with<T>(&self, run: impl FnOnce(&Database) -> Result<T, redb::Error>) -> Result<T, redb::Error> {
        match &*self.database.read().unwrap_or_else(PoisonError::into_inner) {
            Some(database) => run(database),
            None => Err(redb::Error::DatabaseClosed),
        }
    }

    pub(super) fn read<T>(
        &self,
        run: impl FnOnce(&ReadTransaction) -> Result<T, redb::Error>,
    ) -> Result<T, redb::Error> {
        self.with(|database| run(&database.begin_read()?))
    }

    /// Runs `change` in a transaction. It is on disk when this returns, unless `change` says it is nothing to keep.
    pub(super) fn write<T>(
        &self,
        change: impl FnOnce(&WriteTransaction) -> Result<(T, Keep), redb::Error>,
    ) -> Result<T, redb::Error> {
        self.with(|database| {
            let transaction = begin_write(database)?;
            // An error on the way drops the transaction, which undoes it.
            match change(&transaction)? {
                (outcome, Keep::Yes) => {
                    transaction.commit()?;
                    Ok(outcome)
                }
                (outcome, Keep::No) => {
                    transaction.abort()?;
                    Ok(outcome)
                }
            }
        })
    }

    /// The record, read on the calling thread.
    pub(super) fn get(&self, key: &Key, now: Timestamp) -> Result<Option<Entry>, StoreError> {
        let stored = self
            .read(|transaction| {
                let records = transaction.open_table(RECORDS)?;
                let stored = records.get(key.as_str())?;
                Ok(stored.map(|stored| Bytes::copy_from_slice(stored.value())))
            })
            .map_err(StoreError::unavailable)?;
        let entry = stored.map(layout::decode).transpose()?;
        Ok(entry.filter(|entry| !entry.expires_at.has_passed(now)))
    }
}

/// What an operator looks at.
impl Slot {
    /// Up to `limit` records, in the order of their keys.
    pub(super) fn list(&self, from: Option<&Cursor>, limit: usize) -> Result<Page, StoreError> {
        let listed = self.read(|transaction| {
            let records = transaction.open_table(RECORDS)?;
            let after = from.map_or(Bound::Unbounded, |from| Bound::Excluded(from.as_str()));
            let mut page = Page::default();
            for (seen, row) in records.range::<&str>((after, Bound::Unbounded))?.take(limit).enumerate() {
                let (name, stored) = row?;
                match Key::parse(name.value()) {
                    Some(key) => {
                        page.records.push(layout::listed(key, Bytes::copy_from_slice(stored.value())));
                    }
                    None => page.foreign = page.foreign.saturating_add(1),
                }
                if seen + 1 == limit {
                    page.next = Some(Cursor::new(name.value()));
                }
            }
            Ok(page)
        });
        listed.map_err(StoreError::unavailable)
    }

    /// How many records there are.
    pub(super) fn len(&self) -> Result<u64, StoreError> {
        let length = self.read(|transaction| Ok(transaction.open_table(RECORDS)?.len()?));
        length.map_err(StoreError::unavailable)
    }

    pub(super) fn inspect(&self, path: &Path) -> Result<Vec<Finding>, StoreError> {
        let ends = self.read(|transaction| Ok(transaction.open_table(ENDS)?.len()?));
        let (records, ends) = (self.len()?, ends.map_err(StoreError::unavailable)?);
        let bytes = std::fs::metadata(path).map_err(StoreError::unavailable)?.len();
        let fact = |name: &str, value: String| Finding { name: name.to_owned(), value, advice: None };
        Ok(vec![
            fact("format", FORMAT.to_string()),
            fact("file size", format!("{} KiB", bytes.div_ceil(1024))),
            Finding {
                name: "records in the index of ends".to_owned(),
                value: format!("{ends} of {records}"),
                // A damaged record that was removed leaves its row there until it would have ended.
                advice: (ends < records).then_some("records without a row there never leave the file"),
            },
        ])
    }
}

/// Whether a transaction has anything to keep.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Keep {
    Yes,
    No,
}

/// Durable when committed, and quick to open after a crash: without quick repair redb would walk the whole file.
fn begin_write(database: &Database) -> Result<WriteTransaction, redb::Error> {
    let mut transaction = database.begin_write()?;
    transaction.set_durability(Durability::Immediate)?;
    transaction.set_quick_repair(true);
    Ok(transaction)
}

/// Makes the file, unless there is one.
pub(super) fn make(path: &Path) -> Result<(), StoreError> {
    making::make_if_missing(path).map_err(|unmade| match unmade {
        Unmade::Busy => refusal(path, "is being made by another mcp-login process: start one only"),
        Unmade::Io(error) => io_refusal(path, &error),
        Unmade::Database(error) => database_refusal(path, &error),
        Unmade::Unfit(unfit) => unfit_refusal(path, &unfit),
    })
}

/// Opens what is there, and makes nothing: a file that goes missing while it is in use is an outage, and an empty one in
/// its place would log everybody out.
pub(super) fn open(path: &Path) -> Result<Database, StoreError> {
    if path.is_dir() {
        return Err(refusal(path, "is a folder; name a file in it"));
    }
    if !path.exists() {
        return Err(refusal(path, "is gone"));
    }
    let opened = Builder::new().set_cache_size(CACHE_BYTES).create(path);
    let database = opened.map_err(|error| database_refusal(path, &error))?;
    prepare(&database).map_err(|unfit| unfit_refusal(path, &unfit))?;
    Ok(database)
}

pub(super) enum Unfit {
    Foreign,
    Later(u64),
    Failed(redb::Error),
}

impl<E: Into<redb::Error>> From<E> for Unfit {
    fn from(error: E) -> Self {
        Self::Failed(error.into())
    }
}

/// Checks the format, or writes it, with the tables, when the database is new.
pub(super) fn prepare(database: &Database) -> Result<(), Unfit> {
    let transaction = database.begin_read()?;
    let format = match transaction.open_table(META) {
        Ok(meta) => meta.get("format")?.map(|format| format.value()),
        Err(TableError::TableDoesNotExist(_)) if transaction.list_tables()?.next().is_none() => {
            return create_tables(database).map_err(Unfit::Failed);
        }
        Err(TableError::Storage(error)) => return Err(error.into()),
        Err(_) => None,
    };
    match format {
        Some(FORMAT) => Ok(()),
        Some(format) => Err(Unfit::Later(format)),
        None => Err(Unfit::Foreign),
    }
}

fn create_tables(database: &Database) -> Result<(), redb::Error> {
    let transaction = begin_write(database)?;
    transaction.open_table(META)?.insert("format", FORMAT)?;
    transaction.open_table(RECORDS)?;
    transaction.open_table(ENDS)?;
    transaction.commit()?;
    Ok(())
}

fn refusal(path: &Path, words: &str) -> StoreError {
    StoreError::Open(format!("the store's file {} {words}", path.display()))
}

fn unfit_refusal(path: &Path, unfit: &Unfit) -> StoreError {
    match unfit {
        Unfit::Foreign => refusal(path, "is a database of another program; name another file"),
        Unfit::Later(format) => refusal(
            path,
            &format!(
                "was written by another version of mcp-login (format {format}; this one reads format {FORMAT}); \
                 run that version, or name another file"
            ),
        ),
        Unfit::Failed(error) => refusal(path, &format!("cannot be used: {error}")),
    }
}

fn io_refusal(path: &Path, error: &io::Error) -> StoreError {
    let words = match error.kind() {
        ErrorKind::NotFound => "cannot be made: its folder does not exist".to_owned(),
        ErrorKind::PermissionDenied => {
            "cannot be opened: this user may not read and write it, or not write its folder".to_owned()
        }
        ErrorKind::InvalidData => {
            "is not a store of mcp-login, or is damaged; name another file, or move this one away".to_owned()
        }
        _ => format!("cannot be opened: {error}"),
    };
    refusal(path, &words)
}

fn database_refusal(path: &Path, error: &DatabaseError) -> StoreError {
    match error {
        DatabaseError::DatabaseAlreadyOpen | DatabaseError::LockProtocolMismatch => refusal(
            path,
            "is in use by another mcp-login process (or by this one already): stop it, or use Redis to share the store",
        ),
        DatabaseError::Storage(StorageError::Io(error)) => io_refusal(path, error),
        error => refusal(path, &format!("cannot be opened: {error}")),
    }
}
