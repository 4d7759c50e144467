//! A pool's bytes in memory: only the blocks that hold anything, and a form of them small enough to keep in the tree.
//!
//! ```text
//! packed   length of the pool u64
//!          for each block   number u32, bytes that follow u16, then runs: zeros u16, others u16, the others
//! ```

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read;
use std::os::unix::fs::FileExt;
use std::path::Path;

use super::words::BLOCK;

const BLOCK_BYTES: usize = 4096;
/// Bytes before the first group.
const HEADER: u64 = 8 << 20;
/// Zeros that end a run of other bytes: a shorter stretch is cheaper left in.
const GAP: usize = 4;

/// The bytes of a pool.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Image {
    len: u64,
    blocks: BTreeMap<u64, Box<[u8; BLOCK_BYTES]>>,
}

fn within(at: u64) -> usize {
    usize::try_from(at % BLOCK).expect("less than a block")
}

impl Image {
    /// The bytes of the file at `path`.
    ///
    /// # Errors
    /// Where it cannot be read.
    pub fn load(path: &Path) -> std::io::Result<Image> {
        let mut file = File::open(path)?;
        let mut image = Image { len: file.metadata()?.len(), blocks: BTreeMap::new() };
        for block in 0..image.len / BLOCK {
            let mut bytes = Box::new([0; BLOCK_BYTES]);
            file.read_exact(&mut bytes[..])?;
            if *bytes != [0; BLOCK_BYTES] {
                image.blocks.insert(block, bytes);
            }
        }
        Ok(image)
    }

    /// Makes the file at `path` hold exactly these bytes.
    ///
    /// # Errors
    /// Where it cannot be written.
    pub fn store(&self, path: &Path) -> std::io::Result<()> {
        let file = File::options().write(true).create(true).truncate(true).open(path)?;
        file.set_len(self.len)?;
        self.blocks.iter().try_for_each(|(block, bytes)| file.write_all_at(&bytes[..], block * BLOCK))
    }

    /// As [`Image::store`], over another pool: the header area keeps its pages, which makes this and what follows cheaper.
    ///
    /// # Errors
    /// Where the file cannot be written.
    pub fn store_over(&self, path: &Path) -> std::io::Result<()> {
        let file = File::options().read(true).write(true).create(true).truncate(false).open(path)?;
        file.set_len(self.len.min(HEADER))?;
        file.set_len(self.len)?;
        let mut header = vec![0; usize::try_from(self.len.min(HEADER)).unwrap_or(0)];
        file.read_exact_at(&mut header, 0)?;
        for (block, found) in (0..).zip(header.chunks(BLOCK_BYTES)) {
            let wanted = self.blocks.get(&block).map_or(&[0; BLOCK_BYTES][..], |bytes| &bytes[..]);
            if found != &wanted[..found.len()] {
                file.write_all_at(&wanted[..found.len()], block * BLOCK)?;
            }
        }
        let above = self.blocks.range(HEADER / BLOCK..);
        above.into_iter().try_for_each(|(block, bytes)| file.write_all_at(&bytes[..], block * BLOCK))
    }

    /// Bytes of the pool.
    #[must_use]
    pub fn len(&self) -> u64 {
        self.len
    }

