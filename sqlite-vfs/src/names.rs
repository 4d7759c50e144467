//! What SQLite asks about names: does it exist, remove it, what is its full path. `None` is the answer for names outside
//! of every pool; the host's VFS has those.

use crate::error::{OrCode, Outcome, dropping_failure};
use crate::ffi::code;
use crate::{known_names, pools, private_clone, super_journal, super_journal_file};
use daxcow::{ErrorKind, FileKind};
use std::os::unix::ffi::OsStrExt;

/// xAccess: whether `name` exists; as the unix VFS has it, an empty file does not `only_content`. With `writable` also
/// whether it may be written.
pub(crate) fn access(name: &[u8], only_content: bool, writable: bool) -> Outcome<Option<bool>> {
    if let Some(found) = private_clone::access(name, only_content) {
        return found.or_code(code::IOERR_ACCESS).map(Some);
    }
    match known_names::exists(name) {
        Ok(None) => return Ok(None),
        Ok(Some(false)) => return Ok(Some(false)),
        Ok(Some(true)) => {}
        Err(error) => return Err(error).or_code(code::IOERR_ACCESS),
    }
    let found = pools::with_name(name, |pool, inner| {
        let metadata = match pool.pool.metadata(inner) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(false), // removed meanwhile
            result => result?,
        };
        let has_content = metadata.kind != FileKind::File || metadata.len > 0;
        Ok((has_content || !only_content) && !(writable && metadata.read_only))
    });
    match found {
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => {
            Ok(Some(false))
        }
        result => result.or_code(code::IOERR_ACCESS),
    }
}

/// xDelete; `false` if the host must do it. Removing a super-journal publishes the transaction that it is for. Removing a
/// rollback journal or super-journal that exists in memory only does nothing.
pub(crate) fn delete(name: &[u8]) -> Outcome<bool> {
    if let Some(existed) = private_clone::delete(name) {
        return if existed { Ok(true) } else { Err(code::IOERR_DELETE_NOENT.into()) };
    }
    match delete_in_pool(name) {
        Ok(Some(true)) => Ok(true),
        Ok(Some(false)) => Err(code::IOERR_DELETE_NOENT.into()),
        Ok(None) => Ok(false),
        Err(error) if error.kind() == ErrorKind::NotFound => Err(code::IOERR_DELETE_NOENT.into()),
        Err(error) => Err(dropping_failure(&error, code::IOERR_DELETE)),
    }
}

/// As [`delete`]: whether there was something to delete; `None` if `name` leads through no pool.
fn delete_in_pool(name: &[u8]) -> daxcow::Result<Option<bool>> {
    let is_real = known_names::exists(name)?;
    if is_real != Some(true) {
        super_journal::publish(name, None)?;
        let in_memory = name.ends_with(b"-journal") || super_journal_file::is_name(name);
        return Ok(is_real.map(|_| in_memory));
    }
    pools::with_name(name, |pool, inner| {
        let published = super_journal::publish(name, Some((pool, inner)))?;
        // Not gone with the batches, if those were of other pools.
        if !published || pool.pool.exists(inner)? {
            pool.pool.remove_file(inner)?;
        }
        Ok(true)
    })
}

/// xFullPathname: the pool's path without links, a slash, the normal path in the pool.
pub(crate) fn full_path(name: &[u8]) -> Outcome<Option<Vec<u8>>> {
    let found = pools::resolve(name).or_code(code::CANTOPEN_FULLPATH)?;
    Ok(found.map(|path| [path.pool.as_os_str().as_bytes(), b"/", path.inner.as_os_str().as_bytes()].concat()))
}
