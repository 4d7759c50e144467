//! Names: what each operation does and refuses, that nothing is lost among many, and that all of it comes back.

mod many;
mod model;
mod operations;
mod removal;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::error::ErrorKind;
use crate::inode::Core;
use crate::mount::{CreateOptions, OpenOptions, close, create, open};
use crate::runtime::at;

use super::{format_namespace, resolve};

const MIB: u64 = 1 << 20;

/// A pool in memory that this process has open.
struct TestPool {
    core: Arc<Core>,
    path: PathBuf,
    _directory: tempfile::TempDir,
}

impl TestPool {
    fn new(bytes: u64, inodes_max: u64) -> TestPool {
        let directory = tempfile::Builder::new().prefix(".daxcow-test-").tempdir_in("/dev/shm").unwrap();
        let path = directory.path().join("pool");
        let options = CreateOptions::new().size(bytes).sparse(true).max_inodes(inodes_max);
        let core = create::create(&path, &options, format_namespace).unwrap();
        TestPool { core, path, _directory: directory }
    }

    /// The same pool, closed and opened again.
    fn reopen(self) -> TestPool {
        let TestPool { core, path, _directory } = self;
        close::close(core).unwrap();
        let (core, opening) = open::open(&path, &OpenOptions::new()).unwrap();
        assert!(opening.clean);
        TestPool { core, path, _directory }
    }

    fn free_blocks(&self) -> u64 {
        self.core.store.runtime.region.load(at::FREE_BLOCKS).unwrap()
    }

    fn inodes_used(&self) -> u64 {
        self.core.store.runtime.region.load(at::INODES_USED).unwrap()
    }
}

fn pool() -> TestPool {
    TestPool::new(64 * MIB, 1 << 20)
}

fn p(path: &str) -> &Path {
    Path::new(path)
}

fn touch(core: &Core, path: &str) {
    core.namespace().unwrap().create_file(p(path), true).unwrap();
}

fn mkdir(core: &Core, path: &str) {
    core.namespace().unwrap().create_dir(p(path)).unwrap();
}

fn exists(core: &Core, path: &str) -> bool {
    resolve::exists(&core.store, p(path)).unwrap()
}

fn number(core: &Core, path: &str) -> u64 {
    resolve::resolve(&core.store, p(path)).unwrap().inode.number.0
}

fn links(core: &Core, path: &str) -> u32 {
    resolve::metadata(&core.store, p(path)).unwrap().links
}

fn names(core: &Core, path: &str) -> Vec<String> {
    let entries = resolve::read_dir(&core.store, p(path)).unwrap();
    entries.into_iter().map(|entry| String::from_utf8(entry.name).unwrap()).collect()
}

#[track_caller]
fn refused<T>(answer: crate::Result<T>, kind: ErrorKind) {
    assert_eq!(answer.map(drop).unwrap_err().kind(), kind);
}

/// A repeatable sequence of numbers.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn below(&mut self, end: u64) -> u64 {
        self.next() % end
    }
}
