//! Map entries and root words: the 8 bytes that name a block.
//!
//! ```text
//! map entry   63        48 47      40 39                         0
//!             | check 16 | flags 8  | block number 40            |      0 as a whole: a hole
//! root word   63        48 47    43 42    40 39                  0
//!             | check 16 | flags 5 | height 3 | block number 40   |      0 as a whole: an empty map
//! ```
//!
//! What a repair could not bring back it marks as lost: a word whose check fits and whose only flag says so. Nobody reads through
//! it, and it names no block.
//!
//! The entry of a node at level L names a block at level L-1; a block at level 0 holds data. A root of height H names a
//! block at level H, so that a file of one block needs no node. The check of a map entry covers its level and its slot in the node, not the node itself: a node can
//! be shared by files at different offsets.

use super::word::{self, Salt};
use crate::units::BlockNumber;

/// Entries in a map node.
pub(crate) const NODE_ENTRIES: u64 = 512;
/// The greatest height: 512^4 blocks are 2^48 bytes, what the size word can say.
pub(crate) const HEIGHT_MAX: u8 = 4;

const BLOCK_BITS: u32 = 40;
const BLOCK_MASK: u64 = (1 << BLOCK_BITS) - 1;
const PRESENT: u64 = 1;
const UNWRITTEN: u64 = 2;
const HEIGHT_BITS: u32 = 3;
/// What the word named is lost, and nothing is behind it.
const LOST: u64 = 8;

/// A block that a word names, and whether it has been written.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Entry {
    /// The block.
    pub(crate) block: BlockNumber,
    /// Allocated and never written: reads as zeros. Only at level 0.
    pub(crate) unwritten: bool,
}

/// The root of an extent map: an entry and the level of the block it names.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Root {
    /// The block at the top.
    pub(crate) entry: Entry,
    /// Its level; 0 when it is the file's only data block.
    pub(crate) height: u8,
}

impl Entry {
    /// A written block or a node.
    pub(crate) const fn of(block: BlockNumber) -> Entry {
        Entry { block, unwritten: false }
    }

    const fn flags(self) -> u64 {
        if self.unwritten { PRESENT | UNWRITTEN } else { PRESENT }
    }

    const fn from_parts(block: u64, flags: u64, level: u8) -> Option<Entry> {
        let unwritten = match flags {
            PRESENT => false,
            flags if flags == PRESENT | UNWRITTEN && level == 0 => true,
            _ => return None,
        };
        Some(Entry { block: BlockNumber(block), unwritten })
    }

    /// The word for slot `slot` of a node, naming a block at `level`.
    pub(crate) const fn encode(self, level: u8, slot: u64) -> u64 {
        word::seal(self.block.0 | self.flags() << BLOCK_BITS, Salt::MapEntry, place(level, slot))
    }

    /// Reads the word at slot `slot` of a node whose entries name blocks at `level`. `Ok(None)` is a hole.
    pub(crate) const fn decode(word: u64, level: u8, slot: u64) -> Result<Option<Entry>, BadWord> {
        if word == 0 {
            return Ok(None);
        }
        let Some(content) = word::open(word, Salt::MapEntry, place(level, slot)) else { return Err(BadWord) };
        match Entry::from_parts(content & BLOCK_MASK, content >> BLOCK_BITS, level) {
            Some(entry) => Ok(Some(entry)),
            None => Err(BadWord),
        }
    }
}

/// Whether `words` say, from slot `slot` of a node on, that the blocks from `first` on follow each other at level 0.
pub(crate) fn are_consecutive(words: &[u64], first: Entry, slot: u64) -> bool {
    let end = first.block.0 + words.len() as u64;
    let content = first.block.0 | first.flags() << BLOCK_BITS;
    words.last().is_some_and(|last| (last & BLOCK_MASK) + 1 == end)
        && (0..)
            .zip(words)
            .all(|(n, &word)| word == word::seal(content + n, Salt::MapEntry, place(0, slot + n)))
}

/// The first of `words`, a node or the beginning of one, that is no entry naming a block at `level` and no hole.
#[inline(always)]
pub(crate) fn first_bad(words: &[u64], level: u8) -> Option<usize> {
    let is_bad = |(slot, &word): (u64, &u64)| Entry::decode(word, level, slot).is_err();
    // One pass without a branch: that one is bad is rare, and which one it is can wait.
    let allowed = PRESENT | if level == 0 { UNWRITTEN } else { 0 };
    let strange = (0..).zip(words).fold(0, |strange, (slot, &word)| {
        let flags = (word & word::CONTENT_MASK) >> BLOCK_BITS;
        let differs = word::mismatch(word, Salt::MapEntry, place(level, slot))
            | (flags & !allowed)
            | (!flags & PRESENT);
        strange | if word == 0 { 0 } else { differs }
    });
    if strange == 0 { None } else { (0..).zip(words).position(is_bad) }
}

