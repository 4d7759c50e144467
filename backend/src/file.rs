//! The public file handle.
//!
//! Every call that changes something marks itself at the cut gate, takes the file's lock, and does its work in [`dax`];
//! nothing here knows how.

mod batch;
mod locks;
mod options;
mod pinned;

use std::sync::Arc;
use std::sync::{OnceLock, Weak};

use parking_lot::Mutex;

pub use self::batch::Batch;
pub use self::options::FileOptions;
use crate::dax::batch::{Side, check_no_batch};
pub use crate::dax::dedupe::Dedupe;
use crate::dax::mapping::live::flush as flush_mapped;
use crate::dax::mapping::{MappingMut, not_mapped, out_of_mappings};
pub use crate::dax::range::{Extent, ExtentKind};
use crate::dax::settled::Settled;
use crate::dax::view::Pinned;
use crate::dax::write::{SizeChange, Source};
use crate::dax::{self, range};
use crate::error::{Error, ErrorKind, Result};
use crate::format::inode::{Kind, at};
use crate::inode::advisory::{self, Holder};
use crate::inode::open::OpenInode;
use crate::inode::{Core, Inode};
use crate::namespace::resolve::{self, Located};
use crate::pmem::Access;
use crate::pmem::medium::Granularity;
use crate::pool::Pool;
use crate::relocate::defrag::{self, DefragReport};
use crate::stat::Metadata;
use crate::units::BLOCK_SIZE;

/// An open file of a pool. All calls may be made from any thread at once; writers of one file take turns, readers wait
/// for nobody.
///
/// On byte and cache-line media (DAX file systems, dax devices, and tmpfs as their stand-in) everything but
/// [`File::append`] is durable when the call returns. On page media (plain files) it is durable after [`File::sync`], or
/// after the commit of a batch.
pub struct File {
    pool: Pool,
    open: Arc<OpenInode>,
    holder: Holder,
    options: FileOptions,
    pinned: Mutex<Weak<Pinned>>,
    settled: OnceLock<Option<Settled>>,
}

impl File {
    pub(crate) fn new(pool: Pool, open: Arc<OpenInode>, options: FileOptions) -> File {
        let (pinned, settled) = (Mutex::default(), OnceLock::new());
        File { pool, open, holder: Holder::default(), options, pinned, settled }
    }

    /// Another handle of the same file, with the same access; also of a file without a name. It has locks of its own.
    #[must_use]
    pub fn another_handle(&self) -> File {
        self.core().open.share(&self.open);
        File::new(self.pool.clone(), self.open.clone(), self.options)
    }

    fn core(&self) -> &Arc<Core> {
        self.pool.core()
    }

    pub(crate) fn target(&self) -> &Inode {
        &self.open.inode
    }

    fn readable(&self) -> Result<()> {
        if self.options.read {
            return Ok(());
        }
        Err(Error::new(ErrorKind::PermissionDenied, "the file was not opened for reading"))
    }

    fn writable(&self) -> Result<()> {
        if self.open.snapshot {
            return Err(Error::new(ErrorKind::ReadOnly, "the file is part of a snapshot"));
        }
        if !self.options.write {
            return Err(Error::new(ErrorKind::PermissionDenied, "the file was not opened for writing"));
        }
        self.not_replaced()?;
        self.pool.writable()
    }

    fn not_replaced(&self) -> Result<()> {
        refuse_replaced(&self.pool, &self.open)
    }

    /// Runs `change`, which is durable at return, as one marked operation under the file's lock.
    fn change<T>(&self, change: impl FnOnce(&Inode) -> Result<T>) -> Result<T> {
        self.change_lazily(|inode| {
            inode.settle_size(&self.core().store)?;
            change(inode)
        })
    }

