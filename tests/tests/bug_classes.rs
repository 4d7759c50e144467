//! The known classes of bugs of copy-on-write file systems, each by name.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use daxcow::units::BLOCK_SIZE;
use daxcow::{ErrorKind, ExtentKind, Pool};
use daxcow_tests::fixture::{
    assert_clean, bytes, contents, file, free, get, kind, new_pool, open_pool, put, readable, reopen,
    roll_back, snapshot, warm_up,
};
use daxcow_tests::place::Place;
use daxcow_tests::rng::Rng;

const BLOCK: usize = 4096;

fn with_pool(mebibytes: u64, test: impl FnOnce(&Pool)) {
    let place = Place::new();
    let pool = new_pool(&place, mebibytes);
    test(&pool);
    assert_clean(&pool);
    let pool = reopen(pool);
    assert_clean(&pool);
}

#[test]
fn clone_of_a_block_whose_free_is_pending() {
    with_pool(64, |pool| {
        for round in 0..200 {
            put(pool, "/a", &bytes(round, 8 * BLOCK));
            pool.clone_tree("/a", "/b").expect("clone");
            // The clone's blocks are freed and wanted again at once: by new data and by a clone of the first file.
            pool.remove_file("/b").expect("remove");
            put(pool, "/c", &bytes(round + 1000, 8 * BLOCK));
            pool.clone_tree("/a", "/d").expect("clone");
            assert_eq!(get(pool, "/d"), bytes(round, 8 * BLOCK), "round {round}");
            assert_eq!(get(pool, "/c"), bytes(round + 1000, 8 * BLOCK), "round {round}");
            pool.remove_file("/d").expect("remove");
        }
    });
}

#[test]
fn a_copy_asks_for_holes_and_data_and_gets_zeros_only_from_holes() {
    with_pool(64, |pool| {
        let sparse = file(pool, "/sparse");
        sparse.allocate(0, 40 * BLOCK_SIZE, false).expect("allocate");
        sparse.write_at(&bytes(1, BLOCK), 7 * BLOCK_SIZE).expect("write");
        sparse.write_at(b"x", 20 * BLOCK_SIZE + 17).expect("write");
        let mut found = Vec::new();
        let mut at = 0;
        while let Some(data) = sparse.seek_data(at).expect("seek data") {
            let hole = sparse.seek_hole(data).expect("seek hole");
            found.push((data / BLOCK_SIZE, hole / BLOCK_SIZE));
            at = hole;
        }
        assert_eq!(found, [(7, 8), (20, 21)]);
        pool.clone_tree("/sparse", "/copy").expect("clone");
        assert_eq!(get(pool, "/copy"), get(pool, "/sparse"));
        let after = file(pool, "/copy");
        after.write_at(b"y", 20 * BLOCK_SIZE + 18).expect("write");
        let mut edge = [0; 3];
        after.read_exact_at(&mut edge, 20 * BLOCK_SIZE + 16).expect("read");
        assert_eq!(&edge, b"\0xy", "an unwritten block turned present keeps its other bytes");
    });
}

#[test]
fn clone_racing_truncate() {
    with_pool(128, |pool| {
        let original = file(pool, "/a");
        let content = bytes(4, 64 * BLOCK);
        original.write_at(&content, 0).expect("write");
        let done = AtomicBool::new(false);
        thread::scope(|scope| {
            scope.spawn(|| {
                let mut rng = Rng::new(8);
                for _ in 0..400 {
                    original.set_len(rng.below(64) * BLOCK_SIZE).expect("truncate");
                    original.write_at(&content, 0).expect("write");
                }
                done.store(true, Ordering::SeqCst);
            });
            while !done.load(Ordering::SeqCst) {
                pool.clone_tree("/a", "/b").expect("clone");
                let copy = get(pool, "/b");
                // Written in one call or cut: whatever is there is a beginning of the content.
                assert!(content.starts_with(&copy), "{} bytes that are not the file's", copy.len());
                pool.remove_file("/b").expect("remove");
            }
        });
    });
}

#[test]
fn clone_ending_in_a_hole_ends() {
    with_pool(64, |pool| {
        let source = file(pool, "/source");
        source.write_at(&bytes(1, BLOCK), 0).expect("write");
        source.set_len(1 << 40).expect("extend");
        let target = file(pool, "/target");
        target.clone_range(&source, 0, 0, 1 << 40).expect("clone");
        assert_eq!(target.len().expect("len"), 1 << 40);
        assert_eq!(target.seek_data(BLOCK_SIZE).expect("seek"), None);
        assert_eq!(target.seek_hole(0).expect("seek"), BLOCK_SIZE);
        let mut end = [1; 10];
        assert_eq!(target.read_at(&mut end, (1 << 40) - 10).expect("read"), 10);
        assert_eq!(end, [0; 10]);
    });
}

