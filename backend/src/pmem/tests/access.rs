//! Copies and words: every length and alignment, on every kind of CPU that this one can play.

use std::time::Duration;

use super::*;
use crate::error::ErrorKind;
use crate::units::PoolOffset;

const LENGTHS: [usize; 20] =
    [0, 1, 2, 7, 8, 9, 15, 16, 17, 63, 64, 65, 127, 128, 129, 255, 256, 257, 1000, 4999];
const PLACES: [u64; 8] = [0, 1, 8, 56, 63, 64, 65, 4095];

fn pattern(len: usize) -> Vec<u8> {
    (0..len).map(|i| u8::try_from(i % 251 + 1).unwrap()).collect()
}

/// The region on every path that stores can take here: around the cache by each instruction set, and ordinary.
fn every_path(test: impl Fn(&Region)) {
    let scratch = Scratch::new(MEMORY, 1 << 20);
    test(&scratch.map_with(MapOptions { flush: FlushMode::Off, ..options() }).unwrap());
    let region = scratch.map();
    #[cfg(target_arch = "x86_64")]
    {
        use crate::pmem::arch::{Cpu, Flush, Stores};
        let mut region = region;
        let best = Cpu::detect();
        for stores in [Stores::Sse2, Stores::Avx, Stores::Avx512] {
            for flush in [Flush::Clflush, Flush::Clflushopt, Flush::Clwb] {
                if stores as u8 <= best.stores as u8 && flush as u8 <= best.flush as u8 {
                    region.cpu = Cpu { stores, flush, ..best };
                    test(&region);
                }
            }
        }
    }
    #[cfg(not(target_arch = "x86_64"))]
    test(&region);
}

#[test]
fn a_write_changes_its_range_and_nothing_else() {
    every_path(|region| {
        for (at, len) in PLACES.into_iter().flat_map(|at| LENGTHS.map(|len| (at, len))) {
            region.zero(PoolOffset(0), 16384).unwrap().leave_unflushed();
            put(region, at, &pattern(len));
            let mut expected = vec![0; 16384];
            let start = usize::try_from(at).unwrap();
            expected[start..start + len].copy_from_slice(&pattern(len));
            assert!(get(region, 0, 16384) == expected, "write of {len} bytes at {at}");
        }
    });
}

#[test]
fn zeroing_and_copying_change_their_range_and_nothing_else() {
    every_path(|region| {
        for (at, len) in PLACES.into_iter().flat_map(|at| LENGTHS.map(|len| (at, len))) {
            put(region, 0, &pattern(32768));
            let mut expected = pattern(32768);
            let start = usize::try_from(at).unwrap();
            region.zero(PoolOffset(at), len as u64).unwrap().leave_unflushed();
            expected[start..start + len].fill(0);
            region.copy(PoolOffset(10_001), PoolOffset(16384 + at), len as u64).unwrap().leave_unflushed();
            expected.copy_within(10_001..10_001 + len, 16384 + start);
            assert!(get(region, 0, 32768) == expected, "{len} bytes at {at}");
        }
    });
}

#[test]
fn overlapping_copies_are_refused() {
    let region = Scratch::new(MEMORY, 8192).map();
    let error = region.copy(PoolOffset(0), PoolOffset(99), 100).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidInput);
    region.copy(PoolOffset(0), PoolOffset(100), 100).unwrap().leave_unflushed();
}

#[test]
fn a_single_different_byte_is_found() {
    let region = Scratch::new(MEMORY, 1 << 16).map();
    for len in LENGTHS.into_iter().chain([4096, 4097, 9000]).filter(|&len| len > 0) {
        put(&region, 3, &vec![0; len]);
        put(&region, 30_000, &vec![0; len]);
        let same = || region.equal(PoolOffset(3), PoolOffset(30_000), len as u64).unwrap();
        let zero = || region.is_zero(PoolOffset(3), len as u64).unwrap();
        assert!(same() && zero(), "len {len}");
        for index in [0, len / 2, len - 1] {
            put(&region, 3 + index as u64, &[1]);
            assert!(!same() && !zero(), "len {len}: byte {index} differs");
            put(&region, 3 + index as u64, &[0]);
        }
        put(&region, 3 + len as u64, &[1]);
        assert!(same() && zero(), "len {len}: the byte after it does not count");
    }
}

