//! Copies between the pool and the caller, and within the pool.
//!
//! On line media a large store goes around the cache: whole lines by non-temporal stores, the edges by ordinary stores
//! whose lines are flushed at once. What is left to flush is remembered in the [`Stored`].
#![expect(unsafe_code, reason = "calls the routines of arch on checked ranges")]

use super::arch::{self, LINE, Lost};
use super::persist::Stored;
use super::region::{Intent, Persistence, Region, bytes};
use crate::error::{Error, ErrorKind, Result};
use crate::units::PoolOffset;

/// From so many bytes on a store goes around the cache wherever it begins.
const NON_TEMPORAL: usize = 2 * LINE;

/// Whether a store of so many bytes goes around the cache: where enough of it is whole lines. To flush a line that is not in the
/// cache it would have to be loaded first.
fn goes_around(to: *const u8, len: usize) -> bool {
    len >= NON_TEMPORAL || len == LINE && to.addr().is_multiple_of(LINE)
}

/// Where the bytes of a store come from.
#[derive(Clone, Copy)]
enum Source {
    Memory(*const u8),
    Zeros,
}

/// How bytes are stored.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Way {
    /// Around the cache where that is cheaper.
    Any,
    Cache,
}

impl Region {
    /// Copies `[at, at + to.len())` of the pool into `to`. Another process may be storing there: what is read may mix
    /// its old and new bytes.
    pub(crate) fn read(&self, at: PoolOffset, to: &mut [u8]) -> Result<()> {
        let from = self.range(at, to.len() as u64)?;
        // SAFETY: `from` is a checked range of the watched pool; `to` is borrowed mutably, so nothing else stores to it.
        let answer = unsafe { arch::copy(to.as_mut_ptr(), from.as_ptr(), to.len()) };
        answer.map_err(|lost| self.lost(lost, at, to.len() as u64, Intent::Load))?;
        self.intact(at, to.len() as u64)
    }

    /// Stores `from` at `at`.
    #[cfg_attr(feature = "sim", track_caller)]
    pub(crate) fn write(&self, at: PoolOffset, from: &[u8]) -> Result<Stored> {
        self.store(at, Source::Memory(from.as_ptr()), from.len() as u64, Way::Any)
    }

    /// As [`Region::write`], for what will be read again soon: through the cache, however much it is.
    #[cfg_attr(feature = "sim", track_caller)]
    pub(crate) fn write_to_cache(&self, at: PoolOffset, from: &[u8]) -> Result<Stored> {
        self.store(at, Source::Memory(from.as_ptr()), from.len() as u64, Way::Cache)
    }

    /// Stores `len` zeros at `at`.
    #[cfg_attr(feature = "sim", track_caller)]
    pub(crate) fn zero(&self, at: PoolOffset, len: u64) -> Result<Stored> {
        self.store(at, Source::Zeros, len, Way::Any)
    }

    /// Copies `len` bytes within the pool, between ranges that do not overlap.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`] if they do.
    #[cfg_attr(feature = "sim", track_caller)]
    pub(crate) fn copy(&self, from: PoolOffset, to: PoolOffset, len: u64) -> Result<Stored> {
        if from.0.abs_diff(to.0) < len {
            return Err(Error::new(
                ErrorKind::InvalidInput,
                format!("copy of {len} bytes from {from} to {to}: the ranges overlap"),
            ));
        }
        let source = self.range(from, len)?;
        let stored = self.store(to, Source::Memory(source.as_ptr()), len, Way::Any)?;
        self.intact(from, len)?;
        Ok(stored)
    }

    /// Whether two ranges of the pool hold the same bytes.
    pub(crate) fn equal(&self, a: PoolOffset, b: PoolOffset, len: u64) -> Result<bool> {
        let (first, second) = (self.range(a, len)?, self.range(b, len)?);
        // SAFETY: both are checked ranges of the watched pool.
        let answer = unsafe { arch::equal(first.as_ptr(), second.as_ptr(), bytes(len)) };
        let equal = answer.map_err(|lost| self.lost(lost, a, len, Intent::Load))?;
        self.intact(a, len)?;
        self.intact(b, len)?;
        Ok(equal)
    }

