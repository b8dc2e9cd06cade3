//! What the documents point to is there: every `path::function`, `path: test` and `#case` of docs/spec-map.md and
//! docs/threat-model.md.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// How the documents shorten paths.
const SHORT: [(&str, &str); 6] = [
    ("core/", "crates/core/src/"),
    ("lib/", "crates/mcp-login/src/"),
    ("gw/", "crates/gateway/src/"),
    ("t/", "crates/mcp-login/tests/"),
    ("gt/", "crates/gateway/tests/"),
    ("e2e/", "e2e/tests/"),
];

/// Documents that are held against the tree, and the least number of pointers that each has.
const DOCUMENTS: [(&str, usize); 2] = [("docs/spec-map.md", 300), ("docs/threat-model.md", 100)];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().unwrap()
}

/// What stands between backquotes in one cell of a table.
fn quoted(cell: &str) -> impl Iterator<Item = &str> {
    cell.split('`').skip(1).step_by(2)
}

/// A pointer that names a file: its path in the tree, and what follows it.
fn file_of(pointer: &str) -> Option<(PathBuf, &str)> {
    let (short, long) = SHORT.iter().find(|(short, _)| pointer.starts_with(short))?;
    let end = [".rs", ".js"].iter().filter_map(|end| Some(pointer.find(end)? + end.len())).min()?;
    let path = format!("{long}{}", &pointer[short.len()..end]);
    Some((root().join(path), &pointer[end..]))
}

fn is_name(text: &str) -> bool {
    text.contains('_') && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_')
}

/// The functions of a file, each with whether it is a test.
fn functions(text: &str) -> BTreeMap<&str, bool> {
    let mut found = BTreeMap::new();
    let mut is_test = false;
    for line in text.lines().map(str::trim) {
        is_test |= line.starts_with("#[test]") || line.starts_with("#[tokio::test");
        if let Some((_, rest)) = line.split_once("fn ")
            && !line.starts_with("//")
        {
            let name = rest.split(|c: char| !c.is_ascii_alphanumeric() && c != '_').next().unwrap();
            found.insert(name, is_test);
            is_test = false;
        }
    }
    found
}

/// Whether the file has this function, or the end-to-end test this text.
fn has(file: &Path, name: &str, as_test: bool) -> bool {
    let text = fs::read_to_string(file).unwrap();
    if file.extension().is_some_and(|extension| extension == "js") {
        return text.contains(name);
    }
    functions(&text).get(name).is_some_and(|is_test| *is_test == as_test)
}

/// What is wrong with the pointers of one line, and how many there are.
fn check_line(line: &str, cases: &str, wrong: &mut Vec<String>) -> usize {
    let mut pointers = 0;
    for cell in line.split('|') {
        // A name alone stands in the file before it.
        let mut before: Option<(PathBuf, bool)> = None;
        for pointer in quoted(cell) {
            if let Some(case) = pointer.strip_prefix('#') {
                let number = case.split(' ').next().unwrap();
                let is_there =
                    cases.contains(&format!("[{number}, ")) || cases.contains(&format!("#{number} "));
                let name = case.split_once(' ').map_or("", |(_, name)| name);
                if number.parse::<u8>().is_err() || !is_there || !cases.contains(name) {
                    wrong.push(format!("there is no case {pointer}"));
                }
            } else if let Some((file, rest)) = file_of(pointer) {
                if !file.is_file() {
                    wrong.push(format!("there is no file {pointer}"));
                    continue;
                }
                let as_test = !rest.starts_with("::");
                let name = rest.trim_start_matches([':', ' ']);
                if !name.is_empty() && !has(&file, name, as_test) {
                    wrong.push(format!("there is no such function: {pointer}"));
                }
                before = Some((file, as_test));
            } else if let Some((file, as_test)) = before.as_ref().filter(|_| is_name(pointer)) {
                if !has(file, pointer, *as_test) {
                    wrong.push(format!("{} has no {pointer}", file.display()));
                }
            } else {
                continue;
            }
            pointers += 1;
        }
    }
    pointers
}

#[test]
fn what_the_documents_point_to_is_there() {
    let mut cases = String::new();
    for entry in fs::read_dir(root().join("e2e/tests")).unwrap() {
        cases.push_str(&fs::read_to_string(entry.unwrap().path()).unwrap());
    }
    for (document, least) in DOCUMENTS {
        let (text, mut wrong) = (fs::read_to_string(root().join(document)).unwrap(), Vec::new());
        let pointers: usize = text.lines().map(|line| check_line(line, &cases, &mut wrong)).sum();
        assert!(wrong.is_empty(), "{document}:\n{}", wrong.join("\n"));
        assert!(pointers >= least, "{document} has {pointers} pointers");
    }
}

#[test]
fn a_pointer_to_nothing_is_found() {
    let check = |line| {
        let mut wrong = Vec::new();
        check_line(line, "[26, 'code reuse'", &mut wrong);
        wrong.len()
    };
    assert_eq!(
        check(
            "| x | `core/pkce.rs::verify`, `t/token.rs: races_have_one_winner_in_redis`, `#26 code reuse` |"
        ),
        0
    );
    for line in [
        "| `core/pkce.rs::no_such` |",
        "| `core/no_such.rs::verify` |",
        "| `core/pkce.rs: verify` |",
        "| `t/token.rs::races_have_one_winner_in_redis` |",
        "| `t/token.rs: races_have_one_winner_in_redis`, `nobody_knows` |",
        "| `#27` |",
        "| `#26 something else` |",
    ] {
        assert_eq!(check(line), 1, "{line}");
    }
}
