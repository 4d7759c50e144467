//! Writing: one piece at a time, in place where that is allowed, otherwise into new blocks.
//!
//! ```text
//!              head edge          whole blocks          tail edge
//!   srcmap  |aaaaaa......|......................|......bbbbbb|
//!   write           |ddddddddddddddddddddddddddddddddd|
//!   mapping |aaaaaadddddd|dddddddddddddddddddddd|ddddddbbbbbb|
//! ```
//!
//! A copy fills both edges from the old block, or with zeros where there was a hole; whole blocks copy nothing.

use std::ops::Range;

use super::known;
use super::read::index;
use crate::error::{Error, ErrorKind, Result};
use crate::format::inode::{self, FILE_SIZE_MAX, at};
use crate::inode::Inode;
use crate::iomap::{Action, Iomap, Placement, Write};
use crate::journal::Store;
use crate::pmem::{Flushed, Mistake, mistake};
use crate::runtime::sequence::Change;
use crate::units::{BLOCK_SIZE, BlockNumber, FileBlock, blocks_for};

/// What a write stores.
#[derive(Clone, Copy)]
pub(crate) enum Source<'a> {
    Bytes(&'a [u8]),
    Zeros(u64),
    /// What the file holds there, in blocks that are its alone: nothing where that is so already.
    Unshared(u64),
}

impl Source<'_> {
    fn len(&self) -> u64 {
        match self {
            Source::Bytes(bytes) => bytes.len() as u64,
            Source::Zeros(len) | Source::Unshared(len) => *len,
        }
    }

    fn store(&self, store: &Store, from: u64, len: u64, iomap: &Iomap, offset: u64) -> Result<Flushed> {
        let region = &store.runtime.region;
        let place = iomap.place(offset);
        let stored = match self {
            Source::Bytes(bytes) => region.write(place, &bytes[index(from)..index(from + len)])?,
            Source::Zeros(_) => region.zero(place, len)?,
            Source::Unshared(_) => return Ok(Flushed::none()),
        };
        Ok(region.flush_data(stored))
    }
}

/// Whether a new size is durable when the call returns, or with the next sync.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum SizeChange {
    Durable,
    Lazy,
}

/// Writes all of `from` at `offset`, growing the file as needed; what lies between the old end and `offset` reads as
/// zeros. On line media the bytes are durable at return. Crash: any subset of the blocks may have been written, each whole
/// where it was copied or allocated. A write that fails keeps what it wrote up to the old end and nothing beyond.
pub(crate) fn write(
    store: &Store,
    inode: &Inode,
    offset: u64,
    from: Source<'_>,
    size: SizeChange,
) -> Result<()> {
    write_to(store, inode, inode.size(store)?, offset, from, size)
}

/// Appends `bytes`, as [`write`] does at the end of the file, and answers where that was.
pub(crate) fn append(store: &Store, inode: &Inode, bytes: &[u8]) -> Result<u64> {
    let end = inode.size(store)?;
    write_to(store, inode, end, end, Source::Bytes(bytes), SizeChange::Lazy)?;
    Ok(end)
}

/// As [`write`], to a file of `old_size` bytes.
fn write_to(
    store: &Store,
    inode: &Inode,
    old_size: u64,
    offset: u64,
    from: Source<'_>,
    size: SizeChange,
) -> Result<()> {
    let end = offset
        .checked_add(from.len())
        .filter(|&end| end <= FILE_SIZE_MAX)
        .ok_or_else(|| too_large(offset))?;
    if from.len() == 0 {
        return Ok(());
    }
    if offset > old_size {
        super::range::zero_beyond_end(store, inode, old_size, offset)?;
    }
    if end > old_size && mistake(Mistake::SizeBeforeData) {
        grow_to(store, inode, end, size)?;
    }
    if let Err(error) = store_range_of(store, inode, old_size, offset, from) {
        let beyond = FileBlock::of(offset).0.max(blocks_for(old_size));
        if let Err(kept) = super::range::punch_blocks(store, inode, beyond, blocks_for(end)) {
            tracing::error!(error = %kept, "a failed write keeps blocks beyond the end of the file");
        }
        return Err(error);
    }
    if end > old_size {
        grow_to(store, inode, end, size)?;
    }
    inode.touch(store)
}

fn too_large(offset: u64) -> Error {
    Error::new(
        ErrorKind::TooLarge,
        format!("a write at {offset} would pass the largest file, {FILE_SIZE_MAX} bytes"),
    )
}

/// Publishes a greater size; everything below it is durable already.
pub(super) fn grow_to(store: &Store, inode: &Inode, size: u64, how: SizeChange) -> Result<()> {
    let region = &store.runtime.region;
    if how == SizeChange::Lazy {
        inode.size_is_lazy(store)?;
    }
    let ready = region.fence(Flushed::none())?;
    let stored = region.publish(inode.field(at::SIZE), inode::encode_size(size, inode.number), &ready)?;
    match how {
        SizeChange::Durable => region.fence(region.flush_data(stored)).map(|_| ()),
        SizeChange::Lazy => {
            stored.leave_unflushed();
            Ok(())
        }
    }
}

