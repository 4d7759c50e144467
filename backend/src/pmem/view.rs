#![expect(unsafe_code, reason = "a flag that the signal handler sets")]
//! Pointers that leave: memory lost under one becomes zeros, and the view failed.
//!
//! Code that reads through a raw pointer cannot be told of an error, and must not end with a signal. The handler puts
//! zeros of this process's own under the pointer; whoever gave it out finds [`ViewGuard::failed`] and says so.

use std::ptr::NonNull;
use std::sync::atomic::{AtomicBool, Ordering};

use super::region::{Region, bytes};
use crate::error::Result;
use crate::os::fault::{self, Fault};
use crate::units::PoolOffset;

const PAGE: usize = 4096;

/// A stretch of the pool that a pointer was given out for.
pub(crate) struct ViewGuard {
    pointer: NonNull<u8>,
    len: usize,
    _watch: fault::Watch,
    failed: Box<AtomicBool>,
}

// SAFETY: the guard only reads the flag; the pointer is used by whoever it was given to.
unsafe impl Send for ViewGuard {}
// SAFETY: as above.
unsafe impl Sync for ViewGuard {}

impl Region {
    /// Gives out a pointer to `[at, at + len)`. It must not be used after the guard is dropped.
    pub(crate) fn register_view(&self, at: PoolOffset, len: u64) -> Result<ViewGuard> {
        self.check_fork()?;
        let pointer = self.pointer(at, len)?;
        let failed = Box::new(AtomicBool::new(false));
        let context = std::ptr::from_ref::<AtomicBool>(&failed) as usize;
        let watch = fault::watch(pointer, bytes(len), Some(on_fault), context);
        Ok(ViewGuard { pointer, len: bytes(len), _watch: watch, failed })
    }
}

impl ViewGuard {
    /// The first byte.
    pub(crate) fn pointer(&self) -> NonNull<u8> {
        self.pointer
    }

    /// Bytes in the view.
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// Whether memory under the view was lost since it was made: bytes read through the pointer may be zeros.
    pub(crate) fn failed(&self) -> bool {
        self.failed.load(Ordering::Acquire)
    }
}

fn on_fault(fault: &Fault, context: usize) -> bool {
    if fault.signal != libc::SIGBUS {
        return false;
    }
    // SAFETY: the context is the flag of a view whose memory is being used, so its guard is alive.
    let failed = unsafe { &*(context as *const AtomicBool) };
    failed.store(true, Ordering::Release);
    let page = (fault.address / PAGE * PAGE) as *mut libc::c_void;
    let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_FIXED;
    // SAFETY: the page lies in the pool's mapping and its contents are lost; only the reading of zeros is added.
    let mapped = unsafe { libc::mmap(page, PAGE, libc::PROT_READ, flags, -1, 0) };
    mapped != libc::MAP_FAILED
}
