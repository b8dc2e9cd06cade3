//! The disk under a folder, through FUSE.

use std::fs::File;
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use fuser::{BackgroundSession, Config, MountOption, Session};
use nix::mount::{MntFlags, umount2};

use super::disk::{Disk, Loss};
use super::filesystem::Filesystem;

/// What the file system is called where mounts are listed.
const NAME: &str = "mcp-login-power-cut";

/// A disk that is in use. Its mount is taken out of the machine's folders as soon as it is there, and lives on behind an
/// open folder of this process: nothing is left of it when the process ends, however it ends.
#[derive(Debug)]
pub struct PoweredDisk {
    disk: Arc<Mutex<Disk>>,
    folder: File,
    _session: BackgroundSession,
}

impl PoweredDisk {
    /// Makes its files reachable.
    ///
    /// # Panics
    /// When this machine has no FUSE, or it may not be used: with words that say what to do.
    pub fn mount(disk: Disk) -> Self {
        let disk = Arc::new(Mutex::new(disk));
        let place = tempfile::tempdir().expect("a temporary folder");
        let mut config = Config::default();
        config.mount_options = vec![MountOption::FSName(NAME.to_owned()), MountOption::NoAtime];
        let mounted = Session::new(Filesystem::new(Arc::clone(&disk)), place.path(), &config);
        let session = mounted.and_then(Session::spawn).unwrap_or_else(|error| {
            panic!(
                "cannot mount a FUSE file system: {error}. The tests of power cuts need /dev/fuse (modprobe fuse; in a \
                 container: --device /dev/fuse --cap-add SYS_ADMIN) and, unless they run as root, fusermount3 (Debian: \
                 apt install fuse3)"
            )
        });
        let folder = File::open(place.path());
        detach(place.path());
        Self { disk, folder: folder.expect("the folder just mounted opens"), _session: session }
    }

    fn disk(&self) -> MutexGuard<'_, Disk> {
        self.disk.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Where the disk's files are, for this process.
    pub fn folder(&self) -> PathBuf {
        PathBuf::from(format!("/proc/self/fd/{}", self.folder.as_raw_fd()))
    }

    /// Cuts the power at the change (a write, a sync, a new name…) that comes after this many others. From then on
    /// every call fails.
    pub fn cut_after(&self, changes: u64) {
        self.disk().cut_after(changes);
    }

    /// Whether the power was cut.
    pub fn is_off(&self) -> bool {
        self.disk().is_off()
    }

    /// Cuts the power now, if it is still on, and gives the disk as it is when the power is back.
    pub fn unplug(self, loss: Loss) -> Disk {
        let mut disk = self.disk();
        disk.switch_off();
        disk.survivor(loss)
    }
}

impl Drop for PoweredDisk {
    fn drop(&mut self) {
        // Whoever still has a file open gets errors, not a file system that hangs.
        self.disk().switch_off();
    }
}

/// Takes the mount out of the machine's folders; files and folders that are open stay usable.
fn detach(place: &Path) {
    if umount2(place, MntFlags::MNT_DETACH).is_ok() {
        return;
    }
    // Whoever is not root may mount and unmount through this program alone.
    let unmounted = Command::new("fusermount3").args(["-u", "-z", "--"]).arg(place).status();
    assert!(unmounted.is_ok_and(|status| status.success()), "{} cannot be unmounted", place.display());
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Seek, Write};

    use super::*;

    fn mounts() -> String {
        std::fs::read_to_string("/proc/self/mountinfo").unwrap()
    }

    #[test]
    fn a_mount_is_in_no_folder() {
        let before = mounts().matches(NAME).count();
        let powered = PoweredDisk::mount(Disk::new(1));
        std::fs::write(powered.folder().join("a"), "a").unwrap();
        assert_eq!(mounts().matches(NAME).count(), before);
    }

    #[test]
    fn files_are_as_on_any_disk() {
        let powered = PoweredDisk::mount(Disk::new(1));
        let path = powered.folder().join("a");
        let mut file = File::options().read(true).write(true).create_new(true).open(&path).unwrap();
        file.write_all(&[7; 10_000]).unwrap();
        file.set_len(5_000).unwrap();
        file.set_len(6_000).unwrap();
        file.rewind().unwrap();
        let mut read = Vec::new();
        file.read_to_end(&mut read).unwrap();
        assert_eq!(read, [vec![7; 5_000], vec![0; 1_000]].concat());
        assert!(File::options().write(true).create_new(true).open(&path).is_err(), "it is there");

        let other = powered.folder().join("b");
        std::fs::rename(&path, &other).unwrap();
        std::fs::hard_link(&other, &path).unwrap();
        std::fs::remove_file(&other).unwrap();
        let names: Vec<_> =
            std::fs::read_dir(powered.folder()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        assert_eq!(names, ["a"]);
        assert_eq!(std::fs::read(&path).unwrap(), read);
    }

    #[test]
    fn what_a_program_does_not_sync_is_lost_with_the_power() {
        let powered = PoweredDisk::mount(Disk::new(1));
        let written = |name: &str| {
            let mut file = File::create(powered.folder().join(name)).unwrap();
            file.write_all(name.as_bytes()).unwrap();
            file
        };
        let synced = written("synced");
        synced.sync_all().unwrap();
        let mut unsynced = written("unsynced");
        File::open(powered.folder()).unwrap().sync_all().unwrap();
        let nameless = written("nameless");
        nameless.sync_all().unwrap();
        powered.cut_after(0);
        unsynced.write_all(b"more").unwrap_err();
        synced.sync_all().unwrap_err();
        assert!(powered.is_off());

        let disk = powered.unplug(Loss::AllUnsynced);
        assert_eq!(disk.content("synced"), Some(b"synced".as_slice()));
        assert_eq!(disk.content("unsynced"), Some(b"".as_slice()), "it was never synced");
        assert_eq!(disk.content("nameless"), None, "its name was never synced");
        let powered = PoweredDisk::mount(disk);
        assert_eq!(std::fs::read(powered.folder().join("synced")).unwrap(), b"synced");
    }
}
