//! Opening a pool: the first member recovers it, the others join.
//!
//! ```text
//! lock the opening byte
//!   alone on the members byte?
//!     yes: choose the superblock -> epoch + 1, state open, durably -> wipe volatile state -> replay all lanes
//!          -> counts: trusted after a clean close, otherwise rebuilt, too high where there is damage
//!     no:  check that the volatile state is of the superblock's epoch
//!   claim a slot -> recover the member that died in it -> occupy it -> recover the other dead members
//! unlock the opening byte
//! ```

use std::fs::File;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::options::OpenOptions;
use super::rebuild::{Rebuilt, rebuild};
use super::{close, recover, superblocks, view};
use crate::error::{Error, ErrorKind, Result};
use crate::format::layout::{self, GROUPS, RUNTIME, SLOT_COUNT};
use crate::format::superblock::{State, Superblock};
use crate::inode::{Core, Inode};
use crate::journal::{self, Settings, Store};
use crate::os::file::{Identity, identity};
use crate::os::lock::LockFile;
use crate::os::process;
use crate::pmem::{Access, FailedSync, Flushed, MapOptions, Mistake, Region, mistake};
use crate::runtime::member::{
    Claim, MEMBERS_BYTE, Member, OPENING_BYTE, any_slot_in_use, claim_slot, occupy,
};
use crate::runtime::robust::PATIENCE;
use crate::runtime::{Runtime, at};
use crate::units::{BLOCK_BYTES, BLOCK_SIZE, PoolOffset};

/// How a pool was found when this process opened it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Opening {
    /// It had been closed by its last member, or lived.
    pub(crate) clean: bool,
    /// What this process did to make it whole, if it was the first to open it after a crash.
    pub(crate) recovery: Option<RecoveryInfo>,
}

/// What the first opening after a crash did.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct RecoveryInfo {
    /// Transactions that were complete in their lanes and not yet applied.
    pub transactions_replayed: u64,
    /// Inodes without a name that were freed.
    pub orphans_removed: u64,
    /// Blocks in use, whose references were counted.
    pub blocks_counted: u64,
    /// The sync that failed when the pool was last open in this boot of the machine: what had not been durable by then may be
    /// lost, though it can still be read here, until it is written again.
    pub failed_sync: Option<FailedSync>,
    /// What contradicts the format in the maps and inodes; [`Pool::check`](crate::Pool::check) names it. What is damaged answers
    /// [`Corrupt`](crate::ErrorKind::Corrupt), the rest of the pool can be used.
    pub problems: u64,
    /// How long it took, in microseconds.
    pub microseconds: u64,
}

/// Opens the pool at `path` for reading and writing; where the options or the host forbid that, as a [`view`].
///
/// # Errors
/// `NotAPool`, `UnsupportedVersion`, `UnsupportedMedium`; `Corrupt` where the file is truncated, both superblocks are damaged or
/// contradict each other, or a transaction to be completed names what is no word of the pool; `Busy` where all member slots are taken, a device is in use through another node, or others
/// are opening, closing, creating or repairing the pool for longer than a minute.
pub(crate) fn open(path: &Path, options: &OpenOptions) -> Result<(Arc<Core>, Opening)> {
    open_within(path, options, PATIENCE)
}

/// As [`open`]; `Busy` too where others are opening, closing, creating or repairing the pool for longer than `patience`.
pub(super) fn open_within(
    path: &Path,
    options: &OpenOptions,
    patience: Duration,
) -> Result<(Arc<Core>, Opening)> {
    if options.read_only {
        return view::open(path, patience);
    }
    let lock_file = match LockFile::open(path) {
        Ok(lock_file) => lock_file,
        Err(error) if matches!(error.kind(), ErrorKind::PermissionDenied | ErrorKind::ReadOnly) => {
            return view::open(path, patience).map_err(|_| error);
        }
        Err(error) => return Err(error),
    };
    lock_file.exclusive_within(OPENING_BYTE, patience)?;
    let first = lock_file.try_exclusive(MEMBERS_BYTE)?;
    if !first {
        lock_file.shared_within(MEMBERS_BYTE, patience)?;
    }
    let (region, node) = mapped(path, &lock_file, options)?;
    let opened =
        if first { open_first(region, lock_file, node, options.force) } else { join(region, lock_file) };
    opened.map_err(|error| error.at(path))
}

/// That the path named one file when it was opened for its locks and for its bytes: its identity.
pub(super) fn same_file(file: &File, lock_file: &LockFile) -> Result<Identity> {
    let node = identity(file).map_err(|error| Error::os("stat", error))?;
    if node == lock_file.identity()? {
        return Ok(node);
    }
    Err(Error::new(ErrorKind::Busy, "the file was replaced while it was being opened"))
}

