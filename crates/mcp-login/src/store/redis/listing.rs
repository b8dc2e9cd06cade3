//! All records, page by page: `SCAN` at one master after the other, and a `GET` of each name that it gives.

use bytes::Bytes;
use futures_util::future::join_all;
use redis::Value;

use super::failure::Failure;
use super::node::Command;
use super::slots::text;
use super::{RedisBackend, understand};
use crate::store::backend::{Cursor, Key, Listed, Page, StoreError};
use crate::store::{in_redis, layout};

/// Where a page begins: at this master, at this cursor of its `SCAN`. What moves from one master to another meanwhile could
/// be on no page.
struct Place {
    changes: u64,
    master: String,
    cursor: String,
}

impl Place {
    fn parse(cursor: &Cursor) -> Option<Self> {
        let mut parts = cursor.as_str().splitn(3, ' ');
        let (changes, cursor, master) = (parts.next()?.parse().ok()?, parts.next()?, parts.next()?);
        Some(Self { changes, master: master.to_owned(), cursor: cursor.to_owned() })
    }

    fn cursor(&self) -> Cursor {
        Cursor::new(format!("{} {} {}", self.changes, self.cursor, self.master))
    }
}

impl RedisBackend {
    pub(super) async fn page(&self, from: Option<&Cursor>, limit: usize) -> Result<Page, StoreError> {
        let masters = self.route.masters(self.deadline()).await?;
        let changes = self.route.changes();
        let begin_again = || StoreError::unavailable("the masters have changed: begin again");
        let place = match from {
            Some(from) => {
                let place = Place::parse(from).filter(|place| place.changes == changes);
                Some(place.ok_or_else(begin_again)?)
            }
            None => None,
        };
        let wanted = place.as_ref().map(|place| place.master.as_str());
        let index = match wanted {
            Some(wanted) => masters.iter().position(|master| master.address.to_string() == wanted),
            None => Some(0),
        };
        let index = index.ok_or_else(begin_again)?;
        let master = masters.get(index).ok_or_else(begin_again)?;
        let cursor = place.map_or_else(|| "0".to_owned(), |place| place.cursor);

        let pattern = in_redis::pattern(&self.prefix);
        let count = limit.max(1).to_string();
        let scan = Command::read("SCAN", &[&cursor, "MATCH", &pattern, "COUNT", &count]);
        let (cursor, names) = scanned(master.send(&scan, false, self.deadline()).await?)?;
        let mut page = Page::default();
        let mut keys = Vec::new();
        for name in names {
            match in_redis::key_of(&self.prefix, &name) {
                Some(key) => keys.push(key),
                None => page.foreign = page.foreign.saturating_add(1),
            }
        }
        for record in join_all(keys.into_iter().map(|key| self.record(key))).await {
            page.records.extend(record?);
        }
        page.next = if cursor == "0" {
            masters.get(index + 1).map(|next| (next.address.to_string(), "0".to_owned()))
        } else {
            Some((master.address.to_string(), cursor))
        }
        .map(|(master, cursor)| Place { changes, master, cursor }.cursor());
        Ok(page)
    }

    /// What is at a name that was there a moment ago.
    async fn record(&self, key: Key) -> Result<Option<Listed>, StoreError> {
        let name = self.name(&key);
        match self.route.call(&name, &Self::reading(&name), self.deadline()).await {
            Err(Failure::Refused(why)) if why.contains("WRONGTYPE") => {
                Ok(Some(Listed { key, entry: Err(in_redis::OTHER_TYPE) }))
            }
            answered => {
                let stored: Option<Bytes> = understand(answered?)?;
                Ok(stored.map(|stored| layout::listed(key, stored)))
            }
        }
    }

    /// How many keys the databases have, also those of others; `None` where this user may not ask.
    pub(super) async fn size(&self) -> Result<Option<u64>, StoreError> {
        let mut size = 0_u64;
        for master in self.route.masters(self.deadline()).await? {
            match master.send(&Command::read("DBSIZE", &[]), false, self.deadline()).await {
                Ok(Value::Int(keys)) => size = size.saturating_add(u64::try_from(keys).unwrap_or(0)),
                Ok(_) | Err(Failure::Refused(_)) => return Ok(None),
                Err(failure) => return Err(failure.into()),
            }
        }
        Ok(Some(size))
    }
}

/// The next cursor, and names.
fn scanned(answer: Value) -> Result<(String, Vec<Vec<u8>>), StoreError> {
    let Value::Array(parts) = answer else { return understand(answer) };
    let [cursor, names] = <[Value; 2]>::try_from(parts)
        .map_err(|_| StoreError::unavailable("Redis answered a SCAN that cannot be understood"))?;
    Ok((text(&cursor), understand(names)?))
}
