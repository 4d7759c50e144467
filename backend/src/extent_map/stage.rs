//! Building a change beside the tree.
//!
//! ```text
//!  before:  root -> A -> B -> data        B shared with a clone (count 2), A exclusive
//!  staged:          A    B' -> data'      B' a copy of B with the new entry: nobody can see it
//!  publish:         A -> B'               one 8-byte store; then the count of B falls to 1
//! ```
//!
//! [`stage`] walks down to what a change touches. Where the path is exclusive it leaves a record, a word to store in
//! place; where it is shared, or where nothing is there yet, it writes a new node that nothing refers to. A shared node
//! is copied by raising its children first; an exclusive one by moving them. Until the records are stored the change
//! does not exist and [`Staged::cancel`] takes it back without a trace.

use smallvec::SmallVec;
use zerocopy::IntoBytes;

use super::lookup::{Tree, bad_entry, load_entry};
use crate::error::{Error, ErrorKind, Result};
use crate::format::entry::{Entry, HEIGHT_MAX, NODE_ENTRIES, Root, span};
use crate::format::lane::Record;
use crate::pmem::{Flushed, Mistake, mistake};
use crate::space::counts::read_node;
use crate::space::{Purpose, Reference, References, Reservation, Space};
use crate::units::{BlockNumber, FileBlock};

/// What a range of a file is to become.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Content {
    /// Nothing.
    Hole,
    /// Contiguous data blocks.
    Blocks { first: BlockNumber, unwritten: bool },
    /// One node of `level`, which the caller has raised for this; the range is its whole aligned span.
    Node { node: BlockNumber, level: u8 },
}

/// A range of file blocks and what it is to become.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Change {
    pub(crate) start: FileBlock,
    pub(crate) blocks: u64,
    pub(crate) content: Content,
}

impl Change {
    fn end(&self) -> u64 {
        self.start.0 + self.blocks
    }

    fn covers(&self, base: u64, blocks: u64) -> bool {
        self.start.0 <= base && self.end() >= base + blocks
    }
}

/// A change that nobody can see yet.
#[must_use]
pub(crate) struct Staged {
    /// The words whose publish makes it real.
    pub(crate) records: SmallVec<[Record; 8]>,
    /// New nodes, stored and on their way to the medium.
    pub(crate) flushed: Flushed,
    /// What nobody refers to any more once the records are durable.
    pub(crate) dropped: SmallVec<[Reference; 8]>,
    pub(super) fresh: Vec<BlockNumber>,
    pub(super) raised: Vec<References>,
}

impl Staged {
    /// Takes everything back.
    pub(crate) fn cancel(self, space: &Space) -> Result<()> {
        space.give_back(&self.fresh);
        let raised: Vec<Reference> = self.raised.into_iter().flat_map(References::each).collect();
        space.lower_all(&raised)
    }
}

/// Stages `changes`, sorted and disjoint, in `tree`, whose inode is locked. At most `records_max` records come out:
/// where there would be more, nodes are shadowed up to where there are fewer, in the extreme one at the root.
pub(crate) fn stage(
    space: &Space,
    tree: &Tree,
    changes: &[Change],
    records_max: usize,
    purpose: Purpose,
) -> Result<Staged> {
    debug_assert!(changes.windows(2).all(|pair| pair[0].end() <= pair[1].start.0));
    space.runtime.progress()?;
    let height = height_for(tree, changes)?;
    // What lies beyond the tree is a hole already.
    let within = changes.iter().filter(|change| change.start.0 < span(height));
    let clipped: SmallVec<[Change; 8]> = within.map(|change| clip(change, 0, span(height))).collect();
    let mut shadow_to = first_shadow_level(&clipped, records_max, height);
    loop {
        let grown = tree.root.map_or(0, |root| u64::from(height - root.height));
        let reservation = space.reserve(nodes_at_most(&clipped, height) + grown, purpose)?;
        let empty = Staged {
            records: SmallVec::new(),
            flushed: Flushed::none(),
            dropped: SmallVec::new(),
            fresh: vec![],
            raised: vec![],
        };
        let mut stager = Stager { space, purpose, reservation, shadow_to, staged: empty };
        if let Err(error) = stager.root(tree, height, &clipped) {
            stager.staged.cancel(space)?;
            return Err(error);
        }
        if stager.staged.records.len() <= records_max {
            return Ok(stager.staged);
        }
        stager.staged.cancel(space)?;
        shadow_to += 1;
    }
}

