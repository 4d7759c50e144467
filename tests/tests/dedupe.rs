//! Dedupe, by range and out of band: what it frees, what it leaves alone, what it refuses, and that it loses nothing while
//! others read and write.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use daxcow::units::BLOCK_SIZE;
use daxcow::{Dedupe, DedupeOptions, DedupeReport, ErrorKind, ExtentKind, Pool};
use daxcow_tests::fixture::{
    assert_clean, bytes, file, free, get, kind, new_pool, put, readable, reopen, snapshot, warm_up,
};
use daxcow_tests::place::Place;
use daxcow_tests::rng::{Rng, seed_from_env};

const MIB: usize = 1 << 20;

fn dedupe_all(pool: &Pool) -> DedupeReport {
    pool.dedupe::<&str>(&[], DedupeOptions::new(), &mut |_| {}).expect("dedupe")
}

/// Two files of `mib` MiB with the same bytes and no block in common.
fn twins(pool: &Pool, mib: usize) -> Vec<u8> {
    let contents = bytes(1, mib * MIB);
    put(pool, "/a", &contents);
    put(pool, "/b", &contents);
    contents
}

#[test]
fn equal_ranges_come_to_share_their_blocks() {
    let place = Place::new();
    let pool = new_pool(&place, 64);
    warm_up(&pool).expect("warm up");
    let contents = twins(&pool, 4);
    let before = free(&pool);
    let same = file(&pool, "/b").dedupe_range(&file(&pool, "/a"), 0, 0, 4 << 20).expect("dedupe");
    assert_eq!(same, Dedupe::Same { bytes: 4 << 20 });
    assert!(free(&pool) >= before + (4 << 20), "{} bytes came free", free(&pool) - before);
    let again = file(&pool, "/b").dedupe_range(&file(&pool, "/a"), 0, 0, 4 << 20).expect("dedupe");
    assert_eq!(again, same, "what is shared already is the same");
    file(&pool, "/a").write_at(b"changed", 5000).expect("write");
    assert_eq!(get(&pool, "/b"), contents, "a write to one copies");
    assert_clean(&reopen(pool));
}

#[test]
fn ranges_that_differ_stay_as_they_are() {
    let place = Place::new();
    let pool = new_pool(&place, 64);
    twins(&pool, 1);
    file(&pool, "/b").write_at(b"x", MIB as u64 - 1).expect("write");
    let before = free(&pool);
    let (a, b) = (file(&pool, "/a"), file(&pool, "/b"));
    assert_eq!(b.dedupe_range(&a, 0, 0, MIB as u64).expect("dedupe"), Dedupe::Differs);
    assert_eq!(free(&pool), before);
    assert!(b.extents().expect("extents").iter().all(|extent| !extent.shared));
    drop((a, b));
    assert_clean(&reopen(pool));
}

#[test]
fn the_end_of_both_files_may_lie_within_a_block() {
    let place = Place::new();
    let pool = new_pool(&place, 64);
    put(&pool, "/a", &bytes(1, 10_000));
    put(&pool, "/b", &[bytes(2, 8192), bytes(1, 10_000)].concat());
    put(&pool, "/longer", &[bytes(1, 10_000), vec![1]].concat());
    let (a, b) = (file(&pool, "/a"), file(&pool, "/b"));
    assert_eq!(b.dedupe_range(&a, 0, 8192, 10_000).expect("dedupe"), Dedupe::Same { bytes: 10_000 });
    assert_eq!(get(&pool, "/b")[8192..], bytes(1, 10_000));
    b.set_len(8192 + 10_000 + 50).expect("grow");
    assert_eq!(get(&pool, "/b")[18_192..], [0; 50], "what lay beyond the end is not seen");
    assert_eq!(kind(file(&pool, "/longer").dedupe_range(&a, 0, 0, 10_000)), ErrorKind::InvalidInput);
    drop((a, b));
    assert_clean(&reopen(pool));
}

