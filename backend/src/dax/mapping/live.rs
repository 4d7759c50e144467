//! A stretch of a file as contiguous memory that can be stored to: live, so that it shows what the file holds now.
//!
//! ```text
//!   the file's block     mapped                       a store there
//!   written, its alone   to be loaded and stored to   goes on
//!   written, shared      to be loaded                 copies a unit, publishes it durably, maps it
//!   hole, unwritten      zeros                        allocates, publishes durably, maps
//!   past the end         memory that raises SIGBUS    SIGBUS
//! ```
//!
//! The invariant that makes this safe: a block that is mapped to be stored to belongs to one file alone. Pages come to be
//! mapped under the inode's lock with the operation marked at the cut gate; whoever shares blocks or puts others in their place
//! has all members take the pages away first (`runtime::mappings`). What is withdrawn comes back when it is touched, and until the
//! other operation has ended that touch waits for the lock or the gate.
//!
//! On a DAX device the kernel maps and protects 2 MiB at once. There a chunk of the file is mapped where it lies whole in one chunk of the
//! pool, and copied to one (`iomap::gather`) where it does not: also what is the file's alone, and also for a load.
//!
//! **The unit of a copy** is one block where stores are scattered. It grows by a factor of four while they go on where the last unit ended, up to 2
//! MiB, and then begins and ends where a chunk does, so that it is copied to an empty chunk and mapped as one. It doubles as well
//! whenever the window has had more pieces than it may have; only what is shared is copied so, never what the file has alone, so
//! that no store by another thread can be lost.

use std::ops::Range;
use std::ptr::NonNull;
use std::sync::Arc;

use parking_lot::Mutex;

use super::stretch::{Rights, Stretch};
use super::unit::Stride;
use super::{check_range, not_mapped, out_of_mappings};
use crate::dax::batch::check_no_batch;
use crate::dax::write::{Source, store_range};
use crate::error::{Error, ErrorKind, Result};
use crate::extent_map::{Mapped, Tree};
use crate::inode::open::OpenInode;
use crate::inode::{Core, Inode};
use crate::iomap::gather::gather;
use crate::journal::Store;
use crate::os::pager::{self, Access, Paged, Pager, Signal};
use crate::pmem::Flushed;
use crate::pmem::medium::Granularity;
use crate::pmem::window::{Content, Piece};
use crate::units::{BLOCK_BYTES, BLOCK_SIZE, CHUNK_BLOCKS, FileBlock, PoolOffset, blocks_for};

/// A stretch of a file as contiguous memory, shared with all who read, write or map the file, that can be stored to. May be
/// used from any thread; other threads and processes may store at any time.
///
/// A store is seen by everybody at once and survives this process; it is durable after [`MappingMut::flush`]. The first
/// store to a page that is a hole, or shared with a snapshot or another file, takes a fault: the block is allocated or copied,
/// durably part of the file before the store goes on. A snapshot holds what was stored before it, and nothing later.
///
/// **Signals.** Faults arrive as SIGSEGV and SIGBUS, and are served by a thread of this crate. Handlers that were installed before
/// the first pool was opened get what is not ours, and what cannot be served: a store for which the pool has no space, an access past the
/// end of a file that was truncated, lost memory. They find SIGBUS, as with mmap(2); without one the process ends.
/// [`MappingMut::read_at`] and [`MappingMut::write_at`] answer all of these with errors instead.
///
/// **System calls** get `EFAULT` for pages that are not there yet (`read(2)` into a hole or a shared page):
/// [`MappingMut::prefault`] makes them be there, until the next snapshot, clone or write that moves the block.
///
/// **DAX devices** are mapped by 2 MiB: there a store to a shared page copies 2 MiB, and touching a file that lies scattered moves it, 2 MiB at
/// a time, into chunks of its own, beyond its end as well. That needs whole free chunks.
///
/// **Others.** Any number of members may map a file, and write it by other calls. While it is mapped so, a batch
/// cannot be opened on it, nor can it be mapped so while a batch is open: both get `Busy`. The file stays open, also without a name. After
/// a forced rollback the mapping shows the file that was replaced. A forked child cannot use the mapping.
pub struct MappingMut {
    pages: Arc<Pages>,
    /// Faults are served until this goes, first of all.
    paged: Option<Paged>,
    open: Arc<OpenInode>,
}

