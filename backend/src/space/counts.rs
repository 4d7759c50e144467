//! Reference counts: one u32 a block, raised before the reference exists and lowered after it is durably gone.
//!
//! A count above 0 rises under [`at::RAISING`] only, and whoever lowers one has a reference of his own to take away. So a count of
//! 1 that is reached under that lock through the one node that names the block stays 1: nobody else has what it takes to lower it.

use smallvec::SmallVec;
use zerocopy::IntoBytes;

use super::Space;
use crate::error::{Error, ErrorKind, Result};
use crate::format::entry::Root;
use crate::format::layout::{self, FIRST_GROUP_BLOCK, GROUP_BLOCKS};
use crate::pmem::{Mistake, Region, mistake};
use crate::runtime::at;
use crate::units::{BlockNumber, CHUNK_BLOCKS, PoolOffset};

/// References that are still to be lowered; of the heap only where they are many.
pub(super) type Stack = SmallVec<[Reference; 8]>;

/// Counts above this are refused: room for raises in flight on many threads before the word would wrap.
pub(crate) const COUNT_MAX: u32 = u32::MAX - (1 << 16);

/// A reference to a block: which, and at what level of an extent map. Level 0 is data.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Reference {
    pub(crate) block: BlockNumber,
    pub(crate) level: u8,
    /// Only the block itself goes: what it refers to has moved to another node.
    pub(crate) shallow: bool,
}

impl Reference {
    /// A reference to a block and all below it.
    pub(crate) const fn deep(block: BlockNumber, level: u8) -> Reference {
        Reference { block, level, shallow: false }
    }

    /// A reference to a node whose children have moved.
    pub(crate) const fn shallow(block: BlockNumber) -> Reference {
        Reference { block, level: 0, shallow: true }
    }

    /// The reference that a root holds.
    pub(crate) const fn of_root(root: Root) -> Reference {
        Reference::deep(root.entry.block, root.height)
    }
}

/// The word and the shift of the free-blocks hint of the chunk that holds `block`.
pub(crate) const fn chunk_hint(block: BlockNumber) -> (PoolOffset, u32) {
    let within = block.0 - FIRST_GROUP_BLOCK;
    let chunk = within % GROUP_BLOCKS / CHUNK_BLOCKS;
    let table = layout::group_start(within / GROUP_BLOCKS).offset();
    (table.add(chunk / 2 * 4), (chunk % 2) as u32 * 16)
}

/// Blocks of a chunk, as its hint counts them.
fn hinted(blocks: u64) -> u32 {
    u32::try_from(blocks).unwrap_or(0)
}

/// Reads a node into ordinary memory.
pub(crate) fn read_node(region: &Region, node: BlockNumber) -> Result<Box<[u64; 512]>> {
    let mut words = Box::new([0_u64; 512]);
    region.read(node.offset(), words.as_mut_bytes())?;
    words.iter_mut().for_each(|word| *word = u64::from_le(*word));
    Ok(words)
}

impl Space {
    /// How many refer to `block`.
    #[inline]
    pub(crate) fn count(&self, block: BlockNumber) -> Result<u32> {
        if mistake(Mistake::SharingIgnored) {
            return Ok(1);
        }
        self.runtime.region.load_u32(layout::count(block))
    }

    /// Adds a reference to `block`, which has one already.
    pub(crate) fn raise(&self, block: BlockNumber) -> Result<()> {
        let _raising = self.runtime.lock(at::RAISING)?;
        // Who overwrites in place and knows what was exclusive asks for this under the lock, or the mark, that the caller has
        // for all whose path this is.
        self.runtime.region.add_u64(at::SHARINGS, 1)?;
        self.raise_one(block)
    }

    /// A number that changes before anything that was exclusive becomes shared.
    #[inline]
    pub(crate) fn sharings(&self) -> Result<u64> {
        self.runtime.region.load(at::SHARINGS)
    }

