//! Where this process has met lost memory.
//!
//! A block in which a load or a store has failed must not be handed out again as if nothing had happened. The region notes
//! every such range; who frees a block asks [`Region::is_sound`], which tests the suspects and nobody else.

use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::Mutex;

use super::persist::merge;
use super::region::Region;
use crate::error::{ErrorKind, Result};
use crate::os::file;
use crate::units::{BLOCK_BYTES, BLOCK_SIZE, BlockNumber, PoolOffset};

/// Ranges that are remembered one by one; more become one that holds them all. What is noted too much is tested in vain.
const RANGES_MAX: usize = 1024;

/// The ranges of the pool in which this process has met lost memory.
#[derive(Default)]
pub(super) struct Losses {
    any: AtomicBool,
    ranges: Mutex<Vec<(u64, u64)>>,
}

impl Losses {
    /// Notes that an access to `[at, at + len)` failed.
    pub(super) fn note(&self, at: PoolOffset, len: u64) {
        let mut ranges = self.ranges.lock();
        ranges.push((at.0, at.0.saturating_add(len)));
        let merged = merge(std::mem::take(&mut *ranges));
        *ranges = match (merged.first(), merged.last()) {
            (Some(first), Some(last)) if merged.len() > RANGES_MAX => vec![(first.0, last.1)],
            _ => merged,
        };
        self.any.store(true, Ordering::Release);
    }

    fn touches(&self, start: u64, end: u64) -> bool {
        self.ranges.lock().iter().any(|&(from, to)| from < end && start < to)
    }
}

impl Region {
    /// Whether any memory of the pool is known to have failed.
    #[inline]
    pub(crate) fn knows_losses(&self) -> bool {
        self.losses.any.load(Ordering::Acquire)
    }

    /// Whether `block`, which nobody refers to, can hold data: true unless it is known to have failed and fails again.
    #[inline]
    pub(crate) fn is_sound(&self, block: BlockNumber) -> bool {
        !self.knows_losses() || self.test(block)
    }

    #[cold]
    fn test(&self, block: BlockNumber) -> bool {
        let start = block.offset().0;
        if !self.losses.touches(start, start + BLOCK_SIZE) {
            return true;
        }
        match self.overwrite(block) {
            Ok(()) => true,
            // The host is full: nothing is known against the block.
            Err(error) => error.kind() == ErrorKind::NoSpace,
        }
    }

    fn overwrite(&self, block: BlockNumber) -> Result<()> {
        let zeroed = self.zero(block.offset(), BLOCK_SIZE)?;
        self.fence(self.flush_data(zeroed))?;
        self.read(block.offset(), &mut [0; BLOCK_BYTES])
    }

    /// Asks the host for other memory under `block`, which nobody refers to: a hole is punched and filled, as an
    /// administrator clears bad blocks under a file system. Whether the block is sound now.
    pub(crate) fn replace_memory(&self, block: BlockNumber) -> bool {
        let place = block.offset();
        match self.discard(place, BLOCK_SIZE) {
            Ok(true) => {}
            Ok(false) | Err(_) => return false,
        }
        file::back(self.file(), place.0, BLOCK_SIZE).is_ok() && self.overwrite(block).is_ok()
    }
}
