//! The sixteen locks.

use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

use super::super::held::Holder;
use super::super::locks::{
    LOCKS, LockMode, LockState, LockStep, change, lock_state, release_all, try_lock, unlock,
};
use super::super::release_member;
use super::fixture::{Member, Pool, Start, Victim, extension_word, in_child};
use crate::error::ErrorKind;
use crate::inode::open::mask_bit;
use crate::runtime::member::Member as Slot;
use LockMode::{Exclusive, Shared};

/// A handle of a member, with the calls a file makes.
#[derive(Clone, Copy)]
struct Handle<'a>(&'a Member, &'a Holder);

impl Handle<'_> {
    fn new(member: &Member) -> Handle<'_> {
        Handle(member, Box::leak(Box::default()))
    }

    fn lock(self, index: u8, mode: LockMode) -> bool {
        try_lock(self.0.store(), &self.0.open, self.1, index, mode).unwrap()
    }

    fn unlock(self, index: u8) {
        unlock(self.0.store(), &self.0.open, self.1, index).unwrap();
    }

    fn change(self, steps: &[LockStep]) -> usize {
        change(self.0.store(), &self.0.open, self.1, steps).unwrap()
    }

    fn state(self, index: u8) -> LockState {
        lock_state(self.0.store(), &self.0.open, self.1, index).unwrap()
    }

    fn close(self) {
        release_all(self.0.store(), &self.0.open, self.1).unwrap();
    }
}

#[test]
fn looking_at_a_lock_makes_no_extension_and_taking_one_does() {
    let pool = Pool::new();
    let member = pool.join();
    let handle = Handle::new(&member);
    assert_eq!(handle.state(0), LockState::default());
    assert_eq!(extension_word(&member), 0);
    let free = member.free_blocks();
    assert!(handle.lock(0, Shared));
    assert_ne!(extension_word(&member), 0);
    assert_eq!(member.free_blocks(), free - 1);
    handle.close();
    let other = pool.join();
    member.leave();
    assert_ne!(extension_word(&other), 0, "another member still has the file open");
    let inode = other.inode();
    let store = other.core.clone();
    other.leave();
    let word = inode.field(crate::format::inode::at::EXTENSION);
    assert_eq!(store.store.runtime.region.load(word).unwrap(), 0);
    assert_eq!(store.store.runtime.region.load(crate::runtime::at::FREE_BLOCKS).unwrap(), free);
}

#[test]
fn a_lock_number_above_15_is_refused() {
    let pool = Pool::new();
    let member = pool.join();
    for index in [LOCKS, u8::MAX] {
        let refused = try_lock(member.store(), &member.open, &Holder::default(), index, Shared);
        assert_eq!(refused.unwrap_err().kind(), ErrorKind::InvalidInput);
    }
}

#[test]
fn steps_are_done_up_to_the_first_that_is_refused() {
    use LockStep::{Leave, Pass, Take};
    let pool = Pool::new();
    let (here, there) = (pool.join(), pool.join());
    let (one, two, far) = (Handle::new(&here), Handle::new(&here), Handle::new(&there));
    assert_eq!(
        one.change(&[Take(0, Exclusive), Take(2, Shared), Pass(0)]),
        3,
        "one's own lock is no obstacle"
    );
    for other in [two, far] {
        assert_eq!(other.change(&[Pass(0), Take(2, Shared)]), 0);
        assert_eq!(other.change(&[Take(1, Shared), Take(0, Shared), Take(3, Shared)]), 1);
        assert!(other.state(2).shared_by_others && !other.state(3).shared_by_others);
        assert_eq!(other.change(&[Leave(1), Leave(4), Take(5, Exclusive), Leave(5), Pass(2)]), 5);
        assert_eq!(one.state(1), LockState::default());
    }
    assert_eq!(one.change(&[Leave(2), Leave(0)]), 2);
    assert_eq!(far.change(&[Pass(0), Take(2, Exclusive), Take(0, Exclusive)]), 3);
    let refused = change(here.store(), &here.open, one.1, &[Take(6, Shared), Pass(LOCKS)]);
    assert_eq!(refused.unwrap_err().kind(), ErrorKind::InvalidInput);
    assert!(far.state(6).shared_by_others, "what was done stays");
}

