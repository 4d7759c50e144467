//! What an open file does for SQLite, in safe Rust: `sqlite3_io_methods` with its pointers and flags decoded.

use crate::error::Outcome;
use crate::ffi::code;
use crate::main_db::MainDb;
use daxcow::LockMode;
use std::ffi::{CStr, c_int};
use std::ptr::NonNull;

/// The lock levels of a database file, in rising order; the numbers are SQLite's.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) enum LockLevel {
    None = 0,
    Shared = 1,
    Reserved = 2,
    Pending = 3,
    Exclusive = 4,
}

impl LockLevel {
    /// The level that SQLite's `number` stands for.
    pub(crate) fn from_number(number: c_int) -> Option<LockLevel> {
        [LockLevel::None, LockLevel::Shared, LockLevel::Reserved, LockLevel::Pending, LockLevel::Exclusive]
            .into_iter()
            .find(|&level| level as c_int == number)
    }
}

/// What xShmLock asks for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum ShmAction {
    Lock(LockMode),
    Unlock(LockMode),
}

/// A decoded xFileControl. Integers are SQLite's in-and-out arguments; -1 asks for the present value.
pub(crate) enum Control<'a> {
    Sync {
        super_journal: Option<&'a CStr>,
    },
    CommitPhaseTwo,
    CheckpointStart,
    CheckpointDone,
    /// SIZE_HINT, CHUNK_SIZE, OVERWRITE, BLOCK_ON_CONNECT.
    Hint,
    LockState(&'a mut c_int),
    LastErrno(&'a mut c_int),
    PersistWal(&'a mut c_int),
    PowersafeOverwrite(&'a mut c_int),
    HasMoved(&'a mut c_int),
    ExternalReader(&'a mut c_int),
    LockTimeout(&'a mut c_int),
    MmapSize(&'a mut i64),
    NullIo,
    VfsName,
    TempFileName,
    Pragma {
        name: &'a CStr,
    },
    Visit(&'a mut dyn FnMut(&mut MainDb)),
}

/// How a control was answered.
#[derive(PartialEq, Eq, Debug)]
pub(crate) enum Answer {
    Done,
    /// SQLITE_NOTFOUND: SQLite or the caller goes on without.
    Unknown,
    /// Goes to the caller as a string of SQLite's allocator.
    Text(String),
}

/// An open file. The defaults are those of a file without locks and shared memory, which is what journals are.
pub(crate) trait VfsFile: Sized + 'static {
    /// Reads from `offset` bytes on; returns how many bytes there were before the end of the file.
    fn read(&mut self, into: &mut [u8], offset: u64) -> Outcome<usize>;
    fn write(&mut self, from: &[u8], offset: u64) -> Outcome<()>;
    fn truncate(&mut self, size: u64) -> Outcome<()>;
    fn sync(&mut self) -> Outcome<()>;
    fn size(&mut self) -> Outcome<u64>;

    fn lock(&mut self, _level: LockLevel) -> Outcome<()> {
        Ok(())
    }
    fn unlock(&mut self, _level: LockLevel) -> Outcome<()> {
        Ok(())
    }
    fn is_reserved(&mut self) -> Outcome<bool> {
        Ok(false)
    }
    fn control(&mut self, _control: Control<'_>) -> Outcome<Answer> {
        Ok(Answer::Unknown)
    }
    fn device_characteristics(&self) -> c_int {
        0
    }

    fn shm_map(&mut self, _region: usize, _size: usize, _extend: bool) -> Outcome<Option<NonNull<u8>>> {
        Err(code::IOERR_SHMMAP.into())
    }
    fn shm_lock(&mut self, _first: u8, _count: u8, _action: ShmAction) -> Outcome<()> {
        Err(code::IOERR_SHMLOCK.into())
    }
    fn shm_unmap(&mut self, _delete: bool) -> Outcome<()> {
        Ok(())
    }

    /// A pointer to `len` bytes at `offset` that stay as they are until [`VfsFile::unfetch`], or `None` to have them read.
    fn fetch(&mut self, _offset: u64, _len: usize) -> Outcome<Option<NonNull<u8>>> {
        Ok(None)
    }
    fn unfetch(&mut self, _pointer: NonNull<u8>) {}
}
