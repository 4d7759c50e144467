//! Robust locks under the model checker.

use loom::thread::spawn;

use super::*;
use crate::runtime::member::{claim_slot, occupy};

/// More steps than any process takes.
const NEVER: u64 = u64::MAX;
/// More steps than a process takes that meets nobody: so many deaths there are.
const STEPS: u64 = 12;

fn locked_work(member: &Bound) -> Result<()> {
    let held = member.lock(LOCK)?;
    let worked = member.region.work(member.member.slot);
    drop(held);
    worked
}

/// `processes` members that each work once under the lock; the first one dies before its step `dies_at`.
fn contend(processes: u32, dies_at: u64, fault: Option<Fault>) {
    let machine = Arc::new(Machine::new(processes, fault, dies_at != NEVER));
    let others: Vec<_> = (0..processes)
        .map(|slot| {
            let member = member(&machine, slot, if slot == 0 { dies_at } else { NEVER });
            spawn(move || expect_alive(locked_work(&member), &member.region))
        })
        .collect();
    others.into_iter().for_each(|other| other.join().expect("it ends"));
    let last = member(&machine, processes - 1, NEVER);
    let done = last.lock(LOCK).and_then(|_held| last.region.seen()).expect("the last one lives");
    let living = u64::from(processes - u32::from(dies_at != NEVER));
    assert!((living..=u64::from(processes)).contains(&done), "{done} of {processes} were done");
}

#[test]
fn one_at_a_time_and_no_wakeup_is_lost() {
    report(explore(4, || contend(2, NEVER, None)) + explore(2, || contend(3, NEVER, None)));
}

#[test]
fn a_death_at_any_step_is_recovered_before_the_lock_is_taken_over() {
    let die = |step| explore(3, move || contend(2, step, None)) + explore(1, move || contend(3, step, None));
    report((1..=STEPS).map(die).sum());
}

/// The first one dies with the lock held, the second one while it recovers the first.
fn recoverer_dies(dies_at: u64, fault: Option<Fault>) {
    let machine = Arc::new(Machine::new(3, fault, true));
    let first = member(&machine, 0, 6);
    expect_alive(locked_work(&first), &first.region);
    let others = [dies_at, NEVER].into_iter().zip(1..).map(|(dies_at, slot)| {
        let member = member(&machine, slot, dies_at);
        spawn(move || expect_alive(locked_work(&member), &member.region))
    });
    others.collect::<Vec<_>>().into_iter().for_each(|other| other.join().expect("it ends"));
    let last = member(&machine, 2, NEVER);
    last.lock(LOCK).and_then(|_held| last.region.seen()).expect("the last one lives");
}

#[test]
fn the_death_of_who_recovers_is_recovered() {
    report((1..=36).map(|step| explore(1, move || recoverer_dies(step, None))).sum());
}

/// The first one dies with the lock held, a new member takes its slot, and the second one waits for the lock.
fn slot_used_again(fault: Option<Fault>) {
    let machine = Arc::new(Machine { full: true, ..Machine::new(2, fault, true) });
    let first = member(&machine, 0, 6);
    expect_alive(locked_work(&first), &first.region);
    let waiter = member(&machine, 1, NEVER);
    let waiting = spawn(move || expect_alive(locked_work(&waiter), &waiter.region));
    // Of a third process, which has no slot yet.
    let joiner = process(&machine, 2, NEVER);
    let joined = loop {
        match claim_slot(&joiner, &joiner) {
            Ok(claim) => break claim,
            Err(_) => joiner.spin(),
        }
    };
    let member = bind(joiner.clone(), joined.member);
    if let Some(dead) = joined.predecessor {
        member.recover_claimed(dead.slot, dead.generation).expect("the dead one is recovered");
    }
    occupy(&joiner, joined.member).expect("the slot is occupied");
    expect_alive(locked_work(&member), &joiner);
    waiting.join().expect("it ends");
}

#[test]
fn the_words_of_a_former_member_are_free_when_its_slot_is_used_again() {
    report(explore(2, || slot_used_again(None)));
}

/// Two threads of one member, and another member: a word of one's own slot is always a living one's.
fn threads_contend() {
    let machine = Arc::new(Machine::new(2, None, false));
    let own = Arc::new(member(&machine, 0, NEVER));
    let other = member(&machine, 1, NEVER);
    let threads =
        [Arc::clone(&own), own].map(|own| spawn(move || expect_alive(locked_work(&own), &own.region)));
    expect_alive(locked_work(&other), &other.region);
    threads.into_iter().for_each(|thread| thread.join().expect("it ends"));
    assert_eq!(other.lock(LOCK).and_then(|_held| other.region.seen()).expect("it lives"), 3);
}

#[test]
fn threads_of_one_member_exclude_each_other() {
    report(explore(2, threads_contend));
}

#[test]
fn mistakes_are_found() {
    for fault in [Fault::WaitersUnsaid, Fault::NobodyWoken] {
        must_be_found(fault, 2, move || contend(2, NEVER, Some(fault)));
    }
    must_be_found(Fault::NotRecovered, 1, || contend(2, 6, Some(Fault::NotRecovered)));
    must_be_found(Fault::ClaimedByTwo, 2, || recoverer_dies(NEVER, Some(Fault::ClaimedByTwo)));
    must_be_found(Fault::GenerationIgnored, 1, || slot_used_again(Some(Fault::GenerationIgnored)));
}
