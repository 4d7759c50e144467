//! What is one instant for all: batches, snapshots, rollbacks.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use daxcow::ErrorKind;
use daxcow::units::BLOCK_SIZE;
use daxcow_tests::fixture::{
    assert_clean, bytes, contents, file, get, kind, new_pool, open_pool, put, readable, roll_back, snapshot,
};
use daxcow_tests::place::Place;

use super::{BLOCK, with_pool};

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
