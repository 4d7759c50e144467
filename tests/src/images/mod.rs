//! Crash images: performs operations while every store is recorded, crashes the run wherever that makes a difference, and
//! opens what is left.
//!
//! At each crash point some stores may have reached the medium and some not. Each image that is taken is opened, which
//! recovers it; the pool must be clean and show the state before or after the operation that was going on, and all that
//! was complete, as [`crate::aftermath`] judges it. The recovery of some images is recorded too, and crashed in turn.
//!
//! | module | what |
//! |---|---|
//! | [`subsets`] | where to crash, and what has arrived then |
//! | [`bench`](mod@bench) | a pool file that images are put into one after the other, quickly |
//! | [`run`](mod@run) | operations performed under a recorder, by one member or several |
//! | [`judge`](mod@judge) | all images of a run, and of the recoveries of its images |
//! | [`pair`] | two members at the same time |
//! | [`walk`] | all short sequences, and random long ones |
//! | [`campaign`] | all of it, for as long as there is time |
//! | [`faults`] | mistakes made on purpose, and who notices them |

pub mod bench;
pub mod campaign;
pub mod faults;
pub mod judge;
pub mod pair;
pub mod run;
pub mod subsets;
pub mod walk;

use std::path::Path;

use daxcow::sim::{Arrival, Recording, Unit};

use crate::aftermath::Promise;
use crate::place::Place;
use crate::rng::Rng;

pub use subsets::crash_points;

/// How thoroughly a recording is gone through.
#[derive(Clone, Copy, Debug)]
pub struct Effort {
    /// Up to this many undecided units all their subsets are taken.
    pub exhaustive_units_max: usize,
    /// Beyond that, "only this" and "all but this" for so many of them.
    pub singles: usize,
    /// And this many random subsets.
    pub subsets: usize,
    /// Of so many images one has its recovery crashed too; 0 for none.
    pub recovery_one_in: u64,
    /// What persists as a whole: with pages, the pool counts as one on an ordinary disk.
    pub unit: Unit,
}

impl Effort {
    /// Everything: "only" and "all but" for every unit.
    #[must_use]
    pub const fn full(unit: Unit) -> Effort {
        Effort { exhaustive_units_max: 4, singles: usize::MAX, subsets: 6, recovery_one_in: 40, unit }
    }

    /// What a medium of these units promises.
    #[must_use]
    pub fn promise(self) -> Promise {
        if self.unit == Unit::Page { Promise::AtSync } else { Promise::AtReturn }
    }

    /// Where pools of such a medium are.
    #[must_use]
    pub fn place(self) -> Place {
        if self.unit == Unit::Page { Place::on_disk() } else { Place::new() }
    }
}

impl Default for Effort {
    fn default() -> Effort {
        Effort { exhaustive_units_max: 2, singles: 2, subsets: 1, recovery_one_in: 200, unit: Unit::Line }
    }
}

/// What was done.
#[derive(Clone, Copy, Default, Debug)]
pub struct Tally {
    /// Operation sequences.
    pub sequences: u64,
    /// Places where they were crashed.
    pub crash_points: u64,
    /// Images opened and judged.
    pub images: u64,
    /// Images that were like one judged before.
    pub repeated: u64,
    /// Recoveries that were crashed themselves.
    pub recoveries_crashed: u64,
}

impl Tally {
    /// Adds what another one counted.
    pub fn add(&mut self, other: Tally) {
        self.sequences += other.sequences;
        self.crash_points += other.crash_points;
        self.images += other.images;
        self.repeated += other.repeated;
        self.recoveries_crashed += other.recoveries_crashed;
    }
}

impl std::fmt::Display for Tally {
    fn fmt(&self, to: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            to,
            "{} sequences, {} crash points, {} images recovered and judged ({} more were like others), {} recoveries \
             crashed",
            self.sequences, self.crash_points, self.images, self.repeated, self.recoveries_crashed
        )
    }
}

/// Crashes a recording after as many events as `points`, in ascending order, say, and has `judge` look at each image: it
/// gets the path of a pool of `file_bytes` that nobody has opened yet, and the crash point.
///
/// # Errors
/// The first that `judge` gives, with the image described.
pub fn judge_images(
    recording: &Recording,
    points: &[usize],
    file_bytes: u64,
    effort: Effort,
    rng: &mut Rng,
    tally: &mut Tally,
    judge: &mut dyn FnMut(&Path, usize) -> Result<(), String>,
) -> Result<(), String> {
    let mut bench = bench::Bench::new(recording.initial()).map_err(|error| error.to_string())?;
    let mut replay = recording.replay(effort.unit);
    for &point in points {
        replay.advance_to(point);
        tally.crash_points += 1;
        for choice in subsets::choices(&replay, effort, rng) {
            let mut arrivals = choice.iter();
            let image = replay.image_where(&mut |_| arrivals.next().map_or(Arrival::First(0), |&one| one));
            tally.images += 1;
            bench.load(&image, file_bytes).map_err(|error| error.to_string())?;
            let judged = bench.watch(|path| judge(path, point));
            judged.map_err(|what| {
                format!("{what}\ncrash after {point} events, {}", subsets::describe(&replay, &choice))
            })?;
        }
    }
    Ok(())
}
