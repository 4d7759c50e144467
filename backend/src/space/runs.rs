//! Counts of many blocks at once: of what a node names, when it is copied and when it goes.
//!
//! Counts of blocks that lie side by side lie side by side, and change four at a time. Their lines are asked for before the
//! first of them is changed: a locked instruction waits for everything before it, a line that is not there included.

use super::counts::{COUNT_MAX, Stack};
use super::{Reference, Space, check_block_within};
use crate::error::Result;
use crate::format::entry::{self, Entry, lost};
use crate::format::layout::{self, FIRST_GROUP_BLOCK, GROUP_BLOCKS};
use crate::pmem::Step;
use crate::runtime::at;
use crate::units::{BlockNumber, CHUNK_BLOCKS};

/// Runs that a node names are seldom more.
const RUNS_USUAL: usize = 64;
/// Counts in a cache line.
const LINE_COUNTS: u64 = 16;

/// References to blocks of one level that lie side by side, one each.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct References {
    first: BlockNumber,
    blocks: u64,
    level: u8,
}

impl References {
    /// One by one.
    pub(crate) fn each(self) -> impl Iterator<Item = Reference> {
        (0..self.blocks).map(move |block| Reference::deep(self.first.add(block), self.level))
    }
}

/// What `words`, checked entries and holes, name at `level`.
fn runs(words: &[u64], level: u8) -> impl Iterator<Item = References> {
    let mut rest = words;
    std::iter::from_fn(move || {
        let start = rest.iter().position(|&word| word != 0)?;
        let first = entry::block_of(rest[start]);
        let blocks = consecutive(&rest[start..], first);
        rest = &rest[start + blocks..];
        Some(References { first, blocks: blocks as u64, level })
    })
}

/// How many of `words`, the first of which names `first`, name blocks that follow each other. Steps of many words are compared
/// without a branch.
#[inline]
fn consecutive(words: &[u64], first: BlockNumber) -> usize {
    const STEP: usize = 16;
    let differs = |at: usize| words[at] == 0 || entry::block_of(words[at]).0 != first.0 + at as u64;
    let mut done = 1;
    while words.len() - done > STEP && !differs(done) && !differs(done + STEP - 1) {
        let step = &words[done..done + STEP];
        let expected = first.0 + done as u64..;
        let strange =
            expected.zip(step).fold(0, |strange, (block, &word)| strange | (entry::block_of(word).0 ^ block));
        if strange != 0 {
            break;
        }
        done += STEP;
    }
    while done < words.len() && !differs(done) {
        done += 1;
    }
    done
}

impl Space {
    /// Adds a reference to each block that `words` name at `level`, checked entries and holes, each of which has one already;
    /// `raised` gets what was raised, on failure too.
    pub(crate) fn raise_named(&self, words: &[u64], level: u8, raised: &mut Vec<References>) -> Result<()> {
        let before = raised.len();
        raised.reserve(RUNS_USUAL);
        for run in runs(words, level) {
            self.prefetch_counts(run);
            raised.push(run);
        }
        if raised.len() == before {
            return Ok(());
        }
        let limit = self.block_limit()?;
        let raising = self.runtime.lock(at::RAISING)?;
        for index in before..raised.len() {
            let run = raised[index];
            let mut done = 0;
            if let Err(error) = self.raise_run(run, limit, &mut done) {
                drop(raising);
                raised.truncate(index);
                raised.push(References { blocks: done, ..run });
                return Err(error);
            }
        }
        Ok(())
    }

    /// `done` says how many of its blocks were raised, on failure too. The caller holds the lock.
    fn raise_run(&self, run: References, limit: u64, done: &mut u64) -> Result<()> {
        let region = &self.runtime.region;
        while *done < run.blocks {
            let first = run.first.add(*done);
            let blocks = countable(first, run.blocks - *done, limit)?;
            let place = layout::count(first);
            let step = Step::Up { limit: COUNT_MAX };
            let raised = region.double_ones(place, blocks).and_then(|ones| match blocks - ones {
                0 => Ok(ones),
                left => Ok(ones + region.step_words(place.add(4 * ones), left, step)?),
            });
            let raised = raised.inspect_err(|_| self.runtime.leave_doubt())?;
            *done += raised;
            if raised < blocks {
                // Says what is wrong with it.
                self.raise_one(first.add(raised))?;
                *done += 1;
            }
        }
        Ok(())
    }

