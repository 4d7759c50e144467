//! What nobody means, through C++: `strange.cc` gives random addresses, names, offsets and lengths to every way in. The answer is
//! always a status; the program never crashes and nothing is thrown, and the pool is sound afterwards.
//!
//! `DAXCOW_SEED` replays a run, and takes it as many steps as `DAXCOW_STEPS` says.

mod common;

use common::{compiled, fixture, preloaded, stdout};
use daxcow_tests::rng::{number_from_env, seed_from_env};

#[test]
fn whatever_is_asked_the_answer_is_a_status() {
    let fixture = fixture();
    let programs = tempfile::tempdir().expect("a directory for the program");
    let program = compiled(programs.path(), "strange", &[]);
    fixture.pool.create_dir("/in").expect("a directory in the pool");
    let (seed, steps) = (seed_from_env(0x57a), number_from_env("DAXCOW_STEPS", 4000));
    println!(
        "DAXCOW_SEED={seed:#x} DAXCOW_STEPS={steps} cargo test -p daxcow-rocksdb-preload --test strange"
    );
    let mut command = preloaded(&program);
    command.arg(fixture.path("in")).arg(seed.to_string()).arg(steps.to_string());
    let said = stdout(&command.output().expect("the program runs"));
    let numbers = said.split_whitespace().filter_map(|word| word.parse::<u64>().ok());
    let answers: Vec<u64> = numbers.collect();
    assert!(answers.len() == 2 && answers.iter().all(|&count| count > steps / 4), "few answers: {said}");
    let report = fixture.pool.check().expect("the pool is checked");
    assert!(report.is_clean(), "{report:?}");
}
