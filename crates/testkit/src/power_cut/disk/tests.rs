use std::collections::BTreeSet;

use super::*;

const NAME: &str = "a";

/// A disk with one file, whose name is synced.
fn with_file(seed: u64) -> (Disk, u64) {
    let mut disk = Disk::new(seed);
    let inode = disk.create(OsStr::new(NAME), 0o600).unwrap().inode;
    disk.sync_folder().unwrap();
    (disk, inode)
}

fn after(mut disk: Disk, loss: Loss) -> Vec<u8> {
    disk.survivor(loss).content(NAME).unwrap().to_vec()
}

#[test]
fn a_sync_keeps_what_was_written_before_it() {
    for loss in [Loss::AllUnsynced, Loss::HalfOfThePages, Loss::HalfOfTheSectors] {
        let (mut disk, inode) = with_file(1);
        disk.write(inode, 0, &[1; 3 * PAGE + 10]).unwrap();
        disk.write(inode, 5000, b"over").unwrap();
        disk.set_length(inode, 2 * PAGE as u64 + 10).unwrap();
        disk.sync(inode).unwrap();
        let mut expected = vec![1; 2 * PAGE + 10];
        expected[5000..5004].copy_from_slice(b"over");
        assert_eq!(after(disk, loss), expected, "{loss:?}");
    }
}

#[test]
fn what_follows_the_last_sync_is_forgotten() {
    let (mut disk, inode) = with_file(1);
    disk.write(inode, 0, &[1; 100]).unwrap();
    disk.sync(inode).unwrap();
    disk.write(inode, 50, &[2; 10_000]).unwrap();
    disk.set_length(inode, 20).unwrap();
    assert_eq!(disk.content(NAME).unwrap(), [1; 20]);
    assert_eq!(after(disk, Loss::AllUnsynced), [1; 100]);
}

/// Every state that a disk may be left in comes up for some seed: each page old, new, or as it was in between.
#[test]
fn pages_are_kept_one_without_the_other() {
    let mut seen = BTreeSet::new();
    for seed in 0..200 {
        let (mut disk, inode) = with_file(seed);
        disk.write(inode, 0, &[0; 2 * PAGE]).unwrap();
        disk.sync(inode).unwrap();
        disk.write(inode, 0, &[1; 2 * PAGE]).unwrap();
        disk.write(inode, 0, &[2; 2 * PAGE]).unwrap();
        let left = after(disk, Loss::HalfOfThePages);
        for page in left.chunks(PAGE) {
            assert!(page.iter().all(|byte| *byte == page[0]), "a page is torn");
        }
        seen.insert((left[0], left[PAGE]));
    }
    assert_eq!(seen.len(), 9, "{seen:?}");
}

#[test]
fn sectors_tear_a_page() {
    let (mut disk, inode) = with_file(1);
    disk.write(inode, 0, &[1; PAGE]).unwrap();
    disk.sync(inode).unwrap();
    disk.write(inode, 0, &[2; PAGE]).unwrap();
    let left = after(disk, Loss::HalfOfTheSectors);
    assert!(left.contains(&1) && left.contains(&2));
    assert!(left.chunks(SECTOR).all(|sector| sector.iter().all(|byte| *byte == sector[0])));
}

/// What was cut off does not come back when the file grows.
#[test]
fn a_file_grows_with_zeros() {
    for grown in [100, PAGE + 100, 4 * PAGE] {
        let (mut disk, inode) = with_file(1);
        disk.write(inode, 0, &[1; 3 * PAGE]).unwrap();
        disk.sync(inode).unwrap();
        disk.set_length(inode, 50).unwrap();
        disk.set_length(inode, grown as u64).unwrap();
        disk.sync(inode).unwrap();
        assert_eq!(after(disk, Loss::AllUnsynced), [vec![1; 50], vec![0; grown - 50]].concat(), "{grown}");
    }
}

#[test]
fn names_survive_in_the_order_that_they_were_given() {
    let mut seen = BTreeSet::new();
    for seed in 0..100 {
        let (mut disk, inode) = with_file(seed);
        disk.link(inode, OsStr::new("b")).unwrap();
        disk.unlink(OsStr::new(NAME)).unwrap();
        let left = disk.survivor(Loss::HalfOfThePages);
        seen.insert([NAME, "b"].map(|name| left.content(name).is_some()));
    }
    assert_eq!(seen, BTreeSet::from([[true, false], [true, true], [false, true]]));
}

#[test]
fn at_the_cut_a_change_happens_or_not_and_nobody_hears_of_it() {
    let mut seen = BTreeSet::new();
    for seed in 0..20 {
        let (mut disk, inode) = with_file(seed);
        disk.write(inode, 0, b"written").unwrap();
        disk.cut_after(1);
        disk.set_mode(inode, 0o644).unwrap();
        disk.sync(inode).unwrap_err();
        assert!(disk.is_off());
        disk.read(inode, 0, 1).unwrap_err();
        disk.sync(inode).unwrap_err();
        seen.insert(after(disk, Loss::AllUnsynced).len());
    }
    assert_eq!(seen, BTreeSet::from([0, 7]));
}
