//! Atomic batches: any number of writes and a truncate, visible and durable together or not at all.
//!
//! ```text
//!   file    |  A  |  B  |  C  |  D  |        readers see this until the commit
//!   side    |     |  B' |     |  D' |  E' |  blocks that nothing refers to but the member's ledger
//!   commit: one lane transaction: the entries of B', D', E' (or the nodes that shadow them), the size, the ledger's end
//! ```
//!
//! One batch an inode at a time, in all processes; meanwhile other writers of the file get Busy, so that what the batch
//! was built upon cannot change under it. It costs nothing durable until the commit. A process that dies publishes
//! nothing: its ledger names the blocks, and who recovers it gives them back.

use std::collections::BTreeMap;

use smallvec::SmallVec;

use super::read;
use crate::error::{Error, ErrorKind, Result};
use crate::extent_map::stage::{Staged, stage};
use crate::extent_map::{Change, Content, Tree};
use crate::format::inode::{FILE_SIZE_MAX, at, encode_size};
use crate::format::lane::{RECORDS_MAX, Record};
use crate::inode::Inode;
use crate::journal::Store;
use crate::pmem::medium::Granularity;
use crate::pmem::{Flushed, Mistake, mistake};
use crate::runtime::member::Member;
use crate::space::ledger::Ledger;
use crate::space::{Purpose, Reference};
use crate::units::{BLOCK_BYTES, BLOCK_SIZE, BlockNumber, FileBlock, blocks_for};

/// Records that a commit adds to those of the map: the size and the end of the ledger.
const OTHER_RECORDS: usize = 2;

/// The side map of one file.
pub(crate) struct Side {
    inode: Inode,
    blocks: BTreeMap<u64, BlockNumber>,
    /// Taken and no longer wanted; given back when the batch ends.
    spare: Vec<BlockNumber>,
    /// The least size the file had in this batch: what lay beyond is gone.
    floor: u64,
    len: u64,
    committed_len: u64,
    ledger: Ledger,
    /// The file's sequence counter after the last commit.
    version: Option<u64>,
}

/// Fails with Busy where a live member has a batch open on the file.
pub(crate) fn check_no_batch(store: &Store, inode: &Inode) -> Result<()> {
    let place = inode.field(at::BATCH);
    let word = store.runtime.region.load_u32(place)?;
    if word == 0 {
        return Ok(());
    }
    let owner = Member::of_word(word);
    if !store.runtime.is_current(owner)? || store.runtime.recover_if_dead(owner.slot, owner.generation)? {
        return Ok(());
    }
    let who = store.runtime.describe(owner);
    Err(Error::new(ErrorKind::Busy, format!("{who} has a batch open on {}", inode.number)))
}

/// Fails with Busy where a live member stores to the file through a mapping: the batch would not see that.
fn check_not_mapped(store: &Store, inode: &Inode) -> Result<()> {
    if !store.runtime.is_mapped(inode.place)? {
        return Ok(());
    }
    let mappers = store.runtime.mappers(inode.place)?;
    if mappers.is_empty() {
        return Ok(());
    }
    let who: Vec<String> = mappers.into_iter().map(|member| store.runtime.describe(member)).collect();
    Err(Error::new(ErrorKind::Busy, format!("{} map {} to be stored to", who.join(", "), inode.number)))
}

impl Side {
    /// Opens a batch. The caller has no operation in flight.
    pub(crate) fn begin(store: &Store, inode: &Inode) -> Result<Side> {
        let _mark = store.runtime.enter()?;
        let _held = inode.lock(store)?;
        Side::open(store, inode)
    }

    /// Opens a batch. The file's lock is held.
    fn open(store: &Store, inode: &Inode) -> Result<Side> {
        check_no_batch(store, inode)?;
        check_not_mapped(store, inode)?;
        let len = inode.size(store)?;
        let ledger = store.space.open_ledger()?;
        // Who looks does so under the lock, which this member still holds.
        store.runtime.region.store_release_u32(inode.field(at::BATCH), store.runtime.member.word())?;
        Ok(Side {
            inode: *inode,
            blocks: BTreeMap::new(),
            spare: vec![],
            floor: len,
            len,
            committed_len: len,
            ledger,
            version: None,
        })
    }

    /// Ends the batch; what was not committed is gone.
    pub(crate) fn close(mut self, store: &Store) -> Result<()> {
        self.discard(store)?;
        store.space.close_ledger(self.ledger);
        store.runtime.region.store_release_u32(self.inode.field(at::BATCH), 0)
    }

