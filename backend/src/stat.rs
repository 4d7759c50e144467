//! What is known about files and directories, for callers.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::format::dirent::Dirent;
use crate::format::inode::Kind;
use crate::namespace::resolve::Stat;
use crate::units::BLOCK_SIZE;

/// What a path names.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash)]
pub enum FileKind {
    /// A file.
    File,
    /// A directory.
    Directory,
}

impl FileKind {
    const fn of(kind: Kind) -> FileKind {
        match kind {
            Kind::Directory => FileKind::Directory,
            Kind::File | Kind::Free => FileKind::File,
        }
    }
}

/// What is known about a file or a directory.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Metadata {
    /// The number of its inode.
    pub inode: u64,
    /// What it is.
    pub kind: FileKind,
    /// Bytes; 0 for a directory.
    pub len: u64,
    /// Bytes of the blocks it has, also those it shares with others.
    pub allocated_bytes: u64,
    /// Names that lead to it.
    pub links: u32,
    /// When it was made.
    pub created: SystemTime,
    /// When it was changed last.
    pub modified: SystemTime,
    /// Part of a snapshot.
    pub read_only: bool,
}

impl Metadata {
    pub(crate) fn of(stat: Stat) -> Metadata {
        Metadata {
            inode: stat.number.0,
            kind: FileKind::of(stat.kind),
            len: stat.size,
            allocated_bytes: stat.allocated_blocks * BLOCK_SIZE,
            links: stat.links,
            created: UNIX_EPOCH + Duration::from_nanos(stat.created),
            modified: UNIX_EPOCH + Duration::from_nanos(stat.modified),
            read_only: stat.read_only,
        }
    }
}

/// An entry of a directory.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct DirEntry {
    /// Its name, any bytes but `/` and NUL.
    pub name: OsString,
    /// The number of its inode.
    pub inode: u64,
    /// What it is.
    pub kind: FileKind,
}

impl DirEntry {
    pub(crate) fn of(entry: Dirent) -> DirEntry {
        DirEntry {
            name: OsString::from_vec(entry.name),
            inode: entry.inode.0,
            kind: FileKind::of(entry.kind),
        }
    }
}
