//! Crash images under SQLite: what was committed is there, and nothing is half there.
//!
//! Workloads run on a pool whose stores, flushes and fences are recorded. Images that a crash at sampled points could have
//! left are opened by SQLite; `judge` says what they have to hold. Needs the feature `sim`:
//!
//! ```text
//! cargo test -p daxcow-sqlite --features sim --test crash
//! ```
//!
//! `DAXCOW_SEED` replays one random workload, `DAXCOW_CRASH_SECONDS` says how long random ones go on, `DAXCOW_POINTS` how
//! many crash points a workload gets (8), `DAXCOW_EFFORT` how many images each of them gets.

mod fixed;
mod judge;
mod model;
mod perform;
mod random;
mod workload;

use std::collections::BTreeMap;
use std::path::Path;
use std::time::{Duration, Instant};

use daxcow::sim::{Fault, Unit};
use daxcow_tests::images::{Effort, Tally, crash_points, judge_images};
use daxcow_tests::rng::{Rng, number_from_env, seed_from_env};
use judge::{Strictness, judge};
use perform::{Performed, perform};
use workload::{Medium, Workload};

const SQL_AND_POOL: Strictness = Strictness { only_sql: false, again_one_in: 24 };
const ONLY_SQL: Strictness = Strictness { only_sql: true, again_one_in: 0 };

/// The images of one recording that are judged: how many crash points, and of which unit.
#[derive(Clone, Copy)]
struct Sample {
    points: usize,
    unit: Unit,
}

impl Sample {
    fn of(medium: Medium) -> Sample {
        let points = usize::try_from(number_from_env("DAXCOW_POINTS", 8)).unwrap_or(usize::MAX);
        Sample { points, unit: medium.unit() }
    }

    fn effort(self) -> Effort {
        let factor = usize::try_from(number_from_env("DAXCOW_EFFORT", 1)).unwrap_or(1);
        let Effort { singles, subsets, .. } = Effort::default();
        Effort {
            exhaustive_units_max: factor.min(6),
            singles: factor * singles,
            subsets: factor * subsets,
            unit: self.unit,
            ..Effort::default()
        }
    }

    /// Crash points in all of a run, half of them around the ends of steps: commits are the last fences of their steps.
    fn points(self, performed: &Performed, rng: &mut Rng) -> Vec<usize> {
        let all = crash_points(&performed.recording);
        let anywhere = (0..self.points / 2).map(|_| rng.index(all.len())).collect::<Vec<_>>();
        let near_ends = (self.points / 2..self.points).map(|_| {
            let end = *rng.pick(&performed.ends);
            all.partition_point(|&point| point <= end).saturating_sub(rng.index(8)).min(all.len() - 1)
        });
        let mut points: Vec<usize> = anywhere.into_iter().chain(near_ends).map(|index| all[index]).collect();
        points.sort_unstable();
        points.dedup();
        points
    }

    /// Judges images of `performed` at `points`.
    fn judge(
        self,
        performed: &Performed,
        points: &[usize],
        strictness: Strictness,
        rng: &mut Rng,
        tally: &mut Tally,
    ) -> Result<(), String> {
        let mut judge_rng = Rng::new(rng.word());
        let mut again = Tally::default();
        let mut judge =
            |path: &Path, point| judge(path, performed, point, strictness, &mut judge_rng, &mut again);
        let file_bytes = performed.file_bytes;
        let judged =
            judge_images(&performed.recording, points, file_bytes, self.effort(), rng, tally, &mut judge);
        tally.crash_points += again.crash_points;
        tally.images += again.images;
        judged
    }
}

/// Performs a workload and judges images of its crashes; on media of lines once as these, once as words.
fn crash(workload: &Workload, rng: &mut Rng, tally: &mut Tally) -> Result<(), String> {
    daxcow_sqlite::register(true).expect("the VFS registers");
    let performed = perform(workload);
    tally.sequences += 1;
    let sample = Sample::of(workload.setup.medium);
    sample.judge(&performed, &sample.points(&performed, rng), SQL_AND_POOL, rng, tally)?;
    if workload.setup.medium == Medium::Line {
        let words = Sample { unit: Unit::Word, points: sample.points.div_ceil(2) };
        let judged = words.judge(&performed, &words.points(&performed, rng), SQL_AND_POOL, rng, tally);
        judged.map_err(|what| format!("{what}, words"))?;
    }
    Ok(())
}

