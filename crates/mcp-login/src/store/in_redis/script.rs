//! The writes, as Lua scripts that Redis runs one at a time.
//!
//! A record is [`crate::store::layout`]'s bytes. Times and versions are 8 bytes in network byte order, compared byte by
//! byte: Lua's numbers are doubles, and its `<` of strings follows the locale of the server.

use aws_lc_rs::digest::{SHA1_FOR_LEGACY_USE_ONLY, digest};
use mcp_login_core::Timestamp;

use super::kept_for;
use crate::store::backend::{Entry, Version};
use crate::store::layout;

/// The record was written or removed.
pub(super) const DONE: i64 = 1;
/// The record is at another version than was expected.
pub(super) const CONFLICT: i64 = 2;
/// What is stored is shorter than a record's head.
pub(super) const DAMAGED: i64 = -1;
// 0, and anything else: there is a record already (insert, restore), or none (swap, delete).

/// `ARGV[1]` is the time of the call. An ended record is left for Redis to take out, unless it is written over.
const PRELUDE: &str = r"
local key, now = KEYS[1], ARGV[1]
local stored = redis.call('GET', key)
local function ended()
  for i = 1, 8 do
    local a, b = string.byte(stored, 8 + i), string.byte(now, i)
    if a ~= b then return a < b end
  end
  return true
end
local function put(record, life)
  if life == '0' then redis.call('SET', key, record) else redis.call('SET', key, record, 'PX', life) end
end
";

const INSERT: &str = r"
if stored then
  if #stored < 16 then return -1 end
  if not ended() then return 0 end
end
put(ARGV[2], ARGV[3])
return 1
";

const SWAP: &str = r"
if not stored then return 0 end
if #stored < 16 then return -1 end
if ended() then return 0 end
if string.sub(stored, 1, 8) ~= ARGV[4] then return 2 end
put(ARGV[2], ARGV[3])
return 1
";

const TAKE: &str = r"
if stored and #stored >= 16 and not ended() then redis.call('DEL', key) end
return stored
";

const DELETE: &str = r"
if not stored then return 0 end
redis.call('DEL', key)
if #stored >= 16 and ended() then return 0 end
return 1
";

/// Bytes in network byte order sort as the numbers do.
const RESTORE: &str = r"
if stored then
  if #stored < 16 then return -1 end
  if not ended() then
    local newer = false
    for i = 1, 8 do
      local a, b = string.byte(stored, i), string.byte(ARGV[2], i)
      if a ~= b then
        newer = a < b
        break
      end
    end
    if not newer then return 0 end
  end
end
put(ARGV[2], ARGV[3])
return 1
";

/// A script, which Redis is asked to run by its hash, and sent only when it does not know it yet.
pub(in crate::store) struct Script {
    pub(in crate::store) text: String,
    /// SHA-1, as Redis names scripts.
    pub(in crate::store) hash: String,
}

impl Script {
    fn new(before: &str, body: &str) -> Self {
        let text = format!("{before}{PRELUDE}{body}");
        let hash = hex(digest(&SHA1_FOR_LEGACY_USE_ONLY, text.as_bytes()).as_ref());
        Self { text, hash }
    }
}

pub(in crate::store) fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write;
    bytes.iter().fold(String::with_capacity(2 * bytes.len()), |mut text, byte| {
        // Writing to a string does not fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// A script with what it is given besides the key. It is never sent twice: if its answer is lost, it may have happened.
pub(in crate::store) struct Change<'a> {
    pub(in crate::store) script: &'a Script,
    pub(in crate::store) arguments: Vec<Vec<u8>>,
}

/// All of them.
pub(in crate::store) struct Scripts {
    insert: Script,
    swap: Script,
    take: Script,
    delete: Script,
    restore: Script,
}

impl Scripts {
    /// `before` stands before each: what it takes to get the arguments back, where they cannot be sent as they are.
    pub(in crate::store) fn new(before: &str) -> Self {
        let script = |body| Script::new(before, body);
        Self {
            insert: script(INSERT),
            swap: script(SWAP),
            take: script(TAKE),
            delete: script(DELETE),
            restore: script(RESTORE),
        }
    }

    pub(in crate::store) fn insert(&self, value: &[u8], expires_at: Timestamp, now: Timestamp) -> Change<'_> {
        let record = layout::encode(Version::FIRST, expires_at, value);
        let arguments = vec![bytes(now), record, life(expires_at, now)];
        Change { script: &self.insert, arguments }
    }

    pub(in crate::store) fn swap(
        &self,
        expected: Version,
        value: &[u8],
        expires_at: Timestamp,
        now: Timestamp,
    ) -> Change<'_> {
        let record = layout::encode(expected.next(), expires_at, value);
        let arguments = vec![bytes(now), record, life(expires_at, now), expected.0.to_be_bytes().to_vec()];
        Change { script: &self.swap, arguments }
    }

    pub(in crate::store) fn take(&self, now: Timestamp) -> Change<'_> {
        Change { script: &self.take, arguments: vec![bytes(now)] }
    }

    pub(in crate::store) fn delete(&self, now: Timestamp) -> Change<'_> {
        Change { script: &self.delete, arguments: vec![bytes(now)] }
    }

    pub(in crate::store) fn restore(&self, entry: &Entry, now: Timestamp) -> Change<'_> {
        let record = layout::encode(entry.version, entry.expires_at, &entry.value);
        let arguments = vec![bytes(now), record, life(entry.expires_at, now)];
        Change { script: &self.restore, arguments }
    }
}

fn bytes(time: Timestamp) -> Vec<u8> {
    time.as_millis().to_be_bytes().to_vec()
}

fn life(expires_at: Timestamp, now: Timestamp) -> Vec<u8> {
    kept_for(expires_at, now).unwrap_or(0).to_string().into_bytes()
}
