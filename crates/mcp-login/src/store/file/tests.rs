#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::io;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use redb::{Database, StorageBackend};

use super::*;

const NOW: Timestamp = Timestamp::from_millis(1_800_000_000_000);

/// A disk that can be full, slow, and counts what it is asked.
#[derive(Debug, Default)]
struct Disk {
    bytes: Mutex<Vec<u8>>,
    full: AtomicBool,
    syncs: AtomicUsize,
    /// While this is set, a sync does not come back.
    held: AtomicBool,
    syncs_begun: AtomicUsize,
}

#[derive(Debug)]
struct OpenDisk(Arc<Disk>);

impl StorageBackend for OpenDisk {
    fn len(&self) -> io::Result<u64> {
        Ok(self.0.bytes.lock().unwrap().len() as u64)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let offset = usize::try_from(offset).unwrap();
        out.copy_from_slice(&self.0.bytes.lock().unwrap()[offset..offset + out.len()]);
        Ok(())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.0.bytes.lock().unwrap().resize(usize::try_from(len).unwrap(), 0);
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        self.0.syncs_begun.fetch_add(1, Ordering::SeqCst);
        while self.0.held.load(Ordering::SeqCst) {
            std::thread::sleep(Duration::from_millis(1));
        }
        self.0.syncs.fetch_add(1, Ordering::SeqCst);
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        if self.0.full.load(Ordering::SeqCst) {
            return Err(io::ErrorKind::StorageFull.into());
        }
        let offset = usize::try_from(offset).unwrap();
        self.0.bytes.lock().unwrap()[offset..offset + data.len()].copy_from_slice(data);
        Ok(())
    }
}

fn on(disk: &Arc<Disk>) -> FileBackend {
    let disk = Arc::clone(disk);
    let open = move || {
        let opened = Database::builder().create_with_backend(OpenDisk(Arc::clone(&disk)));
        let database = opened.map_err(|error| StoreError::Open(error.to_string()))?;
        database::prepare(&database).map_err(|_| StoreError::Open("unfit".to_owned()))?;
        Ok(database)
    };
    FileBackend::with(Path::new("a disk of the test"), Box::new(open)).unwrap()
}

/// Waits until `condition` holds, but not for ever.
async fn until(what: &str, condition: impl Fn() -> bool) {
    let begun = std::time::Instant::now();
    while !condition() {
        assert!(begun.elapsed() < Duration::from_secs(5), "{what}");
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

async fn insert(backend: &FileBackend, id: &str) -> Result<bool, StoreError> {
    let end = NOW.plus(Duration::from_secs(60));
    backend.insert(&Key::new("grant", id), Bytes::from_static(b"value"), end, NOW).await
}

#[tokio::test]
async fn a_full_disk_makes_it_unavailable_until_there_is_room() {
    let disk = Arc::new(Disk::default());
    let backend = on(&disk);
    assert!(insert(&backend, "before").await.unwrap());

    disk.full.store(true, Ordering::SeqCst);
    for id in ["full", "still full"] {
        let refused = insert(&backend, id).await;
        assert!(matches!(refused, Err(StoreError::Unavailable(_))), "{refused:?}");
    }

    disk.full.store(false, Ordering::SeqCst);
    // The call that finds the file closed opens it; the next one is served.
    let _ = backend.ping().await;
    assert!(
        backend.get(&Key::new("grant", "before"), NOW).await.unwrap().is_some(),
        "what was answered is there"
    );
    assert!(backend.get(&Key::new("grant", "full"), NOW).await.unwrap().is_none(), "what was refused is not");
    assert!(insert(&backend, "after").await.unwrap());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn writes_that_queue_up_share_a_commit() {
    let disk = Arc::new(Disk::default());
    let backend = Arc::new(on(&disk));
    assert!(insert(&backend, "first").await.unwrap());
    let before = disk.syncs.load(Ordering::SeqCst);
    insert(&backend, "second").await.unwrap();
    let per_commit = disk.syncs.load(Ordering::SeqCst) - before;
    assert!(per_commit > 0, "an answered write was not synced");

    // While the disk holds the first write's commit, all others queue up behind it.
    let begun = disk.syncs_begun.load(Ordering::SeqCst);
    let before = disk.syncs.load(Ordering::SeqCst);
    disk.held.store(true, Ordering::SeqCst);
    let mut tasks = tokio::task::JoinSet::new();
    let held = Arc::clone(&backend);
    tasks.spawn(async move { insert(&held, "held").await.unwrap() });
    until("the first write does not come to the disk", || disk.syncs_begun.load(Ordering::SeqCst) > begun)
        .await;
    for n in 0..200 {
        let backend = Arc::clone(&backend);
        tasks.spawn(async move { insert(&backend, &n.to_string()).await.unwrap() });
    }
    let queue = backend.queue.as_ref().unwrap();
    until("the writes do not queue up", || queue.capacity() == QUEUE - 200).await;
    assert_eq!(tasks.try_join_next().map(|_| ()), None, "a write was answered before it was synced");
    disk.held.store(false, Ordering::SeqCst);
    assert!(tasks.join_all().await.into_iter().all(|inserted| inserted));
    let syncs = disk.syncs.load(Ordering::SeqCst) - before;
    assert!(syncs <= 3 * per_commit, "{syncs} syncs for 201 writes; one commit has {per_commit}");
}

#[tokio::test]
async fn a_write_that_changes_nothing_costs_no_commit() {
    let disk = Arc::new(Disk::default());
    let backend = on(&disk);
    assert!(insert(&backend, "there").await.unwrap());
    let before = disk.syncs.load(Ordering::SeqCst);
    assert!(!insert(&backend, "there").await.unwrap());
    backend.ping().await.unwrap();
    assert!(!backend.delete(&Key::new("grant", "missing"), NOW).await.unwrap());
    assert_eq!(disk.syncs.load(Ordering::SeqCst), before);
}

#[tokio::test]
async fn a_damaged_record_is_an_error_to_all_but_delete() {
    let disk = Arc::new(Disk::default());
    let backend = on(&disk);
    let key = Key::new("grant", "damaged");
    let end = NOW.plus(Duration::from_secs(60));
    assert!(insert(&backend, "damaged").await.unwrap());
    let spoiled = backend.slot.write(|transaction| {
        transaction.open_table(database::RECORDS)?.insert(key.as_str(), b"short".as_slice())?;
        Ok(((), database::Keep::Yes))
    });
    spoiled.unwrap();

    let damaged = |error: StoreError| assert!(matches!(error, StoreError::Damaged(_)), "{error:?}");
    damaged(backend.get(&key, NOW).await.unwrap_err());
    damaged(insert(&backend, "damaged").await.unwrap_err());
    damaged(backend.swap(&key, Version::FIRST, Bytes::new(), end, NOW).await.unwrap_err());
    damaged(backend.take(&key, NOW).await.unwrap_err());
    assert!(backend.delete(&key, NOW).await.unwrap());
    assert!(insert(&backend, "damaged").await.unwrap(), "its key is free again");
}

#[test]
fn nothing_is_made_in_the_place_of_a_file_that_is_gone() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.db");
    database::make(&path).unwrap();
    let of_slot = path.clone();
    let slot = Slot::open(Box::new(move || database::open(&of_slot))).unwrap();
    std::fs::remove_file(&path).unwrap();
    slot.reopen();
    assert!(!path.exists());
    assert!(slot.read(|_| Ok(())).is_err(), "an outage, and not an empty store");
}