fn crash_all(workloads: &[Workload], seed: u64) {
    let seed = seed_from_env(seed);
    let mut tally = Tally::default();
    for workload in workloads {
        let begun = Instant::now();
        let mut rng = Rng::new(seed);
        if let Err(what) = crash(workload, &mut rng, &mut tally) {
            panic!("DAXCOW_SEED={seed:#x}: {what}");
        }
        println!("{} ({}): {:?}", workload.name, workload.setup, begun.elapsed());
    }
    println!("{tally:?}");
}

#[test]
fn rollback_modes() {
    crash_all(&fixed::rollback_modes(), 1);
}

#[test]
fn wal() {
    crash_all(&fixed::wal(), 2);
}

#[test]
fn attached_databases() {
    crash_all(&fixed::attached(), 3);
}

#[test]
fn layouts() {
    crash_all(&fixed::layouts(), 4);
}

#[test]
fn snapshots_clones_and_rollbacks() {
    crash_all(&fixed::snapshots(), 5);
}

#[test]
fn two_connections_and_hot_journals() {
    crash_all(&fixed::others(), 6);
}

#[test]
fn random_workloads() {
    let end = Instant::now() + Duration::from_secs(number_from_env("DAXCOW_CRASH_SECONDS", 5));
    let replayed = std::env::var_os("DAXCOW_SEED").is_some();
    let mut seed = seed_from_env(0x5c1);
    let mut tally = Tally::default();
    loop {
        if let Err(what) = crash(&random::workload(seed), &mut Rng::new(seed), &mut tally) {
            panic!(
                "{what}\nreplay: DAXCOW_SEED={seed:#x} cargo test -p daxcow-sqlite --features sim --test crash random_workloads"
            );
        }
        seed += 1;
        if Instant::now() > end || replayed && std::env::var_os("DAXCOW_CRASH_SECONDS").is_none() {
            break;
        }
    }
    println!(
        "sqlite crash: {} workloads, {} crash points, {} images, 0 failures, next seed {seed:#x}",
        tally.sequences, tally.crash_points, tally.images
    );
}

/// The images can fail: runs without one of their flushes or fences lose what SQL can see. Many a line has another that
/// does its work too; those that have none must be noticed.
#[test]
fn forgotten_flushes_and_fences_are_noticed() {
    daxcow_sqlite::register(true).expect("the VFS registers");
    let mut noticed: BTreeMap<String, Option<String>> = BTreeMap::new();
    let mut tally = Tally::default();
    let mut rng = Rng::new(seed_from_env(7));
    for workload in [fixed::rollback_modes().swap_remove(0), fixed::wal().swap_remove(0)] {
        let performed = perform(&workload);
        for fault in performed.recording.faults() {
            let name = match fault {
                Fault::SkipFlush(line) => format!("flush at {line}"),
                Fault::SkipFence(line) | Fault::PublishEarly(line) => format!("fence at {line}"),
            };
            let seen = noticed.entry(name).or_default();
            if seen.is_none() {
                *seen = notice(&performed, fault, &mut rng, &mut tally);
            }
        }
    }
    for (fault, what) in &noticed {
        println!("{fault}: {}", what.as_deref().unwrap_or("unnoticed"));
    }
    println!("{tally:?}");
    let of_journal = noticed.iter().filter(|(fault, _)| fault.contains("journal/mod.rs"));
    assert!(
        of_journal.filter(|(_, what)| what.is_some()).count() >= 2,
        "a commit that is not durable goes unnoticed"
    );
    assert!(noticed.values().flatten().count() >= 8, "too few are noticed: {noticed:#?}");
}

/// What SQL shows of a fault, crashed shortly after places where it was.
fn notice(performed: &Performed, fault: Fault, rng: &mut Rng, tally: &mut Tally) -> Option<String> {
    let sample = Sample::of(performed.workload.setup.medium);
    let (faulty, missing) = performed.with_fault(fault);
    let all = crash_points(&faulty.recording);
    let after = |place: usize, rng: &mut Rng| all.partition_point(|&point| point < place) + rng.index(3);
    let mut points: Vec<usize> =
        (0..sample.points).map(|_| all[after(*rng.pick(&missing), rng).min(all.len() - 1)]).collect();
    points.sort_unstable();
    points.dedup();
    let judged = sample.judge(&faulty, &points, ONLY_SQL, rng, tally);
    judged.err().map(|what| what.lines().next().unwrap_or_default().to_owned())
}
