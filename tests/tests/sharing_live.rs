//! Blocks that move for all who share them (dedupe, defragmenting): while files are mapped and stored to, and as what they are for whoever
//! compares trees, which is no difference.

use std::sync::atomic::AtomicBool;
use std::thread;

use daxcow::units::BLOCK_SIZE;
use daxcow::{DedupeOptions, ErrorKind, Pool, SendOptions};
use daxcow_tests::fixture::{assert_clean, bytes, file, get, new_pool, snapshot};
use daxcow_tests::mapped::{StopAtEnd, count_up, word};
use daxcow_tests::place::Place;
use daxcow_tests::rng::{Rng, seed_from_env};

const BLOCK: usize = 4096;
const BLOCKS: u64 = 600;

/// Two files of the same contents, each scattered.
fn equal_and_scattered(pool: &Pool, rng: &mut Rng) {
    let files = [file(pool, "/a"), file(pool, "/b")];
    let mut order: Vec<u64> = (0..BLOCKS).collect();
    while !order.is_empty() {
        let block = order.swap_remove(rng.index(order.len()));
        for file in &files {
            file.write_at(&bytes(block, BLOCK), block * BLOCK_SIZE).expect("write");
        }
    }
}

/// Threads store to words of both files while all blocks are compared, shared and moved, and snapshots taken: no store is lost, and
/// what a snapshot holds stays.
#[test]
fn stores_survive_dedupe_and_defragmenting() {
    let seed = seed_from_env(17);
    println!("DAXCOW_SEED={seed} cargo test -p daxcow-tests --test sharing_live stores_survive");
    let place = Place::new();
    let pool = new_pool(&place, 128);
    let mut rng = Rng::new(seed);
    equal_and_scattered(&pool, &mut rng);
    let files = [file(&pool, "/a"), file(&pool, "/b")];
    let mappings = files.each_ref().map(|file| file.map_mut(0, BLOCKS * BLOCK_SIZE).expect("map"));
    let places = [(0, 0), (0, 77 * BLOCK + 8), (1, 77 * BLOCK + 8), (1, 599 * BLOCK)];
    let stop = AtomicBool::new(false);
    let (mut moved, mut shared) = (0, 0);
    let numbers: Vec<u64> = thread::scope(|scope| {
        let at_end = StopAtEnd(&stop);
        let storers = places.map(|(which, at)| {
            let (word, stop) = (word(&mappings[which], at), &stop);
            scope.spawn(move || count_up(word, stop))
        });
        for round in 0..24_u64 {
            let at = rng.below(BLOCKS - 8) * BLOCK_SIZE;
            if !places
                .iter()
                .any(|&(which, word)| which == 0 && (at..at + 8 * BLOCK_SIZE).contains(&(word as u64)))
            {
                files[0].write_at(&bytes(round % 3, 8 * BLOCK), at).expect("write");
            }
            match pool.dedupe::<&str>(&[], DedupeOptions::new(), &mut |_| {}) {
                Ok(report) => shared += report.bytes_shared,
                Err(error) => assert_eq!(error.kind(), ErrorKind::Busy, "{error}"),
            }
            snapshot(&pool, &format!("s{round}"));
            let held = get(&pool, &format!("/.snapshots/s{round}/a"));
            for file in &files {
                match file.defragment(0, u64::MAX) {
                    Ok(report) => moved += report.bytes_moved,
                    Err(error) => assert_eq!(error.kind(), ErrorKind::Busy, "{error}"),
                }
            }
            assert!(get(&pool, &format!("/.snapshots/s{round}/a")) == held, "snapshot s{round} has changed");
            if round >= 3 {
                pool.delete_snapshot(&format!("s{}", round - 3)).expect("delete");
            }
        }
        drop(at_end);
        storers.into_iter().map(|storer| storer.join().expect("a storing thread")).collect()
    });
    assert!(shared > 0 && moved > 0, "{shared} bytes shared, {moved} moved");
    for ((which, at), number) in places.into_iter().zip(numbers) {
        assert!(number > 0);
        let mut found = [0; 8];
        files[which].read_exact_at(&mut found, at as u64).expect("read");
        assert_eq!(u64::from_le_bytes(found), number, "the last store to file {which} at {at} is lost");
    }
    drop((mappings, files));
    assert_clean(&pool);
}

/// Blocks that were written anew with the same bytes, defragmented or deduped are no difference, and what all have come to share is
/// not sent.
#[test]
fn what_only_moved_is_no_difference() {
    let place = Place::new();
    let pool = new_pool(&place, 128);
    equal_and_scattered(&pool, &mut Rng::new(5));
    let f = file(&pool, "/a");
    let before = "/.snapshots/before";
    let same = |with: &str| {
        let difference = pool.diff(before, with).expect("diff");
        assert!(difference.is_empty(), "{with}: {difference:?}");
    };
    snapshot(&pool, "before");
    f.write_at(&bytes(7, BLOCK), 7 * BLOCK_SIZE).expect("the same bytes, in another block");
    snapshot(&pool, "rewritten");
    same("/.snapshots/rewritten");
    let report = f.defragment(0, u64::MAX).expect("defragment");
    assert!(report.bytes_moved > 0, "{report:?}");
    snapshot(&pool, "moved");
    same("/.snapshots/rewritten");
    same("/.snapshots/moved");
    let report = pool.dedupe::<&str>(&[], DedupeOptions::new(), &mut |_| {}).expect("dedupe");
    assert!(report.bytes_shared > 0, "{report:?}");
    snapshot(&pool, "after");
    same("/.snapshots/after");
    let mut stream = Vec::new();
    let sent = pool.send("after", SendOptions::new().parent("before"), &mut stream).expect("send");
    assert_eq!(sent.data_bytes, 0, "{sent:?}");
    f.write_at(b"changed", 9 * BLOCK_SIZE).expect("write");
    snapshot(&pool, "changed");
    let difference = pool.diff("/.snapshots/after", "/.snapshots/changed").expect("diff");
    assert_eq!(difference.len(), 1, "{difference:?}");
}
