//! What one listener allows.

use std::time::Duration;

/// No more connections than this, however many descriptors there are.
const MAX_CONNECTIONS: usize = 8192;
/// Where the system does not say how many descriptors a process may have.
const CONNECTIONS_UNKNOWN: usize = 512;

/// What one listener allows.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Until the head of a request is there; also how long an idle HTTP/1.1 connection is kept.
    pub header_read: Duration,
    /// How long a connection is kept without a request in flight.
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
    /// Connections get half of the file descriptors that this process may have: the other half is for the connections to
    /// backends and for the store.
    fn default() -> Self {
        Self {
            header_read: Duration::from_secs(15),
            idle: Duration::from_secs(60),
            write: Duration::from_secs(60),
            goodbye: Duration::from_secs(2),
            // Container runtimes kill after ten seconds.
            drain: Duration::from_secs(8),
            connections: connections(std::fs::read_to_string("/proc/self/limits").ok().as_deref()),
        }
    }
}

/// From the text of `/proc/self/limits` (Linux).
fn connections(limits: Option<&str>) -> usize {
    let line = limits.and_then(|limits| limits.lines().find_map(|line| line.strip_prefix("Max open files")));
    match line.and_then(|line| line.split_whitespace().next()) {
        Some("unlimited") => MAX_CONNECTIONS,
        Some(soft) => {
            soft.parse().map_or(CONNECTIONS_UNKNOWN, |soft: usize| (soft / 2).clamp(1, MAX_CONNECTIONS))
        }
        None => CONNECTIONS_UNKNOWN,
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

    #[test]
    fn half_of_the_descriptors_are_for_connections() {
        let with = |soft: &str| {
            connections(Some(&format!(
                "Limit                     Soft Limit           Hard Limit           Units     \n\
                 Max processes             63535                63535                processes \n\
                 Max open files            {soft}                 524288               files     \n"
            )))
        };
        assert_eq!(with("1024"), 512);
        assert_eq!(with("20000"), 8192);
        assert_eq!(with("unlimited"), 8192);
        assert_eq!(with("1"), 1);
        assert_eq!(with("many"), 512);
        assert_eq!(connections(None), 512);
        assert_eq!(connections(Some("")), 512);
    }
}