#[test]
fn holes_stay_holes_and_stored_zeros_become_one() {
    let place = Place::new();
    let pool = new_pool(&place, 64);
    let (hole, zeros) = (file(&pool, "/hole"), file(&pool, "/zeros"));
    hole.set_len(1 << 20).expect("a hole");
    zeros.write_at(&vec![0; MIB], 0).expect("zeros");
    assert_eq!(hole.dedupe_range(&zeros, 0, 0, 1 << 20).expect("dedupe"), Dedupe::Same { bytes: 1 << 20 });
    assert_eq!(hole.extents().expect("extents"), []);
    assert_eq!(zeros.dedupe_range(&hole, 0, 0, 1 << 20).expect("dedupe"), Dedupe::Same { bytes: 1 << 20 });
    assert_eq!(zeros.extents().expect("extents"), []);
    let reserved = file(&pool, "/reserved");
    reserved.allocate(0, 1 << 20, false).expect("allocate");
    zeros.write_at(&vec![0; MIB], 0).expect("zeros");
    let same = reserved.dedupe_range(&zeros, 0, 0, 1 << 20).expect("dedupe");
    assert_eq!(same, Dedupe::Same { bytes: 1 << 20 });
    let extents = reserved.extents().expect("extents");
    assert!(extents.iter().all(|extent| extent.kind == ExtentKind::Unwritten), "a reservation stays");
    drop((hole, zeros, reserved));
    assert_clean(&reopen(pool));
}

#[test]
fn within_one_file_ranges_must_not_overlap() {
    let place = Place::new();
    let pool = new_pool(&place, 64);
    put(&pool, "/a", &[bytes(1, 8192), bytes(1, 8192)].concat());
    let a = file(&pool, "/a");
    assert_eq!(kind(a.dedupe_range(&a, 0, 4096, 8192)), ErrorKind::InvalidInput);
    assert_eq!(a.dedupe_range(&a, 0, 8192, 8192).expect("dedupe"), Dedupe::Same { bytes: 8192 });
    let extents = a.extents().expect("extents");
    assert_eq!(extents[0].block, extents[1].block);
    drop(a);
    assert_clean(&reopen(pool));
}

#[test]
fn bad_ranges_and_files_are_refused() {
    let (place, other_place) = (Place::new(), Place::new());
    let pool = new_pool(&place, 64);
    twins(&pool, 1);
    snapshot(&pool, "s");
    let (a, b) = (file(&pool, "/a"), file(&pool, "/b"));
    for (from, to, len) in [(1, 0, 4096), (0, 512, 4096), (0, 0, 1000), (0, 1 << 20, 4096), (u64::MAX, 0, 1)]
    {
        assert_eq!(kind(b.dedupe_range(&a, from, to, len)), ErrorKind::InvalidInput, "{from} {to} {len}");
    }
    assert_eq!(b.dedupe_range(&a, 0, 0, 0).expect("nothing to compare"), Dedupe::Same { bytes: 0 });
    let reader = readable(&pool, "/b");
    assert_eq!(kind(reader.dedupe_range(&a, 0, 0, 4096)), ErrorKind::PermissionDenied);
    let frozen = readable(&pool, "/.snapshots/s/b");
    assert_eq!(kind(frozen.dedupe_range(&a, 0, 0, 4096)), ErrorKind::ReadOnly);
    assert_eq!(b.dedupe_range(&frozen, 0, 0, 1 << 20).expect("dedupe"), Dedupe::Same { bytes: 1 << 20 });
    let elsewhere = new_pool(&other_place, 64);
    put(&elsewhere, "/a", &bytes(1, MIB));
    assert_eq!(kind(b.dedupe_range(&file(&elsewhere, "/a"), 0, 0, 4096)), ErrorKind::InvalidInput);
    let batch = b.batch().expect("a batch");
    assert_eq!(kind(b.dedupe_range(&a, 0, 0, 4096)), ErrorKind::Busy);
    drop(batch);
}

