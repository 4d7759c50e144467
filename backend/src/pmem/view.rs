//! Pointers that leave: memory lost under one becomes zeros, and the view failed.
//!
//! Code that reads through a raw pointer cannot be told of an error, and must not end with a signal. The handler puts
//! zeros of this process's own under the pointer; whoever gave it out finds [`ViewGuard::failed`] and says so.
//!
//! The zeros stand in for the pool's memory in this process from then on, so the region's own bulk loads must not take
//! them for contents: after loading they ask [`Region::intact`]. Stores fault, since the zeros are read-only. Words are
//! not checked: views cover file data, and words live in metadata.
//!
//! Memory that is given out for stores too is volatile and shared by processes. There the zeros can be stored to, by the code
//! that has the pointer, until the guard is dropped: then the memory is sealed, so that nothing that is stored to those
//! blocks later stays in this process. Not with huge pages: other people's blocks lie in them.
#![expect(unsafe_code, reason = "a page of zeros under a pointer that left")]

use std::ptr::NonNull;
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::Mutex;

use super::region::{Intent, Region, bytes};
use crate::error::Result;
use crate::os::fault::{self, Fault};
use crate::units::PoolOffset;

/// What is replaced at once: a page, or a huge page where the mapping consists of nothing smaller (dax devices).
const UNITS: [usize; 2] = [4096, 2 << 20];

/// Whether any memory of this process was ever replaced by zeros.
static REPLACED: AtomicBool = AtomicBool::new(false);
/// What was replaced under views that were dropped, until their region is.
static FAILED: Mutex<Vec<(usize, usize)>> = Mutex::new(Vec::new());

/// Whether memory was ever lost in this process, of any pool, that a pointer had been given out to: a view or shared memory.
/// Costs one load; where it is true, the view or the [`SharedMemory`](crate::SharedMemory) says whether it is concerned.
#[inline]
#[must_use]
pub fn is_memory_lost() -> bool {
    REPLACED.load(Ordering::Acquire)
}

/// A stretch of the pool that a pointer was given out for.
pub(crate) struct ViewGuard {
    pointer: NonNull<u8>,
    len: usize,
    slack: usize,
    /// Whether it was given out for stores too.
    shared: bool,
    watch: fault::Watch,
}

// SAFETY: the guard itself never uses the pointer; whoever it was given to does.
unsafe impl Send for ViewGuard {}
// SAFETY: as above.
unsafe impl Sync for ViewGuard {}

impl Region {
    /// Gives out a pointer to `[at, at + len)`, for loads, which may go on for another `slack` bytes of whatever is there. It must
    /// not be used after the guard or the region is dropped.
    pub(crate) fn register_view(&self, at: PoolOffset, len: u64, slack: u64) -> Result<ViewGuard> {
        self.check_fork()?;
        let pointer = self.pointer(at, len + slack)?;
        let watch = fault::watch(pointer, bytes(len), bytes(slack), Some(on_fault));
        // Once it is watched: what is replaced from here on marks it.
        self.intact(at, len)?;
        Ok(ViewGuard { pointer, len: bytes(len), slack: bytes(slack), shared: false, watch })
    }

    /// Gives out a pointer to the whole blocks `[at, at + len)` of volatile memory, for loads and stores. It must not be used
    /// after the guard or the region is dropped.
    pub(crate) fn register_shared(&self, at: PoolOffset, len: u64) -> Result<ViewGuard> {
        self.check_fork()?;
        let pointer = self.pointer(at, len)?;
        let watch = fault::watch(pointer, bytes(len), 0, Some(on_shared_fault));
        self.intact(at, len)?;
        Ok(ViewGuard { pointer, len: bytes(len), slack: 0, shared: true, watch })
    }

    /// Whether what was loaded from `[at, at + len)` came from the pool, rather than from zeros that replaced it.
    #[inline]
    pub(super) fn intact(&self, at: PoolOffset, len: u64) -> Result<()> {
        if is_memory_lost() { self.search_replaced(at, len) } else { Ok(()) }
    }

    #[cold]
    fn search_replaced(&self, at: PoolOffset, len: u64) -> Result<()> {
        let start = self.address(at).as_ptr() as usize;
        let replaced = fault::is_marked(start, bytes(len))
            || FAILED.lock().iter().any(|&(first, end)| first < start + bytes(len) && start < end);
        if replaced { Err(self.lost(super::arch::Lost, at, len, Intent::Load)) } else { Ok(()) }
    }
}

/// Forgets the failed views in an address range that is about to be unmapped.
pub(super) fn forget(start: usize, len: usize) {
    FAILED.lock().retain(|&(first, end)| end <= start || start + len <= first);
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
        self.watch.marked().is_some()
    }
}

impl Drop for ViewGuard {
    fn drop(&mut self) {
        let end = self.pointer.as_ptr() as usize + self.len;
        let mark = self.watch.slack_mark();
        let slack =
            end.checked_div(mark).map(|units| (units * mark, (end + self.slack).next_multiple_of(mark)));
        let marked = self.watch.marked();
        FAILED.lock().extend(marked.into_iter().chain(slack));
        if let Some((from, to)) = marked.filter(|_| self.shared) {
            seal(from, to - from);
        }
    }
}

/// Memory whose contents were lost in part: loads go on, stores fault.
fn seal(start: usize, len: usize) {
    // SAFETY: whole pages of the pool's mapping or of what replaced them; other rights to them invalidate no memory.
    if unsafe { libc::mprotect(start as *mut libc::c_void, len, libc::PROT_READ) } != 0 {
        let error = std::io::Error::last_os_error();
        tracing::error!(%error, "mprotect: stores to lost memory stay in this process");
    }
}

/// Replaces lost memory under a view.
fn on_fault(fault: &Fault) -> bool {
    fault.signal == libc::SIGBUS && !fault.write && replace(fault, &UNITS, libc::PROT_READ)
}

/// Replaces lost memory that was given out for stores too.
fn on_shared_fault(fault: &Fault) -> bool {
    fault.signal == libc::SIGBUS && replace(fault, &UNITS[..1], libc::PROT_READ | libc::PROT_WRITE)
        || on_fault(fault)
}

/// Puts zeros in the place of a lost page, and marks it in all views that have a part of it.
fn replace(fault: &Fault, units: &[usize], protection: libc::c_int) -> bool {
    // Noted before the zeros can be seen, so that whoever loads them finds the note afterwards.
    REPLACED.store(true, Ordering::SeqCst);
    units.iter().any(|&unit| {
        let start = fault.address / unit * unit;
        fault::mark(start, unit);
        let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_FIXED;
        // SAFETY: the unit lies in the pool's mapping, which is aligned to the largest one, and its contents are lost.
        let mapped = unsafe { libc::mmap(start as *mut libc::c_void, unit, protection, flags, -1, 0) };
        mapped != libc::MAP_FAILED
    })
}
