//! Moving everything from one store to another: from the file of one machine to a Redis of many, or back.
//!
//! A copy goes in two passes. The first puts every record into the other store as it is, with its version and its end, but
//! for what is there already. The second looks at everything that is there then: what the first store has no more is
//! removed, for a login that was ended must not come back; what is missing, or is not what was put there, is counted. At
//! last some records are read from both once more, which tells if somebody uses the first store meanwhile.
//!
//! Only what this program writes is copied or removed: other names may stand in the same place.
//!
//! While it goes on a record in the target says so. A copy that was broken off finds it, and goes on where it was: what is
//! there already costs one call and changes nothing.

use std::collections::BTreeMap;
use std::hash::{BuildHasher, RandomState};
use std::ops::ControlFlow;

use bytes::Bytes;
use futures_util::{StreamExt, TryStreamExt, stream};
use mcp_login_core::Timestamp;

use super::Store;
use super::backend::{Backend, Entry, Key, Listed, StoreError};
use super::records::is_record;
use super::walk::{Seen, each_page};

/// How many records are on their way at once.
const AT_ONCE: usize = 64;

/// How many records are read again at the end.
const SAMPLE: usize = 1_000;

/// The kind of the record that says that a copy is not finished.
pub(super) const COPY: &str = "copy";

fn marker() -> Key {
    Key::new(COPY, "unfinished")
}

/// What the target may hold already.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Target {
    /// Nothing, or a copy that was broken off.
    #[default]
    Empty,
    /// An earlier copy of the same store, which nobody has used yet: it is brought up to date.
    EarlierCopy,
}

/// How far a copy is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Progress {
    /// Records are put into the target.
    Copying {
        /// So many have been looked at.
        done: u64,
        /// About as many are there, if the store knows.
        about: Option<u64>,
    },
    /// What is in the target is looked at.
    Comparing {
        /// So many have been looked at.
        done: u64,
        /// As many have to be there.
        of: u64,
    },
}

/// What a copy came to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Copied {
    /// Records that both stores have now.
    pub records: u64,
    /// Those of them that were written; the others were there already.
    pub written: u64,
    /// Records of the source that had ended, and were left behind.
    pub ended: u64,
    /// Records of the source that cannot be read, and were left behind.
    pub damaged: u64,
    /// Records of the target that the source had no more, and that were removed.
    pub removed: u64,
    /// Records that were read back, and are the same.
    pub compared: u64,
}

/// Why a copy was not made, or not finished. It can be made again.
#[derive(Debug, thiserror::Error)]
pub enum CopyError {
    /// The source failed.
    #[error("the store to copy from: {0}")]
    From(#[source] StoreError),
    /// The target failed.
    #[error("the store to copy to: {0}")]
    To(#[source] StoreError),
    /// The target is in use.
    #[error("the store to copy to holds records already, and no copy that was broken off")]
    InUse,
    /// The source is a target.
    #[error("the store to copy from is itself a copy that was broken off: finish that first")]
    Unfinished,
    /// The stores are not the same afterwards.
    #[error("the stores differ: of {records} records {missing} are missing and {different} are not the same")]
    Differ {
        /// What the source holds.
        records: u64,
        /// Of them, not in the target.
        missing: u64,
        /// Of them, not the same.
        different: u64,
    },
}

impl Store {
    /// Copies everything to another store. Nobody may write to either of them meanwhile: a login that is made in the source
    /// after it was looked at is not in the target, and if there are any, this ends with [`CopyError::Differ`].
    ///
    /// It holds about 50 bytes of memory for each record.
    pub async fn copy_to(
        &self,
        to: &Self,
        target: Target,
        now: impl Fn() -> Timestamp,
        progress: impl FnMut(Progress),
    ) -> Result<Copied, CopyError> {
        let mut copy = Copy {
            from: self.backend(),
            to: to.backend(),
            now,
            progress,
            records: Seen::default(),
            hasher: RandomState::new(),
            sample: BTreeMap::new(),
            copied: Copied::default(),
        };
        copy.prepare(target).await?;
        copy.copy_records().await?;
        copy.compare_target().await?;
        copy.verify().await?;
        copy.to.delete(&marker(), (copy.now)()).await.map_err(CopyError::To)?;
        Ok(copy.copied)
    }

    /// Whether a copy to this store was broken off: then it lacks logins, and nobody should be served from it.
    pub async fn is_unfinished_copy(&self, now: Timestamp) -> Result<bool, StoreError> {
        Ok(self.backend().get(&marker(), now).await?.is_some())
    }
}

/// A record of the source that has to be in the target.
#[derive(Debug, Clone, Copy)]
struct Wanted {
    until: Timestamp,
    /// Of its version, value and end.
    hash: u64,
    found: bool,
    same: bool,
}

struct Copy<'a, N, P> {
    from: &'a dyn Backend,
    to: &'a dyn Backend,
    now: N,
    progress: P,
    records: Seen<Wanted>,
    hasher: RandomState,
    /// What is read again at the end, by the hash of the key.
    sample: BTreeMap<u64, Key>,
    copied: Copied,
}

impl<N: Fn() -> Timestamp, P: FnMut(Progress)> Copy<'_, N, P> {
    async fn prepare(&self, target: Target) -> Result<(), CopyError> {
        let now = (self.now)();
        if self.from.get(&marker(), now).await.map_err(CopyError::From)?.is_some() {
            return Err(CopyError::Unfinished);
        }
        let unfinished = self.to.get(&marker(), now).await.map_err(CopyError::To)?.is_some();
        if !unfinished && target == Target::Empty && holds_records(self.to, now).await? {
            return Err(CopyError::InUse);
        }
        let for_ever = Timestamp::from_millis(u64::MAX);
        let mark = self.to.insert(&marker(), Bytes::from_static(b"1"), for_ever, now).await;
        mark.map_err(CopyError::To)?;
        Ok(())
    }

