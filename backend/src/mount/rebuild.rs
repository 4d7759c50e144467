//! Reference counts from a census: what an unclean pool gets at its first open.
//!
//! A damaged pool is opened all the same, and nothing that a damaged map may own is handed out. While the machine has not been
//! down since the counts were stored they are right or too high, so that the higher of the old count and the new one holds.
//! Otherwise nothing is known of what damage hides: every block is held once more, and there is no free space until the pool
//! has been repaired, or grown.

use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;
use zerocopy::IntoBytes;

use super::census::Census;
use super::check::Problem;
use super::workers;
use crate::error::{Error, Result};
use crate::format::inode;
use crate::format::layout;
use crate::inode::Inode;
use crate::journal::Store;
use crate::pmem::{Flushed, Mistake, Region, mistake};
use crate::runtime::at;
use crate::space::counts::{COUNT_MAX, chunk_hint};
use crate::units::{BlockNumber, CHUNK_BLOCKS, CHUNK_SIZE};

const CHUNKS_PER_GROUP: u64 = layout::GROUP_BLOCKS / CHUNK_BLOCKS;

/// What a rebuild found.
pub(super) struct Rebuilt {
    pub(super) free_blocks: u64,
    pub(super) inodes_used: u64,
    /// Inodes in use without a link.
    pub(super) orphans: Vec<Inode>,
    /// What contradicts the format.
    pub(super) problems: u64,
}

/// What is known of the references that damage hides.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Hidden {
    /// There are none.
    Nothing,
    /// The counts of before cover them.
    OldCounts,
    /// Any block may have one.
    Anything,
}

impl Hidden {
    /// What a block's count must be that has `counted` references and had the count `old`.
    fn count(self, counted: u32, old: u32) -> u32 {
        // Room for owners to come, should the old one be garbage.
        let old = old.min(COUNT_MAX / 2);
        match self {
            Hidden::Nothing => counted,
            Hidden::OldCounts => counted.max(old),
            Hidden::Anything => counted.max(old).saturating_add(1),
        }
    }
}

/// Counts all references and stores the counts and the hints of free blocks. `counts_survived` says that the counts of before are
/// not too low. Makes the sizes of all files durable: who stored them lazily may have died, and the note of it dies with
/// the epoch.
pub(super) fn rebuild(region: &Region, pool_blocks: u64, counts_survived: bool) -> Result<Rebuilt> {
    let mut census = Census::take(region, pool_blocks)?;
    let hidden = match (census.hides_references(), counts_survived) {
        (false, _) => Hidden::Nothing,
        (true, true) => Hidden::OldCounts,
        (true, false) => Hidden::Anything,
    };
    let free_blocks = store_counts(region, &census, pool_blocks, hidden)?;
    let (findings, more) = census.take_findings();
    for finding in &findings {
        let Problem { structure, place, message } = &finding.problem;
        tracing::error!(structure, place, message, "damage");
    }
    let damaged = census.damaged().len() as u64;
    let inodes = census.inodes();
    let sizes = inodes.iter().fold(Flushed::none(), |flushed, facts| {
        flushed.join(region.flush_range(facts.inode.field(inode::at::SIZE), 8))
    });
    region.fence(sizes)?;
    Ok(Rebuilt {
        free_blocks,
        inodes_used: inodes.len() as u64 + damaged,
        orphans: inodes.iter().filter(|facts| facts.links == 0).map(|facts| facts.inode).collect(),
        problems: findings.len() as u64 + more + damaged,
    })
}

/// Counts anew in a pool that this member has to itself, with nothing in flight. False where damage hides references: then the counts
/// stay as they are.
pub(super) fn recount(store: &Store) -> Result<bool> {
    let region = &store.runtime.region;
    let pool_blocks = store.space.pool_blocks()?;
    let mut census = Census::take(region, pool_blocks)?;
    if census.hides_references() {
        return Ok(false);
    }
    let free_blocks = store_counts(region, &census, pool_blocks, Hidden::Nothing)?;
    let inodes = census.inodes().len() + census.damaged().len();
    region.store_u64(at::FREE_BLOCKS, free_blocks)?;
    region.store_u64(at::INODES_USED, inodes as u64)?;
    Ok(true)
}

