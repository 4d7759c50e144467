//! The contents of a stream: what each file holds where the receiver has not got it.

use std::collections::HashMap;
use std::rc::Rc;

use super::Output;
use super::tree::{Frozen, Job, Plan};
use crate::dax::read::{read, stable};
use crate::error::{Error, ErrorKind, Result};
use crate::extent_map::{Mapped, Tree};
use crate::format::stream::{DATA_MAX, Origin, Position, Record};
use crate::inode::Core;
use crate::journal::Store;
use crate::snapshot::diff::same_subtree;
use crate::units::{BLOCK_SIZE, BlockNumber, CHUNK_BLOCKS, FileBlock, blocks_for};

/// Blocks with several owners that are remembered, so that the next owner is sent as a clone. Shared leaves are always
/// remembered: there is one to 2 MiB.
const BLOCKS_MAX: usize = 1 << 20;

/// A file that the receiver has.
#[derive(Clone, PartialEq, Eq)]
enum Source {
    Sent(u32),
    Parent(Rc<[u8]>),
}

/// Where the receiver has the blocks below a leaf: in which file, from which offset on, and how many whole ones.
type Leaves = HashMap<BlockNumber, (Source, u64, u64)>;

/// What lies at a piece of a file, as it is sent.
#[derive(Clone, PartialEq, Eq)]
enum Class {
    Hole,
    Unwritten,
    Data,
    /// The blocks of another file, from this offset on.
    Clone(Source, u64),
}

/// What a look at a place says.
enum Piece {
    /// The receiver has it.
    Same(u64),
    /// It is to be sent.
    Send(u64, Class),
}

/// A run of pieces of one class.
struct Run {
    start: u64,
    blocks: u64,
    class: Class,
}

/// Sends what all files hold beyond `from`.
pub(super) fn send(core: &Core, plan: &Plan, from: Position, output: &mut Output<'_>) -> Result<()> {
    let store = &core.store;
    let mut leaves = Leaves::new();
    if plan.jobs.iter().any(|job| job.base.is_none()) {
        for (path, file) in &plan.parent {
            remember_leaves(store, path, file, &mut leaves)?;
        }
    }
    let mut contents = Contents { store, plan, output, from, leaves, blocks: HashMap::new() };
    for (number, job) in (1..).zip(&plan.jobs) {
        contents.file(number, job)?;
    }
    Ok(())
}

fn remember_leaves(store: &Store, path: &[u8], file: &Frozen, leaves: &mut Leaves) -> Result<()> {
    let path: Rc<[u8]> = path.into();
    let mut enter = |at: FileBlock, node, level| {
        let whole = (file.size / BLOCK_SIZE).saturating_sub(at.0).min(CHUNK_BLOCKS);
        if level == 1 && whole > 0 {
            leaves.entry(node).or_insert_with(|| (Source::Parent(path.clone()), at.offset(), whole));
        }
        level > 1
    };
    Tree::of(&store.space, file.inode.place)?.walk(&store.space, &mut enter, &mut |_, _| Ok(()))
}

struct Contents<'a, 'o> {
    store: &'a Store,
    plan: &'a Plan,
    output: &'a mut Output<'o>,
    from: Position,
    leaves: Leaves,
    /// The same for single blocks with several owners.
    blocks: HashMap<BlockNumber, (u32, u64)>,
}

impl Contents<'_, '_> {
    fn file(&mut self, number: u32, job: &Job) -> Result<()> {
        let mut at = 0;
        let mut run: Option<Run> = None;
        loop {
            let store = self.store;
            let base = job.base.map_or(job.file.inode, |base| base.inode);
            let piece =
                stable(store, &job.file.inode, || stable(store, &base, || self.look(number, job, at)))?;
            let (blocks, class) = match piece {
                None => break,
                Some(Piece::Same(blocks)) => (blocks, None),
                Some(Piece::Send(blocks, class)) => (blocks, Some(class)),
            };
            match (&mut run, class) {
                (Some(run), Some(class)) if run.continues(at, &class) => run.blocks += blocks,
                (_, class) => {
                    let next = class.map(|class| Run { start: at, blocks, class });
                    let before = std::mem::replace(&mut run, next);
                    before.map_or(Ok(()), |run| self.put(number, job, run))?;
                }
            }
            at += blocks;
        }
        run.map_or(Ok(()), |run| self.put(number, job, run))
    }

