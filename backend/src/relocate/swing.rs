//! The step behind the closed gate: some blocks give way to others, for all who share them, in one lane transaction.

use std::time::{Duration, Instant};

use super::sites::{Pinned, Site, namings};
use crate::error::{ErrorKind, Result};
use crate::extent_map::Tree;
use crate::format::inode::Kind;
use crate::format::lane::{RECORDS_MAX, Record};
use crate::iomap::events::{self, Intent, Outcome, Piece};
use crate::iomap::{Mapping, MappingKind};
use crate::journal::Store;
use crate::pmem::Flushed;
use crate::space::Reference;
use crate::units::{BLOCK_SIZE, BlockNumber};

/// How often an operation of somebody else may keep the gate from closing.
const BUSY_MAX: u32 = 5;
/// How long the gate stays open after a step, at the least.
const OPEN_MIN: Duration = Duration::from_micros(20);

/// What takes the place of a block.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Place {
    /// A block that was just taken, with count 1: the bytes are copied there.
    Fresh(BlockNumber),
    /// A block of a file that holds the same bytes, and one place where it is named.
    Equal(BlockNumber, Site),
}

/// A block that is to give way.
pub(super) struct Swing {
    pub(super) from: BlockNumber,
    pub(super) to: Place,
    /// Where it is named.
    pub(super) sites: Vec<Site>,
}

/// Performs swings, in steps with the gate open between them. Says of each whether it was done; what is not what it was
/// found to be any more stays as it is, and a fresh place that was not wanted is given back.
pub(super) fn perform(store: &Store, swings: &[Swing]) -> Result<Vec<bool>> {
    let mut done = Vec::with_capacity(swings.len());
    while done.len() < swings.len() {
        let left = &swings[done.len()..];
        let mut words = 0;
        let step = left
            .iter()
            .take_while(|swing| {
                words += swing.sites.len();
                words <= RECORDS_MAX
            })
            .count();
        if step == 0 {
            // More owners than one transaction has room for.
            give_back(store, left[0].to);
            done.push(false);
            continue;
        }
        match perform_step(store, &left[..step]) {
            Ok(performed) => done.extend(performed),
            Err(error) => {
                left[step..].iter().for_each(|swing| give_back(store, swing.to));
                return Err(error);
            }
        }
    }
    Ok(done)
}

fn give_back(store: &Store, place: Place) {
    if let Place::Fresh(block) = place {
        store.space.give_back(&[block]);
    }
}

fn perform_step(store: &Store, swings: &[Swing]) -> Result<Vec<bool>> {
    let mut busy = 0;
    let gate = loop {
        match store.runtime.cut() {
            Err(error) if error.kind() == ErrorKind::Busy && busy < BUSY_MAX => busy += 1,
            Ok(gate) => break gate,
            Err(error) => {
                swings.iter().for_each(|swing| give_back(store, swing.to));
                return Err(error);
            }
        }
    };
    let closed = Instant::now();
    let performed = behind_gate(store, swings);
    drop(gate);
    std::thread::sleep(closed.elapsed().max(OPEN_MIN));
    performed
}

/// Words about to change, and what is owed for them.
struct Step {
    records: Vec<Record>,
    flushed: Flushed,
    raised: Vec<Reference>,
    dropped: Vec<Reference>,
}

fn behind_gate(store: &Store, swings: &[Swing]) -> Result<Vec<bool>> {
    let mut step = Step { records: vec![], flushed: Flushed::none(), raised: vec![], dropped: vec![] };
    let mut done = Vec::with_capacity(swings.len());
    let withdrawn = store.runtime.withdraw_everything();
    let prepared = withdrawn.and_then(|()| Pinned::find(store)).and_then(|pinned| {
        for swing in swings {
            done.push(match prepare(store, &pinned, swing, &mut step) {
                // Nothing has been raised for it yet: a block that cannot be read stays where it is.
                Err(error) if error.kind() == ErrorKind::MediaError => false,
                prepared => prepared?,
            });
        }
        Ok(())
    });
    let committed = prepared.and_then(|()| commit(store, &mut step));
    match committed {
        Ok(()) => {
            store.space.lower_all(&step.dropped)?;
            let unused = swings.iter().zip(&done).filter(|(_, done)| !**done);
            unused.for_each(|(swing, _)| give_back(store, swing.to));
            Ok(done)
        }
        // A transaction that failed half way may still be replayed: what it names stays counted.
        Err(error) if store.runtime.is_lost() => Err(error),
        Err(error) => {
            store.space.lower_all(&step.raised)?;
            swings.iter().for_each(|swing| give_back(store, swing.to));
            Err(error)
        }
    }
}

/// Looks again at one block, and readies its words if all is as it was found.
fn prepare(store: &Store, pinned: &Pinned, swing: &Swing, step: &mut Step) -> Result<bool> {
    let Swing { from, to, sites } = swing;
    let Some(words) = namings(store, pinned, *from, sites)? else { return Ok(false) };
    let Some(first) = sites.first() else { return Ok(false) };
    let piece = Piece { inode: first.inode.number, intent: Intent::Move, start: first.at, blocks: 1 };
    let written = words.iter().any(|word| !word.entry.unwritten);
    let kind = if written { MappingKind::Written } else { MappingKind::Unwritten };
    let region = &store.runtime.region;
    let (place, references) = match *to {
        Place::Fresh(place) => (place, words.len().saturating_sub(1)),
        Place::Equal(place, _) => (place, words.len()),
    };
    events::begin(piece, Mapping { kind, first: place }, Mapping { kind, first: *from }, None);
    match *to {
        Place::Fresh(place) if written => {
            let copied = region.flush(region.copy(from.offset(), place.offset(), BLOCK_SIZE)?);
            step.flushed = std::mem::replace(&mut step.flushed, Flushed::none()).join(copied);
        }
        Place::Fresh(_) => {}
        Place::Equal(place, site) => {
            let same = words.iter().all(|word| !word.entry.unwritten)
                && still_holds(store, place, site)?
                && !step.dropped.iter().any(|dropped| dropped.block == place)
                && region.equal(from.offset(), place.offset(), BLOCK_SIZE)?;
            if !same {
                events::end(piece, Outcome::Differs);
                return Ok(false);
            }
        }
    }
    for _ in 0..references {
        store.space.raise(place)?;
        step.raised.push(Reference::deep(place, 0));
    }
    step.records.extend(words.iter().map(|word| word.renamed(place)));
    step.dropped.extend(words.iter().map(|_| Reference::deep(*from, 0)));
    events::end(piece, Outcome::Done);
    Ok(true)
}

/// Whether a block is still the written data it was found to be.
fn still_holds(store: &Store, block: BlockNumber, site: Site) -> Result<bool> {
    let kind = site.inode.kind(store)?;
    if kind.kind != Kind::File || kind.generation != site.generation {
        return Ok(false);
    }
    let tree = Tree::of(&store.space, site.inode.place)?;
    let naming = tree.naming(&store.space, site.at)?;
    Ok(naming.is_some_and(|naming| naming.entry.block == block && !naming.entry.unwritten))
}

fn commit(store: &Store, step: &mut Step) -> Result<()> {
    if step.records.is_empty() {
        return Ok(());
    }
    // The bytes of a block that others wrote may not be durable yet where a write is not.
    store.runtime.region.barrier()?;
    let flushed = std::mem::replace(&mut step.flushed, Flushed::none());
    store.journal.commit(&step.records, flushed)?;
    store.runtime.blocks_moved()
}
