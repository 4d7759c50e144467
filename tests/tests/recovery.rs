//! A crash wherever it makes a difference in short operation sequences, long ones and two members at once leaves the old or the
//! new state, clean; and whatever mistake is made on purpose is found.
//!
//! Needs the feature `sim`. This is a sample of what `cargo xtask crash` goes through. `DAXCOW_SEED` replays what is random
//! from one seed.
#![cfg(feature = "sim")]

use std::collections::BTreeSet;
use std::path::Path;

use daxcow::sim::{Unit, as_disk};
use daxcow::{OpenOptions, Pool};
use daxcow_tests::fixture::{bytes, file, get, new_pool, open_pool, put};
use daxcow_tests::images::faults::{Found, Trial};
use daxcow_tests::images::pair::Pair;
use daxcow_tests::images::walk::{Sequences, Walker};
use daxcow_tests::images::{Effort, Tally, crash_points, judge_images};
use daxcow_tests::place::Place;
use daxcow_tests::rng::{Rng, seed_from_env};
use daxcow_tests::sequences::{alphabet, public_name};
use daxcow_tests::source::files;

fn effort(unit: Unit) -> Effort {
    Effort { unit, ..Effort::default() }
}

fn walker(unit: Unit, seed: u64) -> Walker {
    Walker::new(effort(unit), seed).expect("a walker")
}

fn show(tally: Tally) {
    println!("{tally}");
    assert!(tally.crash_points > tally.sequences && tally.images > tally.crash_points, "{tally:?}");
}

/// What only looks, or is about a handle and not about the pool.
const LOOKING: &[&str] = &[
    "Pool::create",
    "Pool::open_shared",
    "Pool::path",
    "Pool::info",
    "Pool::durability",
    "Pool::is_inherited",
    "Pool::usage",
    "Pool::check",
    "Pool::metadata",
    "Pool::exists",
    "Pool::read_dir",
    "Pool::snapshots",
    "Pool::diff",
    "Pool::scrub",
    "Pool::exists_known",
    "Pool::send",
    "Pool::partial_receives",
    "File::map",
    "File::views",
    "File::version",
    "Batch::committed_version",
    "File::read_at",
    "File::read_exact_at",
    "File::read_settled_at",
    "File::len",
    "File::is_empty",
    "File::seek_data",
    "File::seek_hole",
    "File::extents",
    "File::metadata",
    "File::inode",
    "File::pool",
    "File::is_stale",
    "File::lock_state",
    "File::check_shared_memory",
    "Batch::read_at",
    "Batch::len",
    "Batch::is_empty",
];
/// What is performed with another operation of the alphabet.
const PART_OF_ANOTHER: &[(&str, &str)] = &[
    ("Pool::close", "Pool::open"),
    ("File::change_locks", "File::try_lock"),
    ("File::sync_data", "File::sync"),
    ("Batch::close", "Batch::discard"),
    ("Batch::reopen", "File::batch"),
];
/// What tests do to a pool.
const SIMULATOR: &[&str] =
    &["Pool::record", "Pool::recorded_events", "Pool::stop_recording", "Pool::abandon"];

/// The public methods of a type in a source text.
fn methods(text: &str, of: &str) -> BTreeSet<String> {
    let mut within = false;
    let mut found = BTreeSet::new();
    for line in text.lines() {
        if let Some(rest) = line.strip_prefix("impl ") {
            within = rest.trim_end_matches(" {") == of;
        }
        if let Some(rest) = line.strip_prefix("    pub fn ").filter(|_| within) {
            let end = rest.find(['(', '<']).unwrap_or(rest.len());
            found.insert(format!("{of}::{}", &rest[..end]));
        }
    }
    found
}

