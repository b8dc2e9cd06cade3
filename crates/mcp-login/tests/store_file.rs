//! The store in a file: the contract of every store, and what is special about a file.
#![cfg(feature = "file")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::path::{Path, PathBuf};
use std::sync::{Arc, Barrier};
use std::time::Duration;

use bytes::Bytes;
use mcp_login::clock::Clock;
use mcp_login::store::backend::{Backend, Key, StoreError, Swap, Version};
use mcp_login::store::{conformance, file::FileBackend};
use mcp_login_testkit::clock::MockClock;
use redb::{Database, ReadableDatabase, ReadableTableMetadata, TableDefinition};
use tempfile::TempDir;

const MINUTE: Duration = Duration::from_secs(60);

fn place() -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("mcp-login.db");
    (folder, path)
}

fn refusal(path: &Path) -> String {
    match FileBackend::open(path) {
        Err(StoreError::Open(text)) => {
            assert!(text.contains(&path.display().to_string()), "the path is not named: {text}");
            text
        }
        other => panic!("opening gave {other:?}"),
    }
}

/// How many rows the tables of a closed store have: records, ends.
fn rows(path: &Path) -> (u64, u64) {
    let database = Database::open(path).unwrap();
    let transaction = database.begin_read().unwrap();
    let records: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("records");
    let ends: TableDefinition<'_, &[u8], ()> = TableDefinition::new("ends");
    (
        transaction.open_table(records).unwrap().len().unwrap(),
        transaction.open_table(ends).unwrap().len().unwrap(),
    )
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn conforms() {
    let (_folder, path) = place();
    let backend: Arc<dyn Backend> = Arc::new(FileBackend::open(&path).unwrap());
    conformance::run(async || Arc::clone(&backend)).await;
}

#[tokio::test]
async fn records_survive_a_restart() {
    let (_folder, path) = place();
    let now = MockClock::new().now();
    let end = now.plus(MINUTE);
    let keys: Vec<_> = (0..20).map(|n| Key::new("grant", &n.to_string())).collect();
    for round in 1..=3 {
        let backend = FileBackend::open(&path).unwrap();
        for key in &keys {
            if round == 1 {
                assert!(backend.insert(key, Bytes::from_static(b"1"), end, now).await.unwrap());
            } else {
                let read = backend.get(key, now).await.unwrap().expect("it was answered, so it is there");
                assert_eq!(read.version, Version(round - 1));
                let swap = backend.swap(key, read.version, read.value, end, now).await.unwrap();
                assert_eq!(swap, Swap::Done(Version(round)));
            }
        }
    }
    assert_eq!(rows(&path), (20, 20));
}

#[tokio::test]
async fn two_cannot_have_it_open() {
    let (_folder, path) = place();
    let first = FileBackend::open(&path).unwrap();
    let text = refusal(&path);
    assert!(text.contains("in use by another mcp-login process"), "{text}");
    assert!(text.contains("stop it, or use Redis to share"), "{text}");
    first.ping().await.unwrap();
    drop(first);
    FileBackend::open(&path).unwrap();
}

/// It is made whole by one of them, and that one has it.
#[test]
fn of_many_that_make_it_at_once_one_has_it() {
    let (_folder, path) = place();
    let together = Barrier::new(8);
    let (opened, refused): (Vec<_>, Vec<_>) = std::thread::scope(|scope| {
        let open = || {
            together.wait();
            FileBackend::open(&path)
        };
        let threads: Vec<_> = (0..8).map(|_| scope.spawn(open)).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).partition(Result::is_ok)
    });
    assert!(opened.len() <= 1, "{opened:?}");
    for refusal in refused {
        let text = refusal.unwrap_err().to_string();
        assert!(text.contains("another mcp-login process"), "{text}");
    }
    drop(opened);
    FileBackend::open(&path).unwrap();
    assert_eq!(std::fs::read_dir(path.parent().unwrap()).unwrap().count(), 1);
}

#[test]
fn what_is_not_a_store_is_refused_and_left_alone() {
    let (_folder, path) = place();
    for content in [b"x".to_vec(), vec![b'#'; 10_000], vec![0; 8192]] {
        std::fs::write(&path, &content).unwrap();
        let text = refusal(&path);
        assert!(text.contains("not a store of mcp-login"), "{text}");
        assert_eq!(std::fs::read(&path).unwrap(), content, "the file was changed");
    }
}

#[test]
fn the_database_of_another_program_is_refused() {
    let (_folder, path) = place();
    let other: TableDefinition<'_, &str, u64> = TableDefinition::new("recipes");
    let database = Database::create(&path).unwrap();
    let transaction = database.begin_write().unwrap();
    transaction.open_table(other).unwrap().insert("cake", 1).unwrap();
    transaction.commit().unwrap();
    drop(database);
    let text = refusal(&path);
    assert!(text.contains("another program"), "{text}");
}