/// The height the tree needs so that everything mapped fits.
fn height_for(tree: &Tree, changes: &[Change]) -> Result<u8> {
    let end =
        changes.iter().filter(|change| change.content != Content::Hole).map(Change::end).max().unwrap_or(0);
    let mut height = tree.root.map_or(0, |root| root.height);
    while span(height) < end {
        if height == HEIGHT_MAX {
            return Err(Error::new(
                ErrorKind::TooLarge,
                format!("file block {end} is beyond the largest file"),
            ));
        }
        height += 1;
    }
    Ok(height)
}

/// The lowest level to shadow up to that could give few enough records, counting data blocks only.
fn first_shadow_level(changes: &[Change], records_max: usize, height: u8) -> u8 {
    (0..height)
        .find(|&level| {
            let words: u64 = changes
                .iter()
                .filter(|change| matches!(change.content, Content::Blocks { .. }))
                .map(|change| 1 + (change.end() - 1) / span(level) - change.start.0 / span(level))
                .sum();
            words <= records_max as u64 || (level > 0 && distinct(changes, level) <= records_max)
        })
        .unwrap_or(height)
}

fn distinct(changes: &[Change], level: u8) -> usize {
    let mut touched: Vec<u64> = changes
        .iter()
        .filter(|change| matches!(change.content, Content::Blocks { .. }))
        .flat_map(|change| change.start.0 / span(level)..=(change.end() - 1) / span(level))
        .collect();
    touched.dedup();
    touched.len()
}

/// Nodes that staging may need in a tree of `height`, at most; those put above an old root come on top.
fn nodes_at_most(changes: &[Change], height: u8) -> u64 {
    let per_level = |level: u8| -> u64 {
        let mut nodes = 0;
        let mut last = None;
        for change in changes {
            let (first, end) = (change.start.0 / span(level), (change.end() - 1) / span(level));
            // Only the edges of a hole need nodes.
            let touched =
                if change.content == Content::Hole { (end - first + 1).min(2) } else { end - first + 1 };
            nodes += touched - u64::from(last == Some(first));
            last = Some(end);
        }
        nodes
    };
    (1..=height).map(per_level).sum::<u64>() + 1
}

enum Outcome {
    Kept,
    Replaced(Option<Entry>),
}

struct Stager<'a> {
    space: &'a Space,
    purpose: Purpose,
    reservation: Reservation<'a>,
    shadow_to: u8,
    staged: Staged,
}

