//! One state of a file as contiguous memory. It stands on a pin, so that it does not change and needs no lock.

use std::ptr::NonNull;
use std::sync::Arc;

use super::stretch::{Rights, Stretch};
use crate::dax::view::Pinned;
use crate::error::{Error, ErrorKind, Result};
use crate::os::mmap::Memory;
use crate::os::pager::{self, Access, Paged, Pager, Signal};
use crate::pmem::window::{Content, Piece};
use crate::units::{BLOCK_BYTES, BLOCK_SIZE, CHUNK_SIZE, blocks_for};

/// A stretch of a file as contiguous memory: the state it had when it was mapped, whatever is written, truncated or removed
/// since. May be used from any thread.
///
/// Where the stretch consists of up to 256 pieces of the pool all of it is there at once; otherwise what is touched comes
/// when it is touched, by a signal that this crate handles. A system call does not touch: it gets `EFAULT` for what is not
/// there yet, which [`Mapping::prefault`] prevents.
///
/// A DAX device can be mapped by 2 MiB only. There, 2 MiB of the file that do not lie in one chunk of the pool are copied to memory of this
/// process when they are touched.
pub struct Mapping {
    pages: Arc<Pages>,
    _paged: Paged,
}

struct Pages {
    stretch: Stretch,
    pinned: Arc<Pinned>,
}

impl Mapping {
    /// Maps `[offset, offset + len)` of a pinned state.
    pub(crate) fn new(pinned: &Arc<Pinned>, offset: u64, len: u64) -> Result<Mapping> {
        let store = &pinned.core.store;
        let stretch = Stretch::new(store, offset, len, pinned.size, Rights::LoadOnly)?;
        let pages = Arc::new(Pages { stretch, pinned: pinned.clone() });
        let window = &pages.stretch.window;
        let paged = pager::serve(window.base(), window.len(), pages.clone())?;
        pages.stretch.show_first(store, &pinned.tree, pinned.size)?;
        Ok(Mapping { pages, _paged: paged })
    }

    /// The first byte.
    #[must_use]
    pub fn as_ptr(&self) -> *const u8 {
        self.base().as_ptr()
    }

    fn base(&self) -> NonNull<u8> {
        self.pages.stretch.window.pointer(self.pages.stretch.lead)
    }

    /// Bytes that are mapped. Those after it, up to the end of the page, can be loaded and hold anything.
    #[must_use]
    pub fn len(&self) -> usize {
        usize::try_from(self.pages.stretch.len).unwrap_or(usize::MAX)
    }

    /// Never: a mapping has at least one byte.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Fills `into` from byte `offset` of the mapping; unlike a load through the pointer it answers lost memory with an error.
    ///
    /// # Errors
    /// `InvalidInput` for a range beyond the mapping, `MediaError`, `Corrupt`.
    pub fn read_at(&self, into: &mut [u8], offset: usize) -> Result<()> {
        super::check_range(offset, into.len(), self.len())?;
        let Stretch { window, lead, .. } = &self.pages.stretch;
        super::out_of_mappings(into, |into| window.load(lead + offset, into))
    }

    /// Makes sure that system calls find `[offset, offset + len)` of the mapping. What is there may go again when more pieces are
    /// touched than a process can have mapped (some thousands).
    ///
    /// # Errors
    /// `InvalidInput` for a range beyond the mapping, `Corrupt`, `Io`.
    pub fn prefault(&self, offset: usize, len: usize) -> Result<()> {
        super::check_range(offset, len, self.len())?;
        let offset = self.pages.stretch.lead + offset;
        for at in (offset - offset % BLOCK_BYTES..offset + len).step_by(BLOCK_BYTES) {
            self.pages.fault(at, Access::Load, Signal::Ours)?;
        }
        Ok(())
    }

    /// Whether the medium lost some of these bytes; they read as zeros from then on.
    #[must_use]
    pub fn is_failed(&self) -> bool {
        self.pages.stretch.window.failed()
    }
}

impl Pages {
    /// Maps the chunk at `offset`, or a copy of it.
    fn show_or_copy(&self, offset: usize) -> Result<()> {
        let Pages { stretch, pinned } = self;
        let store = &pinned.core.store;
        if stretch.show_chunk(store, &pinned.tree, stretch.block(offset), Access::Load)? {
            return Ok(());
        }
        let unit = stretch.window.unit(offset);
        let mut memory = Memory::new(unit.len())
            .map_err(|error| Error::os(format!("memory for {} bytes of a file", unit.len()), error))?;
        let from = stretch.block(unit.start) * BLOCK_SIZE;
        let there = pinned.size.saturating_sub(from).min(CHUNK_SIZE);
        let into = &mut memory.bytes()[..usize::try_from(there).unwrap_or(0)];
        pinned.read(from, into)?;
        stretch.window.put_copy(unit.start, memory)
    }
}

impl Pager for Pages {
    fn fault(&self, offset: usize, access: Access, signal: Signal) -> Result<()> {
        if access == Access::Store {
            return Err(Error::new(
                ErrorKind::PermissionDenied,
                "a store to a mapping that can only be read",
            ));
        }
        let Pages { stretch, pinned } = self;
        let store = &pinned.core.store;
        match (stretch.window.get(offset), signal) {
            (Some(Piece { content: Content::Pool(_), .. }), Signal::Bus) => {
                stretch.window.fail();
                let zeros = Piece { content: Content::Zeros, writable: false };
                stretch.window.put(&store.runtime.region, stretch.window.unit(offset), zeros)
            }
            (Some(_), _) => Ok(()),
            (None, _) if Stretch::by_chunks(store) => self.show_or_copy(offset),
            (None, _) => {
                let block = stretch.block(offset);
                stretch.show_around(store, &pinned.tree, block, blocks_for(pinned.size))
            }
        }
    }
}
