//! Making the file: it gets its name when it is whole.
//!
//! redb writes a new file in several steps, and refuses one that a power cut has left in between: nobody could start
//! again without taking it away first.

use std::ffi::OsString;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

use redb::{Builder, DatabaseError};

use super::database::{CACHE_BYTES, Unfit, prepare};

/// Why there is no file.
pub(super) enum Unmade {
    /// Another process is making it.
    Busy,
    Io(io::Error),
    Database(DatabaseError),
    Unfit(Unfit),
}

impl From<io::Error> for Unmade {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

/// Makes a store at `path`, unless there is something.
pub(super) fn make_if_missing(path: &Path) -> Result<(), Unmade> {
    if is_there(path)? {
        return Ok(());
    }
    // Whoever holds the folder is alone at it; a process that dies lets go.
    let folder = open_folder_of(path)?;
    if let Some(folder) = &folder
        && matches!(folder.try_lock(), Err(TryLockError::WouldBlock))
    {
        return Err(Unmade::Busy);
    }
    if is_there(path)? {
        return Ok(());
    }
    let unfinished = unfinished(path);
    match fs::remove_file(&unfinished) {
        Err(error) if error.kind() != ErrorKind::NotFound => return Err(error.into()),
        _ => {}
    }
    create_private(&unfinished)?;
    let opened = Builder::new().set_cache_size(CACHE_BYTES).create(&unfinished);
    let database = opened.map_err(Unmade::Database)?;
    prepare(&database).map_err(Unmade::Unfit)?;
    database.close().map_err(|error| Unmade::Unfit(error.into()))?;
    fs::rename(&unfinished, path)?;
    // It is only as durable as its name.
    folder.map_or(Ok(()), |folder| folder.sync_all())?;
    Ok(())
}

/// What the file is called until it is whole. One that is left belongs to nobody.
fn unfinished(path: &Path) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(".unfinished");
    name.into()
}

/// Also where it leads nowhere: a link is not replaced.
fn is_there(path: &Path) -> io::Result<bool> {
    match fs::symlink_metadata(path) {
        Ok(_) => Ok(true),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

/// With its final mode before anything is in it.
fn create_private(path: &Path) -> io::Result<()> {
    let mut options = OpenOptions::new();
    options.read(true).write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path).map(drop)
}

/// To lock and to sync it; `None` where folders cannot be opened.
fn open_folder_of(path: &Path) -> io::Result<Option<File>> {
    if cfg!(not(unix)) {
        return Ok(None);
    }
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    File::open(folder.unwrap_or(Path::new("."))).map(Some)
}
