//! All short sequences of the alphabet, and random long ones.
//!
//! Sequences share their beginnings: of each only the last letter is crashed, since where its beginning is crashed is
//! judged as a sequence of its own. They are numbered, the shorter ones first; a campaign takes them in an order that its
//! seed says, and so each once.

use daxcow::sim::Unit;

use super::bench::Bench;
use super::judge::Judge;
use super::run::{Base, Threads};
use super::{Effort, Tally};
use crate::aftermath::Wrong;
use crate::op::{Op, Slot};
use crate::rng::Rng;
use crate::sequences::alphabet;

/// The longest of the numbered sequences.
pub const LENGTH_MAX: u32 = 3;
/// Letters of a random sequence.
const RANDOM_LETTERS: u64 = 12;

type Letter = (&'static str, Vec<Op>);

/// The numbered sequences.
pub struct Sequences {
    letters: Vec<Letter>,
}

impl Default for Sequences {
    fn default() -> Sequences {
        Sequences { letters: alphabet() }
    }
}

impl Sequences {
    fn letter_count(&self) -> u64 {
        self.letters.len() as u64
    }

    /// How many have at most `length` letters; the empty one is the first.
    #[must_use]
    pub fn count(&self, length: u32) -> u64 {
        (0..=length).map(|length| self.letter_count().pow(length)).sum()
    }

    /// The letters of sequence number `number`.
    fn letters(&self, number: u64) -> Vec<&Letter> {
        let (mut rest, mut length) = (number, 0);
        while rest >= self.letter_count().pow(length) {
            rest -= self.letter_count().pow(length);
            length += 1;
        }
        let mut letters = Vec::new();
        for _ in 0..length {
            letters.push(&self.letters[usize::try_from(rest % self.letter_count()).unwrap_or(0)]);
            rest /= self.letter_count();
        }
        letters
    }

    /// The number that comes at place `place` of all `count` in the order of `seed`: each number once.
    #[must_use]
    pub fn shuffled(place: u64, count: u64, seed: u64) -> u64 {
        let mut rng = Rng::new(seed);
        let start = rng.below(count);
        let coprime = |step: u64| {
            let (mut one, mut other) = (step, count);
            while other > 0 {
                (one, other) = (other, one % other);
            }
            one == 1
        };
        let mut step = 1 + rng.below(count);
        while !coprime(step) {
            step += 1;
        }
        let scaled = u128::from(place) * u128::from(step) + u128::from(start);
        u64::try_from(scaled % u128::from(count)).unwrap_or(0)
    }
}

/// What goes through sequences on one medium.
pub struct Walker {
    base: Base,
    bench: Bench,
    judge: Judge,
    sequences: Sequences,
}

impl Walker {
    /// A walker with files of its own.
    ///
    /// # Errors
    /// What went wrong, as a sentence.
    pub fn new(effort: Effort, seed: u64) -> Result<Walker, String> {
        let base = Base::new(effort.unit)?;
        let bench = || base.bench().map_err(|error| error.to_string());
        let judge = Judge::new(bench()?, effort, Rng::new(seed));
        Ok(Walker { bench: bench()?, judge, sequences: Sequences::default(), base })
    }

    /// What was done so far.
    #[must_use]
    pub fn tally(&self) -> Tally {
        self.judge.tally
    }

    /// Performs sequence number `number` and crashes its last letter everywhere; of the empty one the opening.
    ///
    /// # Errors
    /// What is wrong, with the names of the letters.
    pub fn sequence(&mut self, number: u64) -> Result<(), String> {
        let letters = self.sequences.letters(number);
        let names: Vec<&str> = letters.iter().map(|(name, _)| *name).collect();
        let ops: Vec<Op> = letters.iter().flat_map(|(_, ops)| ops.iter().cloned()).collect();
        let judged = letters.last().map_or(usize::MAX, |(_, ops)| ops.len());
        let threads = if number.is_multiple_of(2) { Threads::One } else { Threads::OneEach };
        self.run(&ops, judged, 1, threads)
            .map_err(|wrong| format!("sequence {number}, {names:?}, {threads:?}: {wrong}"))
    }

    /// Performs a long sequence that follows from `seed`, by one member or two in turn, and crashes all of it.
    ///
    /// # Errors
    /// What is wrong, with the names of the letters.
    pub fn random(&mut self, seed: u64) -> Result<(), String> {
        let mut rng = Rng::new(seed);
        let members = 1 + rng.index(2);
        let (mut names, mut ops) = (Vec::new(), Vec::new());
        if members == 2 {
            ops.extend([0, 1, 2, 3].map(|slot| Op::Close { slot }));
            ops.extend(super::run::opened_by(1));
            ops.extend(super::run::opened_by(0));
        }
        for _ in 0..2 + rng.below(RANDOM_LETTERS) {
            let (name, letter) = rng.pick(&self.sequences.letters).clone();
            let member = rng.index(members);
            names.push(format!("{member}: {name}"));
            ops.extend(letter.into_iter().map(|op| by_member(op, member)));
            if self.base.unit() == Unit::Page && rng.one_in(3) {
                ops.push(Op::PoolSync { member });
            }
        }
        self.run(&ops, ops.len(), members, Threads::One)
            .map_err(|wrong| format!("random {seed:#x}, {names:?}: {wrong}"))
    }

    fn run(&mut self, ops: &[Op], judged: usize, members: usize, threads: Threads) -> Result<(), Wrong> {
        self.judge.tally.sequences += 1;
        let run = self.base.perform(&mut self.bench, ops, judged, members, threads)?;
        self.judge.judge(&run)
    }
}

/// The slot in which member `member` has what the first one has in `slot`.
pub(super) fn slot_of(slot: Slot, member: usize) -> Slot {
    slot + 20 * member
}

/// The same operation by another member, on the files that it has open.
pub(super) fn by_member(mut op: Op, by: usize) -> Op {
    match &mut op {
        Op::CreateDir { member, .. }
        | Op::CreateDirAll { member, .. }
        | Op::RemoveDir { member, .. }
        | Op::RemoveDirAll { member, .. }
        | Op::RemoveFile { member, .. }
        | Op::Rename { member, .. }
        | Op::HardLink { member, .. }
        | Op::CloneTree { member, .. }
        | Op::Snapshot { member, .. }
        | Op::DeleteSnapshot { member, .. }
        | Op::Rollback { member, .. }
        | Op::Receive { member, .. }
        | Op::ReceiveHalf { member, .. }
        | Op::AbortReceives { member }
        | Op::Grow { member, .. }
        | Op::Trim { member }
        | Op::PoolSync { member } => *member = by,
        Op::Open { slot, member, .. } | Op::OpenUnnamed { slot, member } => {
            (*slot, *member) = (slot_of(*slot, by), by);
        }
        Op::AnotherHandle { slot, of } => (*slot, *of) = (slot_of(*slot, by), slot_of(*of, by)),
        Op::CloneRange { target, source, .. } | Op::ReplaceContents { target, with: source } => {
            (*target, *source) = (slot_of(*target, by), slot_of(*source, by));
        }
        Op::Link { files } => files.iter_mut().for_each(|(slot, _)| *slot = slot_of(*slot, by)),
        Op::CommitBatches { slots, .. } => slots.iter_mut().for_each(|slot| *slot = slot_of(*slot, by)),
        Op::Close { slot }
        | Op::Write { slot, .. }
        | Op::Append { slot, .. }
        | Op::SetLen { slot, .. }
        | Op::Allocate { slot, .. }
        | Op::ZeroRange { slot, .. }
        | Op::PunchHole { slot, .. }
        | Op::Sync { slot }
        | Op::View { slot, .. }
        | Op::MapStore { slot, .. }
        | Op::Lock { slot, .. }
        | Op::Unlock { slot, .. }
        | Op::SharedMemory { slot }
        | Op::BatchOpen { slot }
        | Op::BatchWrite { slot, .. }
        | Op::BatchWriteElsewhere { slot, .. }
        | Op::BatchSetLen { slot, .. }
        | Op::BatchCommit { slot }
        | Op::BatchDiscard { slot }
        | Op::BatchClose { slot } => *slot = slot_of(*slot, by),
        Op::Reopen | Op::Repair => op = Op::Rejoin { member: by },
        _ => {}
    }
    op
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_sequences_and_every_order_has_each_once() {
        let sequences = Sequences::default();
        let letters = sequences.letter_count();
        assert!(sequences.letters(0).is_empty());
        assert_eq!(sequences.letters(1).len(), 1);
        assert_eq!(sequences.letters(letters).len(), 1);
        assert_eq!(sequences.letters(letters + 1).len(), 2);
        assert_eq!(sequences.letters(sequences.count(3) - 1).len(), 3);
        let count = sequences.count(2);
        let mut seen: Vec<u64> = (0..count).map(|place| Sequences::shuffled(place, count, 9)).collect();
        seen.sort_unstable();
        assert!(seen.into_iter().eq(0..count));
    }
}
