//! Edges of files, locks and damage: what goes wrong there must neither spread nor block others.

#![allow(clippy::unwrap_used, reason = "a failed call fails the test")]

use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use daxcow::{CreateOptions, ErrorKind, ExtentKind, File, FileOptions, OpenOptions, Pool, RollbackOptions};
use tempfile::TempDir;

const BLOCK: u64 = 4096;

fn pool_of(bytes: u64) -> (TempDir, Pool) {
    let dir = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap();
    let pool =
        Pool::create(dir.path().join("t.pool"), &CreateOptions::new().size(bytes).sparse(true)).unwrap();
    (dir, pool)
}

fn rw() -> FileOptions {
    FileOptions::new().read(true).write(true).create(true)
}

fn mapped(file: &File) -> u64 {
    file.extents().unwrap().iter().map(|extent| extent.len / BLOCK).sum()
}

#[test]
fn blocks_allocated_up_to_a_new_size_stay_where_the_old_end_lay_in_a_block() {
    let (_dir, pool) = pool_of(64 << 20);
    let file = pool.open_file("a", &rw()).unwrap();
    file.write_at(&[7; 5000], 0).unwrap();
    file.allocate(0, 100 * BLOCK, false).unwrap();
    assert_eq!(file.len().unwrap(), 100 * BLOCK);
    assert_eq!(mapped(&file), 100);
    let mut bytes = vec![1; 3192];
    file.read_exact_at(&mut bytes, 5000).unwrap();
    assert!(bytes.iter().all(|&byte| byte == 0));
}

#[test]
fn a_write_past_the_end_leaves_preallocated_blocks_before_it_unwritten() {
    let (_dir, pool) = pool_of(64 << 20);
    let file = pool.open_file("a", &rw()).unwrap();
    file.write_at(&[7; 5000], 0).unwrap();
    file.allocate(0, 100 * BLOCK, true).unwrap();
    file.write_at(&[8; 100], 50 * BLOCK).unwrap();
    assert_eq!(mapped(&file), 100);
    let unwritten = file.extents().unwrap().into_iter().filter(|extent| extent.kind == ExtentKind::Unwritten);
    assert_eq!(unwritten.map(|extent| extent.len / BLOCK).sum::<u64>(), 97);
    let mut bytes = vec![1; usize::try_from(50 * BLOCK - 5000).unwrap()];
    file.read_exact_at(&mut bytes, 5000).unwrap();
    assert!(bytes.iter().all(|&byte| byte == 0));
}

#[test]
fn stale_blocks_beyond_the_end_read_as_zeros_once_it_passes_them() {
    let (_dir, pool) = pool_of(64 << 20);
    let file = pool.open_file("a", &rw()).unwrap();
    let source = pool.open_file("b", &rw()).unwrap();
    source.write_at(&[9; 6000], 0).unwrap();
    file.write_at(&[7; 100], 0).unwrap();
    file.allocate(0, 20 * BLOCK, true).unwrap();
    // The last block of the source holds stale bytes beyond its end.
    source.set_len(4200).unwrap();
    file.clone_range(&source, 0, BLOCK, 4200).unwrap();
    file.set_len(BLOCK + 10).unwrap();
    file.allocate(0, 20 * BLOCK, true).unwrap();
    file.write_at(&[1], 19 * BLOCK).unwrap();
    let mut bytes = vec![1; usize::try_from(18 * BLOCK - 10).unwrap()];
    file.read_exact_at(&mut bytes, BLOCK + 10).unwrap();
    assert!(bytes.iter().all(|&byte| byte == 0));
    let mut kept = vec![0; 10];
    file.read_exact_at(&mut kept, BLOCK).unwrap();
    assert_eq!(kept, [9; 10]);
}

#[test]
fn opening_a_file_and_beginning_batches_of_it_do_not_wait_for_each_other() {
    let (_dir, pool) = pool_of(64 << 20);
    let file = pool.open_file("a", &rw()).unwrap();
    let done = AtomicBool::new(false);
    let started = Instant::now();
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                while !done.load(Ordering::Relaxed) {
                    drop(pool.open_file("a", &rw()).unwrap());
                }
            });
        }
        for _ in 0..100_000 {
            drop(file.batch().unwrap());
            if started.elapsed() > Duration::from_secs(2) {
                break;
            }
        }
        done.store(true, Ordering::Relaxed);
    });
    assert!(started.elapsed() < Duration::from_secs(30), "{:?}", started.elapsed());
}

#[test]
fn handles_that_close_do_not_hold_up_a_snapshot() {
    let (_dir, pool) = pool_of(64 << 20);
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                while !done.load(Ordering::Relaxed) {
                    drop(pool.open_unnamed().unwrap());
                }
            });
        }
        let (mut made, started) = (Ok(()), Instant::now());
        while started.elapsed() < Duration::from_secs(2) {
            made = pool.create_snapshot::<&str>("s", &[]).and_then(|_| pool.delete_snapshot("s"));
            if made.is_err() {
                break;
            }
        }
        done.store(true, Ordering::Relaxed);
        made.unwrap();
    });
}

