//! Where things lie: the header area and the groups.

use crate::units::{BLOCK_SIZE, BlockNumber, CHUNK_BLOCKS, CHUNK_SIZE, PoolOffset};

/// The two copies of the superblock.
pub(crate) const SUPERBLOCKS: [PoolOffset; 2] = [PoolOffset(0), PoolOffset(1 << 20)];
/// The inode of the inode table, the only inode that lies outside it.
pub(crate) const TABLE_INODE: PoolOffset = PoolOffset(64 << 10);
/// The lanes, four to a member slot.
pub(crate) const LANES: PoolOffset = PoolOffset(2 << 20);
/// The runtime header: volatile state of the whole pool.
pub(crate) const RUNTIME: PoolOffset = PoolOffset(6 << 20);
/// The member slots.
pub(crate) const SLOTS: PoolOffset = PoolOffset(7 << 20);
/// The first group.
pub(crate) const GROUPS: PoolOffset = PoolOffset(8 << 20);

/// Member slots in a pool: how many processes may have it open for writing at once.
pub(crate) const SLOT_COUNT: u32 = 256;
/// Bytes in a member slot.
pub(crate) const SLOT_SIZE: u64 = 4096;
/// Lanes of one member slot.
pub(crate) const LANES_PER_SLOT: u32 = 4;
/// Bytes in a lane.
pub(crate) const LANE_SIZE: u64 = 4096;

/// Blocks in a whole group; the last group of a pool may be shorter.
pub(crate) const GROUP_BLOCKS: u64 = 524_288;
/// Blocks of a group's count table, which lies in the group's first blocks.
pub(crate) const COUNT_TABLE_BLOCKS: u64 = GROUP_BLOCKS * 4 / BLOCK_SIZE;
/// The first block of the first group.
pub(crate) const FIRST_GROUP_BLOCK: u64 = GROUPS.0 / BLOCK_SIZE;

/// The smallest pool: header, one count table and room for data.
pub(crate) const POOL_SIZE_MIN: u64 = 16 << 20;
/// The largest pool: 40 bits of block number.
pub(crate) const POOL_SIZE_MAX: u64 = (1 << 40) * BLOCK_SIZE;

const _: () = {
    assert!(COUNT_TABLE_BLOCKS == CHUNK_BLOCKS);
    assert!(LANES.0 + SLOT_COUNT as u64 * LANES_PER_SLOT as u64 * LANE_SIZE == RUNTIME.0);
    assert!(SLOTS.0 + SLOT_COUNT as u64 * SLOT_SIZE == GROUPS.0);
    assert!(GROUPS.0.is_multiple_of(CHUNK_SIZE));
};

/// The place of lane `lane` of member slot `slot`.
pub(crate) const fn lane(slot: u32, lane: u32) -> PoolOffset {
    LANES.add((slot * LANES_PER_SLOT + lane) as u64 * LANE_SIZE)
}

/// The place of member slot `slot`.
pub(crate) const fn slot(slot: u32) -> PoolOffset {
    SLOTS.add(slot as u64 * SLOT_SIZE)
}

/// The place of the count of `block`, which must lie in a group.
pub(crate) const fn count(block: BlockNumber) -> PoolOffset {
    let within = block.0 - FIRST_GROUP_BLOCK;
    let group = within / GROUP_BLOCKS;
    group_start(group).offset().add(within % GROUP_BLOCKS * 4)
}

/// The first block of group `group`: the first of its count table.
pub(crate) const fn group_start(group: u64) -> BlockNumber {
    BlockNumber(FIRST_GROUP_BLOCK + group * GROUP_BLOCKS)
}

/// Groups of a pool of `pool_blocks` blocks, the last one perhaps short.
pub(crate) const fn group_count(pool_blocks: u64) -> u64 {
    pool_blocks.saturating_sub(FIRST_GROUP_BLOCK).div_ceil(GROUP_BLOCKS)
}

/// Blocks of group `group`, its count table included, in a pool of `pool_blocks` blocks.
pub(crate) const fn group_blocks(group: u64, pool_blocks: u64) -> u64 {
    let left = pool_blocks.saturating_sub(group_start(group).0);
    if left < GROUP_BLOCKS { left } else { GROUP_BLOCKS }
}

/// Whether `block` can hold data or a node in a pool of `pool_blocks` blocks: inside a group and not in its count table.
pub(crate) const fn is_allocatable(block: BlockNumber, pool_blocks: u64) -> bool {
    block.0 >= FIRST_GROUP_BLOCK
        && block.0 < pool_blocks
        && (block.0 - FIRST_GROUP_BLOCK) % GROUP_BLOCKS >= COUNT_TABLE_BLOCKS
}

/// Blocks that can hold data or nodes in a pool of `pool_blocks` blocks.
pub(crate) const fn allocatable_blocks(pool_blocks: u64) -> u64 {
    pool_blocks.saturating_sub(FIRST_GROUP_BLOCK) - group_count(pool_blocks) * COUNT_TABLE_BLOCKS
}

/// The whole blocks of a pool file of `bytes` bytes: whole chunks, and no last group too short to hold anything.
pub(crate) const fn pool_blocks_for(bytes: u64) -> u64 {
    let blocks = bytes / CHUNK_SIZE * CHUNK_BLOCKS;
    let over = blocks.saturating_sub(FIRST_GROUP_BLOCK) % GROUP_BLOCKS;
    if over <= COUNT_TABLE_BLOCKS { blocks - over } else { blocks }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_last_group_that_could_hold_nothing_is_left_out() {
        let one_group = GROUPS.0 + GROUP_BLOCKS * BLOCK_SIZE;
        assert_eq!(pool_blocks_for(one_group), one_group / BLOCK_SIZE);
        assert_eq!(pool_blocks_for(one_group + CHUNK_SIZE), one_group / BLOCK_SIZE);
        assert_eq!(pool_blocks_for(one_group + 2 * CHUNK_SIZE), (one_group + 2 * CHUNK_SIZE) / BLOCK_SIZE);
    }

    #[test]
    fn counts_of_a_group_fill_its_table() {
        let last = BlockNumber(group_start(1).0 - 1);
        assert_eq!(count(last).0 + 4, group_start(0).offset().0 + CHUNK_SIZE);
        assert!(!is_allocatable(group_start(1), u64::MAX));
        assert!(is_allocatable(group_start(1).add(COUNT_TABLE_BLOCKS), u64::MAX));
    }
}
