//! Leaves: nodes whose entries name data, which are nearly all there is to read.
//!
//! What a file has in one piece its entries name in order, so they are counted as runs. A block of a run that somebody else refers to
//! as well, a run that does not lie in a group, and a word that is no entry are looked at one by one, as everywhere.

use super::{Census, Owner};
use crate::error::Result;
use crate::format::entry::{Entry, are_consecutive, lost};
use crate::format::layout;
use crate::units::BlockNumber;

/// Entries in a row that name blocks in a row.
#[derive(Clone, Copy)]
struct Run {
    slot: u64,
    first: BlockNumber,
    blocks: u64,
}

/// Entries that are first looked at together.
const STEP: usize = 64;

/// Adds entries from `slot` on, which name `blocks` blocks from `first` on, to the run that ends there, or to a new one.
fn add(runs: &mut Vec<Run>, slot: u64, first: BlockNumber, blocks: u64) {
    match runs.last_mut() {
        Some(run) if run.slot + run.blocks == slot && run.first.0 + run.blocks == first.0 => {
            run.blocks += blocks
        }
        _ => runs.push(Run { slot, first, blocks }),
    }
}

impl Census<'_> {
    /// Counts what the entries of a leaf refer to.
    pub(super) fn leaf(&self, node: BlockNumber, owner: Owner) -> Result<()> {
        let Some(words) = self.words(node)? else { return Ok(()) };
        let mut runs: Vec<Run> = Vec::new();
        for (start, words) in (0..).step_by(STEP).zip(words.chunks_exact(STEP)) {
            match Entry::decode(words[0], 0, start) {
                Ok(Some(first)) if are_consecutive(words, first, start) => {
                    add(&mut runs, start, first.block, STEP as u64);
                }
                _ => {
                    for (slot, &word) in (start..).zip(words) {
                        match Entry::decode(word, 0, slot) {
                            Ok(Some(entry)) => add(&mut runs, slot, entry.block, 1),
                            Ok(None) => {}
                            Err(_) => self.bad_word(word, node, 1, slot, owner),
                        }
                    }
                }
            }
        }
        let counted = |run: &&Run| self.is_countable(run);
        std::hint::black_box(
            runs.iter().filter(counted).fold(0, |bits, run| bits | self.references.touch(run.first)),
        );
        for run in &runs {
            let one = |block: BlockNumber| {
                let slot = run.slot + (block.0 - run.first.0);
                let place = node.offset().add(slot * 8);
                self.refer(block, 0, place, owner.lost(lost(0, slot)));
            };
            if self.is_countable(run) {
                self.references.refer_run(run.first, run.blocks, one);
            } else {
                (0..run.blocks).for_each(|n| one(run.first.add(n)));
            }
        }
        Ok(())
    }

    /// Whether all of a run lies where blocks can be counted. It is no longer than a count table, and so cannot hold one between
    /// two such blocks.
    fn is_countable(&self, run: &Run) -> bool {
        let last = run.first.add(run.blocks - 1);
        layout::is_allocatable(run.first, self.pool_blocks)
            && layout::is_allocatable(last, self.pool_blocks)
            && self.references.covers(last)
    }
}

const _: () = assert!(layout::COUNT_TABLE_BLOCKS >= crate::format::entry::NODE_ENTRIES);
