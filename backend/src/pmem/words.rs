//! Aligned words of the pool: durable pointer words, and volatile ones (counts, locks, sequence numbers).
//!
//! A load acquires; every other access to a volatile word is sequentially consistent, but for [`Region::publish`] and
//! [`Region::store_release`] in both widths, which release.
//! Volatile words are never flushed. A word that is not aligned is damage, as is one beyond the pool.
#![expect(unsafe_code, reason = "calls the routines of arch on checked words")]

use std::os::unix::fs::FileExt;
use std::sync::atomic::{Ordering, compiler_fence, fence};
use std::time::Duration;

use super::arch::{self, Step};
use super::persist::{Durable, Stored};
use super::region::{Intent, Region, bytes};
use crate::error::{Error, Result};
use crate::os::futex;
use crate::units::PoolOffset;

macro_rules! word {
    ($word:ty, $bytes:literal, $place:ident, $load:ident, $store:ident, $swap:ident, $cas:ident, $add:ident, $sub:ident,
     $arch_load:ident, $arch_swap:ident, $arch_cas:ident, $arch_add:ident) => {
        impl Region {
            #[inline(always)]
            fn $place(&self, at: PoolOffset) -> Result<*mut $word> {
                // An odd offset turns into a huge one, so that one comparison finds both kinds of bad word.
                const SHIFT: u32 = <$word>::BITS.ilog2() - 3;
                if at.0.rotate_right(SHIFT) >= self.len() >> SHIFT {
                    self.bad_word(at, $bytes)?;
                }
                Ok(self.address(at).as_ptr().cast())
            }

            /// Loads the word at `at`, with acquire.
            #[inline]
            pub(crate) fn $load(&self, at: PoolOffset) -> Result<$word> {
                let place = self.$place(at)?;
                // SAFETY: an aligned word in the watched pool.
                match unsafe { arch::$arch_load(place) } {
                    Ok(value) => Ok(value),
                    Err(lost) => Err(self.lost(lost, at, $bytes, Intent::Load)),
                }
            }

            /// Stores the volatile word at `at`, sequentially consistent.
            #[cfg_attr(feature = "sim", track_caller)]
            pub(crate) fn $store(&self, at: PoolOffset, value: $word) -> Result<()> {
                self.$swap(at, value).map(drop)
            }

            /// Stores the volatile word at `at` and answers the old value.
            #[cfg_attr(feature = "sim", track_caller)]
            pub(crate) fn $swap(&self, at: PoolOffset, value: $word) -> Result<$word> {
                let place = self.$place(at)?;
                // SAFETY: an aligned word in the watched pool.
                let act = || unsafe { arch::$arch_swap(place, value) };
                let answer = self.noting_store(at, $bytes, false, act);
                answer.map_err(|lost| self.lost(lost, at, $bytes, Intent::Store))
            }

            /// Stores `new` in the volatile word at `at` if it is `old`: `Ok(Ok(old))`, otherwise `Ok(Err(found))`.
            #[cfg_attr(feature = "sim", track_caller)]
            pub(crate) fn $cas(
                &self,
                at: PoolOffset,
                old: $word,
                new: $word,
            ) -> Result<Result<$word, $word>> {
                let place = self.$place(at)?;
                // SAFETY: an aligned word in the watched pool.
                let act = || unsafe { arch::$arch_cas(place, old, new) };
                match self.noting_store(at, $bytes, false, act) {
                    Ok(found) if found == old => Ok(Ok(old)),
                    Ok(found) => Ok(Err(found)),
                    Err(lost) => Err(self.lost(lost, at, $bytes, Intent::Store)),
                }
            }

            /// Adds to the volatile word at `at`, wrapping, and answers the old value.
            #[cfg_attr(feature = "sim", track_caller)]
            pub(crate) fn $add(&self, at: PoolOffset, value: $word) -> Result<$word> {
                let place = self.$place(at)?;
                // SAFETY: an aligned word in the watched pool.
                let act = || unsafe { arch::$arch_add(place, value) };
                let answer = self.noting_store(at, $bytes, false, act);
                answer.map_err(|lost| self.lost(lost, at, $bytes, Intent::Store))
            }

            /// Subtracts from the volatile word at `at`, wrapping, and answers the old value.
            #[cfg_attr(feature = "sim", track_caller)]
            pub(crate) fn $sub(&self, at: PoolOffset, value: $word) -> Result<$word> {
                self.$add(at, value.wrapping_neg())
            }
        }
    };
}
word!(
    u64, 8, place_u64, load, store_u64, swap_u64, cas_u64, add_u64, sub_u64, load_u64, swap_u64, cas_u64,
    add_u64
);
word!(
    u32, 4, place_u32, load_u32, store_u32, swap_u32, cas_u32, add_u32, sub_u32, load_u32, swap_u32, cas_u32,
    add_u32
);

