//! `store check`, `stats` and `copy` as an operator runs them. Needs `redis-server`.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

use std::path::Path;
use std::process::{Command, Output};
use std::time::Duration;

use bytes::Bytes;
use mcp_login::clock::{Clock, SystemClock};
use mcp_login::store::backend::{Backend, Key};
use mcp_login::store::file::FileBackend;
use mcp_login_testkit::redis_server::{RedisServer, Reply};
use serde_json::{Value, json};

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

fn run(folder: &Path, args: &[&str], environment: &[(&str, &str)]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_mcp-login"))
        .arg("store")
        .args(args)
        .current_dir(folder)
        .env_clear()
        .envs(environment.iter().copied())
        .output()
        .unwrap()
}

/// What it prints, and its exit code.
fn out(folder: &Path, args: &[&str]) -> (String, i32) {
    let output = run(folder, args, &[]);
    let text = [output.stdout, output.stderr].concat();
    (String::from_utf8(text).unwrap(), output.status.code().unwrap())
}

fn json_of(folder: &Path, args: &[&str]) -> Value {
    let output = run(folder, &[args, &["--json"]].concat(), &[]);
    serde_json::from_slice(&output.stdout).unwrap()
}

/// A folder with a store of three grants, one of them ended, and a session key.
fn filled() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let now = SystemClock.now();
    runtime.block_on(async {
        let store = FileBackend::open(&folder.path().join("mcp-login.db")).unwrap();
        let claimed = |end: u64| Bytes::from(json!({"stage": "claimed", "expires_at": end}).to_string());
        for (id, end) in [("1", now.plus(DAY)), ("2", now.plus(DAY)), ("3", now)] {
            let grant = claimed(end.as_millis());
            assert!(store.insert(&Key::new("grant", id), grant, end, now).await.unwrap());
        }
        let secret = Key::new("secret", "mcp-sessions");
        assert!(store.insert(&secret, Bytes::from_static(b"key"), now.plus(DAY), now).await.unwrap());
    });
    folder
}

fn insert(folder: &Path, id: &str, value: &'static [u8]) {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let now = SystemClock.now();
    runtime.block_on(async {
        let store = FileBackend::open(&folder.join("mcp-login.db")).unwrap();
        let key = Key::new("grant", id);
        assert!(store.insert(&key, Bytes::from_static(value), now.plus(DAY), now).await.unwrap());
    });
}

#[test]
fn stats_count_by_kind_and_stage() {
    let folder = filled();
    let stats = json_of(folder.path(), &["stats"]);
    assert_eq!(stats["kinds"]["grant"]["records"], 2);
    assert_eq!(stats["kinds"]["grant"]["ended"], 1);
    assert_eq!(stats["kinds"]["secret"]["bytes"], 3);
    assert_eq!(stats["stages"], json!({"claimed": 2}));
    let (text, code) = out(folder.path(), &["stats"]);
    assert_eq!(code, 0);
    assert!(text.starts_with("file:mcp-login.db\n"), "{text}");
    let rows: Vec<Vec<&str>> = text.lines().map(|line| line.split_whitespace().collect()).collect();
    assert!(rows.contains(&vec!["claimed", "2"]), "{text}");
    assert!(rows.contains(&vec!["secret", "1", "3", "3", "0"]), "{text}");
}

#[test]
fn check_names_what_cannot_be_read_and_fails() {
    let folder = filled();
    let (text, code) = out(folder.path(), &["check"]);
    assert_eq!(code, 0, "{text}");
    assert!(!text.contains("bad ") && text.contains("3 read"), "{text}");
    insert(folder.path(), "torn", b"{\"stage\":");
    let (text, code) = out(folder.path(), &["check", "file:mcp-login.db"]);
    assert_eq!(code, 1, "{text}");
    assert!(
        text.contains("1 record cannot be read") && text.contains("grant:torn: it is no grant"),
        "{text}"
    );
    assert_eq!(json_of(folder.path(), &["check"])["ok"], false);
}

#[test]
fn a_store_that_is_not_there_is_not_made() {
    let folder = tempfile::tempdir().unwrap();
    for args in [
        &["stats", "file:other.db"][..],
        &["check", "file:other.db"],
        &["copy", "file:other.db", "memory:"],
        &["stats"],
    ] {
        let (text, code) = out(folder.path(), args);
        assert_eq!(code, 2, "{args:?}: {text}");
        assert!(text.contains("is not there"), "{text}");
    }
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
    let (text, code) = out(folder.path(), &["check", "redis://127.0.0.1:1"]);
    assert_eq!(code, 1, "{text}");
    assert!(text.contains("bad   answers  the store cannot be reached: "), "{text}");
}

