//! The super-journal of a transaction over several databases: the names of their rollback journals.
//!
//! It has to be a real file only for a database outside of the pools, whose journal refers to it: recovering that database
//! asks whether the super-journal is still there. Where all databases lie in pools it stays in memory, and a killed process
//! leaves no file behind. SQLite writes all names before it syncs; at that moment it is decided.

use crate::error::{OrCode, Outcome};
use crate::ffi::code;
use crate::file::VfsFile;
use crate::pools::{self, PoolRef};
use daxcow::{File, FileOptions};
use std::path::PathBuf;

/// What the names of super-journals end with: this and some digits.
const MARK: &[u8] = b"-mj";

/// Whether `name` is that of a super-journal.
pub(crate) fn is_name(name: &[u8]) -> bool {
    let digits = name.iter().rev().take_while(|byte| byte.is_ascii_hexdigit()).count();
    digits > 0 && name[..name.len() - digits].ends_with(MARK)
}

/// A super-journal that is being written.
pub(crate) struct SuperJournalFile {
    pool: PoolRef,
    path: PathBuf,
    names: Vec<u8>,
    /// The real file, once one is needed.
    real: Option<File>,
}

impl SuperJournalFile {
    pub(crate) fn new(pool: PoolRef, path: PathBuf) -> SuperJournalFile {
        SuperJournalFile { pool, path, names: Vec::new(), real: None }
    }

    /// Whether one of the databases lies outside of every pool.
    fn is_needed(&self) -> daxcow::Result<bool> {
        for name in self.names.split(|&byte| byte == 0).filter(|name| !name.is_empty()) {
            if pools::with_name(name, |_, _| Ok(()))?.is_none() {
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn make_real(&mut self) -> daxcow::Result<()> {
        let options = FileOptions::new().read(true).write(true).create_new(true);
        let file = self.real.insert(self.pool.pool.open_file(&self.path, &options)?);
        file.write_at(&self.names, 0)?;
        file.sync()
    }
}

impl VfsFile for SuperJournalFile {
    fn read(&mut self, into: &mut [u8], offset: u64) -> Outcome<usize> {
        let start = usize::try_from(offset).unwrap_or(usize::MAX).min(self.names.len());
        let found = into.len().min(self.names.len() - start);
        into[..found].copy_from_slice(&self.names[start..start + found]);
        Ok(found)
    }

    fn write(&mut self, from: &[u8], offset: u64) -> Outcome<()> {
        // SQLite appends the names one by one; nothing else is a super-journal.
        if self.real.is_some() || offset != self.names.len() as u64 {
            return Err(code::IOERR_WRITE.into());
        }
        self.names.extend_from_slice(from);
        Ok(())
    }

    fn truncate(&mut self, _size: u64) -> Outcome<()> {
        Err(code::IOERR_TRUNCATE.into())
    }

    fn sync(&mut self) -> Outcome<()> {
        if self.real.is_none() && self.is_needed().or_code(code::IOERR_FSYNC)? {
            return self.make_real().or_code(code::IOERR_FSYNC);
        }
        Ok(())
    }

    fn size(&mut self) -> Outcome<u64> {
        Ok(self.names.len() as u64)
    }
}

#[cfg(test)]
mod tests {
    use super::is_name;

    #[test]
    fn names_of_super_journals_are_told_from_others() {
        assert!(is_name(b"/p/a.db-mj0A1B2C3D9E0"));
        assert!(!is_name(b"/p/a.db-mj"));
        assert!(!is_name(b"/p/a.db-journal"));
        assert!(!is_name(b"/p/a.db-mjx1"));
    }
}
