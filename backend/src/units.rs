//! Units of the pool: blocks, chunks, offsets and numbers, each a type of its own.
//!
//! A pool offset, a file offset and a block number are all 64-bit numbers; mixing them up is the classic bug of a file
//! system. They are distinct types here and convert only where the conversion means something.

use std::fmt;

/// Bytes in a block, the unit of allocation and sharing.
pub const BLOCK_SIZE: u64 = 4096;
/// Bytes in a block, for buffers.
pub const BLOCK_BYTES: usize = 4096;
/// Bytes in a chunk: the alignment of everything large, and the huge page of the hardware.
pub const CHUNK_SIZE: u64 = 2 << 20;
/// Blocks in a chunk.
pub const CHUNK_BLOCKS: u64 = CHUNK_SIZE / BLOCK_SIZE;

/// A place in the pool, in bytes from its start.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct PoolOffset(pub u64);

/// The number of a block of the pool: its offset divided by the block size. At most 40 bits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct BlockNumber(pub u64);

/// The index of a block within a file: the file offset divided by the block size.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct FileBlock(pub u64);

/// The number of an inode. At most 40 bits; 0 names nothing.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct InodeNumber(pub u64);

impl PoolOffset {
    /// The place `bytes` further on.
    #[must_use]
    pub const fn add(self, bytes: u64) -> PoolOffset {
        PoolOffset(self.0.wrapping_add(bytes))
    }

    /// The block that holds this place.
    #[must_use]
    pub const fn block(self) -> BlockNumber {
        BlockNumber(self.0 / BLOCK_SIZE)
    }
}

impl BlockNumber {
    /// The place of the first byte of the block.
    #[must_use]
    pub const fn offset(self) -> PoolOffset {
        PoolOffset(self.0.wrapping_mul(BLOCK_SIZE))
    }

    /// The block `blocks` further on.
    #[must_use]
    pub const fn add(self, blocks: u64) -> BlockNumber {
        BlockNumber(self.0.wrapping_add(blocks))
    }
}

impl FileBlock {
    /// The block that holds the byte at `offset` of the file.
    #[must_use]
    pub const fn of(offset: u64) -> FileBlock {
        FileBlock(offset / BLOCK_SIZE)
    }

    /// The file offset of the first byte of the block.
    #[must_use]
    pub const fn offset(self) -> u64 {
        self.0 * BLOCK_SIZE
    }
}

macro_rules! debug_as_number {
    ($($unit:ident => $format:literal),*) => {$(
        impl fmt::Debug for $unit {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, $format, self.0)
            }
        }
        impl fmt::Display for $unit {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, $format, self.0)
            }
        }
    )*};
}
debug_as_number!(PoolOffset => "pool offset {:#x}", BlockNumber => "block {}", FileBlock => "file block {}", InodeNumber => "inode {}");

/// Blocks that hold `bytes` bytes, the last one perhaps partly.
#[must_use]
pub const fn blocks_for(bytes: u64) -> u64 {
    bytes.div_ceil(BLOCK_SIZE)
}
