//! How much is copied at once: little where stores are scattered, more where they go on one after another.

use std::ops::Range;

use crate::units::CHUNK_BLOCKS;

/// By how much units grow while stores go on: a fault costs more than copying a few blocks that nobody wanted copied.
const GROWTH: u64 = 4;

/// What is known of where a mapping was stored to.
#[derive(Debug, Default)]
pub(super) struct Stride {
    /// The block after the last unit.
    next: u64,
    /// The length of the last unit, if that went on where the one before ended.
    run: u64,
}

impl Stride {
    /// The blocks to make the file's own when `block`, below `end`, is stored to, and whether that goes on where the last unit
    /// ended. `least` is the unit for stores that are scattered, a power of two. Units end where chunks do.
    pub(super) fn unit(&mut self, block: u64, end: u64, least: u64) -> (Range<u64>, bool) {
        let least = least.min(CHUNK_BLOCKS);
        let chunk_end = (block / CHUNK_BLOCKS + 1) * CHUNK_BLOCKS;
        self.run = if block == self.next { (self.run * GROWTH).clamp(1, CHUNK_BLOCKS) } else { 1 };
        let goes_on = self.run > 1;
        let unit = if self.run >= least {
            block..(block + self.run).min(chunk_end)
        } else {
            let start = block - block % least;
            start..start + least
        };
        self.next = unit.end;
        (unit.start..unit.end.min(end), goes_on)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_grow_while_stores_go_on_and_end_with_chunks() {
        let mut stride = Stride::default();
        let mut block = 100;
        assert_eq!(stride.unit(99, 2000, 1), (99..100, false));
        let mut lengths = Vec::new();
        while block < 2048 {
            let (unit, goes_on) = stride.unit(block, 2000, 1);
            assert!(goes_on && unit.start == block);
            lengths.push(unit.end - unit.start);
            block = if unit.end == 2000 { 2048 } else { unit.end };
        }
        assert_eq!(lengths, [4, 16, 64, 256, 72, 512, 512, 464]);
    }

    #[test]
    fn scattered_stores_take_the_least_unit_around_them() {
        let mut stride = Stride::default();
        assert_eq!(stride.unit(9, 100, 8), (8..16, false));
        assert_eq!(stride.unit(70, 100, 1), (70..71, false));
        assert_eq!(stride.unit(99, 100, 4), (96..100, false));
        assert_eq!(stride.unit(1000, 5000, 1 << 40), (512..1024, false));
        assert_eq!(stride.unit(2048, 5000, 1 << 40), (2048..2560, false));
    }
}
