//! Windows: contiguous address space in which pieces of the pool are mapped in the order of a file.
//!
//! ```text
//!   pool      |..|CC|....|AAAA|..........|BB|...
//!   window    |AAAA|00|BB|CC|    |SIGBUS|         0: zeros for a hole; blank: every access faults
//!              \ base + file offset modulo 2 MiB
//! ```
//!
//! A page that is not mapped is served by the window's pager when it is touched; so a piece may be taken away at any
//! time, and is: what is mapped is a cache of the file's map, and is kept below a number of mappings of the kernel's. The
//! address of a byte is congruent to its place in the file modulo 2 MiB, so that the kernel can map a huge page where
//! 2 MiB of the file lie in one aligned chunk of the pool. On a DAX device the kernel maps nothing smaller: there all ranges are
//! whole chunks, and what is to be taken away is rounded up to them.
//!
//! Invariant: `pieces` is what is mapped, whenever its lock is free.
#![expect(unsafe_code, reason = "addresses in the window, and copies to and from it")]

mod pieces;

use std::fs::File;
use std::io;
use std::ops::Range;
use std::ptr::NonNull;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use parking_lot::Mutex;

use super::arch::{self, Lost};
use super::region::{Region, bytes};
use crate::error::{Error, ErrorKind, Result};
use crate::os::mmap::{Mapping, Memory, Reservation};
use crate::os::pager::{self, Access};
use crate::os::{file, process};
use crate::units::{BLOCK_BYTES, CHUNK_SIZE};
use pieces::Pieces;
pub(crate) use pieces::{Content, Piece};

/// Mappings of the kernel's that all windows of a process have at most, unless the kernel allows fewer.
const MAPPINGS_MAX: usize = 16_384;
/// Pieces that a window may have however many windows there are.
const PIECES_MIN: usize = 16;
/// From so many pieces on, they are withdrawn at once rather than protected one by one.
const PROTECT_MAX: usize = 64;
/// How often a page is tried again that its pager says is there.
const TRIES: u32 = 1000;

/// Windows of this process.
static WINDOWS: AtomicUsize = AtomicUsize::new(0);

/// Address space for a stretch of a file; see the module.
pub(crate) struct Window {
    pieces: Mutex<Pieces>,
    failed: AtomicBool,
    evictions: AtomicUsize,
    shift: usize,
    len: usize,
    /// What every range is a multiple of.
    unit: usize,
    reservation: Reservation,
}

impl Window {
    /// Address space for `len` bytes from byte `from` of a file on, both multiples of `unit`. Nothing is mapped.
    pub(crate) fn new(from: u64, len: u64, unit: u64) -> Result<Window> {
        let shift = bytes(from % CHUNK_SIZE);
        let whole = shift + bytes(len);
        let reservation = Reservation::new(whole, whole)
            .map_err(|error| Error::os(format!("reserve address space for {len} bytes"), error))?;
        WINDOWS.fetch_add(1, Ordering::Relaxed);
        let pieces = Mutex::new(Pieces::default());
        let (failed, evictions) = (AtomicBool::new(false), AtomicUsize::new(0));
        Ok(Window { pieces, failed, evictions, shift, len: bytes(len), unit: bytes(unit), reservation })
    }

    /// Its first byte.
    pub(crate) fn base(&self) -> NonNull<u8> {
        // SAFETY: the reservation is at least `shift` bytes long.
        unsafe { self.reservation.base().add(self.shift) }
    }

    /// Bytes in it.
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// The byte at `at`, which lies in it.
    pub(crate) fn pointer(&self, at: usize) -> NonNull<u8> {
        // SAFETY: the window is one stretch of address space, and the byte is one of it, or the one after.
        unsafe { self.base().add(at.min(self.len)) }
    }

    /// The unit that `at` lies in.
    pub(crate) fn unit(&self, at: usize) -> Range<usize> {
        let start = at - at % self.unit;
        start..start + self.unit
    }

    /// A range rounded up to whole units.
    fn whole_units(&self, range: &Range<usize>) -> Range<usize> {
        range.start - range.start % self.unit..range.end.next_multiple_of(self.unit).min(self.len)
    }

    /// What is mapped at `at`.
    pub(crate) fn get(&self, at: usize) -> Option<Piece> {
        self.pieces.lock().get(at)
    }

