//! Every file below some paths, snapshots included.

use std::collections::BTreeSet;
use std::path::Path;

use super::directory::{self, Directory, Lock};
use super::resolve::resolve;
use crate::error::{ErrorKind, Result};
use crate::format::inode::Kind;
use crate::journal::Store;
use crate::units::InodeNumber;

/// The files at and below `paths`, each once, by number. Directories that are removed meanwhile count as empty.
pub(crate) fn files_below<P: AsRef<Path>>(store: &Store, paths: &[P]) -> Result<Vec<InodeNumber>> {
    let mut files = BTreeSet::new();
    let mut seen = BTreeSet::new();
    let mut waiting = Vec::new();
    for path in paths {
        let found = resolve(store, path.as_ref())?;
        match found.kind {
            Kind::Directory => waiting.push(found.directory()?),
            _ => drop(files.insert(found.inode.number)),
        }
    }
    while let Some(directory) = waiting.pop() {
        if !seen.insert(directory.inode.number) {
            continue;
        }
        let entries = match directory::list(store, &directory, Lock::Free) {
            Err(error) if error.kind() == ErrorKind::Stale => continue,
            entries => entries?,
        };
        for entry in entries {
            match entry.kind {
                Kind::Directory => waiting.push(Directory::of(store, &entry)?),
                _ => drop(files.insert(entry.inode)),
            }
        }
    }
    Ok(files.into_iter().collect())
}
