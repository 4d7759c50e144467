//! Lost memory: an error for exactly what was lost, named owners, a pool that goes on, and never a dead process.
//!
//! `DAXCOW_ALL=1` loses every block that holds anything, in place of a sample.

use std::path::Path;
use std::thread;

use daxcow::units::{BLOCK_BYTES, BLOCK_SIZE};
use daxcow::{CreateOptions, ErrorKind, File, OpenOptions, Pool};
use daxcow_tests::fixture::{bytes, file, free, get, kind, new_pool, open_pool, put, readable, snapshot};
use daxcow_tests::place::{Place, SmallTmpfs};
use daxcow_tests::poison;
use daxcow_tests::process::{run, transcript};
use daxcow_tests::rng::number_from_env;
use daxcow_tests::views;

fn worker() -> &'static Path {
    Path::new(env!("CARGO_BIN_EXE_worker"))
}

/// Whether this kernel can lose a page of one process.
fn can_lose() -> bool {
    let place = Place::new();
    let pool = daxcow_tests::fixture::new_pool(&place, 16);
    match poison::lose(&place.pool(), 15 << 20) {
        Ok(()) => pool.close().is_ok(),
        Err(why) => {
            println!("SKIPPED: no page can be lost here: {why}");
            false
        }
    }
}

#[test]
fn any_block_may_be_lost_while_the_pool_is_open() {
    if !can_lose() {
        return;
    }
    let step = if number_from_env("DAXCOW_ALL", 0) > 0 { 1 } else { 23 };
    let place = Place::new();
    let output = run(worker(), &["lost", &place.pool().to_string_lossy(), "0", &step.to_string()]);
    let said = transcript(&output);
    let tail: Vec<&str> = said.lines().rev().take(12).collect();
    let tail: Vec<&str> = tail.into_iter().rev().collect();
    println!("{}", tail.join("\n"));
    assert!(output.status.success());
}

/// A pool of `mebibytes` with a file of `blocks` blocks, and where in the pool each of them lies.
fn pool_with(place: &Place, blocks: usize) -> (Pool, File, Vec<u64>) {
    let pool = new_pool(place, 16);
    put(&pool, "/file", &bytes(1, blocks * BLOCK_BYTES));
    let live = file(&pool, "/file");
    let extents = live.extents().expect("extents");
    let lie = extents
        .iter()
        .flat_map(|extent| (0..extent.len).step_by(BLOCK_BYTES).map(|at| extent.block * BLOCK_SIZE + at));
    let lie = lie.collect();
    (pool, live, lie)
}

#[test]
fn every_thread_gets_its_own_error() {
    if !can_lose() {
        return;
    }
    let place = Place::new();
    let (pool, live, lie) = pool_with(&place, 512);
    let lost: Vec<usize> = (3..512).step_by(17).collect();
    let old = bytes(1, 512 * BLOCK_BYTES);
    lost.iter().for_each(|&block| poison::lose(&place.pool(), lie[block]).expect("lost"));
    thread::scope(|scope| {
        for first in 0..8 {
            let (live, lost, old) = (&live, &lost, &old);
            scope.spawn(move || {
                let mut found = [0; BLOCK_BYTES];
                for block in (0..512).cycle().skip(first * 64).take(4 * 512) {
                    let read = live.read_at(&mut found, block as u64 * BLOCK_SIZE);
                    assert_eq!(read.is_err(), lost.contains(&block), "block {block}: {read:?}");
                    let content = &old[block * BLOCK_BYTES..][..BLOCK_BYTES];
                    assert!(read.is_err() || found[..] == *content, "block {block} has other bytes");
                }
            });
        }
    });
    // And every thread can heal, also in one write over sound and lost blocks.
    let new = bytes(2, 512 * BLOCK_BYTES);
    live.write_at(&new, 0).expect("whole blocks");
    assert!(get(&pool, "/file") == new);
    assert_eq!(pool.scrub().expect("scrub"), []);
    assert_clean_but_for(&pool, lost.len() as u64);
}

/// Fails unless the check finds nothing wrong, and no more blocks without an owner than were lost.
fn assert_clean_but_for(pool: &Pool, lost: u64) {
    let report = pool.check().expect("check");
    assert_eq!(report.problems, []);
    assert!(report.leaked_blocks <= lost, "{} blocks leaked, {lost} lost", report.leaked_blocks);
}

