//! The one thread that writes: it commits what has queued up together, then answers, then takes out ended records.

use bytes::Bytes;
use mcp_login_core::Timestamp;
use redb::{ReadableTable, StorageError, Table, WriteTransaction};
use tokio::sync::{mpsc, oneshot};

use super::database::{ENDS, Keep, RECORDS, Slot};
use crate::store::backend::{Entry, Key, StoreError, Swap, Version};
use crate::store::layout;
use crate::store::watch::Watchers;

/// How many requests one transaction holds at most.
const BATCH: usize = 1024;

/// How many ended records are taken out after a batch of fewer requests than this; else as many as it had, so that
/// the rubbish never grows faster than it goes.
const SWEEP_STEP: usize = 100;

/// A record is rubbish this long after its end: a clock that is set back a little finds it still there.
const SWEEP_SLACK_MILLIS: u64 = 60_000;

/// When nothing is left to take out, the next look is this much later.
const SWEEP_PAUSE_MILLIS: u64 = 1_000;

pub(super) struct Request {
    pub(super) key: Key,
    pub(super) change: Change,
    pub(super) now: Timestamp,
    pub(super) reply: oneshot::Sender<Result<Outcome, StoreError>>,
}

pub(super) enum Change {
    Insert { value: Bytes, expires_at: Timestamp },
    Swap { expected: Version, value: Bytes, expires_at: Timestamp },
    Take,
    Delete,
    Restore(Entry),
    Nothing,
}

pub(super) enum Outcome {
    Inserted(bool),
    Swapped(Swap),
    Taken(Option<Entry>),
    Deleted(bool),
    Restored(bool),
    Nothing,
}

/// Ends when every sender is gone and everything is answered.
pub(super) fn run(mut requests: mpsc::Receiver<Request>, slot: &Slot, watchers: &Watchers) {
    let mut sweeper = Sweeper { caught_up_at: None };
    while let Some(first) = requests.blocking_recv() {
        let mut batch = vec![first];
        while batch.len() < BATCH
            && let Ok(next) = requests.try_recv()
        {
            batch.push(next);
        }
        // The earliest of their times: to none of them is anything taken out too early.
        let now = batch
            .iter()
            .filter(|request| !matches!(request.change, Change::Nothing))
            .map(|request| request.now)
            .min();
        let step = SWEEP_STEP.max(batch.len());
        commit(slot, batch, watchers);
        let Some(now) = now else { continue };
        while sweeper.step(slot, now, step) && requests.is_empty() && !requests.is_closed() {}
    }
}

/// One transaction for the whole batch. If it fails, nothing of it has happened and every request is told so.
fn commit(slot: &Slot, batch: Vec<Request>, watchers: &Watchers) {
    let done = slot.write(|transaction| {
        let mut tables = Tables::open(transaction)?;
        let mut outcomes = Vec::with_capacity(batch.len());
        for request in &batch {
            outcomes.push(tables.apply(request)?);
        }
        Ok((outcomes, tables.keep))
    });
    // Before the answers, and also after a failure: what then reached the disk is not known.
    for request in batch.iter().filter(|request| !matches!(request.change, Change::Nothing)) {
        watchers.changed(&request.key);
    }
    match done {
        Ok(outcomes) => {
            for (request, outcome) in batch.into_iter().zip(outcomes) {
                // Nobody may be waiting any more.
                let _ = request.reply.send(outcome);
            }
        }
        Err(error) => {
            tracing::error!(%error, "the store's file could not be written");
            let text = error.to_string();
            // Before the answers: whoever is told to try again finds the file open, if it can be opened.
            slot.reopen();
            for request in batch {
                let _ = request.reply.send(Err(StoreError::unavailable(text.clone())));
            }
        }
    }
}

struct Tables<'t> {
    records: Table<'t, &'static str, &'static [u8]>,
    ends: Table<'t, &'static [u8], ()>,
    keep: Keep,
}

impl<'t> Tables<'t> {
    fn open(transaction: &'t WriteTransaction) -> Result<Self, redb::Error> {
        let records = transaction.open_table(RECORDS)?;
        let ends = transaction.open_table(ENDS)?;
        Ok(Self { records, ends, keep: Keep::No })
    }