struct Pages {
    core: Arc<Core>,
    inode: Inode,
    stretch: Stretch,
    stride: Mutex<Stride>,
}

impl MappingMut {
    /// Maps `[offset, offset + len)` of an open file.
    pub(crate) fn new(core: &Arc<Core>, open: &Arc<OpenInode>, offset: u64, len: u64) -> Result<MappingMut> {
        let (store, inode) = (&core.store, open.inode);
        let stretch = Stretch::new(store, offset, len, inode.size(store)?, Rights::LoadAndStore)?;
        let first = stretch.first;
        let pages = Pages { core: core.clone(), inode, stretch, stride: Mutex::default() };
        core.open.share(open);
        let mut mapping = MappingMut { pages: Arc::new(pages), paged: None, open: open.clone() };
        let window = mapping.pages.stretch.window.clone();
        mapping.paged = Some(pager::serve(window.base(), window.len(), mapping.pages.clone())?);
        let begun = {
            let _mark = store.runtime.enter()?;
            let _held = inode.lock(store)?;
            check_no_batch(store, &inode).and_then(|()| {
                store.runtime.map_live(inode.place, first, &window)?;
                let tree = Tree::of(&store.space, inode.place)?;
                mapping.pages.stretch.show_first(store, &tree, inode.size(store)?)
            })
        };
        begun.map(|()| mapping)
    }

    /// The first byte.
    #[must_use]
    pub fn as_ptr(&self) -> *const u8 {
        self.as_mut_ptr()
    }

    /// The first byte, to be stored to.
    #[must_use]
    pub fn as_mut_ptr(&self) -> *mut u8 {
        self.base().as_ptr()
    }

    fn base(&self) -> NonNull<u8> {
        self.pages.stretch.window.pointer(self.pages.stretch.lead)
    }

    /// Bytes that are mapped. Those after it, up to the end of the page, can be touched and mean nothing.
    #[must_use]
    pub fn len(&self) -> usize {
        usize::try_from(self.pages.stretch.len).unwrap_or(usize::MAX)
    }

    /// Never: a mapping has at least one byte.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Fills `into` from byte `offset` of the mapping.
    ///
    /// # Errors
    /// `InvalidInput` for a range beyond the mapping or past the end of the file, `Busy`, `MediaError`, `Corrupt`.
    pub fn read_at(&self, into: &mut [u8], offset: usize) -> Result<()> {
        check_range(offset, into.len(), self.len())?;
        let Stretch { window, lead, .. } = &self.pages.stretch;
        out_of_mappings(into, |into| window.load(lead + offset, into))
    }

    /// Stores `from` at byte `offset` of the mapping, as a store through the pointer would.
    ///
    /// # Errors
    /// As [`MappingMut::read_at`], and `NoSpace`; bytes before the page that failed are stored.
    pub fn write_at(&self, from: &[u8], offset: usize) -> Result<()> {
        check_range(offset, from.len(), self.len())?;
        let Stretch { window, lead, .. } = &self.pages.stretch;
        window.store(lead + offset, &not_mapped(from)?)
    }

    /// Makes what was stored to `[offset, offset + len)` of the mapping durable, by whomever, as msync(2) does.
    ///
    /// # Errors
    /// `InvalidInput` for a range beyond the mapping; `Io` when the medium refuses, `MediaError`, `Busy`.
    pub fn flush(&self, offset: usize, len: usize) -> Result<()> {
        check_range(offset, len, self.len())?;
        let Pages { core, inode, stretch, .. } = &*self.pages;
        let offset = stretch.lead + offset;
        let end = stretch.block(offset + len.saturating_sub(1)) + 1;
        flush(&core.store, inode, stretch.block(offset)..end)
    }

    /// Makes sure that system calls can load from `[offset, offset + len)` of the mapping, and store to it if `write`.
    ///
    /// # Errors
    /// As [`MappingMut::write_at`].
    pub fn prefault(&self, offset: usize, len: usize, write: bool) -> Result<()> {
        check_range(offset, len, self.len())?;
        let offset = self.pages.stretch.lead + offset;
        let access = if write { Access::Store } else { Access::Load };
        for at in (offset - offset % BLOCK_BYTES..offset + len).step_by(BLOCK_BYTES) {
            self.pages.fault(at, access, Signal::Ours)?;
        }
        Ok(())
    }

