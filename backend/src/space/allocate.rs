//! Finding free blocks: next to a goal where the caller has one, otherwise from a chunk of one's own.
//!
//! Each stripe of threads works through one chunk at a time, so that members do not fight for the same cache lines and
//! what is written together lies together. Large requests look for an empty chunk first: 2 MiB that can be mapped as one.

use super::counts::chunk_hint;
use super::{Reservation, Space};
use crate::error::{Error, ErrorKind, Result};
use crate::format::layout::{self, FIRST_GROUP_BLOCK};
use crate::pmem::Step;
use crate::runtime::thread_number;
use crate::units::{BlockNumber, CHUNK_BLOCKS};

/// Cursors of a process; threads are spread over them.
pub(super) const CURSORS: usize = 8;
/// Requests of this many blocks and more look for an empty chunk.
const LARGE: u64 = 128;
/// Warm blocks that a stripe remembers: a directory of a thousand names is written again without a page fault.
const WARM_MAX: usize = 512;

/// What was found in a chunk; nothing where its counts lie in lost memory: the rest of the pool can still be allocated from.
fn unless_lost(found: Result<Option<Run>>) -> Result<Option<Run>> {
    match found {
        Err(error) if error.kind() == ErrorKind::MediaError => Ok(None),
        found => found,
    }
}

fn stripe() -> usize {
    thread_number() % CURSORS
}

/// Where a stripe looks next.
pub(super) struct Cursor {
    /// A block number, taken modulo the pool.
    next: u64,
    /// The same for large requests: map nodes must not land where a file that is being written goes on.
    next_large: u64,
    /// Blocks freed a moment ago, whose pages are mapped and in the caches: single blocks come from here first.
    warm: Vec<BlockNumber>,
}

impl Cursor {
    pub(super) fn first(slot: u32, stripe: usize) -> Cursor {
        let chunk = 1 + 3 * u64::from(slot) + stripe as u64;
        let next = FIRST_GROUP_BLOCK + CHUNK_BLOCKS * chunk;
        Cursor { next, next_large: next, warm: Vec::new() }
    }
}

/// Contiguous blocks just taken, each with count 1.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Run {
    pub(crate) first: BlockNumber,
    pub(crate) blocks: u64,
}

impl Space {
    /// Takes one block of a reservation.
    pub(crate) fn allocate_one(&self, from: &mut Reservation<'_>) -> Result<BlockNumber> {
        self.allocate(from, 1, None).map(|run| run.first)
    }

    /// Takes up to `wanted` contiguous blocks of a reservation, beginning at `goal` if that is free.
    pub(crate) fn allocate(
        &self,
        from: &mut Reservation<'_>,
        wanted: u64,
        goal: Option<BlockNumber>,
    ) -> Result<Run> {
        let wanted = wanted.min(from.left());
        if wanted == 0 {
            return Err(Error::new(ErrorKind::NoSpace, "more blocks were taken than had been reserved"));
        }
        let pool_blocks = self.pool_blocks()?;
        let run = match goal {
            Some(goal) => unless_lost(self.take_run(goal, wanted, pool_blocks))?,
            None => None,
        };
        let run = match run {
            Some(run) => run,
            None => self.search(wanted, pool_blocks)?,
        };
        from.take(run.blocks);
        Ok(run)
    }

    /// Takes the free blocks from `first` on, up to `wanted`, if that one is free.
    pub(crate) fn take_free(
        &self,
        from: &mut Reservation<'_>,
        first: BlockNumber,
        wanted: u64,
    ) -> Result<Option<Run>> {
        let run = self.take_run(first, wanted.min(from.left()), self.pool_blocks()?)?;
        if let Some(run) = run {
            from.take(run.blocks);
        }
        Ok(run)
    }

    /// Takes exactly `blocks` contiguous blocks of a reservation, at most a chunk's, which all lie in one chunk.
    /// `NoSpace` where the free blocks are too scattered.
    pub(crate) fn allocate_contiguous(&self, from: &mut Reservation<'_>, blocks: u64) -> Result<Run> {
        if blocks == 0 || blocks > from.left().min(CHUNK_BLOCKS) {
            let message = format!("{blocks} contiguous blocks wanted of {} reserved", from.left());
            return Err(Error::new(ErrorKind::InvalidInput, message));
        }
        let mut found = self.search_contiguous(blocks)?;
        if found.is_none() && self.deferred()? > 0 {
            self.settle()?;
            found = self.search_contiguous(blocks)?;
        }
        let run = found.ok_or_else(|| {
            Error::new(ErrorKind::NoSpace, format!("no {blocks} free blocks lie next to each other"))
        })?;
        from.take(run.blocks);
        Ok(run)
    }

    fn search_contiguous(&self, blocks: u64) -> Result<Option<Run>> {
        let pool_blocks = self.pool_blocks()?;
        let chunks = (pool_blocks - FIRST_GROUP_BLOCK) / CHUNK_BLOCKS;
        let begin = self.cursors[stripe()].lock().next.saturating_sub(FIRST_GROUP_BLOCK) / CHUNK_BLOCKS;
        for step in 0..chunks {
            let first = BlockNumber(FIRST_GROUP_BLOCK + (begin + step) % chunks * CHUNK_BLOCKS);
            if !layout::is_allocatable(first, pool_blocks) {
                continue;
            }
            let found = self.hint(first).and_then(|free| match u64::from(free) >= blocks {
                true => self.scan_contiguous(first, blocks, pool_blocks),
                false => Ok(None),
            });
            if let Some(run) = unless_lost(found)? {
                return Ok(Some(run));
            }
        }
        Ok(None)
    }

