//! A private copy of a database to recover.

use crate::ffi::connection::OwnConnection;
use crate::open::sibling;
use crate::pools::PoolRef;
use daxcow::{ErrorKind, File, FileOptions};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

/// What may stand beside a database and belongs to it.
const SIBLINGS: [&str; 2] = ["-journal", "-wal"];

/// A name in the pool's root, or among the snapshots, that nobody else uses.
pub(crate) fn private_path() -> PathBuf {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    let nanoseconds = std::time::UNIX_EPOCH.elapsed().map_or(0, |since| since.as_nanos());
    PathBuf::from(format!(".daxcow-{}-{nanoseconds:x}-{number}", std::process::id()))
}

/// A private copy of a database with its journal and WAL, sharing all blocks with the original; removed when dropped.
pub(crate) struct PrivateClone {
    pool: PoolRef,
    path: PathBuf,
}

impl PrivateClone {
    /// Clones the database at `original`, which does not change meanwhile, being in a snapshot.
    ///
    /// # Errors
    /// A sentence for people.
    pub(crate) fn of_database(pool: &PoolRef, original: &Path) -> Result<PrivateClone, String> {
        let clone = PrivateClone { pool: PoolRef::clone(pool), path: private_path() };
        pool.pool.clone_tree(original, &clone.path).map_err(|error| error.to_string())?;
        for suffix in SIBLINGS {
            match pool.pool.clone_tree(sibling(original, suffix), sibling(&clone.path, suffix)) {
                Err(error) if error.kind() != ErrorKind::NotFound => return Err(error.to_string()),
                _ => {}
            }
        }
        Ok(clone)
    }

    /// Has SQLite play back the journal and copy the WAL into the database, so that one file is all of it.
    ///
    /// # Errors
    /// SQLite's message.
    pub(crate) fn recover(&self) -> Result<(), String> {
        let connection = OwnConnection::open(&self.pool.full_name(&self.path))?;
        connection.borrow().execute(c"SELECT count(*) FROM sqlite_schema; PRAGMA wal_checkpoint(TRUNCATE)")
    }

    /// The database file.
    ///
    /// # Errors
    /// The backend's message.
    pub(crate) fn open(&self) -> Result<File, String> {
        let options = FileOptions::new().read(true).write(true);
        self.pool.pool.open_file(&self.path, &options).map_err(|error| error.to_string())
    }

    /// Recovers the database and gives up its name.
    ///
    /// # Errors
    /// SQLite's or the backend's message.
    pub(crate) fn into_recovered_file(self) -> Result<File, String> {
        self.recover()?;
        self.open()
    }
}

impl Drop for PrivateClone {
    fn drop(&mut self) {
        let siblings = SIBLINGS.map(|suffix| sibling(&self.path, suffix));
        for path in siblings.iter().chain([&self.path]) {
            // One that cannot be removed stays as a file that nobody uses; there is no one to tell here but the log.
            match self.pool.pool.remove_file(path) {
                Err(error) if error.kind() != ErrorKind::NotFound => {
                    crate::ffi::log(crate::ffi::code::WARNING, &error.to_string());
                }
                _ => {}
            }
        }
    }
}
