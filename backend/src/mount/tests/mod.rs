//! Tests of pools as a whole, on tmpfs and on an ordinary file system.

mod lifecycle;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use tempfile::TempDir;

use super::{CreateOptions, OpenOptions, create, open};
use crate::error::{ErrorKind, Result};
use crate::extent_map::stage::stage;
use crate::extent_map::{Change, Content, Tree};
use crate::format::inode::Kind;
use crate::inode::table::{NewInode, Table};
use crate::inode::{Core, Inode};
use crate::journal::Store;
use crate::pmem::Flushed;
use crate::space::Purpose;
use crate::units::{BLOCK_SIZE, FileBlock};

const MIB: u64 = 1 << 20;

/// A directory on tmpfs, and one on whatever /tmp lies on.
fn directories() -> [TempDir; 2] {
    ["/dev/shm", "/tmp"].map(|parent| tempfile::tempdir_in(parent).unwrap())
}

fn pool_in(directory: &TempDir) -> PathBuf {
    directory.path().join("test.pool")
}

fn options(mebibytes: u64) -> CreateOptions {
    CreateOptions::new().size(mebibytes * MIB).sparse(true)
}

fn new_pool(path: &Path, mebibytes: u64) -> Arc<Core> {
    create::create(path, &options(mebibytes), |_| Ok(())).unwrap()
}

fn reopen(path: &Path) -> (Arc<Core>, open::Opening) {
    open::open(path, &OpenOptions::new()).unwrap()
}

fn open_error(path: &Path) -> (ErrorKind, String) {
    let error = open::open(path, &OpenOptions::new()).err().unwrap();
    (error.kind(), error.to_string())
}

/// A file of `blocks` blocks with one link, durable.
fn add_file(store: &Store, blocks: u64) -> Result<Inode> {
    let _mark = store.runtime.enter()?;
    let _namespace = store.runtime.lock(crate::runtime::at::NAMESPACE)?;
    let (inode, flushed) = Table::create(store, NewInode::empty(Kind::File))?;
    let region = &store.runtime.region;
    region.fence(flushed)?;
    add_blocks(store, &inode, 0, blocks)?;
    set_links(store, &inode, 1)?;
    Ok(inode)
}

fn add_blocks(store: &Store, inode: &Inode, start: u64, blocks: u64) -> Result<()> {
    let mut reservation = store.space.reserve(blocks, Purpose::Store)?;
    let mut done = 0;
    while done < blocks {
        let run = store.space.allocate(&mut reservation, blocks - done, None)?;
        let content = Content::Blocks { first: run.first, unwritten: true };
        let change = Change { start: FileBlock(start + done), blocks: run.blocks, content };
        let tree = Tree::of(&store.space, inode.place)?;
        stage(&store.space, &tree, &[change], usize::MAX, Purpose::Store)?.commit(store, Flushed::none())?;
        done += run.blocks;
    }
    let durable = store.runtime.region.barrier()?;
    inode.publish_size(store, (start + blocks) * BLOCK_SIZE, &durable).map(drop)
}

fn set_links(store: &Store, inode: &Inode, links: u32) -> Result<()> {
    use crate::format::inode::{at, encode_links};
    let region = &store.runtime.region;
    let durable = region.barrier()?;
    let stored = region.publish(inode.field(at::LINKS), encode_links(links, inode.number), &durable)?;
    region.fence(region.flush(stored)).map(drop)
}
