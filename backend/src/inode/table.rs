//! The inode table: a file of inodes, whose own inode lies in the header area.
//!
//! It only grows, its blocks are never shared and so never move, and a free inode is one whose kind word says so. All
//! changes of which inodes are in use happen under the namespace lock.

use std::ops::Range;

use super::{Inode, now_ns};
use crate::error::{Error, ErrorKind, Result};
use crate::extent_map::stage::stage;
use crate::extent_map::{Change, Content, Tree};
use crate::format::inode::{self, Birth, INODE_SIZE, Kind, KindWord};
use crate::format::lane::{RECORDS_MAX, Record};
use crate::format::layout::TABLE_INODE;
use crate::journal::Store;
use crate::pmem::{Flushed, Mistake, mistake};
use crate::runtime::at;
use crate::space::Purpose;
use crate::units::{BLOCK_SIZE, FileBlock, InodeNumber, PoolOffset};

/// Blocks by which the table grows.
const GROWTH_BLOCKS: u64 = 16;
const INODES_PER_BLOCK: u64 = BLOCK_SIZE / INODE_SIZE;

/// The inode table of a pool.
pub(crate) struct Table;

impl Table {
    /// The table's own inode.
    pub(crate) fn inode(store: &Store) -> Result<Inode> {
        Inode::attach(store, InodeNumber(0), TABLE_INODE)
    }

    /// Inodes that the table has room for, number 0 (which names nothing) included.
    pub(crate) fn capacity(store: &Store) -> Result<u64> {
        Ok(Table::inode(store)?.size(store)? / INODE_SIZE)
    }

    /// The inode `number`, whatever it is now.
    pub(crate) fn get(store: &Store, number: InodeNumber) -> Result<Inode> {
        let offset = number.0.saturating_mul(INODE_SIZE);
        let block = FileBlock::of(offset);
        let start = match store.table_places.get(block) {
            Some(known) if number.0 != 0 => known,
            _ => {
                let found = Table::block(store, number, offset)?;
                store.table_places.remember(block, found);
                found
            }
        };
        Inode::attach(store, number, start.add(offset % BLOCK_SIZE))
    }

    /// Has the lines of the inode `number` brought to the cache, if it is known where it lies.
    pub(crate) fn prefetch(store: &Store, number: InodeNumber) {
        let offset = number.0.saturating_mul(INODE_SIZE);
        if let Some(start) = store.table_places.get(FileBlock::of(offset)) {
            store.runtime.region.prefetch_range(start.add(offset % BLOCK_SIZE), INODE_SIZE);
        }
    }

    /// The block of the table that holds the inode `number`, at `offset` of the table.
    fn block(store: &Store, number: InodeNumber, offset: u64) -> Result<PoolOffset> {
        let size = Table::inode(store)?.size(store)?;
        if number.0 == 0 || offset >= size {
            return Err(Error::corrupt(
                "inode number",
                number,
                format_args!("1 to {}", size / INODE_SIZE),
                number.0,
            ));
        }
        let block = FileBlock::of(offset);
        let found = Tree::of(&store.space, TABLE_INODE)?.find(&store.space, block, 1, false)?;
        match found.mapped {
            Some(mapped) => Ok(mapped.block.offset()),
            None => Err(Error::corrupt("inode table", block, "a block", "a hole")),
        }
    }

    /// Writes a new inode without links, which nothing names yet: recovery takes it for an orphan until a transaction
    /// gives it a link. The caller holds the namespace lock.
    pub(crate) fn create(store: &Store, new: NewInode) -> Result<(Inode, Flushed)> {
        let mut made = Vec::with_capacity(1);
        let flushed = Table::create_all(store, &[new], &mut made)?;
        match made.pop() {
            Some(Made { inode, .. }) => Ok((inode, flushed)),
            None => Err(Error::corrupt("inode table", TABLE_INODE, "an inode", "none")),
        }
    }