    /// What lies at block `at` of a file and for how many blocks; nothing beyond the end of its map.
    fn look(&mut self, number: u32, job: &Job, at: u64) -> Result<Option<Piece>> {
        let space = &self.store.space;
        let tree = Tree::of(space, job.file.inode.place)?;
        let base = job.base.map(|base| Tree::of(space, base.inode.place)).transpose()?;
        let end = tree.span().max(base.as_ref().map_or(0, Tree::span));
        if at >= end {
            return Ok(None);
        }
        if let (Some(base), Some(old)) = (&base, job.base)
            && let Some(same) = same_subtree(self.store, &tree, base, FileBlock(at))?
            && (old.size == job.file.size || at + same <= old.size.min(job.file.size) / BLOCK_SIZE)
        {
            return Ok(Some(Piece::Same(same)));
        }
        // Whole blocks before the end: what lies behind them is not the same for two files of different sizes.
        let whole = (job.file.size / BLOCK_SIZE).saturating_sub(at).min(CHUNK_BLOCKS);
        if at.is_multiple_of(CHUNK_BLOCKS)
            && whole > 0
            && let Some(leaf) = tree.node_at(space, FileBlock(at), 1)?
        {
            // A second look at the same place finds what the first one noted.
            if let Some((source, offset, there)) = self.leaves.get(&leaf)
                && (*source != Source::Sent(number) || offset / BLOCK_SIZE + CHUNK_BLOCKS <= at)
            {
                let class = Class::Clone(source.clone(), *offset);
                return Ok(Some(Piece::Send(whole.min(*there), class)));
            }
            self.leaves.insert(leaf, (Source::Sent(number), at * BLOCK_SIZE, whole));
        }
        self.compare(number, job, &tree, base.as_ref(), at, end).map(Some)
    }

    /// As [`Contents::look`], entry by entry.
    fn compare(
        &mut self,
        number: u32,
        job: &Job,
        tree: &Tree,
        base: Option<&Tree>,
        at: u64,
        end: u64,
    ) -> Result<Piece> {
        let space = &self.store.space;
        let mut limit = end - at;
        let sizes = [Some(job.file.size), job.base.map(|base| base.size)];
        for size in sizes.into_iter().flatten() {
            // Pieces end before and after the block that an end of file cuts.
            for edge in [size / BLOCK_SIZE, blocks_for(size)] {
                if at < edge {
                    limit = limit.min(edge - at);
                }
            }
        }
        let found = tree.find(space, FileBlock(at), limit, false)?;
        let mut blocks = found.blocks;
        let class = class_of(found.mapped, at >= blocks_for(job.file.size));
        let (Some(base), Some(old)) = (base, job.base) else {
            return self.without_base(number, found.mapped, class, at, blocks);
        };
        let there = base.find(space, FileBlock(at), blocks, false)?;
        blocks = blocks.min(there.blocks);
        // What the receiver sets the size of loses what lies beyond it.
        let cut = old.size > job.file.size && at >= blocks_for(job.file.size);
        let before = if cut { Class::Hole } else { class_of(there.mapped, false) };
        let beyond_old = !cut && before == Class::Data && at >= blocks_for(old.size);
        if class != before || beyond_old {
            return Ok(Piece::Send(blocks, class));
        }
        if class != Class::Data {
            return Ok(Piece::Same(blocks));
        }
        let is_edge = |size: u64| !size.is_multiple_of(BLOCK_SIZE) && at == size / BLOCK_SIZE;
        if old.size != job.file.size && (is_edge(old.size) || is_edge(job.file.size)) {
            return Ok(Piece::Send(1, Class::Data));
        }
        let bytes = job.file.size - at * BLOCK_SIZE;
        self.compare_bytes(found.mapped, there.mapped, blocks, bytes)
    }

    /// Two runs of data: how many blocks from here on are the same, or are not.
    fn compare_bytes(
        &self,
        new: Option<Mapped>,
        old: Option<Mapped>,
        blocks: u64,
        bytes: u64,
    ) -> Result<Piece> {
        let (Some(new), Some(old)) = (new, old) else { return Ok(Piece::Send(blocks, Class::Data)) };
        if new.block == old.block {
            return Ok(Piece::Same(blocks));
        }
        let same = |block: u64| {
            let len = BLOCK_SIZE.min(bytes - block * BLOCK_SIZE);
            let (new, old) = (new.block.add(block).offset(), old.block.add(block).offset());
            self.store.runtime.region.equal(new, old, len)
        };
        let first = same(0)?;
        let mut like = 1;
        while like < blocks && same(like)? == first {
            like += 1;
        }
        Ok(if first { Piece::Same(like) } else { Piece::Send(like, Class::Data) })
    }

