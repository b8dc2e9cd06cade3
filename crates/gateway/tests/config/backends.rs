//! `backend` at `[[mcp]]`, one or several.

use std::time::Duration;

use mcp_login_gateway::config::valid::{Backend, BackendConfig};

use super::{check, check_with, one_fault, warnings, with};

const BACKEND: &str = "backend = \"http://127.0.0.1:3000/mcp\"";
const TWO: &str = "backend = [\"http://10.0.0.1:3000/mcp\", \"https://10.0.0.2\"]";

fn backends(text: &str) -> BackendConfig {
    let checked = check(text).unwrap_or_else(|faults| panic!("{faults}"));
    let Backend::Urls(backends) = checked.config.mcp[0].backend.clone() else { panic!("a program") };
    backends
}

fn file(lines: &str) -> String {
    with(BACKEND, lines)
}

#[test]
fn there_may_be_one_or_several() {
    for (line, wanted) in [
        (BACKEND, &["http://127.0.0.1:3000/mcp"][..]),
        ("backend = [\"http://127.0.0.1:3000/mcp\"]", &["http://127.0.0.1:3000/mcp"][..]),
        (TWO, &["http://10.0.0.1:3000/mcp", "https://10.0.0.2/"][..]),
    ] {
        let BackendConfig { urls, health, max_body } = backends(&file(line));
        let urls: Vec<&str> = urls.iter().map(|url| url.as_url().as_str()).collect();
        assert_eq!(urls, wanted);
        assert!(health.is_none() && max_body.is_none());
    }
    let shown = check(&file(TWO)).unwrap().config.mcp[0].backend.to_string();
    assert_eq!(shown, "http://10.0.0.1:3000/mcp, https://10.0.0.2/");
}

#[test]
fn each_of_a_list_has_its_fault() {
    for (line, key) in [
        ("backend = [\"http://a/\", \"ftp://b/\"]", "mcp[0].backend[1]"),
        ("backend = [\"http://a/\", \"http://b/?x=1\"]", "mcp[0].backend[1]"),
        ("backend = [\"http://a\", \"http://b\", \"http://A:80/\"]", "mcp[0].backend[2]"),
        ("backend = [\"http://a/\", \"http://127.0.0.1:8080/mcp\"]", "mcp[0].backend[1]"),
        ("backend = [\"http://127.0.0.1:8080/mcp\"]", "mcp[0].backend"),
        ("backend = []", "mcp[0].backend"),
        ("backend = 3000", "mcp[0].backend"),
    ] {
        one_fault(&file(line), key);
    }
    let many: Vec<String> = (0..65).map(|n| format!("\"http://10.0.0.{n}/\"")).collect();
    one_fault(&file(&format!("backend = [{}]", many.join(", "))), "mcp[0].backend");
}

#[test]
fn they_are_asked_whether_they_are_well_only_if_that_is_written() {
    let health = backends(&file(&format!("{TWO}\nhealth_path = \"/healthz?deep=1\""))).health.unwrap();
    assert_eq!(health.path, "/healthz?deep=1");
    assert_eq!((health.interval, health.timeout), (Duration::from_secs(5), Duration::from_secs(2)));
    let lines = "health_path = \"/\"\nhealth_interval = \"1m\"\nhealth_timeout = \"10s\"";
    let health = backends(&file(&format!("{TWO}\n{lines}"))).health.unwrap();
    assert_eq!((health.interval, health.timeout), (Duration::from_secs(60), Duration::from_secs(10)));
    for (lines, key) in [
        ("health_path = \"healthz\"", "health_path"),
        ("health_path = \"/a b\"", "health_path"),
        ("health_path = \"/\"\nhealth_interval = \"0s\"", "health_interval"),
        ("health_path = \"/\"\nhealth_timeout = \"2m\"", "health_timeout"),
        ("health_interval = \"5s\"", "health_interval"),
        ("health_timeout = \"5s\"", "health_timeout"),
    ] {
        one_fault(&file(&format!("{TWO}\n{lines}")), &format!("mcp[0].{key}"));
    }
    assert_eq!(warnings(&file(&format!("{BACKEND}\nhealth_path = \"/\""))), ["mcp[0].health_path"]);
    assert!(warnings(&file(&format!("{TWO}\nhealth_path = \"/\""))).is_empty());
}

#[test]
fn a_program_has_none_of_it() {
    for line in ["health_path = \"/\"", "max_body = \"1MiB\""] {
        let (key, _) = line.split_once(' ').unwrap();
        one_fault(&file(&format!("command = [\"npx\"]\n{line}")), &format!("mcp[0].{key}"));
    }
}

#[test]
fn the_environment_sets_no_list_here() {
    assert!(check_with(&file(TWO), &[("MCP_LOGIN_MCP__BACKEND", "http://10.0.0.3/")]).is_err());
}
