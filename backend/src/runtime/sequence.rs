//! An inode's sequence counter: odd while its data or map changes in place, raised by every change.
//!
//! A reader copies, then asks whether the counter is still what it was and even; only then does it judge what it read.
//! Only the holder of the inode's lock changes the counter. A holder that died in the middle left it odd; the next
//! change starts from there.
//!
//! One more counter, of the whole pool, is raised when blocks move that any number of files may share.

use super::Runtime;
use super::at::MOVES;
use super::memory::{ByteLocks, Memory};
use crate::error::Result;
use crate::format::inode::{at, field};
use crate::os::lock::LockFile;
use crate::pmem::{Access, Region};
use crate::units::PoolOffset;

/// A change in progress; the counter is even again when it is dropped.
#[must_use]
pub(crate) struct Change<'a, M: Memory = Region, L: ByteLocks = LockFile> {
    runtime: &'a Runtime<M, L>,
    place: PoolOffset,
    odd: u64,
}

impl Runtime {
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
}

impl<M: Memory, L: ByteLocks> Runtime<M, L> {
    /// Begins a change of the inode at `inode`, whose lock the caller holds.
    pub(crate) fn begin_change(&self, inode: PoolOffset) -> Result<Change<'_, M, L>> {
        let place = field(inode, at::SEQUENCE);
        let odd = self.region.load(place)? | 1;
        self.region.store_u64(place, odd)?;
        self.region.fence_acquire();
        Ok(Change { runtime: self, place, odd })
    }

    /// Runs `look`, which reads and changes nothing, and answers what it saw of one unmoving state of the inode at `inode`;
    /// nothing where others kept changing it. What `look` says of a state that moved, errors too, is forgotten.
    pub(crate) fn look_unlocked<T>(
        &self,
        inode: PoolOffset,
        mut look: impl FnMut() -> Result<T>,
    ) -> Result<Option<Result<T>>> {
        for tried in 0..M::LOOKS {
            if let Some(sequence) = self.sequence(inode)? {
                let seen = look();
                if self.unchanged_since(inode, sequence)? {
                    return Ok(Some(seen));
                }
            }
            (0..=tried).for_each(|_| self.region.spin());
        }
        Ok(None)
    }

    /// The counter, if no change is in progress.
    fn sequence(&self, inode: PoolOffset) -> Result<Option<u64>> {
        let sequence = self.region.load(field(inode, at::SEQUENCE))?;
        Ok((sequence & 1 == 0).then_some(sequence))
    }

    /// Whether nothing has changed since the counter was `sequence`.
    fn unchanged_since(&self, inode: PoolOffset, sequence: u64) -> Result<bool> {
        self.region.fence_acquire();
        Ok(self.region.load(field(inode, at::SEQUENCE))? == sequence)
    }
}

impl<M: Memory, L: ByteLocks> Drop for Change<'_, M, L> {
    fn drop(&mut self) {
        self.runtime.region.fence_acquire();
        if let Err(error) = self.runtime.region.store_u64(self.place, self.odd.wrapping_add(1)) {
            tracing::error!(%error, "a sequence counter could not be raised");
        }
    }
}