impl Stager<'_> {
    fn root(&mut self, tree: &Tree, height: u8, changes: &[Change]) -> Result<()> {
        let old = match tree.root {
            Some(root) => Some(self.grow(root, height)?),
            None => None,
        };
        let grown = tree.root.is_some_and(|root| root.height < height);
        let new = match self.apply(old, height, 0, true, changes)? {
            Outcome::Replaced(entry) => entry,
            Outcome::Kept if grown => old,
            Outcome::Kept => return Ok(()),
        };
        let value = new.map_or(0, |entry| Root { entry, height }.encode());
        self.staged.records.push(Record { place: tree.slot, value });
        Ok(())
    }

    /// Puts new nodes above the old root, which moves to their first slot.
    fn grow(&mut self, root: Root, height: u8) -> Result<Entry> {
        let mut top = root.entry;
        for level in root.height + 1..=height {
            let mut words = [0; 512];
            words[0] = top.encode(level - 1, 0);
            top = Entry::of(self.write_node(&words)?);
        }
        Ok(top)
    }

    /// Applies `changes`, which all touch this place's span and may reach beyond it, to what stands at `base` and
    /// `level`. `own` says that the reference to it is this file's alone.
    fn apply(
        &mut self,
        old: Option<Entry>,
        level: u8,
        base: u64,
        own: bool,
        changes: &[Change],
    ) -> Result<Outcome> {
        let Some(first) = changes.first() else { return Ok(Outcome::Kept) };
        if first.covers(base, span(level))
            && let Some(new) = whole(first, level, base)
        {
            return Ok(self.replace(old, level, own, new));
        }
        let Some(entry) = old else {
            if changes.iter().all(|change| change.content == Content::Hole) {
                return Ok(Outcome::Kept);
            }
            return self.shadow(None, level, base, own, own, changes);
        };
        self.space.check_block(entry.block, "map entry")?;
        let exclusive = own && self.space.count(entry.block)? == 1;
        if exclusive && level > self.shadow_to {
            return self.in_place(entry.block, level, base, changes);
        }
        self.shadow(Some(entry), level, base, own, exclusive, changes)
    }

    /// Replaces a whole place.
    fn replace(&mut self, old: Option<Entry>, level: u8, own: bool, new: Option<Entry>) -> Outcome {
        match (old, new) {
            (None, None) => return Outcome::Kept,
            (Some(old), Some(new)) if old.block == new.block => {}
            (Some(old), _) if own => self.staged.dropped.push(Reference::deep(old.block, level)),
            _ => {}
        }
        Outcome::Replaced(new)
    }

    fn in_place(&mut self, node: BlockNumber, level: u8, base: u64, changes: &[Change]) -> Result<Outcome> {
        if level == 1 && self.would_be_empty(node, base, changes)? {
            return Ok(self.replace(Some(Entry::of(node)), level, true, None));
        }
        for (slot, child_base, below) in children(changes, level, base) {
            let old = load_entry(self.space, node, level - 1, slot)?;
            if let Outcome::Replaced(entry) = self.apply(old, level - 1, child_base, true, below)? {
                let value = entry.map_or(0, |entry| entry.encode(level - 1, slot));
                self.staged.records.push(Record { place: node.offset().add(slot * 8), value });
            }
        }
        Ok(Outcome::Kept)
    }

    /// Whether holes are all that a leaf would hold.
    fn would_be_empty(&self, node: BlockNumber, base: u64, changes: &[Change]) -> Result<bool> {
        if changes.iter().any(|change| change.content != Content::Hole) {
            return Ok(false);
        }
        let words = read_node(&self.space.runtime.region, node)?;
        let punched = |at: u64| changes.iter().any(|change| change.covers(at, 1));
        Ok((base..).zip(words.iter()).all(|(at, &word)| word == 0 || punched(at)))
    }

    /// Writes a new node in place of `old`. `exclusive` says that its children may move to the new one; otherwise the old
    /// node keeps them and they are shared.
    fn shadow(
        &mut self,
        old: Option<Entry>,
        level: u8,
        base: u64,
        own: bool,
        exclusive: bool,
        changes: &[Change],
    ) -> Result<Outcome> {
        let mut words = self.words(old, level)?;
        // All raises precede the first store: a locked instruction waits for every store before it.
        let shared = old.is_some() && !exclusive && !mistake(Mistake::SharedChildrenNotRaised);
        if shared {
            let mut kept = 0;
            for (slot, ..) in children(changes, level, base) {
                self.raise(&words[kept..index_of(slot)], level)?;
                kept = index_of(slot) + 1;
            }
            self.raise(&words[kept..], level)?;
        }
        for (slot, child_base, below) in children(changes, level, base) {
            let word = &mut words[index_of(slot)];
            let child = Entry::decode(*word, level - 1, slot).unwrap_or(None);
            match self.apply(child, level - 1, child_base, exclusive, below)? {
                Outcome::Replaced(new) => *word = new.map_or(0, |new| new.encode(level - 1, slot)),
                Outcome::Kept if shared => self.raise(&[*word], level)?,
                Outcome::Kept => {}
            }
        }
        if let (Some(entry), true) = (old, own) {
            let gone =
                if exclusive { Reference::shallow(entry.block) } else { Reference::deep(entry.block, level) };
            self.staged.dropped.push(gone);
        }
        if words.iter().all(|&word| word == 0) {
            return Ok(Outcome::Replaced(None));
        }
        self.write_node(&words).map(|block| Outcome::Replaced(Some(Entry::of(block))))
    }

    /// Raises what words of a node of `level` name.
    fn raise(&mut self, words: &[u64], level: u8) -> Result<()> {
        self.space.raise_named(words, level - 1, &mut self.staged.raised)
    }

    /// The checked words of a node, or those of an empty one.
    fn words(&self, old: Option<Entry>, level: u8) -> Result<Box<[u64; 512]>> {
        let Some(old) = old else { return Ok(Box::new([0; 512])) };
        let region = &self.space.runtime.region;
        let words = read_node(region, old.block)?;
        let Some(bad) = region.first_bad_entry(&words, level - 1) else { return Ok(words) };
        let place = old.block.offset().add(bad as u64 * 8);
        Err(bad_entry(place, level - 1, words[bad]))
    }

    fn write_node(&mut self, words: &[u64; 512]) -> Result<BlockNumber> {
        let words = words.map(u64::to_le);
        let region = &self.space.runtime.region;
        loop {
            let block = self.space.allocate_one(&mut self.reservation)?;
            match region.write_to_cache(block.offset(), words.as_bytes()) {
                Ok(stored) => {
                    self.staged.fresh.push(block);
                    let before = std::mem::replace(&mut self.staged.flushed, Flushed::none());
                    self.staged.flushed = before.join(region.flush(stored));
                    return Ok(block);
                }
                // A bad block: another one will do.
                Err(error) if error.kind() == ErrorKind::MediaError && !region.is_sound(block) => {
                    self.space.give_back(&[block]);
                    self.reservation.join(self.space.reserve(1, self.purpose)?);
                }
                Err(error) => {
                    self.space.give_back(&[block]);
                    return Err(error);
                }
            }
        }
    }
}