impl Region {
    /// Sets the bits of `mask` in the volatile word at `at` and answers the old value.
    #[cfg_attr(feature = "sim", track_caller)]
    pub(crate) fn or_u64(&self, at: PoolOffset, mask: u64) -> Result<u64> {
        self.change_u64(at, |value| value | mask)
    }

    /// Clears the bits not in `mask` from the volatile word at `at` and answers the old value.
    #[cfg_attr(feature = "sim", track_caller)]
    pub(crate) fn and_u64(&self, at: PoolOffset, mask: u64) -> Result<u64> {
        self.change_u64(at, |value| value & mask)
    }

    #[cfg_attr(feature = "sim", track_caller)]
    fn change_u64(&self, at: PoolOffset, change: impl Fn(u64) -> u64) -> Result<u64> {
        let mut value = self.load(at)?;
        loop {
            match self.cas_u64(at, value, change(value))? {
                Ok(old) => return Ok(old),
                Err(found) => value = found,
            }
        }
    }

    /// Takes a step at up to `count` volatile words of 32 bits from `at` on, each by itself sequentially consistent, in
    /// order, up to the first that does not allow it; answers how many it took.
    #[cfg_attr(feature = "sim", track_caller)]
    pub(crate) fn step_words(&self, at: PoolOffset, count: u64, step: Step) -> Result<u64> {
        let first = self.place_u32(at)?;
        self.range(at, 4 * count)?;
        // SAFETY: aligned words in the watched pool; `cpu` was detected.
        let act = || unsafe { arch::step_words(self.cpu, first, bytes(count), step) };
        let done = self.noting_store(at, 4 * count, false, act);
        done.map(|done| done as u64).map_err(|lost| self.lost(lost, at, 4 * count, Intent::Store))
    }

    /// Turns up to `count` volatile words of 32 bits from `at` on from 1 to 2, in order, up to the first that is not 1; answers
    /// how many. The caller knows that nobody else changes those that are 1: each is loaded and stored, without a lock.
    #[cfg_attr(feature = "sim", track_caller)]
    #[inline]
    pub(crate) fn double_ones(&self, at: PoolOffset, count: u64) -> Result<u64> {
        let first = self.place_u32(at)?;
        self.range(at, 4 * count)?;
        // SAFETY: aligned words in the watched pool.
        let act = || unsafe { arch::double_ones(first, bytes(count)) };
        let done = self.noting_store(at, 4 * count, false, act);
        done.map(|done| done as u64).map_err(|lost| self.lost(lost, at, 4 * count, Intent::Store))
    }

    /// As [`crate::format::entry::first_bad`], by the widest registers.
    #[inline]
    pub(crate) fn first_bad_entry(&self, words: &[u64; 512], level: u8) -> Option<usize> {
        arch::first_bad_entry(self.cpu, words, level)
    }

    /// Has the line of `at`, a place in the pool or not, brought to the cache.
    #[inline(always)]
    pub(crate) fn prefetch(&self, at: PoolOffset) {
        if at.0 < self.len() {
            arch::prefetch(self.address(at).as_ptr());
        }
    }

    /// As [`Region::prefetch`], of the lines of `[at, at + len)`, which begins with one.
    #[inline]
    pub(crate) fn prefetch_range(&self, at: PoolOffset, len: u64) {
        for line in (0..len).step_by(arch::LINE) {
            self.prefetch(at.add(line));
        }
    }

    /// As [`Region::prefetch`], to be stored to soon.
    #[inline(always)]
    pub(crate) fn prefetch_for_store(&self, at: PoolOffset) {
        if at.0 < self.len() {
            arch::prefetch_for_store(self.address(at).as_ptr());
        }
    }

    /// Makes a new state reachable: the one aligned 8-byte store of a durable pointer word, with release. What it makes
    /// reachable was proven durable by `after`.
    ///
    /// # Errors
    /// [`crate::error::ErrorKind::ReadOnly`] once a sync of this region has failed.
    #[cfg_attr(feature = "sim", track_caller)]
    pub(crate) fn publish(&self, at: PoolOffset, value: u64, after: &Durable) -> Result<Stored> {
        let Durable(()) = after;
        self.syncs.check()?;
        let place = self.place_u64(at)?;
        // SAFETY: an aligned word in the watched pool.
        let act = || unsafe { arch::store_u64(place, value) };
        match self.noting_publish(at, act) {
            Ok(()) => Ok(Stored::range(at, 8)),
            Err(lost) => Err(self.lost(lost, at, 8, Intent::Store)),
        }
    }