    /// Whether the medium lost some of these bytes; they read as zeros from then on.
    #[must_use]
    pub fn is_failed(&self) -> bool {
        self.pages.stretch.window.failed()
    }
}

impl Drop for MappingMut {
    fn drop(&mut self) {
        self.paged = None;
        let Pages { core, inode, stretch, .. } = &*self.pages;
        let unmapped = core.store.runtime.unmap_live(inode.place, &stretch.window);
        if let Err(error) = unmapped.and(core.open.close(&core.store, &self.open)) {
            tracing::error!(%error, "a mapping could not be ended");
        }
    }
}

/// Makes durable what was stored through mappings to `blocks` of a file.
pub(crate) fn flush(store: &Store, inode: &Inode, blocks: Range<u64>) -> Result<()> {
    let region = &store.runtime.region;
    if region.granularity() == Granularity::Page {
        #[cfg(feature = "sim")]
        each_mapped(store, inode, blocks, |at, len| region.note_mapped(at, len).map(|()| Flushed::none()))?;
        return store.space.settle();
    }
    each_mapped(store, inode, blocks, |at, len| region.flush_mapped(at, len))
}

/// Has `flush` see to what lies on the medium of `blocks` of a file, chunk by chunk, with a fence after each.
fn each_mapped(
    store: &Store,
    inode: &Inode,
    blocks: Range<u64>,
    flush: impl Fn(PoolOffset, u64) -> Result<Flushed>,
) -> Result<()> {
    let end = FileBlock(blocks.end.min(blocks_for(inode.size(store)?)));
    let mut at = FileBlock(blocks.start);
    while at < end {
        let next = FileBlock(end.0.min((at.0 / CHUNK_BLOCKS + 1) * CHUNK_BLOCKS));
        let _mark = store.runtime.enter()?;
        let _held = inode.lock(store)?;
        each_mapped_of_chunk(store, inode, at, next, &flush)?;
        at = next;
    }
    Ok(())
}

fn each_mapped_of_chunk(
    store: &Store,
    inode: &Inode,
    mut at: FileBlock,
    end: FileBlock,
    flush: impl Fn(PoolOffset, u64) -> Result<Flushed>,
) -> Result<()> {
    let tree = Tree::of(&store.space, inode.place)?;
    let region = &store.runtime.region;
    let mut flushed = Flushed::none();
    while let Some((place, found)) = tree.next_mapped(&store.space, at, end)? {
        at = FileBlock(place.0 + found.blocks);
        if let Some(Mapped { block, unwritten: false, .. }) = found.mapped {
            flushed = flushed.join(flush(block.offset(), found.blocks * BLOCK_SIZE)?);
        }
    }
    region.fence(flushed).map(drop)
}

impl Pages {
    /// Serves an access; an error becomes a signal or the error of a call.
    fn serve(&self, offset: usize, access: Access, signal: Signal) -> Result<()> {
        let Pages { core, inode, stretch, .. } = self;
        let store = &core.store;
        let there = stretch.window.get(offset);
        let access = match there {
            // Some architectures do not say which it was.
            Some(_) if !cfg!(target_arch = "x86_64") && signal == Signal::Segv => Access::Store,
            _ => access,
        };
        match there {
            Some(Piece { content: Content::Pool(_), .. }) if signal == Signal::Bus => {
                return self.lost(offset, access);
            }
            Some(Piece { writable: true, .. }) => return Ok(()),
            Some(Piece { content: Content::Pool(_) | Content::Zeros, .. }) if access == Access::Load => {
                return Ok(());
            }
            _ => {}
        }
        let _mark = store.runtime.enter()?;
        let _held = inode.lock(store)?;
        let block = stretch.block(offset);
        let size = inode.size(store)?;
        let end = blocks_for(size);
        if block >= end {
            let message = format!("an access to byte {} of a file of {size}", block * BLOCK_SIZE);
            return Err(Error::new(ErrorKind::InvalidInput, message));
        }
        if Stretch::by_chunks(store) {
            return self.show_or_gather(block, access);
        }
        if access == Access::Store {
            self.own(block, end)?;
        }
        let tree = Tree::of(&store.space, inode.place)?;
        stretch.show_around(store, &tree, block, end)
    }

