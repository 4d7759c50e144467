//! Blocks that files share: clones, copies on write, rollbacks.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use daxcow::ErrorKind;
use daxcow::units::BLOCK_SIZE;
use daxcow_tests::fixture::{bytes, file, get, kind, put, snapshot};
use daxcow_tests::rng::Rng;

use super::{BLOCK, with_pool};

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
