//! What a disk holds: one folder of files, each as it is and as it was last synced.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::io;

use super::random::Random;

/// What the system writes back to a disk as one piece.
const PAGE: usize = 4096;
/// What a disk writes as one piece.
const SECTOR: usize = 512;
/// How many states of a page that is not synced are remembered: the disk may hold any of them.
const STATES: usize = 8;

type Names = BTreeMap<OsString, u64>;

/// What a power cut takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Loss {
    /// Everything that was not synced.
    AllUnsynced,
    /// Of what was not synced, half of the pages of 4 KiB, whichever: the system had begun to write back.
    HalfOfThePages,
    /// Half of the sectors of 512 bytes, so that a page can be torn.
    HalfOfTheSectors,
}

/// A file: as whoever reads it sees it, and what is on the disk for sure.
#[derive(Debug, Clone, Default)]
struct Content {
    mode: u32,
    now: Vec<u8>,
    synced: Vec<u8>,
    /// By number, the states that each page has had since it was synced.
    unsynced: BTreeMap<usize, Vec<Vec<u8>>>,
}

/// A disk with one folder. What a name stands for is synced with the folder, what a file holds with the file.
#[derive(Debug)]
pub struct Disk {
    random: Random,
    contents: BTreeMap<u64, Content>,
    names: Names,
    /// What the folder was since it was synced, that state first. A journal keeps the order: one of these survives.
    past_names: Vec<Names>,
    next_inode: u64,
    cut_in: Option<u64>,
    off: bool,
    obeys_sync: bool,
}

/// How a file looks from outside.
#[derive(Debug, Clone, Copy)]
pub(super) struct Attributes {
    pub(super) inode: u64,
    pub(super) length: u64,
    pub(super) mode: u32,
}

impl Disk {
    /// An empty one.
    pub fn new(seed: u64) -> Self {
        Self {
            random: Random::new(seed),
            contents: BTreeMap::new(),
            names: Names::new(),
            past_names: vec![Names::new()],
            next_inode: 2,
            cut_in: None,
            off: false,
            obeys_sync: true,
        }
    }

    /// From now on it says that it has synced, and has not.
    #[must_use]
    pub fn ignoring_syncs(mut self) -> Self {
        self.obeys_sync = false;
        self
    }

    /// Cuts the power at the change (a write, a sync, a new name…) that comes after this many others. That one may
    /// happen or not; nobody hears of it.
    pub(super) fn cut_after(&mut self, changes: u64) {
        self.cut_in = Some(changes);
    }

    pub(super) fn is_off(&self) -> bool {
        self.off
    }

    pub(super) fn switch_off(&mut self) {
        self.off = true;
    }

    /// What the file of this name holds, if it is there.
    pub fn content(&self, name: &str) -> Option<&[u8]> {
        let inode = self.names.get(OsStr::new(name))?;
        Some(&self.contents.get(inode)?.now)
    }

    /// The disk after the power is back: what was lost of each file and name is decided here.
    #[must_use]
    pub(super) fn survivor(&mut self, loss: Loss) -> Self {
        let mut random = self.random.fork();
        self.past_names.push(self.names.clone());
        let names = match loss {
            Loss::AllUnsynced => self.past_names[0].clone(),
            Loss::HalfOfThePages | Loss::HalfOfTheSectors => random.one_of(&self.past_names).clone(),
        };
        let mut contents = BTreeMap::new();
        for inode in names.values() {
            let content = &self.contents[inode];
            let kept = content.survivor(loss, &mut random);
            contents.insert(
                *inode,
                Content { mode: content.mode, now: kept.clone(), synced: kept, ..Content::default() },
            );
        }
        Self {
            random,
            contents,
            past_names: vec![names.clone()],
            names,
            next_inode: self.next_inode,
            cut_in: None,
            off: false,
            obeys_sync: true,
        }
    }

    fn check_power(&self) -> io::Result<()> {
        if self.off { Err(io::Error::other("the power is off")) } else { Ok(()) }
    }

    /// Does a change, unless the power is off, or goes off at it.
    fn change<T>(&mut self, change: impl FnOnce(&mut Self) -> io::Result<T>) -> io::Result<T> {
        self.check_power()?;
        if self.cut_in == Some(0) {
            if self.random.coin() {
                let _ = change(self);
            }
            self.off = true;
            return self.check_power().and(Err(io::ErrorKind::Other.into()));
        }
        self.cut_in = self.cut_in.map(|left| left - 1);
        change(self)
    }

