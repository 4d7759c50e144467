//! A private copy of a database, to be recovered by SQLite: files without a name in the pool, which share all blocks with
//! the original and are gone with this process.
//!
//! SQLite opens files by name, so while the copy lives its names are kept here, for this process only: the database's, and
//! those of its rollback journal and WAL, where there are some or SQLite makes some.

use crate::ffi::connection::OwnConnection;
use crate::open::sibling;
use crate::pools::PoolRef;
use daxcow::{ErrorKind, File, FileOptions, PerProcess};
use parking_lot::Mutex;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

/// What the names of the files of a database end with.
const SUFFIXES: [&str; 3] = ["", "-journal", "-wal"];

struct Entry {
    /// The full name of the database.
    name: Vec<u8>,
    pool: PoolRef,
    /// By suffix.
    files: [Option<File>; SUFFIXES.len()],
}

static ENTRIES: PerProcess<Mutex<Vec<Entry>>> = PerProcess::new(Mutex::default);
/// How many there are: every question about a name asks.
static COUNT: AtomicUsize = AtomicUsize::new(0);

/// Calls `body` with the place of the file `name` of a private copy, and the pool; `None` if `name` is of none.
fn with_file<R>(name: &[u8], body: impl FnOnce(&mut Option<File>, &PoolRef) -> R) -> Option<R> {
    if COUNT.load(Ordering::Acquire) == 0 {
        return None;
    }
    let mut entries = ENTRIES.get().lock();
    entries
        .iter_mut()
        .find_map(|entry| {
            let suffix = name.strip_prefix(entry.name.as_slice())?;
            let index = SUFFIXES.iter().position(|known| known.as_bytes() == suffix)?;
            Some((&mut entry.files[index], &entry.pool))
        })
        .map(|(file, pool)| body(file, pool))
}

/// Another handle of the private file `name`, which is made if need be and `create` says so. `None` if `name` is of no
/// private copy.
pub(crate) fn open(name: &[u8], create: bool) -> Option<daxcow::Result<(PoolRef, File)>> {
    with_file(name, |file, pool| {
        let file = match file {
            Some(file) => file,
            None if create => file.insert(pool.pool.open_unnamed()?),
            None => return Err(daxcow::Error::new(ErrorKind::NotFound, "the private copy has no such file")),
        };
        Ok((PoolRef::clone(pool), file.another_handle()))
    })
}

/// Whether the private file `name` is there, or with `only_content` whether it is not empty. `None` if `name` is of no
/// private copy.
pub(crate) fn access(name: &[u8], only_content: bool) -> Option<daxcow::Result<bool>> {
    with_file(name, |file, _| match file {
        Some(file) if only_content => file.is_empty().map(|empty| !empty),
        file => Ok(file.is_some()),
    })
}

/// Removes the private file `name`; answers whether it was there. `None` if `name` is of no private copy.
pub(crate) fn delete(name: &[u8]) -> Option<bool> {
    with_file(name, |file, _| file.take().is_some())
}

/// What the names of [`private_path`] begin with.
pub(crate) const PRIVATE_PREFIX: &str = ".daxcow-";

/// A name in the pool's root, or among the snapshots, that nobody else uses.
pub(crate) fn private_path() -> PathBuf {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    let nanoseconds = std::time::UNIX_EPOCH.elapsed().map_or(0, |since| since.as_nanos());
    PathBuf::from(format!("{PRIVATE_PREFIX}{}-{nanoseconds:x}-{number}", std::process::id()))
}

/// The private copy of a database; its names are forgotten when it is dropped.
pub(crate) struct PrivateClone {
    name: Vec<u8>,
}

impl PrivateClone {
    /// Clones the database at `original`, which does not change meanwhile, being in a snapshot.
    ///
    /// # Errors
    /// A sentence for people.
    pub(crate) fn of_database(pool: &PoolRef, original: &Path) -> Result<PrivateClone, String> {
        let mut files = [const { None }; SUFFIXES.len()];
        for (file, suffix) in files.iter_mut().zip(SUFFIXES) {
            *file = clone_file(pool, &sibling(original, suffix)).map_err(|error| error.to_string())?;
        }
        if files[0].is_none() {
            return Err(format!("there is no database {}", original.display()));
        }
        let name = pool.full_name(&private_path());
        let mut entries = ENTRIES.get().lock();
        entries.push(Entry { name: name.clone(), pool: PoolRef::clone(pool), files });
        COUNT.store(entries.len(), Ordering::Release);
        Ok(PrivateClone { name })
    }

    /// Has SQLite play back the journal and copy the WAL into the database, so that one file is all of it.
    ///
    /// # Errors
    /// SQLite's message.
    pub(crate) fn recover(&self) -> Result<(), String> {
        let connection = OwnConnection::open(&self.name)?;
        connection.borrow().execute(c"SELECT count(*) FROM sqlite_schema; PRAGMA wal_checkpoint(TRUNCATE)")
    }

    /// The database file.
    ///
    /// # Errors
    /// The backend's message.
    pub(crate) fn open(&self) -> Result<File, String> {
        match open(&self.name, false) {
            Some(Ok((_, file))) => Ok(file),
            Some(Err(error)) => Err(error.to_string()),
            None => Err("the private copy is gone".to_owned()),
        }
    }

    /// Recovers the database and gives up its names.
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
        let mut gone = Vec::new();
        let mut entries = ENTRIES.get().lock();
        gone.extend(entries.extract_if(.., |entry| entry.name == self.name));
        COUNT.store(entries.len(), Ordering::Release);
        drop(entries); // closing files under the lock would hold up every other thread's questions
    }
}

/// A file without a name that shares all blocks with `original`; `None` if that does not exist.
pub(crate) fn clone_file(pool: &PoolRef, original: &Path) -> daxcow::Result<Option<File>> {
    let source = match pool.pool.open_file(original, &FileOptions::new().read(true)) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        result => result?,
    };
    let file = pool.pool.open_unnamed()?;
    file.replace_contents(&source)?;
    Ok(Some(file))
}
