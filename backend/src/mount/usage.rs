//! How much of a pool is used.

use crate::error::Result;
use crate::format::layout;
use crate::inode::Core;
use crate::pmem::Access;
use crate::runtime::at;
use crate::space::reserve::reserve_blocks;
use crate::units::BLOCK_SIZE;

/// Space and inodes of a pool, as of now.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct SpaceUsage {
    /// Bytes that can hold files and what describes them.
    pub total_bytes: u64,
    /// Bytes that are free and promised to nobody, the reserve included.
    pub free_bytes: u64,
    /// Bytes that are not free.
    pub used_bytes: u64,
    /// Bytes kept for removing things from a full pool.
    pub reserve_bytes: u64,
    /// Inodes in use.
    pub inodes_used: u64,
    /// Inodes that the pool may have beyond those.
    pub inodes_free: u64,
}

/// Space and inodes of a pool.
pub(crate) fn usage(core: &Core) -> Result<SpaceUsage> {
    let region = &core.store.runtime.region;
    let pool_blocks = core.store.space.pool_blocks()?;
    let total = layout::allocatable_blocks(pool_blocks);
    // A private view has no state of its own that counts: what members last said stands in the file.
    let load = |place| match region.access() {
        Access::ReadWrite => region.load(place),
        Access::ReadOnly | Access::Private => region.load_from_file(place),
    };
    let free = load(at::FREE_BLOCKS)?.min(total);
    let inodes_used = load(at::INODES_USED)?;
    Ok(SpaceUsage {
        total_bytes: total * BLOCK_SIZE,
        free_bytes: free * BLOCK_SIZE,
        used_bytes: (total - free) * BLOCK_SIZE,
        reserve_bytes: reserve_blocks(pool_blocks) * BLOCK_SIZE,
        inodes_used,
        inodes_free: core.store.settings.inodes_max.saturating_sub(inodes_used),
    })
}