    async fn copy_records(&mut self) -> Result<(), CopyError> {
        let from = self.from;
        let about = from.estimate().await.map_err(CopyError::From)?;
        let mut done = 0_u64;
        (self.progress)(Progress::Copying { done, about });
        each_page(from, CopyError::From, async |page| {
            let now = (self.now)();
            done = done.saturating_add(u64::try_from(page.records.len()).unwrap_or(0));
            let records = self.wanted(page.records, now);
            self.copied.written = self.copied.written.saturating_add(self.write(records, now).await?);
            (self.progress)(Progress::Copying { done, about });
            Ok(ControlFlow::Continue(()))
        })
        .await
    }

    /// Those of a page that belong into the target.
    fn wanted(&mut self, listed: Vec<Listed>, now: Timestamp) -> Vec<(Key, Entry)> {
        let mut records = Vec::with_capacity(listed.len());
        for Listed { key, entry } in listed.into_iter().filter(|record| is_record(record.key.kind())) {
            match entry {
                Err(_) => self.copied.damaged = self.copied.damaged.saturating_add(1),
                Ok(entry) if entry.expires_at.has_passed(now) => {
                    self.copied.ended = self.copied.ended.saturating_add(1);
                }
                Ok(entry) => {
                    let (until, hash) = (entry.expires_at, self.hash(&entry));
                    self.records.insert(key.as_str(), Wanted { until, hash, found: false, same: false });
                    self.sample.insert(self.records.number(key.as_str()), key.clone());
                    // The lowest of random numbers are a random sample.
                    if self.sample.len() > SAMPLE {
                        self.sample.pop_last();
                    }
                    records.push((key, entry));
                }
            }
        }
        records
    }

    fn hash(&self, entry: &Entry) -> u64 {
        self.hasher.hash_one((entry.version.0, &entry.value, entry.expires_at.as_millis()))
    }

    /// How many of these were written: the others are there already.
    async fn write(&self, records: Vec<(Key, Entry)>, now: Timestamp) -> Result<u64, CopyError> {
        let to = self.to;
        let written = stream::iter(records)
            .map(|(key, entry)| async move { to.restore(&key, &entry, now).await })
            .buffer_unordered(AT_ONCE)
            .try_fold(0_u64, async |sum, written| Ok(sum.saturating_add(u64::from(written))));
        written.await.map_err(CopyError::To)
    }

    async fn compare_target(&mut self) -> Result<(), CopyError> {
        let of = u64::try_from(self.records.len()).unwrap_or(u64::MAX);
        let mut done = 0_u64;
        let (from, to) = (self.from, self.to);
        each_page(to, CopyError::To, async |page| {
            let now = (self.now)();
            for Listed { key, entry } in page.records {
                let lives = entry.ok().filter(|entry| !entry.expires_at.has_passed(now));
                let Some(entry) = lives.filter(|_| is_record(key.kind())) else { continue };
                let hash = self.hash(&entry);
                if let Some(wanted) = self.records.get_mut(key.as_str()) {
                    wanted.same = wanted.hash == hash;
                    done = done.saturating_add(u64::from(!std::mem::replace(&mut wanted.found, true)));
                } else if from.get(&key, now).await.map_err(CopyError::From)?.is_none() {
                    to.delete(&key, now).await.map_err(CopyError::To)?;
                    self.copied.removed = self.copied.removed.saturating_add(1);
                }
            }
            (self.progress)(Progress::Comparing { done, of });
            Ok(ControlFlow::Continue(()))
        })
        .await
    }

    async fn verify(&mut self) -> Result<(), CopyError> {
        let now = (self.now)();
        for key in self.sample.values() {
            let (here, there) = (self.from.get(key, now).await, self.to.get(key, now).await);
            let same = here.map_err(CopyError::From)? == there.map_err(CopyError::To)?;
            if let Some(wanted) = self.records.get_mut(key.as_str()) {
                wanted.same &= same;
            }
        }
        let lives = self.records.values().filter(|wanted| !wanted.until.has_passed(now));
        let (mut records, mut missing, mut different) = (0_u64, 0_u64, 0_u64);
        for wanted in lives {
            records = records.saturating_add(1);
            missing = missing.saturating_add(u64::from(!wanted.found));
            different = different.saturating_add(u64::from(!wanted.same));
        }
        self.copied.records = records;
        self.copied.compared = records.saturating_sub(different);
        if missing > 0 || different > 0 {
            return Err(CopyError::Differ { records, missing, different });
        }
        Ok(())
    }
}

/// Whether anything of this program is there that lives.
async fn holds_records(backend: &dyn Backend, now: Timestamp) -> Result<bool, CopyError> {
    let mut held = false;
    each_page(backend, CopyError::To, async |page| {
        held = page.records.into_iter().any(|Listed { key, entry }| {
            is_record(key.kind()) && entry.is_ok_and(|entry| !entry.expires_at.has_passed(now))
        });
        Ok(if held { ControlFlow::Break(()) } else { ControlFlow::Continue(()) })
    })
    .await?;
    Ok(held)
}
