//! A real Redis for one test.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::missing_panics_doc,
    reason = "a test that cannot have its server cannot go on"
)]

use std::io::{self, BufRead, BufReader, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

/// How long a server may take until it answers.
const START_LIMIT: Duration = Duration::from_secs(10);

/// The name of its configuration file; a sentinel writes into it.
const CONFIGURATION: &str = "redis.conf";

/// A `redis-server` on a free port of 127.0.0.1 that keeps nothing on disk. It is killed when this is dropped.
#[derive(Debug)]
pub struct RedisServer {
    port: u16,
    folder: TempDir,
    mode: Vec<String>,
    child: Option<Child>,
}

/// An answer of Redis, as RESP 2 has them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reply {
    /// `+OK` and the like.
    Status(String),
    /// `-ERR …`.
    Error(String),
    /// A number.
    Integer(i64),
    /// Bytes, or none.
    Bulk(Option<Vec<u8>>),
    /// Several answers.
    Array(Vec<Reply>),
}

impl RedisServer {
    /// Starts a server and waits until it answers.
    ///
    /// # Panics
    /// When `redis-server` is not installed, or does not answer within ten seconds.
    #[must_use]
    pub fn start() -> Self {
        Self::start_with(Vec::new)
    }

    /// The same with further settings, one line of a configuration file each; asked for again when a port was taken.
    ///
    /// # Panics
    /// As [`start`](Self::start).
    #[must_use]
    pub fn start_with(settings: impl Fn() -> Vec<String>) -> Self {
        Self::start_as(&[], settings)
    }

    /// A sentinel, which needs `sentinel monitor …` among its settings.
    pub(crate) fn start_sentinel(settings: impl Fn() -> Vec<String>) -> Self {
        Self::start_as(&["--sentinel"], settings)
    }

    fn start_as(mode: &[&str], settings: impl Fn() -> Vec<String>) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        // Another process may take the port between its choice and the start; then another is chosen.
        for _ in 0..5 {
            let (port, mut settings) = (free_port(), settings());
            if mode.is_empty() {
                settings.extend(["save \"\"", "appendonly no"].map(str::to_owned));
            }
            settings.extend([format!("port {port}"), "bind 127.0.0.1".to_owned()]);
            settings.push(format!("dir {}", folder.path().display()));
            std::fs::write(folder.path().join(CONFIGURATION), settings.join("\n")).expect("a configuration");
            let mode: Vec<String> = mode.iter().map(|&mode| mode.to_owned()).collect();
            if let Some(child) = launch(port, &folder, &mode) {
                return Self { port, folder, mode, child: Some(child) };
            }
        }
        panic!("redis-server ended at once, on five free ports");
    }

    /// Where it listens, on 127.0.0.1.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Where it listens with TLS, if its settings say so; otherwise 0.
    #[must_use]
    pub fn tls_port(&self) -> u16 {
        let Reply::Array(pair) = self.query(&["CONFIG", "GET", "tls-port"]) else { panic!("no tls-port") };
        match pair.last() {
            Some(Reply::Bulk(Some(port))) => String::from_utf8_lossy(port).parse().expect("a port"),
            other => panic!("tls-port is {other:?}"),
        }
    }

    /// Whether it has been started and not stopped.
    #[must_use]
    pub fn is_running(&self) -> bool {
        self.child.is_some()
    }

    /// `redis://127.0.0.1:PORT/`.
    #[must_use]
    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}/", self.port)
    }

    /// Kills the server; its connections break and new ones are refused.
    pub fn stop(&mut self) {
        if let Some(mut child) = self.child.take() {
            // The kill wakes a paused one too.
            child.kill().expect("redis-server can be killed");
            child.wait().expect("redis-server can be waited for");
        }
    }

    /// Starts it again on the same port, empty; a node of a Cluster is who it was.
    ///
    /// # Panics
    /// When it does not start, for instance because another process has taken the port.
    pub fn restart(&mut self) {
        self.stop();
        let child = launch(self.port, &self.folder, &self.mode);
        self.child = Some(child.expect("redis-server starts again on its port"));
    }

    /// Lets the server hang: connections stay, and new ones are accepted by the kernel, but nothing is answered.
    #[cfg(unix)]
    pub fn pause(&self) {
        self.signal("STOP");
    }

    /// Ends [`pause`](Self::pause).
    #[cfg(unix)]
    pub fn resume(&self) {
        self.signal("CONT");
    }

    #[cfg(unix)]
    fn signal(&self, signal: &str) {
        let id = self.child.as_ref().expect("the server runs").id();
        let sent = Command::new("sh").args(["-c", &format!("kill -s {signal} {id}")]).status();
        assert!(sent.expect("sh runs").success(), "signal {signal} was not sent");
    }

    /// Asks one command on a connection of its own.
    ///
    /// # Panics
    /// When the server does not answer.
    pub fn query<A: AsRef<[u8]>>(&self, command: &[A]) -> Reply {
        query(self.port, command).expect("redis-server answers")
    }

    /// The same, as text: `INFO`, `CLUSTER NODES` and the like. Empty when it does not answer with text.
    #[must_use]
    pub fn text(&self, command: &[&str]) -> String {
        match query(self.port, command) {
            Ok(Reply::Bulk(Some(text))) => String::from_utf8_lossy(&text).into_owned(),
            Ok(Reply::Status(text)) => text,
            _ => String::new(),
        }
    }

    /// The value of `name:value` in what `INFO section` says; empty when there is none.
    #[must_use]
    pub fn info(&self, section: &str, name: &str) -> String {
        let info = self.text(&["INFO", section]);
        let value = info.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
        value.unwrap_or_default().trim().to_owned()
    }

    /// Waits until it has, as a replica, all that this master has answered by now.
    pub fn wait_until_it_has_all_of(&self, master: &Self) {
        let offset =
            |server: &Self, name| server.info("replication", name).parse::<u64>().unwrap_or_default();
        let written = offset(master, "master_repl_offset");
        wait_for("the replica has what its master has", || offset(self, "slave_repl_offset") >= written);
    }

    /// Every key and its value, in the order of the keys; all values must be strings.
    #[must_use]
    pub fn dump(&self) -> Vec<(Vec<u8>, Vec<u8>)> {
        let Reply::Array(keys) = self.query(&["KEYS", "*"]) else { panic!("KEYS gives an array") };
        let mut all: Vec<_> = keys.into_iter().filter_map(|key| self.with_value(key)).collect();
        all.sort();
        all
    }

    fn with_value(&self, key: Reply) -> Option<(Vec<u8>, Vec<u8>)> {
        let Reply::Bulk(Some(key)) = key else { panic!("KEYS gives names") };
        match self.query(&[b"GET".as_slice(), &key]) {
            Reply::Bulk(Some(value)) => Some((key, value)),
            // It has ended in the meantime.
            Reply::Bulk(None) => None,
            other => panic!("GET gave {other:?}"),
        }
    }

    /// How long Redis still keeps this key, if it is there and has an end.
    #[must_use]
    pub fn time_to_live(&self, key: &str) -> Option<Duration> {
        match self.query(&["PTTL", key]) {
            Reply::Integer(millis) => u64::try_from(millis).ok().map(Duration::from_millis),
            other => panic!("PTTL gave {other:?}"),
        }
    }
}