    /// Stores the volatile word at `at` with release: what this thread stored before, also around the cache where
    /// [`Region::fence_stores`] stands between, is there for whoever sees it. Unlike the other stores it waits for nothing.
    #[inline]
    #[cfg_attr(feature = "sim", track_caller)]
    pub(crate) fn store_release(&self, at: PoolOffset, value: u64) -> Result<()> {
        let place = self.place_u64(at)?;
        // SAFETY: an aligned word in the watched pool.
        let act = || unsafe { arch::store_u64(place, value) };
        self.noting_store(at, 8, false, act).map_err(|lost| self.lost(lost, at, 8, Intent::Store))
    }

    /// As [`Region::store_release`], for a word of 32 bits.
    #[inline]
    #[cfg_attr(feature = "sim", track_caller)]
    pub(crate) fn store_release_u32(&self, at: PoolOffset, value: u32) -> Result<()> {
        let place = self.place_u32(at)?;
        // SAFETY: an aligned word in the watched pool.
        let act = || unsafe { arch::store_u32(place, value) };
        self.noting_store(at, 4, false, act).map_err(|lost| self.lost(lost, at, 4, Intent::Store))
    }

    /// Reads the word at `at` from the file, past a private view of it.
    pub(crate) fn load_from_file(&self, at: PoolOffset) -> Result<u64> {
        let mut bytes = [0; 8];
        let read = self.file().read_exact_at(&mut bytes, at.0);
        read.map_err(|error| Error::os(format!("read 8 bytes at {at}"), error).at(self.path()))?;
        Ok(u64::from_le_bytes(bytes))
    }

    /// Orders the loads before it before what follows, and the stores before it before the stores after it: for both
    /// sides of a sequence counter. Costs nothing on x86-64.
    #[inline]
    pub(crate) fn fence_acquire(&self) {
        fence(Ordering::AcqRel);
    }

    /// Orders all stores before it, those around the cache too, before the stores after it. It makes nothing durable.
    #[inline]
    pub(crate) fn fence_stores(&self) {
        fence(Ordering::AcqRel);
        arch::drain();
    }

    /// Orders the read-modify-write before it before the loads after it, which x86-64 does by itself.
    #[inline]
    pub(crate) fn fence_after_change(&self) {
        if cfg!(target_arch = "x86_64") { compiler_fence(Ordering::SeqCst) } else { fence(Ordering::SeqCst) }
    }

    /// Sleeps while the word at `at` is `expected`, at most `timeout`; also returns early without reason.
    pub(crate) fn futex_wait(&self, at: PoolOffset, expected: u32, timeout: Duration) -> Result<()> {
        self.check_fork()?;
        let word = self.futex_word(at)?;
        self.noting_futex();
        // SAFETY: an aligned word in the reservation, which `self` keeps mapped.
        let answer = unsafe { futex::wait(word, expected, timeout) };
        answer.map_err(|error| Error::os(format!("futex wait at {at}"), error).at(self.path()))
    }

    /// Wakes at most `count` of those who wait for the word at `at`, in any process; says how many.
    pub(crate) fn futex_wake(&self, at: PoolOffset, count: u32) -> Result<u32> {
        self.check_fork()?;
        let word = self.futex_word(at)?;
        self.noting_futex();
        // SAFETY: as in `futex_wait`.
        let answer = unsafe { futex::wake(word, count) };
        answer.map_err(|error| Error::os(format!("futex wake at {at}"), error).at(self.path()))
    }

    fn futex_word(&self, at: PoolOffset) -> Result<std::ptr::NonNull<u32>> {
        self.place_u32(at)?;
        Ok(self.address(at).cast())
    }

    /// A word that failed the check of its place: perhaps the file has grown, otherwise an error.
    #[cold]
    #[inline(never)]
    fn bad_word(&self, at: PoolOffset, size: u64) -> Result<()> {
        if !at.0.is_multiple_of(size) {
            return Err(Error::corrupt(
                "word",
                at,
                format!("an offset aligned to {size}"),
                format!("{:#x}", at.0),
            )
            .at(self.path()));
        }
        self.beyond(at, size)
    }
}