/// The pool at `path` for who wants it alone: mapped, and the opening byte and the members byte locked.
pub(super) fn alone(path: &Path, options: &OpenOptions) -> Result<(Region, LockFile, Identity)> {
    let lock_file = LockFile::open(path)?;
    lock_file.exclusive_within(OPENING_BYTE, PATIENCE)?;
    if !lock_file.try_exclusive(MEMBERS_BYTE)? {
        return Err(
            Error::new(ErrorKind::Busy, "the pool is in use, and must be closed by everybody").at(path)
        );
    }
    let (region, node) = mapped(path, &lock_file, options)?;
    Ok((region, lock_file, node))
}

fn mapped(path: &Path, lock_file: &LockFile, options: &OpenOptions) -> Result<(Region, Identity)> {
    let file = File::options()
        .read(true)
        .write(true)
        .open(path)
        .map_err(|error| Error::os("open", error).at(path))?;
    let node = same_file(&file, lock_file)?;
    let map = MapOptions { dax: options.dax, flush: options.flush, access: Access::ReadWrite };
    Ok((Region::map(file, path, map)?, node))
}

/// What the first opener has found out before it becomes a member.
pub(super) struct Begun {
    pub(super) superblock: Superblock,
    was_clean: bool,
    counts_survived: bool,
    failed_sync: Option<FailedSync>,
}

/// Begins an epoch: all volatile state of before is void.
pub(super) fn begin(region: &Region, node: Identity, force: bool) -> Result<Begun> {
    let (mut superblock, whole) = superblocks::read_both(region)?;
    superblocks::check_writable(&superblock)?;
    check_other_node(region, &superblock, node, force)?;
    let was_clean = whole && superblock.state == State::Clean && counts_plausible(&superblock);
    let counts_survived =
        superblock.boot_id == process::boot_id()? && superblock.node == [node.device, node.inode];
    let failed_sync = failed_sync(region, &superblock)?;
    begin_epoch(region, &mut superblock, node)?;
    wipe(region, superblock.epoch, superblock.pool_blocks)?;
    Ok(Begun { superblock, was_clean, counts_survived, failed_sync })
}

fn open_first(
    region: Region,
    lock_file: LockFile,
    node: Identity,
    force: bool,
) -> Result<(Arc<Core>, Opening)> {
    let started = Instant::now();
    let begun = begin(&region, node, force)?;
    let was_clean = begun.was_clean;
    let (core, orphans, mut recovery) = become_first(region, lock_file, &begun)?;
    recovery.orphans_removed = let_others_in(&core, orphans)?;
    recovery.microseconds = u64::try_from(started.elapsed().as_micros()).unwrap_or(u64::MAX);
    Ok((core, Opening { clean: was_clean, recovery: (!was_clean).then_some(recovery) }))
}

/// Replays the lanes, makes the counts right and becomes a member. The opening byte stays locked.
pub(super) fn become_first(
    region: Region,
    lock_file: LockFile,
    begun: &Begun,
) -> Result<(Arc<Core>, Vec<Inode>, RecoveryInfo)> {
    let Begun { superblock, was_clean, counts_survived, failed_sync } = begun;
    let pool_blocks = superblock.pool_blocks;
    let mut transactions_replayed = 0;
    for slot in 0..SLOT_COUNT {
        match journal::recover(&region, slot) {
            Ok(replayed) => transactions_replayed += replayed,
            // Every transaction had been applied: what the lane held is no matter.
            Err(error) if *was_clean && error.kind() == ErrorKind::MediaError => {
                tracing::error!(%error, slot, "a lane is lost");
            }
            Err(error) => return Err(error),
        }
    }
    let trusted = *was_clean || mistake(Mistake::CountsTrusted);
    let Rebuilt { free_blocks, inodes_used, orphans, problems } = if trusted {
        let (free_blocks, inodes_used) = (superblock.free_blocks, superblock.inodes_used);
        Rebuilt { free_blocks, inodes_used, orphans: vec![], problems: 0 }
    } else {
        rebuild(&region, pool_blocks, *counts_survived)?
    };
    region.store_u64(at::FREE_BLOCKS, free_blocks)?;
    region.store_u64(at::INODES_USED, inodes_used)?;
    if problems > 0 {
        // Not to be called clean: the next first opener is to count anew.
        region.store_u64(at::DEATHS, 1)?;
    }
    lock_file.try_shared(MEMBERS_BYTE)?;
    let core = assemble(region, lock_file, superblock)?;
    let recovery = RecoveryInfo {
        transactions_replayed,
        orphans_removed: 0,
        problems,
        blocks_counted: layout::allocatable_blocks(pool_blocks).saturating_sub(free_blocks),
        failed_sync: *failed_sync,
        microseconds: 0,
    };
    Ok((core, orphans, recovery))
}

fn join(region: Region, lock_file: LockFile) -> Result<(Arc<Core>, Opening)> {
    let superblock = superblocks::read(&region)?;
    superblocks::check_writable(&superblock)?;
    let epoch = region.load(at::EPOCH)?;
    if epoch != superblock.epoch {
        return Err(Error::corrupt(
            "runtime header",
            RUNTIME,
            format_args!("epoch {}", superblock.epoch),
            format_args!("epoch {epoch}"),
        ));
    }
    let core = assemble(region, lock_file, &superblock)?;
    let_others_in(&core, vec![])?;
    Ok((core, Opening { clean: true, recovery: None }))
}

