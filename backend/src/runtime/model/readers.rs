//! Sequence counters under the model checker.

use loom::thread::spawn;

use super::*;

const NEVER: u64 = u64::MAX;
const STEPS: u64 = 17;

fn change(member: &Bound) -> Result<()> {
    let held = member.lock(LOCK)?;
    let change = member.begin_change(INODE)?;
    let worked = member.region.work(member.member.slot);
    drop(change);
    drop(held);
    worked
}

/// What a reader does: it looks without the lock, and under it where that fails.
fn read(member: &Bound) -> Result<[u64; 2]> {
    let look = || Ok([0, 1].map(|word: usize| member.region.machine.data[word].get().load(Relaxed)));
    if let Some(seen) = member.look_unlocked(INODE, look)? {
        return seen;
    }
    let _held = member.lock(LOCK)?;
    drop(member.begin_change(INODE)?);
    look()
}

/// A member that changes the data, dying before its step `dies_at`, and one that reads.
fn read_beside_a_change(dies_at: u64, fault: Option<Fault>) {
    let machine = Arc::new(Machine::new(2, fault, dies_at != NEVER));
    let writer = member(&machine, 0, dies_at);
    let reader = member(&machine, 1, NEVER);
    let writing = spawn(move || expect_alive(change(&writer), &writer.region));
    let [one, other] = read(&reader).expect("the reader lives");
    assert_eq!(one, other, "a reader accepted what is of two states");
    writing.join().expect("it ends");
    let [one, other] = read(&reader).expect("the reader lives");
    assert_eq!(one, other, "what is left is of two states");
}

#[test]
fn what_a_reader_accepts_is_of_one_state() {
    report(explore(4, || read_beside_a_change(NEVER, None)));
}

#[test]
fn a_reader_gets_past_a_writer_that_died_in_the_middle() {
    report((1..=STEPS).map(|step| explore(3, move || read_beside_a_change(step, None))).sum());
}

#[test]
fn mistakes_are_found() {
    for fault in [Fault::ValidatedFirst, Fault::NeverOdd, Fault::Unordered, Fault::EvenTooSoon] {
        must_be_found(fault, 2, move || read_beside_a_change(NEVER, Some(fault)));
    }
    must_be_found(Fault::NotRecovered, 2, || read_beside_a_change(10, Some(Fault::NotRecovered)));
}