#[test]
fn the_alphabet_has_every_public_operation() {
    let mut public = BTreeSet::new();
    let of_handles = |path: &str| {
        let path = path.strip_prefix("backend/src/").unwrap_or(path);
        ["pool.rs", "pool/", "file.rs", "file/"].iter().any(|start| path.starts_with(start))
    };
    for source in files("backend/src", "rs").into_iter().filter(|source| of_handles(&source.path)) {
        for of in ["Pool", "File", "Batch"] {
            public.extend(methods(&source.text, of));
        }
    }
    assert!(public.len() > 50, "only {public:?} were found");
    let performed: BTreeSet<&str> =
        alphabet().iter().flat_map(|(_, ops)| ops.iter().filter_map(public_name)).collect();
    let covered = |name: &str| {
        performed.contains(name)
            || LOOKING.contains(&name)
            || SIMULATOR.contains(&name)
            || PART_OF_ANOTHER.iter().any(|(part, whole)| *part == name && performed.contains(whole))
    };
    let missing: Vec<&String> = public.iter().filter(|name| !covered(name)).collect();
    assert!(missing.is_empty(), "no letter of the alphabet performs {missing:?}");
    let gone: Vec<&&str> = performed.iter().filter(|name| !public.contains(**name)).collect();
    assert!(gone.is_empty(), "the alphabet names {gone:?}, which are not public");
}

/// Every operation alone, and opening.
fn letters(unit: Unit) {
    let mut walker = walker(unit, 1);
    for number in 0..Sequences::default().count(1) {
        walker.sequence(number).unwrap_or_else(|what| panic!("{what}"));
    }
    show(walker.tally());
}

#[test]
fn every_operation_alone() {
    letters(Unit::Line);
}

#[test]
fn every_operation_alone_where_words_persist_in_any_order() {
    letters(Unit::Word);
}

#[test]
fn every_operation_alone_on_a_page_medium() {
    letters(Unit::Page);
}

/// Sequences of two and three operations, drawn by the seed.
fn sample(unit: Unit, count: u64) {
    let seed = seed_from_env(0xc4a5);
    let sequences = Sequences::default();
    let mut walker = walker(unit, seed);
    let (first, end) = (sequences.count(1), sequences.count(3));
    for place in 0..count {
        // Half of them from the far fewer that have two letters.
        let end = if place % 2 == 0 { sequences.count(2) } else { end };
        let number = first + Sequences::shuffled(place, end - first, seed);
        walker.sequence(number).unwrap_or_else(|what| panic!("DAXCOW_SEED={seed:#x}: {what}"));
    }
    show(walker.tally());
}

#[test]
fn sampled_sequences() {
    sample(Unit::Line, 40);
}

#[test]
fn sampled_sequences_on_a_page_medium() {
    sample(Unit::Page, 40);
}

#[test]
fn long_random_sequences_by_one_member_or_two() {
    let seed = seed_from_env(0xc4a5);
    for unit in [Unit::Line, Unit::Page] {
        let mut walker = walker(unit, seed);
        for seed in seed..seed + 4 {
            walker.random(seed).unwrap_or_else(|what| panic!("DAXCOW_SEED={seed:#x}, {unit:?}: {what}"));
        }
        show(walker.tally());
    }
}

#[test]
fn two_members_at_the_same_time() {
    let seed = seed_from_env(0xc4a5);
    for unit in [Unit::Line, Unit::Page] {
        let mut pair = Pair::new(effort(unit), seed).expect("a pair");
        for seed in seed..seed + 6 {
            pair.run(seed).unwrap_or_else(|what| panic!("DAXCOW_SEED={seed:#x}, {unit:?}: {what}"));
        }
        show(pair.tally());
    }
}

fn trial(unit: Unit) -> Trial {
    Trial::new(Effort { recovery_one_in: 0, ..effort(unit) }, 1).expect("a trial")
}

fn tell(found: &Found) {
    println!("{found}");
}