    /// The size the file will have.
    pub(crate) fn len(&self) -> u64 {
        self.len
    }

    /// The file's sequence counter after the last commit, if there was one.
    pub(crate) fn version(&self) -> Option<u64> {
        self.version
    }

    /// Whether a commit would change nothing.
    pub(crate) fn is_unchanged(&self) -> bool {
        self.blocks.is_empty() && self.len == self.committed_len && self.floor == self.committed_len
    }

    /// Reads the file as it will be.
    pub(crate) fn read(&self, store: &Store, offset: u64, into: &mut [u8]) -> Result<usize> {
        let wanted = (into.len() as u64).min(self.len.saturating_sub(offset));
        let mut done = 0;
        while done < wanted {
            let at = offset + done;
            let piece = (BLOCK_SIZE - at % BLOCK_SIZE).min(wanted - done);
            let to = &mut into[read::index(done)..read::index(done + piece)];
            match self.blocks.get(&FileBlock::of(at).0) {
                Some(block) => store.runtime.region.read(block.offset().add(at % BLOCK_SIZE), to)?,
                None => self.read_below(store, at, to)?,
            }
            done += piece;
        }
        Ok(read::index(done))
    }

    /// What the file itself holds, and zeros beyond the floor.
    fn read_below(&self, store: &Store, offset: u64, to: &mut [u8]) -> Result<()> {
        let there = read::index((to.len() as u64).min(self.floor.saturating_sub(offset)));
        let copied = read::read(store, &self.inode, offset, &mut to[..there])?;
        to[copied..].fill(0);
        Ok(())
    }

    /// Writes into the side map.
    pub(crate) fn write(&mut self, store: &Store, offset: u64, from: &[u8]) -> Result<()> {
        let end =
            offset.checked_add(from.len() as u64).filter(|&end| end <= FILE_SIZE_MAX).ok_or_else(|| {
                Error::new(
                    ErrorKind::TooLarge,
                    format!("a write at {offset} would pass the largest file, {FILE_SIZE_MAX}"),
                )
            })?;
        if from.is_empty() {
            return Ok(());
        }
        self.make_room(store, offset, end)?;
        let mut at = offset;
        while at < end {
            let within = at % BLOCK_SIZE;
            let piece = (BLOCK_SIZE - within).min(end - at);
            let index = FileBlock::of(at).0;
            let replaceable = piece == BLOCK_SIZE;
            let block = self.side_block(store, index, piece == BLOCK_SIZE)?;
            let from = &from[read::index(at - offset)..read::index(at - offset + piece)];
            match self.store(store, block, within, from) {
                Ok(()) => at += piece,
                // A bad block, and nothing in it that is not known: another one will do.
                Err(error) if replaceable && self.is_bad(store, block, &error) => {
                    self.spare.extend(self.blocks.remove(&index));
                }
                Err(error) => return Err(error),
            }
        }
        self.len = self.len.max(end);
        Ok(())
    }

    /// Makes blocks for all of `[offset, end)`, and zeros up to it: a full pool is found out before anything is written.
    fn make_room(&mut self, store: &Store, offset: u64, end: u64) -> Result<()> {
        let (len, mut made): (_, SmallVec<[u64; 8]>) = (self.len, SmallVec::new());
        let mut make = || {
            if offset > self.len {
                self.raise_len(store, offset)?;
            }
            for index in FileBlock::of(offset).0..blocks_for(end) {
                if !self.blocks.contains_key(&index) {
                    let whole = offset <= index * BLOCK_SIZE && (index + 1) * BLOCK_SIZE <= end;
                    self.side_block(store, index, whole)?;
                    made.push(index);
                }
            }
            Ok(())
        };
        make().inspect_err(|_| {
            self.len = len;
            let unused: Vec<_> = made.iter().filter_map(|index| self.blocks.remove(index)).collect();
            self.spare.extend(unused);
        })
    }

    /// Whether a store failed because `block`, of which nothing needs to be kept, has lost its memory.
    fn is_bad(&self, store: &Store, block: BlockNumber, error: &Error) -> bool {
        error.kind() == ErrorKind::MediaError && !store.runtime.region.is_sound(block)
    }

    fn store(&self, store: &Store, block: BlockNumber, within: u64, from: &[u8]) -> Result<()> {
        let region = &store.runtime.region;
        let stored = region.write(block.offset().add(within), from)?;
        region.fence(region.flush_data(stored)).map(|_| ())
    }

