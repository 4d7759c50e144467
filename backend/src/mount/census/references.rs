//! References as they are counted: a bit for each block that has one, and more only where there is more to say.
//!
//! ```text
//! seen      64 bytes a chunk       a bit a block: somebody refers to it
//! details   2,560 bytes a chunk    of chunks that hold a node, or a block with several references:
//!           its level, and how many references it has beyond the first
//! ```
//!
//! Most blocks hold data of one file, and their references come in runs: one store counts up to 64 of them.
//!
//! **Invariant**: a block has the level of the reference that set its bit. A node's level is stored before its bit, so whoever
//! finds the bit set finds the level as well; where a data block's reference was faster, the level is taken back.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU8, AtomicU32, AtomicU64, Ordering};

use zerocopy::FromZeros;

use crate::error::{Error, Result};
use crate::space::counts::COUNT_MAX;
use crate::units::{BlockNumber, CHUNK_BLOCKS};

/// Blocks in a chunk, as a length.
const CHUNK: usize = 512;
const _: () = assert!(CHUNK as u64 == CHUNK_BLOCKS);
/// Blocks that one word of bits is for, and words of a chunk.
const WORD: u64 = 64;
const WORDS: usize = 8;
const _: () = assert!(WORDS as u64 * WORD == CHUNK_BLOCKS);

/// References to each block of a chunk.
pub(crate) type ChunkCounts = [u32; CHUNK];

/// References to the blocks of a pool.
pub(super) struct References {
    seen: Vec<AtomicU64>,
    details: Vec<OnceLock<Box<Details>>>,
}

struct Details {
    /// References beyond the first.
    more: [AtomicU32; CHUNK],
    /// 0 for a block that holds data, or that nobody refers to.
    levels: [AtomicU8; CHUNK],
}

/// What a reference found.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Referred {
    /// It is the first.
    First,
    /// There are others, at the same level.
    Again,
    /// There are others at this level, which cannot be. It is counted.
    AtLevel(u8),
    /// There are more than a count can hold.
    TooOften,
}

impl References {
    /// None yet, to the blocks of so many chunks.
    pub(super) fn new(chunks: usize) -> Result<References> {
        let seen = AtomicU64::new_vec_zeroed(chunks * WORDS).map_err(|_| {
            let reason = std::io::ErrorKind::OutOfMemory.into();
            Error::os(format!("memory to count the references of {chunks} chunks"), reason)
        })?;
        Ok(References { seen, details: (0..chunks).map(|_| OnceLock::new()).collect() })
    }

    /// Whether references to `block` can be counted.
    pub(super) fn covers(&self, block: BlockNumber) -> bool {
        block.0 / WORD < self.seen.len() as u64
    }

    /// Counts a reference to `block`, which is covered, at `level`.
    pub(super) fn refer(&self, block: BlockNumber, level: u8) -> Referred {
        let index = within_chunk(block);
        if level > 0 {
            let claimed = &self.details(block).levels[index];
            match claimed.compare_exchange(0, level, Ordering::AcqRel, Ordering::Acquire) {
                Ok(_) if self.set(block) => return Referred::First,
                Ok(_) => {
                    claimed.store(0, Ordering::Release);
                    self.count_another(block);
                    return Referred::AtLevel(0);
                }
                Err(seen) if seen != level => {
                    self.count_another(block);
                    return Referred::AtLevel(seen);
                }
                Err(_) => {}
            }
        } else {
            if self.set(block) {
                return Referred::First;
            }
            let seen =
                self.details_of(block).map_or(0, |details| details.levels[index].load(Ordering::Acquire));
            if seen != 0 {
                self.count_another(block);
                return Referred::AtLevel(seen);
            }
        }
        if self.count_another(block) { Referred::Again } else { Referred::TooOften }
    }

    /// Counts a reference to each data block of a run, whose blocks are covered, that has none; calls `others` for the rest.
    pub(super) fn refer_run(&self, first: BlockNumber, blocks: u64, mut others: impl FnMut(BlockNumber)) {
        let end = first.0 + blocks;
        let mut at = first.0;
        while at < end {
            let upto = (at / WORD + 1) * WORD;
            let bits = upto.min(end) - at;
            let mask = u64::MAX >> (WORD - bits) << (at % WORD);
            let mut seen = self.word(at).fetch_or(mask, Ordering::AcqRel) & mask;
            while seen != 0 {
                others(BlockNumber(at / WORD * WORD + u64::from(seen.trailing_zeros())));
                seen &= seen - 1;
            }
            at = upto;
        }
    }

    /// Brings the bits of `block`, which is covered, near: many such loads go on at once, where one counted reference
    /// waits for the one before.
    pub(super) fn touch(&self, block: BlockNumber) -> u64 {
        self.word(block.0).load(Ordering::Relaxed)
    }

    /// References to `block`.
    pub(super) fn count(&self, block: BlockNumber) -> u32 {
        if !self.covers(block) || self.word(block.0).load(Ordering::Relaxed) >> (block.0 % WORD) & 1 == 0 {
            return 0;
        }
        let more = |details: &Details| details.more[within_chunk(block)].load(Ordering::Relaxed);
        self.details_of(block).map_or(0, more).saturating_add(1)
    }

    /// References to each block of the covered chunk at `first`.
    pub(super) fn count_chunk(&self, first: BlockNumber) -> ChunkCounts {
        let mut counts = [0; CHUNK];
        for (n, counts) in (0..).zip(counts.chunks_exact_mut(CHUNK / WORDS)) {
            match self.word(first.0 + n * WORD).load(Ordering::Relaxed) {
                0 => {}
                u64::MAX => counts.fill(1),
                seen => (0..).zip(counts).for_each(|(bit, count)| *count = u32::from(seen >> bit & 1 != 0)),
            }
        }
        if let Some(details) = self.details_of(first) {
            for (count, more) in counts.iter_mut().zip(&details.more) {
                *count = count.saturating_add(more.load(Ordering::Relaxed));
            }
        }
        counts
    }

    fn word(&self, block: u64) -> &AtomicU64 {
        &self.seen[usize::try_from(block / WORD).unwrap_or(usize::MAX)]
    }

    /// Sets the bit of `block`; true if it was not set.
    fn set(&self, block: BlockNumber) -> bool {
        let bit = 1 << (block.0 % WORD);
        self.word(block.0).fetch_or(bit, Ordering::AcqRel) & bit == 0
    }

    fn count_another(&self, block: BlockNumber) -> bool {
        self.details(block).more[within_chunk(block)].fetch_add(1, Ordering::Relaxed) < COUNT_MAX - 1
    }

    fn details_of(&self, block: BlockNumber) -> Option<&Details> {
        self.slot(block).get().map(Box::as_ref)
    }

    fn details(&self, block: BlockNumber) -> &Details {
        self.slot(block).get_or_init(|| {
            Box::new(Details {
                more: [const { AtomicU32::new(0) }; CHUNK],
                levels: [const { AtomicU8::new(0) }; CHUNK],
            })
        })
    }

    fn slot(&self, block: BlockNumber) -> &OnceLock<Box<Details>> {
        &self.details[usize::try_from(block.0 / CHUNK_BLOCKS).unwrap_or(usize::MAX)]
    }
}

fn within_chunk(block: BlockNumber) -> usize {
    usize::try_from(block.0 % CHUNK_BLOCKS).unwrap_or(0)
}
