//! Leaving a pool: the last handle of a member, and the last member.
//!
//! Whoever can take the members byte alone is the last one. It calls the counts clean if nothing speaks against it: no
//! member died since the first opening, no sync failed, nothing was left over. Otherwise the next to open counts anew.

use std::sync::Arc;
use std::time::Duration;

use super::recover::reclaim;
use super::superblocks;
use super::sync::flush_appended;
use crate::error::Result;
use crate::format::layout;
use crate::format::superblock::State;
use crate::inode::Core;
use crate::pmem::{Flushed, Mistake, Region, mistake};
use crate::runtime::at;
use crate::runtime::member::{MEMBERS_BYTE, OPENING_BYTE, any_slot_in_use};
use crate::runtime::robust::PATIENCE;
use crate::units::{CHUNK_SIZE, PoolOffset};

/// Ends this handle; the last one of the process ends its membership and says how that went.
pub(crate) fn close(core: Arc<Core>) -> Result<()> {
    Arc::into_inner(core).map_or(Ok(()), Core::close)
}

/// What a member does last. A forked child, which is no member, does nothing.
pub(super) fn leave(core: &Core) -> Result<()> {
    leave_within(core, PATIENCE)
}

/// As [`leave`]; `Busy` where others are opening or closing the pool for longer than `patience`. Then the slot stays in use,
/// and whoever meets it takes the member for dead, which costs nobody anything but a recovery.
pub(super) fn leave_within(core: &Core, patience: Duration) -> Result<()> {
    let runtime = &core.store.runtime;
    if runtime.region.check_fork().is_err() {
        return Ok(());
    }
    // The slot stays in use, and whoever meets it replays the lane.
    runtime.check_lost()?;
    let left = give_back(core);
    let alone = runtime.lock_file.exclusive_within(OPENING_BYTE, patience);
    if alone.is_err() {
        return left.and(alone);
    }
    if left.is_err() {
        runtime.region.add_u64(at::DEATHS, 1)?;
    }
    runtime.free_slot(runtime.member.slot, runtime.member.generation)?;
    let last = runtime.lock_file.try_exclusive(MEMBERS_BYTE)?;
    if left.is_ok() && last && runtime.deaths()? == 0 && !any_slot_in_use(&runtime.region)? {
        mark_clean(core)?;
    }
    left
}

/// Gives back everything that would otherwise die with the member.
fn give_back(core: &Core) -> Result<()> {
    reclaim(core)?;
    let space = &core.store.space;
    space.close_ledgers()?;
    space.settle()
}

/// Makes durable what the next epoch takes for durable: the counts, and sizes that were stored lazily. Then says in the
/// superblock that the counts can be trusted.
pub(super) fn mark_clean(core: &Core) -> Result<()> {
    let region = &core.store.runtime.region;
    flush_appended(core)?;
    let mut superblock = superblocks::read(region)?;
    if !mistake(Mistake::CleanCountsNotFlushed) {
        flush_counts(region, superblock.pool_blocks)?;
    }
    superblock.free_blocks = region.load(at::FREE_BLOCKS)?;
    superblock.inodes_used = region.load(at::INODES_USED)?;
    superblock.state = State::Clean;
    superblocks::write(region, &mut superblock)
}

fn flush_counts(region: &Region, pool_blocks: u64) -> Result<()> {
    let mut flushed = Flushed::none();
    for group in 0..layout::group_count(pool_blocks) {
        let table: PoolOffset = layout::group_start(group).offset();
        flushed = flushed.join(region.flush_range(table, CHUNK_SIZE));
    }
    // What lies in the file beside the counts has been made durable by who stored it, or is by this.
    region.fence(flushed)?;
    region.barrier().map(drop)
}
