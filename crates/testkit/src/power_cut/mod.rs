//! A disk that loses power: what was not synced is forgotten, or kept in part. A killed process loses nothing of what it
//! wrote, for the system's cache outlives it; so a store that forgets to sync passes every test that only kills.
//!
//! [`Disk`] is what the disk holds, and [`PoweredDisk`] the file system on top, through FUSE: the store under test opens
//! its file there with the code that users run.

mod disk;
mod filesystem;
mod mount;
mod random;

pub use disk::{Disk, Loss};
pub use mount::PoweredDisk;
pub use random::Random;