    /// Whether `[at, at + len)` holds zeros only.
    pub(crate) fn is_zero(&self, at: PoolOffset, len: u64) -> Result<bool> {
        static ZEROS: [u8; 4096] = [0; 4096];
        let start = self.range(at, len)?.as_ptr();
        let (all, len) = (len, bytes(len));
        for done in (0..len).step_by(ZEROS.len()) {
            let step = ZEROS.len().min(len - done);
            // SAFETY: a part of a checked range of the watched pool, and as many bytes of `ZEROS`.
            let answer = unsafe { arch::equal(start.wrapping_add(done), ZEROS.as_ptr(), step) };
            if !answer.map_err(|lost| self.lost(lost, at, all, Intent::Load))? {
                return Ok(false);
            }
        }
        self.intact(at, all)?;
        Ok(true)
    }

    #[cfg_attr(feature = "sim", track_caller)]
    fn store(&self, at: PoolOffset, source: Source, len: u64, way: Way) -> Result<Stored> {
        let to = self.range(at, len)?.as_ptr();
        let around = way == Way::Any && self.persistence == Persistence::Line && goes_around(to, bytes(len));
        let store =
            || if around { self.store_around(to, source, bytes(len)) } else { plain(to, source, bytes(len)) };
        let backed = || match store() {
            // A hole in a sparse file that the host had no space for at that moment.
            Err(lost) => {
                if self.back(at, len) {
                    store()
                } else {
                    Err(lost)
                }
            }
            Ok(()) => Ok(()),
        };
        let answer = match source {
            Source::Memory(_) => self.noting_store(at, len, around, backed),
            Source::Zeros => self.noting_zeros(at, len, around, backed),
        };
        match answer {
            Ok(()) if around => Ok(Stored::flushed()),
            Ok(()) => Ok(Stored::range(at, len)),
            Err(lost) => Err(self.lost(lost, at, len, Intent::Store)),
        }
    }

    /// The head up to the first line boundary and the tail after the last one by ordinary stores and a flush, the lines
    /// between by non-temporal stores.
    fn store_around(&self, to: *mut u8, source: Source, len: usize) -> Result<(), Lost> {
        let head = to.align_offset(LINE).min(len);
        let lines = (len - head) / LINE * LINE;
        let tail = len - head - lines;
        self.store_edge(to, source, head)?;
        let middle = to.wrapping_add(head);
        if lines > 0 {
            match source.after(head) {
                // SAFETY: a checked range of the watched pool, aligned to a line and whole lines long; `cpu` was detected.
                Source::Memory(from) => unsafe { arch::copy_lines(self.cpu, middle, from, lines) }?,
                // SAFETY: as above.
                Source::Zeros => unsafe { arch::zero_lines(middle, lines) }?,
            }
        }
        self.store_edge(middle.wrapping_add(lines), source.after(head + lines), tail)
    }

    fn store_edge(&self, to: *mut u8, source: Source, len: usize) -> Result<(), Lost> {
        if len == 0 {
            return Ok(());
        }
        plain(to, source, len)?;
        // SAFETY: a part of a checked range of the watched pool, not empty; `cpu` was detected.
        unsafe { arch::flush(self.cpu, to, len) }
    }
}

impl Source {
    fn after(self, len: usize) -> Source {
        match self {
            Source::Memory(from) => Source::Memory(from.wrapping_add(len)),
            Source::Zeros => Source::Zeros,
        }
    }
}

fn plain(to: *mut u8, source: Source, len: usize) -> Result<(), Lost> {
    match source {
        // SAFETY: `to` is a checked range of the watched pool; `from` is one too, or a borrowed slice; they do not overlap.
        Source::Memory(from) => unsafe { arch::copy(to, from, len) },
        // SAFETY: `to` is a checked range of the watched pool.
        Source::Zeros => unsafe { arch::zero(to, len) },
    }
}
