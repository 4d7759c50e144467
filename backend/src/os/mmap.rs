//! A reserved stretch of address space and what is mapped into it.
//!
//! The reservation keeps one base address while a file grows into it. In a forked child the whole stretch becomes
//! inaccessible memory, so that nothing else can move in and every access faults.
#![expect(unsafe_code, reason = "mmap, munmap, madvise and msync")]

use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;
use std::ptr::NonNull;

use super::fork;
use super::registry::Row;

const ALIGNMENT: usize = 2 << 20;
const RESERVE: libc::c_int = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE;

/// How a file is mapped.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Mapping {
    /// Shared, and `MAP_SYNC`: refused by the kernel wherever a flushed store is not durable.
    SharedSync,
    /// Shared.
    Shared,
    /// Shared, without the right to store.
    SharedReadOnly,
    /// Copied on the first store to a page; stores stay in this process.
    Private,
}

impl Mapping {
    /// Protection and flags of mmap(2).
    fn arguments(self) -> (libc::c_int, libc::c_int) {
        match self {
            Mapping::SharedSync => {
                (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_SHARED_VALIDATE | libc::MAP_SYNC)
            }
            Mapping::Shared => (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_SHARED),
            Mapping::SharedReadOnly => (libc::PROT_READ, libc::MAP_SHARED),
            Mapping::Private => (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_PRIVATE | libc::MAP_NORESERVE),
        }
    }
}

/// Memory of this process's own, zeros at first.
pub(crate) struct Memory(Reservation);

impl Memory {
    /// `len` bytes, a multiple of 2 MiB.
    pub(crate) fn new(len: usize) -> io::Result<Memory> {
        let memory = Reservation::new(len, len)?;
        memory.protect(0, memory.len, true)?;
        memory.advise(0, memory.len, libc::MADV_DONTFORK)?;
        Ok(Memory(memory))
    }

    /// Its bytes.
    pub(crate) fn bytes(&mut self) -> &mut [u8] {
        // SAFETY: all of it was mapped with the right to store, and is borrowed for as long as the slice lives; nobody else
        // knows of it.
        unsafe { std::slice::from_raw_parts_mut(self.0.base.as_ptr(), self.0.len) }
    }
}

/// Address space of ours, aligned to 2 MiB, unmapped on drop.
pub(crate) struct Reservation {
    base: NonNull<u8>,
    len: usize,
    in_child: Option<Row<3>>,
}

// SAFETY: the reservation is address space, which belongs to the process; the methods are system calls on it.
unsafe impl Send for Reservation {}
// SAFETY: as above; no method changes the struct.
unsafe impl Sync for Reservation {}

impl Reservation {
    /// Reserves `len` bytes, halving down to `at_least` while the address space is refused.
    pub(crate) fn new(len: usize, at_least: usize) -> io::Result<Reservation> {
        let mut wanted = len.next_multiple_of(ALIGNMENT);
        let at_least = at_least.next_multiple_of(ALIGNMENT);
        loop {
            match reserve(wanted) {
                Ok(reservation) => return Ok(reservation),
                Err(error) if wanted <= at_least => return Err(error),
                Err(_) => wanted = (wanted / 2).next_multiple_of(ALIGNMENT).max(at_least),
            }
        }
    }

    /// Its first byte.
    pub(crate) fn base(&self) -> NonNull<u8> {
        self.base
    }

    /// Its size in bytes.
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// Maps `[offset, offset + len)` of `file` at `offset` of the reservation. Both are multiples of the page size.
    ///
    /// It is mapped elsewhere and then moved: where a file system refuses a `MAP_FIXED`, the kernel has unmapped the place
    /// already, and whatever another thread maps at that moment may move in.
    pub(crate) fn map(&self, file: &File, offset: usize, len: usize, how: Mapping) -> io::Result<()> {
        let place = self.place(offset, len)?;
        // A child must not have it; its absence is made up for by the action in the child.
        let _section = fork::unforked();
        let elsewhere = map_anywhere(file, offset, len, how)?;
        // SAFETY: the mapping is fresh and known to nobody else; no hint takes its contents away.
        let advised = unsafe { libc::madvise(elsewhere, len, libc::MADV_DONTFORK) } == 0;
        let how = libc::MREMAP_MAYMOVE | libc::MREMAP_FIXED;
        // SAFETY: the fresh mapping moves to a place of this reservation, and replaces only memory of ours.
        if advised && unsafe { libc::mremap(elsewhere, len, len, how, place) } == place {
            return Ok(());
        }
        let error = io::Error::last_os_error();
        // SAFETY: the mapping has not moved and is known to nobody else.
        let answer = unsafe { libc::munmap(elsewhere, len) };
        debug_assert_eq!(answer, 0, "munmap of a mapping that was not moved");
        Err(error)
    }