#[test]
fn batches_go_around_bad_blocks() {
    if !can_lose() {
        return;
    }
    let place = Place::new();
    let (pool, live, lie) = pool_with(&place, 8);
    let mut batch = live.batch().expect("batch");
    batch.write_at(&bytes(3, 4 * BLOCK_BYTES), 0).expect("write");
    let free = free(&pool);
    // The blocks that the batch may be given next are lost: those that hold nothing yet.
    let image = std::fs::read(place.pool()).expect("the pool's bytes");
    let empty =
        |&at: &u64| image[usize::try_from(at).expect("small")..][..BLOCK_BYTES].iter().all(|&byte| byte == 0);
    let next = (0..80).map(|block| lie[7] + BLOCK_SIZE * block).filter(empty);
    next.for_each(|block| poison::lose(&place.pool(), block).expect("lost"));
    batch.write_at(&bytes(4, 100), 4 * BLOCK_SIZE + 9).expect("a part of a block, in another place");
    batch.write_at(&bytes(5, 2 * BLOCK_BYTES), 5 * BLOCK_SIZE).expect("whole blocks");
    for block in 0..4 {
        batch.write_at(&bytes(6, BLOCK_BYTES), block * BLOCK_SIZE).expect("a whole block");
    }
    batch.commit().expect("commit");
    drop(batch);
    let mut expected = bytes(6, BLOCK_BYTES).repeat(4);
    expected.extend(&bytes(1, 8 * BLOCK_BYTES)[4 * BLOCK_BYTES..]);
    expected[4 * BLOCK_BYTES + 9..][..100].copy_from_slice(&bytes(4, 100));
    expected[5 * BLOCK_BYTES..7 * BLOCK_BYTES].copy_from_slice(&bytes(5, 2 * BLOCK_BYTES));
    assert!(get(&pool, "/file") == expected);
    assert!(daxcow_tests::fixture::free(&pool) <= free);
    assert_clean_but_for(&pool, 80);
}

#[test]
fn a_view_of_a_bad_page_fails_and_its_neighbour_does_not() {
    if !can_lose() {
        return;
    }
    let place = Place::new();
    let (_pool, live, lie) = pool_with(&place, 4);
    let [first, second, third] =
        [0, 1, 2].map(|block| live.view(block * BLOCK_SIZE, BLOCK_BYTES).expect("view").expect("contiguous"));
    poison::lose(&place.pool(), lie[1]).expect("lost");
    assert!(views::bytes(&third) == &bytes(1, 3 * BLOCK_BYTES)[2 * BLOCK_BYTES..]);
    assert!(!third.is_failed() && !second.is_failed());
    assert!(views::bytes(&second).iter().all(|&byte| byte == 0), "zeros stand in for what is lost");
    assert!(second.is_failed() && !third.is_failed());
    assert!(views::bytes(&first) == &bytes(1, BLOCK_BYTES)[..]);
    assert_eq!(kind(live.read_at(&mut [0; 10], BLOCK_SIZE)), ErrorKind::MediaError, "zeros are no contents");
    drop((first, second, third));
    live.write_at(&bytes(9, BLOCK_BYTES), BLOCK_SIZE).expect("heals");
    let mut found = [0; BLOCK_BYTES];
    live.read_exact_at(&mut found, BLOCK_SIZE).expect("read");
    assert!(found[..] == bytes(9, BLOCK_BYTES)[..]);
}

#[test]
fn all_views_of_a_lost_page_fail_whoever_met_it() {
    if !can_lose() {
        return;
    }
    let place = Place::new();
    let (pool, live, lie) = pool_with(&place, 2);
    let elsewhere = file(&pool, "/file");
    let start = live.view(0, 100).expect("view").expect("contiguous");
    let end = elsewhere.view(3000, 200).expect("view").expect("contiguous");
    let all = elsewhere.view(0, BLOCK_BYTES).expect("view").expect("contiguous");
    let other = elsewhere.view(BLOCK_SIZE, BLOCK_BYTES).expect("view").expect("contiguous");
    poison::lose(&place.pool(), lie[0]).expect("lost");
    assert_eq!(views::bytes(&start)[0], 0);
    assert!(start.is_failed() && end.is_failed() && all.is_failed() && !other.is_failed());
    assert_eq!(kind(elsewhere.view(2000, 10)), ErrorKind::MediaError, "a new view of zeros");
}

/// The bytes that SQLite may read beyond a page lie in another one, which may be lost too.
#[test]
fn a_lost_page_after_a_view_is_no_signal() {
    if !can_lose() {
        return;
    }
    let place = Place::new();
    let (_pool, live, lie) = pool_with(&place, 4);
    let view = live.view(0, BLOCK_BYTES).expect("view").expect("contiguous");
    poison::lose(&place.pool(), lie[1]).expect("lost");
    assert_eq!(views::beyond(&view, 255), 0);
    assert!(!view.is_failed(), "what it promises is there");
    let lost = |live: &File| kind(live.read_at(&mut [0; BLOCK_BYTES], BLOCK_SIZE));
    assert_eq!(lost(&live), ErrorKind::MediaError, "zeros are no contents");
    drop(view);
    assert_eq!(lost(&live), ErrorKind::MediaError, "zeros are no contents");
}

