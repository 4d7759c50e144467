//! An inode's sequence counter: odd while its data or map changes in place, raised by every change.
//!
//! A reader copies, then asks whether the counter is still what it was and even; only then does it judge what it read.
//! Only the holder of the inode's lock changes the counter. A holder that died in the middle left it odd; the next
//! change starts from there.
//!
//! A second counter of the inode is raised by those changes only that put other blocks in the place of some: a reader that copies
//! one block and finds that at most one of these went on meanwhile, and that the same word names the block
//! before and after, has copied from a block that was the file's all the time. So a reader does not need a moment in which nobody
//! writes, and waits neither for writers that never pause nor for one that has been stopped in the middle.
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
    /// The counter of the map, and its odd value, if that changes.
    map: Option<(PoolOffset, u64)>,
}

impl Runtime {
    /// How often blocks have moved in the whole pool; of a private view, in the file below it. A reader that copies from a
    /// block asks before and after: who moves blocks holds no inode's lock and raises no inode's counter.
    #[inline]
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
    /// Begins a change of the map of the inode at `inode`, or of what else says what it holds. The caller holds its lock.
    pub(crate) fn begin_change(&self, inode: PoolOffset) -> Result<Change<'_, M, L>> {
        let place = field(inode, at::REMAPS);
        let before = self.region.load(place)?;
        // One that a dead member left odd has ended, and this is another.
        let odd = before.wrapping_add(1 + (before & 1));
        // The store to the other counter, which waits for this one, comes before what changes.
        self.region.store_release(place, odd)?;
        self.begin(inode, Some((place, odd)))
    }

    /// Begins a change of bytes in blocks that stay where they are. The caller holds the inode's lock.
    #[inline]
    pub(crate) fn begin_in_place(&self, inode: PoolOffset) -> Result<Change<'_, M, L>> {
        self.begin(inode, None)
    }

    fn begin(&self, inode: PoolOffset, map: Option<(PoolOffset, u64)>) -> Result<Change<'_, M, L>> {
        let place = field(inode, at::SEQUENCE);
        let odd = self.region.load(place)? | 1;
        // The caller is the only one to store to it, and the fence orders it before whatever changes, around the cache too: a reader
        // that copies any of that sees the counter odd, or later.
        self.region.store_release(place, odd)?;
        self.region.fence_stores();
        Ok(Change { runtime: self, place, odd, map })
    }

    /// The counter of changes of the inode's map, to be given to [`Runtime::remapped_once`].
    #[inline]
    pub(crate) fn remaps(&self, inode: PoolOffset) -> Result<u64> {
        self.region.load(field(inode, at::REMAPS))
    }

    /// Whether at most one change of the map went on at any time since the counter was `before`, so that a word that is the same
    /// as before has been the same all the time.
    pub(crate) fn remapped_once(&self, inode: PoolOffset, before: u64) -> Result<bool> {
        self.region.fence_acquire();
        Ok(changes_since(before, self.remaps(inode)?) <= 1)
    }

    /// As [`Runtime::look_up_to`], with as many tries as suffice unless somebody changes the inode all the time.
    pub(crate) fn look_unlocked<T>(
        &self,
        inode: PoolOffset,
        look: impl FnMut() -> Result<T>,
    ) -> Result<Option<Result<T>>> {
        self.look_up_to(M::LOOKS, inode, look)
    }

    /// Runs `look`, which reads and changes nothing, and answers what it saw of one unmoving state of the inode at `inode`;
    /// nothing where others kept changing it for as many tries. What `look` says of a state that moved, errors too, is
    /// forgotten.
    #[inline]
    pub(crate) fn look_up_to<T>(
        &self,
        tries: u32,
        inode: PoolOffset,
        mut look: impl FnMut() -> Result<T>,
    ) -> Result<Option<Result<T>>> {
        for tried in 0..tries {
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
    #[inline]
    pub(crate) fn sequence(&self, inode: PoolOffset) -> Result<Option<u64>> {
        let sequence = self.region.load(field(inode, at::SEQUENCE))?;
        Ok((sequence & 1 == 0).then_some(sequence))
    }

    /// Whether nothing has changed since the counter was `sequence`.
    #[inline]
    pub(crate) fn unchanged_since(&self, inode: PoolOffset, sequence: u64) -> Result<bool> {
        self.region.fence_acquire();
        Ok(self.region.load(field(inode, at::SEQUENCE))? == sequence)
    }
}

impl<M: Memory, L: ByteLocks> Change<'_, M, L> {
    /// Ends the change and answers what the counter is then.
    pub(crate) fn end(self) -> u64 {
        self.odd.wrapping_add(1)
    }
}

impl<M: Memory, L: ByteLocks> Drop for Change<'_, M, L> {
    fn drop(&mut self) {
        self.runtime.region.fence_stores();
        let ended = self.map.into_iter().chain([(self.place, self.odd)]);
        for (place, odd) in ended {
            if let Err(error) = self.runtime.region.store_release(place, odd.wrapping_add(1)) {
                tracing::error!(%error, "a sequence counter could not be raised");
            }
        }
    }
}

/// Changes that were in progress when a counter was `before`, or began until it was `after`.
fn changes_since(before: u64, after: u64) -> u64 {
    let begun = |counter: u64| counter / 2 + (counter & 1);
    begun(after).wrapping_sub(begun(before)).saturating_add(before & 1)
}

#[cfg(test)]
mod tests {
    use super::changes_since;

    #[test]
    fn changes_are_counted_from_the_first_in_progress_to_the_last_begun() {
        let counted = |before, after| changes_since(before, after);
        assert_eq!([counted(4, 4), counted(4, 5), counted(4, 6), counted(4, 7)], [0, 1, 1, 2]);
        assert_eq!([counted(5, 5), counted(5, 6), counted(5, 7), counted(5, 8)], [1, 1, 2, 2]);
    }
}