#[test]
fn a_batch_larger_than_any_log_record() {
    with_pool(256, |pool| {
        let one = file(pool, "/one");
        let old = bytes(1, 100);
        for page in 0..4000 {
            one.write_at(&old, page * 3 * BLOCK_SIZE).expect("write");
        }
        let mut batch = one.batch().expect("batch");
        let new = bytes(2, 100);
        for page in 0..4000 {
            batch.write_at(&new, page * 3 * BLOCK_SIZE).expect("write");
        }
        let first_of = |page: u64| {
            let mut start = [0; 100];
            one.read_exact_at(&mut start, page * 3 * BLOCK_SIZE).expect("read");
            start.to_vec()
        };
        assert!((0..4000).step_by(97).all(|page| first_of(page) == old));
        batch.commit().expect("commit");
        assert!((0..4000).all(|page| first_of(page) == new));
    });
}

#[test]
fn unaligned_writes_keep_head_and_tail_of_shared_blocks() {
    with_pool(64, |pool| {
        let old = bytes(1, 5 * BLOCK);
        for (offset, len) in
            [(1, 1), (BLOCK - 1, 2), (100, 3 * BLOCK), (BLOCK, BLOCK + 1), (2 * BLOCK - 3, BLOCK + 6)]
        {
            put(pool, "/a", &old);
            pool.clone_tree("/a", "/b").expect("clone");
            file(pool, "/b").write_at(&bytes(2, len), u64::try_from(offset).expect("offset")).expect("write");
            let mut new = old.clone();
            new[offset..offset + len].copy_from_slice(&bytes(2, len));
            assert!(get(pool, "/b") == new, "{len} bytes at {offset} of the copy");
            assert!(get(pool, "/a") == old, "{len} bytes at {offset}: the original changed");
            pool.remove_file("/b").expect("remove");
        }
    });
}

#[test]
fn zeroing_and_truncating_shared_edges_leaves_the_other_owner_alone() {
    with_pool(64, |pool| {
        let old = bytes(3, 4 * BLOCK);
        put(pool, "/a", &old);
        snapshot(pool, "s");
        let live = file(pool, "/a");
        live.zero_range(10, 2 * BLOCK_SIZE).expect("zero");
        live.punch_hole(3 * BLOCK_SIZE - 5, 10).expect("punch");
        live.set_len(3 * BLOCK_SIZE + 100).expect("truncate");
        live.set_len(4 * BLOCK_SIZE).expect("extend");
        let mut new = old.clone();
        new[10..10 + 2 * BLOCK].fill(0);
        new[3 * BLOCK - 5..3 * BLOCK + 5].fill(0);
        new[3 * BLOCK + 100..].fill(0);
        assert!(get(pool, "/a") == new);
        assert!(get(pool, "/.snapshots/s/a") == old);
    });
}

#[test]
fn overlapping_clone_within_one_file_is_refused_and_changes_nothing() {
    with_pool(64, |pool| {
        let content = bytes(1, 8 * BLOCK);
        put(pool, "/a", &content);
        let (one, other) = (file(pool, "/a"), file(pool, "/a"));
        for (from, to, blocks) in [(0, 1, 2), (1, 0, 2), (2, 2, 1), (0, 7, 8)] {
            let cloned = one.clone_range(&other, from * BLOCK_SIZE, to * BLOCK_SIZE, blocks * BLOCK_SIZE);
            assert_eq!(kind(cloned), ErrorKind::InvalidInput, "{blocks} blocks from {from} to {to}");
        }
        assert!(get(pool, "/a") == content);
        one.clone_range(&other, 0, 4 * BLOCK_SIZE, 4 * BLOCK_SIZE).expect("ranges that only touch");
        assert!(get(pool, "/a")[4 * BLOCK..] == content[..4 * BLOCK]);
    });
}

