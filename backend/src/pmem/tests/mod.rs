//! The region on tmpfs and on a disk: what each access does, and what becomes of lost memory.

mod access;
mod lost;
mod order;

use std::fs::{File, OpenOptions};
use std::path::PathBuf;

use super::*;
use medium::{Dax, FlushMode};

pub(super) const MEMORY: &str = "/dev/shm";
/// A directory on a file system with a page cache, where the tests are built.
pub(super) const DISK: &str = env!("CARGO_MANIFEST_DIR");

/// A file of its own, removed when dropped.
pub(super) struct Scratch {
    pub(super) path: PathBuf,
    _directory: tempfile::TempDir,
}

impl Scratch {
    pub(super) fn new(directory: &str, len: u64) -> Scratch {
        let directory = tempfile::Builder::new().prefix(".daxcow-test-").tempdir_in(directory).unwrap();
        let path = directory.path().join("pool");
        File::create(&path).unwrap().set_len(len).unwrap();
        Scratch { path, _directory: directory }
    }

    pub(super) fn open(&self) -> File {
        OpenOptions::new().read(true).write(true).open(&self.path).unwrap()
    }

    pub(super) fn map(&self) -> Region {
        self.map_with(options()).unwrap()
    }

    pub(super) fn map_with(&self, options: MapOptions) -> crate::Result<Region> {
        Region::map(self.open(), &self.path, options)
    }
}

pub(super) fn options() -> MapOptions {
    MapOptions { dax: Dax::Auto, flush: FlushMode::On, access: Access::ReadWrite }
}

/// Stores without caring for durability.
pub(super) fn put(region: &Region, at: u64, bytes: &[u8]) {
    region.write(crate::units::PoolOffset(at), bytes).unwrap().leave_unflushed();
}

pub(super) fn get(region: &Region, at: u64, len: usize) -> Vec<u8> {
    let mut bytes = vec![0xee; len];
    region.read(crate::units::PoolOffset(at), &mut bytes).unwrap();
    bytes
}
