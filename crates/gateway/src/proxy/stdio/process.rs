//! One process: started without a shell, in a group of its own, and ended with everything that it has started.

use std::io;
use std::pin::pin;
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncWriteExt, BufReader};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};
use tokio::sync::mpsc;
use tokio::time::timeout;

use super::environment::{Environment, inherited};
use super::hub::{Hub, Line};
use super::log::Log;
use super::message::Message;
use super::rate::Bucket;
use super::{Launch, Limits, line, memory};
use crate::descriptors;

/// How long what an ended process has said before is still read, and how long a killed one is waited for.
const REST: Duration = Duration::from_millis(500);

/// Starts the program.
pub(super) fn start(launch: &Launch, environment: &Environment, limits: Limits) -> io::Result<Child> {
    let mut command = Command::new(&launch.program);
    command
        .args(&launch.args)
        .env_clear()
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true);
    #[cfg(unix)]
    command.process_group(0);
    // What is to tell of the user never tells of the gateway instead, where a value of theirs is missing.
    let is_theirs = |name: &&str| launch.env.iter().any(|(theirs, _)| theirs == name);
    for name in inherited(launch).filter(|name| !is_theirs(name)) {
        if let Some(value) = std::env::var_os(name) {
            command.env(name, value);
        }
    }
    for (name, value) in &environment.variables {
        command.env(name, value.expose_secret());
    }
    let child = command.spawn()?;
    child.id().into_iter().for_each(descriptors::give_back);
    if let Some((id, max)) = child.id().zip(limits.memory)
        && let Err(error) = memory::bound(id, max)
    {
        signal(Some(id), Signal::Kill);
        return Err(io::Error::new(error.kind(), format!("max_memory cannot be set: {error}")));
    }
    Ok(child)
}

/// Serves its clients until one side ends; then the process and everything that it has started is gone.
pub(super) async fn run(
    mut child: Child,
    hub: Arc<Hub>,
    lines: mpsc::Receiver<Line>,
    limits: Limits,
    log: Log,
) {
    let id = child.id();
    let (stdin, stdout, stderr) = (child.stdin.take(), child.stdout.take(), child.stderr.take());
    let said = tokio::spawn(log.clone().read(stderr));
    let reason = {
        let mut read = pin!(read(stdout, &hub, limits.line, &log));
        tokio::select! {
            reason = &mut read => reason,
            reason = write(stdin, lines, limits.write) => reason,
            status = child.wait() => {
                // What it has said before, such as the answer to the last request.
                let _ = timeout(REST, read).await;
                status.map_or_else(|error| error.to_string(), |status| status.to_string())
            }
            () = hub.unused(limits.idle) => "not needed any more".to_owned(),
            () = hub.end.cancelled() => "its session or the gateway ends".to_owned(),
        }
    };
    log.ended(&reason);
    hub.close();
    end(&mut child, id, limits.goodbye).await;
    // What a process says at its end is often why it has ended.
    let mut said = said;
    if timeout(REST, &mut said).await.is_err() {
        said.abort();
    }
    hub.gone.cancel();
}

/// Reads what the process says, to its end.
async fn read(stdout: Option<ChildStdout>, hub: &Hub, max: usize, log: &Log) -> String {
    let Some(stdout) = stdout else { return "no standard output".to_owned() };
    let mut stdout = BufReader::new(stdout);
    let mut refused = Bucket::default();
    loop {
        match line::next(&mut stdout, max, false).await {
            Ok(Some(line)) if line.is_cut => return format!("a line of more than {max} bytes"),
            Ok(Some(line)) => match Message::parse(&line.text.into()) {
                Ok(message) => hub.deliver(message).await,
                Err(reason) => log.refused(reason, &mut refused),
            },
            Ok(None) => return "its output has ended".to_owned(),
            Err(error) => return error.to_string(),
        }
    }
}

/// Writes what the client says. One that does not read is ended.
async fn write(stdin: Option<ChildStdin>, mut lines: mpsc::Receiver<Line>, limit: Duration) -> String {
    let Some(mut stdin) = stdin else { return "no standard input".to_owned() };
    while let Some(line) = lines.recv().await {
        let written = timeout(limit, async {
            stdin.write_all(&line.text).await?;
            stdin.write_all(b"\n").await?;
            stdin.flush().await
        });
        match written.await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => return error.to_string(),
            Err(_) => return "it does not read its input".to_owned(),
        }
    }
    "nobody is left to write to it".to_owned()
}

/// Its input has ended by now. It is asked to end, then killed, and so is everything in its group.
async fn end(child: &mut Child, id: Option<u32>, goodbye: Duration) {
    signal(id, Signal::Terminate);
    let _ = timeout(goodbye, child.wait()).await;
    signal(id, Signal::Kill);
    let _ = child.start_kill();
    if timeout(REST, child.wait()).await.is_err() {
        tracing::warn!("a stdio server was killed and is still there");
    }
}

#[derive(Clone, Copy)]
enum Signal {
    Terminate,
    Kill,
}

/// To the whole group, whose id is its first process's.
#[cfg(unix)]
fn signal(id: Option<u32>, signal: Signal) {
    use nix::sys::signal;
    let signal = match signal {
        Signal::Terminate => signal::SIGTERM,
        Signal::Kill => signal::SIGKILL,
    };
    if let Some(id) = id.and_then(|id| i32::try_from(id).ok()) {
        // There is nobody left in it, mostly.
        let _ = nix::sys::signal::killpg(nix::unistd::Pid::from_raw(id), signal);
    }
}

#[cfg(not(unix))]
fn signal(_: Option<u32>, _: Signal) {}
