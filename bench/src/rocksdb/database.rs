//! Databases in a pool and on the host.

use std::path::PathBuf;

use anyhow::{Context, Result};
use rocksdb::{DB, Options};

use crate::run::Run;

/// The pool's name.
pub(super) const POOL: &str = "rocksdb.pool";
/// The database that is read and overwritten.
pub(super) const FILLED: &str = "filled";

/// Who keeps a database.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Side {
    Daxcow,
    Posix,
}

pub(super) const SIDES: [Side; 2] = [Side::Daxcow, Side::Posix];

impl Side {
    pub(super) fn name(self) -> &'static str {
        match self {
            Side::Daxcow => "daxcow",
            Side::Posix => "posix",
        }
    }

    pub(super) fn path(self, run: &Run, name: &str) -> PathBuf {
        match self {
            Side::Daxcow => run.path(POOL).join(name),
            Side::Posix => run.path(&format!("rocksdb-{name}")),
        }
    }

    fn options(self) -> Result<Options> {
        let mut options = Options::default();
        options.create_if_missing(true);
        options.set_compression_type(rocksdb::DBCompressionType::None);
        if self == Side::Daxcow {
            options.set_env(&daxcow_rocksdb::env()?);
        }
        Ok(options)
    }

    /// Opens a database, made where it is not there.
    pub(super) fn open(self, run: &Run, name: &str, mmap_reads: bool) -> Result<DB> {
        let mut options = self.options()?;
        options.set_allow_mmap_reads(mmap_reads);
        let path = daxcow_rocksdb::path(self.path(run, name))?;
        DB::open(&options, path).with_context(|| format!("open {name} of {}", self.name()))
    }

    /// Removes a database, when nobody has it open any more.
    pub(super) fn destroy(self, run: &Run, name: &str) -> Result<()> {
        DB::destroy(&self.options()?, self.path(run, name))
            .with_context(|| format!("destroy {name} of {}", self.name()))
    }
}

/// The version of the RocksDB in this process: the crate's, which names its RocksDB, or the system's.
pub(super) fn version() -> String {
    // A new database begins its log with a line "RocksDB version: X".
    let found = tempfile::tempdir().ok().and_then(|directory| {
        let mut options = Options::default();
        options.create_if_missing(true);
        drop(DB::open(&options, directory.path()).ok()?);
        let log = std::fs::read_to_string(directory.path().join("LOG")).ok()?;
        let line = log.lines().find_map(|line| line.split_once("RocksDB version: "))?;
        Some(line.1.trim().to_owned())
    });
    found.unwrap_or_else(|| "unknown".to_owned())
}