    /// As [`File::change`], but what was appended before may stay not durable.
    fn change_lazily<T>(&self, change: impl FnOnce(&Inode) -> Result<T>) -> Result<T> {
        self.writable()?;
        let store = &self.core().store;
        let done = {
            let (_mark, _held) = store.runtime.enter_locking(self.target().field(at::LOCK))?;
            check_no_batch(store, self.target())?;
            change(self.target())
        };
        self.pool.reclaim_queued();
        done
    }

    /// Reads up to `into.len()` bytes at byte `offset`; fewer, or none, only at the end of the file. Holes and blocks that
    /// were only reserved read as zeros.
    ///
    /// Never waits for writers. Up to 1 MiB are read as one state of the file where writers pause for a moment; otherwise each
    /// block of 4096 bytes is, and of a block that is overwritten meanwhile some bytes may be the old and some the new ones.
    ///
    /// # Errors
    /// `PermissionDenied` if not opened for reading, `MediaError` where the medium lost the bytes, `Corrupt` where the
    /// file's map is damaged.
    pub fn read_at(&self, into: &mut [u8], offset: u64) -> Result<usize> {
        self.readable()?;
        let store = &self.core().store;
        out_of_mappings(into, |into| dax::read::read(store, self.target(), offset, into))
    }

    /// A number that changes whenever the contents or the size do, by whatever process, but for stores through a writable
    /// mapping; nothing while they are changing. Only for comparing with what this handle, or a batch of it, has answered.
    ///
    /// # Errors
    /// `MediaError`; `Stale` once a forced rollback has put another file in the place of this one.
    pub fn version(&self) -> Result<Option<u64>> {
        refuse_replaced(&self.pool, &self.open)?;
        let runtime = &self.core().store.runtime;
        match runtime.region.access() {
            Access::ReadWrite => runtime.sequence(self.target().place),
            _ => Ok(None),
        }
    }

    /// Fills `into` from byte `offset`.
    ///
    /// # Errors
    /// As [`File::read_at`], and `InvalidInput` where the file ends before.
    pub fn read_exact_at(&self, into: &mut [u8], offset: u64) -> Result<()> {
        let read = self.read_at(into, offset)?;
        if read == into.len() {
            return Ok(());
        }
        let message = format!("{} bytes wanted at {offset}, {read} are there", into.len());
        Err(Error::new(ErrorKind::InvalidInput, message))
    }

    /// Writes all of `from` at byte `offset`, growing the file as needed; a gap reads as zeros.
    ///
    /// A crash may leave any subset of the blocks written; use a [`Batch`] for all or nothing.
    ///
    /// # Errors
    /// `NoSpace`, with a prefix of whole pieces written up to the old end; `Busy` while a batch is open on the file; `TooLarge` past
    /// 2^48 - 1 bytes; `Stale` after a forced rollback; `ReadOnly`, `PermissionDenied`, `MediaError`, `Corrupt`.
    pub fn write_at(&self, from: &[u8], offset: u64) -> Result<()> {
        let from = &*not_mapped(from)?;
        self.change(|inode| {
            dax::write::write(&self.core().store, inode, offset, Source::Bytes(from), SizeChange::Durable)
        })
    }

    /// Writes all of `from` at the end of the file and answers where that was. The bytes survive the process at once; that
    /// they are part of the file is durable after [`File::sync`].
    ///
    /// # Errors
    /// As [`File::write_at`].
    pub fn append(&self, from: &[u8]) -> Result<u64> {
        let from = &*not_mapped(from)?;
        self.change_lazily(|inode| {
            let store = &self.core().store;
            let end = inode.size(store)?;
            dax::write::write(store, inode, end, Source::Bytes(from), SizeChange::Lazy)?;
            Ok(end)
        })
    }

    /// The size in bytes.
    ///
    /// # Errors
    /// `Corrupt` where the size word is damaged.
    pub fn len(&self) -> Result<u64> {
        self.target().size(&self.core().store)
    }

