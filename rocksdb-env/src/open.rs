//! The path by which a database is opened.
//!
//! Whatever opens a database in the `rocksdb` crate asks its path argument three times, in this order: for RocksDB, for
//! `std::fs::create_dir_all`, and to remember it. The host can make no directory inside a pool. So the second answer of a
//! [`DatabasePath`] is the empty path, for which `create_dir_all` does nothing and succeeds, and the directory is made in
//! the pool beforehand. If a release asks in another order, opening fails before anything is made on the host.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use daxcow::{FileKind, Place, Result};

/// The turn at which `std::fs::create_dir_all` gets its answer.
const TO_BE_MADE: u32 = 1;

/// A path for opening one database, once; see [`path`].
#[derive(Debug)]
pub struct DatabasePath {
    path: PathBuf,
    in_pool: bool,
    asked: AtomicU32,
}

/// The path for whatever opens a database: `DB::open(&options, daxcow_rocksdb::path("app.pool/db")?)`. In a pool the
/// directory and those above it are made, as the crate does on the host; a path that goes through no pool stays what it is.
///
/// # Errors
/// As [`daxcow::Pool::open`] and [`daxcow::Pool::create_dir_all`].
pub fn path(path: impl AsRef<Path>) -> Result<DatabasePath> {
    let path = path.as_ref();
    let place = Place::find(path)?;
    if let Some(place) = &place {
        let is_there = place.pool.metadata(&place.path).is_ok_and(|found| found.kind == FileKind::Directory);
        if !is_there {
            place.pool.create_dir_all(&place.path)?;
        }
    }
    Ok(DatabasePath { path: path.to_owned(), in_pool: place.is_some(), asked: AtomicU32::new(0) })
}

impl AsRef<Path> for DatabasePath {
    fn as_ref(&self) -> &Path {
        let turn = self.asked.fetch_add(1, Ordering::Relaxed);
        if self.in_pool && turn == TO_BE_MADE { Path::new("") } else { &self.path }
    }
}
