//! Inputs of the fuzz targets without a fuzzer: the corpus in the tree, and random inputs of a seed for as long as
//! `DAXCOW_FUZZ_SECONDS` says (a target).

use std::time::{Duration, Instant};

use daxcow_tests::fuzz::Target;
use daxcow_tests::fuzz::runner::Runner;
use daxcow_tests::rng::{number_from_env, seed_from_env};

/// The corpus of a target, then random inputs.
fn survives(target: Target) {
    let mut runner = Runner::new();
    runner.try_corpus(target);
    let of_the_corpus = runner.inputs;
    let seconds = number_from_env("DAXCOW_FUZZ_SECONDS", 7);
    let seed = seed_from_env(0xf022);
    let next = runner.try_random(target, seed, Instant::now() + Duration::from_secs(seconds));
    let random = next - seed;
    println!(
        "{}: {of_the_corpus} inputs of the corpus, {random} random ones from seed {seed:#x}",
        target.name()
    );
    assert!(random > 0 || seconds == 0, "not one random input in {seconds} s");
    assert!(
        runner.failures.is_empty(),
        "{:#?}\nto repeat a seed: DAXCOW_SEED=SEED DAXCOW_FUZZ_SECONDS=1 cargo test -p daxcow-tests --test fuzz {}",
        runner.failures,
        target.name()
    );
}

#[test]
fn image_bytes() {
    survives(Target::ImageBytes);
}

#[test]
fn fields() {
    survives(Target::Fields);
}

#[test]
fn paths() {
    survives(Target::Paths);
}

#[test]
fn operations() {
    survives(Target::Operations);
}

#[test]
fn streams() {
    survives(Target::Streams);
}

#[test]
fn names() {
    survives(Target::Names);
}
