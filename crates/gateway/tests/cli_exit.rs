//! The built program: exit codes, and what goes to which stream.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

use std::path::Path;
use std::process::{Command, Output};

use mcp_login::clock::{Clock, SystemClock};

fn run(folder: &Path, args: &[&str], environment: &[(&str, &str)]) -> Output {
    let path = std::env::var_os("PATH").unwrap_or_default();
    Command::new(env!("CARGO_BIN_EXE_mcp-login"))
        .args(args)
        .current_dir(folder)
        .env_clear()
        .env("PATH", path)
        .envs(environment.iter().copied())
        .output()
        .unwrap()
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap()
}

const GOOD: &str = r#"
public_url = "https://mcp.example.com"
[upstream]
provider = "github"
client_id = "id"
client_secret = "hunter2"
[[mcp]]
path = "/mcp"
backend = "http://127.0.0.1:3000/mcp"
"#;

fn folder(config: &str) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("mcp-login.toml"), config).unwrap();
    folder
}

#[test]
fn bad_usage_is_2_and_help_is_0() {
    let folder = tempfile::tempdir().unwrap();
    for args in [&[][..], &["nonsense"], &["serve", "--nonsense"], &["demo", "--port", "x"], &["config"]] {
        assert_eq!(run(folder.path(), args, &[]).status.code(), Some(2), "{args:?}");
    }
    for args in [&["--help"][..], &["--version"], &["serve", "--help"]] {
        let output = run(folder.path(), args, &[]);
        assert_eq!(output.status.code(), Some(0), "{args:?}");
        assert!(output.stderr.is_empty() && !output.stdout.is_empty(), "{args:?}");
    }
    let output = run(folder.path(), &["providers"], &[("RUST_LOG", "info,x=nonsense")]);
    assert_eq!(output.status.code(), Some(2));
    assert!(text(&output.stderr).contains("RUST_LOG"));
}

#[test]
fn a_good_configuration_is_0() {
    let folder = folder(GOOD);
    let output = run(folder.path(), &["config", "check"], &[]);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    let shown = text(&output.stdout);
    assert!(shown.starts_with("ok: https://mcp.example.com\n"), "{shown}");
    assert!(!shown.contains("hunter2") && !shown.contains('\x1b'), "{shown}");
}

#[test]
fn a_bad_configuration_is_2_everywhere() {
    let folder = folder(&GOOD.replace("backend", "backnd"));
    for args in [&["config", "check"][..], &["serve"], &["serve", "--config", "mcp-login.toml"]] {
        let output = run(folder.path(), args, &[]);
        assert_eq!(output.status.code(), Some(2), "{args:?}");
        let shown = text(&output.stderr);
        assert!(shown.contains("  mcp[0].backnd: unknown key; did you mean \"backend\"?\n"), "{shown}");
        assert!(shown.contains("  mcp[0].backend: required"), "{shown}");
        assert!(output.stdout.is_empty());
    }
    let output = run(folder.path(), &["config", "check", "--json"], &[]);
    assert_eq!(output.status.code(), Some(2));
    let json: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(json["ok"], false);
    assert_eq!(json["faults"][0]["key"], "mcp[0].backnd");
    assert!(output.stderr.is_empty(), "{}", text(&output.stderr));
}

#[test]
fn a_file_that_is_not_there_is_said() {
    let folder = tempfile::tempdir().unwrap();
    let output = run(folder.path(), &["config", "check", "--config", "other.toml"], &[]);
    assert_eq!(output.status.code(), Some(2));
    assert_eq!(text(&output.stderr), "error: other.toml: there is no such file\n");
    let line = "mcp-login.toml is not in this folder: go to its folder, or name it with --config FILE";
    for args in [&["config", "check"][..], &["serve"]] {
        let output = run(folder.path(), args, &[("MCP_LOGIN_SERVICE_HOST", "10.0.0.1")]);
        assert_eq!(output.status.code(), Some(2));
        assert_eq!(text(&output.stderr), format!("error: {line}\n"));
    }
    // With a variable of ours, the rest may be meant to come from the environment, too.
    let some = [("MCP_LOGIN_PUBLIC_URL", "https://mcp.example.com")];
    let output = run(folder.path(), &["config", "check"], &some);
    let shown = text(&output.stderr);
    assert!(shown.contains("  upstream: required") && shown.contains(line), "{shown}");
}

#[test]
fn providers_show_the_callback_of_the_configuration() {
    let folder = folder(GOOD);
    let output = run(folder.path(), &["providers"], &[]);
    assert_eq!(output.status.code(), Some(0));
    let shown = text(&output.stdout);
    assert!(shown.contains("github") && shown.contains("https://mcp.example.com/callback"), "{shown}");
    let other = [("MCP_LOGIN_PUBLIC_URL", "https://other.example")];
    let output = run(folder.path(), &["providers", "github", "--json"], &other);
    let json: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(json["callback_url"], "https://other.example/callback");
    assert_eq!(json["provider"]["name"], "github");
    let output = run(folder.path(), &["providers", "gihtub"], &[]);
    assert_eq!(output.status.code(), Some(2));
    assert!(text(&output.stderr).contains("did you mean \"github\"?"), "{}", text(&output.stderr));
}

#[test]
fn a_port_that_is_taken_is_1_and_the_fix_is_said() {
    let folder = tempfile::tempdir().unwrap();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let output = run(folder.path(), &["demo", "--port", &port], &[]);
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stderr).contains("--port"), "{}", text(&output.stderr));
}

/// Something starts it again and again: with a key of each start on it, the list would be full of them.
#[tokio::test]
async fn a_start_that_fails_lists_no_key() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let listen = format!("listen = {:?}\n", taken.local_addr().unwrap().to_string());
    let folder = folder(&format!("{listen}{GOOD}assertion = true\n"));
    let output = run(folder.path(), &["serve"], &[]);
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stderr).contains("cannot listen"), "{}", text(&output.stderr));
    let store = format!("file:{}", folder.path().join("mcp-login.db").display());
    let store = mcp_login::Store::open(&store).await.unwrap();
    let survey = store.survey(SystemClock.now(), |_| {}).await.unwrap();
    assert!(!survey.kinds.contains_key("jwks"), "{:?}", survey.kinds);
}