#[test]
fn a_file_is_moved_to_a_redis_in_one_command() {
    let (folder, redis) = (filled(), RedisServer::start());
    redis.query(&["ACL", "SETUSER", "mcp", "on", ">hunter2", "~*", "+@all"]);
    let url = redis.url().replace("redis://", "redis://mcp:hunter2@");
    let args = ["copy", "file:mcp-login.db", "env:TARGET"];
    let output = run(folder.path(), &args, &[("TARGET", &url)]);
    let text = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
    assert_eq!(output.status.code(), Some(0), "{text}");
    assert!(text.starts_with("3 records copied\n"), "{text}");
    assert!(text.contains("1 record left behind that had ended"), "{text}");
    assert!(text.contains("redis://127.0.0.1:") && text.contains("(keys mcp-login:*)"), "{text}");
    assert!(!text.contains("hunter2"), "{text}");
    assert_eq!(redis.query(&["DBSIZE"]), Reply::Integer(3));

    let (text, code) = out(folder.path(), &["copy", "file:mcp-login.db", &url]);
    assert_eq!(code, 1, "{text}");
    assert!(text.contains("holds records already") && text.contains("--catch-up"), "{text}");
    insert(folder.path(), "4", b"{\"stage\":\"claimed\",\"expires_at\":1}");
    let (text, code) = out(folder.path(), &["copy", "file:mcp-login.db", &url, "--catch-up"]);
    assert_eq!((text.contains("add --yes"), code), (true, 2), "{text}");
    let copied = json_of(folder.path(), &["copy", "file:mcp-login.db", &url, "--catch-up", "--yes"]);
    assert_eq!((&copied["records"], &copied["written"]), (&json!(4), &json!(1)));

    // And to another prefix of the same server.
    let (text, code) = out(folder.path(), &["copy", &url, &url, "--to-key-prefix", "other:"]);
    assert_eq!(code, 0, "{text}");
    let stats = json_of(folder.path(), &["stats", &url, "--key-prefix", "other:"]);
    assert_eq!(stats["kinds"]["grant"]["records"], 3);
    let (text, code) = out(folder.path(), &["copy", &url, &url]);
    assert_eq!(code, 2, "{text}");
    assert!(text.contains("the same store"), "{text}");
    let (text, code) = out(folder.path(), &["copy", &url, &url, "--to-key-prefix", "mcp-login:grant:"]);
    assert_eq!((text.contains("one is within the other"), code), (true, 2), "{text}");
}

#[test]
fn the_configuration_says_where_it_is_and_how_its_keys_begin() {
    let (folder, redis) = (filled(), RedisServer::start());
    // What it lacks otherwise, the store does not need.
    let config = format!("[store]\nurl = \"{}\"\nkey_prefix = \"mine:\"\n", redis.url());
    std::fs::write(folder.path().join("mcp-login.toml"), config).unwrap();
    let (text, code) = out(folder.path(), &["copy", "file:mcp-login.db", &redis.url()]);
    assert_eq!(code, 0, "{text}");
    assert!(text.contains("(keys mine:*)"), "{text}");
    assert_eq!(json_of(folder.path(), &["stats"])["kinds"]["grant"]["records"], 2);
    assert_eq!(redis.query(&["EXISTS", "mine:grant:1"]), Reply::Integer(1));
    std::fs::write(folder.path().join("mcp-login.toml"), "[store]\nkey_prefix = \"a b\"\n").unwrap();
    let (text, code) = out(folder.path(), &["stats"]);
    assert_eq!(code, 2, "{text}");
    assert!(text.contains("store.key_prefix"), "{text}");
}

#[test]
fn nobody_is_served_from_half_a_copy() {
    let (folder, redis) = (tempfile::tempdir().unwrap(), RedisServer::start());
    redis.query(&[
        "SET",
        "mcp-login:copy:unfinished",
        &format!("{}{}1", "\u{1}".repeat(8), "\u{1}".repeat(8)),
    ]);
    // An end that is far away: 0x0101… milliseconds.
    let config = format!(
        "public_url = \"http://127.0.0.1:1\"\nlisten = \"127.0.0.1:0\"\n[store]\nurl = \"{}\"\n[upstream]\n\
         provider = \"github\"\nclient_id = \"id\"\nclient_secret = \"s\"\n[[mcp]]\npath = \"/mcp\"\n\
         backend = \"http://127.0.0.1:2/mcp\"\n",
        redis.url()
    );
    std::fs::write(folder.path().join("mcp-login.toml"), config).unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_mcp-login"))
        .arg("serve")
        .current_dir(folder.path())
        .env_clear()
        .output()
        .unwrap();
    let text = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{text}");
    assert!(text.contains("finish it with `mcp-login store copy`"), "{text}");
    let (text, code) = out(folder.path(), &["check"]);
    assert_eq!(code, 1, "{text}");
    assert!(text.contains("a copy to this store was broken off"), "{text}");
}
