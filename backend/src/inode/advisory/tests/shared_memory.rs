//! The shared memory.

#![expect(unsafe_code, reason = "loads and stores through the pointers that regions give")]

use std::ptr::NonNull;

use super::super::shared_memory::SharedMemory;
use super::fixture::{Member, Pool, Start, Victim, assert_counts, extension_word, in_child, used_blocks};
use crate::error::ErrorKind;
use crate::space::Purpose;
use crate::units::BLOCK_SIZE;

const SIZE: usize = 32 << 10;

fn attach(member: &Member) -> SharedMemory {
    SharedMemory::attach(&member.core, &member.open).unwrap()
}

fn make(memory: &SharedMemory, index: usize) -> NonNull<u8> {
    memory.region(index, SIZE, true).unwrap().unwrap()
}

fn load(region: NonNull<u8>, at: usize) -> u8 {
    assert!(at < SIZE);
    let byte = region.as_ptr().wrapping_add(at);
    // SAFETY: inside the region, which stays while the test has it attached.
    unsafe { byte.read_volatile() }
}

fn store(region: NonNull<u8>, at: usize, value: u8) {
    assert!(at < SIZE);
    let byte = region.as_ptr().wrapping_add(at);
    // SAFETY: inside the region, which stays while the test has it attached.
    unsafe { byte.write_volatile(value) }
}

/// What adapters rely on: a handle may move to another thread.
const _: () = {
    const fn is_send<T: Send + Sync>() {}
    is_send::<SharedMemory>();
};

#[test]
fn all_users_see_one_memory_and_the_first_one_zeros() {
    let pool = Pool::new();
    let (here, there) = (pool.join(), pool.join());
    let (one, two, far) = (attach(&here), attach(&here), attach(&there));
    assert_eq!((one.users().unwrap(), far.users().unwrap()), (3, 2));
    assert!(one.region(0, SIZE, false).unwrap().is_none());
    let region = make(&one, 0);
    assert!((0..SIZE).all(|at| load(region, at) == 0));
    assert_eq!(two.region(0, SIZE, false).unwrap(), Some(region), "one address in a process");
    store(region, SIZE - 1, 7);
    assert_eq!(load(make(&far, 0), SIZE - 1), 7);
    one.detach(true).unwrap();
    two.detach(true).unwrap();
    assert_eq!(load(make(&far, 0), SIZE - 1), 7, "one user is left");
    drop(far);
    let again = attach(&here);
    assert!(again.region(0, SIZE, false).unwrap().is_none());
    assert_eq!(load(make(&again, 0), SIZE - 1), 0);
}

#[test]
fn the_table_grows_and_everything_is_given_back() {
    let pool = Pool::new();
    let member = pool.join();
    let free = member.free_blocks();
    let memory = attach(&member);
    let size = 4096;
    // Beyond the first block of the table (379 entries) and the second one (511 more).
    let indices = [0, 1, 378, 379, 889, 890, 1400];
    let regions: Vec<_> = indices.map(|index| memory.region(index, size, true).unwrap().unwrap()).into();
    for (number, (&region, index)) in regions.iter().zip(indices).enumerate() {
        assert_eq!(memory.region(index, size, false).unwrap(), Some(region));
        assert!(!regions[..number].contains(&region));
    }
    assert!(memory.region(380, size, false).unwrap().is_none());
    assert!(memory.region(5000, size, false).unwrap().is_none());
    // The extension, the regions, and two blocks of the table.
    assert_eq!(member.free_blocks(), free - 1 - 7 - 2);
    assert_counts(&member.store().runtime.region);
    memory.detach(true).unwrap();
    assert_eq!(member.free_blocks(), free - 1);
    let left = attach(&member);
    make(&left, 3);
    left.detach(false).unwrap();
    assert_eq!(member.free_blocks(), free - 1 - 8, "the last user did not ask for it");
    let core = member.core.clone();
    member.leave();
    let region = &core.store.runtime.region;
    assert_eq!(region.load(crate::runtime::at::FREE_BLOCKS).unwrap(), free);
    assert_counts(region);
}

#[test]
fn regions_are_contiguous_in_a_scattered_pool_and_a_full_one_says_so() {
    let pool = Pool::new();
    let member = pool.join();
    let space = &member.store().space;
    let memory = attach(&member);
    let free = member.free_blocks();
    let mut reservation = space.reserve(free, Purpose::Release).unwrap();
    let blocks: Vec<_> = (0..free).map(|_| space.allocate_one(&mut reservation).unwrap()).collect();
    drop(reservation);
    assert_eq!(memory.region(0, SIZE, true).unwrap_err().kind(), ErrorKind::NoSpace);
    let mut sorted = blocks;
    sorted.sort_unstable();
    // Single blocks are free, and one run of eight.
    let kept =
        sorted.iter().enumerate().filter(|(at, _)| *at == 599 || at % 2 == 0 && !(600..=607).contains(at));
    let kept: Vec<_> = kept.map(|(_, block)| *block).collect();
    let freed: Vec<_> = sorted.iter().filter(|block| !kept.contains(block)).copied().collect();
    space.give_back(&freed);
    let region = make(&memory, 0);
    assert!((0..SIZE).all(|at| load(region, at) == 0));
    let used = used_blocks(&member.store().runtime.region);
    assert!((0..8).all(|at| used.contains(&(sorted[600].0 + at))), "the run was found");
    assert_eq!(memory.region(1, SIZE, true).unwrap_err().kind(), ErrorKind::NoSpace);
    assert!(memory.region(1, usize::try_from(BLOCK_SIZE).unwrap(), true).unwrap().is_some());
    assert_counts(&member.store().runtime.region);
}

