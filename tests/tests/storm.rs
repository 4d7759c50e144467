//! Several processes on one pool, some of them killed with SIGKILL at random moments: the others go on, nothing
//! acknowledged is lost, nothing stays locked or leaks.
//!
//! `DAXCOW_SEED` sets the seed, `DAXCOW_SECONDS` how long each storm lasts.

use std::path::Path;
use std::time::Duration;

use daxcow_tests::place::Place;
use daxcow_tests::rng::{number_from_env, seed_from_env};
use daxcow_tests::storm::{Plan, plan, run};

fn storm(test: &str, seed: u64, change: impl FnOnce(Plan) -> Plan) {
    let seed = seed_from_env(seed);
    let mut plan = change(plan(Path::new(env!("CARGO_BIN_EXE_worker"))));
    plan.duration = Duration::from_secs(number_from_env("DAXCOW_SECONDS", plan.duration.as_secs()));
    match run(&plan, seed) {
        Ok(summary) => {
            println!("seed {seed:#x}: {summary:?}");
            assert!(summary.stamps > 0 && summary.counts > 0, "a storm that did nothing proves nothing");
        }
        Err(what) => panic!(
            "{what}\nto repeat it (moments of kills differ): DAXCOW_SEED={seed:#x} cargo test -p daxcow-tests --test \
             storm {test} -- --exact"
        ),
    }
}

#[test]
fn processes_share_a_pool() {
    storm("processes_share_a_pool", 0x71, |plan| Plan { kill_every: None, workers: 6, ..plan });
}

#[test]
fn killed_processes_block_nobody_and_lose_nothing() {
    storm("killed_processes_block_nobody_and_lose_nothing", 0x72, |plan| plan);
}

#[test]
fn a_pool_whose_last_member_was_killed_is_recovered() {
    let change =
        |plan| Plan { watched: false, workers: 3, kill_every: Some(Duration::from_millis(30)), ..plan };
    storm("a_pool_whose_last_member_was_killed_is_recovered", 0x73, change);
}

#[test]
fn killed_processes_on_a_disk() {
    let place = Place::on_disk();
    storm("killed_processes_on_a_disk", 0x74, |plan| Plan { place: Some(place.path().into()), ..plan });
}