/// A hole in a file on a full file system: what lay there is gone for every process, also for who opens the pool later.
#[test]
fn what_all_members_lose_is_lost_for_all_and_no_more() {
    let Some(small) = SmallTmpfs::mount(24 << 20) else { return };
    let path = small.path().join("test.pool");
    let pool = Pool::create(&path, &CreateOptions::new().size(16 << 20)).expect("a new pool");
    put(&pool, "/file", &bytes(1, 4 * BLOCK_BYTES));
    put(&pool, "/other", &bytes(2, 4 * BLOCK_BYTES));
    snapshot(&pool, "s");
    let other = open_pool(&path);
    let lost = readable(&pool, "/file").extents().expect("extents")[0].block + 2;
    small.fill();
    let host = std::fs::File::options().write(true).open(&path).expect("the pool's file");
    daxcow_tests::system::punch_hole(&host, lost * BLOCK_SIZE, BLOCK_SIZE).expect("a hole");
    // What the hole gave back must not be had again.
    small.fill();
    let expected = |pool: &Pool| {
        let live = readable(pool, "/file");
        let mut found = [0; BLOCK_BYTES];
        for block in 0..4 {
            let read = live.read_at(&mut found, block * BLOCK_SIZE).map_err(|error| error.kind());
            assert_eq!(
                read,
                if block == 2 { Err(ErrorKind::MediaError) } else { Ok(BLOCK_BYTES) },
                "block {block}"
            );
        }
        assert!(get(pool, "/other") == bytes(2, 4 * BLOCK_BYTES));
        let places: Vec<String> =
            pool.scrub().expect("scrub").into_iter().map(|problem| problem.place).collect();
        let mut named =
            ["/file bytes 8192..12288", "/.snapshots/s/file bytes 8192..12288"].map(str::to_owned).to_vec();
        named.sort_by_key(|place| places.iter().position(|found| found == place));
        assert_eq!(places, named);
    };
    expected(&pool);
    expected(&other);
    other.close().expect("close");
    pool.close().expect("close");
    let pool = open_pool(&path);
    expected(&pool);
    file(&pool, "/file").write_at(&bytes(3, BLOCK_BYTES), 2 * BLOCK_SIZE).expect("heals");
    assert!(get(&pool, "/file")[2 * BLOCK_BYTES..3 * BLOCK_BYTES] == bytes(3, BLOCK_BYTES)[..]);
    pool.delete_snapshot("s").expect("delete");
    assert_eq!(pool.scrub().expect("scrub"), []);
    small.make_room();
    assert_clean_but_for(&pool, 1);
    // The block that had no memory has some again, and is as good as any.
    pool.close().expect("close");
    let pool = open_pool(&path);
    assert_eq!(pool.check().expect("check").problems, []);
}

#[test]
fn the_kernels_own_bad_page() {
    let place = Place::new();
    let (pool, live, lie) = pool_with(&place, 4);
    if let Err(why) = poison::poison_page(&place.pool(), lie[2]) {
        println!("SKIPPED: the kernel poisons no page here: {why}");
        return;
    }
    assert_eq!(kind(live.read_at(&mut [0; BLOCK_BYTES], 2 * BLOCK_SIZE)), ErrorKind::MediaError);
    live.read_at(&mut [0; BLOCK_BYTES], BLOCK_SIZE).expect("the page beside it");
    live.write_at(&bytes(2, BLOCK_BYTES), 2 * BLOCK_SIZE).expect("heals");
    assert_eq!(pool.scrub().expect("scrub"), []);
}

/// A lane that is lost after a crash may have held half of a transaction: nothing may be changed, snapshots can be read.
#[test]
fn a_lane_lost_after_a_crash_leaves_the_snapshots() {
    const LANES_AT: u64 = 2 << 20;
    let Some(small) = SmallTmpfs::mount(48 << 20) else { return };
    let (path, crashed) = (small.path().join("test.pool"), small.path().join("crashed.pool"));
    let pool = Pool::create(&path, &CreateOptions::new().size(16 << 20)).expect("a new pool");
    put(&pool, "/file", b"content");
    snapshot(&pool, "s");
    std::fs::copy(&path, &crashed).expect("what a crash leaves");
    pool.close().expect("close");
    let lose = |path: &Path| {
        small.fill();
        let host = std::fs::File::options().write(true).open(path).expect("the pool's file");
        daxcow_tests::system::punch_hole(&host, LANES_AT, BLOCK_SIZE).expect("a hole");
        small.fill();
    };
    lose(&path);
    let pool = open_pool(&path);
    assert_eq!(get(&pool, "/file"), b"content", "a pool that was closed needs no lane");
    put(&pool, "/other", b"through another lane");
    pool.close().expect("close");
    lose(&crashed);
    assert_eq!(kind(Pool::open(&crashed, &OpenOptions::new())), ErrorKind::MediaError);
    let view = Pool::open(&crashed, &OpenOptions::new().read_only(true)).expect("a view");
    assert_eq!(get(&view, "/.snapshots/s/file"), b"content");
}