    /// Takes away the references of a node that is gone, whose entries named `level`. What is damaged keeps its block. `stack`
    /// gets those that were the last to their block, to be lowered one by one.
    pub(super) fn lower_named(&self, words: &mut [u64; 512], level: u8, stack: &mut Stack) -> Result<()> {
        if self.runtime.region.first_bad_entry(words, level).is_some() {
            for (slot, word) in (0..).zip(words.iter_mut()) {
                if Entry::decode(*word, level, slot).is_err() {
                    if *word != lost(level, slot) {
                        tracing::error!(level, slot, word = *word, "a damaged entry keeps its block");
                    }
                    *word = 0;
                }
            }
        }
        let mut failure = None;
        for run in runs(words, level) {
            self.prefetch_counts(run);
        }
        let limit = self.block_limit()?;
        for run in runs(words, level) {
            if let Err(error) = self.lower_run(run, limit, stack) {
                failure.get_or_insert(error);
            }
        }
        failure.map_or(Ok(()), Err)
    }

    fn lower_run(&self, run: References, limit: u64, stack: &mut Stack) -> Result<()> {
        let mut done = 0;
        while done < run.blocks {
            let first = run.first.add(done);
            let Ok(blocks) = countable(first, run.blocks - done, limit) else {
                // Says what is wrong with each.
                stack.extend(References { first, blocks: run.blocks - done, ..run }.each());
                return Ok(());
            };
            let lowered = self.runtime.region.step_words(layout::count(first), blocks, Step::Down)?;
            done += lowered;
            if lowered < blocks {
                let last = References { first: first.add(lowered), blocks: blocks - lowered, ..run };
                let freed = if run.level == 0 { self.free_run(last)? } else { 0 };
                done += freed;
                if freed == 0 {
                    stack.push(Reference::deep(last.first, run.level));
                    done += 1;
                }
            }
        }
        Ok(())
    }

    /// Frees those data blocks at the front of `run`, chunk by chunk, that only the caller refers to; says how many. As one by
    /// one, hints are raised first. Where memory is known to be lost each block is looked at by itself, and none is freed here.
    fn free_run(&self, run: References) -> Result<u64> {
        let region = &self.runtime.region;
        if region.knows_losses() {
            return Ok(0);
        }
        let here = run.blocks.min(CHUNK_BLOCKS - run.first.0 % CHUNK_BLOCKS);
        self.raise_hint(run.first, here)?;
        let freed = region.step_words(layout::count(run.first), here, Step::Free)?;
        if freed < here {
            self.lower_hint(run.first, here - freed)?;
        }
        region.add_u64(at::FREE_BLOCKS, freed)?;
        self.warm_run(run.first, freed);
        Ok(freed)
    }

    fn prefetch_counts(&self, run: References) {
        if run.first.0 < FIRST_GROUP_BLOCK {
            return;
        }
        for block in (0..run.blocks).step_by(usize::try_from(LINE_COUNTS).unwrap_or(1)) {
            self.runtime.region.prefetch_for_store(layout::count(run.first.add(block)));
        }
    }
}

/// How many of `blocks` blocks from `first` on have their counts side by side; checks that they can be blocks of a pool that
/// ends at block `limit`.
fn countable(first: BlockNumber, blocks: u64, limit: u64) -> Result<u64> {
    check_block_within(first, limit, "reference")?;
    let left_in_group = GROUP_BLOCKS - (first.0 - FIRST_GROUP_BLOCK) % GROUP_BLOCKS;
    let blocks = blocks.min(left_in_group);
    check_block_within(first.add(blocks - 1), limit, "reference")?;
    Ok(blocks)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A break anywhere ends a run just there, in the steps that are compared whole and beside them.
    #[test]
    fn a_run_ends_where_the_first_word_differs() {
        let word = |slot: usize| Entry::of(BlockNumber(5000 + slot as u64)).encode(0, slot as u64);
        for length in [1, 2, 15, 16, 17, 18, 33, 100, 512] {
            let words: Vec<u64> = (0..length).map(word).collect();
            assert_eq!(consecutive(&words, BlockNumber(5000)), length);
            for end in 1..length {
                for other in [0, Entry::of(BlockNumber(7)).encode(0, end as u64)] {
                    let mut broken = words.clone();
                    broken[end] = other;
                    assert_eq!(consecutive(&broken, BlockNumber(5000)), end, "of {length} words");
                }
            }
        }
    }

    #[test]
    fn runs_are_the_blocks_that_words_name_in_order() {
        let named = [Some(700), Some(701), None, Some(702), Some(703), Some(703), Some(9), None, None];
        let word = |(slot, block): (u64, &Option<u64>)| {
            block.map_or(0, |block| Entry::of(BlockNumber(block)).encode(2, slot))
        };
        let words: Vec<u64> = (0..).zip(&named).map(word).collect();
        let found: Vec<(u64, u64)> = runs(&words, 2).map(|run| (run.first.0, run.blocks)).collect();
        assert_eq!(found, [(700, 2), (702, 2), (703, 1), (9, 1)]);
        let each: Vec<Reference> = runs(&words, 2).flat_map(References::each).collect();
        let expected = named.iter().flatten().map(|&block| Reference::deep(BlockNumber(block), 2));
        assert!(each.into_iter().eq(expected));
    }
}