#[test]
fn directories_nested_too_deeply_are_refused_by_what_walks_them() {
    let (_dir, pool) = pool_of(256 << 20);
    let deep = |levels: usize| PathBuf::from("d/".repeat(levels));
    pool.create_dir_all(deep(999)).unwrap();
    pool.create_snapshot::<&str>("s", &[]).unwrap();
    assert_eq!(pool.snapshots().unwrap().len(), 1);
    assert!(pool.diff("/", "/.snapshots/s").unwrap().is_empty());
    pool.rollback("s", RollbackOptions::default()).unwrap();
    pool.create_dir_all(deep(1200)).unwrap();
    let kind = |result: daxcow::Result<()>| result.unwrap_err().kind();
    assert_eq!(kind(pool.create_snapshot::<&str>("t", &[]).map(drop)), ErrorKind::TooLarge);
    assert_eq!(kind(pool.clone_tree("d", "e")), ErrorKind::TooLarge);
    assert_eq!(kind(pool.diff("/", "/.snapshots/s").map(drop)), ErrorKind::TooLarge);
    pool.remove_dir_all("d").unwrap();
    pool.create_snapshot::<&str>("t", &[]).unwrap();
    let report = pool.check().unwrap();
    assert!(report.is_clean() && report.leaked_blocks == 0, "{report:?}");
}

#[test]
fn a_commit_that_meets_a_damaged_count_keeps_its_blocks() {
    let (_dir, pool) = pool_of(64 << 20);
    let file = pool.open_file("a", &rw()).unwrap();
    file.write_at(&vec![1; 8 * 4096], 0).unwrap();
    let old = file.extents().unwrap()[0].block;
    let mut batch = file.batch().unwrap();
    batch.write_at(&[2; 4096], 0).unwrap();
    // The count of the block that the commit replaces says that nobody refers to it.
    let host = std::fs::File::options().write(true).open(pool.path()).unwrap();
    host.write_all_at(&0_u32.to_le_bytes(), (8 << 20) + (old - 2048) * 4).unwrap();
    let committed = batch.commit();
    drop(batch);
    let other = pool.open_file("b", &rw()).unwrap();
    for block in 0..64 {
        other.write_at(&[3; 4096], block * BLOCK).unwrap();
    }
    let mut bytes = vec![0; 4096];
    file.read_exact_at(&mut bytes, 0).unwrap();
    assert_eq!(bytes[0], if committed.is_ok() { 2 } else { 1 });
    assert!(bytes.iter().all(|byte| *byte == bytes[0]));
}

#[test]
fn a_batch_of_a_file_that_a_rollback_replaced_is_stale() {
    let (_dir, pool) = pool_of(64 << 20);
    let file = pool.open_file("a", &rw()).unwrap();
    file.write_at(&[1; 100], 0).unwrap();
    pool.create_snapshot("s", &["a"]).unwrap();
    let mut batch = file.batch().unwrap();
    batch.write_at(&[2; 100], 0).unwrap();
    pool.rollback("s", RollbackOptions { force: true }).unwrap();
    assert_eq!(batch.commit().unwrap_err().kind(), ErrorKind::Stale);
    assert_eq!(pool.commit_batches(&mut [&mut batch], None).unwrap_err().kind(), ErrorKind::Stale);
    drop((batch, file));
    let report = pool.check().unwrap();
    assert!(report.is_clean() && report.leaked_blocks == 0, "{report:?}");
}

#[test]
fn a_write_that_finds_the_pool_full_keeps_no_blocks_beyond_the_end() {
    let (_dir, pool) = pool_of(16 << 20);
    let file = pool.open_file("a", &rw()).unwrap();
    file.write_at(&[1; 5000], 0).unwrap();
    assert_eq!(file.write_at(&vec![2; 64 << 20], 4000).unwrap_err().kind(), ErrorKind::NoSpace);
    assert_eq!(file.len().unwrap(), 5000);
    assert_eq!(mapped(&file), 2);
    file.write_at(&vec![3; 1 << 20], 5000).unwrap();
}

/// Batches leave some of the blocks that they replace to the next batch: a full pool has these too.
#[test]
fn blocks_that_wait_for_the_next_batch_can_be_had_by_others() {
    let fill = |reopen: bool| {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("pool");
        let options = CreateOptions::new().size(16 << 20).sparse(true);
        let mut pool = Pool::create(&path, &options).unwrap();
        let create = FileOptions::new().read(true).write(true).create(true);
        let file = pool.open_file("a", &create).unwrap();
        for _ in 0..3 {
            let mut batch = file.batch().unwrap();
            for block in 0..8 {
                batch.write_at(&[1; 4096], 2 * block * 4096).unwrap();
            }
            batch.commit().unwrap();
        }
        drop(file);
        if reopen {
            drop(pool);
            pool = Pool::open(&path, &OpenOptions::new()).unwrap();
        }
        let file = pool.open_file("b", &create).unwrap();
        let written = (0..).find(|block| file.write_at(&[2; 4096], block * 4096).is_err()).unwrap();
        drop(file);
        assert!(pool.check().unwrap().is_clean());
        written
    };
    // The list of such blocks is one itself.
    assert_eq!(fill(false) + 1, fill(true));
}
