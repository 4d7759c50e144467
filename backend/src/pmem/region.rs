//! The mapped pool: mapping, growing, range checks, and what a fault becomes.
//!
//! ```text
//!   base                         base + len                                base + reserved
//!   | pool file, mapped           | address space, inaccessible              |
//! ```
//!
//! Invariant: `[base, base + len)` was mapped from the file; `len` only grows. The file may shrink under it, which a
//! fault finds out.
#![expect(unsafe_code, reason = "pointers into the mapped pool")]

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::ptr::NonNull;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;

use super::arch::{Cpu, Lost};
use super::losses::Losses;
use super::medium::{self, Dax, Durability, FlushMode, Granularity, Medium, Storage};
use super::persist::Syncs;
use super::sim::{self, Recorder};
use super::view;
use crate::error::{Error, ErrorKind, Result};
use crate::os::mmap::{Mapping, Reservation};
use crate::os::{fault, file, fork};
use crate::units::{BLOCK_SIZE, CHUNK_SIZE, PoolOffset};

/// Address space asked for, so that a pool can grow without moving.
const RESERVE: u64 = 1 << 40;

/// A host file system with less than this to give is taken to be full when a store fails.
const HOST_FULL: u64 = 1 << 20;

/// How to map a pool.
#[derive(Clone, Copy, Debug)]
pub(crate) struct MapOptions {
    /// Whether to use, or insist on, `MAP_SYNC`.
    pub(crate) dax: Dax,
    /// Whether to make stores durable.
    pub(crate) flush: FlushMode,
    /// What this process may do.
    pub(crate) access: Access,
}

/// What a process may do with a pool.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Access {
    /// Everything. The file must be open for reading and writing.
    ReadWrite,
    /// Loads only; stores fail with [`ErrorKind::ReadOnly`].
    ReadOnly,
    /// Stores go to copies of this process's own and never reach the file. Not on dax devices.
    Private,
}

/// How stores of this region become durable.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Persistence {
    /// They do not: flushing is off, or the mapping is private or read-only.
    None,
    /// By a fence.
    Byte,
    /// By flushing their lines, and a fence.
    Line,
    /// By syncing their pages.
    Page,
}

/// The mapped pool. All accesses to it go through its methods; see the module.
pub(crate) struct Region {
    base: NonNull<u8>,
    len: AtomicU64,
    pub(super) persistence: Persistence,
    pub(super) cpu: Cpu,
    pub(super) generation: u64,
    access: Access,
    durability: Durability,
    mapping: Mapping,
    storage: Storage,
    pub(super) syncs: Syncs,
    pub(super) losses: Losses,
    pub(super) recorder: Recorder,
    path: PathBuf,
    file: File,
    /// Serialises extensions.
    extending: Mutex<()>,
    // Dropped last, in this order: faults are ours as long as there is memory.
    _watch: fault::Watch,
    reservation: Arc<Reservation>,
}

// SAFETY: the pointer is into the reservation, which the region owns and which may be used from any thread; every access
// through it is by the routines of `arch`, which allow for concurrent changes.
unsafe impl Send for Region {}
// SAFETY: as above.
unsafe impl Sync for Region {}

/// What an access was for, for the error that it may become.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Intent {
    Load,
    Store,
}