    /// As [`Space::raise`], for who holds the lock.
    pub(super) fn raise_one(&self, block: BlockNumber) -> Result<()> {
        self.check_block(block, "reference")?;
        let place = layout::count(block);
        let before = self.runtime.region.add_u32(place, 1)?;
        if before == 0 || before >= COUNT_MAX {
            self.runtime.region.sub_u32(place, 1)?;
            return Err(if before == 0 {
                Error::corrupt("reference count", block, "at least 1", 0)
            } else {
                Error::new(
                    ErrorKind::TooManyLinks,
                    format!("{block} has {before} owners, the most a count can hold"),
                )
            });
        }
        Ok(())
    }

    /// Takes away references; the last one frees the block and lowers what it refers to. Damage below a node leaves what
    /// hangs there counted: a count that is too high loses space until the next rebuild, one too low would lose data.
    pub(crate) fn lower_all(&self, references: &[Reference]) -> Result<()> {
        if mistake(Mistake::NeverLowered) {
            return Ok(());
        }
        let mut stack = Stack::from_slice(references);
        let mut failure = None;
        while let Some(reference) = stack.pop() {
            if let Err(error) = self.lower(reference, &mut stack) {
                tracing::error!(%error, block = reference.block.0, "a reference could not be lowered");
                failure.get_or_insert(error);
            }
        }
        match failure {
            None => Ok(()),
            Some(error) => {
                self.runtime.leave_doubt();
                Err(error)
            }
        }
    }

    fn lower(&self, reference: Reference, stack: &mut Stack) -> Result<()> {
        let Reference { block, level, shallow } = reference;
        self.check_block(block, "reference")?;
        let region = &self.runtime.region;
        let place = layout::count(block);
        loop {
            let count = region.load_u32(place)?;
            match count {
                0 => return Err(Error::corrupt("reference count", block, "at least 1", 0)),
                // The only reference is the caller's: nobody can raise it, and the node is still whole.
                1 => {
                    if level > 0 {
                        self.runtime.progress()?;
                    }
                    let node = if level > 0 && !shallow { Some(read_node(region, block)?) } else { None };
                    self.free(block)?;
                    return match node {
                        Some(mut node) => self.lower_named(&mut node, level - 1, stack),
                        None => Ok(()),
                    };
                }
                // A shared node's children keep their other parent, so moving them away was never allowed.
                count => {
                    if region.cas_u32(place, count, count - 1)?.is_ok() {
                        return Ok(());
                    }
                }
            }
        }
    }

    /// Frees a block that only the caller refers to.
    ///
    /// A block whose memory was found lost is freed only if it can be used again; otherwise it stays counted, so that nobody is
    /// given it before the counts are rebuilt.
    pub(super) fn free(&self, block: BlockNumber) -> Result<()> {
        let region = &self.runtime.region;
        if !region.is_sound(block) && !region.replace_memory(block) {
            tracing::warn!(block = block.0, "a bad block is put out of use");
            return Ok(());
        }
        self.untake(block)?;
        self.runtime.region.add_u64(at::FREE_BLOCKS, 1)?;
        self.warm(block);
        Ok(())
    }

    /// Lets a block that only the caller refers to be found again; it stays promised to whoever had it promised. The hint is
    /// raised first: it may be too high for a moment, never too low.
    pub(super) fn untake(&self, block: BlockNumber) -> Result<()> {
        self.raise_hint(block, 1)?;
        self.runtime.region.store_u32(layout::count(block), 0)
    }

    /// Says that `blocks` more blocks of the chunk that holds `block` are about to be free.
    pub(super) fn raise_hint(&self, block: BlockNumber, blocks: u64) -> Result<()> {
        let (hint, shift) = chunk_hint(block);
        self.runtime.region.add_u32(hint, hinted(blocks) << shift).map(drop)
    }

    /// Says that so many blocks of that chunk are free no more.
    pub(super) fn lower_hint(&self, block: BlockNumber, blocks: u64) -> Result<()> {
        let (hint, shift) = chunk_hint(block);
        self.runtime.region.sub_u32(hint, hinted(blocks) << shift).map(drop)
    }
}
