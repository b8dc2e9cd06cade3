//! The house rules that a machine can keep: who may know whom, and how large a file may get.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::fs;
use std::path::{Path, PathBuf};

/// A file has one thing to say. Past this many lines it has two.
const MAX_LINES: usize = 500;

/// In the library, what a room may know of the others. `server` puts everything together and may know all of them.
const ROOMS: [(&str, &[&str]); 12] = [
    ("jwt", &[]),
    ("store", &[]),
    ("dpop", &["jwt", "store"]),
    ("upstream", &["jwt"]),
    ("page", &[]),
    ("clock", &[]),
    ("assertion", &["clock", "store", "telemetry"]),
    ("client", &["jwt", "settings", "store"]),
    ("grant_type", &["client", "dpop", "store", "settings", "upstream"]),
    (
        "endpoint",
        &[
            "assertion",
            "client",
            "clock",
            "dpop",
            "grant_type",
            "page",
            "settings",
            "store",
            "telemetry",
            "upstream",
        ],
    ),
    ("resource", &["assertion", "clock", "dpop", "settings", "store", "telemetry", "upstream"]),
    ("rmcp", &["resource"]),
];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().unwrap()
}

fn rust_files(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display())) {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files.extend(rust_files(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
    files
}

/// The files of a module: `name.rs` and everything under `name/`.
fn module(src: &Path, name: &str) -> Vec<PathBuf> {
    let (file, folder) = (src.join(format!("{name}.rs")), src.join(name));
    let mut files = if folder.is_dir() { rust_files(&folder) } else { Vec::new() };
    files.extend(file.is_file().then_some(file));
    assert!(!files.is_empty(), "there is no module {name}");
    files
}

/// The top-level modules that a file names as `crate::module`.
fn known_rooms(text: &str) -> impl Iterator<Item = &str> {
    text.split("crate::")
        .skip(1)
        .filter_map(|rest| rest.split(|c: char| !c.is_alphanumeric() && c != '_').next())
}

#[test]
fn a_room_knows_only_what_is_below_it() {
    let src = root().join("crates/mcp-login/src");
    let all: Vec<&str> =
        ROOMS.iter().map(|(room, _)| *room).chain(["server", "settings", "telemetry"]).collect();
    for (room, may_know) in ROOMS {
        for file in module(&src, room) {
            let text = fs::read_to_string(&file).unwrap();
            for known in known_rooms(&text).filter(|known| all.contains(known) && *known != room) {
                assert!(
                    may_know.contains(&known),
                    "{} knows {known}, which is not below {room}",
                    file.display()
                );
            }
        }
    }
}

#[test]
fn the_store_knows_no_http_and_nobody_else_a_backend() {
    let src = root().join("crates/mcp-login/src");
    // Upstash is a store that is spoken to by HTTP: the client of one, and still no server's.
    let upstash = module(&src.join("store"), "upstash");
    let check = |room: &str, forbidden: &[&str]| {
        // Tests may build what they need.
        for file in module(&src, room).into_iter().filter(|file| !file.ends_with("tests.rs")) {
            if upstash.contains(&file) {
                continue;
            }
            let text = fs::read_to_string(&file).unwrap();
            for name in forbidden {
                assert!(!text.contains(name), "{} names {name}", file.display());
            }
        }
    };
    check("store", &["axum", "http::", "reqwest"]);
    for file in &upstash {
        assert!(!fs::read_to_string(file).unwrap().contains("axum"), "{} names axum", file.display());
    }
    for room in ["endpoint", "grant_type", "resource", "client", "server"] {
        check(room, &["MemoryBackend", "FileBackend", "RedisBackend", "UpstashBackend", "redb::", "redis::"]);
    }
}

/// The crate of rules cannot do I/O, because it depends on nothing that can; and it does not reach for what `std` has.
#[test]
fn the_rules_are_pure() {
    let core = root().join("crates/core");
    let manifest = fs::read_to_string(core.join("Cargo.toml")).unwrap();
    let (_, dependencies) = manifest.split_once("[dependencies]").unwrap();
    let allowed = [
        "base64",
        "percent-encoding",
        "serde",
        "serde_json",
        "sha2",
        "subtle",
        "thiserror",
        "url",
        "zeroize",
    ];
    for line in dependencies.split("\n[").next().unwrap().lines().filter(|line| !line.trim().is_empty()) {
        let name = line.split(['.', ' ', '=']).next().unwrap();
        assert!(allowed.contains(&name), "the rules depend on {name}");
    }
    for file in rust_files(&core.join("src")) {
        let text = fs::read_to_string(&file).unwrap();
        for name in
            ["std::fs", "std::net", "std::io", "std::env", "std::thread", "SystemTime", "Instant", "async fn"]
        {
            assert!(!text.contains(name), "{} names {name}", file.display());
        }
    }
}

#[test]
fn files_have_one_thing_to_say() {
    for folder in ["crates", "examples"] {
        for file in rust_files(&root().join(folder)) {
            let lines = fs::read_to_string(&file).unwrap().lines().count();
            assert!(lines <= MAX_LINES, "{} has {lines} lines", file.display());
            let name = file.file_stem().unwrap().to_str().unwrap();
            let nothing = ["utils", "util", "common", "helper", "helpers", "manager", "misc"];
            assert!(!nothing.contains(&name), "{} is called after nothing", file.display());
        }
    }
}
