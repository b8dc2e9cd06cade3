//! What is started behind a mount, for whom, and what it may take.

use std::fmt;
use std::time::Duration;

use super::Sharing;
use crate::proxy::template::Template;

/// What is started, and with what.
#[derive(Clone)]
pub struct Launch {
    /// The program, looked up in `PATH` if its name has no slash. No shell reads it.
    pub program: String,
    /// Its arguments, as they are.
    pub args: Vec<String>,
    /// Variables of its environment.
    pub env: Vec<(String, Template)>,
    /// Names of variables that it gets of the gateway's own, besides `PATH`, `HOME`, `LANG` and `TMPDIR`.
    pub inherit_env: Vec<String>,
}

/// Arguments may be secrets of the operator.
impl fmt::Debug for Launch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Launch").field("program", &self.program).finish_non_exhaustive()
    }
}

/// What the processes of one MCP server may take.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Processes at once.
    pub processes: usize,
    /// Of them one user's. All of those who are not signed in are one.
    pub processes_per_user: usize,
    /// Processes that are started for one user at once, and until there may be one more. All of those who are not signed in
    /// are one.
    pub starts: u32,
    /// See `starts`.
    pub start_again: Duration,
    /// What one process may have of private, writable memory, in bytes; each that it starts has as much again. Linux only.
    /// `None` by default: what a program needs only its operator knows, and one that has too little ends in the middle.
    /// Python is there with 16 MiB, Node.js with 64 to 128, and wants 256 to do something.
    pub memory: Option<u64>,
    /// How long a process stays without a message.
    pub idle: Duration,
    /// The longest message, in bytes, in either direction.
    pub line: usize,
    /// What may wait in memory to be taken by processes and clients, in bytes, of all users; an eighth of it of one.
    pub waiting: usize,
    /// Until a message is taken, by the process or by the client.
    pub write: Duration,
    /// Until a request is answered.
    pub response: Duration,
    /// Until `server/discover` is answered: a program that does not know it may not answer at all.
    pub discover: Duration,
    /// From being asked to end until being killed.
    pub goodbye: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            processes: 64,
            processes_per_user: 8,
            starts: 20,
            start_again: Duration::from_secs(6),
            memory: None,
            idle: Duration::from_secs(600),
            line: 10 * 1024 * 1024,
            waiting: 512 * 1024 * 1024,
            write: Duration::from_secs(10),
            response: Duration::from_secs(300),
            discover: Duration::from_secs(30),
            // Container runtimes kill after ten seconds, and requests in flight had eight of them.
            goodbye: Duration::from_secs(1),
        }
    }
}

/// One program behind one mount.
#[derive(Debug, Clone)]
pub struct StdioOptions {
    /// The path under which requests arrive, as the request line has it.
    pub mount: String,
    /// What is started.
    pub launch: Launch,
    /// What it may take.
    pub limits: Limits,
    /// Who shares a process.
    pub sharing: Sharing,
}
