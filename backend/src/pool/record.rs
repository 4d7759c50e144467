//! Recording what a member does to the medium, for crash tests.

use std::sync::Arc;

use super::Pool;
use crate::error::Result;

impl Pool {
    /// Begins to record what this member does to the medium.
    ///
    /// # Errors
    /// `Busy` if it is being recorded already; `MediaError`.
    pub fn record(&self) -> Result<()> {
        self.core().store.runtime.region.record()
    }

    /// Events recorded so far; 0 if nothing is being recorded.
    #[must_use]
    pub fn recorded_events(&self) -> usize {
        self.core().store.runtime.region.recorded_events()
    }

    /// Ends the membership as a crash does: nothing is given back, nothing is marked clean.
    pub fn abandon(self) {
        if let Ok(inner) = Arc::try_unwrap(self.inner)
            && let Some(core) = Arc::into_inner(inner.core)
        {
            core.abandon();
        }
    }

    /// Ends the recording and hands it out; nothing if there is none.
    #[must_use]
    pub fn stop_recording(&self) -> Option<crate::pmem::sim::Recording> {
        self.core().store.runtime.region.stop_recording()
    }
}
