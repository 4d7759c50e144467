//! The contents of one file of the reference model: a length and the blocks that were written.
//!
//! A block that is not in the map reads as zeros. The model knows three kinds of such blocks apart from data: holes and
//! unwritten blocks, which the file layer must not call data, and *vague* ones, where an operation leaves it to the
//! implementation whether zeros are stored or a hole is left (the edges of a zeroed range, for example).

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use daxcow::units::{BLOCK_BYTES, BLOCK_SIZE};

type Block = [u8; BLOCK_BYTES];

/// A sparse byte sequence. Bytes past the end are never kept.
#[derive(Clone, Default, Debug)]
pub struct Content {
    len: u64,
    blocks: BTreeMap<u64, Arc<Block>>,
    vague: BTreeSet<u64>,
}

/// One piece of a byte range that lies within one block.
struct Piece {
    block: u64,
    start: usize,
    len: usize,
}

/// The pieces of `len` bytes at `offset`, block by block.
fn pieces(offset: u64, len: u64) -> impl Iterator<Item = Piece> {
    let end = offset.saturating_add(len);
    let mut at = offset;
    std::iter::from_fn(move || {
        if at >= end {
            return None;
        }
        let block = at / BLOCK_SIZE;
        let stop = end.min((block + 1) * BLOCK_SIZE);
        let piece = Piece { block, start: index(at % BLOCK_SIZE), len: index(stop - at) };
        at = stop;
        Some(piece)
    })
}

/// A length or position within memory.
fn index(number: u64) -> usize {
    usize::try_from(number).expect("the model keeps no object larger than memory")
}

impl Content {
    /// Bytes in the file.
    #[must_use]
    pub fn len(&self) -> u64 {
        self.len
    }

    /// Whether the file has no bytes.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The numbers of the blocks that hold data.
    pub fn data_blocks(&self) -> impl Iterator<Item = u64> {
        self.blocks.keys().copied()
    }

    /// Whether the file layer may call this block data.
    #[must_use]
    pub fn may_be_data(&self, block: u64) -> bool {
        self.blocks.contains_key(&block) || self.vague.contains(&block)
    }

    /// Up to `len` bytes at `offset`; fewer at the end of the file.
    #[must_use]
    pub fn read(&self, offset: u64, len: usize) -> Vec<u8> {
        let left = self.len.saturating_sub(offset);
        let len = left.min(u64::try_from(len).unwrap_or(u64::MAX));
        let mut bytes = vec![0; index(len)];
        let mut filled = 0;
        for piece in pieces(offset, len) {
            if let Some(block) = self.blocks.get(&piece.block) {
                bytes[filled..filled + piece.len]
                    .copy_from_slice(&block[piece.start..piece.start + piece.len]);
            }
            filled += piece.len;
        }
        bytes
    }

    /// Stores `bytes` at `offset`; the file grows to hold them.
    pub fn write(&mut self, offset: u64, bytes: &[u8]) {
        let len = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
        let mut taken = 0;
        for piece in pieces(offset, len) {
            let target = self.block_mut(piece.block);
            target[piece.start..piece.start + piece.len].copy_from_slice(&bytes[taken..taken + piece.len]);
            taken += piece.len;
        }
        if len > 0 {
            self.len = self.len.max(offset + len);
        }
    }

    /// Cuts the file or extends it with zeros.
    pub fn set_len(&mut self, len: u64) {
        if len < self.len {
            let first_gone = len.div_ceil(BLOCK_SIZE);
            self.blocks.split_off(&first_gone);
            self.vague.split_off(&first_gone);
            if !len.is_multiple_of(BLOCK_SIZE) && self.blocks.contains_key(&(len / BLOCK_SIZE)) {
                let from = index(len % BLOCK_SIZE);
                self.block_mut(len / BLOCK_SIZE)[from..].fill(0);
            }
        }
        self.len = len;
    }

    /// Leaves open whether the block that the end of the file cuts holds zeros or is a hole.
    pub fn blur_end(&mut self) {
        if !self.len.is_multiple_of(BLOCK_SIZE) && !self.blocks.contains_key(&(self.len / BLOCK_SIZE)) {
            self.vague.insert(self.len / BLOCK_SIZE);
        }
    }

    /// The bytes of the range become zeros; whether blocks stay is left open. The length stays.
    pub fn zero(&mut self, offset: u64, len: u64) {
        self.erase(offset, len.min(self.len.saturating_sub(offset)), true);
    }

    /// The range becomes a hole; blocks it covers in part keep their other bytes. The length stays.
    pub fn punch(&mut self, offset: u64, len: u64) {
        self.erase(offset, len, false);
    }

    fn erase(&mut self, offset: u64, len: u64, leaves_vague: bool) {
        let end = offset.saturating_add(len);
        let touched: Vec<u64> = match (offset / BLOCK_SIZE, end.div_ceil(BLOCK_SIZE)) {
            (first, stop) if leaves_vague => (first..stop).collect(),
            (first, stop) => self.blocks.range(first..stop).map(|(&block, _)| block).collect(),
        };
        for block in touched {
            let start = offset.max(block * BLOCK_SIZE) - block * BLOCK_SIZE;
            let stop = end.min((block + 1) * BLOCK_SIZE) - block * BLOCK_SIZE;
            let whole = stop - start == BLOCK_SIZE;
            if whole {
                self.blocks.remove(&block);
            } else if self.blocks.contains_key(&block) {
                self.block_mut(block)[index(start)..index(stop)].fill(0);
            }
            if leaves_vague {
                self.vague.insert(block);
            } else if whole {
                self.vague.remove(&block);
            }
        }
        if !leaves_vague && len > 0 {
            let whole = offset.div_ceil(BLOCK_SIZE)..end / BLOCK_SIZE;
            self.vague.retain(|block| !whole.contains(block));
        }
    }

