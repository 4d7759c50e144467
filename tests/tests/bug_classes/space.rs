//! Space: what is counted, what comes back, and a pool that is full.

use daxcow::units::BLOCK_SIZE;
use daxcow::{ErrorKind, ExtentKind};
use daxcow_tests::fixture::{
    assert_clean, bytes, file, free, get, kind, new_pool, put, reopen, snapshot, warm_up,
};
use daxcow_tests::place::Place;

use super::{BLOCK, with_pool};

#[test]
fn blocks_are_counted_right_after_truncate_preallocate_and_a_full_pool() {
    with_pool(32, |pool| {
        warm_up(pool).expect("warm up");
        let at_start = free(pool);
        let data = file(pool, "/data");
        data.allocate(0, 4 << 20, true).expect("allocate past the end");
        assert_eq!(data.len().expect("len"), 0);
        let allocated = data.metadata().expect("metadata").allocated_bytes;
        assert!(allocated >= 4 << 20, "{allocated} bytes allocated");
        data.set_len(0).expect("truncate");
        let mut at = 0;
        let error = loop {
            match data.write_at(&bytes(at, 256 << 10), at * (256 << 10)) {
                Ok(()) => at += 1,
                Err(error) => break error,
            }
        };
        assert_eq!(error.kind(), ErrorKind::NoSpace);
        assert_eq!(kind(file(pool, "/other").allocate(0, 64 << 20, false)), ErrorKind::NoSpace);
        assert_clean(pool);
        drop(data);
        pool.remove_file("/data").expect("remove from a full pool");
        pool.remove_file("/other").expect("remove from a full pool");
        assert!(free(pool) >= at_start, "{at_start} bytes were free, {} are", free(pool));
    });
}

#[test]
fn a_hole_and_an_unwritten_block_cost_no_space_and_read_as_zeros() {
    with_pool(64, |pool| {
        warm_up(pool).expect("warm up");
        let before = free(pool);
        let sparse = file(pool, "/sparse");
        sparse.set_len(16 << 40).expect("16 TiB");
        assert!(before - free(pool) <= 16 * BLOCK_SIZE, "a hole costs {} bytes", before - free(pool));
        let mut zeros = vec![1; 3 * BLOCK];
        sparse.read_exact_at(&mut zeros, (16 << 40) - 3 * BLOCK_SIZE).expect("read");
        assert_eq!(zeros, vec![0; 3 * BLOCK]);
        sparse.write_at(b"end", (16 << 40) - 3).expect("write at the end");
        let first = sparse.extents().expect("extents");
        assert_eq!(first.len(), 1, "{first:?}");
        assert_eq!((first[0].kind, first[0].offset), (ExtentKind::Data, (16 << 40) - BLOCK_SIZE));
        sparse.allocate(0, BLOCK_SIZE, false).expect("allocate");
        assert_eq!(sparse.extents().expect("extents")[0].kind, ExtentKind::Unwritten);
        sparse.read_exact_at(&mut zeros, 0).expect("read");
        assert_eq!(zeros, vec![0; 3 * BLOCK]);
    });
}

#[test]
fn punching_gives_the_space_back() {
    with_pool(64, |pool| {
        let data = file(pool, "/data");
        data.write_at(&bytes(1, 8 << 20), 0).expect("write");
        let before = free(pool);
        data.punch_hole(BLOCK_SIZE, (8 << 20) - 2 * BLOCK_SIZE).expect("punch");
        assert!(free(pool) >= before + (8 << 20) - 16 * BLOCK_SIZE, "{before} before, {} after", free(pool));
        assert_eq!(data.len().expect("len"), 8 << 20);
    });
}

#[test]
fn space_comes_back_when_the_last_sharer_goes() {
    with_pool(128, |pool| {
        warm_up(pool).expect("warm up");
        let before = free(pool);
        put(pool, "/a", &bytes(1, 16 << 20));
        pool.clone_tree("/a", "/b").expect("clone");
        snapshot(pool, "s");
        let shared = before - free(pool);
        assert!(shared < 17 << 20, "three owners cost {shared} bytes");
        pool.remove_file("/a").expect("remove");
        pool.remove_file("/b").expect("remove");
        assert!(before - free(pool) >= 16 << 20, "the snapshot still owns the blocks");
        pool.delete_snapshot("s").expect("delete");
        assert!(free(pool) >= before, "{before} bytes were free, {} are", free(pool));
    });
}

#[test]
fn a_full_pool_stays_full_but_usable_after_it_is_reopened() {
    let place = Place::new();
    let pool = new_pool(&place, 32);
    let data = file(&pool, "/data");
    let mut written = 0u64;
    while data.append(&bytes(written, 64 << 10)).is_ok() {
        written += 1;
    }
    drop(data);
    let pool = reopen(pool);
    assert_clean(&pool);
    assert_eq!(kind(file(&pool, "/data").append(&[1; 1 << 20])), ErrorKind::NoSpace);
    let content = get(&pool, "/data");
    for (index, piece) in content.chunks(64 << 10).take(usize::try_from(written).expect("few")).enumerate() {
        assert!(piece == bytes(u64::try_from(index).expect("few"), 64 << 10), "piece {index}");
    }
    pool.remove_file("/data").expect("remove");
    put(&pool, "/again", &bytes(1, 1 << 20));
    assert!(get(&pool, "/again") == bytes(1, 1 << 20));
    assert_clean(&pool);
}