    /// A piece of a file of which the receiver has nothing: perhaps it has the blocks.
    fn without_base(
        &mut self,
        number: u32,
        mapped: Option<Mapped>,
        class: Class,
        at: u64,
        blocks: u64,
    ) -> Result<Piece> {
        let (Class::Data, Some(Mapped { block, .. })) = (&class, mapped) else {
            return Ok(match class {
                Class::Hole => Piece::Same(blocks),
                class => Piece::Send(blocks, class),
            });
        };
        let space = &self.store.space;
        let mut plain = 0;
        while plain < blocks && space.count(block.add(plain))? == 1 {
            plain += 1;
        }
        if plain > 0 {
            return Ok(Piece::Send(plain, class));
        }
        let whole = at < self.plan.jobs[index_of(number)].file.size / BLOCK_SIZE;
        if let Some(&(source, offset)) = self.blocks.get(&block).filter(|_| whole) {
            // It may have moved, and another one may lie there now.
            let there = Tree::of(space, self.plan.jobs[index_of(source)].file.inode.place)?;
            let naming = there.naming(space, FileBlock::of(offset))?;
            let is_there = naming.is_some_and(|naming| naming.entry.block == block);
            let apart = source != number || offset + BLOCK_SIZE <= at * BLOCK_SIZE;
            if is_there && apart {
                return Ok(Piece::Send(1, Class::Clone(Source::Sent(source), offset)));
            }
        }
        if whole && self.blocks.len() < BLOCKS_MAX {
            self.blocks.insert(block, (number, at * BLOCK_SIZE));
        }
        Ok(Piece::Send(1, class))
    }

    /// Writes the records of a run, as far as they lie beyond the position to begin from.
    fn put(&mut self, file: u32, job: &Job, run: Run) -> Result<()> {
        let begin = match self.from {
            Position { file: begun, .. } if file < begun => return Ok(()),
            Position { file: begun, offset } if file == begun => offset,
            _ => 0,
        };
        let (start, end) = (run.start * BLOCK_SIZE, (run.start + run.blocks) * BLOCK_SIZE);
        let from = start.max(begin);
        if from >= end {
            return Ok(());
        }
        let (at, len) = (Position { file, offset: from }, end - from);
        match run.class {
            Class::Hole => self.output.put(&Record::Hole { at, len }),
            Class::Unwritten => self.output.put(&Record::Unwritten { at, len }),
            Class::Clone(source, offset) => {
                let source_offset = offset + (from - start);
                let origin = match &source {
                    Source::Sent(file) => Origin::File(*file),
                    Source::Parent(path) => Origin::Parent(path),
                };
                self.output.put(&Record::Clone { at, len, source_offset, origin })
            }
            Class::Data => self.put_data(at, job, end.min(job.file.size)),
        }
    }

    fn put_data(&mut self, at: Position, job: &Job, end: u64) -> Result<()> {
        let mut buffer = vec![0; usize::try_from(DATA_MAX).unwrap_or(0)];
        let mut offset = at.offset;
        while offset < end {
            let stop = ((offset / DATA_MAX + 1) * DATA_MAX).min(end);
            let bytes = &mut buffer[..usize::try_from(stop - offset).unwrap_or(0)];
            if read(self.store, &job.file.inode, offset, bytes)? < bytes.len() {
                let message = "a file of the snapshot became shorter: the snapshot is being deleted";
                return Err(Error::new(ErrorKind::Stale, message));
            }
            self.output.put(&Record::Data { at: Position { offset, ..at }, bytes })?;
            offset = stop;
        }
        Ok(())
    }
}

impl Run {
    /// Whether a piece at `at` belongs to this run.
    fn continues(&self, at: u64, class: &Class) -> bool {
        if self.start + self.blocks != at {
            return false;
        }
        match (&self.class, class) {
            (Class::Clone(one, offset), Class::Clone(other, next)) => {
                one == other && offset + self.blocks * BLOCK_SIZE == *next
            }
            (one, other) => one == other,
        }
    }
}

/// What a mapped run is to the receiver. Beyond the end of a file nothing is data.
fn class_of(mapped: Option<Mapped>, beyond_end: bool) -> Class {
    match mapped {
        None => Class::Hole,
        Some(Mapped { unwritten, .. }) if unwritten || beyond_end => Class::Unwritten,
        Some(_) => Class::Data,
    }
}

/// The place in the list of the file with a number.
fn index_of(number: u32) -> usize {
    usize::try_from(number - 1).unwrap_or(0)
}