impl Region {
    /// Maps `file`, which `path` names, after finding out what it lies on.
    ///
    /// # Errors
    /// [`ErrorKind::UnsupportedMedium`] where no pool can lie, or where `dax` asks for what the medium lacks;
    /// [`ErrorKind::NotAPool`] if the file is shorter than a block.
    pub(crate) fn map(file: File, path: &Path, options: MapOptions) -> Result<Region> {
        let storage = medium::detect(&file, path)?;
        let len = usable_len(&file, storage).map_err(|error| error.at(path))?;
        if len == 0 {
            return Err(Error::new(ErrorKind::NotAPool, "the file is shorter than one block").at(path));
        }
        let wanted = RESERVE.max(len.saturating_mul(2));
        let reserve = || {
            Reservation::new(bytes(wanted), bytes(len))
                .map(Arc::new)
                .map_err(|error| Error::os(format!("reserve address space for {len} bytes"), error).at(path))
        };
        let kept = match options.access {
            Access::ReadWrite => sim::kept_mapping(&file, len),
            _ => None,
        };
        let is_mapped = kept.is_some();
        let reservation = kept.map_or_else(reserve, Ok)?;
        let generation = fork::generation();
        let (mapping, medium, granularity) =
            first_mapping(&reservation, is_mapped, &file, storage, bytes(len), options)
                .map_err(|error| error.at(path))?;
        let persistence = match granularity {
            _ if options.flush == FlushMode::Off || options.access != Access::ReadWrite => Persistence::None,
            Granularity::Byte => Persistence::Byte,
            Granularity::CacheLine => Persistence::Line,
            Granularity::Page => Persistence::Page,
        };
        let base = reservation.base();
        let region = Region {
            base,
            len: AtomicU64::new(len),
            persistence,
            cpu: Cpu::detect(),
            generation,
            access: options.access,
            durability: Durability::new(medium, granularity, mapping == Mapping::SharedSync, options.flush),
            mapping,
            storage,
            syncs: Syncs::default(),
            losses: Losses::default(),
            recorder: Recorder::default(),
            path: path.to_owned(),
            file,
            extending: Mutex::new(()),
            _watch: fault::watch(base, reservation.len(), 0, None),
            reservation,
        };
        region.advise(0, len);
        Ok(region)
    }

    /// The unit in which stores become durable.
    pub(crate) fn granularity(&self) -> Granularity {
        self.durability.granularity
    }

    /// What survives what.
    pub(crate) fn durability(&self) -> &Durability {
        &self.durability
    }

    /// What this process may do.
    pub(crate) fn access(&self) -> Access {
        self.access
    }

    /// The file that is mapped.
    pub(crate) fn file(&self) -> &File {
        &self.file
    }

    /// How it is mapped.
    pub(super) fn mapping(&self) -> Mapping {
        self.mapping
    }

    /// The path that it was mapped by, for messages.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Bytes mapped now.
    #[inline]
    pub(crate) fn len(&self) -> u64 {
        self.len.load(Ordering::Acquire)
    }

    /// Bytes of address space: how far the pool can grow without being opened anew.
    pub(crate) fn reserved(&self) -> u64 {
        self.reservation.len() as u64
    }

    /// Maps what the file has grown by, whoever grew it; answers the new length.
    ///
    /// # Errors
    /// [`ErrorKind::TooLarge`] beyond the reserved address space.
    pub(crate) fn extend(&self) -> Result<u64> {
        self.check_fork()?;
        let _one = self.extending.lock();
        let old = self.len();
        let new = usable_len(&self.file, self.storage).map_err(|error| error.at(&self.path))?;
        if new <= old {
            return Ok(old);
        }
        if new > self.reserved() {
            return Err(Error::new(
                ErrorKind::TooLarge,
                format!(
                    "the pool grew to {new} bytes and this process reserved {}: open it anew",
                    self.reserved()
                ),
            )
            .at(&self.path));
        }
        self.reservation
            .map(&self.file, bytes(old), bytes(new - old), self.mapping)
            .map_err(|error| Error::os(format!("map bytes {old:#x} to {new:#x}"), error).at(&self.path))?;
        self.advise(old, new - old);
        self.len.store(new, Ordering::Release);
        Ok(new)
    }

    /// Fails with [`ErrorKind::Forked`] in a forked child of the process that mapped the pool.
    #[inline]
    pub(crate) fn check_fork(&self) -> Result<()> {
        if fork::generation() == self.generation { Ok(()) } else { Err(self.forked()) }
    }

    /// Where `[at, at + len)` is mapped.
    ///
    /// Only for views, mappings and shared memory: the bytes may change at any time, and the memory may be lost (see
    /// `register_view`).
    pub(crate) fn pointer(&self, at: PoolOffset, len: u64) -> Result<NonNull<u8>> {
        let pointer = self.range(at, len)?;
        self.noting_pointer(at, len);
        Ok(pointer)
    }

