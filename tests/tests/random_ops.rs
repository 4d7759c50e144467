//! Random operations on pools and on the reference model, compared after every step.
//!
//! `DAXCOW_SEED` replays one seed, `DAXCOW_RUNS` says how many seeds each test takes, `DAXCOW_STEPS` how many operations
//! each run has.

use daxcow_tests::campaign::{Plan, run};
use daxcow_tests::generate::Limits;
use daxcow_tests::place::Place;
use daxcow_tests::rng::{number_from_env, seed_from_env};

/// Runs the seeds of one test: the one that is set in the environment, or `runs` fixed ones.
fn campaign(test: &str, plan: &Plan, first_seed: u64, runs: u64) {
    let steps = number_from_env("DAXCOW_STEPS", u64::try_from(plan.steps).unwrap_or(0));
    let plan = Plan { steps: usize::try_from(steps).unwrap_or(usize::MAX), ..plan.clone() };
    let replayed = std::env::var_os("DAXCOW_SEED").is_some();
    let seed = seed_from_env(first_seed);
    let runs = if replayed { 1 } else { number_from_env("DAXCOW_RUNS", runs) };
    println!("{runs} runs of {} operations from seed {seed:#x}", plan.steps);
    for seed in seed..seed + runs {
        if let Err(failure) = run(&plan, seed) {
            panic!(
                "{failure}\nto repeat it: DAXCOW_SEED={seed:#x} DAXCOW_STEPS={} cargo test -p daxcow-tests --test \
                 random_ops {test} -- --exact",
                plan.steps
            );
        }
    }
}

#[test]
fn one_member() {
    let limits = Limits { members: 1, ..Plan::default().limits };
    campaign("one_member", &Plan { limits, ..Plan::default() }, 0x1000, 20);
}

#[test]
fn three_members_of_one_process() {
    let limits = Limits { members: 3, ..Plan::default().limits };
    campaign("three_members_of_one_process", &Plan { limits, ..Plan::default() }, 0x2000, 20);
}

#[test]
fn small_writes_in_small_files() {
    let limits = Limits { write_max: 8 << 10, offset_max: 40 << 10, far: false, ..Plan::default().limits };
    campaign("small_writes_in_small_files", &Plan { limits, ..Plan::default() }, 0x3000, 20);
}

#[test]
fn batches_larger_than_a_log() {
    let limits = Limits { write_max: 6 << 20, offset_max: 24 << 20, ..Plan::default().limits };
    let plan = Plan { limits, steps: 120, pool_bytes: 2 << 30, ..Plan::default() };
    campaign("batches_larger_than_a_log", &plan, 0x4000, 6);
}

#[test]
fn a_pool_that_runs_full() {
    let limits = Limits { write_max: 1 << 20, offset_max: 4 << 20, far: false, ..Plan::default().limits };
    let plan = Plan { limits, pool_bytes: 24 << 20, may_run_out: true, ..Plan::default() };
    campaign("a_pool_that_runs_full", &plan, 0x5000, 20);
}

#[test]
fn a_pool_on_a_disk() {
    let place = Place::on_disk();
    let plan =
        Plan { steps: 150, pool_bytes: 128 << 20, place: Some(place.path().into()), ..Plan::default() };
    campaign("a_pool_on_a_disk", &plan, 0x6000, 4);
}