    /// Whether the size is 0.
    ///
    /// # Errors
    /// As [`File::len`].
    pub fn is_empty(&self) -> Result<bool> {
        self.len().map(|len| len == 0)
    }

    /// Sets the size to `len` bytes. Cut blocks are given back, added bytes read as zeros and take no space.
    ///
    /// # Errors
    /// As [`File::write_at`].
    pub fn set_len(&self, len: u64) -> Result<()> {
        self.change(|inode| range::set_len(&self.core().store, inode, len))
    }

    /// Reserves blocks for `[offset, offset + len)`, as fallocate(2): writes there need no new blocks unless they are
    /// shared meanwhile. With `keep_size` the size stays as it is.
    ///
    /// # Errors
    /// As [`File::write_at`]; `NoSpace` before anything is reserved; `InvalidInput` for an empty range.
    pub fn allocate(&self, offset: u64, len: u64, keep_size: bool) -> Result<()> {
        self.change(|inode| range::allocate(&self.core().store, inode, offset, len, keep_size))
    }

    /// Makes `[offset, offset + len)` read as zeros, up to the end of the file. Whole blocks become holes.
    ///
    /// # Errors
    /// As [`File::write_at`]; `InvalidInput` for an empty range.
    pub fn zero_range(&self, offset: u64, len: u64) -> Result<()> {
        self.change(|inode| range::zero_range(&self.core().store, inode, offset, len))
    }

    /// Gives back the whole blocks in `[offset, offset + len)` and zeros the rest of it. The size stays.
    ///
    /// # Errors
    /// As [`File::write_at`]; `InvalidInput` for an empty range.
    pub fn punch_hole(&self, offset: u64, len: u64) -> Result<()> {
        self.change(|inode| range::punch_hole(&self.core().store, inode, offset, len))
    }

    /// The first byte at or after `offset` that lies in a written block; nothing if there is none before the end
    /// (SEEK_DATA).
    ///
    /// # Errors
    /// `MediaError`, `Corrupt`.
    pub fn seek_data(&self, offset: u64) -> Result<Option<u64>> {
        range::seek_data(&self.core().store, self.target(), offset)
    }

    /// The first byte at or after `offset` that lies in a hole or a block never written; the end of the file if there is
    /// none (SEEK_HOLE).
    ///
    /// # Errors
    /// `MediaError`, `Corrupt`.
    pub fn seek_hole(&self, offset: u64) -> Result<u64> {
        range::seek_hole(&self.core().store, self.target(), offset)
    }

    /// All mapped runs, in order (FIEMAP).
    ///
    /// # Errors
    /// `MediaError`, `Corrupt`.
    pub fn extents(&self) -> Result<Vec<Extent>> {
        range::extents(&self.core().store, self.target())
    }

    /// Makes everything written to the file durable, whoever wrote it, and what was stored through live mappings.
    ///
    /// # Errors
    /// `Io` when the medium refuses; from then on the pool is read-only.
    pub fn sync(&self) -> Result<()> {
        let store = &self.core().store;
        if store.runtime.region.granularity() == Granularity::Page {
            return store.space.settle();
        }
        if store.runtime.is_mapped(self.target().place)? {
            flush_mapped(store, self.target(), 0..u64::MAX)?;
        }
        let inode = self.target().place;
        let flushed = store.runtime.region.flush_range(inode, crate::format::inode::DURABLE_BYTES as u64);
        store.runtime.region.fence(flushed).map(|_| ())
    }

    /// As [`File::sync`], but for the time of the last change, which may be lost with the machine (fdatasync). Costs nothing where
    /// calls return when their bytes are durable.
    ///
    /// # Errors
    /// As [`File::sync`].
    pub fn sync_data(&self) -> Result<()> {
        let store = &self.core().store;
        let is_lazy = || self.target().is_size_lazy(store);
        let every_call_syncs = store.runtime.region.granularity() != Granularity::Page;
        if every_call_syncs && !store.runtime.is_mapped(self.target().place)? && !is_lazy()? {
            return Ok(());
        }
        self.sync()
    }