#[test]
fn out_of_band_equal_blocks_of_files_clones_and_snapshots_become_one() {
    let place = Place::new();
    let pool = new_pool(&place, 128);
    warm_up(&pool).expect("warm up");
    let empty = free(&pool);
    let contents = twins(&pool, 4);
    // Old versions in snapshots: their blocks are shared by nodes, and some by blocks.
    snapshot(&pool, "s1");
    pool.clone_tree("/b", "/c").expect("clone");
    file(&pool, "/c").write_at(b"other", 3 << 20).expect("write");
    snapshot(&pool, "s2");
    file(&pool, "/d").clone_range(&file(&pool, "/b"), 1 << 20, 0, 2 << 20).expect("clone");
    let report = dedupe_all(&pool);
    assert_eq!(report.bytes_left, 0, "{report:?}");
    assert_eq!(report.bytes_shared, 4 << 20, "{report:?}");
    let used = empty - free(&pool);
    assert!(used < (4 << 20) + (1 << 20), "{used} bytes used for 4 MiB of different bytes");
    for path in ["/a", "/b", "/.snapshots/s1/a", "/.snapshots/s1/b", "/.snapshots/s2/b"] {
        assert!(get(&pool, path) == contents, "{path}");
    }
    assert!(get(&pool, "/d") == contents[MIB..3 * MIB]);
    assert_eq!(dedupe_all(&pool).bytes_shared, 0, "nothing is left to share");
    let pool = reopen(pool);
    assert_clean(&pool);
    for path in ["/a", "/b", "/c", "/d"] {
        file(&pool, path).write_at(&bytes(9, MIB), 512).expect("write");
    }
    assert!(get(&pool, "/.snapshots/s1/b") == contents, "what is written later is written beside");
    assert_clean(&reopen(pool));
}

#[test]
fn little_memory_only_means_reading_more_often() {
    let place = Place::new();
    let pool = new_pool(&place, 512);
    // 1 MiB of memory is the least: 32 Ki blocks, 128 MiB.
    put(&pool, "/a", &bytes(1, 100 * MIB));
    put(&pool, "/b", &bytes(1, 100 * MIB));
    let mut steps = 0;
    let options = DedupeOptions::new().memory(1);
    let report = pool.dedupe(&["/a", "/b"], options, &mut |_| steps += 1).expect("dedupe");
    assert_eq!(report.bytes_shared, 100 << 20, "{report:?}");
    assert_eq!(report.bytes_examined, 200 << 20, "{report:?}");
    assert!(steps > 10, "{steps} steps of progress");
    assert_clean(&reopen(pool));
}

#[test]
fn what_a_view_points_to_stays_in_place() {
    let place = Place::new();
    let pool = new_pool(&place, 64);
    let contents = twins(&pool, 1);
    let (a, b) = (file(&pool, "/a"), file(&pool, "/b"));
    let views = [a.view(0, 4096).expect("a view"), b.view(0, 4096).expect("a view")];
    assert_eq!(dedupe_all(&pool).bytes_shared, 0, "both are pinned");
    a.defragment(0, u64::MAX).expect("defragment");
    // Blocks that came free would be written now.
    put(&pool, "/fill", &bytes(7, 8 * MIB));
    for view in views.iter().flatten() {
        assert_eq!(daxcow_tests::views::bytes(view), &contents[..4096]);
    }
    drop(views);
    assert_eq!(dedupe_all(&pool).bytes_shared, 1 << 20);
    drop((a, b));
    assert_clean(&reopen(pool));
}

