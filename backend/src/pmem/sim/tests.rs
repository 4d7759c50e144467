//! What the simulated medium keeps and what it may lose.

use super::*;
use crate::error::ErrorKind;
use crate::pmem::region::Region;
use crate::pmem::tests::{DISK, MEMORY, Scratch};
use crate::pmem::{Durable, Flushed};
use crate::units::PoolOffset;

fn record(place: &str, run: impl FnOnce(&Region)) -> Recording {
    let region = Scratch::new(place, 1 << 16).map();
    region.record().unwrap();
    run(&region);
    region.stop_recording().unwrap()
}

fn durable(region: &Region, at: u64, bytes: &[u8]) -> Durable {
    let stored = region.write(PoolOffset(at), bytes).unwrap();
    region.fence(region.flush(stored)).unwrap()
}

/// The image after all events if nothing arrived that need not have.
fn least(recording: &Recording, unit: Unit) -> Vec<u8> {
    recording.image(unit, usize::MAX, &mut |_, _| 0)
}

#[test]
fn only_what_was_flushed_and_fenced_is_sure_to_stay() {
    for len in [8, 512] {
        let recording = record(MEMORY, |region| {
            durable(region, 0, &vec![1; len]);
            region.write(PoolOffset(4096), &[2; 8]).unwrap().leave_unflushed();
            drop(region.flush(region.write(PoolOffset(8192), &vec![3; len]).unwrap()));
        });
        for unit in [Unit::Word, Unit::Line] {
            let image = least(&recording, unit);
            assert_eq!((image[0], image[len - 1], image[4096], image[8192]), (1, 1, 0, 0), "{unit:?}");
            let all = recording.image(unit, usize::MAX, &mut |_, pending| pending);
            assert_eq!((all[0], all[4096], all[8192], all[8191 + len]), (1, 2, 3, 3), "{unit:?}");
        }
    }
}

#[test]
fn any_combination_of_unfenced_lines_may_arrive() {
    let recording = record(MEMORY, |region| {
        for line in 0..3_u8 {
            let at = PoolOffset(u64::from(line) * 64);
            region.write(at, &[line + 1; 64]).unwrap().leave_unflushed();
        }
    });
    assert_eq!(recording.replay(Unit::Line).undecided(), 0, "nothing has happened at the start");
    let mut seen = std::collections::BTreeSet::new();
    for mask in 0..8_u64 {
        let image = recording.image(Unit::Line, usize::MAX, &mut |at, pending| {
            assert_eq!(pending, 8);
            if mask >> (at / 64) & 1 == 1 { pending } else { 0 }
        });
        seen.insert([image[0], image[64], image[128]]);
    }
    assert_eq!(seen.len(), 8);
}

#[test]
fn a_line_arrives_in_order_and_words_arrive_whole() {
    let recording = record(MEMORY, |region| {
        region.store_u64(PoolOffset(8), 0x0101_0101_0101_0101).unwrap();
        region.store_u64(PoolOffset(0), 0x0202_0202_0202_0202).unwrap();
    });
    let words = |image: &[u8]| (image[0], image[7], image[8], image[15]);
    let images = [0, 1, 2].map(|n| words(&recording.image(Unit::Line, 2, &mut |_, _| n)));
    assert_eq!(images, [(0, 0, 0, 0), (0, 0, 1, 1), (2, 2, 1, 1)]);
    let apart = recording.image(Unit::Word, 2, &mut |at, _| usize::from(at == 0));
    assert_eq!(words(&apart), (2, 2, 0, 0));
}

#[test]
fn a_flush_covers_what_was_stored_before_it_only() {
    let recording = record(MEMORY, |region| {
        let first = region.write(PoolOffset(0), &[1; 8]).unwrap();
        let flushed = region.flush(first);
        region.write(PoolOffset(0), &[2; 8]).unwrap().leave_unflushed();
        region.fence(flushed).unwrap();
    });
    assert_eq!(least(&recording, Unit::Line)[0], 1);
}

