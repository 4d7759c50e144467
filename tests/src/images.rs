//! Crash images: performs a sequence while every store is recorded, crashes it at every fence, and opens what is left.
//!
//! At each crash point some stores may have reached the medium and some not. The image with none of them, the one with
//! all of them, some with only one or all but one, and random subsets are opened, which recovers them; each must be
//! clean and show the state before or after the operation that was going on, and all that was complete, as [`aftermath`]
//! judges it.

use std::fs::File as HostFile;
use std::os::unix::fs::FileExt;
use std::path::Path;

use daxcow::sim::{Event, Fault, Recording, Replay, Unit};
use daxcow::units::{BLOCK_BYTES, BLOCK_SIZE};
use daxcow::{CreateOptions, OpenOptions, Pool};

use crate::aftermath::{self, Promise};
use crate::model::Model;
use crate::op::Op;
use crate::place::Place;
use crate::rng::Rng;
use crate::sequences::POOL_BYTES;
use crate::session::{Session, Setup};

/// How thoroughly a recording is gone through.
#[derive(Clone, Copy, Debug)]
pub struct Effort {
    /// Up to this many undecided units all their subsets are taken.
    pub exhaustive_units_max: usize,
    /// Beyond that, this many pairs of "only this" and "all but this".
    pub singles: usize,
    /// And this many random subsets.
    pub subsets: usize,
    /// What persists as a whole: with pages, the pool is on an ordinary disk.
    pub unit: Unit,
}