/// What a change that covers the whole place at `base` and `level` puts there; `None` where it must be put together from
/// parts.
fn whole(change: &Change, level: u8, base: u64) -> Option<Option<Entry>> {
    match change.content {
        Content::Hole => Some(None),
        Content::Blocks { first, unwritten } if level == 0 => {
            Some(Some(Entry { block: first.add(base - change.start.0), unwritten }))
        }
        Content::Node { node, level: node_level } if level == node_level => Some(Some(Entry::of(node))),
        _ => None,
    }
}

/// The slots of a node at `base` and `level` that `changes` touch, with each slot's base and the changes that touch it.
fn children(changes: &[Change], level: u8, base: u64) -> impl Iterator<Item = (u64, u64, &[Change])> {
    let (child_span, end) = (span(level - 1), base + span(level));
    let (mut rest, mut next) = (changes, base);
    std::iter::from_fn(move || {
        while rest.first().is_some_and(|change| change.end() <= next) {
            rest = &rest[1..];
        }
        let slot = (rest.first()?.start.0.max(next) - base) / child_span;
        let child_base = base + slot * child_span;
        if child_base >= end {
            return None;
        }
        next = child_base + child_span;
        let touching = rest.iter().take_while(|change| change.start.0 < next).count();
        Some((slot, child_base, &rest[..touching]))
    })
}

/// The part of a change between `start` and `end`, in file blocks.
fn clip(change: &Change, start: u64, end: u64) -> Change {
    let (from, to) = (change.start.0.max(start), change.end().min(end));
    let content = match change.content {
        Content::Blocks { first, unwritten } => {
            Content::Blocks { first: first.add(from - change.start.0), unwritten }
        }
        other => other,
    };
    Change { start: FileBlock(from), blocks: to - from, content }
}

fn index_of(slot: u64) -> usize {
    usize::try_from(slot % NODE_ENTRIES).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every slot that a change touches comes once, in order, with just the changes that touch it.
    #[test]
    fn children_are_the_slots_that_changes_touch() {
        let hole = |start, blocks| Change { start: FileBlock(start), blocks, content: Content::Hole };
        let per_slot = span(1);
        let base = 3 * span(2);
        let changes = [
            hole(base - 5, 6),
            hole(base + 1, 1),
            hole(base + per_slot - 1, 2),
            hole(base + 7 * per_slot, 3 * per_slot),
            hole(base + 511 * per_slot + 1, per_slot),
            hole(base + span(2) + per_slot, 1),
        ];
        let found: Vec<_> = children(&changes, 2, base).collect();
        let touching = |slot: u64| -> Vec<Change> {
            let from = base + slot * per_slot;
            let touches = |change: &&Change| change.start.0 < from + per_slot && change.end() > from;
            changes.iter().filter(touches).copied().collect()
        };
        let expected: Vec<_> = (0..NODE_ENTRIES)
            .map(|slot| (slot, base + slot * per_slot, touching(slot)))
            .filter(|(_, _, touching)| !touching.is_empty())
            .collect();
        assert_eq!(expected.len(), 6, "slots 0, 1, 7, 8, 9 and 511");
        let found: Vec<_> = found.into_iter().map(|(slot, base, part)| (slot, base, part.to_vec())).collect();
        assert_eq!(found, expected);
    }
}