#[test]
fn one_threads_fence_does_nothing_for_another() {
    let recording = record(MEMORY, |region| {
        drop(region.flush(region.write(PoolOffset(0), &[1; 8]).unwrap()));
        std::thread::scope(|scope| {
            scope.spawn(|| region.fence(Flushed::none()).unwrap());
        });
    });
    assert_eq!(recording.fences(), 1);
    assert_eq!(least(&recording, Unit::Line)[0], 0);
}

#[test]
fn a_crash_point_cuts_the_run() {
    let recording = record(MEMORY, |region| {
        durable(region, 0, &[1; 8]);
        durable(region, 0, &[2; 8]);
    });
    assert_eq!(recording.entries().len(), 6);
    let images: Vec<u8> = (0..=6).map(|point| recording.image(Unit::Line, point, &mut |_, _| 0)[0]).collect();
    assert_eq!(images, [0, 0, 0, 1, 1, 1, 2]);
}

#[test]
fn a_disk_keeps_synced_pages_whole() {
    let recording = record(DISK, |region| {
        durable(region, 100, &[1; 8]);
        region.write(PoolOffset(8192), &[2; 8]).unwrap().leave_unflushed();
        region.fence(region.flush_data(region.write(PoolOffset(12288), &[3; 8]).unwrap())).unwrap();
        assert_eq!(region.stop_recording().map(|part| least(&part, Unit::Page)[8192]), Some(0));
        region.record().unwrap();
        region.write(PoolOffset(16384), &[4; 8]).unwrap().leave_unflushed();
        region.barrier().unwrap();
    });
    assert_eq!(least(&recording, Unit::Page)[16384], 4);
}

#[test]
fn every_missing_flush_and_fence_shows() {
    let recording = record(MEMORY, |region| {
        let stored = region.write(PoolOffset(4096), &[7; 8]).unwrap();
        let flushed = region.flush(stored);
        let proof = region.fence(flushed).unwrap();
        let root = region.publish(PoolOffset(0), 1, &proof).unwrap();
        let root = region.flush(root);
        region.fence(root).unwrap();
    });
    // Sound is: the pointer implies the data, and after the last fence the pointer is there.
    let sound = |recording: &Recording| {
        (0..=recording.entries().len()).all(|point| {
            let image = recording.image(Unit::Line, point, &mut |at, n| if at == 0 { n } else { 0 });
            image[0] == 0 || image[4096] == 7
        }) && least(recording, Unit::Line)[0] == 1
    };
    assert!(sound(&recording));
    let faults = recording.faults();
    assert_eq!(faults.len(), 4);
    for fault in faults {
        assert!(!sound(&recording.with_fault(fault, &[]).0), "{fault:?} went unnoticed");
    }
}

#[test]
fn a_region_is_recorded_once_at_a_time() {
    let region = Scratch::new(MEMORY, 8192).map();
    region.record().unwrap();
    assert_eq!(region.record().unwrap_err().kind(), ErrorKind::Busy);
    region.stop_recording().unwrap();
    assert!(region.stop_recording().is_none());
}

#[test]
fn a_process_dies_right_before_the_step_it_was_told() {
    use std::os::unix::process::ExitStatusExt;
    const ROLE: &str = "DAXCOW_TEST_DIE_IN";
    if let Ok(path) = std::env::var(ROLE) {
        let file = std::fs::File::options().read(true).write(true).open(&path).unwrap();
        let region = Region::map(file, path.as_ref(), crate::pmem::tests::options()).unwrap();
        for index in 0..9 {
            region.store_u64(PoolOffset(index * 8), 1).unwrap();
        }
        return;
    }
    let scratch = Scratch::new(MEMORY, 8192);
    let status = std::process::Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "pmem::sim::tests::a_process_dies_right_before_the_step_it_was_told"])
        .env(ROLE, &scratch.path)
        .env("DAXCOW_SIM_DIE_AT_STEP", "4")
        .status()
        .unwrap();
    assert_eq!(status.signal(), Some(libc::SIGKILL));
    let region = scratch.map();
    let stored = (0..9).filter(|index| region.load(PoolOffset(index * 8)).unwrap() == 1).count();
    assert_eq!(stored, 3);
}
