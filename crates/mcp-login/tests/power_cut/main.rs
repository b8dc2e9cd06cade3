//! The embedded store on a disk that loses power: what was answered is there, whole, and nothing else.
//!
//! Shortened by default. `POWER_CUTS=200` cuts the power that often, each time at other places; `POWER_CUTS_SEED` is the
//! seed that a failure has printed. It decides where the power is cut, what is lost and what is written; how the writers
//! of one moment interleave is up to the machine.
#![cfg(all(feature = "file", target_os = "linux"))]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod load;
mod remains;

use std::collections::BTreeMap;
use std::panic::catch_unwind;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use mcp_login::store::backend::{Backend, StoreError};
use mcp_login::store::file::FileBackend;
use mcp_login_testkit::power_cut::{Disk, Loss, PoweredDisk, Random};

use self::load::{Load, Written};

/// What the store's file is called.
const NAME: &str = "mcp-login.db";

/// How often the power is cut if nobody says how often.
const CUTS: u64 = 40;

/// The longest that one run of the load may take.
const LIMIT: Duration = Duration::from_secs(60);

const LOSSES: [Loss; 3] = [Loss::AllUnsynced, Loss::HalfOfThePages, Loss::HalfOfTheSectors];

fn number_from(variable: &str) -> Option<u64> {
    let text = std::env::var(variable).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{variable} is {text:?}, not a number")))
}

/// How many cuts, and the seed that they come of.
fn cuts_and_seed() -> (u64, u64) {
    let cuts = number_from("POWER_CUTS");
    let seed = number_from("POWER_CUTS_SEED").unwrap_or_else(|| match cuts {
        Some(_) => SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs(),
        None => 1,
    });
    eprintln!("to cut the power at the same places again: POWER_CUTS_SEED={seed}");
    (cuts.unwrap_or(CUTS), seed)
}

fn path(powered: &PoweredDisk) -> PathBuf {
    powered.folder().join(NAME)
}

/// Opens the store; `None` when the power was cut meanwhile.
fn open(powered: &PoweredDisk) -> Option<Arc<FileBackend>> {
    match FileBackend::open(&path(powered)) {
        Ok(backend) => Some(Arc::new(backend)),
        Err(StoreError::Open(_)) if powered.is_off() => None,
        Err(error) => panic!("the store does not open: {error}"),
    }
}

/// What is left of the store's records; or what is wrong with its file.
fn left_on(disk: &Disk) -> Result<BTreeMap<String, Written>, String> {
    let file = disk.content(NAME).ok_or("the file is gone")?;
    // redb does not expect a disk that lies.
    catch_unwind(|| remains::of(file)).unwrap_or_else(|_| Err("redb panics on the file".to_owned()))
}

/// What a row of cuts came to.
#[derive(Debug, Default)]
struct Tally {
    cuts: u64,
    cuts_while_opening: u64,
    answered: u64,
    /// Writes that were not answered, and have happened.
    kept_unanswered: u64,
    lost_unanswered: u64,
}

/// Cuts the power again and again in the life of one store, each time under load, or while it is opened.
async fn life(mut disk: Disk, random: &mut Random, cuts: u64, tally: &mut Tally) {
    let mut load = Load::new(random);
    let mut is_made = false;
    for _ in 0..cuts {
        tally.cuts += 1;
        let after = if random.coin() { random.below(30) } else { random.below(1_500) };
        let loss = *random.one_of(&LOSSES);
        let powered = PoweredDisk::mount(disk);
        powered.cut_after(after);
        let backend = open(&powered);
        if let Some(backend) = &backend {
            is_made = true;
            load.check_answers(backend, || powered.is_off()).await;
            let ran = tokio::time::timeout(LIMIT, load.run(backend)).await.expect("the store answers");
            assert!(powered.is_off() || !ran.failed, "a write has failed while the power was on");
            tally.answered += ran.answered;
        } else {
            tally.cuts_while_opening += 1;
        }
        // Before the store is closed: nobody closes it where the power goes.
        disk = powered.unplug(loss);
        drop(backend);
        if is_made {
            let found = left_on(&disk).and_then(|left| load.compare(left)).unwrap_or_else(|wrong| {
                panic!("cut {} after {after} changes, {loss:?}: {wrong}", tally.cuts)
            });
            tally.kept_unanswered += found.kept;
            tally.lost_unanswered += found.lost;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn what_was_answered_outlives_a_power_cut() {
    let (cuts, seed) = cuts_and_seed();
    let (mut random, mut tally) = (Random::new(seed), Tally::default());
    while tally.cuts < cuts {
        let disk = Disk::new(random.next());
        let of_this_life = (1 + random.below(20)).min(cuts - tally.cuts);
        life(disk, &mut random, of_this_life, &mut tally).await;
    }
    eprintln!("{tally:?}");
    assert!(tally.answered > 10 * tally.cuts, "hardly anything was written: {tally:?}");
    assert!(tally.cuts_while_opening > 0, "{tally:?}");
    assert!(tally.lost_unanswered > 0, "{tally:?}");
}

/// A store whose making was cut short can be made after all: nobody has to take its file away first.
#[tokio::test]
async fn a_store_that_was_being_made_can_be_opened() {
    for loss in LOSSES {
        let mut was_made = false;
        for after in 0.. {
            for seed in 0..2 {
                let powered = PoweredDisk::mount(Disk::new(seed));
                powered.cut_after(after);
                was_made = open(&powered).is_some();
                let disk = powered.unplug(loss);
                let powered = PoweredDisk::mount(disk);
                let backend = FileBackend::open(&path(&powered)).unwrap_or_else(|error| {
                    panic!("cut after {after} changes, {loss:?}, seed {seed}: {error}")
                });
                backend.ping().await.unwrap();
                let names =
                    std::fs::read_dir(powered.folder()).unwrap().map(|entry| entry.unwrap().file_name());
                assert_eq!(names.collect::<Vec<_>>(), [NAME], "something is left over");
            }
            if was_made {
                break;
            }
            assert!(after < 1_000, "making a store takes no end");
        }
    }
}

/// The same store, load and check on a disk that says it has synced and has not: the loss is seen.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_disk_that_does_not_sync_is_found_out() {
    let mut random = Random::new(2);
    for loss in LOSSES {
        let mut found_out = 0;
        for _ in 0..5 {
            let powered = PoweredDisk::mount(Disk::new(random.next()));
            drop(open(&powered).expect("the power is on"));
            let disk = powered.unplug(Loss::AllUnsynced);

            let mut load = Load::new(&mut random);
            let powered = PoweredDisk::mount(disk.ignoring_syncs());
            powered.cut_after(400);
            let backend = open(&powered).expect("the power is on");
            let ran = tokio::time::timeout(LIMIT, load.run(&backend)).await.expect("the store answers");
            assert!(ran.answered > 0);
            let disk = powered.unplug(loss);
            drop(backend);
            found_out += u32::from(left_on(&disk).and_then(|left| load.compare(left)).is_err());
        }
        assert_eq!(found_out, 5, "{loss:?}");
    }
}