    /// Whether it has no bytes at all.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The blocks that hold anything.
    pub fn blocks(&self) -> impl Iterator<Item = u64> + '_ {
        self.blocks.keys().copied()
    }

    /// One byte; 0 beyond the end.
    #[must_use]
    pub fn byte(&self, at: u64) -> u8 {
        self.blocks.get(&(at / BLOCK)).map_or(0, |bytes| bytes[within(at)])
    }

    /// Stores one byte. Beyond the end there is nothing to store to.
    pub fn set_byte(&mut self, at: u64, byte: u8) {
        if at < self.len {
            self.blocks.entry(at / BLOCK).or_insert_with(|| Box::new([0; BLOCK_BYTES]))[within(at)] = byte;
        }
    }

    /// `count` bytes from `at` on.
    #[must_use]
    pub fn bytes(&self, at: u64, count: u64) -> Vec<u8> {
        let mut bytes = Vec::new();
        let end = at.saturating_add(count);
        let mut at = at;
        while at < end {
            let piece = (BLOCK - at % BLOCK).min(end - at);
            let (from, len) = (within(at), usize::try_from(piece).expect("at most a block"));
            match self.blocks.get(&(at / BLOCK)) {
                Some(block) => bytes.extend(&block[from..from + len]),
                None => bytes.resize(bytes.len() + len, 0),
            }
            at += piece;
        }
        bytes
    }

    /// Stores bytes.
    pub fn set_bytes(&mut self, at: u64, bytes: &[u8]) {
        let (mut at, mut rest) = (at, bytes);
        while !rest.is_empty() && at < self.len {
            let from = within(at);
            let (now, later) = rest.split_at(rest.len().min(BLOCK_BYTES - from));
            let block = self.blocks.entry(at / BLOCK).or_insert_with(|| Box::new([0; BLOCK_BYTES]));
            block[from..from + now.len()].copy_from_slice(now);
            at += now.len() as u64;
            rest = later;
        }
    }

    /// The 8-byte word at `at`, all in one block.
    #[must_use]
    pub fn word(&self, at: u64) -> u64 {
        let bytes = self.blocks.get(&(at / BLOCK)).and_then(|block| block[within(at)..].first_chunk());
        bytes.map_or(0, |bytes| u64::from_le_bytes(*bytes))
    }

    /// Stores an 8-byte word.
    pub fn set_word(&mut self, at: u64, word: u64) {
        self.set_bytes(at, &word.to_le_bytes());
    }

    /// The 4-byte word at `at`.
    #[must_use]
    pub fn half(&self, at: u64) -> u32 {
        let bytes = self.bytes(at, 4);
        bytes.first_chunk().map_or(0, |bytes| u32::from_le_bytes(*bytes))
    }

    /// Stores a 4-byte word.
    pub fn set_half(&mut self, at: u64, half: u32) {
        self.set_bytes(at, &half.to_le_bytes());
    }

    /// The small form.
    ///
    /// # Panics
    /// For a pool of more than 16 TiB.
    #[must_use]
    pub fn pack(&self) -> Vec<u8> {
        let mut packed = self.len.to_le_bytes().to_vec();
        for (&block, bytes) in &self.blocks {
            let runs = pack_block(bytes);
            packed.extend(u32::try_from(block).expect("a small pool").to_le_bytes());
            packed
                .extend(u16::try_from(runs.len()).expect("runs take little more than a block").to_le_bytes());
            packed.extend(runs);
        }
        packed
    }

    /// Reads the small form; nothing where it is none.
    #[must_use]
    pub fn unpack(packed: &[u8]) -> Option<Image> {
        let (len, mut rest) = packed.split_first_chunk()?;
        let mut image = Image { len: u64::from_le_bytes(*len), blocks: BTreeMap::new() };
        while !rest.is_empty() {
            let (block, after) = rest.split_first_chunk()?;
            let (count, after) = after.split_first_chunk()?;
            let (runs, after) = after.split_at_checked(u16::from_le_bytes(*count).into())?;
            image.blocks.insert(u32::from_le_bytes(*block).into(), unpack_block(runs)?);
            rest = after;
        }
        Some(image)
    }
}

fn pack_block(bytes: &[u8; BLOCK_BYTES]) -> Vec<u8> {
    let mut packed = Vec::new();
    let mut at = 0;
    while let Some(zeros) = bytes[at..].iter().position(|&byte| byte != 0) {
        let start = at + zeros;
        let others = bytes[start..].windows(GAP).position(|window| window.iter().all(|&byte| byte == 0));
        let end = others.map_or(BLOCK_BYTES, |others| start + others);
        for number in [zeros, end - start] {
            packed.extend(u16::try_from(number).expect("at most a block").to_le_bytes());
        }
        packed.extend(&bytes[start..end]);
        at = end;
    }
    packed
}

fn unpack_block(mut runs: &[u8]) -> Option<Box<[u8; BLOCK_BYTES]>> {
    let mut bytes = Box::new([0; BLOCK_BYTES]);
    let mut at = 0;
    while !runs.is_empty() {
        let (zeros, after) = runs.split_first_chunk()?;
        let (others, after) = after.split_first_chunk()?;
        let (run, after) = after.split_at_checked(u16::from_le_bytes(*others).into())?;
        at += usize::from(u16::from_le_bytes(*zeros));
        bytes.get_mut(at..at + run.len())?.copy_from_slice(run);
        at += run.len();
        runs = after;
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::Rng;

    #[test]
    fn an_image_comes_back_from_its_small_form() {
        let mut rng = Rng::new(5);
        let mut image = Image { len: 40 * BLOCK, blocks: BTreeMap::new() };
        for _ in 0..2000 {
            image.set_byte(
                rng.below(40) * BLOCK + rng.below(300) * 13,
                1 + u8::try_from(rng.below(255)).unwrap(),
            );
        }
        image.set_bytes(7 * BLOCK, &[9; BLOCK_BYTES]);
        image.set_word(image.len() - 8, u64::MAX);
        assert_eq!(Image::unpack(&image.pack()), Some(image.clone()));
        assert_eq!(Image::unpack(&image.pack()[..100]), None);
    }
}
