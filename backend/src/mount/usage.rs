//! temp
use crate::{error::Result, format::layout, inode::Core, runtime::at};
#[derive(Clone, Debug)]
pub struct SpaceUsage {
    pub total_bytes: u64,
    pub free_bytes: u64,
    pub used_bytes: u64,
    pub reserve_bytes: u64,
    pub inodes_used: u64,
    pub inodes_free: u64,
}
pub(crate) fn usage(core: &Core) -> Result<SpaceUsage> {
    let space = &core.store.space;
    let n = space.pool_blocks()?;
    let total = layout::allocatable_blocks(n) * 4096;
    let free = core.store.runtime.region.load(at::FREE_BLOCKS)? * 4096;
    let used = core.store.runtime.region.load(at::INODES_USED)?;
    Ok(SpaceUsage {
        total_bytes: total,
        free_bytes: free,
        used_bytes: total - free,
        reserve_bytes: crate::space::reserve::reserve_blocks(n) * 4096,
        inodes_used: used,
        inodes_free: core.store.settings.inodes_max - used,
    })
}
