//! All records, page by page: a `SCAN`, then the `GET`s of all names that it gives in one request.

use super::UpstashBackend;
use super::failure::Failure;
use super::rest::{Answer, Command};
use crate::store::backend::{Cursor, Key, Listed, Page, StoreError};
use crate::store::{in_redis, layout};

/// The most `GET`s of one request.
const AT_ONCE: usize = 100;

/// The longest cursor, in bytes: Redis' are numbers.
const CURSOR_LIMIT: usize = 100;

impl UpstashBackend {
    pub(super) async fn page(&self, from: Option<&Cursor>, limit: usize) -> Result<Page, StoreError> {
        let pattern = in_redis::pattern(&self.prefix);
        let (begin, count) = (from.map_or("0", Cursor::as_str), limit.max(1).to_string());
        let scan = Command::read(&["SCAN", begin, "MATCH", &pattern, "COUNT", &count]);
        let (cursor, names) = scanned(self.rest.call(&scan, self.deadline()).await?)?;
        let mut page = Page { next: (cursor != "0").then(|| Cursor::new(cursor)), ..Page::default() };
        let mut keys = Vec::new();
        for name in names {
            match in_redis::key_of(&self.prefix, &name) {
                Some(key) => keys.push(key),
                None => page.foreign = page.foreign.saturating_add(1),
            }
        }
        for keys in keys.chunks(AT_ONCE) {
            let reads: Vec<Command> =
                keys.iter().map(|key| Command::read(&["GET", &self.name(key)])).collect();
            let answers = self.rest.reads(&reads, self.deadline()).await?;
            for (key, answer) in keys.iter().zip(answers) {
                page.records.extend(listed(key, answer)?);
            }
        }
        Ok(page)
    }

    /// How many keys the database has, also those of others; `None` where this token may not ask.
    pub(super) async fn size(&self) -> Result<Option<u64>, StoreError> {
        match self.rest.call(&Command::read(&["DBSIZE"]), self.deadline()).await {
            Ok(size) => Ok(u64::try_from(size.number()?).ok()),
            Err(Failure::Refused(why)) if why.contains("NOPERM") => Ok(None),
            Err(failure) => Err(failure.into()),
        }
    }
}

/// What is at a name that was there a moment ago.
fn listed(key: &Key, answer: Result<Answer, Failure>) -> Result<Option<Listed>, StoreError> {
    match answer {
        Err(Failure::Refused(why)) if why.contains("WRONGTYPE") => {
            Ok(Some(Listed { key: key.clone(), entry: Err(in_redis::OTHER_TYPE) }))
        }
        answered => Ok(answered?.bytes()?.map(|stored| layout::listed(key.clone(), stored))),
    }
}

/// The next cursor, and names.
fn scanned(answer: Answer) -> Result<(String, Vec<Vec<u8>>), Failure> {
    let [cursor, names] = <[Answer; 2]>::try_from(answer.array()?).map_err(|_| Failure::unclear())?;
    let cursor = if let Ok(cursor) = cursor.number() {
        cursor.to_string()
    } else {
        String::from_utf8(cursor.bytes()?.unwrap_or_default().into()).map_err(|_| Failure::unclear())?
    };
    if cursor.is_empty() || cursor.len() > CURSOR_LIMIT {
        return Err(Failure::unclear());
    }
    let names: Result<Vec<_>, Failure> =
        names.array()?.iter().map(|name| Ok(name.bytes()?.unwrap_or_default().into())).collect();
    Ok((cursor, names?))
}
