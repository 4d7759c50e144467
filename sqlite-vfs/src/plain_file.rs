//! A file of the pool that is written directly: a WAL, a super-journal to be recovered from, a rollback journal that came from elsewhere.

use crate::error::{OrCode, Outcome};
use crate::ffi::{code, iocap};
use crate::file::{Answer, Control, VfsFile};
use crate::pools::PoolRef;
use daxcow::File;
use std::ffi::c_int;

/// An open file whose writes are not staged.
pub(crate) struct PlainFile {
    /// Keeps the pool open.
    _pool: PoolRef,
    file: File,
}

impl PlainFile {
    pub(crate) fn new(pool: PoolRef, file: File) -> PlainFile {
        PlainFile { _pool: pool, file }
    }
}

impl VfsFile for PlainFile {
    fn read(&mut self, into: &mut [u8], offset: u64) -> Outcome<usize> {
        self.file.read_at(into, offset).or_code(code::IOERR_READ)
    }

    fn write(&mut self, from: &[u8], offset: u64) -> Outcome<()> {
        self.file.write_at(from, offset).or_code(code::IOERR_WRITE)
    }

    fn truncate(&mut self, size: u64) -> Outcome<()> {
        self.file.set_len(size).or_code(code::IOERR_TRUNCATE)
    }

    fn sync(&mut self) -> Outcome<()> {
        self.file.sync().or_code(code::IOERR_FSYNC)
    }

    fn size(&mut self) -> Outcome<u64> {
        self.file.len().or_code(code::IOERR_FSTAT)
    }

    fn control(&mut self, control: Control<'_>) -> Outcome<Answer> {
        match control {
            Control::HasMoved(moved) => {
                *moved = c_int::from(self.file.is_stale().or_code(code::IOERR)?);
                Ok(Answer::Done)
            }
            Control::VfsName => Ok(Answer::Text(crate::vfs_name())),
            _ => Ok(Answer::Unknown),
        }
    }

    fn device_characteristics(&self) -> c_int {
        iocap::POWERSAFE_OVERWRITE | iocap::SUBPAGE_READ
    }
}