    /// As [`Table::create`] for many, with one fence for all. `made` gets them in order, on failure those that were made.
    pub(crate) fn create_all(store: &Store, all: &[NewInode], made: &mut Vec<Made>) -> Result<Flushed> {
        let region = &store.runtime.region;
        let free = Table::find_free(store, all.len())?;
        for (inode, _) in &free {
            inode.forget_replaced(store)?;
        }
        // Only what is whole may count as an inode: a torn one could still name the blocks of its former life.
        let mut written = Flushed::none();
        let mut now = None;
        for ((inode, before), new) in free.iter().zip(all) {
            let kind = new.kind_word(*before);
            let created = new.created.unwrap_or_else(|| *now.get_or_insert_with(now_ns));
            let birth = Birth { number: inode.number, created, origin: new.origin, attribute: new.attribute };
            let unused =
                if mistake(Mistake::InodeTorn) { kind } else { KindWord { kind: Kind::Free, ..kind } };
            let mut bytes = inode::encode(unused, 0, new.root, new.size, birth);
            inode::dress(&mut bytes, new.modified.unwrap_or(birth.created), new.identity);
            written = written.join(inode.write(store, &bytes)?);
        }
        let whole = region.fence(written)?;
        // The bodies went around the cache.
        for (inode, _) in &free {
            region.prefetch_for_store(inode.place);
        }
        let before = made.len();
        let mut flushed = Flushed::none();
        let mut failure = None;
        for ((inode, before), new) in free.into_iter().zip(all) {
            let kind = new.kind_word(before);
            match region.publish(inode.field(inode::at::KIND), kind.encode(inode.number), &whole) {
                Ok(stored) => flushed = flushed.join(region.flush(stored)),
                Err(error) => {
                    failure = Some(error);
                    break;
                }
            }
            made.push(Made { inode, generation: kind.generation });
        }
        region.add_u64(at::INODES_USED, (made.len() - before) as u64)?;
        failure.map_or(Ok(flushed), Err)
    }

    /// Free inodes, `wanted` of them, and the kind words of their last lives.
    fn find_free(store: &Store, wanted: usize) -> Result<Vec<(Inode, KindWord)>> {
        let region = &store.runtime.region;
        let used = region.load(at::INODES_USED)?;
        let limit = store.settings.inodes_max;
        if used.saturating_add(wanted as u64) > limit {
            let message = match wanted {
                1 => format!("all {limit} inodes of the pool are in use"),
                _ => format!("{wanted} inodes are wanted, and {used} of the pool's {limit} are in use"),
            };
            return Err(Error::new(ErrorKind::NoInodes, message));
        }
        let mut found = Vec::with_capacity(wanted);
        let mut capacity = Table::capacity(store)?;
        if used + 1 < capacity {
            let cursor = region.load(at::INODE_CURSOR)?.clamp(1, capacity - 1);
            let known = store.inodes_in_use.numbers();
            let free = usize::try_from(capacity - 1 - used).unwrap_or(wanted);
            for passed in [known, 0..0] {
                if found.len() < wanted.min(free) {
                    found.clear();
                    Table::scan(store, cursor..capacity, &passed, wanted, &mut found)?;
                    Table::scan(store, 1..cursor, &passed, wanted, &mut found)?;
                }
            }
        }
        while found.len() < wanted {
            Table::grow(store, capacity)?;
            let grown = Table::capacity(store)?;
            Table::scan(store, capacity.max(1)..grown, &(0..0), wanted, &mut found)?;
            capacity = grown;
        }
        Ok(found)
    }

    /// Adds the free ones of `numbers` to `found` until there are `wanted`, and has the next search go on behind the last. Passes
    /// over `known`, but looks at the first in any case: there the cursor is, where somebody else may have freed one.
    fn scan(
        store: &Store,
        numbers: Range<u64>,
        known: &Range<u64>,
        wanted: usize,
        found: &mut Vec<(Inode, KindWord)>,
    ) -> Result<()> {
        let mut number = numbers.start;
        while number < numbers.end && found.len() < wanted {
            if known.contains(&number) && number > numbers.start {
                number = known.end;
                continue;
            }
            let inode = Table::get(store, InodeNumber(number))?;
            match inode.kind(store) {
                Ok(kind) if kind.kind == Kind::Free => {
                    found.push((inode, kind));
                    if found.len() as u64 % INODES_PER_BLOCK == 1 {
                        store.runtime.progress()?;
                    }
                    if found.len() == wanted {
                        store.runtime.region.store_u64(at::INODE_CURSOR, number + 1)?;
                    }
                }
                // A damaged one may be in use.
                Err(error) if error.kind() != ErrorKind::Corrupt => return Err(error),
                _ => {}
            }
            number += 1;
        }
        store.inodes_in_use.note(numbers.start..number.max(numbers.start));
        Ok(())
    }