    /// The outer error undoes the batch; the inner one concerns this request alone.
    fn apply(&mut self, request: &Request) -> Result<Result<Outcome, StoreError>, StorageError> {
        let Request { key, change, now, .. } = request;
        if matches!(change, Change::Nothing) {
            return Ok(Ok(Outcome::Nothing));
        }
        let head = match self.head(key)? {
            Ok(head) => head,
            // A damaged record can be got rid of, but not be built upon. What its end was is lost: the row in the
            // index goes when it is swept.
            Err(_) if matches!(change, Change::Delete) => {
                self.remove_record(key)?;
                return Ok(Ok(Outcome::Deleted(true)));
            }
            Err(damaged) => return Ok(Err(damaged)),
        };
        let live = head.filter(|(_, end)| !end.has_passed(*now));
        let old_end = head.map(|(_, end)| end);
        Ok(Ok(match change {
            Change::Insert { .. } if live.is_some() => Outcome::Inserted(false),
            Change::Insert { value, expires_at } => {
                self.put(key, old_end, Version::FIRST, *expires_at, value)?;
                Outcome::Inserted(true)
            }
            Change::Swap { expected, value, expires_at } => Outcome::Swapped(match live {
                None => Swap::Missing,
                Some((version, _)) if version != *expected => Swap::Conflict,
                Some((version, _)) => {
                    self.put(key, old_end, version.next(), *expires_at, value)?;
                    Swap::Done(version.next())
                }
            }),
            Change::Take => match live {
                None => Outcome::Taken(None),
                Some((version, expires_at)) => {
                    self.remove_end(expires_at, key)?;
                    let value = self.remove_record(key)?;
                    Outcome::Taken(value.map(|value| Entry { version, expires_at, value }))
                }
            },
            Change::Delete => {
                if let Some(end) = old_end {
                    self.remove_end(end, key)?;
                    self.remove_record(key)?;
                }
                Outcome::Deleted(live.is_some())
            }
            Change::Restore(entry) => {
                let newer = live.is_none_or(|(version, _)| version < entry.version);
                if newer {
                    self.put(key, old_end, entry.version, entry.expires_at, &entry.value)?;
                }
                Outcome::Restored(newer)
            }
            Change::Nothing => Outcome::Nothing,
        }))
    }

    fn head(&self, key: &Key) -> Result<Result<Option<(Version, Timestamp)>, StoreError>, StorageError> {
        let stored = self.records.get(key.as_str())?;
        Ok(stored.map(|stored| layout::decode_head(stored.value())).transpose())
    }

    fn put(
        &mut self,
        key: &Key,
        old_end: Option<Timestamp>,
        version: Version,
        end: Timestamp,
        value: &[u8],
    ) -> Result<(), StorageError> {
        self.keep = Keep::Yes;
        self.records.insert(key.as_str(), layout::encode(version, end, value).as_slice())?;
        if old_end != Some(end) {
            if let Some(old_end) = old_end {
                self.remove_end(old_end, key)?;
            }
            self.ends.insert(end_row(end, key.as_str()).as_slice(), ())?;
        }
        Ok(())
    }

    /// Removes the record, not its row in the index, and gives its value.
    fn remove_record(&mut self, key: &Key) -> Result<Option<Bytes>, StorageError> {
        self.keep = Keep::Yes;
        let stored = self.records.remove(key.as_str())?;
        Ok(stored.and_then(|stored| Some(Bytes::copy_from_slice(stored.value().get(layout::HEAD..)?))))
    }

    fn remove_end(&mut self, end: Timestamp, key: &Key) -> Result<(), StorageError> {
        self.keep = Keep::Yes;
        self.ends.remove(end_row(end, key.as_str()).as_slice())?;
        Ok(())
    }

    /// Takes out up to `step` records whose end is before `bound`, and says how many.
    fn sweep(&mut self, bound: &[u8], step: usize) -> Result<usize, StorageError> {
        let mut rows = Vec::new();
        for row in self.ends.range(..bound)?.take(step) {
            rows.push(row?.0.value().to_vec());
        }
        for row in &rows {
            self.keep = Keep::Yes;
            self.ends.remove(row.as_slice())?;
            let Some((end, key)) = split_end_row(row) else { continue };
            // A row without its record, or of another end, is left of a damaged record.
            let same = self.records.get(key)?.is_some_and(|stored| {
                layout::decode_head(stored.value()).is_ok_and(|(_, stored_end)| stored_end == end)
            });
            if same {
                self.records.remove(key)?;
            }
        }
        Ok(rows.len())
    }
}

fn end_row(end: Timestamp, key: &str) -> Vec<u8> {
    [&end.as_millis().to_be_bytes(), key.as_bytes()].concat()
}

fn split_end_row(row: &[u8]) -> Option<(Timestamp, &str)> {
    let (end, key) = row.split_first_chunk()?;
    Some((Timestamp::from_millis(u64::from_be_bytes(*end)), std::str::from_utf8(key).ok()?))
}

struct Sweeper {
    /// The time at which nothing was left to take out.
    caught_up_at: Option<Timestamp>,
}

impl Sweeper {
    /// One transaction's worth. Whether there may be more.
    fn step(&mut self, slot: &Slot, now: Timestamp, step: usize) -> bool {
        if let Some(then) = self.caught_up_at
            && then.as_millis().abs_diff(now.as_millis()) < SWEEP_PAUSE_MILLIS
        {
            return false;
        }
        let bound = now.as_millis().saturating_sub(SWEEP_SLACK_MILLIS).to_be_bytes();
        // Looking costs no commit.
        let any = slot.read(|transaction| {
            let ends = transaction.open_table(ENDS)?;
            Ok(ends.range(..bound.as_slice())?.next().transpose()?.is_some())
        });
        let swept = match any {
            Ok(false) => Ok(0),
            Ok(true) => slot.write(|transaction| {
                let mut tables = Tables::open(transaction)?;
                let swept = tables.sweep(&bound, step)?;
                Ok((swept, tables.keep))
            }),
            Err(error) => Err(error),
        };
        let more = match swept {
            Ok(swept) => swept == step,
            Err(error) => {
                tracing::warn!(%error, "ended records could not be taken out of the store's file");
                slot.reopen();
                false
            }
        };
        self.caught_up_at = (!more).then_some(now);
        more
    }
}