#[test]
fn an_open_batch_is_not_disturbed() {
    let place = Place::new();
    let pool = new_pool(&place, 64);
    let contents = twins(&pool, 1);
    let b = file(&pool, "/b");
    let mut batch = b.batch().expect("a batch");
    batch.write_at(&contents[..8192], 4096).expect("write");
    assert_eq!(dedupe_all(&pool).bytes_shared, 1 << 20);
    batch.write_at(b"tail", 100_000).expect("write");
    batch.commit().expect("commit");
    drop(batch);
    let mut expected = contents.clone();
    expected[4096..4096 + 8192].copy_from_slice(&contents[..8192]);
    expected[100_000..100_004].copy_from_slice(b"tail");
    assert!(get(&pool, "/b") == expected);
    assert!(get(&pool, "/a") == contents);
    drop(b);
    assert_clean(&reopen(pool));
}

/// Writers overwrite blocks with one of a few contents, so that there is always something to share; readers look at a
/// snapshot that never changes; meanwhile everything is deduped and defragmented again and again.
#[test]
fn races_with_writers_and_readers_lose_nothing() {
    let seed = seed_from_env(0x5eed);
    println!("DAXCOW_SEED={seed:#x} cargo test -p daxcow-tests --test dedupe races -- --exact");
    let place = Place::new();
    let pool = new_pool(&place, 128);
    const BLOCKS: u64 = 256;
    let block_of = |number: u64| bytes(number % 5, 4096);
    let initial: Vec<u8> = (0..BLOCKS).flat_map(block_of).collect();
    for name in ["/w0", "/w1", "/w2"] {
        put(&pool, name, &initial);
    }
    snapshot(&pool, "s");
    let running = AtomicBool::new(true);
    let written: Vec<Vec<u64>> = thread::scope(|scope| {
        let writers: Vec<_> = (0..3u64)
            .map(|index| {
                let (pool, running) = (&pool, &running);
                scope.spawn(move || {
                    let mut rng = Rng::new(seed + index);
                    let target = file(pool, &format!("/w{index}"));
                    let mut blocks: Vec<u64> = (0..BLOCKS).collect();
                    while running.load(Ordering::Relaxed) {
                        let (block, number) = (rng.index(blocks.len()), rng.below(5));
                        target.write_at(&block_of(number), block as u64 * BLOCK_SIZE).expect("write");
                        blocks[block] = number;
                        if rng.one_in(64) {
                            thread::yield_now();
                        }
                    }
                    blocks
                })
            })
            .collect();
        let readers: Vec<_> = (0..2)
            .map(|index| {
                let (pool, running, initial) = (&pool, &running, &initial);
                scope.spawn(move || {
                    let mut reads = 0;
                    while running.load(Ordering::Relaxed) {
                        let found = get(pool, &format!("/.snapshots/s/w{index}"));
                        assert!(found == *initial, "a snapshot changed under its reader");
                        reads += 1;
                    }
                    reads
                })
            })
            .collect();
        let mut shared = 0;
        for round in 0..30 {
            match pool.dedupe::<&str>(&[], DedupeOptions::new(), &mut |_| {}) {
                Ok(report) => shared += report.bytes_shared,
                Err(error) => assert_eq!(error.kind(), ErrorKind::Busy, "{error}"),
            }
            let names = ["/w0", "/.snapshots/s/w1", "/w2"];
            readable(&pool, names[round % 3])
                .defragment(0, u64::MAX)
                .map_or_else(|error| assert_eq!(error.kind(), ErrorKind::Busy, "{error}"), |_| ());
        }
        running.store(false, Ordering::Relaxed);
        let reads: u64 = readers.into_iter().map(|reader| reader.join().expect("a reader")).sum();
        println!("{shared} bytes shared, {reads} reads of the snapshot");
        assert!(shared > 0 && reads > 0);
        writers.into_iter().map(|writer| writer.join().expect("a writer")).collect()
    });
    for (index, blocks) in written.iter().enumerate() {
        let expected: Vec<u8> = blocks.iter().flat_map(|&number| block_of(number)).collect();
        assert!(get(&pool, &format!("/w{index}")) == expected, "/w{index} has lost writes");
    }
    assert_clean(&reopen(pool));
}
