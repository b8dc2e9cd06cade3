//! The bound of a process's memory, which the kernel keeps.
//!
//! It is `RLIMIT_DATA` (setrlimit(2)): private, writable memory, since Linux 4.7 also what is mapped. The bound of the address
//! space would be less: runtimes such as Node.js's reserve far more of that than they use. Set from outside right after the
//! start, as it cannot be set between `fork` and `exec` without `unsafe`.

use std::io;

/// Bounds a process, and what it may have started by now. What they start later has the same bound.
#[cfg(target_os = "linux")]
pub(super) fn bound(id: u32, max: u64) -> io::Result<()> {
    use rustix::io::Errno;
    use rustix::process::{Pid, Resource, Rlimit, getrlimit, prlimit};

    /// More than these a program does not start within a moment.
    const MAX_CHILDREN: usize = 256;

    // Nobody can go beyond what the gateway itself is bound to.
    let max = getrlimit(Resource::Data).maximum.map_or(max, |own| own.min(max));
    let mut ids = vec![id];
    let mut done = 0;
    while let Some(id) = ids.get(done).copied().filter(|_| done < MAX_CHILDREN) {
        done += 1;
        let pid = i32::try_from(id).ok().and_then(Pid::from_raw);
        match prlimit(pid, Resource::Data, Rlimit { current: Some(max), maximum: Some(max) }) {
            Ok(_) => ids.extend(children(id)),
            // It has ended by itself.
            Err(Errno::SRCH) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

/// What it has started. Nothing where the kernel does not say.
#[cfg(target_os = "linux")]
fn children(id: u32) -> Vec<u32> {
    let threads = std::fs::read_dir(format!("/proc/{id}/task")).into_iter().flatten().flatten();
    let children = threads.filter_map(|thread| std::fs::read_to_string(thread.path().join("children")).ok());
    children
        .flat_map(|ids| ids.split_whitespace().filter_map(|id| id.parse().ok()).collect::<Vec<_>>())
        .collect()
}

#[cfg(not(target_os = "linux"))]
pub(super) fn bound(_: u32, _: u64) -> io::Result<()> {
    Err(io::Error::new(io::ErrorKind::Unsupported, "memory is bounded on Linux only"))
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::process::{Command, Stdio};

    use super::*;

    #[test]
    fn what_was_started_before_is_bounded_too() {
        // It tells of itself once it runs, so it is there by then.
        let mut parent = Command::new("sh");
        parent.args(["-c", "sh -c 'echo; read x; cat /proc/self/limits'; true"]);
        let mut parent = parent.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let mut line = [0];
        io::Read::read_exact(parent.stdout.as_mut().unwrap(), &mut line).unwrap();
        bound(parent.id(), 300 << 20).unwrap();
        io::Write::write_all(&mut parent.stdin.take().unwrap(), b"\n").unwrap();
        let said = String::from_utf8(parent.wait_with_output().unwrap().stdout).unwrap();
        let limit = said.lines().find(|line| line.starts_with("Max data size")).unwrap();
        assert!(limit.contains("314572800"), "{limit}");
    }
}