#[test]
fn a_snapshot_is_one_instant_for_all_files_while_they_are_written() {
    with_pool(128, |pool| {
        let (first, second) = (file(pool, "/first"), file(pool, "/second"));
        [&first, &second].iter().for_each(|file| file.write_at(&[0; 8], 0).expect("write"));
        let done = AtomicBool::new(false);
        thread::scope(|scope| {
            scope.spawn(|| {
                let mut number = 0u64;
                while !done.load(Ordering::SeqCst) {
                    number += 1;
                    // Always the first, then the second: no instant has the second ahead or far behind.
                    first.write_at(&number.to_le_bytes(), 0).expect("write");
                    second.write_at(&number.to_le_bytes(), 0).expect("write");
                }
            });
            let number = |path: String| {
                let mut word = [0; 8];
                readable(pool, &path).read_exact_at(&mut word, 0).expect("read");
                u64::from_le_bytes(word)
            };
            for round in 0..300 {
                let name = format!("s{round}");
                snapshot(pool, &name);
                let first = number(format!("/.snapshots/{name}/first"));
                let second = number(format!("/.snapshots/{name}/second"));
                assert!(first == second || first == second + 1, "round {round}: {first} and {second}");
                pool.delete_snapshot(&name).expect("delete");
            }
            done.store(true, Ordering::SeqCst);
        });
    });
}

#[test]
fn the_first_write_after_a_snapshot_does_not_reach_it_through_an_older_view() {
    with_pool(64, |pool| {
        let old = bytes(1, BLOCK);
        put(pool, "/a", &old);
        let live = file(pool, "/a");
        let view = live.view(0, BLOCK).expect("view").expect("one block is contiguous");
        snapshot(pool, "s");
        live.write_at(&bytes(2, BLOCK), 0).expect("write");
        live.write_at(&bytes(3, BLOCK), 0).expect("write");
        assert!(get(pool, "/.snapshots/s/a") == old);
        assert!(daxcow_tests::views::bytes(&view) == old, "the view changed under its holder");
        drop(view);
        assert!(get(pool, "/a") == bytes(3, BLOCK));
    });
}

#[test]
fn link_counts_and_names_change_together() {
    with_pool(64, |pool| {
        put(pool, "/a", b"content");
        let inode = pool.metadata("/a").expect("metadata").inode;
        for round in 0..50 {
            pool.hard_link("/a", format!("/link{round}")).expect("link");
        }
        assert_eq!(pool.metadata("/a").expect("metadata").links, 51);
        pool.rename("/link0", "/link1").expect("renaming one name of a file to another does nothing");
        assert_eq!(pool.metadata("/a").expect("metadata").links, 51);
        put(pool, "/other", b"other");
        pool.rename("/other", "/link2").expect("rename over a link");
        assert_eq!(pool.metadata("/a").expect("metadata").links, 50);
        for round in (0..50).filter(|&round| round != 2) {
            pool.remove_file(format!("/link{round}")).expect("remove");
        }
        let left = pool.metadata("/a").expect("metadata");
        assert_eq!((left.links, left.inode), (1, inode));
        assert_eq!(get(pool, "/link2"), b"other");
    });
}

#[test]
fn rename_leaves_one_name_whatever_it_replaces() {
    with_pool(64, |pool| {
        pool.create_dir("/d").expect("dir");
        put(pool, "/a", b"a");
        put(pool, "/d/b", b"b");
        pool.rename("/a", "/d/b").expect("rename");
        assert!(!pool.exists("/a").expect("exists"));
        assert_eq!(get(pool, "/d/b"), b"a");
        assert_eq!(pool.read_dir("/d").expect("list").len(), 1);
        assert_eq!(kind(pool.rename("/d", "/d/e")), ErrorKind::InvalidInput);
    });
}

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

#[test]
fn a_batch_is_atomic_for_every_other_reader() {
    with_pool(64, |pool| {
        let shared = file(pool, "/a");
        shared.write_at(&vec![0; 16 * BLOCK], 0).expect("write");
        let done = AtomicBool::new(false);
        thread::scope(|scope| {
            scope.spawn(|| {
                for round in 1..=200u8 {
                    let mut batch = shared.batch().expect("batch");
                    for page in 0..16 {
                        batch.write_at(&vec![round; BLOCK], page * BLOCK_SIZE).expect("write");
                    }
                    batch.commit().expect("commit");
                }
                done.store(true, Ordering::SeqCst);
            });
            let mut round = 0;
            while !done.load(Ordering::SeqCst) {
                let name = format!("s{round}");
                round += 1;
                snapshot(pool, &name);
                let seen = get(pool, &format!("/.snapshots/{name}/a"));
                assert!(seen.iter().all(|&byte| byte == seen[0]), "a snapshot shows half a batch");
                pool.delete_snapshot(&name).expect("delete");
            }
        });
        assert_eq!(get(pool, "/a"), vec![200; 16 * BLOCK]);
    });
}