#[test]
fn bad_sizes_and_indices_are_refused() {
    let pool = Pool::new();
    let member = pool.join();
    let memory = attach(&member);
    for size in [0, 1, 4095, SIZE + 1, (2 << 20) + 4096, usize::MAX] {
        let kind = memory.region(0, size, true).unwrap_err().kind();
        assert_eq!(kind, ErrorKind::InvalidInput, "{size}");
    }
    assert_eq!(memory.region(usize::MAX, SIZE, true).unwrap_err().kind(), ErrorKind::NoSpace);
    assert!(memory.region(usize::MAX, SIZE, false).unwrap().is_none());
    let region = make(&memory, 0);
    assert_eq!(memory.region(0, 4096, true).unwrap(), Some(region));
    assert_eq!(memory.region(0, 2 * SIZE, true).unwrap_err().kind(), ErrorKind::InvalidInput);
    assert_eq!(make(&memory, 1).as_ptr() as usize % 4096, 0);
}

#[test]
fn memory_outlives_the_handle_it_came_from() {
    let pool = Pool::new();
    let member = pool.join();
    let memory = attach(&member);
    let region = make(&memory, 0);
    member.core.open.close(member.store(), &member.open).unwrap();
    assert_ne!(extension_word(&member), 0, "the memory keeps the file open");
    store(region, 5, 9);
    assert_eq!(load(make(&memory, 0), 5), 9);
    memory.detach(false).unwrap();
    assert_eq!(extension_word(&member), 0);
    assert_counts(&member.store().runtime.region);
}

#[test]
fn one_region_is_made_by_threads_that_all_ask_for_it() {
    let pool = Pool::new();
    let members = [pool.join(), pool.join()];
    for round in 0..1000 {
        let meet = Start::new(2);
        let marks: Vec<(usize, u8)> = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..2_u8)
                .map(|thread| {
                    let (members, meet) = (&members, &meet);
                    scope.spawn(move || {
                        let memory = attach(&members[usize::from(thread)]);
                        meet.wait();
                        let region = make(&memory, 2);
                        store(region, usize::from(thread), thread + 1);
                        meet.wait();
                        let all = (0..2).filter(|&at| load(region, at) != 0).count();
                        meet.wait();
                        memory.detach(true).unwrap();
                        (all, thread)
                    })
                })
                .collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        assert!(marks.iter().all(|&(all, _)| all == 2), "round {round}: {marks:?}");
    }
    assert_counts(&members[0].store().runtime.region);
}

#[test]
fn a_killed_user_does_not_count() {
    in_child(|member, _| {
        let memory = attach(member);
        store(make(&memory, 0), 100, 5);
        store(make(&memory, 7), 100, 6);
        // The child is killed with it attached.
        Box::leak(Box::new(memory));
    });
    let pool = Pool::new();
    let member = pool.join();
    let name = "inode::advisory::tests::shared_memory::a_killed_user_does_not_count";
    let victim = Victim::start(&pool, name);
    let memory = attach(&member);
    assert_eq!(memory.users().unwrap(), 2);
    assert_eq!(load(make(&memory, 7), 100), 6, "the memory of a live user");
    memory.detach(true).unwrap();
    let free = member.free_blocks();
    victim.kill();
    let memory = attach(&member);
    assert_eq!(memory.users().unwrap(), 1);
    assert!(memory.region(0, SIZE, false).unwrap().is_none(), "the dead one's memory is gone");
    assert_eq!(member.free_blocks(), free + 16);
    let victim = Victim::start(&pool, name);
    victim.kill();
    assert_eq!(load(make(&memory, 0), 100), 5, "this user is alive and keeps what the dead one wrote");
    assert_eq!(memory.users().unwrap(), 1);
}

#[test]
fn contiguous_blocks_are_all_or_none_while_others_allocate() {
    let pool = Pool::new();
    let members = [pool.join(), pool.join()];
    let space = &members[0].store().space;
    // All but one chunk is taken, so that everybody looks in the same place.
    let mut reservation = space.reserve(members[0].free_blocks(), Purpose::Release).unwrap();
    let mut blocks = Vec::new();
    while reservation.left() > 0 {
        blocks.push(space.allocate_one(&mut reservation).unwrap());
    }
    blocks.sort_unstable();
    space.give_back(&blocks[blocks.len() - 24..]);
    drop(reservation);
    let start = Start::new(2);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let space = &members[0].store().space;
            start.wait();
            for _ in 0..100_000 {
                let mut reservation = space.reserve(8, Purpose::Release).unwrap();
                if let Ok(run) = space.allocate_contiguous(&mut reservation, 8) {
                    assert_eq!(run.blocks, 8);
                    (0..8).for_each(|block| space.give_back(&[run.first.add(block)]));
                }
            }
        });
        scope.spawn(|| {
            let space = &members[1].store().space;
            start.wait();
            for _ in 0..100_000 {
                let mut reservation = space.reserve(2, Purpose::Release).unwrap();
                let pair = [(); 2].map(|()| space.allocate_one(&mut reservation).unwrap());
                space.give_back(&pair);
            }
        });
    });
    assert_counts(&members[0].store().runtime.region);
    assert_eq!(members[0].free_blocks(), 24);
}