    /// Maps `len` bytes of `file` from `from` on at `offset` of the reservation, in place of what was there. A forked child
    /// inherits it for as long as it takes to get to its first action, which covers the reservation.
    ///
    /// In one call and in place, unlike [`Reservation::map`]: only for a file that has been mapped in the same way before, so
    /// that the kernel has no reason left to refuse after it has made room.
    pub(crate) fn map_piece(
        &self,
        offset: usize,
        len: usize,
        (file, from): (&File, u64),
        how: Mapping,
        writable: bool,
    ) -> io::Result<()> {
        let (protection, flags) = how.arguments();
        let protection = if writable { protection } else { libc::PROT_READ };
        fix(self.place(offset, len)?, len, protection, flags, Some((file, from)))
    }

    /// Puts pages of zeros that cannot be stored to at `offset`.
    pub(crate) fn map_zeros(&self, offset: usize, len: usize) -> io::Result<()> {
        fix(self.place(offset, len)?, len, libc::PROT_READ, RESERVE, None)
    }

    /// Puts memory of this process's own at `offset`, to be loaded from.
    pub(crate) fn map_copy(&self, offset: usize, memory: Memory) -> io::Result<()> {
        let place = self.place(offset, memory.0.len)?;
        memory.0.protect(0, memory.0.len, false)?;
        let from = memory.0.base.as_ptr().cast();
        let how = libc::MREMAP_MAYMOVE | libc::MREMAP_FIXED | libc::MREMAP_DONTUNMAP;
        // SAFETY: the memory is this call's own and whole, and moves to a place of this reservation, which replaces only memory
        // of ours. The address space that it leaves stays its owner's, which unmaps it.
        if unsafe { libc::mremap(from, memory.0.len, memory.0.len, how, place) } == place {
            return Ok(());
        }
        Err(io::Error::last_os_error())
    }

    /// Takes away what is mapped in a range: every access faults from then on.
    pub(crate) fn withdraw(&self, offset: usize, len: usize) -> io::Result<()> {
        fix(self.place(offset, len)?, len, libc::PROT_NONE, RESERVE, None)
    }

    /// Lets a range, all of it mapped from a file, be stored to or only be loaded from.
    pub(crate) fn protect(&self, offset: usize, len: usize, writable: bool) -> io::Result<()> {
        let place = self.place(offset, len)?;
        let protection = if writable { libc::PROT_READ | libc::PROT_WRITE } else { libc::PROT_READ };
        // SAFETY: the range lies in this reservation; other rights to it invalidate no memory.
        match unsafe { libc::mprotect(place, len, protection) } {
            0 => Ok(()),
            _ => Err(io::Error::last_os_error()),
        }
    }

    /// Tells the kernel how `[offset, offset + len)` will be used: one of the `MADV_` hints that keep contents.
    pub(crate) fn advise(&self, offset: usize, len: usize, advice: libc::c_int) -> io::Result<()> {
        let place = self.place(offset, len)?;
        // SAFETY: the range lies in this reservation, and no advice used by the crate takes contents away.
        match unsafe { libc::madvise(place, len, advice) } {
            0 => Ok(()),
            _ => Err(io::Error::last_os_error()),
        }
    }

    /// Writes the pages of `[offset, offset + len)` back to the file and waits. `offset` is a multiple of the page size.
    pub(crate) fn sync(&self, offset: usize, len: usize) -> io::Result<()> {
        let place = self.place(offset, len)?;
        // SAFETY: the range lies in this reservation; msync changes no memory.
        match unsafe { libc::msync(place, len, libc::MS_SYNC) } {
            0 => Ok(()),
            _ => Err(io::Error::last_os_error()),
        }
    }

