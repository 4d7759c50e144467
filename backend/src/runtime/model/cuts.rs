//! The cut gate under the model checker.

use loom::thread::spawn;

use super::*;

const NEVER: u64 = u64::MAX;
const STEPS: u64 = 12;

fn marked_work(member: &Bound) -> Result<()> {
    let mark = member.enter()?;
    let worked = member.region.work(member.member.slot);
    drop(mark);
    worked
}

/// As a writer of a file does.
fn marked_work_under_a_lock(member: &Bound) -> Result<()> {
    let (mark, held) = member.enter_locking(LOCK)?;
    let worked = member.region.work(member.member.slot);
    drop(held);
    drop(mark);
    worked
}

fn cut_twice_seen(member: &Bound) -> Result<()> {
    let cut = member.cut()?;
    let before = member.region.seen()?;
    assert_eq!(before, member.region.seen()?, "something moved behind the closed gate");
    drop(cut);
    Ok(())
}

/// A way to work that a cut waits for.
type Work = fn(&Bound) -> Result<()>;
const WAYS: [Work; 2] = [marked_work, marked_work_under_a_lock];

/// A member that does `work`, dying before its step `worker_dies`, and one that cuts, dying before its step `cutter_dies`.
fn cut(work: Work, worker_dies: u64, cutter_dies: u64, fault: Option<Fault>) {
    let machine = Arc::new(Machine::new(2, fault, worker_dies != NEVER || cutter_dies != NEVER));
    let worker = member(&machine, 0, worker_dies);
    let working = spawn(move || expect_alive(work(&worker), &worker.region));
    let cutter = member(&machine, 1, cutter_dies);
    expect_alive(cut_twice_seen(&cutter), &cutter.region);
    working.join().expect("it ends");
    let last = member(&machine, if worker_dies == NEVER { 0 } else { 1 }, NEVER);
    cut_twice_seen(&last).expect("the last one lives");
}

#[test]
fn nothing_moves_behind_the_gate() {
    report(WAYS.map(|work| explore(4, move || cut(work, NEVER, NEVER, None))).iter().sum());
}

#[test]
fn the_mark_of_a_dead_member_ends_with_its_recovery() {
    let die = |work, step| explore(2, move || cut(work, step, NEVER, None));
    report(WAYS.into_iter().flat_map(|work| (1..=STEPS + 4).map(move |step| die(work, step))).sum());
}

#[test]
fn the_gate_of_a_dead_member_opens() {
    let die = |work, step| explore(2, move || cut(work, NEVER, step, None));
    report(WAYS.into_iter().flat_map(|work| (1..=STEPS).map(move |step| die(work, step))).sum());
}

#[test]
fn mistakes_are_found() {
    for fault in [Fault::Unmarked, Fault::GateBeforeMark] {
        for work in WAYS {
            must_be_found(fault, 2, move || cut(work, NEVER, NEVER, Some(fault)));
        }
    }
    for (work, step) in WAYS.into_iter().zip([7, 9]) {
        must_be_found(Fault::NotRecovered, 2, move || cut(work, step, NEVER, Some(Fault::NotRecovered)));
    }
}
