//! An inode's sequence counter: odd while its data or map changes in place, raised by every change.
//!
//! A reader copies, then asks whether the counter is still what it was and even; only then does it judge what it read.
//! Only the holder of the inode's lock changes the counter. A holder that died in the middle left it odd; the next
//! change starts from there.
//!
//! One more counter, of the whole pool, is raised when blocks move that any number of files may share.

use super::Runtime;
use super::at::MOVES;
use crate::error::Result;
use crate::format::inode::{at, field};
use crate::pmem::Access;
use crate::units::PoolOffset;

/// A change in progress; the counter is even again when it is dropped.
#[must_use]
pub(crate) struct Change<'a> {
    runtime: &'a Runtime,
    place: PoolOffset,
    odd: u64,
}

impl Runtime {
    /// Begins a change of the inode at `inode`, whose lock the caller holds.
    pub(crate) fn begin_change(&self, inode: PoolOffset) -> Result<Change<'_>> {
        let place = field(inode, at::SEQUENCE);
        let odd = self.region.load(place)? | 1;
        self.region.store_u64(place, odd)?;
        self.region.fence_acquire();
        Ok(Change { runtime: self, place, odd })
    }

    /// How often blocks have moved in the whole pool; of a private view, in the file below it. A reader that copies from a
    /// block asks before and after: who moves blocks holds no inode's lock and raises no inode's counter.
    pub(crate) fn moves(&self) -> Result<u64> {
        match self.region.access() {
            Access::ReadWrite => self.region.load(MOVES),
            _ => self.region.load_from_file(MOVES),
        }
    }

    /// Says that blocks have moved. The gate is closed, the new places are published, the old ones not free yet.
    pub(crate) fn blocks_moved(&self) -> Result<()> {
        self.region.add_u64(MOVES, 1).map(drop)
    }

    /// The counter, if no change is in progress.
    pub(crate) fn sequence(&self, inode: PoolOffset) -> Result<Option<u64>> {
        let sequence = self.region.load(field(inode, at::SEQUENCE))?;
        Ok((sequence & 1 == 0).then_some(sequence))
    }

    /// Whether nothing has changed since the counter was `sequence`.
    pub(crate) fn unchanged_since(&self, inode: PoolOffset, sequence: u64) -> Result<bool> {
        self.region.fence_acquire();
        Ok(self.region.load(field(inode, at::SEQUENCE))? == sequence)
    }
}

impl Drop for Change<'_> {
    fn drop(&mut self) {
        self.runtime.region.fence_acquire();
        if let Err(error) = self.runtime.region.store_u64(self.place, self.odd.wrapping_add(1)) {
            tracing::error!(%error, "a sequence counter could not be raised");
        }
    }
}