    /// The block of the side map for a file block; a new one holds what the file holds unless all of it is overwritten.
    fn side_block(&mut self, store: &Store, index: u64, overwritten: bool) -> Result<BlockNumber> {
        if let Some(&block) = self.blocks.get(&index) {
            return Ok(block);
        }
        let goal = index.checked_sub(1).and_then(|before| self.blocks.get(&before)).map(|block| block.add(1));
        if !overwritten {
            return self.copied_block(store, index, goal);
        }
        let block = self.new_block(store, goal)?;
        self.blocks.insert(index, block);
        Ok(block)
    }

    /// A new block of the side map that holds what the file holds; apart, as its buffer would be cleared for overwritten
    /// blocks too.
    #[inline(never)]
    fn copied_block(&mut self, store: &Store, index: u64, goal: Option<BlockNumber>) -> Result<BlockNumber> {
        let mut old = [0; BLOCK_BYTES];
        self.read_below(store, index * BLOCK_SIZE, &mut old)?;
        loop {
            let block = self.new_block(store, goal)?;
            if let Err(error) = self.store(store, block, 0, &old) {
                let bad = self.is_bad(store, block, &error);
                self.spare.push(block);
                if bad {
                    continue;
                }
                return Err(error);
            }
            self.blocks.insert(index, block);
            return Ok(block);
        }
    }

    /// Takes a block that dies with the member until the batch is committed.
    fn new_block(&mut self, store: &Store, goal: Option<BlockNumber>) -> Result<BlockNumber> {
        if goal.is_none()
            && let Some(block) = self.ledger.take_kept()
        {
            return Ok(block);
        }
        let mut reservation = match store.space.reserve(1, Purpose::Store) {
            Ok(reservation) => reservation,
            Err(error) => return self.ledger.take_kept().ok_or(error),
        };
        let block = store.space.allocate(&mut reservation, 1, goal)?.first;
        if let Err(error) = store.space.note(&mut self.ledger, Reference::deep(block, 0)) {
            store.space.give_back(&[block]);
            return Err(error);
        }
        Ok(block)
    }

    /// Sets the size the file will have.
    pub(crate) fn set_len(&mut self, store: &Store, len: u64) -> Result<()> {
        if len > FILE_SIZE_MAX {
            return Err(Error::new(
                ErrorKind::TooLarge,
                format!("{len} bytes are more than a file can have"),
            ));
        }
        if len > self.len {
            return self.raise_len(store, len);
        }
        let gone = self.blocks.split_off(&blocks_for(len));
        self.spare.extend(gone.into_values());
        self.floor = self.floor.min(len);
        self.len = len;
        Ok(())
    }

    /// Raises the size; bytes beyond the old one become zeros, also those in the last block, which are undefined so far.
    fn raise_len(&mut self, store: &Store, len: u64) -> Result<()> {
        for end in [self.len, self.floor] {
            let within = end % BLOCK_SIZE;
            let index = end / BLOCK_SIZE;
            if within == 0 || end < self.len && self.blocks.contains_key(&index) {
                continue;
            }
            let block = self.side_block(store, index, false)?;
            if end == self.len {
                self.store(store, block, within, &[0; 4096][read::index(within)..])?;
            }
        }
        self.len = len;
        Ok(())
    }

    /// What the commit changes in the map.
    fn changes(&self) -> SmallVec<[Change; 8]> {
        let mut changes: SmallVec<[Change; 8]> = SmallVec::new();
        let mut hole_from = blocks_for(self.floor);
        let cut = self.floor < self.committed_len || self.len < self.committed_len;
        let hole =
            |from: u64, to: u64| Change { start: FileBlock(from), blocks: to - from, content: Content::Hole };
        for (&index, &block) in &self.blocks {
            if cut && index > hole_from {
                changes.push(hole(hole_from, index));
            }
            hole_from = hole_from.max(index + 1);
            match changes.last_mut() {
                Some(Change { start, blocks, content: Content::Blocks { first, .. } })
                    if start.0 + *blocks == index && first.add(*blocks) == block =>
                {
                    *blocks += 1;
                }
                _ => changes.push(Change {
                    start: FileBlock(index),
                    blocks: 1,
                    content: Content::Blocks { first: block, unwritten: false },
                }),
            }
        }
        if cut {
            changes.push(hole(hole_from, crate::format::entry::span(crate::format::entry::HEIGHT_MAX)));
        }
        changes
    }

