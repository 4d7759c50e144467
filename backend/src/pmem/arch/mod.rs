//! Loads, stores and flushes that answer [`Lost`] where the memory is gone, one file an architecture.
#![expect(unsafe_code, reason = "the loops that the architectures share")]

#[cfg(target_arch = "x86_64")]
mod x86_64;
#[cfg(target_arch = "x86_64")]
pub(super) use x86_64::*;

#[cfg(not(target_arch = "x86_64"))]
mod portable;
#[cfg(not(target_arch = "x86_64"))]
pub(super) use portable::*;

/// The access faulted; what it had stored before is unknown.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Lost;

/// Bytes in a cache line, the unit of a flush.
pub(super) const LINE: usize = 64;

/// A step of a counter, and what it must be for that.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Step {
    /// Up by one, from 1 on and below the limit, which is not below 2^31.
    Up { limit: u32 },
    /// Down by one, from 2 on: whoever takes the last one has more to do.
    Down,
    /// From 0 to 1.
    Take,
    /// From 1 to 0.
    Free,
}

impl Step {
    fn one(self, word: u32) -> Option<u32> {
        match self {
            Step::Up { limit } => (1..limit).contains(&word).then(|| word + 1),
            Step::Down => (word >= 2).then(|| word - 1),
            Step::Take => (word == 0).then_some(1),
            Step::Free => (word == 1).then_some(0),
        }
    }

    /// Two words in one, where both allow it and are small; otherwise they are left to [`Step::one`].
    #[cfg_attr(not(target_arch = "x86_64"), expect(dead_code, reason = "only x86-64 swaps 16 bytes"))]
    fn both(self, words: u64) -> Option<u64> {
        const TOP: u64 = 1 << 63 | 1 << 31;
        const ONES: u64 = 1 << 32 | 1;
        let (least, stepped) = match self {
            Step::Up { .. } => (1, words.wrapping_add(ONES)),
            Step::Down => (2, words.wrapping_sub(ONES)),
            Step::Take => return (words == 0).then_some(ONES),
            Step::Free => return (words == ONES).then_some(0),
        };
        // Where neither has its top bit, nothing carries: the sum has it where the word is at least `least`.
        let reaches = words.wrapping_add(ONES * ((1 << 31) - least));
        (reaches & !words & TOP == TOP).then_some(stepped)
    }
}

/// Takes `step` at up to `count` words from `to` on, one by one, up to the first that does not allow it; how many it took.
///
/// # Safety
/// As all functions of the architecture. `to` is aligned.
unsafe fn step_each(to: *mut u32, count: usize, step: Step) -> Result<usize, Lost> {
    let mut done = 0;
    while done < count {
        let at = to.wrapping_add(done);
        // SAFETY: an aligned word of what the caller vouches for.
        let old = unsafe { load_u32(at) }?;
        let Some(new) = step.one(old) else { break };
        // SAFETY: as above.
        if unsafe { cas_u32(at, old, new) }? == old {
            done += 1;
        }
    }
    Ok(done)
}

/// The first bytes of the lines that `[start, start + len)` touches: from the aligned start on, while below the end.
#[cfg_attr(not(target_arch = "x86_64"), expect(dead_code, reason = "only x86-64 flushes lines"))]
fn lines(start: usize, len: usize) -> impl Iterator<Item = usize> {
    (start - start % LINE..start + len).step_by(LINE).filter(move |_| len > 0)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    #[cfg(target_arch = "x86_64")]
    fn two_counters_step_together_as_each_would_alone() {
        let words = [0, 1, 2, 3, (1 << 31) - 1, 1 << 31, u32::MAX - 1, u32::MAX];
        for (step, low, high) in [Step::Up { limit: u32::MAX }, Step::Down, Step::Take, Step::Free]
            .into_iter()
            .flat_map(|step| words.map(|low| (step, low)))
            .flat_map(|(step, low)| words.map(|high| (step, low, high)))
        {
            let both = |low: u32, high: u32| u64::from(low) | u64::from(high) << 32;
            let alone = step.one(low).zip(step.one(high)).filter(|_| (low | high) >> 31 == 0);
            let alone = alone.map(|(low, high)| both(low, high));
            assert_eq!(step.both(both(low, high)), alone, "{step:?} {low:#x} {high:#x}");
        }
    }

    #[test]
    fn a_flush_covers_every_line_of_every_range_and_no_other() {
        for start in 4096..4096 + 2 * LINE {
            for len in 0..5 * LINE {
                let touched: BTreeSet<usize> = (start..start + len).map(|byte| byte / LINE * LINE).collect();
                assert!(lines(start, len).eq(touched), "start {start} len {len}");
            }
        }
    }
}
