//! Who is next, and how often: the order of the sides in each round, and repetitions within a turn.
//!
//! What a side finds in the caches is what the side before it left there. So the order changes from round to round in such a way that
//! every side comes after every other one equally often (a design of Williams), and where the state of the caches is the
//! question, it is made the same for all.

use std::sync::Mutex;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use crate::report::Spread;
use crate::run::{Run, micros, timed};

/// The numbers of `count` sides in the order of a round.
///
/// Within `count` rounds each side is once at each place. Within as many rounds, or twice as many where `count` is odd, each side
/// comes as often directly after each other one.
pub(crate) fn balanced(round: u32, count: usize) -> impl Iterator<Item = usize> {
    let round = usize::try_from(round).unwrap_or_default();
    // 0, 1, n-1, 2, n-2, ...: the steps from one to the next are all different.
    let zigzag = move |at: usize| if at.is_multiple_of(2) { count - at / 2 } else { at / 2 + 1 };
    // An odd number of sides has its balance only together with the same rounds backwards.
    let (shift, backwards) =
        if count.is_multiple_of(2) { (round, false) } else { (round / 2, round % 2 == 1) };
    (0..count).map(move |at| (zigzag(if backwards { count - 1 - at } else { at }) + shift) % count)
}

/// What a turn of repetitions took, in microseconds.
pub(crate) struct Turn {
    /// The first one, with empty caches.
    pub(crate) cold: f64,
    /// The median of the others.
    pub(crate) warm: f64,
    /// The median of what was done to undo it.
    pub(crate) undone: f64,
}

/// Does and undoes something with empty caches, and then once more at least and for a while.
pub(crate) fn over_and_over(
    run: &Run,
    mut act: impl FnMut() -> Result<()>,
    mut undo: impl FnMut() -> Result<()>,
) -> Result<Turn> {
    let most = run.effort().pick(3, 200, 1_000);
    let enough = Duration::from_millis(run.effort().pick(5, 20, 200));
    let (mut acting, mut undoing) = (Vec::new(), Vec::new());
    empty_caches();
    let started = Instant::now();
    while acting.len() < 2 || (acting.len() < most && started.elapsed() < enough) {
        for (what, times) in
            [(&mut act as &mut dyn FnMut() -> Result<()>, &mut acting), (&mut undo, &mut undoing)]
        {
            let (done, time) = timed(what);
            done?;
            times.push(micros(time, 1));
        }
    }
    let (cold, warm) = acting.split_first().context("a first time")?;
    Ok(Turn { cold: *cold, warm: median(warm)?, undone: median(&undoing)? })
}

/// The middle of some times.
pub(crate) fn median(times: &[f64]) -> Result<f64> {
    Spread::of(times).map(|spread| spread.median).context("a time")
}

/// More than the caches of today's processors hold for one of them.
const MORE_THAN_CACHES: usize = 96 << 20;
const LINE: usize = 64;

static MEMORY: Mutex<Vec<u8>> = Mutex::new(Vec::new());

/// Stores to so much memory that nothing else is left in the caches, nor in those of translations.
fn empty_caches() {
    let Ok(mut memory) = MEMORY.lock() else { return };
    memory.resize(MORE_THAN_CACHES, 0);
    for line in memory.chunks_exact_mut(LINE) {
        line[0] = line[0].wrapping_add(1);
    }
    std::hint::black_box(&mut *memory);
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How often each side is at each place, and how often it comes directly after each other one.
    fn census(count: usize, rounds: u32) -> (Vec<Vec<u32>>, Vec<Vec<u32>>) {
        let nothing = vec![vec![0; count]; count];
        let (mut places, mut followers) = (nothing.clone(), nothing);
        for round in 0..rounds {
            let order: Vec<usize> = balanced(round, count).collect();
            order.iter().enumerate().for_each(|(at, side)| places[*side][at] += 1);
            order.windows(2).for_each(|pair| followers[pair[0]][pair[1]] += 1);
        }
        (places, followers)
    }

    #[test]
    fn each_side_has_each_place_and_follows_each_other_equally_often() {
        for count in 1..=12_usize {
            let rounds = if count.is_multiple_of(2) { count } else { 2 * count };
            let (places, followers) = census(count, u32::try_from(rounds).unwrap());
            let each = u32::try_from(rounds / count).unwrap();
            for (side, (places, followers)) in places.into_iter().zip(followers).enumerate() {
                assert_eq!(places, vec![each; count], "{count} sides, {side}");
                let expected: Vec<u32> =
                    (0..count).map(|other| if other == side { 0 } else { each }).collect();
                assert_eq!(followers, expected, "{count} sides, after {side}");
            }
        }
    }

    #[test]
    fn three_rounds_begin_with_different_sides_and_no_pair_comes_twice() {
        for count in 3..=12 {
            let mut first: Vec<usize> = (0..3).filter_map(|round| balanced(round, count).next()).collect();
            first.sort_unstable();
            first.dedup();
            assert_eq!(first.len(), 3, "{count} sides");
            let (_, followers) = census(count, 3);
            let twice = followers.concat().into_iter().any(|times| times > 1);
            assert!(!twice || count == 3, "{count} sides");
        }
    }
}