#[test]
fn the_only_sharer_may_upgrade_and_an_owner_may_downgrade() {
    let pool = Pool::new();
    let (here, there) = (pool.join(), pool.join());
    let (one, two, far) = (Handle::new(&here), Handle::new(&here), Handle::new(&there));
    assert!(one.lock(7, Shared) && two.lock(7, Shared) && far.lock(7, Shared));
    assert!(one.lock(7, Shared), "held so already");
    two.unlock(7);
    assert!(!one.lock(7, Exclusive), "another member shares it");
    assert_eq!(one.state(7), LockState { shared_by_others: true, exclusive_by_other: false });
    far.unlock(7);
    assert_eq!(one.state(7), LockState::default());
    assert!(one.lock(7, Exclusive) && one.lock(7, Exclusive));
    assert!(!two.lock(7, Shared) && !far.lock(7, Shared) && !far.lock(7, Exclusive));
    let owned = LockState { shared_by_others: false, exclusive_by_other: true };
    assert_eq!((two.state(7), far.state(7)), (owned, owned));
    assert_eq!(one.state(7), LockState::default());
    assert!(far.lock(8, Exclusive), "the locks are apart");
    assert!(one.lock(7, Shared) && far.lock(7, Shared));
    one.close();
    assert!(far.lock(7, Exclusive), "closing a handle releases its locks");
}

/// What a handle holds of one lock.
type Model = Vec<Option<LockMode>>;

fn expected(model: &Model, own: usize, mode: LockMode) -> bool {
    model
        .iter()
        .enumerate()
        .all(|(handle, held)| handle == own || held.is_none() || (mode == Shared && *held == Some(Shared)))
}

/// Replay a failure with DAXCOW_SEED=<seed> cargo test -p daxcow random_locking.
#[test]
fn random_locking_agrees_with_a_model() {
    let seed = std::env::var("DAXCOW_SEED").ok().and_then(|seed| seed.parse().ok());
    let seed: u64 = seed.unwrap_or_else(crate::os::process::monotonic_ns) | 1;
    println!("replay: DAXCOW_SEED={seed} cargo test -p daxcow random_locking");
    let mut random = Random(seed);
    let pool = Pool::new();
    let members: Vec<Member> = (0..3).map(|_| pool.join()).collect();
    let handles: Vec<Handle<'_>> = (0..9).map(|number| Handle::new(&members[number % 3])).collect();
    let mut models = vec![vec![None; handles.len()]; usize::from(LOCKS)];
    for step in 0..20_000 {
        let own = random.below(handles.len());
        let index = u8::try_from(random.below(if step % 2 == 0 { 2 } else { LOCKS.into() })).unwrap();
        let model = &mut models[usize::from(index)];
        match random.below(8) {
            choice @ 0..=4 => {
                let mode = if choice < 3 { Shared } else { Exclusive };
                let expected = expected(model, own, mode);
                assert_eq!(handles[own].lock(index, mode), expected, "seed {seed} step {step}: {model:?}");
                if expected {
                    model[own] = Some(mode);
                }
            }
            5 | 6 => {
                handles[own].unlock(index);
                model[own] = None;
            }
            _ if random.below(20) == 0 => {
                handles[own].close();
                models.iter_mut().for_each(|model| model[own] = None);
            }
            _ => {
                let others =
                    |mode| (0..handles.len()).any(|other| other != own && model[other] == Some(mode));
                let state =
                    LockState { shared_by_others: others(Shared), exclusive_by_other: others(Exclusive) };
                assert_eq!(handles[own].state(index), state, "seed {seed} step {step}: {model:?}");
            }
        }
    }
}

/// Xorshift.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 >> 11).unwrap() % limit
    }
}

#[test]
fn threads_of_several_members_exclude_each_other() {
    let pool = Pool::new();
    let members: Vec<Member> = (0..3).map(|_| pool.join()).collect();
    // Above 0: so many sharers. -1: one owner.
    let inside = AtomicI64::new(0);
    let (owned, shared) = (AtomicU64::new(0), AtomicU64::new(0));
    std::thread::scope(|scope| {
        for thread in 0..6_u64 {
            let (member, inside, owned, shared) =
                (&members[usize::try_from(thread % 3).unwrap()], &inside, &owned, &shared);
            scope.spawn(move || {
                let handle = Handle::new(member);
                let mut random = Random(thread * 77 + 1);
                for _ in 0..20_000 {
                    if random.below(2) == 0 {
                        if handle.lock(3, Shared) {
                            assert!(inside.fetch_add(1, Ordering::SeqCst) >= 0, "shared with an owner");
                            shared.fetch_add(1, Ordering::Relaxed);
                            assert!(inside.fetch_sub(1, Ordering::SeqCst) > 0);
                            if random.below(4) == 0 && handle.lock(3, Exclusive) {
                                assert_eq!(inside.fetch_sub(1, Ordering::SeqCst), 0, "upgraded with sharers");
                                inside.fetch_add(1, Ordering::SeqCst);
                            }
                            handle.unlock(3);
                        }
                    } else if handle.lock(3, Exclusive) {
                        assert_eq!(inside.fetch_sub(1, Ordering::SeqCst), 0, "owned with others inside");
                        owned.fetch_add(1, Ordering::Relaxed);
                        assert_eq!(inside.fetch_add(1, Ordering::SeqCst), -1);
                        handle.unlock(3);
                    }
                }
            });
        }
    });
    assert!(owned.into_inner() > 0 && shared.into_inner() > 0);
    let last = Handle::new(&members[0]);
    assert!(last.lock(3, Exclusive), "something was left behind");
}

