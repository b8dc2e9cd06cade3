//! `command` at `[[mcp]]`: a program instead of an address.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::time::Duration;

use super::upstream::one_of;
use crate::config::duration::parse;
use crate::config::fault::Faults;
use crate::config::{check, raw, size};
use crate::proxy::{Launch, ProcessLimits, Sharing, Template};

/// More processes than this are no mistake of typing only on machines that nobody has.
const MAX_PROCESSES: i64 = 4096;
/// With less no runtime starts.
const MEMORY: RangeInclusive<u64> = 16 << 20..=1 << 40;
const IDLE: RangeInclusive<Duration> = Duration::from_secs(1)..=Duration::from_secs(24 * 60 * 60);

/// A program, and what its processes may take.
#[derive(Debug, Clone)]
pub struct CommandConfig {
    /// What is started.
    pub launch: Launch,
    /// What it may take.
    pub limits: ProcessLimits,
    /// Who shares one.
    pub sharing: Sharing,
}

pub(super) fn judge(raw: &raw::Mcp, key: &str, faults: &mut Faults) -> Option<CommandConfig> {
    let Some(command) = &raw.command else {
        for name in without_command(raw) {
            faults.push(format!("{key}.{name}"), "belongs to command, which is not here");
        }
        return None;
    };
    if raw.backend.is_some() {
        faults.push(format!("{key}.command"), "stands beside backend: write one of the two");
    }
    if !raw.headers.is_empty() {
        faults.push(format!("{key}.headers"), "a program gets no headers: write env");
    }
    for name in with_backend(raw) {
        faults.push(format!("{key}.{name}"), "belongs to backend, which is not here");
    }
    let launch = launch(command, raw, key, faults);
    let limits = limits(raw, key, faults);
    let sharing = sharing(raw, &format!("{key}.processes"), launch.as_ref(), faults);
    if sharing == Some(Sharing::Shared)
        && let Some(limits) = limits.filter(|limits| limits.processes_per_user < Sharing::MAX_SHARED)
    {
        let name =
            if raw.max_processes_per_user.is_some() { "max_processes_per_user" } else { "max_processes" };
        let message = format!(
            "\"shared\" is one process for each revision of MCP that clients speak, {} at most: with {} of them, clients \
             of different revisions end each other's",
            Sharing::MAX_SHARED,
            limits.processes_per_user
        );
        faults.warn(format!("{key}.{name}"), message);
    }
    Some(CommandConfig { launch: launch?, limits: limits?, sharing: sharing? })
}

/// The keys that say nothing of a program.
fn with_backend(raw: &raw::Mcp) -> impl Iterator<Item = &'static str> {
    let given = [
        ("health_path", raw.health_path.is_some()),
        ("health_interval", raw.health_interval.is_some()),
        ("health_timeout", raw.health_timeout.is_some()),
        ("max_body", raw.max_body.is_some()),
    ];
    given.into_iter().filter(|(_, given)| *given).map(|(name, _)| name)
}

/// The keys that say nothing of an address.
fn without_command(raw: &raw::Mcp) -> impl Iterator<Item = &'static str> {
    let given = [
        ("env", raw.env.is_some()),
        ("inherit_env", raw.inherit_env.is_some()),
        ("processes", raw.processes.is_some()),
        ("idle_timeout", raw.idle_timeout.is_some()),
        ("max_processes", raw.max_processes.is_some()),
        ("max_processes_per_user", raw.max_processes_per_user.is_some()),
        ("max_memory", raw.max_memory.is_some()),
    ];
    given.into_iter().filter(|(_, given)| *given).map(|(name, _)| name)
}

