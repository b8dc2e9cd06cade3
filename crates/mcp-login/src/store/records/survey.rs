//! What is in a store, for its operator: how many records of which kind, and which of them cannot be read.

use std::collections::BTreeMap;
use std::ops::ControlFlow;

use mcp_login_core::Timestamp;
use mcp_login_core::grant::Grant;

use super::account::{ACCOUNTS, AccountSession};
use super::approvals::{APPROVALS, Approval};
use super::clients::{CLIENTS, ClientRecord};
use super::decode;
use super::grants::GRANTS;
use super::lease::LEASES;
use super::people::{Logins, PEOPLE};
use super::published_keys::{KEY_SETS, PublishedKeys};
use super::session_key::SECRETS;
use super::used::USED;
use crate::store::Store;
use crate::store::backend::{Key, Listed, StoreError};
use crate::store::copy::COPY;
use crate::store::probe::PROBE;
use crate::store::walk::{Seen, each_page};

/// How many damaged records are named.
const NAMED: usize = 100;

/// What is in a store.
#[derive(Debug, Default)]
pub struct Survey {
    /// By kind of record.
    pub kinds: BTreeMap<String, Count>,
    /// Grants, by their stage.
    pub stages: BTreeMap<&'static str, u64>,
    /// How many people have a login.
    pub people: u64,
    /// How many records cannot be read.
    pub damaged: u64,
    /// The first 100 of them, and what is wrong.
    pub named: Vec<(Key, &'static str)>,
    /// How many names stand among the records that this version knows nothing of.
    pub foreign: u64,
    /// A copy to this store was broken off.
    pub unfinished_copy: bool,
}

/// How much there is of one kind.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Count {
    /// Records that live.
    pub records: u64,
    /// How long they are, in bytes, all together; without their keys and what the store adds.
    pub bytes: u64,
    /// The longest, in bytes.
    pub longest: u64,
    /// Records that have ended and are not taken out yet.
    pub ended: u64,
}

impl Store {
    /// Looks at every record. `progress` hears how many have been looked at.
    pub async fn survey(&self, now: Timestamp, mut progress: impl FnMut(u64)) -> Result<Survey, StoreError> {
        let (mut survey, mut seen, mut people) = (Survey::default(), Seen::default(), Seen::default());
        each_page(
            self.backend(),
            |error| error,
            async |page| {
                survey.foreign = survey.foreign.saturating_add(number(page.foreign));
                for record in page.records {
                    if seen.insert(record.key.as_str(), ())
                        && let Some(subject) = survey.add(record, now)
                    {
                        people.insert(&subject, ());
                    }
                }
                progress(number(seen.len()));
                Ok(ControlFlow::Continue(()))
            },
        )
        .await?;
        survey.people = number(people.len());
        Ok(survey)
    }
}

impl Survey {
    /// Counts a record, and gives the person whose login it is.
    fn add(&mut self, Listed { key, entry }: Listed, now: Timestamp) -> Option<String> {
        let read = entry.and_then(|entry| Ok((read(&key, &entry.value)?, entry)));
        let (read, entry) = match read {
            Ok(read) => read,
            Err(why) => {
                self.name(key, why);
                return None;
            }
        };
        let lives = !entry.expires_at.has_passed(now);
        match &read {
            Read::Grant(_) | Read::Other => {
                let count = self.kinds.entry(key.kind().to_owned()).or_default();
                count.add(entry.value.len(), lives);
            }
            Read::Copy => self.unfinished_copy = true,
            Read::Foreign => self.foreign = self.foreign.saturating_add(1),
            Read::Probe => {}
        }
        let Read::Grant(grant) = read else { return None };
        if !lives {
            return None;
        }
        let stage = self.stages.entry(grant.stage()).or_default();
        *stage = stage.saturating_add(1);
        grant.login().map(|login| login.user.subject.clone())
    }

    fn name(&mut self, key: Key, why: &'static str) {
        self.damaged = self.damaged.saturating_add(1);
        if self.named.len() < NAMED {
            self.named.push((key, why));
        }
    }
}

impl Count {
    fn add(&mut self, length: usize, lives: bool) {
        if !lives {
            self.ended = self.ended.saturating_add(1);
            return;
        }
        let length = number(length);
        self.records = self.records.saturating_add(1);
        self.bytes = self.bytes.saturating_add(length);
        self.longest = self.longest.max(length);
    }
}

fn number(length: usize) -> u64 {
    u64::try_from(length).unwrap_or(u64::MAX)
}

enum Read {
    Grant(Box<Grant>),
    Other,
    Copy,
    Probe,
    Foreign,
}

/// Reads a record as those do who use it.
fn read(key: &Key, value: &[u8]) -> Result<Read, &'static str> {
    match key.kind() {
        GRANTS => decode(value, "it is no grant").map(|grant| Read::Grant(Box::new(grant))),
        CLIENTS => decode::<ClientRecord>(value, "it is no client").map(|_| Read::Other),
        PEOPLE => decode::<Logins>(value, "it is no list of logins").map(|_| Read::Other),
        ACCOUNTS => decode::<AccountSession>(value, "it is no account session").map(|_| Read::Other),
        APPROVALS => decode::<Approval>(value, "it is no approval").map(|_| Read::Other),
        KEY_SETS => decode::<PublishedKeys>(value, "it is no set of keys").map(|_| Read::Other),
        USED | SECRETS | LEASES => Ok(Read::Other),
        COPY => Ok(Read::Copy),
        PROBE => Ok(Read::Probe),
        _ => Ok(Read::Foreign),
    }
    .map_err(|error| match error {
        StoreError::Damaged(why) => why,
        _ => "it cannot be read",
    })
}