impl Drop for RedisServer {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            // A failure here may come while a test already panics.
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// Waits until something is so.
pub(crate) fn wait_for(what: &str, mut is_so: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !is_so() {
        assert!(begun.elapsed() < 2 * START_LIMIT, "it does not come to pass that {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

pub(crate) fn free_port() -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
    listener.local_addr().expect("a bound address").port()
}

/// `None` when the server ended by itself, as it does when the port is taken.
fn launch(port: u16, folder: &TempDir, mode: &[String]) -> Option<Child> {
    let mut child = Command::new("redis-server")
        .arg(folder.path().join(CONFIGURATION))
        .args(mode)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap_or_else(|error| match error.kind() {
            io::ErrorKind::NotFound => {
                panic!("redis-server is not installed (Debian: apt install redis-server)")
            }
            _ => panic!("redis-server does not start: {error}"),
        });
    let begun = Instant::now();
    while begun.elapsed() < START_LIMIT {
        if child.try_wait().expect("redis-server can be asked for its state").is_some() {
            return None;
        }
        if answers(port, child.id()) {
            return Some(child);
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    let _ = child.kill();
    let _ = child.wait();
    panic!("redis-server does not answer on port {port} within {START_LIMIT:?}");
}

/// Whether it is this very process that answers, not another that was quicker to take the port.
fn answers(port: u16, process: u32) -> bool {
    let up = query(port, &["PING"]).is_ok_and(|reply| reply == Reply::Status("PONG".to_owned()));
    let this = format!("process_id:{process}\r\n");
    up && matches!(query(port, &["INFO", "server"]), Ok(Reply::Bulk(Some(info)))
        if String::from_utf8_lossy(&info).contains(&this))
}

fn query<A: AsRef<[u8]>>(port: u16, command: &[A]) -> io::Result<Reply> {
    let replies = converse(port, &[command])?;
    replies.into_iter().next().ok_or_else(|| io::ErrorKind::UnexpectedEof.into())
}

/// Asks several commands on one connection of its own, in this order.
pub(crate) fn converse<C: AsRef<[A]>, A: AsRef<[u8]>>(port: u16, commands: &[C]) -> io::Result<Vec<Reply>> {
    let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port))?;
    stream.set_read_timeout(Some(Duration::from_secs(5)))?;
    let mut sent = Vec::new();
    for command in commands.iter().map(AsRef::as_ref) {
        sent.extend_from_slice(format!("*{}\r\n", command.len()).as_bytes());
        for argument in command.iter().map(AsRef::as_ref) {
            sent.extend_from_slice(format!("${}\r\n", argument.len()).as_bytes());
            sent.extend_from_slice(argument);
            sent.extend_from_slice(b"\r\n");
        }
    }
    stream.write_all(&sent)?;
    let mut stream = BufReader::new(stream);
    commands.iter().map(|_| read_reply(&mut stream)).collect()
}

fn read_reply(from: &mut impl BufRead) -> io::Result<Reply> {
    let mut line = String::new();
    from.read_line(&mut line)?;
    let line = line.trim_end();
    let Some((kind, text)) = line.split_at_checked(1) else {
        return Err(io::ErrorKind::UnexpectedEof.into());
    };
    let number = || text.parse::<i64>().map_err(|_| io::Error::from(io::ErrorKind::InvalidData));
    Ok(match kind {
        "+" => Reply::Status(text.to_owned()),
        "-" => Reply::Error(text.to_owned()),
        ":" => Reply::Integer(number()?),
        "$" => match usize::try_from(number()?) {
            Err(_) => Reply::Bulk(None),
            Ok(length) => {
                let mut bytes = vec![0; length + 2];
                from.read_exact(&mut bytes)?;
                bytes.truncate(length);
                Reply::Bulk(Some(bytes))
            }
        },
        "*" => Reply::Array((0..number()?).map(|_| read_reply(from)).collect::<io::Result<_>>()?),
        _ => return Err(io::ErrorKind::InvalidData.into()),
    })
}