fn launch(command: &[String], raw: &raw::Mcp, key: &str, faults: &mut Faults) -> Option<Launch> {
    let env = variables(raw.env.as_ref(), &format!("{key}.env"), faults);
    let inherit_env = raw.inherit_env.clone().unwrap_or_default();
    for (n, name) in inherit_env.iter().enumerate().filter(|(_, name)| !is_name(name)) {
        faults.push(format!("{key}.inherit_env[{n}]"), format!("{name:?} is no name of a variable"));
    }
    let key = format!("{key}.command");
    let Some((program, args)) = command.split_first().filter(|(program, _)| !program.is_empty()) else {
        faults.push(key, "names no program: write [\"npx\", \"-y\", \"some-stdio-server\"]");
        return None;
    };
    if command.iter().any(|word| word.contains('\0')) {
        faults.push(&key, "holds a zero byte");
    }
    if command.iter().any(|word| Template::parse(word).is_ok_and(|word| word.needs_user())) {
        faults
            .push(&key, "placeholders are filled in env only: everybody on a machine can read command lines");
    }
    Some(Launch { program: program.clone(), args: args.to_vec(), env, inherit_env })
}

fn variables(
    written: Option<&BTreeMap<String, String>>,
    key: &str,
    faults: &mut Faults,
) -> Vec<(String, Template)> {
    let mut variables = Vec::new();
    for (name, text) in written.into_iter().flatten() {
        let key = check::join(key, name);
        if !is_name(name) {
            faults.push(key, "not the name of a variable: letters, digits and _, and no digit first");
            continue;
        }
        match Template::parse(text) {
            Ok(template) => variables.push((name.clone(), template)),
            Err(message) => faults.push(key, message),
        }
    }
    variables
}

/// POSIX.1-2024 §8.1, and small letters.
fn is_name(name: &str) -> bool {
    let begins = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
    begins && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
}

fn sharing(raw: &raw::Mcp, key: &str, launch: Option<&Launch>, faults: &mut Faults) -> Option<Sharing> {
    let words = [("session", Sharing::Session), ("user", Sharing::User), ("shared", Sharing::Shared)];
    let sharing = match raw.processes.clone() {
        None => Sharing::default(),
        written => one_of(written, key, &words, faults)?,
    };
    let named = launch.and_then(|launch| launch.env.iter().find(|(_, template)| template.needs_user()));
    if sharing == Sharing::Shared
        && let Some((name, _)) = named
    {
        let message =
            format!("\"shared\" is one process for everybody, and env.{name} names the user: write \"user\"");
        faults.push(key, message);
    }
    Some(sharing)
}

fn limits(raw: &raw::Mcp, key: &str, faults: &mut Faults) -> Option<ProcessLimits> {
    let default = ProcessLimits::default();
    let idle = match &raw.idle_timeout {
        None => Some(default.idle),
        Some(written) => parse(written).filter(|idle| IDLE.contains(idle)),
    };
    if idle.is_none() {
        faults.push(format!("{key}.idle_timeout"), "not a duration from \"1s\" to \"24h\"");
    }
    let memory = memory(raw.max_memory.as_deref(), &format!("{key}.max_memory"), faults);
    let mut count = |written: Option<i64>, name: &str, default: usize| {
        let count = written.map_or(Some(default), |written| {
            usize::try_from(written).ok().filter(|_| (1..=MAX_PROCESSES).contains(&written))
        });
        if count.is_none() {
            faults.push(format!("{key}.{name}"), format!("not a number from 1 to {MAX_PROCESSES}"));
        }
        count
    };
    let processes = count(raw.max_processes, "max_processes", default.processes);
    // Who allows fewer in all need not say that one user has no more.
    let of_all = processes.unwrap_or(default.processes).min(default.processes_per_user);
    let of_user = count(raw.max_processes_per_user, "max_processes_per_user", of_all);
    let (processes, processes_per_user) = (processes?, of_user?);
    if processes_per_user > processes {
        let message = format!("more than max_processes, which is {processes}");
        faults.push(format!("{key}.max_processes_per_user"), message);
    }
    Some(ProcessLimits { idle: idle?, processes, processes_per_user, memory, ..default })
}

/// `None`, too, where it was a fault.
fn memory(written: Option<&str>, key: &str, faults: &mut Faults) -> Option<u64> {
    let size = size::parse(written?).ok().filter(|size| MEMORY.contains(size));
    if size.is_none() {
        faults.push(key, "not a size from \"16MiB\" to \"1024GiB\": write \"512MiB\"");
    } else if !cfg!(target_os = "linux") {
        faults.push(key, "memory is bounded on Linux only: take it out, and bound the gateway's container");
    }
    size
}