    /// The same, for the routines of `arch`.
    #[inline]
    pub(super) fn range(&self, at: PoolOffset, len: u64) -> Result<NonNull<u8>> {
        let end = at.0.checked_add(len);
        if end.is_none_or(|end| end > self.len()) {
            self.beyond(at, len)?;
        }
        Ok(self.address(at))
    }

    /// The address of a place that was checked to be mapped.
    #[inline]
    pub(super) fn address(&self, at: PoolOffset) -> NonNull<u8> {
        // SAFETY: the caller checked that `at` is below `len`, and all of `len` is in one reservation from `base`.
        unsafe { self.base.add(bytes(at.0)) }
    }

    /// A range that is not mapped: perhaps the file has grown, otherwise an error.
    #[cold]
    pub(super) fn beyond(&self, at: PoolOffset, len: u64) -> Result<()> {
        let mapped = self.extend()?;
        if at.0.checked_add(len).is_some_and(|end| end <= mapped) {
            return Ok(());
        }
        if let Some(error) = self.cut_short(at, len) {
            return Err(error);
        }
        Err(Error::corrupt(
            "reference",
            at,
            format!("{len} bytes within the pool's {mapped:#x}"),
            "a range beyond",
        )
        .at(&self.path))
    }

    /// What a fault in `[at, at + len)` means.
    #[cold]
    pub(super) fn lost(&self, _: Lost, at: PoolOffset, len: u64, intent: Intent) -> Error {
        if fork::generation() != self.generation {
            return self.forked();
        }
        if intent == Intent::Store && self.access == Access::ReadOnly {
            return Error::new(
                ErrorKind::ReadOnly,
                format!("store of {len} bytes at {at}: the pool is mapped read-only"),
            )
            .at(&self.path);
        }
        if let Some(error) = self.cut_short(at, len) {
            self.losses.note(at, len);
            return error;
        }
        if intent == Intent::Store
            && let Some(full) = self.host_is_full(at, len)
        {
            return full;
        }
        self.losses.note(at, len);
        let message = format!("lost memory at {at} ({len} bytes): bad media");
        Error::new(ErrorKind::MediaError, message).at(&self.path)
    }

    /// Asks the host for space under `[at, at + len)`; whether it is there. Not beyond what the file has by now.
    #[cold]
    pub(super) fn back(&self, at: PoolOffset, len: u64) -> bool {
        let first = at.0 / BLOCK_SIZE * BLOCK_SIZE;
        let there = usable_len(&self.file, self.storage).is_ok_and(|now| at.0 + len <= now);
        there
            && self.access == Access::ReadWrite
            && fork::generation() == self.generation
            && file::back(&self.file, first, at.0 + len - first).is_ok()
    }

    /// The error where the file has no space for `[at, at + len)` yet, and the host has none to give.
    fn host_is_full(&self, at: PoolOffset, len: u64) -> Option<Error> {
        let first = at.0 / BLOCK_SIZE * BLOCK_SIZE;
        let error = match file::back(&self.file, first, at.0 + len - first) {
            Err(error) => error,
            // The blocks are there, but not what the host needs beside them.
            Ok(()) if file::free_bytes(&self.file).is_ok_and(|free| free < HOST_FULL) => {
                std::io::Error::from_raw_os_error(libc::ENOSPC)
            }
            Ok(()) => return None,
        };
        let error = Error::os(format!("store {len} bytes at {at}: no space under the sparse pool"), error);
        (error.kind() == ErrorKind::NoSpace).then(|| error.at(&self.path))
    }

    /// Why `[at, at + len)` cannot be had, where that is because the file has become shorter than what is mapped.
    #[cold]
    pub(crate) fn cut_short(&self, at: PoolOffset, len: u64) -> Option<Error> {
        let mapped = self.len();
        let now = usable_len(&self.file, self.storage).ok().filter(|&now| now < mapped)?;
        let message = format!(
            "lost memory at {at} ({len} bytes): the file was truncated to {now:#x} bytes from {mapped:#x}"
        );
        Some(Error::new(ErrorKind::MediaError, message).at(&self.path))
    }

    fn forked(&self) -> Error {
        Error::new(ErrorKind::Forked, "the pool was opened by this process's parent; open it anew")
            .at(&self.path)
    }

