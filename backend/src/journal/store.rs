//! What every operation on files needs: the pool's memory, its blocks and the lanes.

use std::ops::Range;
use std::sync::Arc;

use parking_lot::Mutex;

use super::Journal;
use super::places::Places;
use crate::runtime::Runtime;
use crate::space::Space;

/// The storage below the files of one open pool.
pub(crate) struct Store {
    pub(crate) runtime: Arc<Runtime>,
    pub(crate) space: Space,
    pub(crate) journal: Journal,
    pub(crate) settings: Settings,
    /// Where blocks of the inode table lie.
    pub(crate) table_places: Places,
    /// Inodes that a search for a free one need not look at.
    pub(crate) inodes_in_use: InUse,
}

/// What the superblock fixes for the life of a pool.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Settings {
    /// What tells the pool from all others.
    pub(crate) uuid: [u8; 16],
    /// Inodes the pool may have.
    pub(crate) inodes_max: u64,
    /// Keys of the hash of names.
    pub(crate) hash_seed: [u64; 2],
}

impl Store {
    pub(crate) fn new(runtime: Arc<Runtime>, settings: Settings) -> Store {
        let space = Space::new(runtime.clone());
        let journal = Journal::new(runtime.clone());
        Store {
            runtime,
            space,
            journal,
            settings,
            table_places: Places::default(),
            inodes_in_use: InUse::default(),
        }
    }
}

/// Inodes side by side, none of which was free when this process looked. A hint: another process may have freed some since.
#[derive(Default)]
pub(crate) struct InUse {
    numbers: Mutex<Range<u64>>,
}

impl InUse {
    pub(crate) fn numbers(&self) -> Range<u64> {
        self.numbers.lock().clone()
    }

    /// None of `seen` is free. Of what does not join, the longer is remembered.
    pub(crate) fn note(&self, seen: Range<u64>) {
        let mut known = self.numbers.lock();
        if seen.start <= known.end && known.start <= seen.end {
            *known = known.start.min(seen.start)..known.end.max(seen.end);
        } else if seen.end - seen.start > known.end - known.start {
            *known = seen;
        }
    }

    /// `number` has become free.
    pub(crate) fn freed(&self, number: u64) {
        let mut known = self.numbers.lock();
        if known.contains(&number) {
            let (below, above) = (known.start..number, number + 1..known.end);
            *known = if below.end - below.start > above.end - above.start { below } else { above };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_in_use_grows_where_it_joins_and_shrinks_to_the_longer_side() {
        let in_use = InUse::default();
        in_use.note(5..9);
        in_use.note(20..22);
        assert_eq!(in_use.numbers(), 5..9, "shorter, and apart");
        in_use.note(9..10);
        in_use.note(3..7);
        assert_eq!(in_use.numbers(), 3..10);
        in_use.freed(4);
        assert_eq!(in_use.numbers(), 5..10);
        in_use.freed(9);
        assert_eq!(in_use.numbers(), 5..9);
        in_use.freed(9);
        in_use.freed(4);
        assert_eq!(in_use.numbers(), 5..9, "neither is in it");
        in_use.note(30..40);
        assert_eq!(in_use.numbers(), 30..40, "longer");
    }
}