#[test]
fn words_do_what_they_say() {
    let region = Scratch::new(MEMORY, 8192).map();
    let at = PoolOffset(4096);
    region.store_u64(at, u64::MAX).unwrap();
    assert_eq!(region.add_u64(at, 2).unwrap(), u64::MAX);
    assert_eq!(region.sub_u64(at, 2).unwrap(), 1);
    assert_eq!(region.load(at).unwrap(), u64::MAX);
    assert_eq!(region.and_u64(at, 0xf0).unwrap(), u64::MAX);
    assert_eq!(region.or_u64(at, 0x0f).unwrap(), 0xf0);
    assert_eq!(region.cas_u64(at, 0, 1).unwrap(), Err(0xff));
    assert_eq!(region.cas_u64(at, 0xff, 0x1_0000_0002).unwrap(), Ok(0xff));
    assert_eq!(region.swap_u32(at, 5).unwrap(), 2);
    assert_eq!(region.load(at).unwrap(), 0x1_0000_0005, "a 32-bit word leaves its neighbour alone");
    assert_eq!(region.cas_u32(at, 5, 6).unwrap(), Ok(5));
    assert_eq!(region.sub_u32(at, 7).unwrap(), 6);
    assert_eq!(region.add_u32(at, 1).unwrap(), u32::MAX);
    let proof = region.fence(Flushed::none()).unwrap();
    region.publish(at, 77, &proof).unwrap().leave_unflushed();
    assert_eq!(region.load(at).unwrap(), 77);
}

#[test]
fn threads_lose_no_addition() {
    let region = Scratch::new(MEMORY, 8192).map();
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for _ in 0..10_000 {
                    region.add_u64(PoolOffset(8), 1).unwrap();
                    region.add_u32(PoolOffset(4), 1).unwrap();
                    region.or_u64(PoolOffset(16), 1).unwrap();
                }
            });
        }
    });
    assert_eq!(region.load(PoolOffset(8)).unwrap(), 40_000);
    assert_eq!(region.load_u32(PoolOffset(4)).unwrap(), 40_000);
}

#[test]
fn places_outside_and_askew_are_damage() {
    let region = Scratch::new(MEMORY, 8192).map();
    let mut byte = [0];
    let errors = [
        region.read(PoolOffset(8192), &mut byte).err(),
        region.read(PoolOffset(u64::MAX), &mut byte).err(),
        region.zero(PoolOffset(8190), 3).err(),
        region.zero(PoolOffset(1), u64::MAX).err(),
        region.load(PoolOffset(8192)).err(),
        region.load(PoolOffset(u64::MAX - 7)).err(),
        region.load(PoolOffset(4)).err(),
        region.load(PoolOffset(1)).err(),
        region.load_u32(PoolOffset(2)).err(),
        region.load_u32(PoolOffset(8192)).err(),
        region.pointer(PoolOffset(0), 8193).err(),
    ];
    for (index, error) in errors.into_iter().enumerate() {
        let error = error.unwrap_or_else(|| panic!("access {index} succeeded"));
        assert_eq!(error.kind(), ErrorKind::Corrupt, "access {index}: {error}");
    }
    region.load(PoolOffset(8184)).unwrap();
    region.load_u32(PoolOffset(8188)).unwrap();
}

