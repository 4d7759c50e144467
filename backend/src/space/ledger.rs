//! Ledgers: references that die with the member, noted where a survivor finds them.
//!
//! ```text
//! slot -> ledger -> ledger -> ...          one for all pins, one for each open batch
//!   0  next ledger      block
//!   8  more             the next block of this ledger
//!  16  live             entries that count, over all blocks of the ledger
//!  24  entries          block 40 bits, level 8 bits, top bit set; 0: taken back
//! ```
//!
//! A batch clears its ledger's live word in the very transaction that publishes its blocks: from then on they belong to
//! the file and no longer to the member. Blocks that the transaction has replaced are noted next, some of them, for the next
//! batch: it takes them without a search, and a member that dies gives them back with the rest of its ledgers.

use smallvec::SmallVec;

use super::{Purpose, Reference, Space};
use crate::error::{Error, Result};
use crate::format::layout;
use crate::pmem::{Mistake, mistake};
use crate::runtime::Runtime;
use crate::units::{BLOCK_BYTES, BLOCK_SIZE, BlockNumber, PoolOffset};

const NEXT: u64 = 0;
const MORE: u64 = 8;
const LIVE: u64 = 16;
const ENTRIES: u64 = 24;
const ENTRIES_PER_BLOCK: u64 = (BLOCK_SIZE - ENTRIES) / 8;
const TAKEN: u64 = 1 << 63;
/// Unused blocks that a ledger keeps for the next batch.
const KEPT_MAX: usize = 16;

/// The ledgers of this process that are not in use, and the places of pins.
#[derive(Default)]
pub(super) struct Ledgers {
    idle: Vec<Ledger>,
    pins: Option<Ledger>,
    free_pins: Vec<u64>,
}

/// A list of references in the pool.
pub(crate) struct Ledger {
    blocks: Vec<BlockNumber>,
    live: u64,
    /// Blocks that nobody uses; the first entries name them, in this order.
    kept: Vec<BlockNumber>,
}

impl Ledger {
    /// The word that says how many entries count.
    pub(crate) fn live_word(&self) -> PoolOffset {
        self.blocks[0].offset().add(LIVE)
    }

    /// A block that was kept, for the owner of the ledger, which names it already.
    pub(crate) fn take_kept(&mut self) -> Option<BlockNumber> {
        self.kept.pop()
    }

    fn entry(&self, index: u64) -> Option<PoolOffset> {
        let block = usize::try_from(index / ENTRIES_PER_BLOCK).ok()?;
        Some(self.blocks.get(block)?.offset().add(ENTRIES + index % ENTRIES_PER_BLOCK * 8))
    }
}

/// What a walk over a member's ledgers finds.
enum Noted {
    /// A block of the ledger itself.
    Own(BlockNumber),
    /// What an entry names.
    Named(Reference),
}

/// A pinned root: its reference is noted in the ledger of pins.
#[must_use]
pub(crate) struct Pin {
    index: u64,
    reference: Reference,
}

impl Space {
    /// A ledger without entries, linked to this member's slot.
    pub(crate) fn open_ledger(&self) -> Result<Ledger> {
        let mut ledgers = self.ledgers.lock();
        match ledgers.idle.pop() {
            Some(ledger) => Ok(ledger),
            None => self.new_ledger(),
        }
    }

    /// Keeps an emptied ledger for the next batch.
    pub(crate) fn close_ledger(&self, ledger: Ledger) {
        self.ledgers.lock().idle.push(ledger);
    }

    /// Notes a reference that this member alone holds.
    pub(crate) fn note(&self, ledger: &mut Ledger, reference: Reference) -> Result<()> {
        let index = ledger.live;
        let place = self.entry_place(ledger, index)?;
        let region = &self.runtime.region;
        region.store_release(place, encode(reference))?;
        region.store_release(ledger.live_word(), index + 1)?;
        ledger.live = index + 1;
        Ok(())
    }

    /// Forgets all entries, and answers the blocks among them that were kept; the caller gives these back with the others.
    pub(crate) fn forget(&self, ledger: &mut Ledger) -> Result<Vec<BlockNumber>> {
        ledger.live = 0;
        self.runtime.region.store_release(ledger.live_word(), 0)?;
        Ok(std::mem::take(&mut ledger.kept))
    }

