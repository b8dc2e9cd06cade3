//! On whose behalf something is looked up, and whether it may cost us a call.

use std::fmt;
use std::time::Duration;

use mcp_login_core::Timestamp;

/// Whoever asks for a client, and when.
#[derive(Clone, Copy)]
pub(crate) struct Asker<'a> {
    pub(crate) now: Timestamp,
    /// Takes one fetch from what the asker may make us fetch; when that is used up, tells how long to wait.
    pub(crate) may_fetch: &'a (dyn Fn() -> Result<(), Duration> + Sync),
}

impl Asker<'_> {
    /// The same for what the operator has named: nobody else chose the address.
    pub(super) fn for_operator(self) -> Asker<'static> {
        Asker { now: self.now, may_fetch: &|| Ok(()) }
    }
}

impl fmt::Debug for Asker<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Asker").field("now", &self.now).finish_non_exhaustive()
    }
}
