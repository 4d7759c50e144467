//! The answers about names without SQLite around them, for the fuzzer. Failures are result codes of SQLite.

use crate::error::{Failure, Outcome};
use crate::ffi::open as flag;
use crate::file::VfsFile;
use crate::names;
use crate::open::{OpenRequest, Opened, open as open_in_pool};
use std::ffi::c_int;

/// What SQLite opens a name as.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Purpose {
    /// A main database.
    Database,
    /// The rollback journal of one.
    Journal,
    /// What says which databases belong to one transaction.
    SuperJournal,
    /// A WAL.
    Wal,
}

fn code<T>(outcome: Outcome<T>) -> Result<T, c_int> {
    outcome.map_err(|Failure { code, .. }| code)
}

/// xFullPathname; nothing for a name outside of every pool.
///
/// # Errors
/// What SQLite gets.
pub fn full_path(name: &[u8]) -> Result<Option<Vec<u8>>, c_int> {
    code(names::full_path(name))
}

/// xAccess, whether the name exists; nothing for a name outside of every pool.
///
/// # Errors
/// What SQLite gets.
pub fn exists(name: &[u8]) -> Result<Option<bool>, c_int> {
    code(names::access(name, true, false))
}

/// xDelete; `false` if the host is to do it.
///
/// # Errors
/// What SQLite gets.
pub fn delete(name: &[u8]) -> Result<bool, c_int> {
    code(names::delete(name))
}

/// xOpen for reading and writing, made where it is missing, and xFileSize; nothing for a name outside of every pool.
///
/// # Errors
/// What SQLite gets.
pub fn open(name: &[u8], purpose: Purpose) -> Result<Option<u64>, c_int> {
    let kind = match purpose {
        Purpose::Database => flag::MAIN_DB,
        Purpose::Journal => flag::MAIN_JOURNAL,
        Purpose::SuperJournal => flag::SUPER_JOURNAL,
        Purpose::Wal => 0,
    };
    let request = OpenRequest { name, flags: kind | flag::READWRITE | flag::CREATE, powersafe: true };
    let Some(opened) = code(open_in_pool(&request))? else { return Ok(None) };
    let size = match opened.file {
        Opened::Main(mut file) => file.size(),
        Opened::Journal(mut file) => file.size(),
        Opened::SuperJournal(mut file) => file.size(),
        Opened::Plain(mut file) => file.size(),
    };
    code(size).map(Some)
}
