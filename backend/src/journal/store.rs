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
}

impl Store {
    pub(crate) fn new(runtime: Arc<Runtime>) -> Store {
        let space = Space::new(runtime.clone());
        let journal = Journal::new(runtime.clone());
        Store { runtime, space, journal }
    }
}