/// Fails unless each mistake was found but those that are known to be harmless, and those were not.
fn judge_found(found: &[Found]) {
    let wrong = found.iter().filter(|found| found.is_harmful() != found.by.is_some());
    let wrong: Vec<&str> = wrong.map(|found| found.mistake.as_str()).collect();
    assert!(wrong.is_empty(), "nobody notices, or they are not as harmless as it is said: {wrong:#?}");
}

#[test]
fn where_no_mistake_is_made_nobody_notices_any() {
    for unit in [Unit::Line, Unit::Page] {
        trial(unit).without().unwrap_or_else(|what| panic!("{unit:?}: {what}"));
    }
}

#[test]
fn every_mistake_of_the_code_is_found() {
    let found = trial(Unit::Line).of_code(&mut tell).expect("the trial runs");
    assert!(found.len() >= 20, "only {} mistakes were made", found.len());
    judge_found(&found);
}

#[test]
fn every_mistake_in_the_order_of_stores_is_found() {
    let found = trial(Unit::Line).of_order(&mut tell).expect("the trial runs");
    assert!(found.len() >= 30, "only {} mistakes were made", found.len());
    judge_found(&found);
}
/// Where a write copies the block that it shares, the bytes around it may have been synced before: they stay.
#[test]
fn what_was_synced_stays_beside_what_was_not() {
    type Change = fn(&daxcow::File) -> daxcow::Result<()>;
    // Each with the range of the file that it leaves alone.
    let changes: [(&str, std::ops::Range<usize>, Change); 7] = [
        ("append", 0..1000, |file| file.append(&[7; 500]).map(drop)),
        ("write", 0..300, |file| file.write_at(&[7; 500], 300)),
        ("write at the start", 500..1000, |file| file.write_at(&[7; 500], 0)),
        ("truncate", 0..600, |file| file.set_len(600)),
        ("punch", 0..300, |file| file.punch_hole(300, 500)),
        ("write into a hole", 4096..4396, |file| file.write_at(&[7; 500], 4396)),
        ("write at the start of a hole", 4596..8192, |file| file.write_at(&[7; 500], 4096)),
    ];
    let place = Place::new();
    new_pool(&place, 16).close().expect("the pool closes");
    let open = || Pool::open(place.pool(), &OpenOptions::new()).expect("the pool opens");
    let pool = as_disk(open);
    // Whatever is allocated later held something else before.
    put(&pool, "/filler", &bytes(2, 5 << 20));
    pool.remove_file("/filler").expect("the filler goes");
    for (name, _, _) in &changes {
        put(&pool, &format!("/{name}"), &bytes(1, 1000));
        if name.contains("hole") {
            file(&pool, &format!("/{name}")).set_len(8192).expect("a hole");
        }
    }
    let synced: Vec<_> = changes.iter().map(|(name, ..)| get(&pool, &format!("/{name}"))).collect();
    pool.create_snapshot::<&str>("s", &[]).expect("a snapshot");
    pool.sync().expect("the pool is synced");
    pool.record().expect("the recording begins");
    for (name, _, change) in &changes {
        change(&file(&pool, &format!("/{name}"))).expect("it changes");
    }
    let recording = pool.stop_recording().expect("it was recorded");
    pool.close().expect("the pool closes");
    let mut tally = Tally::default();
    let mut judge = |path: &Path, _| {
        let pool = open_pool(path);
        for ((name, kept, _), synced) in changes.iter().zip(&synced) {
            if get(&pool, &format!("/{name}"))[kept.clone()] != synced[kept.clone()] {
                return Err(format!("{name}: the bytes {kept:?} are others"));
            }
        }
        Ok(())
    };
    let points = crash_points(&recording);
    let effort = Effort::full(Unit::Page);
    let judged =
        judge_images(&recording, &points, 16 << 20, effort, &mut Rng::new(1), &mut tally, &mut judge);
    judged.unwrap_or_else(|what| panic!("{what}"));
    show(Tally { sequences: 1, ..tally });
}