    fn content_of(&mut self, inode: u64) -> io::Result<&mut Content> {
        self.contents.get_mut(&inode).ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    pub(super) fn find(&self, name: &OsStr) -> io::Result<Attributes> {
        self.check_power()?;
        self.attributes(*self.names.get(name).ok_or(io::ErrorKind::NotFound)?)
    }

    pub(super) fn attributes(&self, inode: u64) -> io::Result<Attributes> {
        self.check_power()?;
        let content = self.contents.get(&inode).ok_or(io::ErrorKind::NotFound)?;
        Ok(Attributes { inode, length: content.now.len() as u64, mode: content.mode })
    }

    pub(super) fn list(&self) -> io::Result<Vec<(OsString, u64)>> {
        self.check_power()?;
        Ok(self.names.iter().map(|(name, inode)| (name.clone(), *inode)).collect())
    }

    pub(super) fn create(&mut self, name: &OsStr, mode: u32) -> io::Result<Attributes> {
        let inode = self.change(|disk| {
            if disk.names.contains_key(name) {
                return Err(io::ErrorKind::AlreadyExists.into());
            }
            let inode = disk.next_inode;
            disk.next_inode += 1;
            disk.contents.insert(inode, Content { mode, ..Content::default() });
            disk.rename_with(|names| {
                names.insert(name.to_owned(), inode);
            });
            Ok(inode)
        })?;
        self.attributes(inode)
    }

    /// A second name for a file.
    pub(super) fn link(&mut self, inode: u64, name: &OsStr) -> io::Result<Attributes> {
        self.change(|disk| {
            if disk.names.contains_key(name) {
                return Err(io::ErrorKind::AlreadyExists.into());
            }
            disk.rename_with(|names| {
                names.insert(name.to_owned(), inode);
            });
            Ok(())
        })?;
        self.attributes(inode)
    }

    pub(super) fn unlink(&mut self, name: &OsStr) -> io::Result<()> {
        self.change(|disk| {
            if !disk.names.contains_key(name) {
                return Err(io::ErrorKind::NotFound.into());
            }
            disk.rename_with(|names| {
                names.remove(name);
            });
            Ok(())
        })
    }

    pub(super) fn rename(&mut self, from: &OsStr, to: &OsStr) -> io::Result<()> {
        self.change(|disk| {
            let inode = *disk.names.get(from).ok_or(io::ErrorKind::NotFound)?;
            disk.rename_with(|names| {
                names.remove(from);
                names.insert(to.to_owned(), inode);
            });
            Ok(())
        })
    }

    fn rename_with(&mut self, change: impl FnOnce(&mut Names)) {
        self.past_names.push(self.names.clone());
        change(&mut self.names);
    }

    pub(super) fn read(&mut self, inode: u64, offset: u64, length: usize) -> io::Result<Vec<u8>> {
        self.check_power()?;
        let now = &self.content_of(inode)?.now;
        let start = index(offset)?.min(now.len());
        Ok(now[start..(start + length).min(now.len())].to_vec())
    }

    pub(super) fn write(&mut self, inode: u64, offset: u64, data: &[u8]) -> io::Result<()> {
        self.change(|disk| {
            let content = disk.content_of(inode)?;
            let start = index(offset)?;
            let end = start + data.len();
            if end > content.now.len() {
                content.set_length(end);
            }
            content.now[start..end].copy_from_slice(data);
            content.has_changed(start, end);
            Ok(())
        })
    }

    pub(super) fn set_length(&mut self, inode: u64, length: u64) -> io::Result<()> {
        self.change(|disk| {
            disk.content_of(inode)?.set_length(index(length)?);
            Ok(())
        })
    }

    pub(super) fn set_mode(&mut self, inode: u64, mode: u32) -> io::Result<()> {
        self.change(|disk| {
            disk.content_of(inode)?.mode = mode;
            Ok(())
        })
    }

    pub(super) fn sync(&mut self, inode: u64) -> io::Result<()> {
        self.change(|disk| {
            if disk.obeys_sync {
                disk.content_of(inode)?.sync();
            }
            Ok(())
        })
    }

    pub(super) fn sync_folder(&mut self) -> io::Result<()> {
        self.change(|disk| {
            if disk.obeys_sync {
                disk.past_names = vec![disk.names.clone()];
            }
            Ok(())
        })
    }
}

fn index(offset: u64) -> io::Result<usize> {
    usize::try_from(offset).map_err(io::Error::other)
}

/// The part of `bytes` that this page is; it may be short, or nothing.
fn page(bytes: &[u8], number: usize) -> &[u8] {
    let start = (number * PAGE).min(bytes.len());
    &bytes[start..(start + PAGE).min(bytes.len())]
}

impl Content {
    /// Remembers the state of every page that the change has touched.
    fn has_changed(&mut self, start: usize, end: usize) {
        for number in start / PAGE..end.div_ceil(PAGE) {
            let states = self.unsynced.entry(number).or_default();
            if states.len() == STATES {
                states.remove(0);
            }
            states.push(page(&self.now, number).to_vec());
        }
    }

    fn set_length(&mut self, length: usize) {
        let old = self.now.len();
        self.now.resize(length, 0);
        // What was cut off is zero when the file grows again, whatever the disk still has there.
        if length < old {
            self.has_changed(length, old.min(length.next_multiple_of(PAGE)));
        } else if old < self.synced.len() {
            self.has_changed(old, length.min(self.synced.len()));
        }
    }

    fn sync(&mut self) {
        self.synced.resize(self.now.len(), 0);
        for number in std::mem::take(&mut self.unsynced).into_keys() {
            let new = page(&self.now, number);
            self.synced[(number * PAGE).min(self.now.len())..][..new.len()].copy_from_slice(new);
        }
    }

    fn survivor(&self, loss: Loss, random: &mut Random) -> Vec<u8> {
        let piece = match loss {
            Loss::AllUnsynced => return self.synced.clone(),
            Loss::HalfOfThePages => PAGE,
            Loss::HalfOfTheSectors => SECTOR,
        };
        let mut kept = self.synced.clone();
        kept.resize(if random.coin() { self.now.len() } else { self.synced.len() }, 0);
        for (number, states) in &self.unsynced {
            for offset in (0..PAGE).step_by(piece) {
                if random.coin() {
                    continue;
                }
                let state = random.one_of(states);
                let start = number * PAGE + offset;
                let end = (start + piece).min(number * PAGE + state.len()).min(kept.len());
                if start < end {
                    kept[start..end].copy_from_slice(&state[offset..offset + end - start]);
                }
            }
        }
        kept
    }
}

#[cfg(test)]
mod tests;
