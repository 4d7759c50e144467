//! The writer of `daxcow_tests::power` and its judge, without a machine that loses power: the writer's process is killed, and the judge is
//! shown pools in which something is missing.

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};

use daxcow_tests::fixture;
use daxcow_tests::place::Place;
use daxcow_tests::rng::{Rng, seed_from_env};

const WORKER: &str = env!("CARGO_BIN_EXE_worker");

fn power(role: &str, place: &Place, seed: u64, operations: u64) -> Command {
    let mut command = Command::new(WORKER);
    command.args(["power", role, "here"]).arg(place.pool());
    command.args([seed.to_string(), operations.to_string()]);
    command
}

/// What the judge says of the pool in `place`.
fn judged(place: &Place, seed: u64) -> String {
    let output = power("open", place, seed, 0).output().expect("the judge runs");
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

#[test]
fn what_a_killed_writer_acknowledged_is_there() {
    let seed = seed_from_env(1);
    println!("DAXCOW_SEED={seed} cargo test -p daxcow-tests --test power");
    let place = Place::new();
    let mut rng = Rng::new(seed);
    let mut done = 0;
    for round in 0..5 {
        let role = if round == 0 { "create" } else { "open" };
        let mut writer =
            power(role, &place, seed, 1_000_000).stdout(Stdio::piped()).spawn().expect("a writer");
        let lines = BufReader::new(writer.stdout.take().expect("a pipe")).lines();
        let stop = done + 1 + rng.below(60);
        let mut heard = Vec::new();
        for line in lines.map(|line| line.expect("a line")) {
            let number = line.rsplit(' ').next().and_then(|number| number.parse().ok());
            let number: u64 = number.unwrap_or_else(|| panic!("the writer said {line:?}"));
            assert!(number >= done, "{line} after {done} were acknowledged");
            done = number;
            heard.push(line);
            if done == stop {
                writer.kill().expect("a kill");
            }
        }
        writer.wait().expect("the writer is gone");
        assert!(heard.len() > 1, "{heard:?}");
    }
    let state = judged(&place, seed);
    let found = state.strip_prefix("state here ").and_then(|number| number.parse::<u64>().ok());
    assert!(found.is_some_and(|found| found >= done), "{done} operations acknowledged, and then: {state}");
}

#[test]
fn the_judge_finds_what_is_missing() {
    type Damage = fn(&daxcow::Pool);
    let damages: [(&str, Damage); 5] = [
        ("Append", |pool| {
            let log = fixture::file(pool, "/log");
            log.set_len(0).expect("the log is emptied");
        }),
        ("log", |pool| {
            let log = fixture::file(pool, "/log");
            log.set_len(log.len().expect("a length") - 1).expect("the log is cut short");
        }),
        ("cell", |pool| fixture::file(pool, "/table").punch_hole(37 * 4096, 40_000_000).expect("a hole")),
        ("Store", |pool| fixture::file(pool, "/mapped").punch_hole(0, 4 << 20).expect("a hole")),
        ("snapshots", |pool| fixture::snapshot(pool, "1")),
    ];
    for (complaint, damage) in damages {
        let place = Place::new();
        assert!(power("create", &place, 7, 120).status().expect("the writer runs").success());
        assert_eq!(judged(&place, 7), "state here 120");
        let pool = fixture::open_pool(place.pool());
        damage(&pool);
        pool.close().expect("the pool closes");
        let state = judged(&place, 7);
        assert!(state.starts_with("failed here") && state.contains(complaint), "{complaint}: {state}");
    }
}
