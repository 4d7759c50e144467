//! The `sim` module's notes where that feature is off: nothing.

use super::arch::Lost;
use super::region::Region;
use crate::error::Result;
use crate::units::PoolOffset;

/// Notes nothing.
#[derive(Default)]
pub(super) struct Recorder(());

impl Region {
    #[inline(always)]
    pub(super) fn noting_store<T>(
        &self,
        _: PoolOffset,
        _: u64,
        _: bool,
        store: impl FnOnce() -> Result<T, Lost>,
    ) -> Result<T, Lost> {
        let Recorder(()) = self.recorder;
        store()
    }

    #[inline(always)]
    pub(super) fn noting_flush<T>(&self, _: PoolOffset, _: u64, flush: impl FnOnce() -> T) -> T {
        flush()
    }

    #[inline(always)]
    pub(super) fn noting_fence<T>(&self, fence: impl FnOnce() -> T) -> T {
        fence()
    }

    #[inline(always)]
    pub(super) fn noting_futex(&self) {}
}
