//! A list that handlers of signals and forks may read at any instant: no locks, no heap, nothing ever freed.
//!
//! Slots come in blocks of 64 that are linked and never given back. A slot carries a stamp that no two insertions
//! share, so a reader that finds the same stamp before and after copying the words has read one insertion whole.

use std::sync::atomic::{AtomicPtr, AtomicU64, AtomicUsize, Ordering, fence};

const SLOTS: usize = 64;
const FREE: u64 = 0;
const CLAIMED: u64 = u64::MAX;

/// Rows of `W` words, inserted and removed by any thread, read by handlers.
pub(crate) struct Registry<const W: usize> {
    head: Block<W>,
    stamps: AtomicU64,
}

struct Block<const W: usize> {
    slots: [Slot<W>; SLOTS],
    next: AtomicPtr<Block<W>>,
}

struct Slot<const W: usize> {
    stamp: AtomicU64,
    words: [AtomicUsize; W],
}

/// One row in a registry, there until this is dropped.
pub(crate) struct Row<const W: usize> {
    slot: &'static Slot<W>,
}

impl<const W: usize> Slot<W> {
    const fn new() -> Slot<W> {
        Slot { stamp: AtomicU64::new(FREE), words: [const { AtomicUsize::new(0) }; W] }
    }
}

impl<const W: usize> Block<W> {
    const fn new() -> Block<W> {
        Block { slots: [const { Slot::new() }; SLOTS], next: AtomicPtr::new(std::ptr::null_mut()) }
    }

    #[expect(unsafe_code, reason = "follows the link to a block that is never freed")]
    fn next(&self) -> Option<&'static Block<W>> {
        let next = self.next.load(Ordering::Acquire);
        // SAFETY: the link is null or comes from `Box::into_raw` in `grow`, which published it with release after
        // the block was built; blocks are never freed and have no `&mut` references.
        unsafe { next.as_ref() }
    }

    #[expect(unsafe_code, reason = "takes back the block that lost the race")]
    fn grow(&'static self) -> &'static Block<W> {
        let fresh = Box::into_raw(Box::new(Block::new()));
        match self.next.compare_exchange(std::ptr::null_mut(), fresh, Ordering::AcqRel, Ordering::Acquire) {
            // SAFETY: `fresh` was leaked above and is shared from now on; nobody makes a `&mut` of it.
            Ok(_) => unsafe { &*fresh },
            Err(winner) => {
                // SAFETY: `fresh` comes from `Box::into_raw` above and was not published.
                drop(unsafe { Box::from_raw(fresh) });
                // SAFETY: as in `next`.
                unsafe { &*winner }
            }
        }
    }
}

impl<const W: usize> Registry<W> {
    pub(crate) const fn new() -> Registry<W> {
        Registry { head: Block::new(), stamps: AtomicU64::new(1) }
    }

    /// Adds a row; it is seen by handlers until the returned guard is dropped.
    pub(crate) fn insert(&'static self, words: [usize; W]) -> Row<W> {
        let mut block = &self.head;
        loop {
            for slot in &block.slots {
                let claim = slot.stamp.compare_exchange(FREE, CLAIMED, Ordering::AcqRel, Ordering::Relaxed);
                if claim.is_ok() {
                    for (to, word) in slot.words.iter().zip(words) {
                        to.store(word, Ordering::Relaxed);
                    }
                    slot.stamp.store(self.stamps.fetch_add(1, Ordering::Relaxed), Ordering::Release);
                    return Row { slot };
                }
            }
            block = match block.next() {
                Some(next) => next,
                None => block.grow(),
            };
        }
    }

    /// Calls `visit` with a copy of every row and the row itself until it answers true; says whether one did.
    /// Async-signal-safe if `visit` is.
    pub(crate) fn any(
        &'static self,
        mut visit: impl FnMut([usize; W], &'static [AtomicUsize; W]) -> bool,
    ) -> bool {
        let mut next = Some(&self.head);
        while let Some(block) = next {
            if block.slots.iter().any(|slot| slot.read().is_some_and(|words| visit(words, &slot.words))) {
                return true;
            }
            next = block.next();
        }
        false
    }
}

impl<const W: usize> Slot<W> {
    fn read(&self) -> Option<[usize; W]> {
        let stamp = self.stamp.load(Ordering::Acquire);
        if stamp == FREE || stamp == CLAIMED {
            return None;
        }
        let words = std::array::from_fn(|index| self.words[index].load(Ordering::Relaxed));
        fence(Ordering::Acquire);
        (self.stamp.load(Ordering::Relaxed) == stamp).then_some(words)
    }
}

impl<const W: usize> Row<W> {
    /// The words of the row, which handlers may change.
    pub(crate) fn words(&self) -> &'static [AtomicUsize; W] {
        &self.slot.words
    }
}

impl<const W: usize> Drop for Row<W> {
    fn drop(&mut self) {
        self.slot.stamp.store(FREE, Ordering::Release);
    }
}