    /// What can be mapped, and protected, on its own: a block, or a chunk of a DAX device.
    pub(crate) fn mapping_unit(&self) -> u64 {
        if self.durability().medium == Medium::DevDax { CHUNK_SIZE } else { BLOCK_SIZE }
    }

    pub(super) fn reservation(&self) -> &Reservation {
        &self.reservation
    }

    /// Asks for huge pages where the kernel gives them on request only.
    fn advise(&self, at: u64, len: u64) {
        if self.storage == Storage::Memory
            && let Err(error) = self.reservation.advise(bytes(at), bytes(len), libc::MADV_HUGEPAGE)
        {
            tracing::debug!(%error, "madvise(MADV_HUGEPAGE)");
        }
    }
}

impl Drop for Region {
    fn drop(&mut self) {
        view::forget(self.base.as_ptr() as usize, self.reservation.len());
        #[cfg(feature = "sim")]
        if self.recorder.is_on_tape() && self.mapping == Mapping::Shared && self.check_fork().is_ok() {
            sim::keep_mapping(&self.file, self.len(), &self.reservation);
        }
    }
}

/// Maps the whole file for the first time, and thereby learns what it lies on.
fn first_mapping(
    reservation: &Reservation,
    is_mapped: bool,
    file: &File,
    storage: Storage,
    len: usize,
    options: MapOptions,
) -> Result<(Mapping, Medium, Granularity)> {
    let plain = match options.access {
        Access::ReadWrite => Mapping::Shared,
        Access::ReadOnly => Mapping::SharedReadOnly,
        Access::Private => Mapping::Private,
    };
    let map = |how| match how {
        Mapping::Shared if is_mapped => Ok(()),
        _ if is_mapped => Err(io::Error::from_raw_os_error(libc::EOPNOTSUPP)),
        _ => reservation.map(file, 0, len, how),
    };
    let failed = |error| Error::os(format!("map {len} bytes"), error);
    if let Storage::DaxDevice { .. } = storage {
        if options.access == Access::Private {
            return Err(medium::unsupported("a dax device cannot be mapped privately"));
        }
        if !Cpu::FLUSHES_LINES {
            return Err(medium::unsupported(
                "a dax device needs cache flushes, which this architecture has no code for",
            ));
        }
        map(plain).map_err(failed)?;
        return Ok((plain, Medium::DevDax, medium::line_granularity()));
    }
    // Only a shared writable mapping needs, and tells, whether faults are synchronous.
    if options.dax != Dax::Never && options.access == Access::ReadWrite && Cpu::FLUSHES_LINES {
        match map(Mapping::SharedSync) {
            Ok(()) => return Ok((Mapping::SharedSync, Medium::FsDax, medium::line_granularity())),
            Err(error) if matches!(error.raw_os_error(), Some(libc::EOPNOTSUPP | libc::EINVAL)) => {}
            Err(error) => return Err(failed(error)),
        }
    }
    if options.dax == Dax::Always && options.access == Access::ReadWrite {
        return Err(medium::unsupported("Dax::Always: the file system refuses MAP_SYNC"));
    }
    map(plain).map_err(failed)?;
    match storage {
        Storage::Memory if sim::plays_device() => Ok((plain, Medium::DevDax, Granularity::CacheLine)),
        Storage::Memory if !sim::plays_disk() => Ok((plain, Medium::Volatile, Granularity::CacheLine)),
        _ => Ok((plain, Medium::PageCache, Granularity::Page)),
    }
}

/// Whole blocks in the file, or whole chunks in the device.
fn usable_len(file: &File, storage: Storage) -> Result<u64> {
    match storage {
        Storage::DaxDevice { len } => Ok(len - len % CHUNK_SIZE),
        Storage::Memory | Storage::Regular => {
            let len = file.metadata().map_err(|error| Error::os("stat", error))?.len();
            Ok(len - len % BLOCK_SIZE)
        }
    }
}

/// A length of pool memory as a length of this process's memory, which is as wide.
#[inline]
pub(super) fn bytes(len: u64) -> usize {
    const { assert!(usize::BITS == 64, "pools are mapped whole: 64-bit address spaces only") };
    usize::try_from(len).unwrap_or(usize::MAX)
}
