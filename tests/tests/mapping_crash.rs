//! Power failures while a mapping is stored to: what was flushed is there, what a fault brought in is whole.
//!
//! Needs the feature `sim`. `DAXCOW_SEED` replays the choice of images.
#![cfg(feature = "sim")]

use std::path::Path;

use daxcow_tests::fixture::{assert_clean, bytes, contents, file, get, new_pool, open_pool, snapshot};
use daxcow_tests::images::{Effort, Tally, crash_points, judge_images};
use daxcow_tests::mapped::store;
use daxcow_tests::place::Place;
use daxcow_tests::rng::{Rng, seed_from_env};

const BLOCK: usize = 4096;
const BLOCKS: usize = 40;
/// Where the mapping is stored to: blocks that are shared, a hole, and the first of them again.
const PLACES: [usize; 5] = [3 * BLOCK + 128, 4 * BLOCK, 20 * BLOCK + 64, 30 * BLOCK, 3 * BLOCK + 192];

/// The file after the first `count` stores.
fn after(old: &[u8], count: usize) -> Vec<u8> {
    let mut bytes = old.to_vec();
    for (number, at) in PLACES.into_iter().enumerate().take(count) {
        bytes[at..at + 64].fill(0x80 + u8::try_from(number).unwrap_or(0));
    }
    bytes
}

#[test]
fn what_was_flushed_survives_and_the_rest_is_old_or_new() {
    let seed = seed_from_env(21);
    println!("DAXCOW_SEED={seed:#x} cargo test -p daxcow-tests --features sim --test mapping_crash");
    let place = Place::new();
    let pool = new_pool(&place, 16);
    let file = file(&pool, "/f");
    file.write_at(&bytes(1, BLOCKS * BLOCK), 0).expect("write");
    file.punch_hole(20 * BLOCK as u64, 15 * BLOCK as u64).expect("punch");
    snapshot(&pool, "s");
    let old = contents(&file).expect("read");
    let mapping = file.map_mut(0, old.len() as u64).expect("map");
    pool.record().expect("record");
    let mut flushed = Vec::new();
    for (number, at) in PLACES.into_iter().enumerate() {
        store(&mapping, at, &[0x80 + u8::try_from(number).unwrap_or(0); 64]);
        mapping.flush(at, 64).expect("flush");
        flushed.push(pool.recorded_events());
    }
    let recording = pool.stop_recording().expect("a recording");
    drop((mapping, file));
    let file_bytes = std::fs::metadata(place.pool()).expect("stat").len();
    let mut tally = Tally::default();
    let mut judge = |path: &Path, point: usize| {
        let pool = open_pool(path);
        assert_clean(&pool);
        let done = flushed.iter().filter(|&&end| end <= point).count();
        let found = get(&pool, "/f");
        // Of the store that was going on each word is there or not.
        let (before, next) = (after(&old, done), after(&old, done + 1));
        let words = found.chunks(8).zip(before.chunks(8).zip(next.chunks(8)));
        if found.len() != before.len()
            || words.into_iter().any(|(word, (old, new))| word != old && word != new)
        {
            return Err(format!(
                "after {done} flushes the file holds neither what was flushed nor parts of one store more"
            ));
        }
        if get(&pool, "/.snapshots/s/f") != old {
            return Err("the snapshot has changed".into());
        }
        Ok(())
    };
    let points = crash_points(&recording);
    assert!(points.len() > 2 * PLACES.len(), "{} crash points", points.len());
    let effort = Effort { singles: 3, subsets: 4, ..Effort::default() };
    let judged =
        judge_images(&recording, &points, file_bytes, effort, &mut Rng::new(seed), &mut tally, &mut judge);
    println!("{tally:?}");
    if let Err(what) = judged {
        panic!("seed {seed:#x}: {what}");
    }
}
