//! Crash images under RocksDB: writes that were synced and acknowledged are there, batches are whole, and no batch is there
//! without those before it.
//!
//! Random work runs on a pool whose stores, flushes and fences are recorded. Images that a crash at sampled points could have
//! left are opened by RocksDB, which recovers, compared and written to. Needs the feature `sim`:
//!
//! ```text
//! cargo test -p daxcow-rocksdb --features sim --test crash
//! ```
//!
//! `DAXCOW_SEED` replays one run up to what RocksDB's threads do in another order, `DAXCOW_CRASH_SECONDS` says how long new
//! ones are begun, `DAXCOW_POINTS` how many crash points each gets.

#[path = "../common/mod.rs"]
mod common;
mod perform;

use std::path::Path;
use std::time::{Duration, Instant};

use common::batches;
use daxcow::sim::Unit;
use daxcow::{OpenOptions, Pool};
use daxcow_tests::aftermath::judge_leaks;
use daxcow_tests::images::{Effort, Tally, crash_points, judge_images};
use daxcow_tests::rng::{Rng, number_from_env, seed_from_env};
use perform::{Performed, options, perform};

const STEPS: u64 = 40;

fn is_sound(pool: &Pool) -> Result<(), String> {
    let report = pool.check().map_err(|error| format!("checking: {error:?}"))?;
    if report.is_clean() { judge_leaks(pool) } else { Err(format!("check found {:?}", report.problems)) }
}

/// Judges the image at `path`, of a crash of `performed` after `point` events.
fn judge(path: &Path, performed: &Performed, point: usize) -> Result<(), String> {
    let expected = performed.expected(point);
    let complete = performed.ends.iter().filter(|&&end| end <= point).count();
    let steps = &performed.steps[complete.saturating_sub(6)..performed.steps.len().min(complete + 1)];
    let within = |what: String| format!("{what}\nexpected {expected:?}\nin the last of {steps:?}");
    let open = || Pool::open_shared(path, &OpenOptions::new()).map_err(|error| format!("{error:?}"));
    let pool = open()?;
    is_sound(&pool)?;
    for (name, batch) in &expected.snapshots {
        let kept = batches::open_read_only(&options(), &path.join(format!(".snapshots/{name}/db")))?;
        let found = batches::last(&kept).map_err(|what| format!("snapshot {name}: {what}"))?;
        if found != *batch {
            return Err(within(format!("snapshot {name}: the last batch is {found}")));
        }
    }
    let database = batches::open(&options(), &path.join("db"))?;
    let found = batches::last(&database).map_err(within)?;
    if !(expected.least..=expected.most).contains(&found) {
        return Err(within(format!("the last batch is {found}")));
    }
    batches::write(&database, found + 1, true).map_err(|error| format!("writing on: {error}"))?;
    drop(database);
    drop(pool);
    let pool = open()?;
    let database = batches::open(&options(), &path.join("db"))?;
    let after = batches::last(&database).map_err(|what| format!("opened again: {what}"))?;
    if after != found + 1 {
        return Err(format!("opened again: the last batch is {after} and not {}", found + 1));
    }
    drop(database);
    is_sound(&pool)
}

/// Judges images of `performed` at some points.
fn crash(performed: &Performed, points: usize, rng: &mut Rng, tally: &mut Tally) -> Result<(), String> {
    let all = crash_points(&performed.recording);
    let mut points: Vec<usize> = (0..points).map(|_| *rng.pick(&all)).collect();
    points.sort_unstable();
    points.dedup();
    let effort = Effort { unit: performed.unit, ..Effort::default() };
    tally.sequences += 1;
    judge_images(
        &performed.recording,
        &points,
        performed.file_bytes,
        effort,
        rng,
        tally,
        &mut |path, point| judge(path, performed, point),
    )
}

#[test]
fn synced_writes_survive() {
    let end = Instant::now() + Duration::from_secs(number_from_env("DAXCOW_CRASH_SECONDS", 20));
    let points = usize::try_from(number_from_env("DAXCOW_POINTS", 8)).expect("a number of points");
    let replayed = std::env::var_os("DAXCOW_SEED").is_some();
    let first = seed_from_env(0x20c);
    let mut tally = Tally::default();
    for seed in first.. {
        let mut rng = Rng::new(seed);
        let unit = *rng.pick(&[Unit::Line, Unit::Line, Unit::Word, Unit::Page]);
        let performed = perform(&mut rng, unit, STEPS, false);
        if let Err(what) = crash(&performed, points, &mut rng, &mut tally) {
            panic!(
                "{unit:?}: {what}\nreplay: DAXCOW_SEED={seed:#x} cargo test -p daxcow-rocksdb --features sim --test crash \
                 synced_writes_survive"
            );
        }
        if Instant::now() > end || replayed && std::env::var_os("DAXCOW_CRASH_SECONDS").is_none() {
            break;
        }
    }
    println!("{tally}");
}

/// The images can fail: what was not synced is lost in some.
#[test]
fn writes_that_were_not_synced_may_be_lost() {
    for unit in [Unit::Line, Unit::Page] {
        let mut rng = Rng::new(seed_from_env(1));
        let lost = (0..20).find_map(|_| {
            let performed = perform(&mut rng, unit, STEPS, true);
            crash(&performed, 8, &mut rng, &mut Tally::default()).err()
        });
        let lost = lost.unwrap_or_else(|| panic!("{unit:?}: nothing is ever lost"));
        assert!(lost.contains("the last batch is"), "{unit:?}: {lost}");
    }
}
