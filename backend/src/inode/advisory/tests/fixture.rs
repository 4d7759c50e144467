//! A small pool in memory with one empty file, and members of it: each opens the pool for itself, with a slot of its own.

use std::fs::{File, OpenOptions};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock, Weak};

use crate::format::inode::{self, Birth, Kind, KindWord, at as inode_at};
use crate::format::layout::{self, TABLE_INODE};
use crate::inode::advisory::{Holder, release_member};
use crate::inode::open::{OpenInode, mask_bit};
use crate::inode::table::{NewInode, Table};
use crate::inode::{Core, Inode};
use crate::journal::{Settings, Store};
use crate::os::lock::LockFile;
use crate::pmem::medium::{Dax, FlushMode};
use crate::pmem::{Access, MapOptions, Region};
use crate::runtime::robust::PATIENCE;
use crate::runtime::{Runtime, at, member};
use crate::units::{BLOCK_SIZE, BlockNumber, CHUNK_BLOCKS, InodeNumber, PoolOffset};

const POOL_BYTES: u64 = 32 << 20;
const EPOCH: u64 = 7;
/// The file that every pool made here has.
const FILE: InodeNumber = InodeNumber(1);

/// A pool file, removed when dropped.
pub(super) struct Pool {
    pub(super) path: PathBuf,
    _directory: tempfile::TempDir,
}

/// A member of the pool, with the file open.
pub(super) struct Member {
    pub(super) core: Arc<Core>,
    pub(super) open: Arc<OpenInode>,
}

impl Pool {
    pub(super) fn new() -> Pool {
        let directory = tempfile::Builder::new().prefix("daxcow-test-").tempdir_in("/dev/shm").unwrap();
        let path = directory.path().join("pool");
        File::create(&path).unwrap().set_len(POOL_BYTES).unwrap();
        format(&map(&path));
        let pool = Pool { path, _directory: directory };
        let core = assemble(&pool.path);
        let store = &core.store;
        Table::grow(store, 0).unwrap();
        let (inode, flushed) = Table::create(store, NewInode::empty(Kind::File)).unwrap();
        assert_eq!(inode.number, FILE);
        let region = &store.runtime.region;
        let ready = region.fence(flushed).unwrap();
        let links =
            region.publish(inode.field(inode_at::LINKS), inode::encode_links(1, FILE), &ready).unwrap();
        let _ = region.fence(region.flush(links)).unwrap();
        leave(&core);
        pool
    }

    pub(super) fn join(&self) -> Member {
        Member::join(&self.path)
    }
}

impl Member {
    pub(super) fn join(path: &Path) -> Member {
        let core = assemble(path);
        let open = open(&core);
        Member { core, open }
    }

    pub(super) fn store(&self) -> &Store {
        &self.core.store
    }

    pub(super) fn inode(&self) -> Inode {
        self.open.inode
    }

    pub(super) fn free_blocks(&self) -> u64 {
        self.store().runtime.region.load(at::FREE_BLOCKS).unwrap()
    }

    /// Closes the file and leaves the pool.
    pub(super) fn leave(self) {
        self.core.open.close(&self.core.store, &self.open).unwrap();
        leave(&self.core);
    }
}

pub(super) fn open(core: &Core) -> Arc<OpenInode> {
    let generation = Table::get(&core.store, FILE).unwrap().kind(&core.store).unwrap().generation;
    core.open.open(&core.store, FILE, generation).unwrap()
}

fn leave(core: &Core) {
    let runtime = &core.store.runtime;
    runtime.free_slot(runtime.member.slot, runtime.member.generation).unwrap();
}

fn map(path: &Path) -> Region {
    let file = OpenOptions::new().read(true).write(true).open(path).unwrap();
    let options = MapOptions { dax: Dax::Auto, flush: FlushMode::On, access: Access::ReadWrite };
    Region::map(file, path, options).unwrap()
}

/// Writes what the first opener of a new pool finds or makes: the table's inode, the counts' hints, the runtime header.
fn format(region: &Region) {
    let pool_blocks = POOL_BYTES / BLOCK_SIZE;
    let number = InodeNumber(0);
    let kind = KindWord { kind: Kind::File, snapshot: false, generation: 1 };
    let birth = Birth { number, created: 0, origin: number, attribute: 0 };
    region.write(TABLE_INODE, &inode::encode(kind, 1, 0, 0, birth)).unwrap().leave_unflushed();
    let chunks = (pool_blocks - layout::FIRST_GROUP_BLOCK) / CHUNK_BLOCKS;
    for chunk in 1..chunks {
        let hint = layout::group_start(0).offset().add(chunk / 2 * 4);
        region.add_u32(hint, 512 << (chunk % 2 * 16)).unwrap();
    }
    region.store_u64(at::EPOCH, EPOCH).unwrap();
    region.store_u64(at::POOL_BLOCKS, pool_blocks).unwrap();
    region.store_u64(at::FREE_BLOCKS, layout::allocatable_blocks(pool_blocks)).unwrap();
}

