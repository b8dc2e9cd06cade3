//! File descriptors: how many this process may have, and for whom they are. Once they run out nobody is accepted and no backend
//! is reached, so what is allowed by default needs no more than there are.

use std::io;

/// As many as the process asks for at its start, where it may have them: [`MOST`] connections, and as many requests to each of
/// a few servers.
const WANTED: u64 = 65_536;
/// Those of the store, of the services that people sign in to, of the listener and the log.
const OWN: u64 = 64;
/// No more connections or requests than this, however many descriptors there are.
const MOST: u64 = 8192;
/// And no fewer, however few there are.
const LEAST: u64 = 4;
/// Where the system does not say.
#[cfg(not(unix))]
const UNKNOWN: u64 = 1024;

/// Half of the descriptors that are not the gateway's own: one half is for the connections of clients, the other for requests
/// to backends, each of which has a connection there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Half(u64);

impl Half {
    /// Of what this process may have now.
    #[must_use]
    pub fn of_this_process() -> Self {
        Self::of(soft_limit())
    }

    fn of(soft: u64) -> Self {
        Self(soft.saturating_sub(OWN) / 2)
    }

    /// Connections at once.
    #[must_use]
    pub fn connections(self) -> usize {
        bounded(self.0)
    }

    /// Requests at once to each of so many servers.
    #[must_use]
    pub fn requests(self, servers: usize) -> usize {
        bounded(self.0 / u64::try_from(servers.max(1)).unwrap_or(u64::MAX))
    }
}

fn bounded(count: u64) -> usize {
    usize::try_from(count.clamp(LEAST, MOST)).unwrap_or(usize::MAX)
}

#[cfg(unix)]
mod unix {
    use std::io;
    use std::sync::OnceLock;

    use rustix::io::Errno;
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

    use super::WANTED;

    /// The soft limit before it was raised.
    static BEFORE: OnceLock<u64> = OnceLock::new();

    pub(super) fn soft_limit() -> u64 {
        getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX)
    }

    pub(super) fn raise() -> io::Result<()> {
        let now = getrlimit(Resource::Nofile);
        let Some(soft) = now.current else { return Ok(()) };
        let wanted = now.maximum.map_or(WANTED, |hard| hard.min(WANTED));
        if wanted > soft {
            setrlimit(Resource::Nofile, Rlimit { current: Some(wanted), ..now })?;
            let _ = BEFORE.set(soft);
        }
        Ok(())
    }

    /// See [`super::give_back`].
    #[cfg(target_os = "linux")]
    pub(super) fn give_back(id: u32) -> io::Result<()> {
        use rustix::process::{Pid, prlimit};

        let Some(before) = BEFORE.get() else { return Ok(()) };
        let Some(pid) = i32::try_from(id).ok().and_then(Pid::from_raw) else { return Ok(()) };
        let theirs = Rlimit { current: Some(*before), ..getrlimit(Resource::Nofile) };
        match prlimit(Some(pid), Resource::Nofile, theirs) {
            // It has ended by itself.
            Ok(_) | Err(Errno::SRCH) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    pub(super) fn have_run_out(error: &io::Error) -> bool {
        let codes = [Errno::MFILE, Errno::NFILE].map(Errno::raw_os_error);
        error.raw_os_error().is_some_and(|code| codes.contains(&code))
    }
}

#[cfg(unix)]
fn soft_limit() -> u64 {
    unix::soft_limit()
}

#[cfg(not(unix))]
const fn soft_limit() -> u64 {
    UNKNOWN
}

/// Asks for more descriptors than a process has without asking (mostly 1024, for programs that use select(2)). Before anything
/// is computed from how many there are.
pub fn raise() {
    #[cfg(unix)]
    if let Err(error) = unix::raise() {
        tracing::warn!(%error, "the limit of file descriptors cannot be raised");
    }
}

/// Gives a program that was just started the limit that the gateway had before it raised its own: some close every descriptor
/// up to it, and some use select(2). Linux only. What it has started by now keeps the raised one, which does no harm.
pub(crate) fn give_back(id: u32) {
    #[cfg(target_os = "linux")]
    if let Err(error) = unix::give_back(id) {
        tracing::debug!(%error, "the limit of file descriptors of a program");
    }
    #[cfg(not(target_os = "linux"))]
    let _ = id;
}

/// Whether this process, or the whole system, has no descriptor left.
pub(crate) fn have_run_out(error: &io::Error) -> bool {
    #[cfg(unix)]
    return unix::have_run_out(error);
    #[cfg(not(unix))]
    {
        let _ = error;
        false
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn what_is_allowed_needs_no_more_than_there_are() {
        for (soft, connections, of_one, of_four) in [
            (1024, 480, 480, 120),
            (20_000, 8192, 8192, 2492),
            (WANTED, 8192, 8192, 8184),
            (u64::MAX, 8192, 8192, 8192),
        ] {
            let half = Half::of(soft);
            assert_eq!(
                (half.connections(), half.requests(1), half.requests(4)),
                (connections, of_one, of_four)
            );
            assert!((half.connections() + 4 * half.requests(4)) as u64 + OWN <= soft);
        }
        assert_eq!(Half::of(1024).requests(0), 480);
        // It works, if not for long.
        assert_eq!((Half::of(1).connections(), Half::of(100).requests(18)), (4, 4));
    }

    #[cfg(unix)]
    #[test]
    fn the_end_of_the_descriptors_is_told_from_other_errors() {
        use rustix::io::Errno;
        for (errno, wanted) in [(Errno::MFILE, true), (Errno::NFILE, true), (Errno::CONNREFUSED, false)] {
            assert_eq!(have_run_out(&errno.into()), wanted);
        }
        assert!(!have_run_out(&io::Error::other("no number")));
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn the_limit_is_raised_for_the_gateway_and_not_for_what_it_starts() {
        use std::io::Write;
        use std::process::{Command, Stdio};

        use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

        let limit = getrlimit(Resource::Nofile);
        let most = limit.maximum.map_or(WANTED, |hard| hard.min(WANTED));
        setrlimit(Resource::Nofile, Rlimit { current: Some(most / 2), ..limit }).unwrap();
        raise();
        assert_eq!(getrlimit(Resource::Nofile), Rlimit { current: Some(most), ..limit });
        // There is nothing to raise any more.
        raise();
        let mut program = Command::new("sh");
        program.args(["-c", "read x; ulimit -Sn; ulimit -Hn"]).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut program = program.spawn().unwrap();
        give_back(program.id());
        program.stdin.take().unwrap().write_all(b"\n").unwrap();
        let said = String::from_utf8(program.wait_with_output().unwrap().stdout).unwrap();
        let mut said = said.lines();
        assert_eq!(said.next().unwrap(), (most / 2).to_string());
        assert_eq!(
            said.next().unwrap(),
            limit.maximum.map_or("unlimited".to_owned(), |hard| hard.to_string())
        );
    }
}
