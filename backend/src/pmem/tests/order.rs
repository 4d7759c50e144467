//! Media, what they promise, and the way from stored to durable.

use std::sync::atomic::{AtomicUsize, Ordering};

use super::*;
use crate::error::ErrorKind;
use crate::pmem::failed_sync::SyncCall;
use crate::pmem::medium::{Granularity, Medium};
use crate::units::PoolOffset;

#[test]
fn memory_is_volatile_and_says_so() {
    let region = Scratch::new(MEMORY, 8192).map();
    let durability = region.durability();
    assert_eq!(
        (region.durability().medium, region.granularity()),
        (Medium::Volatile, Granularity::CacheLine)
    );
    assert!(durability.survives_process_death && !durability.survives_power_loss && !durability.map_sync);
    assert!(durability.description.contains("lost when the machine stops"), "{}", durability.description);
}

#[test]
fn a_disk_survives_power_loss_unless_flushing_is_off() {
    let scratch = Scratch::new(DISK, 8192);
    let region = scratch.map();
    assert_eq!((region.durability().medium, region.granularity()), (Medium::PageCache, Granularity::Page));
    assert!(region.durability().survives_power_loss);
    let careless = scratch.map_with(MapOptions { flush: FlushMode::Off, ..options() }).unwrap();
    assert!(!careless.durability().survives_power_loss);
}

#[test]
fn direct_access_is_refused_where_it_would_not_be_durable() {
    for place in [MEMORY, DISK] {
        let scratch = Scratch::new(place, 8192);
        let error = scratch.map_with(MapOptions { dax: Dax::Always, ..options() }).err().unwrap();
        assert_eq!(error.kind(), ErrorKind::UnsupportedMedium, "{place}: {error}");
    }
}

#[test]
fn what_cannot_be_a_pool_is_refused() {
    let map = |path: &str, write: bool| {
        let file = OpenOptions::new().read(true).write(write).open(path).unwrap();
        Region::map(file, path.as_ref(), options()).err().unwrap().kind()
    };
    assert_eq!(map("/dev/null", true), ErrorKind::UnsupportedMedium);
    assert_eq!(map("/tmp", false), ErrorKind::IsADirectory);
    let scratch = Scratch::new(MEMORY, 100);
    assert_eq!(scratch.map_with(options()).err().unwrap().kind(), ErrorKind::NotAPool);
}

#[test]
fn the_whole_way_works_on_every_medium() {
    for place in [MEMORY, DISK] {
        let region = Scratch::new(place, 1 << 20).map();
        let mut pending = Flushed::none();
        for block in [3, 4, 9, 20, 21] {
            pending =
                pending.join(region.flush(region.write(PoolOffset(block * 4096 + 7), &[8; 5000]).unwrap()));
        }
        let data = region.flush_data(region.write(PoolOffset(500_000), b"data").unwrap());
        let proof = region.fence(pending.join(data)).unwrap();
        let root = region.publish(PoolOffset(0), 42, &proof).unwrap();
        region.fence(region.flush(root)).unwrap();
        region.barrier().unwrap();
        assert_eq!(region.load(PoolOffset(0)).unwrap(), 42);
        assert!(region.failed().is_none());
    }
}

#[test]
fn after_a_failed_sync_nothing_can_be_made_durable() {
    let region = Scratch::new(DISK, 8192).map();
    let proof = region.fence(Flushed::none()).unwrap();
    let broken = std::io::Error::from_raw_os_error(libc::EIO);
    drop(region.sync_failed(SyncCall::Msync, "msync", &broken));
    drop(region.sync_failed(SyncCall::Fdatasync, "fdatasync", &broken));
    let errors = [
        region.fence(Flushed::none()).err(),
        region.barrier().err(),
        region.publish(PoolOffset(0), 1, &proof).err(),
        region.failed(),
    ];
    for error in errors {
        let error = error.unwrap();
        assert_eq!(error.kind(), ErrorKind::ReadOnly);
        assert!(error.to_string().contains("since msync of"), "the first failure counts: {error}");
    }
    assert_eq!(region.load(PoolOffset(0)).unwrap(), 0);
}

#[test]
fn concurrent_syncs_join_and_each_begins_after_its_callers_stores() {
    let region = Scratch::new(DISK, 8192).map();
    let (asked, runs) = (AtomicUsize::new(0), AtomicUsize::new(0));
    std::thread::scope(|scope| {
        for _ in 0..16 {
            scope.spawn(|| {
                asked.fetch_add(1, Ordering::SeqCst);
                let before = runs.load(Ordering::SeqCst);
                region.syncs.run(|| {
                    runs.fetch_add(1, Ordering::SeqCst);
                    // The first sync goes on until all others have asked.
                    while asked.load(Ordering::SeqCst) < 16 {
                        std::thread::yield_now();
                    }
                    std::thread::sleep(std::time::Duration::from_millis(50));
                });
                assert!(runs.load(Ordering::SeqCst) > before, "a sync that began before was taken for mine");
            });
        }
    });
    let runs = runs.load(Ordering::SeqCst);
    assert!((2..=3).contains(&runs), "16 callers took {runs} syncs");
}

#[test]
fn touching_pages_are_synced_together() {
    let merged = crate::pmem::persist::merge(vec![(8, 12), (0, 4), (4, 8), (20, 30), (22, 24)]);
    assert_eq!(merged, [(0, 12), (20, 30)]);
}
