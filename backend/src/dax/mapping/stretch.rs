//! A stretch of a file in a window: what the file's map says of it, put where it can be touched.

use std::ops::Range;
use std::sync::Arc;

use crate::error::{Error, ErrorKind, Result};
use crate::extent_map::{Found, Mapped, Tree};
use crate::iomap::gather::is_whole;
use crate::journal::Store;
use crate::os::pager::Access;
use crate::pmem::Window;
use crate::pmem::window::{Content, Piece};
use crate::units::{BLOCK_BYTES, BLOCK_SIZE, CHUNK_BLOCKS, CHUNK_SIZE, FileBlock, blocks_for};

/// Pieces that are mapped when a mapping is made; further ones when they are touched.
const EAGER_PIECES: usize = 256;
/// Blocks that are looked at when a mapping is made.
const EAGER_BLOCKS: u64 = 1 << 18;
/// How far before the touched block is looked for the beginning of its run, in blocks.
const AROUND: u64 = 16;

/// Whether the window is a live one, whose exclusive blocks can be stored to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Rights {
    LoadOnly,
    LoadAndStore,
}

/// Blocks of a file and the window that shows them.
pub(super) struct Stretch {
    /// The first block of the file in the window.
    pub(super) first: u64,
    /// One more than the last.
    pub(super) end: u64,
    /// Bytes of the window before those that were asked for: it begins and ends with whole units of what can be mapped.
    pub(super) lead: usize,
    /// Bytes that were asked for.
    pub(super) len: u64,
    pub(super) rights: Rights,
    pub(super) window: Arc<Window>,
}

impl Stretch {
    /// An empty window for `[offset, offset + len)` of a file of `size` bytes.
    pub(super) fn new(store: &Store, offset: u64, len: u64, size: u64, rights: Rights) -> Result<Stretch> {
        let invalid = |message: String| Err(Error::new(ErrorKind::InvalidInput, message));
        if !offset.is_multiple_of(BLOCK_SIZE) {
            return invalid(format!("offset {offset} is not a multiple of the page size {BLOCK_SIZE}"));
        }
        let Some(end) = offset.checked_add(len).filter(|&end| len > 0 && end <= size) else {
            return invalid(format!("{len} bytes at {offset} are none, or pass the end of the file, {size}"));
        };
        let unit = store.runtime.region.mapping_unit();
        let lead = usize::try_from(offset % unit).unwrap_or(0);
        let (first, end) = ((offset - offset % unit) / BLOCK_SIZE, end.next_multiple_of(unit) / BLOCK_SIZE);
        let window = Arc::new(Window::new(first * BLOCK_SIZE, (end - first) * BLOCK_SIZE, unit)?);
        Ok(Stretch { first, end, lead, len, rights, window })
    }

    /// The bytes of the window for some blocks of the file, as far as they lie in it.
    pub(super) fn range(&self, blocks: Range<u64>) -> Range<usize> {
        let at = |block: u64| {
            let block = block.clamp(self.first, self.end) - self.first;
            usize::try_from(block).unwrap_or(usize::MAX).saturating_mul(BLOCK_BYTES)
        };
        at(blocks.start)..at(blocks.end)
    }

    /// Whether only whole chunks can be mapped.
    pub(super) fn by_chunks(store: &Store) -> bool {
        store.runtime.region.mapping_unit() == CHUNK_SIZE
    }

    /// Maps the chunk of the file that holds `block`, if the kernel can: where it is empty, or whole in one chunk of the pool and, to
    /// be stored to, the file's alone. Whether it did.
    pub(super) fn show_chunk(&self, store: &Store, tree: &Tree, block: u64, access: Access) -> Result<bool> {
        let start = block - block % CHUNK_BLOCKS;
        let found = self.find(store, tree, start, start + CHUNK_BLOCKS)?;
        let shown = match found.mapped {
            None => access == Access::Load && found.blocks == CHUNK_BLOCKS,
            Some(mapped) => is_whole(&found) && (access == Access::Load || mapped.exclusive),
        };
        if shown {
            self.show(store, start, found)?;
        }
        Ok(shown)
    }

    /// The block of the file at `at` of the window.
    pub(super) fn block(&self, at: usize) -> u64 {
        self.first + (at / BLOCK_BYTES) as u64
    }

    /// Maps `found`, which lies at `at` of the file.
    pub(super) fn show(&self, store: &Store, at: u64, found: Found) -> Result<()> {
        let range = self.range(at..at + found.blocks);
        if range.is_empty() {
            return Ok(());
        }
        let skipped = self.first.saturating_sub(at);
        self.window.put(&store.runtime.region, range, self.piece(found, skipped))
    }

    fn piece(&self, found: Found, skipped: u64) -> Piece {
        match found.mapped {
            Some(Mapped { block, unwritten: false, exclusive }) => Piece {
                content: Content::Pool(block.add(skipped).offset()),
                writable: exclusive && self.rights == Rights::LoadAndStore,
            },
            _ => Piece { content: Content::Zeros, writable: false },
        }
    }

    fn find(&self, store: &Store, tree: &Tree, at: u64, end: u64) -> Result<Found> {
        let counts = self.rights == Rights::LoadAndStore;
        tree.find(&store.space, FileBlock(at), end - at, counts)
    }

    /// Maps the run of blocks around `block`, and nothing at or beyond block `end` of the file.
    pub(super) fn show_around(&self, store: &Store, tree: &Tree, block: u64, end: u64) -> Result<()> {
        let end = self.end.min(end).min((block / CHUNK_BLOCKS + 1) * CHUNK_BLOCKS);
        let mut at = (block - block % AROUND).max(self.first);
        loop {
            let found = self.find(store, tree, at, end)?;
            if at + found.blocks > block {
                return self.show(store, at, found);
            }
            at += found.blocks;
        }
    }

    /// Maps the beginning of the stretch, all of it where it consists of few pieces; nothing where only chunks can be mapped.
    pub(super) fn show_first(&self, store: &Store, tree: &Tree, size: u64) -> Result<()> {
        if Stretch::by_chunks(store) {
            return Ok(());
        }
        let end = self.end.min(blocks_for(size)).min(self.first + EAGER_BLOCKS);
        let mut at = self.first;
        let mut shown = 0;
        while at < end && shown < EAGER_PIECES {
            let mut run = self.find(store, tree, at, end)?;
            while at + run.blocks < end {
                let next = self.find(store, tree, at + run.blocks, end)?;
                if !continues(&run, &next) {
                    break;
                }
                run.blocks += next.blocks;
            }
            self.show(store, at, run)?;
            at += run.blocks;
            shown += 1;
        }
        Ok(())
    }
}

fn continues(run: &Found, next: &Found) -> bool {
    match (run.mapped, next.mapped) {
        (Some(run_mapped), Some(next)) => {
            Mapped { block: run_mapped.block.add(run.blocks), ..run_mapped } == next
        }
        (None, None) => true,
        _ => false,
    }
}
