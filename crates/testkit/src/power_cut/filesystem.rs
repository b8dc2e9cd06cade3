//! What the kernel asks, put to the disk.

use std::ffi::OsStr;
use std::io::{self, ErrorKind};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use fuser::{
    BsdFileFlags, Errno, FileAttr, FileHandle, FileType, FopenFlags, Generation, INodeNo, LockOwner,
    OpenFlags, RenameFlags, ReplyAttr, ReplyCreate, ReplyData, ReplyDirectory, ReplyEmpty, ReplyEntry,
    ReplyOpen, ReplyWrite, Request, TimeOrNow, WriteFlags,
};

use super::disk::{Attributes, Disk};

/// The kernel remembers nothing: what it knows, a power cut would not take.
const REMEMBERED: Duration = Duration::ZERO;

/// One handle is as good as another.
const HANDLE: FileHandle = FileHandle(0);

/// Bytes of a block, where a file's size is counted in blocks.
const BLOCK: u64 = 512;

#[derive(Debug)]
pub(super) struct Filesystem {
    disk: Arc<Mutex<Disk>>,
}

impl Filesystem {
    pub(super) fn new(disk: Arc<Mutex<Disk>>) -> Self {
        Self { disk }
    }

    fn disk(&self) -> MutexGuard<'_, Disk> {
        self.disk.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn errno(error: &io::Error) -> Errno {
    match error.kind() {
        ErrorKind::NotFound => Errno::ENOENT,
        ErrorKind::AlreadyExists => Errno::EEXIST,
        _ => Errno::EIO,
    }
}

fn file_attr(of: Attributes) -> FileAttr {
    FileAttr {
        ino: INodeNo(of.inode),
        size: of.length,
        blocks: of.length.div_ceil(BLOCK),
        kind: FileType::RegularFile,
        perm: u16::try_from(of.mode & 0o7777).unwrap_or_default(),
        nlink: 1,
        ..folder_attr()
    }
}

fn folder_attr() -> FileAttr {
    FileAttr {
        ino: INodeNo::ROOT,
        size: 0,
        blocks: 0,
        atime: UNIX_EPOCH,
        mtime: UNIX_EPOCH,
        ctime: UNIX_EPOCH,
        crtime: UNIX_EPOCH,
        kind: FileType::Directory,
        perm: 0o700,
        nlink: 2,
        uid: nix::unistd::geteuid().as_raw(),
        gid: nix::unistd::getegid().as_raw(),
        rdev: 0,
        flags: 0,
        blksize: 4096,
    }
}

/// Answers `ok` with what was done, or with its error.
macro_rules! answer {
    ($reply:ident, $done:expr, |$value:pat_param| $ok:expr) => {
        match $done {
            Ok($value) => $ok,
            Err(error) => $reply.error(errno(&error)),
        }
    };
}

impl fuser::Filesystem for Filesystem {
    fn lookup(&self, _: &Request, _: INodeNo, name: &OsStr, reply: ReplyEntry) {
        answer!(reply, self.disk().find(name), |found| reply.entry(
            &REMEMBERED,
            &file_attr(found),
            Generation(0)
        ));
    }

    fn getattr(&self, _: &Request, inode: INodeNo, _: Option<FileHandle>, reply: ReplyAttr) {
        if inode == INodeNo::ROOT {
            return reply.attr(&REMEMBERED, &folder_attr());
        }
        answer!(reply, self.disk().attributes(inode.0), |of| reply.attr(&REMEMBERED, &file_attr(of)));
    }

    fn setattr(
        &self,
        _: &Request,
        inode: INodeNo,
        mode: Option<u32>,
        _: Option<u32>,
        _: Option<u32>,
        length: Option<u64>,
        _: Option<TimeOrNow>,
        _: Option<TimeOrNow>,
        _: Option<SystemTime>,
        _: Option<FileHandle>,
        _: Option<SystemTime>,
        _: Option<SystemTime>,
        _: Option<SystemTime>,
        _: Option<BsdFileFlags>,
        reply: ReplyAttr,
    ) {
        let mut disk = self.disk();
        let changed = length.map_or(Ok(()), |length| disk.set_length(inode.0, length));
        let changed = changed.and_then(|()| mode.map_or(Ok(()), |mode| disk.set_mode(inode.0, mode)));
        answer!(reply, changed.and_then(|()| disk.attributes(inode.0)), |of| {
            reply.attr(&REMEMBERED, &file_attr(of));
        });
    }

