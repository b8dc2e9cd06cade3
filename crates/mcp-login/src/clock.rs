//! Time and randomness, handed in: no test waits for a lifetime, no rule reads a clock by itself.

use std::fmt::Debug;
use std::time::{SystemTime, UNIX_EPOCH};

use mcp_login_core::Timestamp;

/// Where the time comes from.
pub trait Clock: Debug + Send + Sync + 'static {
    /// Now.
    fn now(&self) -> Timestamp;
}

/// The clock of the operating system.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Timestamp::from_millis(u64::try_from(since_epoch.as_millis()).unwrap_or(u64::MAX))
    }
}
