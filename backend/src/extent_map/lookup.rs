//! Looking up a file block, and walking what is mapped.

use crate::error::{Error, Result};
use crate::format::entry::{BadWord, Entry, NODE_ENTRIES, Root, span};
use crate::format::inode::{at, field};
use crate::space::Space;
use crate::units::{BLOCK_SIZE, BlockNumber, FileBlock, PoolOffset};

/// The extent map below one root word, as it was read.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Tree {
    /// Where the root word lies.
    pub(crate) slot: PoolOffset,
    /// The root word.
    pub(crate) root: Option<Root>,
}

/// What is mapped at a place: contiguous blocks of one kind.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Mapped {
    pub(crate) block: BlockNumber,
    pub(crate) unwritten: bool,
    /// Nobody else refers to these blocks: they may be written in place.
    pub(crate) exclusive: bool,
}

/// What lies at a file block, and for how many blocks the same holds.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Found {
    /// Nothing: a hole.
    pub(crate) mapped: Option<Mapped>,
    /// Blocks, at least 1.
    pub(crate) blocks: u64,
}

impl Tree {
    /// Reads the root word of the inode at `inode`.
    #[inline]
    pub(crate) fn of(space: &Space, inode: PoolOffset) -> Result<Tree> {
        let slot = field(inode, at::ROOT);
        Tree::from_word(slot, space.runtime.region.load(slot)?)
    }

    /// A root word read before.
    #[inline]
    pub(crate) fn from_word(slot: PoolOffset, word: u64) -> Result<Tree> {
        match Root::decode(word) {
            Ok(root) => Ok(Tree { slot, root }),
            Err(BadWord) => Err(bad_root(slot, word)),
        }
    }

    /// File blocks this tree can hold.
    pub(crate) fn span(&self) -> u64 {
        self.root.map_or(0, Root::span)
    }

    /// What lies at `at` and for how many blocks, up to `limit`. With `counts`, says too whether it is exclusive, and
    /// stops where that changes; without, `exclusive` is false.
    #[inline]
    pub(crate) fn find(&self, space: &Space, at: FileBlock, limit: u64, counts: bool) -> Result<Found> {
        let limit = limit.max(1);
        let Some(root) = self.root else { return Ok(Found { mapped: None, blocks: limit }) };
        if at.0 >= root.span() {
            return Ok(Found { mapped: None, blocks: limit });
        }
        space.check_block(root.entry.block, "root word")?;
        let mut place = Place { entry: root.entry, level: root.height, within: at.0, exclusive: counts };
        place.exclusive = counts && space.count(root.entry.block)? == 1;
        if counts {
            place.prefetch_shared(space);
        }
        while place.level > 1 {
            match place.descend(space)? {
                Ok(below) => place = below,
                Err(hole_blocks) => return Ok(Found { mapped: None, blocks: hole_blocks.min(limit) }),
            }
            if counts {
                place.prefetch_shared(space);
            }
        }
        if place.level == 0 {
            let Entry { block, unwritten } = place.entry;
            return Ok(Found {
                mapped: Some(Mapped { block, unwritten, exclusive: place.exclusive }),
                blocks: 1,
            });
        }
        place.run(space, limit)
    }

    /// The node of `level` that holds `at`, if the tree has one there.
    pub(crate) fn node_at(&self, space: &Space, at: FileBlock, level: u8) -> Result<Option<BlockNumber>> {
        let Some(root) = self.root.filter(|root| at.0 < root.span() && root.height >= level) else {
            return Ok(None);
        };
        space.check_block(root.entry.block, "root word")?;
        let mut place = Place { entry: root.entry, level: root.height, within: at.0, exclusive: false };
        while place.level > level {
            match place.descend(space)? {
                Ok(below) => place = below,
                Err(_) => return Ok(None),
            }
        }
        Ok(Some(place.entry.block))
    }

    /// The first place at or after `from` where something is mapped, and what; nothing beyond `end`.
    pub(crate) fn next_mapped(
        &self,
        space: &Space,
        from: FileBlock,
        end: FileBlock,
    ) -> Result<Option<(FileBlock, Found)>> {
        let mut at = from;
        while at.0 < end.0.min(self.span()) {
            let found = self.find(space, at, end.0 - at.0, false)?;
            if found.mapped.is_some() {
                return Ok(Some((at, found)));
            }
            at = FileBlock(at.0 + found.blocks);
        }
        Ok(None)
    }

