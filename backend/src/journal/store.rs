//! What every operation on files needs: the pool's memory, its blocks and the lanes.

use std::sync::Arc;

use super::Journal;
use crate::runtime::Runtime;
use crate::space::Space;

/// The storage below the files of one open pool.
pub(crate) struct Store {
    pub(crate) runtime: Arc<Runtime>,
    pub(crate) space: Space,
    pub(crate) journal: Journal,
    pub(crate) settings: Settings,
}

/// What the superblock fixes for the life of a pool.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Settings {
    /// Inodes the pool may have.
    pub(crate) inodes_max: u64,
    /// Keys of the hash of names.
    pub(crate) hash_seed: [u64; 2],
}

impl Store {
    pub(crate) fn new(runtime: Arc<Runtime>, settings: Settings) -> Store {
        let space = Space::new(runtime.clone());
        let journal = Journal::new(runtime.clone());
        Store { runtime, space, journal, settings }
    }
}