    /// Begins the ledger anew after the transaction that has cleared it, and lowers what that has `dropped`; blocks that
    /// nobody else refers to are kept for the next batch. Those that were kept before and not taken have their entries still.
    pub(crate) fn renew(&self, ledger: &mut Ledger, dropped: &[Reference]) -> Result<()> {
        let mut others: SmallVec<[Reference; 8]> = SmallVec::new();
        for &reference in dropped {
            let index = ledger.kept.len();
            if index < KEPT_MAX && self.is_reusable(reference) {
                let place = self.entry_place(ledger, index as u64)?;
                self.runtime.region.store_release(place, encode(Reference::deep(reference.block, 0)))?;
                ledger.kept.push(reference.block);
            } else {
                others.push(reference);
            }
        }
        ledger.live = ledger.kept.len() as u64;
        self.runtime.region.store_release(ledger.live_word(), ledger.live)?;
        self.lower_all(&others)
    }

    /// Whether nobody but the caller refers to the block, and nothing hangs from it.
    fn is_reusable(&self, reference: Reference) -> bool {
        let Reference { block, level, shallow } = reference;
        (level == 0 || shallow)
            && !mistake(Mistake::NeverLowered)
            && self.check_block(block, "reference").is_ok()
            && matches!(self.runtime.region.load_u32(layout::count(block)), Ok(1))
            && self.runtime.region.is_sound(block)
    }

    /// Gives back what the ledgers that are not in use keep; answers whether that was anything.
    pub(super) fn release_kept(&self) -> bool {
        // Who holds it is making a ledger.
        let Some(mut ledgers) = self.ledgers.try_lock() else { return false };
        let mut released = false;
        for ledger in &mut ledgers.idle {
            match self.forget(ledger) {
                Ok(kept) => {
                    released |= !kept.is_empty();
                    self.give_back(&kept);
                }
                Err(error) => tracing::error!(%error, "blocks that were kept are not given back"),
            }
        }
        released
    }

    /// Notes that the caller's reference dies with the member.
    pub(crate) fn pin(&self, reference: Reference) -> Result<Pin> {
        let mut ledgers = self.ledgers.lock();
        let mut pins = match ledgers.pins.take() {
            Some(pins) => pins,
            None => self.new_ledger()?,
        };
        let index = ledgers.free_pins.pop();
        let noted = match index {
            Some(index) => self.entry_place(&mut pins, index).and_then(|place| {
                self.runtime.region.store_u64(place, encode(reference))?;
                Ok(index)
            }),
            None => self.note(&mut pins, reference).map(|()| pins.live - 1),
        };
        ledgers.pins = Some(pins);
        noted.map(|index| Pin { index, reference })
    }

    /// Takes a pin's note back and hands its reference to the caller.
    pub(crate) fn unpin(&self, pin: Pin) -> Result<Reference> {
        let mut ledgers = self.ledgers.lock();
        let place = ledgers.pins.as_ref().and_then(|pins| pins.entry(pin.index));
        if let Some(place) = place {
            self.runtime.region.store_u64(place, 0)?;
            ledgers.free_pins.push(pin.index);
        }
        Ok(pin.reference)
    }

    /// Lowers everything a dead member's ledgers name, and frees the ledgers. Each entry is cleared before its reference is
    /// lowered: should the one who does this die too, a count stays too high, never too low.
    pub(crate) fn release_ledgers(&self, slot: u32) -> Result<()> {
        let region = &self.runtime.region;
        let head = Runtime::ledger_head(slot);
        loop {
            let ledger = BlockNumber(region.load(head)?);
            if ledger.0 == 0 {
                return Ok(());
            }
            self.check_block(ledger, "ledger")?;
            let blocks = self.release_entries(ledger)?;
            region.store_u64(head, region.load(ledger.offset().add(NEXT))?)?;
            self.give_back(&blocks);
        }
    }

    /// Gives back this member's own ledgers when it leaves, and what they still name.
    pub(crate) fn close_ledgers(&self) -> Result<()> {
        *self.ledgers.lock() = Ledgers::default();
        self.release_ledgers(self.runtime.member.slot)
    }

    /// The blocks of a member's ledgers, and what the ledgers name: references that no map holds. The gate is closed.
    pub(crate) fn noted_by(&self, slot: u32) -> Result<Vec<BlockNumber>> {
        let mut noted = Vec::new();
        self.walk_ledgers(slot, |found| {
            noted.push(match found {
                Noted::Own(block) => block,
                Noted::Named(reference) => reference.block,
            });
        })?;
        Ok(noted)
    }

