//! `command` at `[[mcp]]`.

use std::time::Duration;

use mcp_login_gateway::config::valid::{Backend, CommandConfig};
use mcp_login_gateway::proxy::Sharing;

use super::{MINIMAL, check, one_fault, warnings, with};

const BACKEND: &str = "backend = \"http://127.0.0.1:3000/mcp\"";

fn file(lines: &str) -> String {
    with(BACKEND, &format!("command = [\"npx\", \"-y\", \"server\"]\n{lines}"))
}

fn command(text: &str) -> CommandConfig {
    let checked = check(text).unwrap_or_else(|faults| panic!("{faults}"));
    let Backend::Command(command) = checked.config.mcp[0].backend.clone() else { panic!("an address") };
    command
}

#[test]
fn a_program_has_the_documented_defaults() {
    let CommandConfig { launch, limits, sharing } = command(&file(""));
    assert_eq!(sharing, Sharing::User);
    assert_eq!(
        (launch.program.as_str(), launch.args.as_slice()),
        ("npx", &["-y".into(), "server".into()][..])
    );
    assert!(launch.env.is_empty() && launch.inherit_env.is_empty());
    assert_eq!((limits.processes, limits.processes_per_user), (64, 8));
    assert_eq!(limits.idle, Duration::from_secs(600));
    assert_eq!(limits.memory, None);
}

#[test]
fn everything_of_a_program_can_be_set() {
    let CommandConfig { launch, limits, .. } = command(&file(
        "env = { TOKEN = \"{upstream.access_token}\" }\ninherit_env = [\"HTTPS_PROXY\"]\nidle_timeout = \"1h\"\n\
         max_processes = 9\nmax_processes_per_user = 9",
    ));
    assert!(launch.env[0].0 == "TOKEN" && launch.env[0].1.needs_upstream_token());
    assert_eq!(launch.inherit_env, ["HTTPS_PROXY"]);
    assert_eq!(limits.idle, Duration::from_secs(3600));
    assert_eq!((limits.processes, limits.processes_per_user), (9, 9));
    for (word, sharing) in
        [("session", Sharing::Session), ("user", Sharing::User), ("shared", Sharing::Shared)]
    {
        let text = file(&format!("env = {{ A = \"x\" }}\nprocesses = {word:?}"));
        assert_eq!(command(&text).sharing, sharing);
    }
    if cfg!(target_os = "linux") {
        assert_eq!(command(&file("max_memory = \"512MiB\"")).limits.memory, Some(512 << 20));
    } else {
        one_fault(&file("max_memory = \"512MiB\""), "mcp[0].max_memory");
    }
    assert_eq!(command(&file("max_processes = 3")).limits.processes_per_user, 3);
}

#[test]
fn few_processes_of_everybodys_are_a_warning() {
    let of = |lines: &str| warnings(&file(&format!("processes = \"shared\"\n{lines}")));
    let usual = of("");
    for (lines, key) in [
        ("max_processes = 5", "mcp[0].max_processes"),
        ("max_processes_per_user = 1", "mcp[0].max_processes_per_user"),
    ] {
        let all = of(lines);
        assert!(all.iter().any(|warned| warned == key) && all.len() == usual.len() + 1, "{all:?}");
        assert_eq!(warnings(&file(lines)).len(), usual.len());
    }
    assert_eq!(of("max_processes = 6"), usual);
}

#[test]
fn a_program_that_cannot_be_is_a_fault() {
    for (lines, key) in [
        ("env = { \"A=B\" = \"x\" }", "mcp[0].env.\"A=B\""),
        ("env = { A = \"{user.id}\" }", "mcp[0].env.A"),
        ("inherit_env = [\"PATH\", \"\"]", "mcp[0].inherit_env[1]"),
        ("processes = \"one\"", "mcp[0].processes"),
        ("env = { A = \"{user.sub}\" }\nprocesses = \"shared\"", "mcp[0].processes"),
        ("idle_timeout = \"0s\"", "mcp[0].idle_timeout"),
        ("max_memory = \"512MB\"", "mcp[0].max_memory"),
        ("max_memory = \"15MiB\"", "mcp[0].max_memory"),
        ("max_memory = \"1025GiB\"", "mcp[0].max_memory"),
        ("max_processes = 0", "mcp[0].max_processes"),
        ("max_processes_per_user = -1", "mcp[0].max_processes_per_user"),
        ("max_processes = 2\nmax_processes_per_user = 3", "mcp[0].max_processes_per_user"),
        ("headers = { X-A = \"x\" }", "mcp[0].headers"),
        (BACKEND, "mcp[0].command"),
    ] {
        one_fault(&file(lines), key);
    }
    for command in
        ["[]", "[\"\"]", "[\"npx\", \"\\u0000\"]", "[\"npx\", \"--token={upstream.access_token}\"]"]
    {
        one_fault(&with(BACKEND, &format!("command = {command}")), "mcp[0].command");
    }
}

#[test]
fn what_belongs_to_a_program_needs_one() {
    for (line, key) in [
        ("env = { A = \"x\" }", "mcp[0].env"),
        ("inherit_env = []", "mcp[0].inherit_env"),
        ("processes = \"user\"", "mcp[0].processes"),
        ("idle_timeout = \"1m\"", "mcp[0].idle_timeout"),
        ("max_memory = \"1GiB\"", "mcp[0].max_memory"),
        ("max_processes = 1", "mcp[0].max_processes"),
        ("max_processes_per_user = 1", "mcp[0].max_processes_per_user"),
    ] {
        one_fault(&with(BACKEND, &format!("{BACKEND}\n{line}")), key);
    }
    // One of the two is needed.
    one_fault(&with(BACKEND, ""), "mcp[0].backend");
}

#[test]
fn a_program_that_needs_its_user_from_the_start_is_not_lazy() {
    let lazy = |lines: &str| warnings(&file(&format!("auth = \"lazy\"\n{lines}")));
    assert_eq!(lazy("env = { TOKEN = \"{upstream.access_token}\" }"), ["mcp[0].auth"]);
    assert!(lazy("env = { KEY = \"constant\" }").is_empty());
}

/// Arguments and variables may be secrets of the operator.
#[test]
fn a_program_is_shown_by_its_name() {
    let text = with(BACKEND, "command = [\"npx\", \"hunter2\"]\nenv = { KEY = \"hunter2\" }");
    let checked = check(&text).unwrap_or_else(|faults| panic!("{faults}"));
    let mcp = &checked.config.mcp[0];
    assert_eq!(mcp.backend.to_string(), "npx");
    assert!(!format!("{mcp:?}").contains("hunter2"));
    assert!(MINIMAL.contains(BACKEND));
}