#[test]
fn one_batch_at_a_time_and_other_writers_are_told_so() {
    let place = Place::new();
    let pool = new_pool(&place, 64);
    let second_member = open_pool(place.pool());
    put(&pool, "/a", b"old");
    let (owner, other, elsewhere) = (file(&pool, "/a"), file(&pool, "/a"), file(&second_member, "/a"));
    let mut batch = owner.batch().expect("batch");
    batch.write_at(b"new", 0).expect("write");
    for stranger in [&other, &elsewhere] {
        assert_eq!(kind(stranger.batch()), ErrorKind::Busy);
        assert_eq!(kind(stranger.write_at(b"x", 0)), ErrorKind::Busy);
        assert_eq!(kind(stranger.set_len(0)), ErrorKind::Busy);
        assert_eq!(contents(stranger).expect("read"), b"old");
    }
    let mut seen = [0; 3];
    batch.read_at(&mut seen, 0).expect("read");
    assert_eq!(&seen, b"new");
    drop(batch);
    assert_eq!(contents(&elsewhere).expect("read"), b"old");
    elsewhere.write_at(b"two", 0).expect("the batch is gone");
    assert_eq!(contents(&owner).expect("read"), b"two");
    assert_clean(&pool);
}

#[test]
fn a_forced_rollback_makes_old_handles_stale() {
    with_pool(64, |pool| {
        put(pool, "/a", b"first");
        snapshot(pool, "s");
        put(pool, "/a", b"second");
        let old = file(pool, "/a");
        let unforced = pool.rollback("s", daxcow::RollbackOptions { force: false });
        assert_eq!(kind(unforced), ErrorKind::Busy);
        assert_eq!(get(pool, "/a"), b"second");
        roll_back(pool, "s");
        assert!(old.is_stale().expect("stale"));
        assert_eq!(kind(old.write_at(b"lost", 0)), ErrorKind::Stale);
        assert_eq!(kind(old.try_lock(0, daxcow::LockMode::Exclusive)), ErrorKind::Stale);
        assert_eq!(get(pool, "/a"), b"first");
        assert!(!file(pool, "/a").is_stale().expect("stale"));
    });
}

#[test]
fn unlink_while_open_keeps_the_file_for_its_handles_only() {
    with_pool(64, |pool| {
        warm_up(pool).expect("warm up");
        let before = free(pool);
        put(pool, "/a", &bytes(1, 1 << 20));
        let open = file(pool, "/a");
        pool.remove_file("/a").expect("remove");
        assert!(open.is_stale().expect("no name is left"));
        assert!(contents(&open).expect("read") == bytes(1, 1 << 20));
        open.write_at(b"more", 1 << 20).expect("write");
        assert!(free(pool) < before);
        drop(open);
        assert!(free(pool) >= before, "{before} bytes were free, {} are", free(pool));
    });
}

#[test]
fn clones_of_clones_diverge_at_every_level() {
    with_pool(128, |pool| {
        put(pool, "/0", &bytes(0, 64 * BLOCK));
        for generation in 1..40u64 {
            pool.clone_tree(format!("/{}", generation - 1), format!("/{generation}")).expect("clone");
            file(pool, &format!("/{generation}"))
                .write_at(&bytes(generation, 100), generation * 5000)
                .expect("write");
        }
        let mut expected = bytes(0, 64 * BLOCK);
        for generation in 1..40u64 {
            let at = usize::try_from(generation * 5000).expect("small");
            expected[at..at + 100].copy_from_slice(&bytes(generation, 100));
            assert!(get(pool, &format!("/{generation}")) == expected, "generation {generation}");
        }
        for generation in (0..40).step_by(2) {
            pool.remove_file(format!("/{generation}")).expect("remove");
        }
        assert!(get(pool, "/39") == expected);
    });
}

#[test]
fn a_directory_of_a_hundred_thousand_entries() {
    with_pool(512, |pool| {
        pool.create_dir("/big").expect("dir");
        let entries = 100_000;
        put(pool, "/big/0", b"x");
        for index in 1..entries {
            pool.hard_link("/big/0", format!("/big/{index}")).expect("link");
        }
        assert_eq!(pool.metadata("/big/77777").expect("metadata").links, entries);
        assert_eq!(pool.read_dir("/big").expect("list").len(), 100_000);
        for index in (1..entries).filter(|index| index % 10 != 0) {
            pool.remove_file(format!("/big/{index}")).expect("remove");
        }
        assert_eq!(pool.read_dir("/big").expect("list").len(), 10_000);
        pool.remove_dir_all("/big").expect("remove");
        assert!(!pool.exists("/big").expect("exists"));
    });
}
