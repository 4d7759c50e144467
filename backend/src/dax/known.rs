//! Places that this thread has looked up before: runs of written blocks within one leaf of a file's map, so that neither the root nor
//! the nodes nor their entries are loaded and checked again.
//!
//! A run is what the file's map says for as long as the counter of changes of that map is what it was, and no blocks have moved in the
//! pool. It is the file's alone for as long as, besides, no reference has been added in the pool to what had one: what was
//! exclusive becomes shared by [`Space::raise`] only, of something on its path, by who holds the file's lock or has closed
//! the gate. (Copying a shared node adds references to what was shared before.) Inodes are told apart by their places: the
//! counter rises when one is freed, and when a file's end comes down.
//!
//! A leaf is gone through when it was looked into a number of times with the map unchanged, and again after four times as many; so what
//! that costs is little beside the lookups, also where the map is scattered or changes often.
//!
//! [`Space::raise`]: crate::space::Space::raise

use std::cell::{Cell, OnceCell};

use crate::error::Result;
use crate::extent_map::{Mapped, Tree};
use crate::format::entry::NODE_ENTRIES;
use crate::inode::Inode;
use crate::iomap::{Action, Iomap, Mapping, MappingKind, events};
use crate::journal::Store;
use crate::pmem::Access;
use crate::units::{BLOCK_SIZE, BlockNumber, FileBlock, PoolOffset};

/// Leaves that a thread remembers at most; one that falls on the place of another takes it.
const LEAVES: usize = 512;
/// Lookups in a leaf before it is gone through; where crashes are played, whose sequences are short, the first one.
const LOOKUPS_MIN: u16 = if cfg!(feature = "sim") { 1 } else { 32 };
/// Runs that are passed on the way to the one that is wanted.
const RUNS_PASSED_MAX: u32 = 16;

/// A count of added references that never comes: the run may be shared.
const SHARED: u64 = u64::MAX;

/// What a thread knows of one leaf.
#[derive(Clone, Copy)]
#[repr(align(64))]
struct Leaf {
    /// The pool's opening, and the inode.
    runtime: u64,
    inode: PoolOffset,
    remaps: u64,
    moves: u64,
    /// The pool's counter of added references when the run was the file's alone, or [`SHARED`].
    sharings: u64,
    /// The run: its first block in the file and in the pool, and its bytes below the end of the file. Without a run, any
    /// block of the leaf, and no bytes.
    start: u64,
    first: u64,
    bytes: u32,
    /// Lookups since the run was found, and how many there are to be before another one is.
    lookups: u16,
    wanted: u16,
}

thread_local! {
    static LEAVES_KNOWN: OnceCell<Box<[Cell<Leaf>]>> = const { OnceCell::new() };
}

/// Calls `act` with what this thread knows of the leaf that holds `block`, or of another leaf.
#[inline]
fn with_leaf<T>(inode: &Inode, block: u64, act: impl FnOnce(&Cell<Leaf>) -> Option<T>) -> Option<T> {
    let known = LEAVES_KNOWN.try_with(|leaves| {
        let leaves = leaves.get_or_init(|| (0..LEAVES).map(|_| Cell::new(Leaf::NONE)).collect());
        // Leaves of one file follow each other, files begin anywhere.
        let spread = inode.place.0 / 256 * 37 + block / NODE_ENTRIES;
        act(&leaves[usize::try_from(spread % LEAVES as u64).unwrap_or(0)])
    });
    known.ok().flatten()
}

impl Leaf {
    /// Nothing is known.
    const NONE: Leaf = Leaf {
        runtime: 0,
        inode: PoolOffset(0),
        remaps: 0,
        moves: 0,
        sharings: SHARED,
        start: 0,
        first: 0,
        bytes: 0,
        lookups: 0,
        wanted: LOOKUPS_MIN,
    };

    /// Whether the run holds `[offset, end)` of `inode`, and the map has not changed since, nor the end of the file come down.
    #[inline]
    fn holds(&self, store: &Store, inode: &Inode, offset: u64, end: u64) -> bool {
        let start = self.start * BLOCK_SIZE;
        start <= offset
            && end <= start + u64::from(self.bytes)
            && self.inode == inode.place
            && self.runtime == store.runtime.serial
            && store.runtime.remaps(inode.place).is_ok_and(|remaps| remaps == self.remaps)
    }

    fn place(&self, offset: u64) -> PoolOffset {
        BlockNumber(self.first).offset().add(offset - self.start * BLOCK_SIZE)
    }
}

/// Fills `into` from byte `offset` of the file, all of it from one state of the file; nothing where that is not known or not so, and
/// where somebody listens to what iomap does.
#[inline]
pub(super) fn read(store: &Store, inode: &Inode, offset: u64, into: &mut [u8]) -> Option<usize> {
    let (runtime, end) = (&store.runtime, offset.checked_add(into.len() as u64)?);
    with_leaf(inode, offset / BLOCK_SIZE, |leaf| {
        // Before the run is looked at: what has changed since then shows in the sequence counter.
        let sequence = runtime.sequence(inode.place).ok()??;
        let leaf = leaf.get();
        let is_there = leaf.holds(store, inode, offset, end) && runtime.moves().ok()? == leaf.moves;
        if !is_there || events::somebody_may_listen() {
            return None;
        }
        runtime.region.read(leaf.place(offset), into).ok()?;
        let unchanged = runtime.unchanged_since(inode.place, sequence).ok()?;
        (unchanged && runtime.moves().ok()? == leaf.moves).then_some(into.len())
    })
}