    /// What is known about the file.
    ///
    /// # Errors
    /// `MediaError`, `Corrupt`.
    pub fn metadata(&self) -> Result<Metadata> {
        let kind = self.target().kind(&self.core().store)?;
        let located = resolve::Located {
            inode: *self.target(),
            generation: kind.generation,
            kind: kind.kind,
            read_only: self.open.snapshot,
        };
        resolve::stat(&self.core().store, &located).map(Metadata::of)
    }

    /// The number of its inode, unique in the pool while the file exists.
    #[must_use]
    pub fn inode(&self) -> u64 {
        self.target().number.0
    }

    /// The pool it lies in.
    #[must_use]
    pub fn pool(&self) -> &Pool {
        &self.pool
    }

    /// Whether no name leads to the file any more: it was removed, replaced, or a forced rollback put another in its place.
    ///
    /// # Errors
    /// `Corrupt` where the links word is damaged.
    pub fn is_stale(&self) -> Result<bool> {
        let store = &self.core().store;
        Ok(self.target().links(store)? == 0 || self.target().is_replaced(store)?)
    }

    /// The file as something that a name of `pool` may lead to.
    pub(crate) fn located_in(&self, pool: &Pool) -> Result<Located> {
        if !Arc::ptr_eq(self.core(), pool.core()) {
            return Err(Error::new(
                ErrorKind::InvalidInput,
                "a file of another pool cannot have a name in this one",
            ));
        }
        if self.target().is_replaced(&self.core().store)? {
            return Err(Error::new(ErrorKind::Stale, "a rollback has put another file in its place"));
        }
        let OpenInode { inode, generation, snapshot, .. } = &*self.open;
        Ok(Located { inode: *inode, generation: *generation, kind: Kind::File, read_only: *snapshot })
    }

    /// Makes `[dst_offset, dst_offset + len)` of this file share the blocks of `[src_offset, src_offset + len)` of `src`,
    /// as FICLONERANGE does: offsets are multiples of 4096 bytes, and so is `len` unless it ends at the end of `src` and at
    /// or past the end of this file.
    ///
    /// # Errors
    /// `InvalidInput` for offsets that are not aligned, a range beyond the end of `src`, or ranges of one file that overlap;
    /// otherwise as [`File::write_at`].
    pub fn clone_range(&self, src: &File, src_offset: u64, dst_offset: u64, len: u64) -> Result<()> {
        src.readable()?;
        self.with_other(src, |target, source| {
            dax::share::clone_range(&self.core().store, source, src_offset, target, dst_offset, len)
        })
    }

    /// If `[dst_offset, dst_offset + len)` of this file holds the same bytes as `[src_offset, src_offset + len)` of `src`,
    /// makes it share their blocks, as FIDEDUPERANGE does: compared and changed under the locks of both files, in one
    /// durable transaction. Offsets are multiples of 4096 bytes, and so is `len` unless both ranges end their files. At most
    /// 1 GiB is compared; the answer says how much. Holes stay holes, and stored zeros become a hole where `src` has one.
    ///
    /// # Errors
    /// `InvalidInput` for offsets that are not aligned, a range beyond the end of its file, or ranges of one file that
    /// overlap; otherwise as [`File::write_at`].
    pub fn dedupe_range(&self, src: &File, src_offset: u64, dst_offset: u64, len: u64) -> Result<Dedupe> {
        src.readable()?;
        self.with_other(src, |target, source| {
            dax::dedupe::dedupe_range(&self.core().store, source, src_offset, target, dst_offset, len)
        })
    }

