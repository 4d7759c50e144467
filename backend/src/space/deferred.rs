//! References that wait for a barrier: on a page medium what a publish drops stays counted until the publish is durable.
//!
//! ```text
//! runtime header -> block -> block -> ...      one list for all members
//!   0  next block
//!   8  entries           how many count
//!  16  references        as in a ledger
//! ```
//!
//! The list lies in the pool: one barrier, by whoever needs the space, is good for what all members have dropped.
//! [`at::SETTLING`] is held from taking the list to the last lowered reference, so that whoever finds no space and then the
//! lock knows that nothing is on its way back. A member that dies in between leaves counts too high until the next rebuild.

use super::ledger::{decode, encode};
use super::{Purpose, Reference, Space};
use crate::error::{Error, Result};
use crate::runtime::at;
use crate::units::{BLOCK_BYTES, BLOCK_SIZE, BlockNumber};

const NEXT: u64 = 0;
const COUNT: u64 = 8;
const REFERENCES: u64 = 16;
const REFERENCES_PER_BLOCK: u64 = (BLOCK_SIZE - REFERENCES) / 8;

/// The list as it was when it was taken, into ordinary memory.
#[derive(Default)]
struct Taken {
    blocks: Vec<BlockNumber>,
    references: Vec<Reference>,
}

impl Space {
    /// Lowers `references` once the publish that dropped them is durable: at the next [`Space::settle`] of any member. That
    /// publish has been made: the only failure is that nothing can be made durable any more.
    pub(crate) fn drop_later(&self, references: &[Reference]) -> Result<()> {
        if references.is_empty() {
            return Ok(());
        }
        let mut noted = 0;
        {
            let _list = self.runtime.lock(at::DEFERRED_LOCK)?;
            for &reference in references {
                if !self.defer(reference)? {
                    break;
                }
                noted += 1;
            }
            self.runtime.region.add_u64(at::DEFERRED_COUNT, noted as u64)?;
        }
        let rest = &references[noted..];
        if rest.is_empty() {
            return Ok(());
        }
        // No block for a longer list is free: a barrier now serves this and what waits.
        self.settle()?;
        if let Err(error) = self.lower_all(rest) {
            tracing::error!(%error, "references that were dropped stay counted");
        }
        Ok(())
    }

    /// References waiting for a barrier, of all members.
    pub(crate) fn deferred(&self) -> Result<u64> {
        self.runtime.region.load(at::DEFERRED_COUNT)
    }

    /// Makes everything stored so far durable, whoever stored it, then lowers what waited for that.
    pub(crate) fn settle(&self) -> Result<()> {
        let region = &self.runtime.region;
        if self.deferred()? == 0 {
            return region.barrier().map(drop);
        }
        let _settling = self.runtime.lock(at::SETTLING)?;
        let taken = {
            let _list = self.runtime.lock(at::DEFERRED_LOCK)?;
            let taken = self.read_list()?;
            region.store_u64(at::DEFERRED, 0)?;
            taken
        };
        // After a failure the pool is read-only: what was taken stays counted until it is opened anew.
        region.barrier()?;
        let lowered = self.lower_all(&taken.references);
        self.give_back(&taken.blocks);
        region.sub_u64(at::DEFERRED_COUNT, taken.references.len() as u64)?;
        lowered
    }

    /// The blocks of the list and what it names: references that no map holds. The gate is closed.
    pub(crate) fn deferred_blocks(&self) -> Result<Vec<BlockNumber>> {
        let Taken { mut blocks, references } = self.read_list()?;
        blocks.extend(references.into_iter().map(|reference| reference.block));
        Ok(blocks)
    }

    /// Notes one reference at the head of the list; false where that needs a block and none is free.
    fn defer(&self, reference: Reference) -> Result<bool> {
        let region = &self.runtime.region;
        let mut head = BlockNumber(region.load(at::DEFERRED)?);
        let mut count = match head.0 {
            0 => REFERENCES_PER_BLOCK,
            _ => region.load(head.offset().add(COUNT))?,
        };
        if count >= REFERENCES_PER_BLOCK {
            #[cfg(feature = "sim")]
            if super::refuse::refused(Purpose::Release) {
                return Ok(false);
            }
            let Some(mut reservation) = self.try_reserve(1, Purpose::Release)? else { return Ok(false) };
            let block = self.allocate_one(&mut reservation)?;
            let zeroed = self.runtime.zero_volatile(block.offset(), BLOCK_BYTES as u64);
            if zeroed.and_then(|()| region.store_u64(block.offset().add(NEXT), head.0)).is_err() {
                // The host is full, or the block is bad.
                self.give_back(&[block]);
                return Ok(false);
            }
            region.store_u64(at::DEFERRED, block.0)?;
            (head, count) = (block, 0);
        }
        region.store_u64(head.offset().add(REFERENCES + count * 8), encode(reference))?;
        region.store_u64(head.offset().add(COUNT), count + 1)?;
        Ok(true)
    }

    fn read_list(&self) -> Result<Taken> {
        let region = &self.runtime.region;
        let limit = self.pool_blocks()?;
        let mut taken = Taken::default();
        let mut block = BlockNumber(region.load(at::DEFERRED)?);
        while block.0 != 0 {
            self.check_block(block, "list of dropped references")?;
            if taken.blocks.len() as u64 > limit {
                return Err(Error::corrupt("list of dropped references", block, "an end", "a loop"));
            }
            let count = region.load(block.offset().add(COUNT))?.min(REFERENCES_PER_BLOCK);
            for index in 0..count {
                let word = region.load(block.offset().add(REFERENCES + index * 8))?;
                taken.references.extend(decode(word));
            }
            taken.blocks.push(block);
            block = BlockNumber(region.load(block.offset().add(NEXT))?);
        }
        Ok(taken)
    }
}