    /// Memory of the pool is lost: a load gets zeros, a store the signal, since its bytes would be lost.
    fn lost(&self, offset: usize, access: Access) -> Result<()> {
        let Stretch { window, .. } = &self.stretch;
        window.fail();
        if access == Access::Store {
            return Err(Error::new(ErrorKind::MediaError, "the memory under a mapping of a file is lost"));
        }
        let zeros = Piece { content: Content::Zeros, writable: false };
        window.put(&self.core.store.runtime.region, window.unit(offset), zeros)
    }

    /// Where only chunks can be mapped: maps the one that holds `block`, after making one of it where it is none. The inode is
    /// locked.
    fn show_or_gather(&self, block: u64, access: Access) -> Result<()> {
        let Pages { core, inode, stretch, .. } = self;
        let store = &core.store;
        let tree = Tree::of(&store.space, inode.place)?;
        if stretch.show_chunk(store, &tree, block, access)? {
            return Ok(());
        }
        inode.settle_size(store)?;
        gather(store, inode, FileBlock(block - block % CHUNK_BLOCKS))?;
        inode.touch(store)?;
        let tree = Tree::of(&store.space, inode.place)?;
        stretch.show_chunk(store, &tree, block, Access::Store).map(drop)
    }

    /// Makes `block`, and what is copied with it, the file's own. The inode is locked.
    fn own(&self, block: u64, end: u64) -> Result<()> {
        let Pages { core, inode, stretch, stride } = self;
        let store = &core.store;
        let tree = Tree::of(&store.space, inode.place)?;
        let found = tree.find(&store.space, FileBlock(block), 1, true)?;
        if found.mapped.is_some_and(|mapped| mapped.exclusive && !mapped.unwritten) {
            return Ok(());
        }
        inode.settle_size(store)?;
        let least = 1_u64
            .checked_shl(u32::try_from(stretch.window.evictions()).unwrap_or(u32::MAX))
            .unwrap_or(CHUNK_BLOCKS);
        let (unit, goes_on) = stride.lock().unit(block, end, least);
        // A full pool may have room for one block still.
        match self.own_unit(&tree, unit.start.max(stretch.first)..unit.end, block, goes_on) {
            Err(error) if error.kind() == ErrorKind::NoSpace && unit.end - unit.start > 1 => {
                self.unshare(block, block + 1)?
            }
            owned => owned?,
        }
        inode.touch(store)
    }

    /// Copies what is shared of a unit. Of what reads as zeros it allocates only from `block` on, and only where stores go on.
    fn own_unit(&self, tree: &Tree, unit: Range<u64>, block: u64, goes_on: bool) -> Result<()> {
        let space = &self.core.store.space;
        let Range { start: mut at, end } = unit;
        while at < end {
            let found = tree.find(space, FileBlock(at), end - at, true)?;
            let next = at + found.blocks;
            match found.mapped {
                Some(Mapped { exclusive: true, unwritten: false, .. }) => {}
                Some(Mapped { unwritten: false, .. }) => self.unshare(at, next)?,
                _ if goes_on && next > block => self.unshare(at.max(block), next)?,
                _ if (at..next).contains(&block) => self.unshare(block, block + 1)?,
                _ => {}
            }
            at = next;
        }
        Ok(())
    }

    fn unshare(&self, start: u64, end: u64) -> Result<()> {
        let source = Source::Unshared((end - start) * BLOCK_SIZE);
        store_range(&self.core.store, &self.inode, start * BLOCK_SIZE, source)
    }
}

impl Pager for Pages {
    fn fault(&self, offset: usize, access: Access, signal: Signal) -> Result<()> {
        match self.serve(offset, access, signal) {
            // The access gets the signal that it would get in a mapping of a plain file.
            Err(_) if signal == Signal::Segv => {
                let Stretch { window, .. } = &self.stretch;
                let beyond = Piece { content: Content::Beyond, writable: false };
                window.put(&self.core.store.runtime.region, window.unit(offset), beyond)
            }
            served => served,
        }
    }
}
