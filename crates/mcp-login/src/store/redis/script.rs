//! The writes, as Lua scripts that Redis runs one at a time.
//!
//! A record is [`crate::store::layout`]'s bytes. Times and versions are 8 bytes in network byte order, compared byte by
//! byte: Lua's numbers are doubles, and its `<` of strings follows the locale of the server.

use super::node::Command;

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
pub(super) struct Writing {
    text: String,
    hash: String,
}

impl Writing {
    fn new(body: &str) -> Self {
        let text = format!("{PRELUDE}{body}");
        let hash = redis::Script::new(&text).get_hash().to_owned();
        Self { text, hash }
    }

    /// `EVALSHA`, for a key with these arguments. It is never sent twice: if its answer is lost, it may have happened.
    pub(super) fn by_hash(&self, key: &[u8], arguments: &[&[u8]]) -> Command {
        command("EVALSHA", &self.hash, key, arguments)
    }

    /// `EVAL`, which also lets Redis know it.
    pub(super) fn in_full(&self, key: &[u8], arguments: &[&[u8]]) -> Command {
        command("EVAL", &self.text, key, arguments)
    }
}

fn command(name: &str, script: &str, key: &[u8], arguments: &[&[u8]]) -> Command {
    let mut cmd = redis::cmd(name);
    cmd.arg(script).arg(1).arg(key);
    for argument in arguments {
        cmd.arg(*argument);
    }
    Command { cmd, repeatable: false }
}

/// All of them.
pub(super) struct Scripts {
    pub(super) insert: Writing,
    pub(super) swap: Writing,
    pub(super) take: Writing,
    pub(super) delete: Writing,
    pub(super) restore: Writing,
}

impl Scripts {
    pub(super) fn new() -> Self {
        Self {
            insert: Writing::new(INSERT),
            swap: Writing::new(SWAP),
            take: Writing::new(TAKE),
            delete: Writing::new(DELETE),
            restore: Writing::new(RESTORE),
        }
    }
}