    fn create(&self, _: &Request, _: INodeNo, name: &OsStr, mode: u32, _: u32, _: i32, reply: ReplyCreate) {
        answer!(reply, self.disk().create(name, mode), |of| {
            reply.created(&REMEMBERED, &file_attr(of), Generation(0), HANDLE, FopenFlags::FOPEN_DIRECT_IO);
        });
    }

    fn link(&self, _: &Request, inode: INodeNo, _: INodeNo, name: &OsStr, reply: ReplyEntry) {
        answer!(reply, self.disk().link(inode.0, name), |of| reply.entry(
            &REMEMBERED,
            &file_attr(of),
            Generation(0)
        ));
    }

    fn unlink(&self, _: &Request, _: INodeNo, name: &OsStr, reply: ReplyEmpty) {
        answer!(reply, self.disk().unlink(name), |()| reply.ok());
    }

    fn rename(
        &self,
        _: &Request,
        _: INodeNo,
        from: &OsStr,
        _: INodeNo,
        to: &OsStr,
        flags: RenameFlags,
        reply: ReplyEmpty,
    ) {
        if !flags.is_empty() {
            return reply.error(Errno::EINVAL);
        }
        answer!(reply, self.disk().rename(from, to), |()| reply.ok());
    }

    /// Past the kernel's cache, which a power cut would not take.
    fn open(&self, _: &Request, inode: INodeNo, _: OpenFlags, reply: ReplyOpen) {
        answer!(reply, self.disk().attributes(inode.0), |_| reply
            .opened(HANDLE, FopenFlags::FOPEN_DIRECT_IO));
    }

    fn read(
        &self,
        _: &Request,
        inode: INodeNo,
        _: FileHandle,
        offset: u64,
        size: u32,
        _: OpenFlags,
        _: Option<LockOwner>,
        reply: ReplyData,
    ) {
        answer!(reply, self.disk().read(inode.0, offset, size as usize), |data| reply.data(&data));
    }

    fn write(
        &self,
        _: &Request,
        inode: INodeNo,
        _: FileHandle,
        offset: u64,
        data: &[u8],
        _: WriteFlags,
        _: OpenFlags,
        _: Option<LockOwner>,
        reply: ReplyWrite,
    ) {
        let length = u32::try_from(data.len()).unwrap_or_default();
        answer!(reply, self.disk().write(inode.0, offset, data), |()| reply.written(length));
    }

    fn fsync(&self, _: &Request, inode: INodeNo, _: FileHandle, _: bool, reply: ReplyEmpty) {
        answer!(reply, self.disk().sync(inode.0), |()| reply.ok());
    }

    fn fsyncdir(&self, _: &Request, _: INodeNo, _: FileHandle, _: bool, reply: ReplyEmpty) {
        answer!(reply, self.disk().sync_folder(), |()| reply.ok());
    }

    fn readdir(&self, _: &Request, _: INodeNo, _: FileHandle, offset: u64, mut reply: ReplyDirectory) {
        let listed = self.disk().list();
        answer!(reply, listed, |files| {
            let dots = [".", ".."].map(|name| (INodeNo::ROOT, FileType::Directory, name.into()));
            let files = files.into_iter().map(|(name, inode)| (INodeNo(inode), FileType::RegularFile, name));
            let skipped = usize::try_from(offset).unwrap_or(usize::MAX);
            for (next, (inode, kind, name)) in (1..).zip(dots.into_iter().chain(files)).skip(skipped) {
                if reply.add(inode, next, kind, name) {
                    break;
                }
            }
            reply.ok();
        });
    }
}