    /// Takes over `len` bytes of `source`: blocks and holes alike. Offsets are whole blocks.
    pub fn clone_range(&mut self, source: &Content, source_offset: u64, offset: u64, len: u64) {
        let (from, to) = (source_offset / BLOCK_SIZE, offset / BLOCK_SIZE);
        let count = len.div_ceil(BLOCK_SIZE);
        self.drop_blocks(to, to.saturating_add(count));
        for (&block, bytes) in source.blocks.range(from..from + count) {
            self.blocks.insert(to + (block - from), Arc::clone(bytes));
        }
        self.vague.extend(source.vague.range(from..from + count).map(|block| to + (block - from)));
        let end = offset + len;
        if !end.is_multiple_of(BLOCK_SIZE) && self.blocks.contains_key(&(end / BLOCK_SIZE)) {
            let tail = index(end % BLOCK_SIZE);
            self.block_mut(end / BLOCK_SIZE)[tail..].fill(0);
        }
        self.len = self.len.max(end);
    }

    /// Shares blocks with `source` if the bytes are the same, and says whether they are. Offsets are whole blocks. Where this
    /// stores zeros and the source does not, or perhaps not, a hole may be left.
    pub fn dedupe(&mut self, source: &Content, source_offset: u64, offset: u64, len: u64) -> bool {
        let bytes = index(len);
        if self.read(offset, bytes) != source.read(source_offset, bytes) {
            return false;
        }
        for block in offset / BLOCK_SIZE..(offset + len).div_ceil(BLOCK_SIZE) {
            let theirs = source_offset / BLOCK_SIZE + (block - offset / BLOCK_SIZE);
            if self.blocks.contains_key(&block) && !source.blocks.contains_key(&theirs) {
                self.blocks.remove(&block);
                self.vague.insert(block);
            }
        }
        true
    }

    fn drop_blocks(&mut self, first: u64, stop: u64) {
        let gone: Vec<u64> = self.blocks.range(first..stop).map(|(&block, _)| block).collect();
        gone.iter().for_each(|block| drop(self.blocks.remove(block)));
        self.vague.retain(|block| !(first..stop).contains(block));
    }

    /// Whether all bytes of the range are zeros.
    #[must_use]
    pub fn is_zero(&self, from: u64, to: u64) -> bool {
        if from >= to {
            return true;
        }
        let stop = to.div_ceil(BLOCK_SIZE);
        self.blocks.range(from / BLOCK_SIZE..stop).all(|(&block, bytes)| {
            let base = block * BLOCK_SIZE;
            let start = index(from.max(base) - base);
            let end = index(to.min(base + BLOCK_SIZE) - base);
            bytes[start.min(end)..end].iter().all(|&byte| byte == 0)
        })
    }

    /// The first difference in bytes or length from `other`, as a sentence.
    #[must_use]
    pub fn difference(&self, other: &Content) -> Option<String> {
        if self.len != other.len {
            return Some(format!("{} bytes long, not {}", other.len, self.len));
        }
        let zeros: Block = [0; BLOCK_BYTES];
        let blocks: BTreeSet<u64> = self.data_blocks().chain(other.data_blocks()).collect();
        blocks.into_iter().find_map(|block| {
            if let (Some(one), Some(two)) = (self.blocks.get(&block), other.blocks.get(&block))
                && Arc::ptr_eq(one, two)
            {
                return None;
            }
            let ours = self.blocks.get(&block).map_or(&zeros, |bytes| bytes);
            let theirs = other.blocks.get(&block).map_or(&zeros, |bytes| bytes);
            if ours == theirs {
                return None;
            }
            let at = ours.iter().zip(theirs).position(|(one, other)| one != other)?;
            let (one, other) = (ours[at], theirs[at]);
            Some(format!("byte {at} of block {block} is {other:#04x}, not {one:#04x}"))
        })
    }

    fn block_mut(&mut self, block: u64) -> &mut Block {
        self.vague.remove(&block);
        Arc::make_mut(self.blocks.entry(block).or_insert_with(|| Arc::new([0; BLOCK_BYTES])))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cutting_and_extending_reads_zeros() {
        let mut content = Content::default();
        content.write(4090, &[1; 20]);
        content.set_len(4095);
        content.set_len(5000);
        assert_eq!(content.read(4088, 10), [0, 0, 1, 1, 1, 1, 1, 0, 0, 0]);
    }

    #[test]
    fn a_punched_block_is_no_data_and_its_neighbours_keep_their_bytes() {
        let mut content = Content::default();
        content.write(0, &[7; 3 * 4096]);
        content.punch(4000, 4300);
        assert!(!content.may_be_data(1) && content.may_be_data(0) && content.may_be_data(2));
        assert_eq!(content.read(3999, 2), [7, 0]);
        assert_eq!(content.read(8299, 2), [0, 7]);
    }

    #[test]
    fn clones_take_holes_too_and_keep_their_own_copy() {
        let mut source = Content::default();
        source.write(4096, &[5; 4096]);
        let mut target = Content::default();
        target.write(0, &[9; 3 * 4096]);
        target.clone_range(&source, 0, 4096, 8192);
        source.write(4096, &[6; 1]);
        assert_eq!(target.read(4096, 1), [0]);
        assert_eq!(target.read(8192, 1), [5]);
        assert!(!target.may_be_data(1));
    }
}
