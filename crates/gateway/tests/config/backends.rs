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
fn the_environment_can_set_them() {
    for (value, wanted) in [
        ("http://10.0.0.3/", &["http://10.0.0.3/"][..]),
        ("http://10.0.0.3/, http://10.0.0.4/", &["http://10.0.0.3/", "http://10.0.0.4/"][..]),
        ("http://10.0.0.3/,HTTPS://10.0.0.4/,", &["http://10.0.0.3/", "https://10.0.0.4/"][..]),
        // A comma of the URL itself.
        ("http://10.0.0.3/a,b", &["http://10.0.0.3/a,b"][..]),
        ("http://10.0.0.3/a,b,http://10.0.0.4/,c", &["http://10.0.0.3/a,b", "http://10.0.0.4/,c"][..]),
    ] {
        let checked = check_with(&file(BACKEND), &[("MCP_LOGIN_MCP__0__BACKEND", value)]).unwrap();
        let Backend::Urls(BackendConfig { urls, .. }) = &checked.config.mcp[0].backend else {
            panic!("a program")
        };
        let urls: Vec<&str> = urls.iter().map(|url| url.as_url().as_str()).collect();
        assert_eq!(urls, wanted);
    }
}

#[test]
fn backends_are_http_without_userinfo() {
    let backend = |url: &str| with("http://127.0.0.1:3000/mcp", url);
    for bad in ["ftp://h", "h:3000", "http://u:p@h/", "http://h/?key=1", "http://h/#x", "", "http://h:0/"] {
        one_fault(&backend(bad), "mcp[0].backend");
    }
    check(&backend("https://h.example/base/")).unwrap();
}

#[test]
fn a_backend_that_is_the_gateway_is_a_fault() {
    let backend = "http://127.0.0.1:3000/mcp";
    let listening = |listen: &str, instead: &str| {
        with(backend, instead).replacen('\n', &format!("\nlisten = \"{listen}\"\n"), 1)
    };
    for (listen, own) in [
        ("127.0.0.1:8080", "http://127.0.0.1:8080/mcp"),
        ("127.0.0.1:8080", "http://localhost:8080/"),
        ("0.0.0.0:80", "http://localhost"),
        ("0.0.0.0:8080", "http://127.0.0.1:8080/mcp"),
        ("[::]:8080", "http://127.0.0.1:8080/mcp"),
        ("[::1]:8080", "http://[::1]:8080/mcp"),
        ("10.0.0.1:8080", "http://10.0.0.1:8080/mcp"),
        ("127.0.0.1:8080", "http://0.0.0.0:8080/mcp"),
    ] {
        let message = one_fault(&listening(listen, own), "mcp[0].backend");
        assert!(message.contains("own listen"), "{message}");
    }
    for other in ["https://mcp.example.com/x", "https://MCP.example.com:443"] {
        let message = one_fault(&with(backend, other), "mcp[0].backend");
        assert!(message.contains("own public_url"), "{message}");
    }
    for (listen, other) in [
        ("127.0.0.1:8080", "http://127.0.0.1:8081/"),
        ("127.0.0.1:8080", "http://127.0.0.2:8080/"),
        ("0.0.0.0:8080", "http://other:8080/"),
        ("10.0.0.1:8080", "http://localhost:8080/"),
        ("10.0.0.1:8080", "https://mcp.example.com:8443/"),
    ] {
        check(&listening(listen, other)).unwrap_or_else(|faults| panic!("{listen} {other}: {faults}"));
    }
    // A host that is shared by its paths.
    let shared = |instead: &str| {
        with(backend, instead).replace("https://mcp.example.com\"", "https://mcp.example.com/gw\"")
    };
    check(&shared("https://mcp.example.com/gwx")).unwrap_or_else(|faults| panic!("{faults}"));
    one_fault(&shared("https://mcp.example.com/gw/mcp"), "mcp[0].backend");
}
