//! What every operation on files needs: the pool's memory, its blocks and the lanes.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::Journal;
use crate::runtime::Runtime;
use crate::space::Space;
use crate::units::{FileBlock, PoolOffset};

/// The storage below the files of one open pool.
pub(crate) struct Store {
    pub(crate) runtime: Arc<Runtime>,
    pub(crate) space: Space,
    pub(crate) journal: Journal,
    pub(crate) settings: Settings,
    /// Where blocks of the inode table lie.
    pub(crate) table_places: Places,
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
        Store { runtime, space, journal, settings, table_places: Places::default() }
    }
}

/// File blocks that this process remembers the places of.
const PLACES: usize = 256;

/// Where the first blocks of a file lie whose blocks never move; filled as they are found.
pub(crate) struct Places {
    /// By file block; 0: not known.
    places: [AtomicU64; PLACES],
}

impl Default for Places {
    fn default() -> Places {
        Places { places: [const { AtomicU64::new(0) }; PLACES] }
    }
}

impl Places {
    /// The place of `block`, if it is known.
    pub(crate) fn get(&self, block: FileBlock) -> Option<PoolOffset> {
        let place = self.slot(block)?.load(Ordering::Relaxed);
        (place != 0).then_some(PoolOffset(place))
    }

    /// Remembers the place of `block`, which must not move while this lives.
    pub(crate) fn remember(&self, block: FileBlock, place: PoolOffset) {
        if let Some(slot) = self.slot(block) {
            slot.store(place.0, Ordering::Relaxed);
        }
    }

    fn slot(&self, block: FileBlock) -> Option<&AtomicU64> {
        self.places.get(usize::try_from(block.0).ok()?)
    }
}