    /// Maps a range, in place of what was there. Older pieces go where there are too many.
    pub(crate) fn put(&self, region: &Region, range: Range<usize>, piece: Piece) -> Result<()> {
        debug_assert_eq!(range, self.whole_units(&range), "a DAX device refuses parts of chunks");
        if let Content::Pool(place) = piece.content {
            region.pointer(place, (range.end - range.start) as u64)?;
        }
        let mut pieces = self.pieces.lock();
        let missing = pieces.missing(range.clone(), piece);
        let (range, piece) = (missing.clone(), piece.after(missing.start.saturating_sub(range.start)));
        if range.is_empty() {
            return Ok(());
        }
        if pieces.shows(range.clone(), piece)
            && self.reservation.protect(self.shift + range.start, range.len(), piece.writable).is_ok()
        {
            pieces.set(range, piece);
            return Ok(());
        }
        self.make_room(&mut pieces)?;
        let mut mapped = self.map(region, &range, piece);
        if mapped.as_ref().is_err_and(|error| error.raw_os_error() == Some(libc::ENOMEM)) {
            self.withdraw_locked(&mut pieces, 0..self.len)?;
            mapped = self.map(region, &range, piece);
        }
        mapped.map_err(|error| Error::os(format!("map {} bytes of a file", range.len()), error))?;
        pieces.set(range, piece);
        Ok(())
    }

    /// Puts a copy of what a file holds at a unit, where the pool itself cannot be mapped. It does not follow the file.
    pub(crate) fn put_copy(&self, at: usize, memory: Memory) -> Result<()> {
        let range = self.unit(at);
        let mut pieces = self.pieces.lock();
        if pieces.any(range.clone()) {
            return Ok(());
        }
        self.make_room(&mut pieces)?;
        self.reservation
            .map_copy(self.shift + range.start, memory)
            .map_err(|error| Error::os(format!("map a copy of {} bytes of a file", range.len()), error))?;
        pieces.set(range.clone(), Piece { content: Content::Copy(range.start), writable: false });
        Ok(())
    }

    fn make_room(&self, pieces: &mut Pieces) -> Result<()> {
        let most = pieces_max();
        if pieces.len() + 2 > most
            && let Some(victims) = pieces.victims((most / 4).max(1))
        {
            self.withdraw_locked(pieces, victims)?;
            self.evictions.fetch_add(1, Ordering::Relaxed);
        }
        Ok(())
    }

    fn map(&self, region: &Region, range: &Range<usize>, piece: Piece) -> io::Result<()> {
        let (at, len) = (self.shift + range.start, range.len());
        match piece.content {
            Content::Pool(place) => {
                let from = (region.file(), place.0);
                self.reservation.map_piece(at, len, from, region.mapping(), piece.writable)
            }
            Content::Zeros => self.reservation.map_zeros(at, len),
            // Only `put_copy` makes one.
            Content::Copy(_) => Err(io::Error::from_raw_os_error(libc::EINVAL)),
            Content::Beyond => {
                let from = (empty()?, at as u64);
                // With the right to store: what is missing is the memory.
                self.reservation.map_piece(at, len, from, Mapping::Shared, true)
            }
        }
    }

    /// Takes away the right to store to a range: when it returns no store is under way, and the next one faults.
    pub(crate) fn protect(&self, range: Range<usize>) -> Result<()> {
        let mut pieces = self.pieces.lock();
        let parts = pieces.writable(self.whole_units(&range));
        let (Some(first), Some(last)) = (parts.first(), parts.last()) else { return Ok(()) };
        if parts.len() > PROTECT_MAX {
            return self.withdraw_locked(&mut pieces, first.0.start..last.0.end);
        }
        for (part, piece) in parts {
            if self.reservation.protect(self.shift + part.start, part.len(), false).is_err() {
                return self.withdraw_locked(&mut pieces, 0..self.len);
            }
            pieces.set(part, Piece { writable: false, ..piece });
        }
        Ok(())
    }

    /// Takes a range away: when it returns no access is under way, and the next one faults.
    pub(crate) fn withdraw(&self, range: Range<usize>) -> Result<()> {
        let range = self.whole_units(&range);
        let mut pieces = self.pieces.lock();
        if pieces.any(range.clone()) { self.withdraw_locked(&mut pieces, range) } else { Ok(()) }
    }

    /// Splitting a mapping may need one more than the kernel allows; taking away everything does not.
    fn withdraw_locked(&self, pieces: &mut Pieces, range: Range<usize>) -> Result<()> {
        let whole = 0..self.len;
        for range in [range, whole] {
            if self.reservation.withdraw(self.shift + range.start, range.len()).is_ok() {
                pieces.remove(range);
                return Ok(());
            }
        }
        Err(Error::os("take pages of a mapping away", io::Error::last_os_error()))
    }