    /// Adds blocks of free inodes, zeros, at the end.
    pub(crate) fn grow(store: &Store, capacity: u64) -> Result<()> {
        let table = Table::inode(store)?;
        let _held = table.lock(store)?;
        let region = &store.runtime.region;
        let mut reservation = store.space.reserve(GROWTH_BLOCKS, Purpose::Release)?;
        let mut start = capacity / INODES_PER_BLOCK;
        let end = start + GROWTH_BLOCKS;
        while start < end {
            let run = store.space.allocate(&mut reservation, end - start, None)?;
            let taken = (0..run.blocks).map(|block| run.first.add(block));
            let content = Content::Blocks { first: run.first, unwritten: false };
            let change = Change { start: FileBlock(start), blocks: run.blocks, content };
            let staged = region.zero(run.first.offset(), run.blocks * BLOCK_SIZE).and_then(|zeroed| {
                let tree = Tree::of(&store.space, table.place)?;
                Ok((stage(&store.space, &tree, &[change], RECORDS_MAX - 1, Purpose::Release)?, zeroed))
            });
            let (staged, zeroed) = staged.inspect_err(|_| {
                store.space.give_back(&taken.clone().collect::<Vec<_>>());
            })?;
            start += run.blocks;
            let value = inode::encode_size(start * BLOCK_SIZE, table.number);
            let size = Record { place: table.field(inode::at::SIZE), value };
            staged.with_fresh(taken).commit_atomic(store, region.flush(zeroed), &[size])?;
        }
        Ok(())
    }

    /// Makes an inode free, durably, and gives back what it held. Nobody names it or has it open; the caller holds its lock, and
    /// has begun a change of it if it has ever been open.
    pub(crate) fn free(store: &Store, inode: &Inode) -> Result<()> {
        let region = &store.runtime.region;
        let kind = inode.kind(store)?;
        let root = match Tree::of(&store.space, inode.place) {
            Ok(tree) => tree.root,
            Err(error) if error.kind() == ErrorKind::Corrupt => {
                tracing::error!(%error, inode = inode.number.0, "an inode without links keeps blocks counted");
                None
            }
            Err(error) => return Err(error),
        };
        let free = KindWord { kind: Kind::Free, snapshot: false, generation: kind.generation };
        let ready = region.fence(Flushed::none())?;
        let stored = region.publish(inode.field(inode::at::KIND), free.encode(inode.number), &ready)?;
        region.fence(region.flush(stored))?;
        region.sub_u64(at::INODES_USED, 1)?;
        region.store_u64(at::INODE_CURSOR, region.load(at::INODE_CURSOR)?.min(inode.number.0))?;
        store.inodes_in_use.freed(inode.number.0);
        match root {
            Some(root) => store.space.lower_all(&[crate::space::Reference::of_root(root)]),
            None => Ok(()),
        }
    }
}

/// An inode that has been made, and which of its lives began.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Made {
    pub(crate) inode: Inode,
    pub(crate) generation: u32,
}

/// What a new inode is to be.
pub(crate) struct NewInode {
    pub(crate) kind: Kind,
    /// Part of a snapshot: never written.
    pub(crate) snapshot: bool,
    /// The root word; what it names has been raised for this.
    pub(crate) root: u64,
    pub(crate) size: u64,
    /// The inode it is cloned from, 0 for none.
    pub(crate) origin: InodeNumber,
    /// The scope of a snapshot's top directory, otherwise 0.
    pub(crate) attribute: u64,
    /// Nanoseconds since 1970, if not now.
    pub(crate) created: Option<u64>,
    /// Nanoseconds since 1970, if not when it was created.
    pub(crate) modified: Option<u64>,
    /// What names a received snapshot everywhere; zeros for everything else.
    pub(crate) identity: [u8; 16],
}

impl NewInode {
    fn kind_word(&self, before: KindWord) -> KindWord {
        let generation = before.generation.wrapping_add(1);
        KindWord { kind: self.kind, snapshot: self.snapshot, generation }
    }

    /// An empty file or directory.
    pub(crate) const fn empty(kind: Kind) -> NewInode {
        NewInode {
            kind,
            snapshot: false,
            root: 0,
            size: 0,
            origin: InodeNumber(0),
            attribute: 0,
            created: None,
            modified: None,
            identity: [0; 16],
        }
    }
}
