//! Blocks: who refers to them, which are free, and which are promised to somebody.
//!
//! | module | what |
//! |---|---|
//! | [`counts`] | raising and lowering reference counts, freeing what nobody refers to any more |
//! | [`runs`] | the same for blocks that lie side by side |
//! | [`reserve`] | promises of free blocks, made before anything is changed |
//! | [`allocate`] | finding free blocks, contiguous where that is possible |
//! | `refuse` | with the feature `sim`, promises that are refused on purpose |
//! | [`ledger`] | references that die with the member: pins and unpublished blocks |
//! | [`deferred`] | references that are lowered after the next barrier, on a page medium |
//!
//! A block is free where its count is 0; taking it is one compare-and-swap of its count. Counts are volatile: trusted
//! after a clean close, rebuilt from the maps otherwise. The u16 that stands for a chunk in the count table's own
//! entries is a hint of how many of its blocks are free: never too low while members live.

pub(crate) mod allocate;
pub(crate) mod counts;
mod deferred;
pub(crate) mod ledger;
#[cfg(feature = "sim")]
pub(crate) mod refuse;
pub(crate) mod reserve;
mod runs;

use std::sync::Arc;

use parking_lot::Mutex;

use crate::error::{Error, Result};
use crate::format::layout;
use crate::runtime::{Runtime, at};
use crate::units::{BLOCK_SIZE, BlockNumber};

pub(crate) use counts::Reference;
pub(crate) use reserve::{Purpose, Reservation};
pub(crate) use runs::References;

/// The pool's blocks as this member sees them.
pub(crate) struct Space {
    pub(crate) runtime: Arc<Runtime>,
    cursors: [Mutex<allocate::Cursor>; allocate::CURSORS],
    ledgers: Mutex<ledger::Ledgers>,
}

impl Space {
    pub(crate) fn new(runtime: Arc<Runtime>) -> Space {
        let cursors =
            std::array::from_fn(|index| Mutex::new(allocate::Cursor::first(runtime.member.slot, index)));
        Space { runtime, cursors, ledgers: Mutex::new(ledger::Ledgers::default()) }
    }

    /// Blocks of the pool as all members see it now; maps what another member has grown it by.
    #[inline]
    pub(crate) fn pool_blocks(&self) -> Result<u64> {
        let blocks = self.runtime.region.load(at::POOL_BLOCKS)?;
        if blocks.saturating_mul(BLOCK_SIZE) > self.runtime.region.len() {
            self.runtime.region.extend()?;
        }
        Ok(blocks)
    }

    /// Checks that a block number read from the medium can be a data block or node of this pool.
    #[inline]
    pub(crate) fn check_block(&self, block: BlockNumber, structure: &str) -> Result<()> {
        let limit = self.runtime.region.len() / BLOCK_SIZE;
        if layout::is_allocatable(block, limit) { Ok(()) } else { self.check_new_block(block, structure) }
    }

    /// A block beyond what this process has mapped: perhaps another member has grown the pool.
    #[cold]
    fn check_new_block(&self, block: BlockNumber, structure: &str) -> Result<()> {
        check_block_within(block, self.pool_blocks()?, structure)
    }

    /// Where the blocks of the pool end, as far as this member knows or can find out.
    fn block_limit(&self) -> Result<u64> {
        Ok(self.pool_blocks()?.max(self.runtime.region.len() / BLOCK_SIZE))
    }
}

fn check_block_within(block: BlockNumber, limit: u64, structure: &str) -> Result<()> {
    if layout::is_allocatable(block, limit) {
        return Ok(());
    }
    Err(Error::corrupt(structure, "an entry", "a block inside a group of the pool", block))
}