    /// Data blocks that are mapped, written or not.
    pub(crate) fn allocated_blocks(&self, space: &Space) -> Result<u64> {
        let end = FileBlock(self.span());
        let (mut at, mut total) = (FileBlock(0), 0);
        while let Some((place, found)) = self.next_mapped(space, at, end)? {
            total += found.blocks;
            at = FileBlock(place.0 + found.blocks);
        }
        Ok(total)
    }
}

/// A block on the way down, and where in the file part below it the wanted block lies.
struct Place {
    entry: Entry,
    level: u8,
    within: u64,
    exclusive: bool,
}

impl Place {
    /// Who asks for counts is about to write, which copies nodes that are shared: their lines come while the data is stored.
    #[inline]
    fn prefetch_shared(&self, space: &Space) {
        if self.exclusive || self.level == 0 {
            return;
        }
        space.runtime.region.prefetch_range(self.entry.block.offset(), BLOCK_SIZE);
    }

    /// One level down, or how many blocks from here on are a hole.
    #[inline]
    fn descend(&self, space: &Space) -> Result<Result<Place, u64>> {
        let child_span = span(self.level - 1);
        let (slot, within) = (self.within / child_span, self.within % child_span);
        match load_entry(space, self.entry.block, self.level - 1, slot)? {
            Some(entry) => {
                space.check_block(entry.block, "map entry")?;
                let exclusive = self.exclusive && space.count(entry.block)? == 1;
                Ok(Ok(Place { entry, level: self.level - 1, within, exclusive }))
            }
            None => Ok(Err(self.empty_slots(space, slot)? * child_span - within)),
        }
    }

    /// Slots from `slot` on, itself a hole, that are holes.
    #[cold]
    fn empty_slots(&self, space: &Space, slot: u64) -> Result<u64> {
        let mut next = slot + 1;
        while next < NODE_ENTRIES && load_entry(space, self.entry.block, self.level - 1, next)?.is_none() {
            next += 1;
        }
        Ok(next - slot)
    }

    /// The run of like entries in a leaf node.
    #[inline]
    fn run(&self, space: &Space, limit: u64) -> Result<Found> {
        let node = self.entry.block;
        let kind = |slot: u64| -> Result<Option<Mapped>> {
            let Some(entry) = load_entry(space, node, 0, slot)? else { return Ok(None) };
            space.check_block(entry.block, "map entry")?;
            let exclusive = self.exclusive && space.count(entry.block)? == 1;
            Ok(Some(Mapped { block: entry.block, unwritten: entry.unwritten, exclusive }))
        };
        let mapped = kind(self.within)?;
        let most = limit.min(NODE_ENTRIES - self.within);
        let mut blocks = 1;
        while blocks < most {
            let expected = mapped.map(|mapped| Mapped { block: mapped.block.add(blocks), ..mapped });
            if kind(self.within + blocks)? != expected {
                break;
            }
            blocks += 1;
        }
        Ok(Found { mapped, blocks })
    }
}

/// Reads the entry at `slot` of `node`, which names a block at `level`.
#[inline]
pub(super) fn load_entry(space: &Space, node: BlockNumber, level: u8, slot: u64) -> Result<Option<Entry>> {
    let place = node.offset().add(slot * 8);
    let word = space.runtime.region.load(place)?;
    Entry::decode(word, level, slot).map_err(|BadWord| bad_entry(place, level, word))
}

#[cold]
fn bad_root(slot: PoolOffset, word: u64) -> Error {
    Error::corrupt("root word", slot, "a checked word", format_args!("{word:#018x}"))
}

/// A word of the node at `level` + 1 that is no entry.
#[cold]
pub(super) fn bad_entry(place: PoolOffset, level: u8, word: u64) -> Error {
    let expected = format_args!("a checked word of level {level}");
    Error::corrupt("map entry", place, expected, format_args!("{word:#018x}"))
}
