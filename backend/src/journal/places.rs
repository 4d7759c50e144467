//! Where the blocks of a file lie that never move: found once, then known without a walk of the map or a lock.
//!
//! ```text
//! leaf     256 places, one a file block; the first leaf is always there
//! shelf k  2^k leaves, from leaf number 2^k on, made when the first of them is needed
//! ```

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::units::{FileBlock, PoolOffset};

const LEAF: usize = 256;
const SHELVES: usize = (usize::BITS - LEAF.ilog2()) as usize;

/// Places by file block; 0: not known.
type Leaf = [AtomicU64; LEAF];
type Shelf = Box<[OnceLock<Box<Leaf>>]>;

/// The places of one file's blocks.
pub(crate) struct Places {
    first: Leaf,
    shelves: [OnceLock<Shelf>; SHELVES],
}

impl Default for Places {
    fn default() -> Places {
        Places { first: empty_leaf(), shelves: [const { OnceLock::new() }; SHELVES] }
    }
}

impl Places {
    /// The place of `block`, if it is known.
    #[inline]
    pub(crate) fn get(&self, block: FileBlock) -> Option<PoolOffset> {
        let index = usize::try_from(block.0).ok()?;
        let slot = match self.first.get(index) {
            Some(slot) => slot,
            None => self.far(index)?,
        };
        let place = slot.load(Ordering::Relaxed);
        (place != 0).then_some(PoolOffset(place))
    }

    /// Remembers the place of `block`, which must not move while this lives. Takes memory by the greatest block: 16 to 32 bytes for
    /// every 256 before it.
    pub(crate) fn remember(&self, block: FileBlock, place: PoolOffset) {
        let Ok(index) = usize::try_from(block.0) else { return };
        let slot = match self.first.get(index) {
            Some(slot) => slot,
            None => {
                let (shelf, leaf) = shelf_and_leaf(index);
                let leaves = self.shelves[shelf].get_or_init(|| empty_shelf(shelf));
                &leaves[leaf].get_or_init(|| Box::new(empty_leaf()))[index % LEAF]
            }
        };
        slot.store(place.0, Ordering::Relaxed);
    }

    fn far(&self, index: usize) -> Option<&AtomicU64> {
        let (shelf, leaf) = shelf_and_leaf(index);
        Some(&self.shelves.get(shelf)?.get()?[leaf].get()?[index % LEAF])
    }
}

/// Which shelf has the leaf of block `index`, which is beyond the first leaf, and where on it.
fn shelf_and_leaf(index: usize) -> (usize, usize) {
    let leaf = index / LEAF;
    let shelf = leaf.ilog2() as usize;
    (shelf, leaf - (1 << shelf))
}

fn empty_leaf() -> Leaf {
    [const { AtomicU64::new(0) }; LEAF]
}

fn empty_shelf(shelf: usize) -> Shelf {
    (0..1_usize << shelf).map(|_| OnceLock::new()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_block_has_a_place_of_its_own() {
        let places = Places::default();
        let blocks = || (0..2_000).chain([65_535, 65_536, 65_537, 1 << 22, (1 << 22) + 255]).map(FileBlock);
        for block in blocks() {
            assert_eq!(places.get(block), None, "{block}");
            places.remember(block, PoolOffset((block.0 + 1) << 12));
        }
        for block in blocks() {
            assert_eq!(places.get(block), Some(PoolOffset((block.0 + 1) << 12)), "{block}");
        }
        assert_eq!((places.get(FileBlock(1 << 21)), places.get(FileBlock(u64::MAX))), (None, None));
    }
}