/// Stores a range, beyond the end of the file too, whose size stays.
pub(super) fn store_range(store: &Store, inode: &Inode, offset: u64, from: Source<'_>) -> Result<()> {
    store_range_of(store, inode, inode.size(store)?, offset, from)
}

/// As [`store_range`], in a file of `size` bytes.
fn store_range_of(store: &Store, inode: &Inode, size: u64, offset: u64, from: Source<'_>) -> Result<()> {
    let end = offset + from.len();
    let mut at = offset;
    let mut overwriting = Overwriting::default();
    let (mut goal, mut placement) = (None, Placement::Any);
    while at < end {
        let start = FileBlock::of(at);
        let blocks = end.div_ceil(BLOCK_SIZE) - start.0;
        let known = match placement {
            Placement::Any => known::in_place(store, inode, start, blocks),
            Placement::Elsewhere => None,
        };
        let (iomap, write) = match known {
            Some(iomap) => (iomap, None),
            None => {
                let write = Write::begin(store, inode, start, blocks, goal, placement)?;
                (write.iomap, Some(write))
            }
        };
        let piece_end = end.min((start.0 + iomap.blocks) * BLOCK_SIZE);
        if iomap.action == Action::InPlace {
            overwriting.begin(store, inode)?;
            if write.is_some() {
                known::looked_up_in_place(store, inode, start.0);
            }
        } else if let Err(error) = overwriting.end(store) {
            write.into_iter().for_each(Write::cancel);
            return Err(error);
        }
        let filled = fill(store, &iomap, size, at..piece_end, from, at - offset);
        match (filled, write) {
            (Ok(data), Some(write)) => overwriting.fence_later(write.end(data)?),
            (Ok(data), None) => overwriting.fence_later(data),
            (Err(error), Some(write)) => {
                placement = write.failed(error)?;
                continue;
            }
            (Err(_), None) => {
                // What that means, and what is to be done, says the way that knows nothing.
                known::forget(inode, start.0);
                continue;
            }
        }
        placement = Placement::Any;
        goal = Some(next_block(&iomap));
        at = piece_end;
        if at < end {
            store.runtime.progress()?;
        }
    }
    overwriting.end(store)
}

/// Pieces overwritten in place, one after the other: one change for readers, and one fence.
#[derive(Default)]
struct Overwriting<'a> {
    change: Option<Change<'a>>,
    data: Flushed,
}

impl<'a> Overwriting<'a> {
    #[inline]
    fn begin(&mut self, store: &'a Store, inode: &Inode) -> Result<()> {
        if self.change.is_none() {
            self.change = Some(store.runtime.begin_in_place(inode.place)?);
        }
        Ok(())
    }

    #[inline]
    fn fence_later(&mut self, data: Flushed) {
        self.data = std::mem::take(&mut self.data).join(data);
    }

    /// Makes what was overwritten durable, and then readers may look again.
    #[inline]
    fn end(&mut self, store: &Store) -> Result<()> {
        let Some(_change) = self.change.take() else { return Ok(()) };
        store.runtime.region.fence(std::mem::take(&mut self.data)).map(|_| ())
    }
}

fn next_block(iomap: &Iomap) -> BlockNumber {
    iomap.mapping.first.add(iomap.blocks)
}

/// The actor: the data, and around it the edges of the first and the last block.
fn fill(
    store: &Store,
    iomap: &Iomap,
    size: u64,
    Range { start, end }: Range<u64>,
    from: Source<'_>,
    skip: u64,
) -> Result<Flushed> {
    let mut data = from.store(store, skip, end - start, iomap, start)?;
    if iomap.action == Action::InPlace {
        return Ok(data);
    }
    if let Source::Unshared(_) = from {
        data = data.join(edge(store, iomap, size, start, end)?);
    }
    if !mistake(Mistake::EdgesForgotten) {
        data = data.join(edge(store, iomap, size, iomap.start.offset(), start)?);
        data = data.join(edge(store, iomap, size, end, (iomap.start.0 + iomap.blocks) * BLOCK_SIZE)?);
    }
    Ok(data)
}

/// Fills `[start, end)` of a new block with what the file, of `size` bytes, held there. That is made durable before the block is
/// reachable, on page media too: it may have been synced in its old place, as zeros where there was none.
fn edge(store: &Store, iomap: &Iomap, size: u64, start: u64, end: u64) -> Result<Flushed> {
    if start == end {
        return Ok(Flushed::none());
    }
    let region = &store.runtime.region;
    let place = iomap.place(start);
    match iomap.source(start) {
        Some(source) => region.copy(source, place, end - start).map(|copied| region.flush(copied)),
        None if start < size => region.zero(place, end - start).map(|zeroed| region.flush(zeroed)),
        None => region.zero(place, end - start).map(|zeroed| region.flush_data(zeroed)),
    }
}