impl Effort {
    /// What the medium of these units promises.
    fn promise(self) -> Promise {
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
        Effort { exhaustive_units_max: 1, singles: 1, subsets: 1, unit: Unit::Line }
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
}

/// A sequence as it was performed.
struct Performed {
    recording: Recording,
    /// The operations that were recorded.
    ops: Vec<Op>,
    /// How many events there were after each of them.
    ends: Vec<usize>,
    /// The state before the first and after each.
    states: Vec<Model>,
    /// Bytes in the pool's file at the end. It grows, durably, before anything says so.
    file_bytes: u64,
}

/// Performs `before` and then, recorded, `ops`; crashes at every fence and judges the images.
///
/// # Errors
/// The first image that is wrong: where the crash was and what was found.
pub fn crash_everywhere(
    before: &[Op],
    ops: &[Op],
    effort: Effort,
    rng: &mut Rng,
    tally: &mut Tally,
) -> Result<(), String> {
    let place = effort.place();
    let performed = perform(&place, before, ops)?;
    tally.sequences += 1;
    judge_recording(&performed, effort, rng, tally)
}

/// Performs `before` and, recorded, `ops`; then for each flush and fence of the recording (by its line in the source) judges
/// the images of the same run without it. Gives each such fault, and what was found wrong of it if anything was.
///
/// # Errors
/// Where the sequence itself goes wrong.
pub fn find_faults(
    before: &[Op],
    ops: &[Op],
    effort: Effort,
    rng: &mut Rng,
    tally: &mut Tally,
) -> Result<Vec<(String, Option<String>)>, String> {
    let place = effort.place();
    let performed = perform(&place, before, ops)?;
    let mut found = Vec::new();
    for fault in performed.recording.faults() {
        let recording = performed.recording.with_fault(fault);
        let forgotten = |event: &Event, site| match fault {
            Fault::SkipFlush(line) => matches!(event, Event::Flush { .. }) && site == line,
            Fault::SkipFence(line) => *event == Event::Fence && site == line,
        };
        let kept = |end: &usize| {
            let events = performed.recording.entries()[..*end].iter();
            events.filter(|entry| !forgotten(&entry.event, entry.site)).count()
        };
        let ends = performed.ends.iter().map(kept).collect();
        let (ops, states) = (performed.ops.clone(), performed.states.clone());
        let faulty = Performed { ends, recording, ops, states, file_bytes: performed.file_bytes };
        let outcome = judge_recording(&faulty, effort, rng, tally);
        let name = match fault {
            Fault::SkipFlush(line) => format!("flush at {line}"),
            Fault::SkipFence(line) => format!("fence at {line}"),
        };
        found.push((name, outcome.err()));
    }
    Ok(found)
}

fn perform(place: &Place, before: &[Op], ops: &[Op]) -> Result<Performed, String> {
    let setup = Setup { pool: place.pool(), members: 1, base: String::new(), may_run_out: false };
    let options = CreateOptions::new().size(POOL_BYTES).sparse(true);
    let mut session = Session::create(setup, &options).map_err(|error| error.to_string())?;
    for op in before {
        session.step(op).map_err(|mismatch| format!("{op:?}: {}", mismatch.0))?;
    }
    let pool = session.pool(0).clone();
    pool.record().map_err(|error| error.to_string())?;
    let (mut ends, mut states) = (Vec::new(), vec![session.model.clone()]);
    for op in ops {
        session.step(op).map_err(|mismatch| format!("{op:?}: {}", mismatch.0))?;
        ends.push(pool.recorded_events());
        states.push(session.model.clone());
    }
    let recording = pool.stop_recording().ok_or("the recording is gone")?;
    let file_bytes = std::fs::metadata(place.pool()).map_err(|error| error.to_string())?.len();
    Ok(Performed { recording, ops: ops.to_vec(), ends, states, file_bytes })
}

fn judge_recording(
    performed: &Performed,
    effort: Effort,
    rng: &mut Rng,
    tally: &mut Tally,
) -> Result<(), String> {
    let points = crash_points(&performed.recording);
    let mut judge = |path: &Path, point: usize| {
        judge_image(path, performed, point, effort.promise()).map_err(|what| {
            let op = performed.ends.iter().filter(|&&end| end <= point).count();
            format!("{what}\nin operation {op} ({:?}) of {:?}", performed.ops.get(op), performed.ops)
        })
    };
    judge_images(&performed.recording, &points, performed.file_bytes, effort, rng, tally, &mut judge)
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
    let place = Place::new();
    let mut replay = recording.replay(effort.unit);
    for &point in points {
        replay.advance_to(point);
        tally.crash_points += 1;
        for choice in choices(replay.undecided(), effort, rng) {
            let image = take(&replay, &choice);
            tally.images += 1;
            write_image(&place.pool(), &image, file_bytes).map_err(|error| error.to_string())?;
            judge(&place.pool(), point).map_err(|what| {
                format!(
                    "{what}\ncrash after {point} events, of {} undecided units {}",
                    choice.len(),
                    describe(&choice)
                )
            })?;
        }
    }
    Ok(())
}

/// Right before each fence, where most is undecided, and at the end.
#[must_use]
pub fn crash_points(recording: &Recording) -> Vec<usize> {
    let events = recording.entries().iter().enumerate();
    let fences = events.filter(|(_, entry)| entry.event == Event::Fence).map(|(index, _)| index);
    fences.chain([recording.entries().len()]).collect()
}

/// Which undecided units arrive: whole, not at all, or in part.
type Choice = Vec<Arrives>;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Arrives {
    Not,
    Half,
    Whole,
}

fn describe(choice: &Choice) -> String {
    let whole = choice.iter().filter(|&&arrives| arrives == Arrives::Whole).count();
    match whole {
        0 => "none arrived".into(),
        all if all == choice.len() => "all arrived".into(),
        1 => {
            format!("only number {:?} arrived", choice.iter().position(|&arrives| arrives == Arrives::Whole))
        }
        most if most + 1 == choice.len() => {
            format!(
                "all but number {:?} arrived",
                choice.iter().position(|&arrives| arrives != Arrives::Whole)
            )
        }
        some => format!("{some} arrived"),
    }
}

/// The subsets that are tried where `count` units are undecided.
fn choices(count: usize, effort: Effort, rng: &mut Rng) -> Vec<Choice> {
    if count <= effort.exhaustive_units_max {
        let subset = |bits: usize| {
            (0..count).map(|unit| if bits >> unit & 1 == 1 { Arrives::Whole } else { Arrives::Not }).collect()
        };
        return (0..1 << count).map(subset).collect();
    }
    let mut chosen = vec![vec![Arrives::Not; count], vec![Arrives::Whole; count]];
    for _ in 0..effort.singles {
        let single = rng.index(count);
        let mut only = vec![Arrives::Not; count];
        only[single] = Arrives::Whole;
        let mut all_but = vec![Arrives::Whole; count];
        all_but[single] = Arrives::Not;
        chosen.extend([only, all_but]);
    }
    let kinds = [Arrives::Not, Arrives::Half, Arrives::Whole, Arrives::Whole];
    for _ in 0..effort.subsets {
        chosen.push((0..count).map(|_| *rng.pick(&kinds)).collect());
    }
    chosen
}

fn take(replay: &Replay<'_>, choice: &Choice) -> Vec<u8> {
    let mut units = choice.iter();
    replay.image(&mut |_, words| match units.next() {
        Some(Arrives::Whole) => words,
        Some(Arrives::Half) => words / 2,
        _ => 0,
    })
}

const ZEROS: [u8; BLOCK_BYTES] = [0; BLOCK_BYTES];

/// Writes an image sparsely, over the one before.
fn write_image(path: &Path, image: &[u8], file_bytes: u64) -> std::io::Result<()> {
    let host = HostFile::options().read(true).write(true).create(true).truncate(true).open(path)?;
    host.set_len(file_bytes)?;
    let mut at = 0;
    for bytes in image.chunks(BLOCK_BYTES) {
        if bytes != ZEROS {
            host.write_all_at(bytes, at)?;
        }
        at += BLOCK_SIZE;
    }
    Ok(())
}

/// Opens an image, which recovers it, and compares it with what the model allows after a crash at `point`.
fn judge_image(path: &Path, performed: &Performed, point: usize, promise: Promise) -> Result<(), String> {
    let pool = Pool::open(path, &OpenOptions::new()).map_err(|error| format!("opening: {error:?}"))?;
    let complete = performed.ends.iter().filter(|&&end| end <= point).count();
    aftermath::judge(&pool, &performed.ops, &performed.states, complete, promise)?;
    aftermath::judge_leaks(&pool)
}