/// The piece of up to `blocks` blocks from `start` on that may be overwritten in place, if that is known. The file is locked.
#[inline]
pub(super) fn in_place(store: &Store, inode: &Inode, start: FileBlock, blocks: u64) -> Option<Iomap> {
    with_leaf(inode, start.0, |leaf| {
        let leaf = leaf.get();
        let runtime = &store.runtime;
        let exclusive =
            leaf.sharings == store.space.sharings().ok()? && leaf.moves == runtime.moves().ok()?;
        let offset = start.offset();
        if !exclusive || !leaf.holds(store, inode, offset, offset + 1) || events::somebody_may_listen() {
            return None;
        }
        let first = BlockNumber(leaf.first + (start.0 - leaf.start));
        let mapping = Mapping { kind: MappingKind::Written, first };
        let blocks = blocks.min(u64::from(leaf.bytes).div_ceil(BLOCK_SIZE) - (start.0 - leaf.start));
        Some(Iomap { start, blocks, mapping, srcmap: mapping, action: Action::InPlace })
    })
}

/// Notes that `block` of the file had to be looked up by a reader.
#[inline]
pub(super) fn looked_up(store: &Store, inode: &Inode, block: u64) {
    note(store, inode, block, || {
        let sequence = store.runtime.sequence(inode.place)?;
        let leaf = explore(store, inode, block, false)?;
        let valid = sequence
            .is_some_and(|sequence| store.runtime.unchanged_since(inode.place, sequence).unwrap_or(false));
        Ok(leaf.filter(|_| valid))
    });
}

/// Notes that `block` of the file, which is locked, had to be looked up by a writer, who found that it may overwrite it.
#[inline]
pub(super) fn looked_up_in_place(store: &Store, inode: &Inode, block: u64) {
    note(store, inode, block, || explore(store, inode, block, true));
}

/// Forgets where `block` of the file lies.
#[cold]
pub(super) fn forget(inode: &Inode, block: u64) {
    with_leaf(inode, block, |leaf| {
        leaf.set(Leaf::NONE);
        Some(())
    });
}

#[inline]
fn note(store: &Store, inode: &Inode, block: u64, explore: impl FnOnce() -> Result<Option<Leaf>>) {
    with_leaf(inode, block, |cell| {
        let mut leaf = cell.get();
        let remaps = store.runtime.remaps(inode.place).ok()?;
        let is_same = leaf.inode == inode.place
            && leaf.runtime == store.runtime.serial
            && leaf.remaps == remaps
            && leaf.start / NODE_ENTRIES == block / NODE_ENTRIES;
        if !is_same {
            leaf = Leaf {
                runtime: store.runtime.serial,
                inode: inode.place,
                remaps,
                start: block,
                ..Leaf::NONE
            };
        }
        leaf.lookups += 1;
        if leaf.lookups >= leaf.wanted {
            leaf.lookups = 0;
            leaf.wanted = leaf.wanted.saturating_mul(4);
            cell.set(leaf);
            return learn(cell, leaf, explore);
        }
        cell.set(leaf);
        Some(())
    });
}

#[cold]
fn learn(cell: &Cell<Leaf>, before: Leaf, explore: impl FnOnce() -> Result<Option<Leaf>>) -> Option<()> {
    let found = explore().ok().flatten()?;
    if found.remaps == before.remaps {
        cell.set(Leaf { wanted: before.wanted, ..found });
    }
    Some(())
}

/// The run that holds `block`; with `alone`, one that is the file's alone. The answer is of the state of the file when nothing
/// has changed meanwhile.
fn explore(store: &Store, inode: &Inode, block: u64, alone: bool) -> Result<Option<Leaf>> {
    let runtime = &store.runtime;
    if runtime.region.access() != Access::ReadWrite {
        return Ok(None);
    }
    let (remaps, moves) = (runtime.remaps(inode.place)?, runtime.moves()?);
    let sharings = store.space.sharings()?;
    if remaps & 1 != 0 {
        return Ok(None);
    }
    let tree = Tree::of(&store.space, inode.place)?;
    let end = (block / NODE_ENTRIES + 1) * NODE_ENTRIES;
    let (mut start, mut passed) = (block / NODE_ENTRIES * NODE_ENTRIES, 0);
    let found = loop {
        let found = tree.find(&store.space, FileBlock(start), end - start, alone)?;
        if start + found.blocks > block {
            break found;
        }
        passed += 1;
        start = if passed < RUNS_PASSED_MAX { start + found.blocks } else { block };
    };
    let unmoved = runtime.moves()? == moves;
    let below_end = inode.size(store)?.saturating_sub(start * BLOCK_SIZE);
    let bytes = u32::try_from((found.blocks * BLOCK_SIZE).min(below_end)).unwrap_or(0);
    Ok(match found.mapped {
        Some(Mapped { block: first, unwritten: false, exclusive }) if unmoved && exclusive == alone => {
            Some(Leaf {
                runtime: runtime.serial,
                inode: inode.place,
                remaps,
                moves,
                sharings: if alone { sharings } else { SHARED },
                start,
                first: first.0,
                bytes,
                ..Leaf::NONE
            })
        }
        _ => None,
    })
}