#[test]
fn of_two_who_meet_one_gets_the_lock() {
    const ROUNDS: u32 = 40_000;
    let pool = Pool::new();
    let members = [pool.join(), pool.join()];
    let start = Start::new(2);
    let won = AtomicU64::new(0);
    let failed = AtomicU64::new(u64::MAX);
    let meet = |mode: LockMode, member: &Member, seed: u64| {
        let handle = Handle::new(member);
        let mut random = Random(seed);
        for round in 0..ROUNDS {
            start.wait();
            for _ in 0..random.below(20) {
                std::hint::spin_loop();
            }
            won.fetch_add(handle.lock(0, mode).into(), Ordering::SeqCst);
            start.wait();
            if won.load(Ordering::SeqCst) != 1 {
                failed.store(round.into(), Ordering::SeqCst);
            }
            start.wait();
            won.store(0, Ordering::SeqCst);
            handle.unlock(0);
        }
    };
    std::thread::scope(|scope| {
        scope.spawn(|| meet(Shared, &members[0], 3));
        scope.spawn(|| meet(Exclusive, &members[1], 5));
    });
    assert_eq!(failed.into_inner(), u64::MAX, "in this round both or none got it");
}

#[test]
fn a_killed_process_holds_no_locks() {
    in_child(|member, handle| {
        let lock =
            |index, mode| assert!(try_lock(member.store(), &member.open, handle, index, mode).unwrap());
        lock(0, Exclusive);
        lock(1, Shared);
        lock(2, Exclusive);
        lock(3, Shared);
    });
    let pool = Pool::new();
    let member = pool.join();
    let handle = Handle::new(&member);
    for first in 0..4 {
        let victim = Victim::start(&pool, "inode::advisory::tests::locks::a_killed_process_holds_no_locks");
        assert!(!handle.lock(0, Shared) && !handle.lock(1, Exclusive) && handle.lock(1, Shared));
        assert!(handle.state(2).exclusive_by_other && handle.state(3).shared_by_others);
        let deaths = member.store().runtime.deaths().unwrap();
        victim.kill();
        match first {
            0 => assert!(handle.lock(0, Shared)),
            1 => assert!(handle.lock(1, Exclusive)),
            2 => assert_eq!(handle.state(2), LockState::default()),
            _ => assert_eq!(handle.state(3), LockState::default()),
        }
        assert_eq!(member.store().runtime.deaths().unwrap(), deaths + 1, "the dead one was recovered");
        for index in 0..4 {
            assert!(handle.lock(index, Exclusive));
            handle.unlock(index);
        }
    }
}

#[test]
fn a_word_of_a_former_generation_is_free_to_take() {
    let pool = Pool::new();
    let (here, there) = (pool.join(), pool.join());
    let (near, far) = (Handle::new(&here), Handle::new(&there));
    assert!(far.lock(0, Exclusive) && far.lock(1, Shared) && far.lock(2, Exclusive));
    assert!(!near.lock(0, Shared) && !near.lock(1, Exclusive));
    let slot = there.store().runtime.member;
    // The slot is left with everything in place, and its next member arrives.
    there.store().runtime.free_slot(slot.slot, slot.generation).unwrap();
    assert!(near.lock(0, Shared) && near.lock(1, Exclusive) && near.lock(2, Exclusive));
}

#[test]
fn recovery_takes_away_what_one_member_held_and_nothing_else() {
    let pool = Pool::new();
    let (here, there) = (pool.join(), pool.join());
    let (near, far) = (Handle::new(&here), Handle::new(&there));
    assert!(near.lock(0, Shared) && far.lock(0, Shared) && far.lock(1, Exclusive) && near.lock(2, Exclusive));
    let Slot { slot, .. } = there.store().runtime.member;
    release_member(here.store(), &here.inode(), slot).unwrap();
    assert_eq!(near.state(0), LockState::default());
    assert_eq!(near.state(1), LockState::default());
    assert_eq!(far.state(0), LockState { shared_by_others: true, exclusive_by_other: false });
    assert_eq!(far.state(2), LockState { shared_by_others: false, exclusive_by_other: true });
}

#[test]
fn recovery_leaves_alone_what_no_open_mark_keeps_in_place() {
    let pool = Pool::new();
    let (here, there) = (pool.join(), pool.join());
    let (near, far) = (Handle::new(&here), Handle::new(&there));
    assert!(near.lock(0, Shared) && far.lock(1, Exclusive));
    let Slot { slot, .. } = there.store().runtime.member;
    let (word, bit) = mask_bit(&here.inode(), slot);
    here.store().runtime.region.and_u64(word, !bit).unwrap();
    release_member(here.store(), &here.inode(), slot).unwrap();
    assert!(near.state(1).exclusive_by_other);
}