    /// The nodes that a member's ledgers name: the roots of what is pinned. The gate is closed.
    pub(crate) fn pinned_by(&self, slot: u32) -> Result<Vec<Reference>> {
        let mut pinned = Vec::new();
        self.walk_ledgers(slot, |found| match found {
            Noted::Named(reference) if reference.level > 0 => pinned.push(reference),
            _ => {}
        })?;
        Ok(pinned)
    }

    fn walk_ledgers(&self, slot: u32, mut visit: impl FnMut(Noted)) -> Result<()> {
        let region = &self.runtime.region;
        let limit = self.pool_blocks()?;
        let mut walked = 0;
        let mut ledger = BlockNumber(region.load(Runtime::ledger_head(slot))?);
        while ledger.0 != 0 {
            self.check_block(ledger, "ledger")?;
            let mut left = region.load(ledger.offset().add(LIVE))?;
            let mut block = ledger;
            while block.0 != 0 {
                self.check_block(block, "ledger")?;
                walked += 1;
                if walked > limit {
                    return Err(Error::corrupt("ledger", ledger, "an end", "a loop"));
                }
                visit(Noted::Own(block));
                for entry in 0..ENTRIES_PER_BLOCK.min(left) {
                    let word = region.load(block.offset().add(ENTRIES + entry * 8))?;
                    if let Some(reference) = decode(word) {
                        visit(Noted::Named(reference));
                    }
                }
                left -= ENTRIES_PER_BLOCK.min(left);
                block = BlockNumber(region.load(block.offset().add(MORE))?);
            }
            ledger = BlockNumber(region.load(ledger.offset().add(NEXT))?);
        }
        Ok(())
    }

    fn release_entries(&self, ledger: BlockNumber) -> Result<Vec<BlockNumber>> {
        let region = &self.runtime.region;
        let live = region.load(ledger.offset().add(LIVE))?;
        let (mut block, mut index, mut blocks) = (ledger, 0, vec![ledger]);
        loop {
            for entry in 0..ENTRIES_PER_BLOCK.min(live - index) {
                let place = block.offset().add(ENTRIES + entry * 8);
                let word = region.load(place)?;
                region.store_u64(place, 0)?;
                if let Some(reference) = decode(word) {
                    self.lower_all(&[reference])?;
                }
            }
            index += ENTRIES_PER_BLOCK.min(live - index);
            let more = BlockNumber(region.load(block.offset().add(MORE))?);
            if more.0 == 0 {
                return Ok(blocks);
            }
            self.check_block(more, "ledger")?;
            if blocks.len() as u64 > self.pool_blocks()? {
                return Err(Error::corrupt("ledger", ledger, "an end", "a loop"));
            }
            blocks.push(more);
            block = more;
        }
    }

    fn new_ledger(&self) -> Result<Ledger> {
        let block = self.ledger_block()?;
        let region = &self.runtime.region;
        let head = Runtime::ledger_head(self.runtime.member.slot);
        region.store_u64(block.offset().add(NEXT), region.load(head)?)?;
        region.store_u64(head, block.0)?;
        Ok(Ledger { blocks: vec![block], live: 0, kept: Vec::new() })
    }

    fn entry_place(&self, ledger: &mut Ledger, index: u64) -> Result<PoolOffset> {
        if let Some(place) = ledger.entry(index) {
            return Ok(place);
        }
        let block = self.ledger_block()?;
        let last = ledger.blocks[ledger.blocks.len() - 1];
        self.runtime.region.store_u64(last.offset().add(MORE), block.0)?;
        ledger.blocks.push(block);
        Ok(block.offset().add(ENTRIES + index % ENTRIES_PER_BLOCK * 8))
    }

    fn ledger_block(&self) -> Result<BlockNumber> {
        let mut reservation = self.reserve(1, Purpose::Release)?;
        let block = self.allocate_one(&mut reservation)?;
        self.runtime.zero_volatile(block.offset(), BLOCK_BYTES as u64)?;
        Ok(block)
    }
}

pub(super) fn encode(reference: Reference) -> u64 {
    TAKEN | u64::from(reference.level) << 40 | reference.block.0
}

pub(super) fn decode(word: u64) -> Option<Reference> {
    let level = u8::try_from(word >> 40 & 0xff).ok()?;
    (word & TAKEN != 0).then(|| Reference::deep(BlockNumber(word & ((1 << 40) - 1)), level))
}