/// Joins the pool, as opening it does.
fn assemble(path: &Path) -> Arc<Core> {
    let region = map(path);
    let lock_file = LockFile::open(path).unwrap();
    lock_file.exclusive_within(member::OPENING_BYTE, PATIENCE).unwrap();
    let member::Claim { member, dead, .. } = member::claim_slot(&region, &lock_file).unwrap();
    member::occupy(&region, member).unwrap();
    lock_file.unlock(member::OPENING_BYTE).unwrap();
    let runtime = Arc::new(Runtime::new(region, lock_file, member, EPOCH));
    let settings = Settings { uuid: [7; 16], inodes_max: 1 << 20, hash_seed: [1, 2] };
    let core = Arc::new(Core::new(Store::new(runtime.clone(), settings), None));
    let weak: OnceLock<Weak<Core>> = OnceLock::from(Arc::downgrade(&core));
    runtime.set_recoverer(Box::new(move |slot| {
        let Some(core) = weak.get().and_then(Weak::upgrade) else { return Ok(()) };
        for number in 1..Table::capacity(&core.store)? {
            let inode = Table::get(&core.store, InodeNumber(number))?;
            release_member(&core.store, &inode, slot)?;
            let (word, bit) = mask_bit(&inode, slot);
            core.store.runtime.region.and_u64(word, !bit)?;
        }
        Ok(())
    }));
    for dead in dead {
        assert!(runtime.recover_if_dead(dead.slot, dead.generation).unwrap());
    }
    core
}

/// Blocks with a count, by number.
pub(super) fn used_blocks(region: &Region) -> Vec<u64> {
    (layout::FIRST_GROUP_BLOCK + CHUNK_BLOCKS..POOL_BYTES / BLOCK_SIZE)
        .filter(|&block| region.load_u32(layout::count(BlockNumber(block))).unwrap() != 0)
        .collect()
}

/// That the counter of free blocks and the chunks' hints say what the counts say.
pub(super) fn assert_counts(region: &Region) {
    let used = used_blocks(region);
    let pool_blocks = POOL_BYTES / BLOCK_SIZE;
    let free = layout::allocatable_blocks(pool_blocks) - used.len() as u64;
    assert_eq!(region.load(at::FREE_BLOCKS).unwrap(), free, "the counter of free blocks");
    for chunk in 1..(pool_blocks - layout::FIRST_GROUP_BLOCK) / CHUNK_BLOCKS {
        let first = layout::FIRST_GROUP_BLOCK + chunk * CHUNK_BLOCKS;
        let taken =
            used.iter().filter(|&&block| (first..first + CHUNK_BLOCKS).contains(&block)).count() as u64;
        let hint = region.load_u32(layout::group_start(0).offset().add(chunk / 2 * 4)).unwrap();
        let hint = hint >> (chunk % 2 * 16) & 0xffff;
        assert_eq!(u64::from(hint), CHUNK_BLOCKS - taken, "the hint of chunk {chunk}");
    }
}

/// The words of the inode that nobody may leave behind.
pub(super) fn extension_word(member: &Member) -> u64 {
    let place: PoolOffset = member.inode().field(inode_at::EXTENSION);
    member.store().runtime.region.load(place).unwrap()
}

/// A barrier whose threads run on within nanoseconds of each other: they spin.
pub(super) struct Start {
    threads: u64,
    arrived: AtomicU64,
}

impl Start {
    pub(super) const fn new(threads: u64) -> Start {
        Start { threads, arrived: AtomicU64::new(0) }
    }

    pub(super) fn wait(&self) {
        let mine = self.arrived.fetch_add(1, Ordering::SeqCst);
        let all = (mine / self.threads + 1) * self.threads;
        let mut spins = 0_u32;
        while self.arrived.load(Ordering::SeqCst) < all {
            spins += 1;
            if spins.is_multiple_of(4096) {
                std::thread::yield_now();
            }
            std::hint::spin_loop();
        }
    }
}

const CHILD_POOL: &str = "DAXCOW_ADVISORY_CHILD_POOL";

/// In the child that [`Victim::start`] has started: does `acts` as a member of the pool and waits to be killed. Otherwise
/// returns at once.
pub(super) fn in_child(acts: impl FnOnce(&Member, &Holder)) {
    let Some(path) = std::env::var_os(CHILD_POOL) else { return };
    let member = Member::join(Path::new(&path));
    acts(&member, &Holder::default());
    File::create(PathBuf::from(path).with_extension("ready")).unwrap();
    loop {
        std::thread::park();
    }
}

/// A process that runs `test` of this binary as a member of `pool`; killed when dropped.
pub(super) struct Victim(Child);

impl Victim {
    pub(super) fn start(pool: &Pool, test: &str) -> Victim {
        let ready = pool.path.with_extension("ready");
        let child = Command::new(std::env::current_exe().unwrap())
            .args([test, "--exact", "--nocapture", "--test-threads=1"])
            .env(CHILD_POOL, &pool.path)
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        let mut victim = Victim(child);
        while !ready.exists() {
            assert!(victim.0.try_wait().unwrap().is_none(), "the child ended early");
            std::thread::sleep(std::time::Duration::from_millis(1));
        }
        std::fs::remove_file(ready).unwrap();
        victim
    }

    pub(super) fn kill(mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

impl Drop for Victim {
    fn drop(&mut self) {
        // Ended already where the test went well.
        if self.0.try_wait().is_ok_and(|status| status.is_none()) {
            self.0.kill().unwrap();
            self.0.wait().unwrap();
        }
    }
}