    /// How often it had too many pieces.
    pub(crate) fn evictions(&self) -> usize {
        self.evictions.load(Ordering::Relaxed)
    }

    /// Says that memory under the window was lost.
    pub(crate) fn fail(&self) {
        self.failed.store(true, Ordering::SeqCst);
    }

    /// Whether memory under the window was lost.
    pub(crate) fn failed(&self) -> bool {
        self.failed.load(Ordering::SeqCst)
    }

    /// Copies `to.len()` bytes at `at` out of the window; `to` lies in no window.
    pub(crate) fn load(&self, at: usize, to: &mut [u8]) -> Result<()> {
        let from = self.address(at, to.len())?;
        load(from, to)
    }

    /// Copies `from` into the window at `at`; `from` lies in no window.
    pub(crate) fn store(&self, at: usize, from: &[u8]) -> Result<()> {
        let to = self.address(at, from.len())?;
        store(to, from)
    }

    fn address(&self, at: usize, len: usize) -> Result<usize> {
        if at.checked_add(len).is_none_or(|end| end > self.len) {
            let message = format!("{len} bytes at {at} of a mapping of {} bytes", self.len);
            return Err(Error::new(ErrorKind::InvalidInput, message));
        }
        Ok(self.base().as_ptr() as usize + at)
    }
}

impl Drop for Window {
    fn drop(&mut self) {
        WINDOWS.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Whether a buffer of the program lies in a window of any pool.
#[inline]
pub(crate) fn is_mapped(buffer: &[u8]) -> bool {
    pager::is_paged(buffer.as_ptr() as usize, buffer.len())
}

/// The bytes of a buffer that may lie in a window.
pub(crate) fn load_mapped(from: &[u8]) -> Result<Vec<u8>> {
    let mut copied = Vec::new();
    copied.try_reserve_exact(from.len()).map_err(|_| {
        let message = format!("no memory to copy {} bytes of a mapping", from.len());
        Error::new(ErrorKind::Io, message)
    })?;
    copied.resize(from.len(), 0);
    load(from.as_ptr() as usize, &mut copied)?;
    Ok(copied)
}

/// Copies to a buffer that may lie in a window.
pub(crate) fn store_mapped(to: &mut [u8], from: &[u8]) -> Result<()> {
    store(to.as_mut_ptr() as usize, &from[..to.len().min(from.len())])
}

fn load(from: usize, to: &mut [u8]) -> Result<()> {
    by_page(from, to.len(), Access::Load, |part| {
        let into = to[part.clone()].as_mut_ptr();
        // SAFETY: the caller's window, or borrowed buffer, is mapped or watched; `into` is borrowed mutably.
        unsafe { arch::copy(into, (from + part.start) as *const u8, part.len()) }
    })
}

fn store(to: usize, from: &[u8]) -> Result<()> {
    by_page(to, from.len(), Access::Store, |part| {
        let bytes = from[part.clone()].as_ptr();
        // SAFETY: as in `load`, the other way round; files mapped by others may change at any time, which raw stores allow.
        unsafe { arch::copy((to + part.start) as *mut u8, bytes, part.len()) }
    })
}

/// Runs `copy` for the part of each page; where it faults, has the page served and tries again.
fn by_page(
    address: usize,
    len: usize,
    access: Access,
    mut copy: impl FnMut(Range<usize>) -> Result<(), Lost>,
) -> Result<()> {
    let mut done = 0;
    while done < len {
        let end = (done + BLOCK_BYTES - (address + done) % BLOCK_BYTES).min(len);
        let mut tries = 0;
        while copy(done..end).is_err() {
            if tries == TRIES {
                return Err(Error::new(
                    ErrorKind::MediaError,
                    "the memory under a mapping of a file is lost",
                ));
            }
            tries += 1;
            pager::resolve(address + done, access)?;
        }
        done = end;
    }
    Ok(())
}

/// Pieces that each window may have: its share of the process's, with a gap after each.
fn pieces_max() -> usize {
    static MAPPINGS: OnceLock<usize> = OnceLock::new();
    let mappings = *MAPPINGS
        .get_or_init(|| process::mappings_max().map_or(MAPPINGS_MAX, |max| max / 4).min(MAPPINGS_MAX));
    (mappings / 2 / WINDOWS.load(Ordering::Relaxed).max(1)).max(PIECES_MIN)
}

fn empty() -> io::Result<&'static File> {
    static EMPTY: OnceLock<File> = OnceLock::new();
    match EMPTY.get() {
        Some(file) => Ok(file),
        None => {
            let made = file::empty()?;
            Ok(EMPTY.get_or_init(|| made))
        }
    }
}
