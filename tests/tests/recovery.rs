//! A crash at every fence of short operation sequences, and a death at sampled steps of them, leaves the old or the new
//! state, clean.
//!
//! Needs the feature `sim`. `DAXCOW_SEED` replays random sequences from one seed, `DAXCOW_CRASH_SECONDS` says how long they
//! go on, `DAXCOW_DEATHS` how many deaths each sequence gets, `DAXCOW_EFFORT` how many images a crash point gets.
#![cfg(feature = "sim")]

use std::collections::BTreeMap;
use std::path::Path;
use std::time::{Duration, Instant};

use daxcow::sim::Unit;
use daxcow_tests::deaths::die_at;
use daxcow_tests::images::{Effort, Tally, crash_everywhere, find_faults};
use daxcow_tests::op::Op;
use daxcow_tests::rng::{Rng, number_from_env, seed_from_env};
use daxcow_tests::sequences::{alphabet, before};

/// The effort of a test; `DAXCOW_EFFORT` multiplies it.
fn effort() -> Effort {
    let factor = usize::try_from(number_from_env("DAXCOW_EFFORT", 1)).unwrap_or(1);
    let Effort { singles, subsets, .. } = Effort::default();
    Effort {
        exhaustive_units_max: factor.min(6),
        singles: factor * singles,
        subsets: factor * subsets,
        ..Effort::default()
    }
}

fn crash(name: &str, ops: &[Op], effort: Effort, seed: u64, tally: &mut Tally) {
    let mut rng = Rng::new(seed);
    if let Err(what) = crash_everywhere(&before(), ops, effort, &mut rng, tally) {
        panic!("{name}, seed {seed:#x}: {what}");
    }
}

#[test]
fn every_operation_alone() {
    let mut tally = Tally::default();
    for (name, ops) in alphabet() {
        crash(name, &ops, effort(), 1, &mut tally);
    }
    println!("{tally:?}");
    assert!(tally.crash_points > 2 * tally.sequences, "operations without fences: {tally:?}");
}

#[test]
fn every_operation_alone_on_a_page_medium() {
    let effort = Effort { unit: Unit::Page, ..effort() };
    let sync = || Op::PoolSync { member: 0 };
    let mut tally = Tally::default();
    for (name, ops) in alphabet() {
        let ops: Vec<Op> = ops.into_iter().flat_map(|op| [op, sync()]).collect();
        crash(name, &ops, effort, 2, &mut tally);
    }
    println!("{tally:?}");
    assert!(tally.crash_points > 2 * tally.sequences, "operations without fences: {tally:?}");
}

/// The crash images can fail: a run without one of its flushes or fences must be noticed by some sequence.
#[test]
fn forgotten_flushes_and_fences_are_noticed() {
    let effort = effort();
    let mut tally = Tally::default();
    let mut noticed: BTreeMap<String, Option<String>> = BTreeMap::new();
    let sequences = alphabet();
    let chosen = ["append", "batch on a shared file", "rename over"];
    for (name, ops) in sequences.iter().filter(|(name, _)| chosen.contains(name)) {
        let found = find_faults(&before(), ops, effort, &mut Rng::new(3), &mut tally);
        for (fault, what) in found.unwrap_or_else(|what| panic!("{name}: {what}")) {
            let seen = noticed.entry(fault).or_default();
            *seen = seen.take().or(what.map(|what| format!("{name}: {what}")));
        }
    }
    let unnoticed: Vec<&String> =
        noticed.iter().filter(|(_, what)| what.is_none()).map(|(fault, _)| fault).collect();
    println!("{tally:?}, {} faults, unnoticed: {unnoticed:#?}", noticed.len());
    assert!(noticed.len() >= 10, "only {} faults were tried", noticed.len());
    assert!(unnoticed.len() + 10 <= noticed.len(), "too many faults go unnoticed: {unnoticed:#?}");
}

#[test]
fn a_process_that_dies_at_any_step_leaves_the_old_or_the_new_state() {
    let program = Path::new(env!("CARGO_BIN_EXE_worker"));
    let seed = seed_from_env(0xdead);
    let deaths = number_from_env("DAXCOW_DEATHS", 3);
    let mut rng = Rng::new(seed);
    for (name, ops) in alphabet() {
        let die = |step, watched| match die_at(program, name, &ops, step, watched) {
            Ok(steps) => steps,
            Err(what) => {
                panic!("{name}, death at step {step}, watched {watched} (DAXCOW_SEED={seed:#x}): {what}")
            }
        };
        let steps = die(u64::MAX, true).unwrap_or_else(|| panic!("{name}: the process died by itself"));
        for _ in 0..deaths {
            die(1 + rng.below(steps), rng.one_in(2));
        }
    }
}

#[test]
fn random_sequences() {
    let end = Instant::now() + Duration::from_secs(number_from_env("DAXCOW_CRASH_SECONDS", 20));
    let replayed = std::env::var_os("DAXCOW_SEED").is_some();
    let mut seed = seed_from_env(0xc4a5);
    let effort = effort();
    let mut tally = Tally::default();
    let alphabet = alphabet();
    while Instant::now() < end {
        let mut rng = Rng::new(seed);
        let mut ops = Vec::new();
        let mut names = Vec::new();
        for _ in 0..2 + rng.below(2) {
            let (name, more) = rng.pick(&alphabet);
            names.push(*name);
            ops.extend(more.iter().cloned());
        }
        println!("seed {seed:#x}: {names:?}");
        let replay =
            "DAXCOW_SEED=... cargo test -p daxcow-tests --features sim --test recovery random_sequences";
        crash(&format!("{names:?} ({replay})"), &ops, effort, seed, &mut tally);
        seed += 1;
        if replayed && std::env::var_os("DAXCOW_CRASH_SECONDS").is_none() {
            break;
        }
    }
    println!(
        "crash: {} sequences, {} crash points, {} images, 0 failures",
        tally.sequences, tally.crash_points, tally.images
    );
}
