//! Where records are kept.

pub mod backend;