    fn place(&self, offset: usize, len: usize) -> io::Result<*mut libc::c_void> {
        if offset > self.len || len > self.len - offset {
            return Err(invalid("range outside the reservation"));
        }
        // SAFETY: `offset <= self.len`, and the reservation of `self.len` bytes is one allocation.
        Ok(unsafe { self.base.as_ptr().add(offset) }.cast())
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        let section = fork::unforked();
        self.in_child = None;
        // SAFETY: the range was reserved by `reserve` (in a child: by `seal`), is unmapped nowhere else, and whoever
        // holds pointers into it holds the owner of the reservation.
        let answer = unsafe { libc::munmap(self.base.as_ptr().cast(), self.len) };
        drop(section);
        debug_assert_eq!(answer, 0, "munmap of a reservation");
    }
}

/// Maps a part of a file where the kernel likes.
fn map_anywhere(file: &File, from: usize, len: usize, how: Mapping) -> io::Result<*mut libc::c_void> {
    let from = libc::off_t::try_from(from).map_err(|_| invalid("file offset"))?;
    let (protection, flags) = how.arguments();
    // SAFETY: no address is given, so the kernel picks one that is free.
    match unsafe { libc::mmap(std::ptr::null_mut(), len, protection, flags, file.as_raw_fd(), from) } {
        libc::MAP_FAILED => Err(io::Error::last_os_error()),
        elsewhere => Ok(elsewhere),
    }
}

/// Maps at a place of a reservation, where `MAP_FIXED` replaces only memory of ours.
fn fix(
    place: *mut libc::c_void,
    len: usize,
    protection: libc::c_int,
    flags: libc::c_int,
    file: Option<(&File, u64)>,
) -> io::Result<()> {
    let (descriptor, from) = match file {
        Some((file, from)) => {
            (file.as_raw_fd(), libc::off_t::try_from(from).map_err(|_| invalid("file offset"))?)
        }
        None => (-1, 0),
    };
    // SAFETY: only called with `len` bytes at a place that `Reservation::place` has found to lie in its reservation.
    let mapped = unsafe { libc::mmap(place, len, protection, flags | libc::MAP_FIXED, descriptor, from) };
    if mapped == libc::MAP_FAILED { Err(io::Error::last_os_error()) } else { Ok(()) }
}

fn invalid(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, what)
}

fn reserve(len: usize) -> io::Result<Reservation> {
    let padded = len.checked_add(ALIGNMENT).ok_or_else(|| invalid("reservation too long"))?;
    let section = fork::unforked();
    // SAFETY: no address is given, so the kernel picks one that is free.
    let start = unsafe { libc::mmap(std::ptr::null_mut(), padded, libc::PROT_NONE, RESERVE, -1, 0) };
    if start == libc::MAP_FAILED {
        return Err(io::Error::last_os_error());
    }
    let start = start as usize;
    let base = start.next_multiple_of(ALIGNMENT);
    unmap_edge(start, base - start);
    unmap_edge(base + len, start + padded - (base + len));
    let Some(pointer) = NonNull::new(base as *mut u8) else {
        return Err(invalid("mapped at address 0"));
    };
    Ok(Reservation { base: pointer, len, in_child: Some(section.in_child(seal, base, len)) })
}

fn unmap_edge(start: usize, len: usize) {
    if len > 0 {
        // SAFETY: only called by `reserve` with the parts of its fresh mapping before and after the reservation.
        let answer = unsafe { libc::munmap(start as *mut libc::c_void, len) };
        debug_assert_eq!(answer, 0, "munmap of a reservation's edge");
    }
}

/// In a forked child: nothing else may move into the address space, and every access must fault.
fn seal(base: usize, len: usize) {
    // SAFETY: the range is a reservation of the parent, inherited by this child, in which nobody may use its contents.
    // A failure leaves what MADV_DONTFORK left, which faults as well.
    unsafe { libc::mmap(base as *mut libc::c_void, len, libc::PROT_NONE, RESERVE | libc::MAP_FIXED, -1, 0) };
}