    /// Moves the blocks of `[offset, offset + len)` so that they lie next to each other, in aligned 2 MiB chunks where whole
    /// ones are mapped. Snapshots and clones that share them go on sharing them: they move for all owners together. Contents
    /// do not change, so a file of a snapshot can be defragmented too, and programs may read and write meanwhile.
    ///
    /// # Errors
    /// `Busy` where operations in flight do not end, `ReadOnly` where the pool is; `MediaError`, `Corrupt`. What finds no
    /// room is left as it is, and in the report.
    pub fn defragment(&self, offset: u64, len: u64) -> Result<DefragReport> {
        self.pool.writable()?;
        let end = offset.saturating_add(len).min(1 << 48).div_ceil(BLOCK_SIZE);
        defrag::defragment(&self.core().store, self.target(), offset / BLOCK_SIZE..end)
    }

    /// Makes the contents and the size of this file those of `with`, sharing all blocks, in one durable transaction. It
    /// stays the same file: names, handles and locks are as before.
    ///
    /// # Errors
    /// As [`File::write_at`].
    pub fn replace_contents(&self, with: &File) -> Result<()> {
        with.readable()?;
        if with.inode() == self.inode() {
            return self.writable();
        }
        self.with_other(with, |target, source| {
            dax::share::replace_contents(&self.core().store, target, source)
        })
    }

    /// Runs `change` with both files locked, in the order of their numbers.
    fn with_other<T>(&self, other: &File, change: impl FnOnce(&Inode, &Inode) -> Result<T>) -> Result<T> {
        self.writable()?;
        if !Arc::ptr_eq(self.core(), other.core()) {
            return Err(Error::new(ErrorKind::InvalidInput, "files of two pools cannot share blocks"));
        }
        let store = &self.core().store;
        let _mark = store.runtime.enter()?;
        let (mine, theirs) = (self.target(), other.target());
        let mut both = vec![mine, theirs];
        both.sort_by_key(|inode| inode.number);
        both.dedup();
        let mut held = Vec::with_capacity(2);
        for inode in both {
            held.push(inode.lock(store)?);
        }
        check_no_batch(store, mine)?;
        mine.settle_size(store)?;
        change(mine, theirs)
    }

    /// Opens an atomic batch: until it is dropped, other writers of this file get Busy.
    ///
    /// # Errors
    /// `Busy` while another one is open, in any process; otherwise as [`File::write_at`].
    pub fn batch(&self) -> Result<Batch> {
        self.writable()?;
        let side = Side::begin(&self.core().store, self.target())?;
        // Not under the lock: who opens a file locks it with the table of open inodes locked.
        self.core().open.share(&self.open);
        Ok(Batch { pool: self.pool.clone(), open: self.open.clone(), side: Some(side) })
    }

    /// Maps `[offset, offset + len)` as contiguous memory that is shared with all who read, write or map the file, and can be
    /// stored to. `offset` is a multiple of 4096. See [`MappingMut`].
    ///
    /// # Errors
    /// `PermissionDenied` unless opened for reading and writing; `InvalidInput` for an offset that is not aligned and a range
    /// that is empty or passes the end; `Busy` while a batch is open on the file; otherwise as
    /// [`File::write_at`].
    pub fn map_mut(&self, offset: u64, len: u64) -> Result<MappingMut> {
        self.readable()?;
        self.writable()?;
        MappingMut::new(self.core(), &self.open, offset, len)
    }
}

impl Drop for File {
    fn drop(&mut self) {
        let core = self.core();
        let unlocked = advisory::release_all(&core.store, &self.open, &self.holder);
        let closed = core.open.close(&core.store, &self.open);
        if let Err(error) = unlocked.and(closed) {
            tracing::error!(%error, "a file could not be closed");
        }
    }
}

/// Stale where a forced rollback has put another file in the place of this one.
fn refuse_replaced(pool: &Pool, open: &OpenInode) -> Result<()> {
    if !open.inode.is_replaced(&pool.core().store)? {
        return Ok(());
    }
    Err(Error::new(ErrorKind::Stale, "a rollback has put another file in the place of this one"))
}
