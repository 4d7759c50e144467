//! Defragmenting: blocks come together, and what was shared stays shared.

use daxcow::Pool;
use daxcow::units::{BLOCK_SIZE, CHUNK_BLOCKS};
use daxcow_tests::fixture::{assert_clean, bytes, file, free, get, new_pool, readable, reopen, snapshot};
use daxcow_tests::place::Place;
use daxcow_tests::rng::{Rng, seed_from_env};

const MIB: u64 = 1 << 20;

/// Writes the blocks of two files in turns and in random order, so that neither has two blocks next to each other.
fn scattered(pool: &Pool, mib: u64) -> Vec<u8> {
    let seed = seed_from_env(0xdef);
    println!("DAXCOW_SEED={seed:#x}");
    let mut rng = Rng::new(seed);
    let contents = bytes(1, usize::try_from(mib * MIB).expect("it fits memory"));
    let mut blocks: Vec<u64> = (0..mib * MIB / BLOCK_SIZE).collect();
    let (one, other) = (file(pool, "/f"), file(pool, "/other"));
    while !blocks.is_empty() {
        let block = blocks.swap_remove(rng.index(blocks.len()));
        let at = usize::try_from(block * BLOCK_SIZE).expect("it fits memory");
        one.write_at(&contents[at..at + 4096], block * BLOCK_SIZE).expect("write");
        other.write_at(&[7], block * BLOCK_SIZE).expect("write");
    }
    contents
}

#[test]
fn a_scattered_file_comes_together_in_aligned_chunks() {
    let place = Place::new();
    let pool = new_pool(&place, 128);
    let contents = scattered(&pool, 8);
    let f = file(&pool, "/f");
    let report = f.defragment(0, u64::MAX).expect("defragment");
    assert!(report.extents_before > 1000, "{report:?}");
    assert!(report.extents_after <= 4, "{report:?}");
    assert_eq!((report.bytes_moved, report.bytes_left), (8 * MIB, 0));
    for extent in f.extents().expect("extents") {
        assert!(extent.block.is_multiple_of(CHUNK_BLOCKS), "{extent:?}");
    }
    assert!(get(&pool, "/f") == contents);
    let again = f.defragment(0, u64::MAX).expect("defragment");
    assert_eq!(again.bytes_moved, 0, "{again:?}");
    drop(f);
    assert_clean(&reopen(pool));
}

#[test]
fn snapshots_clones_and_cloned_ranges_go_on_sharing() {
    let place = Place::new();
    let pool = new_pool(&place, 128);
    let contents = scattered(&pool, 8);
    snapshot(&pool, "s1");
    pool.clone_tree("/f", "/clone").expect("clone");
    // Shared by single blocks, at another place.
    file(&pool, "/part").clone_range(&file(&pool, "/f"), MIB, 3 * BLOCK_SIZE, MIB).expect("clone");
    file(&pool, "/clone").write_at(b"changed", 5 * MIB + 1).expect("write");
    snapshot(&pool, "s2");
    let before = pool.check().expect("check");
    let room = free(&pool);
    let report = readable(&pool, "/.snapshots/s1/f").defragment(0, u64::MAX).expect("defragment");
    assert!(report.extents_before > 1000 && report.extents_after <= 4, "{report:?}");
    assert_eq!(free(&pool), room, "defragmenting takes no space");
    let after = pool.check().expect("check");
    assert_eq!(after.blocks_shared, before.blocks_shared, "what was shared is shared");
    assert_eq!(after.blocks_used, before.blocks_used);
    let live = file(&pool, "/f").extents().expect("extents");
    assert!(live.len() <= 4, "the live file moved with its snapshot: {} extents", live.len());
    let places = |path: &str| {
        let extents = readable(&pool, path).extents().expect("extents");
        extents.iter().map(|extent| (extent.offset, extent.block, extent.len)).collect::<Vec<_>>()
    };
    assert_eq!(places("/f"), places("/.snapshots/s1/f"));
    assert!(get(&pool, "/f") == contents);
    assert!(get(&pool, "/.snapshots/s1/f") == contents);
    assert!(get(&pool, "/part")[3 * 4096..] == contents[1 << 20..2 << 20]);
    let mut changed = contents.clone();
    changed[(5 << 20) + 1..(5 << 20) + 8].copy_from_slice(b"changed");
    assert!(get(&pool, "/clone") == changed && get(&pool, "/.snapshots/s2/clone") == changed);
    assert_clean(&reopen(pool));
}

#[test]
fn a_range_only_moves_that_range() {
    let place = Place::new();
    let pool = new_pool(&place, 128);
    let contents = scattered(&pool, 8);
    let report = file(&pool, "/f").defragment(4 * MIB, 2 * MIB).expect("defragment");
    assert_eq!(report.bytes_moved, 2 * MIB, "{report:?}");
    assert!(get(&pool, "/f") == contents);
    assert_clean(&reopen(pool));
}

#[test]
fn reserved_blocks_move_and_stay_reserved_and_holes_stay() {
    let place = Place::new();
    let pool = new_pool(&place, 64);
    let (f, other) = (file(&pool, "/f"), file(&pool, "/other"));
    for block in (0..64).rev() {
        f.allocate(block * 2 * BLOCK_SIZE, BLOCK_SIZE, true).expect("allocate");
        other.write_at(&[1], block * BLOCK_SIZE).expect("write");
        f.write_at(&[2], (128 + block) * BLOCK_SIZE).expect("write");
    }
    let kinds = || {
        let extents = f.extents().expect("extents");
        extents.iter().map(|extent| (extent.offset, extent.kind)).collect::<Vec<_>>()
    };
    let mapped = || f.extents().expect("extents").iter().map(|extent| extent.len).sum::<u64>();
    let (before, bytes) = (f.extents().expect("extents").len(), mapped());
    let report = f.defragment(0, u64::MAX).expect("defragment");
    assert!(report.bytes_moved > 0);
    assert_eq!(mapped(), bytes);
    assert!(kinds().len() < before, "{} extents, {before} before", kinds().len());
    assert_eq!(get(&pool, "/f").iter().filter(|&&byte| byte != 0).count(), 64);
    drop((f, other));
    assert_clean(&reopen(pool));
}

#[test]
fn a_pool_without_room_is_left_as_it_is() {
    let place = Place::new();
    let pool = new_pool(&place, 16);
    let contents = scattered(&pool, 2);
    let filler = file(&pool, "/filler");
    while filler.append(&bytes(3, 4096)).is_ok() {}
    let report = file(&pool, "/f").defragment(0, u64::MAX).expect("defragment");
    assert_eq!((report.bytes_moved, report.bytes_left), (0, 2 * MIB), "{report:?}");
    assert!(get(&pool, "/f") == contents);
    drop(filler);
    assert_clean(&reopen(pool));
}
