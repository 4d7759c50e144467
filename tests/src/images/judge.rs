//! All images of a run: each recovered and compared with what is promised, and the recoveries of some crashed in turn.
//!
//! Images that differ in nothing that counts are judged once: what has certainly or by choice arrived is hashed without the
//! volatile units, together with how much of the run was complete. What a recovery must lead to is what the image must
//! lead to, however often it is crashed.

use std::collections::HashSet;

use daxcow::sim::{Arrival, Event, Image, Page, Recording, Tape};

use super::bench::Bench;
use super::run::{Performed, on_medium, recover};
use super::subsets::{self, Choice};
use super::{Effort, Tally};
use crate::aftermath::{Oracle, Wrong};
use crate::rng::Rng;

/// Images of one crash point of a recovery.
const RECOVERY: Effort = Effort {
    exhaustive_units_max: 1,
    singles: 1,
    subsets: 1,
    recovery_one_in: 0,
    unit: daxcow::sim::Unit::Line,
};
/// Crash points of one recovery, at most.
const RECOVERY_POINTS: usize = 6;
/// Of so many crashed recoveries one has the recovery after it crashed as well.
const TWICE_ONE_IN: u64 = 8;
/// Of so many recovered pools one is closed in order and opened again.
const CLOSED_ONE_IN: u64 = 16;

/// Who judges images, and what has been judged.
pub struct Judge {
    bench: Bench,
    effort: Effort,
    rng: Rng,
    seen: HashSet<(u64, Vec<usize>)>,
    /// What was done so far.
    pub tally: Tally,
}

impl Judge {
    /// A judge with a pool file of its own.
    #[must_use]
    pub fn new(bench: Bench, effort: Effort, rng: Rng) -> Judge {
        Judge { bench, effort, rng, seen: HashSet::new(), tally: Tally::default() }
    }

    /// Crashes the judged part of a run everywhere.
    ///
    /// # Errors
    /// The first image that is wrong: where the crash was and what was found.
    pub fn judge(&mut self, run: &Performed) -> Result<(), Wrong> {
        self.seen.clear();
        let mut replay = run.recording.replay(self.effort.unit);
        for point in points(run) {
            replay.advance_to(point);
            self.tally.crash_points += 1;
            let complete = run.complete(point);
            for choice in subsets::choices(&replay, self.effort, &mut self.rng) {
                let bare = replay.image_where(&mut taking(&choice, false));
                if !self.seen.insert((hash(&bare), complete.clone())) {
                    self.tally.repeated += 1;
                    continue;
                }
                let image = replay.image_where(&mut taking(&choice, true));
                self.image(run, &image, point).map_err(|Wrong { oracle, what }| {
                    let described = subsets::describe(&replay, &choice);
                    let what =
                        format!("{what}\ncrash after {point} events, {}; {described}", run.describe(point));
                    Wrong { oracle, what }
                })?;
            }
        }
        Ok(())
    }

    fn image(&mut self, run: &Performed, image: &Image, point: usize) -> Result<(), Wrong> {
        self.tally.images += 1;
        let one_in = self.effort.recovery_one_in;
        let crash_recovery = one_in > 0 && self.rng.one_in(one_in);
        match self.recovered(run, image, point, crash_recovery)? {
            Some(recovery) => self.crash_recovery(run, &recovery, point, 1),
            None => Ok(()),
        }
    }

    /// Recovers an image and judges what comes of it; gives the recording of the recovery where it is wanted.
    fn recovered(
        &mut self,
        run: &Performed,
        image: &Image,
        point: usize,
        record: bool,
    ) -> Result<Option<Recording>, Wrong> {
        let tape = if record { Tape::new(image.clone()) } else { Tape::of_pages() };
        let close = self.rng.one_in(CLOSED_ONE_IN);
        let loaded = self.bench.load(image, run.file_bytes);
        loaded.map_err(|error| Wrong::new(Oracle::Run, error.to_string()))?;
        let mut recording = None;
        self.bench.watch_with(&tape, |path| {
            on_medium(run.unit, || {
                let pool = recover(path)?;
                recording = tape.take();
                run.judge(&pool, point, self.effort.promise())?;
                if !close {
                    pool.abandon();
                    return Ok(());
                }
                pool.close().map_err(|error| Wrong::new(Oracle::Run, format!("closing: {error:?}")))?;
                let pool = recover(path)?;
                let kept = run.judge(&pool, point, self.effort.promise());
                pool.abandon();
                kept
            })
        })?;
        Ok(recording)
    }

    /// Crashes a recovery at some of its fences: whatever is left must recover to what it was recovering to.
    fn crash_recovery(
        &mut self,
        run: &Performed,
        recovery: &Recording,
        point: usize,
        depth: u32,
    ) -> Result<(), Wrong> {
        self.tally.recoveries_crashed += 1;
        let effort = Effort { unit: self.effort.unit, ..RECOVERY };
        let mut points = subsets::crash_points(recovery);
        while points.len() > RECOVERY_POINTS {
            points.remove(self.rng.index(points.len()));
        }
        let mut replay = recovery.replay(effort.unit);
        for at in points {
            replay.advance_to(at);
            self.tally.crash_points += 1;
            for choice in subsets::choices(&replay, effort, &mut self.rng) {
                let image = replay.image_where(&mut taking(&choice, true));
                self.tally.images += 1;
                let twice = depth == 1 && self.rng.one_in(TWICE_ONE_IN);
                let again = self.recovered(run, &image, point, twice).map_err(|Wrong { oracle, what }| {
                    let described = subsets::describe(&replay, &choice);
                    let what = format!("{what}\nrecovery {depth} crashed after {at} events; {described}");
                    Wrong { oracle, what }
                })?;
                if let Some(again) = again {
                    self.crash_recovery(run, &again, point, depth + 1)?;
                }
            }
        }
        Ok(())
    }
}

/// Where the judged part of a run is crashed: before each fence, and at the end of each operation.
fn points(run: &Performed) -> Vec<usize> {
    let events = run.recording.entries().iter().enumerate();
    let fences = events.filter(|(_, entry)| entry.event == Event::Fence).map(|(index, _)| index);
    let mut points: Vec<usize> = fences.chain(run.ends()).filter(|&point| point > run.begin()).collect();
    points.sort_unstable();
    points.dedup();
    points
}

/// What arrives by `choice`, the volatile units with it or not.
fn taking(choice: &Choice, volatile: bool) -> impl FnMut(daxcow::sim::Undecided) -> Arrival {
    let mut arrivals = choice.iter();
    move |unit| match arrivals.next() {
        Some(&arrival) if volatile || !unit.volatile => arrival,
        _ => Arrival::First(0),
    }
}

/// A hash of what an image changes of its base.
fn hash(image: &Image) -> u64 {
    const SPREAD: u64 = 0x9e37_79b9_7f4a_7c15;
    let fold = |hash: u64, word: u64| (hash ^ word).wrapping_mul(SPREAD).rotate_left(29);
    let page_hash = |page: &Page| {
        page.chunks_exact(8)
            .map(|word| u64::from_le_bytes(word.try_into().unwrap_or_default()))
            .fold(SPREAD, fold)
    };
    image.changed().fold(0, |hash, (number, page)| fold(fold(hash, number), page_hash(page)))
}
