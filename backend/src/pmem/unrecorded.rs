//! The `sim` module's notes where that feature is off: nothing.

use std::fs::File;
use std::sync::Arc;

use super::arch::Lost;
use super::region::Region;
use crate::error::Result;
use crate::os::mmap::Reservation;
use crate::units::PoolOffset;

/// No mapping is kept.
pub(super) const fn kept_mapping(_: &File, _: u64) -> Option<Arc<Reservation>> {
    None
}

/// Memory never passes for a disk.
pub(super) const fn plays_disk() -> bool {
    false
}

/// Nor for a DAX device.
pub(super) const fn plays_device() -> bool {
    false
}

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
    pub(super) fn noting_zeros<T>(
        &self,
        _: PoolOffset,
        _: u64,
        _: bool,
        store: impl FnOnce() -> Result<T, Lost>,
    ) -> Result<T, Lost> {
        store()
    }

    #[inline(always)]
    pub(super) fn noting_publish<T>(
        &self,
        _: PoolOffset,
        store: impl FnOnce() -> Result<T, Lost>,
    ) -> Result<T, Lost> {
        store()
    }

    #[inline(always)]
    pub(super) fn noting_discard(&self, _: PoolOffset, _: u64) {}

    #[inline(always)]
    pub(super) fn noting_pointer(&self, _: PoolOffset, _: u64) {}

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