/// Becomes a member: takes a slot and recovers all members that have died. The volatile state is in order, and the opening
/// byte stays locked.
pub(super) fn assemble(region: Region, lock_file: LockFile, superblock: &Superblock) -> Result<Arc<Core>> {
    let Claim { member, predecessor, dead } = claim_slot(&region, &lock_file)?;
    let core = member_core(region, lock_file, member, superblock);
    let runtime = &core.store.runtime;
    let recovered = predecessor
        .map_or(Ok(()), |Member { slot, generation }| runtime.recover_claimed(slot, generation))
        .and_then(|()| occupy(&runtime.region, member));
    if let Err(error) = recovered {
        // What hangs from the slot is the dead member's still: nothing of it may be given back as one's own.
        runtime.lose(&error);
        return Err(error);
    }
    for Member { slot, generation } in dead {
        runtime.recover_if_dead(slot, generation)?;
    }
    Ok(core)
}

/// Lets others open, then frees the orphans that recovery has left; answers how many.
fn let_others_in(core: &Core, orphans: Vec<Inode>) -> Result<u64> {
    if !mistake(Mistake::OrphansKept) {
        core.orphans.add(orphans);
    }
    core.store.runtime.lock_file.unlock(OPENING_BYTE)?;
    recover::reclaim(core).or_else(|error| {
        tracing::warn!(%error, "inodes without a name stay until somebody frees them");
        Ok(0)
    })
}

pub(super) fn store_of(
    region: Region,
    lock_file: LockFile,
    member: Member,
    superblock: &Superblock,
) -> Store {
    let settings = Settings {
        uuid: superblock.uuid,
        inodes_max: superblock.inodes_max,
        hash_seed: superblock.hash_seed,
    };
    Store::new(Arc::new(Runtime::new(region, lock_file, member, superblock.epoch)), settings)
}

fn member_core(region: Region, lock_file: LockFile, member: Member, superblock: &Superblock) -> Arc<Core> {
    let store = store_of(region, lock_file, member, superblock);
    let core = Arc::new(Core::new(store, Some(Box::new(close::leave))));
    core.store.runtime.set_recoverer(recover::recoverer(&core));
    core
}

/// Two nodes of one device have separate byte locks: slots in use, in this boot and through another node, may belong to living members.
fn check_other_node(region: &Region, superblock: &Superblock, node: Identity, force: bool) -> Result<()> {
    let is_device = node.node != 0;
    if force
        || !is_device
        || superblock.node == [node.device, node.inode]
        || superblock.boot_id != process::boot_id()?
        || !any_slot_in_use(region)?
    {
        return Ok(());
    }
    Err(Error::new(
        ErrorKind::Busy,
        "the device may be in use through another device node, whose locks cannot be seen here",
    ))
}

/// The sync that failed while the pool was last open, if that was in this boot: the runtime header is not durable.
fn failed_sync(region: &Region, superblock: &Superblock) -> Result<Option<FailedSync>> {
    if superblock.state == State::Clean
        || superblock.boot_id != process::boot_id()?
        || region.load(at::EPOCH)? != superblock.epoch
    {
        return Ok(None);
    }
    Ok(FailedSync::decode(region.load(at::FAILED_SYNC)?))
}

fn counts_plausible(superblock: &Superblock) -> bool {
    superblock.free_blocks <= layout::allocatable_blocks(superblock.pool_blocks)
        && superblock.inodes_used <= superblock.inodes_max
}

/// Raises the epoch and says that the pool is open, durably: all volatile state of before is void.
fn begin_epoch(region: &Region, superblock: &mut Superblock, node: Identity) -> Result<()> {
    superblock.epoch = superblocks::later_epoch(superblock)?;
    superblock.state = State::Open;
    superblock.boot_id = process::boot_id()?;
    superblock.node = [node.device, node.inode];
    superblocks::write(region, superblock)
}

/// Empties the runtime header and the member slots. Most slots have never been used: their pages are looked at and left alone, since a
/// store would fault in each by itself and make it dirty.
pub(super) fn wipe(region: &Region, epoch: u64, pool_blocks: u64) -> Result<()> {
    let (mut bytes, mut flushed) = ([0; BLOCK_BYTES], Flushed::none());
    for page in (RUNTIME.0..GROUPS.0).step_by(BLOCK_BYTES).map(PoolOffset) {
        // What cannot be loaded may take a store.
        let is_empty = region.read(page, &mut bytes).is_ok() && bytes.iter().all(|&byte| byte == 0);
        if !is_empty {
            flushed = flushed.join(region.flush_data(region.zero(page, BLOCK_SIZE)?));
        }
    }
    region.fence(flushed)?;
    region.store_u64(at::POOL_BLOCKS, pool_blocks)?;
    region.store_u64(at::INODE_CURSOR, 1)?;
    // Never what it was in an epoch before: a private view compares.
    region.store_u64(at::MOVES, epoch << 32)?;
    region.store_u64(at::EPOCH, epoch)
}
