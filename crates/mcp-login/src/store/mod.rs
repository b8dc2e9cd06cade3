//! Where records are kept.

pub mod backend;
pub mod conformance;
#[cfg(feature = "file")]
pub mod file;
#[cfg(any(feature = "file", feature = "redis"))]
mod layout;
pub mod memory;
pub mod open;
#[cfg(feature = "redis")]
pub mod redis;