/// The block that a checked map entry names.
pub(crate) const fn block_of(word: u64) -> BlockNumber {
    BlockNumber(word & BLOCK_MASK)
}

impl Root {
    /// The word for an inode's root.
    pub(crate) const fn encode(self) -> u64 {
        let flags = self.height as u64 | self.entry.flags() << HEIGHT_BITS;
        word::seal(self.entry.block.0 | flags << BLOCK_BITS, Salt::Root, 0)
    }

    /// Reads a root word. `Ok(None)` is an empty map.
    pub(crate) const fn decode(word: u64) -> Result<Option<Root>, BadWord> {
        if word == 0 {
            return Ok(None);
        }
        let Some(content) = word::open(word, Salt::Root, 0) else { return Err(BadWord) };
        let flags = content >> BLOCK_BITS;
        let height = (flags & ((1 << HEIGHT_BITS) - 1)) as u8;
        if height > HEIGHT_MAX {
            return Err(BadWord);
        }
        match Entry::from_parts(content & BLOCK_MASK, flags >> HEIGHT_BITS, height) {
            Some(entry) => Ok(Some(Root { entry, height })),
            None => Err(BadWord),
        }
    }

    /// Blocks of the file that a map of this height can hold.
    pub(crate) const fn span(self) -> u64 {
        span(self.height)
    }
}

/// File blocks below a block at `level`.
pub(crate) const fn span(level: u8) -> u64 {
    1 << (9 * level as u32)
}

/// The word that says that what slot `slot` of a node named at `level` is lost.
pub(crate) const fn lost(level: u8, slot: u64) -> u64 {
    word::seal(LOST << BLOCK_BITS, Salt::MapEntry, place(level, slot))
}

/// The root word that says that the whole map is lost.
pub(crate) const LOST_ROOT: u64 = word::seal(LOST << HEIGHT_BITS << BLOCK_BITS, Salt::Root, 0);

const fn place(level: u8, slot: u64) -> u64 {
    slot << 3 | level as u64
}

/// A word whose check bits or flags do not fit.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct BadWord;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_and_roots_read_back_as_written() {
        for (block, unwritten) in [(BlockNumber(BLOCK_MASK), false), (BlockNumber(2048), true)] {
            let entry = Entry { block, unwritten };
            assert_eq!(Entry::decode(entry.encode(0, 511), 0, 511), Ok(Some(entry)));
            assert_eq!(Entry::decode(entry.encode(0, 511), 0, 510), Err(BadWord));
            assert_eq!(Entry::decode(entry.encode(0, 511), 1, 511), Err(BadWord));
        }
        for height in 0..=HEIGHT_MAX {
            let root = Root { entry: Entry::of(BlockNumber(4096)), height };
            assert_eq!(Root::decode(root.encode()), Ok(Some(root)));
        }
    }

    #[test]
    fn a_pass_over_a_node_finds_what_reading_each_entry_would() {
        let good = |level: u8, slot: u64| Entry::of(BlockNumber(7 + slot)).encode(level, slot);
        let unwritten = Entry { block: BlockNumber(9), unwritten: true }.encode(0, 5);
        for level in 0..HEIGHT_MAX {
            let mut words: Vec<u64> = (0..NODE_ENTRIES).map(|slot| good(level, slot)).collect();
            words[3] = 0;
            assert_eq!(first_bad(&words, level), None);
            let strange = |flags: u64| word::seal(9 | flags << BLOCK_BITS, Salt::MapEntry, place(level, 5));
            let others =
                [unwritten, lost(level, 5), good(level, 4), good(level + 1, 5), strange(0), strange(2)];
            let flips = (0..64).map(|bit| good(level, 5) ^ 1 << bit);
            for word in flips.chain(others) {
                words[5] = word;
                let bad = Entry::decode(word, level, 5).is_err();
                assert_eq!(first_bad(&words, level), bad.then_some(5), "level {level} word {word:#x}");
            }
        }
    }

    #[test]
    fn what_is_lost_is_neither_a_hole_nor_a_block() {
        assert_eq!(Entry::decode(lost(1, 7), 1, 7), Err(BadWord));
        assert_eq!(Root::decode(LOST_ROOT), Err(BadWord));
    }

    #[test]
    fn a_node_cannot_be_unwritten() {
        let entry = Entry { block: BlockNumber(9), unwritten: true };
        assert_eq!(Entry::decode(entry.encode(1, 3), 1, 3), Err(BadWord));
    }
}
