//! What is in the store's file, read past the store.

use std::collections::{BTreeMap, BTreeSet};

use mcp_login::core::Timestamp;
use redb::{Builder, Database, ReadableDatabase, ReadableTable, RepairSession, TableDefinition};

use super::load::Written;

const RECORDS: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("records");
const ENDS: TableDefinition<'_, &[u8], ()> = TableDefinition::new("ends");

/// Every record by its key; or what is wrong with the file.
pub(crate) fn of(file: &[u8]) -> Result<BTreeMap<String, Written>, String> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("copy.db");
    std::fs::write(&path, file).unwrap();
    // A repair is a walk through the whole file, which the store spares itself.
    let opened = Builder::new().set_repair_callback(RepairSession::abort).open(&path);
    let mut database = opened.map_err(|error| format!("the file does not open at once: {error}"))?;
    match database.check_integrity() {
        Ok(true) => {}
        other => return Err(format!("the file is damaged: {other:?}")),
    }
    read(&database).map_err(|error| format!("the file cannot be read: {error}"))?
}

fn read(database: &Database) -> Result<Result<BTreeMap<String, Written>, String>, redb::Error> {
    let transaction = database.begin_read()?;
    let (mut records, mut ends_of_records) = (BTreeMap::new(), BTreeSet::new());
    for row in transaction.open_table(RECORDS)?.iter()? {
        let (key, stored) = row?;
        let (key, stored) = (key.value(), stored.value());
        let Some((head, value)) = stored.split_at_checked(16) else {
            return Ok(Err(format!("the record {key} is torn: {} bytes", stored.len())));
        };
        let number = |bytes: &[u8]| u64::from_be_bytes(bytes.try_into().unwrap());
        let (version, end) = (number(&head[..8]), Timestamp::from_millis(number(&head[8..])));
        ends_of_records.insert([&head[8..], key.as_bytes()].concat());
        records.insert(key.to_owned(), Written { version, end, value: value.to_vec() });
    }
    let mut ends = BTreeSet::new();
    for row in transaction.open_table(ENDS)?.iter()? {
        ends.insert(row?.0.value().to_vec());
    }
    if ends == ends_of_records {
        Ok(Ok(records))
    } else {
        let (with, without) = (ends.len(), ends_of_records.len());
        Ok(Err(format!("{without} records have other ends than the {with} of the index")))
    }
}
