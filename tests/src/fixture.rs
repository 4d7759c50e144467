//! Short forms of what nearly every test does. All of them panic where the pool refuses: the test has failed then.

use std::path::{Path, PathBuf};

use daxcow::{Error, ErrorKind, File, FileOptions, OpenOptions, Pool, RollbackOptions};

use crate::place::Place;
use crate::rng::pattern;

/// A new pool of `mebibytes` in `place`, sparse on the host.
///
/// # Panics
/// If it cannot be made.
#[must_use]
pub fn new_pool(place: &Place, mebibytes: u64) -> Pool {
    Pool::create(place.pool(), &place.options(mebibytes << 20)).expect("a new pool")
}

/// A pool in a directory of its own, for tests that reach it by host paths.
pub struct HostFixture {
    place: Place,
    /// The pool.
    pub pool: Pool,
}

impl HostFixture {
    /// A pool of so many bytes, sparse on the host.
    ///
    /// # Panics
    /// If it cannot be made.
    #[must_use]
    pub fn with_size(bytes: u64) -> HostFixture {
        let place = Place::new();
        let pool = Pool::create(place.pool(), &place.options(bytes)).expect("a new pool");
        HostFixture { place, pool }
    }

    /// The host path that leads to `name` in the pool.
    #[must_use]
    pub fn path(&self, name: &str) -> PathBuf {
        self.place.pool().join(name)
    }

    /// The path of a file beside the pool.
    #[must_use]
    pub fn host(&self, name: &str) -> PathBuf {
        self.place.path().join(name)
    }

    /// Fails where there is anything beside the pool.
    ///
    /// # Panics
    /// If there is.
    pub fn assert_nothing_on_the_host(&self) {
        let names = std::fs::read_dir(self.place.path()).expect("the directory is read");
        let names: Vec<_> = names.map(|entry| entry.expect("an entry").file_name()).collect();
        assert_eq!(names, ["test.pool"], "nothing was made on the host");
    }
}

/// Makes the tables that a pool keeps once it has had a file, a directory and a snapshot: what space is measured after.
///
/// # Errors
/// What the pool said.
pub fn warm_up(pool: &Pool) -> daxcow::Result<()> {
    pool.create_dir("/d")?;
    pool.open_file("/d/f", &FileOptions::new().write(true).create(true))?.write_at(b"x", 0)?;
    pool.create_snapshot::<&str>("s", &[])?;
    pool.remove_dir_all("/d")?;
    pool.delete_snapshot("s")
}

/// The pool at `path`, opened once more.
///
/// # Panics
/// If it cannot be opened.
#[must_use]
pub fn open_pool(path: impl AsRef<Path>) -> Pool {
    Pool::open(path, &OpenOptions::new()).expect("the pool opens")
}

/// A file opened for reading and writing, made where it is missing.
///
/// # Panics
/// If it cannot be opened.
#[must_use]
pub fn file(pool: &Pool, path: &str) -> File {
    let options = FileOptions::new().read(true).write(true).create(true);
    pool.open_file(path, &options).unwrap_or_else(|error| panic!("{path}: {error:?}"))
}

/// A file opened for reading.
///
/// # Panics
/// If it cannot be opened.
#[must_use]
pub fn readable(pool: &Pool, path: &str) -> File {
    pool.open_file(path, &FileOptions::new().read(true)).unwrap_or_else(|error| panic!("{path}: {error:?}"))
}

/// Makes a file of these bytes.
///
/// # Panics
/// If it cannot be written.
pub fn put(pool: &Pool, path: &str, bytes: &[u8]) {
    let file = file(pool, path);
    file.set_len(0).expect("the file is emptied");
    file.write_at(bytes, 0).unwrap_or_else(|error| panic!("{path}: {error:?}"));
}

/// All bytes of a file.
///
/// # Panics
/// If it cannot be read.
#[must_use]
pub fn get(pool: &Pool, path: &str) -> Vec<u8> {
    contents(&readable(pool, path)).unwrap_or_else(|error| panic!("{path}: {error:?}"))
}

/// All bytes of an open file.
///
/// # Errors
/// What the pool said.
pub fn contents(file: &File) -> daxcow::Result<Vec<u8>> {
    let mut bytes = vec![0xa5; usize::try_from(file.len()?).expect("a test file fits memory")];
    file.read_exact_at(&mut bytes, 0)?;
    Ok(bytes)
}

/// The bytes a test writes as its `seed`-th content; different from zeros and from those of other seeds.
#[must_use]
pub fn bytes(seed: u64, len: usize) -> Vec<u8> {
    pattern(seed + 1, len)
}

/// The kind of the error that was expected.
///
/// # Panics
/// If there is none.
pub fn kind<T>(result: Result<T, Error>) -> ErrorKind {
    match result {
        Ok(_) => panic!("this should have failed"),
        Err(error) => error.kind(),
    }
}

/// Fails unless the checker finds the pool clean and nothing leaked.
///
/// # Panics
/// If it does not.
pub fn assert_clean(pool: &Pool) {
    let report = pool.check().expect("the check runs");
    assert!(report.is_clean(), "check found {:#?}", report.problems);
    assert_eq!(report.leaked_blocks, 0, "blocks that nothing owns");
}

/// Free bytes of the pool.
///
/// # Panics
/// If the pool does not say.
#[must_use]
pub fn free(pool: &Pool) -> u64 {
    pool.usage().expect("usage").free_bytes
}

/// A snapshot of the whole pool.
///
/// # Panics
/// If it cannot be taken.
pub fn snapshot(pool: &Pool, name: &str) {
    pool.create_snapshot::<&str>(name, &[]).unwrap_or_else(|error| panic!("{name}: {error:?}"));
}

/// Rolls back to a snapshot, files open or not.
///
/// # Panics
/// If it fails.
pub fn roll_back(pool: &Pool, name: &str) {
    pool.rollback(name, RollbackOptions { force: true }).unwrap_or_else(|error| panic!("{name}: {error:?}"));
}

/// Closes the pool and opens it again.
///
/// # Panics
/// If one of both fails.
#[must_use]
pub fn reopen(pool: Pool) -> Pool {
    let path = pool.path().to_path_buf();
    pool.close().expect("the pool closes");
    open_pool(path)
}
