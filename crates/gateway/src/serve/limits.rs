//! What one listener allows.

use std::time::Duration;

use crate::descriptors::Half;

/// What one listener allows.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Until the head of a request is there; also how long an idle HTTP/1.1 connection is kept.
    pub header_read: Duration,
    /// How long a connection is kept without a request in flight: HTTP/2's, and HTTP/1.1's where it is shorter than `header_read`.
    pub idle: Duration,
    /// How long a client may leave unread what it is sent. A stream on which there is nothing to send may go on for ever.
    pub write: Duration,
    /// How long a connection that is asked to end may stay without a request in flight.
    pub goodbye: Duration,
    /// How long requests in flight may go on after the end was asked for. Event streams are cut then.
    pub drain: Duration,
    /// Connections at once; more wait.
    pub connections: usize,
}

impl Default for Limits {
    /// Connections are as many as the file descriptors of this process are enough for, beside those to backends.
    fn default() -> Self {
        Self {
            header_read: Duration::from_secs(15),
            idle: Duration::from_secs(60),
            write: Duration::from_secs(60),
            goodbye: Duration::from_secs(2),
            // Container runtimes kill after ten seconds.
            drain: Duration::from_secs(8),
            connections: Half::of_this_process().connections(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_comes_before_a_container_runtime_kills() {
        let limits = Limits::default();
        assert!(limits.drain <= Duration::from_secs(8) && limits.goodbye <= Duration::from_secs(2));
    }
}