    /// Stages the commit; the file's lock is held until [`Side::finish`].
    fn stage(&self, store: &Store, records_max: usize) -> Result<Staged> {
        if self.len > self.committed_len {
            let first_beyond = blocks_for(self.committed_len) * BLOCK_SIZE;
            super::range::zero_beyond_end(store, &self.inode, first_beyond, self.len.max(first_beyond))?;
        }
        let tree = Tree::of(&store.space, self.inode.place)?;
        let mut staged =
            stage(&store.space, &tree, &self.changes(), records_max - OTHER_RECORDS, Purpose::Store)?;
        if self.len != self.committed_len && !mistake(Mistake::BatchSizeForgotten) {
            let value = encode_size(self.len, self.inode.number);
            staged.records.push(Record { place: self.inode.field(at::SIZE), value });
        }
        staged.records.push(Record { place: self.ledger.live_word(), value: 0 });
        Ok(staged)
    }

    /// After the commit: the side map is empty, what it held is the file's. Nobody refers to what was `dropped`.
    fn finish(&mut self, store: &Store, dropped: &[Reference]) -> Result<()> {
        if let Err(error) = store.space.renew(&mut self.ledger, dropped) {
            tracing::error!(%error, "a batch could not give back all that it replaced");
        }
        self.blocks.clear();
        store.space.give_back(&std::mem::take(&mut self.spare));
        self.committed_len = self.len;
        self.floor = self.len;
        self.inode.touch(store)
    }

    /// Forgets everything since the last commit.
    pub(crate) fn discard(&mut self, store: &Store) -> Result<()> {
        if !self.blocks.is_empty() || !self.spare.is_empty() {
            let mut blocks = store.space.forget(&mut self.ledger)?;
            blocks.append(&mut self.spare);
            blocks.extend(std::mem::take(&mut self.blocks).into_values());
            store.space.give_back(&blocks);
        }
        self.len = self.committed_len;
        self.floor = self.committed_len;
        Ok(())
    }
}

/// Publishes several batches, and `more`, in one transaction. The caller holds the locks of whatever `more` names, and has
/// marked its operation. On error nothing is published and every batch is as before.
pub(crate) fn commit(
    store: &Store,
    sides: &mut [&mut Side],
    more: &[Record],
    more_flushed: Flushed,
) -> Result<()> {
    let mut order: SmallVec<[usize; 2]> =
        (0..sides.len()).filter(|&side| !sides[side].is_unchanged()).collect();
    order.sort_by_key(|&side| sides[side].inode.number);
    let share = (RECORDS_MAX - more.len()).checked_div(order.len()).unwrap_or(RECORDS_MAX);
    if share <= OTHER_RECORDS {
        return Err(Error::new(
            ErrorKind::InvalidInput,
            format!("{} batches are too many for one transaction", order.len()),
        ));
    }
    let mut locks: SmallVec<[_; 2]> = SmallVec::with_capacity(order.len());
    for &side in &order {
        locks.push(sides[side].inode.lock(store)?);
        if sides[side].inode.is_replaced(store)? {
            let message = "a rollback has put another file in the place of the batch's";
            return Err(Error::new(ErrorKind::Stale, message));
        }
        sides[side].inode.settle_size(store)?;
    }
    let mut all: Option<Staged> = None;
    for &side in &order {
        match sides[side].stage(store, share) {
            Ok(staged) => {
                all = Some(match all.take() {
                    Some(before) => before.and(staged),
                    None => staged,
                })
            }
            Err(error) => {
                all.map_or(Ok(()), |staged| staged.cancel(&store.space))?;
                return Err(error);
            }
        }
    }
    // Where a fence is a disk flush, data is not flushed as it is written but here, all at once.
    if store.runtime.region.granularity() == Granularity::Page {
        store.runtime.region.barrier()?;
    }
    let mut moving: SmallVec<[_; 2]> = SmallVec::with_capacity(order.len());
    for &side in &order {
        moving.push(store.runtime.begin_change(sides[side].inode.place)?);
    }
    let mut dropped = SmallVec::new();
    match all {
        Some(staged) => dropped = staged.publish_atomic(store, more_flushed, more)?,
        None if more.is_empty() => {}
        None => store.journal.commit(more, more_flushed).map(|_| ())?,
    }
    for (&side, change) in order.iter().zip(moving) {
        sides[side].version = Some(change.end());
    }
    for &side in &order {
        sides[side].finish(store, &std::mem::take(&mut dropped))?;
    }
    Ok(())
}