#[test]
fn a_pool_that_another_member_grew_is_mapped_on_demand() {
    let scratch = Scratch::new(MEMORY, 8192);
    let (one, other) = (scratch.map(), scratch.map());
    scratch.open().set_len(1 << 20).unwrap();
    put(&one, 500_000, b"grown");
    assert_eq!(get(&other, 500_000, 5), b"grown");
    scratch.open().set_len(2 << 20).unwrap();
    assert_eq!(other.load(PoolOffset((2 << 20) - 8)).unwrap(), 0);
    assert_eq!((other.len(), other.extend().unwrap(), one.len()), (2 << 20, 2 << 20, 1 << 20));
    assert!(one.reserved() >= one.len());
}

#[test]
fn a_read_only_region_refuses_stores_and_a_private_one_keeps_them() {
    let scratch = Scratch::new(MEMORY, 8192);
    let shared = scratch.map();
    let reader = scratch.map_with(MapOptions { access: Access::ReadOnly, ..options() }).unwrap();
    put(&shared, 0, b"shared");
    assert_eq!(get(&reader, 0, 6), b"shared");
    assert_eq!(reader.write(PoolOffset(0), b"x").unwrap_err().kind(), ErrorKind::ReadOnly);
    assert_eq!(reader.add_u64(PoolOffset(0), 1).unwrap_err().kind(), ErrorKind::ReadOnly);
    let private = scratch.map_with(MapOptions { access: Access::Private, ..options() }).unwrap();
    put(&private, 0, b"secret");
    assert_eq!((get(&private, 0, 6), get(&shared, 0, 6)), (b"secret".to_vec(), b"shared".to_vec()));
}

#[test]
fn a_discarded_block_reads_as_zeros_and_costs_nothing() {
    use std::os::unix::fs::MetadataExt;
    let scratch = Scratch::new(MEMORY, 16384);
    let region = scratch.map();
    put(&region, 0, &[9; 16384]);
    let before = scratch.open().metadata().unwrap().blocks();
    assert!(region.discard(PoolOffset(4096), 8192).unwrap());
    assert_eq!(before - scratch.open().metadata().unwrap().blocks(), 16);
    assert!(region.is_zero(PoolOffset(4096), 8192).unwrap());
    assert_eq!(get(&region, 4095, 1), [9]);
    assert_eq!(get(&region, 12288, 1), [9]);
    assert_eq!(region.discard(PoolOffset(1), 4096).unwrap_err().kind(), ErrorKind::InvalidInput);
}

#[test]
fn a_waiter_returns_at_once_when_the_word_has_changed() {
    let region = Scratch::new(MEMORY, 8192).map();
    let begin = std::time::Instant::now();
    region.futex_wait(PoolOffset(4), 1, Duration::from_secs(60)).unwrap();
    assert!(begin.elapsed() < Duration::from_secs(30));
    region.futex_wait(PoolOffset(4), 0, Duration::from_millis(20)).unwrap();
    assert!(begin.elapsed() >= Duration::from_millis(20), "an unchanged word is waited for");
}

#[test]
fn ones_are_doubled_up_to_the_first_other_word() {
    let scratch = Scratch::new(MEMORY, 1 << 20);
    let region = scratch.map();
    let place = |index: u64| PoolOffset(4096 + 4 * index);
    for (start, count) in (0..6).flat_map(|start| (0..20).map(move |count| (start, count))) {
        for (end, other) in (0..=count).flat_map(|end| [0, 2, 257].map(|other| (end, other))) {
            (0..32).for_each(|index| region.store_u32(place(index), 1).unwrap());
            region.store_u32(place(start + end), other).unwrap();
            let case = format!("{count} words from {start}, word {end} is {other}");
            assert_eq!(region.double_ones(place(start), count).unwrap(), end, "{case}");
            for index in 0..32 {
                let expected = match index {
                    _ if index == start + end => other,
                    _ if (start..start + end).contains(&index) => 2,
                    _ => 1,
                };
                assert_eq!(region.load_u32(place(index)).unwrap(), expected, "{case}: word {index}");
            }
        }
    }
}
