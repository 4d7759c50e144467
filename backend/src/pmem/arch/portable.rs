//! Other architectures: plain copies and atomics. No cache control, so DAX media are synced by pages (see
//! `Region::map`), and no recovery: an access to lost memory ends the process with its signal.
//!
//! All functions here have one safety contract: every range given lies in memory that is the caller's to access, and
//! words are aligned.
#![expect(unsafe_code, reason = "copies and atomics on pool memory")]

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering, fence};

use super::{Lost, Step, step_each};
use crate::format::entry;

/// Nothing to choose from.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(in crate::pmem) struct Cpu;

impl Cpu {
    /// Whether stores can be flushed by lines.
    pub(in crate::pmem) const FLUSHES_LINES: bool = false;

    pub(in crate::pmem) fn detect() -> Cpu {
        Cpu
    }
}

/// As [`entry::first_bad`]: there is nothing to choose from.
#[inline]
pub(in crate::pmem) fn first_bad_entry(_: Cpu, words: &[u64; 512], level: u8) -> Option<usize> {
    entry::first_bad(words, level)
}

macro_rules! word {
    ($word:ty, $atomic:ty, $load:ident, $swap:ident, $add:ident, $cas:ident) => {
        /// # Safety
        /// See the module.
        pub(in crate::pmem) unsafe fn $load(from: *const $word) -> Result<$word, Lost> {
            // SAFETY: an aligned word that is only accessed by atomics.
            Ok(unsafe { <$atomic>::from_ptr(from.cast_mut()) }.load(Ordering::Acquire))
        }

        /// # Safety
        /// See the module.
        pub(in crate::pmem) unsafe fn $swap(to: *mut $word, value: $word) -> Result<$word, Lost> {
            // SAFETY: as above.
            Ok(unsafe { <$atomic>::from_ptr(to) }.swap(value, Ordering::SeqCst))
        }

        /// # Safety
        /// See the module.
        pub(in crate::pmem) unsafe fn $add(to: *mut $word, value: $word) -> Result<$word, Lost> {
            // SAFETY: as above.
            Ok(unsafe { <$atomic>::from_ptr(to) }.fetch_add(value, Ordering::SeqCst))
        }

        /// # Safety
        /// See the module.
        pub(in crate::pmem) unsafe fn $cas(to: *mut $word, old: $word, new: $word) -> Result<$word, Lost> {
            // SAFETY: as above.
            let word = unsafe { <$atomic>::from_ptr(to) };
            Ok(word
                .compare_exchange(old, new, Ordering::SeqCst, Ordering::SeqCst)
                .unwrap_or_else(|found| found))
        }
    };
}
word!(u64, AtomicU64, load_u64, swap_u64, add_u64, cas_u64);
word!(u32, AtomicU32, load_u32, swap_u32, add_u32, cas_u32);

/// Takes a step at up to `count` words from `to` on, in order, up to the first that does not allow it; how many it took.
///
/// # Safety
/// See the module.
pub(in crate::pmem) unsafe fn step_words(
    _: Cpu,
    to: *mut u32,
    count: usize,
    step: Step,
) -> Result<usize, Lost> {
    // SAFETY: the same contract.
    unsafe { step_each(to, count, step) }
}

/// Turns up to `count` words from `to` on from 1 to 2, in order, up to the first that is not 1; how many it turned. Nobody
/// else stores to those that are 1.
///
/// # Safety
/// See the module.
pub(in crate::pmem) unsafe fn double_ones(to: *mut u32, count: usize) -> Result<usize, Lost> {
    for done in 0..count {
        // SAFETY: an aligned word that is only accessed by atomics.
        let word = unsafe { AtomicU32::from_ptr(to.wrapping_add(done)) };
        if word.load(Ordering::Acquire) != 1 {
            return Ok(done);
        }
        word.store(2, Ordering::Release);
    }
    Ok(count)
}

/// There is no such hint.
#[inline(always)]
pub(in crate::pmem) fn prefetch(_: *const u8) {}

/// Nor this one.
#[inline(always)]
pub(in crate::pmem) fn prefetch_for_store(_: *const u8) {}

/// # Safety
/// See the module.
pub(in crate::pmem) unsafe fn store_u64(to: *mut u64, value: u64) -> Result<(), Lost> {
    // SAFETY: an aligned word that is only accessed by atomics.
    unsafe { AtomicU64::from_ptr(to) }.store(value, Ordering::Release);
    Ok(())
}

/// # Safety
/// See the module.
pub(in crate::pmem) unsafe fn store_u32(to: *mut u32, value: u32) -> Result<(), Lost> {
    // SAFETY: an aligned word that is only accessed by atomics.
    unsafe { AtomicU32::from_ptr(to) }.store(value, Ordering::Release);
    Ok(())
}

/// # Safety
/// See the module. The ranges do not overlap.
pub(in crate::pmem) unsafe fn copy(to: *mut u8, from: *const u8, len: usize) -> Result<(), Lost> {
    // SAFETY: the caller vouches for both ranges.
    unsafe { to.copy_from_nonoverlapping(from, len) };
    Ok(())
}

/// # Safety
/// See the module.
pub(in crate::pmem) unsafe fn zero(to: *mut u8, len: usize) -> Result<(), Lost> {
    // SAFETY: the caller vouches for the range.
    unsafe { to.write_bytes(0, len) };
    Ok(())
}

/// As [`copy`]: there are no stores around the cache here.
///
/// # Safety
/// See the module.
pub(in crate::pmem) unsafe fn copy_lines(
    _: Cpu,
    to: *mut u8,
    from: *const u8,
    len: usize,
) -> Result<(), Lost> {
    // SAFETY: the caller's contract.
    unsafe { copy(to, from, len) }
}

/// As [`zero`].
///
/// # Safety
/// See the module.
pub(in crate::pmem) unsafe fn zero_lines(to: *mut u8, len: usize) -> Result<(), Lost> {
    // SAFETY: the caller's contract.
    unsafe { zero(to, len) }
}

/// # Safety
/// See the module.
pub(in crate::pmem) unsafe fn equal(a: *const u8, b: *const u8, len: usize) -> Result<bool, Lost> {
    // SAFETY: the caller vouches for both ranges.
    Ok(unsafe { libc::memcmp(a.cast(), b.cast(), len) } == 0)
}

/// There is nothing to flush by: no region of this architecture has line granularity.
///
/// # Safety
/// See the module.
pub(in crate::pmem) unsafe fn flush(_: Cpu, _: *const u8, _: usize) -> Result<(), Lost> {
    Ok(())
}

pub(in crate::pmem) fn drain() {
    fence(Ordering::SeqCst);
}