    fn scan_contiguous(&self, chunk: BlockNumber, blocks: u64, pool_blocks: u64) -> Result<Option<Run>> {
        let mut start = 0;
        while start + blocks <= CHUNK_BLOCKS {
            let first = chunk.add(start);
            let mut free = 0;
            while free < blocks && self.count(first.add(free))? == 0 {
                free += 1;
            }
            if free == blocks {
                match self.take_run(first, blocks, pool_blocks)? {
                    Some(run) if run.blocks == blocks => return Ok(Some(run)),
                    Some(part) => {
                        free = part.blocks;
                        for block in 0..part.blocks {
                            self.untake(part.first.add(block))?;
                        }
                    }
                    None => free = 0,
                }
            }
            start += free + 1;
        }
        Ok(None)
    }

    /// Gives back blocks that were taken and never became reachable. After a transaction that failed half way nobody knows
    /// which those are.
    pub(crate) fn give_back(&self, blocks: &[BlockNumber]) {
        if self.runtime.is_lost() {
            return;
        }
        for &block in blocks {
            if let Err(error) = self.free(block) {
                tracing::error!(%error, "a block could not be given back");
            }
        }
    }

    /// Remembers a block that was just freed.
    pub(super) fn warm(&self, block: BlockNumber) {
        self.warm_run(block, 1);
    }

    /// Remembers blocks that were just freed, as many as there is room for.
    pub(super) fn warm_run(&self, first: BlockNumber, blocks: u64) {
        let mut cursor = self.cursors[stripe()].lock();
        let room = WARM_MAX.saturating_sub(cursor.warm.len());
        cursor.warm.extend((0..blocks).map(|block| first.add(block)).take(room));
    }

    fn search(&self, wanted: u64, pool_blocks: u64) -> Result<Run> {
        let cursor = &mut *self.cursors[stripe()].lock();
        while wanted == 1
            && let Some(block) = cursor.warm.pop()
        {
            if let Some(run) = unless_lost(self.take_run(block, 1, pool_blocks))? {
                return Ok(run);
            }
        }
        let chunks = (pool_blocks - FIRST_GROUP_BLOCK) / CHUNK_BLOCKS;
        let chunk_of = |block: u64| block.saturating_sub(FIRST_GROUP_BLOCK) / CHUNK_BLOCKS % chunks;
        let (next, at_least) = if wanted >= LARGE {
            (&mut cursor.next_large, u32::try_from(CHUNK_BLOCKS).unwrap_or(u32::MAX))
        } else {
            (&mut cursor.next, 1)
        };
        let begin = FIRST_GROUP_BLOCK + next.saturating_sub(FIRST_GROUP_BLOCK) % (chunks * CHUNK_BLOCKS);
        if at_least == 1
            && let Some(run) = unless_lost(self.scan_chunk(begin, wanted, pool_blocks))?
        {
            *next = run.first.0 + run.blocks;
            return Ok(run);
        }
        // First by the hints, then whatever they say.
        for least in [at_least, 1, 0] {
            for step in 0..chunks {
                let chunk = (chunk_of(begin) + step) % chunks;
                let first = FIRST_GROUP_BLOCK + chunk * CHUNK_BLOCKS;
                if !layout::is_allocatable(BlockNumber(first), pool_blocks) {
                    continue;
                }
                let found = self.hint(BlockNumber(first)).and_then(|free| match free >= least {
                    true => self.scan_chunk(first, wanted, pool_blocks),
                    false => Ok(None),
                });
                if let Some(run) = unless_lost(found)? {
                    *next = run.first.0 + run.blocks;
                    return Ok(run);
                }
            }
        }
        Err(Error::new(ErrorKind::NoSpace, "no free block was found though blocks were reserved"))
    }

    /// The hint of how many blocks of the chunk at `first` are free.
    pub(crate) fn hint(&self, first: BlockNumber) -> Result<u32> {
        let (hint, shift) = chunk_hint(first);
        Ok(self.runtime.region.load_u32(hint)? >> shift & 0xffff)
    }

    /// The first free run from `begin` to the end of its chunk.
    fn scan_chunk(&self, begin: u64, wanted: u64, pool_blocks: u64) -> Result<Option<Run>> {
        let end = (begin / CHUNK_BLOCKS + 1) * CHUNK_BLOCKS;
        for block in begin..end {
            if let Some(run) = self.take_run(BlockNumber(block), wanted, pool_blocks)? {
                return Ok(Some(run));
            }
        }
        Ok(None)
    }

    /// Takes as many free blocks as there are from `first` on, up to `wanted`, chunk by chunk. A hint is lowered after the blocks
    /// have been taken: it may be too high meanwhile, never too low.
    fn take_run(&self, first: BlockNumber, wanted: u64, pool_blocks: u64) -> Result<Option<Run>> {
        let region = &self.runtime.region;
        let mut blocks = 0;
        while blocks < wanted {
            let from = first.add(blocks);
            if !layout::is_allocatable(from, pool_blocks) {
                break;
            }
            let left_in_chunk = CHUNK_BLOCKS - from.0 % CHUNK_BLOCKS;
            let here = (wanted - blocks).min(left_in_chunk).min(pool_blocks - from.0);
            let place = layout::count(from);
            // Most blocks that are asked for are in use: a load tells, without a locked instruction.
            let taken = match region.load_u32(place)? {
                0 => region.step_words(place, here, Step::Take)?,
                _ => 0,
            };
            blocks += taken;
            if taken > 0 {
                self.lower_hint(from, taken)?;
            }
            if taken < here {
                break;
            }
        }
        Ok((blocks > 0).then_some(Run { first, blocks }))
    }
}