fn store_counts(region: &Region, census: &Census<'_>, pool_blocks: u64, hidden: Hidden) -> Result<u64> {
    let groups = layout::group_count(pool_blocks);
    let (next, free) = (AtomicU64::new(0), AtomicU64::new(0));
    let failure: Mutex<Option<Error>> = Mutex::new(None);
    let worker = || {
        loop {
            let group = next.fetch_add(1, Ordering::Relaxed);
            if group >= groups {
                return;
            }
            match store_group(region, census, group, pool_blocks, hidden) {
                Ok(in_group) => _ = free.fetch_add(in_group, Ordering::Relaxed),
                Err(error) => {
                    failure.lock().get_or_insert(error);
                    return;
                }
            }
        }
    };
    let threads = workers::threads_for(usize::try_from(groups).unwrap_or(usize::MAX));
    std::thread::scope(|scope| {
        for _ in 1..threads {
            scope.spawn(worker);
        }
        worker();
    });
    failure.into_inner().map_or_else(|| Ok(free.into_inner()), Err)
}

/// Stores the counts and hints of one group; answers how many of its blocks are free. What is right already is not stored again.
fn store_group(
    region: &Region,
    census: &Census<'_>,
    group: u64,
    pool_blocks: u64,
    hidden: Hidden,
) -> Result<u64> {
    let start = layout::group_start(group);
    let chunks = layout::group_blocks(group, pool_blocks) / CHUNK_BLOCKS;
    let (mut flushed, mut total) = (Flushed::none(), 0);
    let mut hints = [0_u16; 1024];
    // Counts of blocks beyond the end of the pool are zeroed, for when it grows.
    for chunk in 1..if hidden == Hidden::Nothing { CHUNKS_PER_GROUP } else { chunks } {
        let first = start.add(chunk * CHUNK_BLOCKS);
        let mut counts = if chunk < chunks { census.counts_of_chunk(first) } else { [0; 512] };
        let place = layout::count(first);
        let mut old = [0_u32; 512];
        let read = region.read(place, old.as_mut_bytes());
        // Lost memory may be good again once it is stored to, where the old counts do not matter.
        let known = match read {
            Err(error) if hidden != Hidden::Nothing => return Err(error),
            read => read.is_ok(),
        };
        old.iter_mut().for_each(|old| *old = u32::from_le(*old));
        if hidden != Hidden::Nothing {
            counts.iter_mut().zip(&old).for_each(|(count, &old)| *count = hidden.count(*count, old));
        }
        if mistake(Mistake::SharedCountedOnce) {
            counts.iter_mut().for_each(|count| *count = (*count).min(1));
        }
        if chunk < chunks {
            let free = counts.iter().filter(|&&count| count == 0).count();
            hints[usize::try_from(chunk).unwrap_or(0)] = u16::try_from(free).unwrap_or(0);
            total += free as u64;
        }
        if !known || counts != old {
            counts.iter_mut().for_each(|count| *count = count.to_le());
            flushed = flushed.join(region.flush_data(region.write(place, counts.as_bytes())?));
        }
    }
    hints.iter_mut().for_each(|hint| *hint = hint.to_le());
    flushed = flushed.join(region.flush_data(region.write(start.offset(), hints.as_bytes())?));
    region.fence(flushed)?;
    Ok(total)
}

/// Says that `free` blocks of the chunk at `first`, which nobody else uses, are free.
fn set_hint(region: &Region, first: BlockNumber, free: u64) -> Result<()> {
    let (hint, shift) = chunk_hint(first);
    let before = region.load_u32(hint)? >> shift & 0xffff;
    let free = u32::try_from(free).unwrap_or(0);
    region.add_u32(hint, free.wrapping_sub(before) << shift).map(drop)
}

/// Makes the blocks from `from` to `pool_blocks` free, whatever their counts were; answers how many there are. The tables of
/// groups that begin there are zeroed whole.
pub(super) fn init_free(region: &Region, from: u64, pool_blocks: u64) -> Result<u64> {
    let mut flushed = Flushed::none();
    let mut total = 0;
    let mut chunk = from;
    while chunk < pool_blocks {
        let first = BlockNumber(chunk);
        if (chunk - layout::FIRST_GROUP_BLOCK).is_multiple_of(layout::GROUP_BLOCKS) {
            flushed = flushed.join(region.flush_data(region.zero(first.offset(), CHUNK_SIZE)?));
        } else {
            flushed = flushed.join(region.flush_data(region.zero(layout::count(first), 4 * CHUNK_BLOCKS)?));
            set_hint(region, first, CHUNK_BLOCKS)?;
            total += CHUNK_BLOCKS;
        }
        chunk += CHUNK_BLOCKS;
    }
    region.fence(flushed)?;
    Ok(total)
}

const _: () = assert!(
    CHUNKS_PER_GROUP == 1024 && CHUNKS_PER_GROUP * 2 == 4 * CHUNK_BLOCKS,
    "the hints fill the counts of the table's own blocks"
);