#[test]
fn another_format_is_refused() {
    let (_folder, path) = place();
    drop(FileBackend::open(&path).unwrap());
    let meta: TableDefinition<'_, &str, u64> = TableDefinition::new("meta");
    let database = Database::open(&path).unwrap();
    let transaction = database.begin_write().unwrap();
    transaction.open_table(meta).unwrap().insert("format", 2).unwrap();
    transaction.commit().unwrap();
    drop(database);
    let text = refusal(&path);
    assert!(text.contains("format 2; this one reads format 1"), "{text}");
}

#[test]
fn a_bad_place_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let text = refusal(folder.path());
    assert!(text.contains("is a folder"), "{text}");
    let text = refusal(&folder.path().join("missing").join("a.db"));
    assert!(text.contains("its folder does not exist"), "{text}");
}

/// Not even the superuser can make a file there.
#[test]
fn an_unwritable_place_is_refused() {
    let (_folder, path) = place();
    std::fs::write(&path, "a file and no folder").unwrap();
    let inside = path.join("a.db");
    let text = refusal(&inside);
    assert!(text.contains(&inside.display().to_string()), "{text}");
    assert!(text.contains("cannot be"), "{text}");
}

#[cfg(unix)]
#[test]
fn only_its_owner_can_read_it() {
    use std::os::unix::fs::PermissionsExt;

    let (_folder, path) = place();
    let _backend = FileBackend::open(&path).unwrap();
    assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
}

#[tokio::test]
async fn ended_records_leave_the_file() {
    let (_folder, path) = place();
    let clock = MockClock::new();
    let backend = Arc::new(FileBackend::open(&path).unwrap());
    let mut tasks = tokio::task::JoinSet::new();
    for n in 0..1_000 {
        let (backend, now) = (Arc::clone(&backend), clock.now());
        // A tenth of them lives on.
        let end = now.plus(if n % 10 == 0 { 60 * MINUTE } else { MINUTE });
        tasks.spawn(async move {
            let key = Key::new("code", &n.to_string());
            assert!(backend.insert(&key, Bytes::from_static(b"value"), end, now).await.unwrap());
        });
    }
    tasks.join_all().await;
    // One is prolonged.
    let prolonged = Key::new("code", "1");
    let end = clock.now().plus(60 * MINUTE);
    backend.swap(&prolonged, Version::FIRST, Bytes::new(), end, clock.now()).await.unwrap();

    clock.advance(3 * MINUTE);
    // Any write tells the time; then the writer catches up while it has nothing else to do.
    let nobody = Key::new("code", "nobody");
    for _ in 0..20 {
        backend.delete(&nobody, clock.now()).await.unwrap();
    }
    assert!(backend.get(&prolonged, clock.now()).await.unwrap().is_some());
    drop(backend);
    assert_eq!(rows(&path), (101, 101));
}

/// What is taken out makes room for what comes: the file is as large as the most that was in it at once, and no larger
/// for having been in use for long.
#[tokio::test]
async fn records_that_come_and_go_do_not_make_the_file_grow() {
    let (_folder, path) = place();
    let clock = MockClock::new();
    let backend = Arc::new(FileBackend::open(&path).unwrap());
    let mut lengths = Vec::new();
    for round in 0..60 {
        let mut tasks = tokio::task::JoinSet::new();
        for n in 0..200 {
            let (backend, now) = (Arc::clone(&backend), clock.now());
            tasks.spawn(async move {
                // Ordered by time as ids of grants are; some are longer than a page of the file.
                let key = Key::new("grant", &format!("{:016x}{n:016x}", now.as_millis()));
                let value = Bytes::from(vec![b'x'; if n % 20 == 0 { 9_000 } else { 1_000 }]);
                assert!(backend.insert(&key, value.clone(), now.plus(MINUTE), now).await.unwrap());
                let swap =
                    backend.swap(&key, Version::FIRST, value, now.plus(2 * MINUTE), now).await.unwrap();
                assert_eq!(swap, Swap::Done(Version(2)), "{round}");
            });
        }
        tasks.join_all().await;
        clock.advance(MINUTE);
        lengths.push(std::fs::metadata(&path).unwrap().len());
    }
    let (early, late) = (*lengths[..15].iter().max().unwrap(), *lengths[45..].iter().max().unwrap());
    assert!(early > 1_000_000, "{early} bytes is less than what lives at once");
    assert!(late < early + early / 2, "from {early} to {late} bytes: {lengths:?}");
}
