//! Tests of pools as a whole, on tmpfs and on an ordinary file system.

#[cfg(feature = "sim")]
mod appended;
mod damage;
mod death;
mod gate;
mod lifecycle;
mod size;
mod view;

use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::Arc;

use tempfile::TempDir;

use super::check::check;
use super::close::close;
use super::{CreateOptions, OpenOptions, create, open};
use crate::error::{ErrorKind, Result};
use crate::extent_map::stage::stage;
use crate::extent_map::{Change, Content, Tree};
use crate::format::layout;
use crate::inode::{Core, Inode};
use crate::journal::Store;
use crate::namespace::format_namespace;
use crate::pmem::Flushed;
use crate::runtime::at;
use crate::space::Purpose;
use crate::units::{BLOCK_SIZE, BlockNumber, FileBlock};

const MIB: u64 = 1 << 20;
/// Names the pool to a child, which thereby knows that it is one.
const ROLE: &str = "DAXCOW_MOUNT_TEST_POOL";
const READY: &str = "child is ready: ";

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
    create::create(path, &options(mebibytes), format_namespace).unwrap()
}

fn reopen(path: &Path) -> (Arc<Core>, open::Opening) {
    open::open(path, &OpenOptions::new()).unwrap()
}

fn open_error(path: &Path) -> (ErrorKind, String) {
    let error = open::open(path, &OpenOptions::new()).err().unwrap();
    (error.kind(), error.to_string())
}

/// The file `name` of `blocks` blocks, durable.
fn add_file(core: &Core, name: &str, blocks: u64) -> Result<Inode> {
    let inode = core.namespace()?.create_file(Path::new(name), true)?.0.inode;
    let _mark = core.store.runtime.enter()?;
    let _held = inode.lock(&core.store)?;
    add_blocks(&core.store, &inode, 0, blocks)?;
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

/// Counts of all blocks, and the number of free ones.
fn counts(core: &Core) -> (Vec<u32>, u64) {
    let space = &core.store.space;
    let pool_blocks = space.pool_blocks().unwrap();
    let counts = (0..pool_blocks)
        .map(BlockNumber)
        .filter(|&block| layout::is_allocatable(block, pool_blocks))
        .map(|block| space.count(block).unwrap())
        .collect();
    (counts, free_blocks(core))
}

fn free_blocks(core: &Core) -> u64 {
    core.store.runtime.region.load(at::FREE_BLOCKS).unwrap()
}

fn assert_sound(core: &Core) {
    let report = check(core).unwrap();
    assert!(report.is_clean(), "{:#?}", report.problems);
    assert_eq!(report.leaked_blocks, 0);
}

/// The role this process has been started again for.
fn role() -> Option<PathBuf> {
    std::env::var_os(ROLE).map(PathBuf::from)
}

/// A test started again. Its output is read to the end, so that it never meets a closed pipe.
struct Again {
    child: Child,
    output: BufReader<ChildStdout>,
}

impl Again {
    /// Starts the test `name` again, with `pool` as its role.
    fn start(name: &str, pool: &Path) -> Again {
        Again::spawn(&mut Command::new(std::env::current_exe().unwrap()), name, pool)
    }

    fn spawn(command: &mut Command, name: &str, pool: &Path) -> Again {
        let mut child = command
            .args(["--exact", &format!("mount::tests::{name}"), "--nocapture", "--test-threads=1"])
            .env(ROLE, pool)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let output = BufReader::new(child.stdout.take().unwrap());
        Again { child, output }
    }

    /// Waits for the child to say that it is ready; answers what it says besides.
    fn wait_until_ready(&mut self) -> String {
        let mut lines = self.output.by_ref().lines();
        let line = lines.find_map(|line| line.unwrap().split_once(READY).map(|(_, said)| said.to_owned()));
        line.expect("the child ended without being ready")
    }

    fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Lets the child go on, and waits for its good end.
    fn finish(mut self) {
        drop(self.child.stdin.take());
        let mut rest = String::new();
        self.output.read_to_string(&mut rest).unwrap();
        assert!(self.child.wait().unwrap().success(), "{rest}");
    }
}

/// Says that this child is ready, and waits to be killed, or for the parent to close its standard input.
fn ready(said: &str) {
    println!("{READY}{said}");
    std::io::copy(&mut std::io::stdin(), &mut std::io::sink()).unwrap();
}
