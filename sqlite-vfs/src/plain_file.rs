//! A file of the pool that is written directly: a WAL, a super-journal to be recovered from, a rollback journal that came from elsewhere.

use crate::error::{OrCode, Outcome};
use crate::ffi::{code, iocap};
use crate::file::{Answer, Control, VfsFile};
use crate::pools::PoolRef;
use daxcow::{File, FileOptions};
use std::ffi::{OsStr, c_int};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// An open file whose writes are not staged.
pub(crate) struct PlainFile {
    pool: PoolRef,
    file: File,
    /// The database that it is the WAL of.
    database: Option<PathBuf>,
}

impl PlainFile {
    pub(crate) fn new(pool: PoolRef, file: File) -> PlainFile {
        PlainFile { pool, file, database: None }
    }

    /// The WAL at `path`, whose name is its database's and "-wal".
    pub(crate) fn wal(pool: PoolRef, file: File, path: &Path) -> PlainFile {
        let name = path.as_os_str().as_bytes().strip_suffix(b"-wal");
        let database = name.map(|name| PathBuf::from(OsStr::from_bytes(name)));
        PlainFile { pool, file, database }
    }

    /// Fails where SQLite asks because of what it found in a WAL index whose memory was lost.
    fn check_index(&self, operation: c_int) -> Outcome<()> {
        match &self.database {
            Some(database) if daxcow::is_memory_lost() => {
                let options = FileOptions::new().read(true);
                let database = self.pool.pool.open_file(database, &options).or_code(operation)?;
                database.check_shared_memory().or_code(operation)
            }
            _ => Ok(()),
        }
    }
}

impl VfsFile for PlainFile {
    fn read(&mut self, into: &mut [u8], offset: u64) -> Outcome<usize> {
        self.check_index(code::IOERR_READ)?;
        self.file.read_at(into, offset).or_code(code::IOERR_READ)
    }

    fn write(&mut self, from: &[u8], offset: u64) -> Outcome<()> {
        self.check_index(code::IOERR_WRITE)?;
        self.file.write_at(from, offset).or_code(code::IOERR_WRITE)
    }

    fn truncate(&mut self, size: u64) -> Outcome<()> {
        self.file.set_len(size).or_code(code::IOERR_TRUNCATE)
    }

    fn sync(&mut self) -> Outcome<()> {
        self.check_index(code::IOERR_FSYNC)?;
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
