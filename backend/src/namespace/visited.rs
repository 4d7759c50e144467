//! Directories that a walk has been in: each has one name, so that meeting one again is damage, and no damage makes a walk
//! longer than there are directories.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use super::directory::{Directory, Lock};
use super::resolve;
use crate::error::{Error, ErrorKind, Result};
use crate::journal::Store;
use crate::runtime::at;
use crate::units::InodeNumber;

/// Where a walk has been.
#[derive(Default)]
pub(crate) struct Visited {
    paths: HashMap<(InodeNumber, u32), PathBuf>,
}

impl Visited {
    /// Notes that the walk enters `directory` at `path`, an absolute one. Where nothing keeps names from moving, a directory
    /// that was renamed meanwhile may be met again.
    ///
    /// # Errors
    /// [`ErrorKind::Corrupt`] if it has another name.
    pub(crate) fn enter(
        &mut self,
        store: &Store,
        directory: &Directory,
        path: &Path,
        lock: Lock,
    ) -> Result<()> {
        let number = directory.inode.number;
        let Some(before) = self.paths.insert((number, directory.generation), path.to_owned()) else {
            return Ok(());
        };
        if lock == Lock::Free {
            let _held = store.runtime.lock(at::NAMESPACE)?;
            let names_it = |path| -> Result<bool> {
                match resolve::resolve_with(store, path, Lock::Held) {
                    Ok(found) => Ok(found.inode.number == number),
                    Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
                    Err(error) => Err(error),
                }
            };
            if before == path || !(names_it(&before)? && names_it(path)?) {
                return Ok(());
            }
        }
        let found = format!("{} and {}", before.display(), path.display());
        Err(Error::corrupt("directory", number, "one name", found))
    }
}
