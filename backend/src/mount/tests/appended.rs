//! Appends leave the size to a sync; what is durable at return never lies beyond the end that a crash leaves.

use std::fs;

use super::*;
use crate::file::{File, FileOptions};
use crate::format::inode::at;
use crate::mount::close::mark_clean;
use crate::mount::rebuild::rebuild;
use crate::pmem::sim::Unit;
use crate::pool::Pool;

/// What a crash leaves of a file of 5000 bytes, 1000 of them appended, if nothing is on the medium that need not be
/// after `change`.
fn after_a_crash(change: impl FnOnce(&Pool, &File)) -> (u64, u8) {
    let directory = tempfile::tempdir_in("/dev/shm").unwrap();
    let path = pool_in(&directory);
    let pool = Pool::create(&path, &options(32)).unwrap();
    let rw = FileOptions::new().read(true).write(true).create(true);
    let file = pool.open_file("a", &rw).unwrap();
    file.write_at(&[1; 4000], 0).unwrap();
    let region = &pool.core().store.runtime.region;
    region.record().unwrap();
    file.append(&[2; 1000]).unwrap();
    change(&pool, &file);
    let recording = region.stop_recording().unwrap();
    let image = recording.image(Unit::Line, recording.entries().len(), &mut |_, _| 0);
    let crashed = directory.path().join("crashed.pool");
    fs::write(&crashed, image).unwrap();
    let pool = Pool::open(&crashed, &OpenOptions::new()).unwrap();
    let file = pool.open_file("a", &rw).unwrap();
    let mut last = [0];
    let len = file.len().unwrap();
    file.read_exact_at(&mut last, len - 1).unwrap();
    (len, last[0])
}

#[test]
fn an_append_that_is_not_synced_may_be_lost_and_one_that_is_may_not() {
    assert_eq!(after_a_crash(|_, _| {}), (4000, 1));
    assert_eq!(after_a_crash(|_, file| file.sync().unwrap()), (5000, 2));
    assert_eq!(after_a_crash(|pool, _| pool.sync().unwrap()), (5000, 2));
}

#[test]
fn what_is_durable_at_return_takes_the_end_along() {
    assert_eq!(after_a_crash(|_, file| file.write_at(&[3], 4999).unwrap()), (5000, 3));
    let batch = |_: &Pool, file: &File| {
        let mut batch = file.batch().unwrap();
        batch.write_at(&[4], 4999).unwrap();
        batch.commit().unwrap();
    };
    assert_eq!(after_a_crash(batch), (5000, 4));
    assert_eq!(after_a_crash(|_, file| file.set_len(5000).unwrap()), (5000, 2));
}

/// Says that no size is known to be stored lazily, as a new epoch does.
fn forget_that_it_is_lazy(pool: &Pool, file: &File) {
    let lazy = file.target().field(at::LAZY_SIZE);
    pool.core().store.runtime.region.store_u32(lazy, 0).unwrap();
}

#[test]
fn an_epoch_ends_with_durable_sizes() {
    let forgotten = |pool: &Pool, file: &File| {
        forget_that_it_is_lazy(pool, file);
        file.write_at(&[3], 4999).unwrap();
    };
    assert_eq!(after_a_crash(forgotten), (4000, 1), "what the two below are about");
    let closed = |pool: &Pool, file: &File| {
        mark_clean(pool.core()).unwrap();
        forgotten(pool, file);
    };
    assert_eq!(after_a_crash(closed), (5000, 3));
    let recovered = |pool: &Pool, file: &File| {
        let store = &pool.core().store;
        rebuild(&store.runtime.region, store.space.pool_blocks().unwrap(), true).unwrap();
        forgotten(pool, file);
    };
    assert_eq!(after_a_crash(recovered), (5000, 3));
}
