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

fn cut_twice_seen(member: &Bound) -> Result<()> {
    let cut = member.cut()?;
    let before = member.region.seen()?;
    assert_eq!(before, member.region.seen()?, "something moved behind the closed gate");
    drop(cut);
    Ok(())
}

/// A member that works, dying before its step `worker_dies`, and one that cuts, dying before its step `cutter_dies`.
fn cut(worker_dies: u64, cutter_dies: u64, fault: Option<Fault>) {
    let machine = Arc::new(Machine::new(2, fault, worker_dies != NEVER || cutter_dies != NEVER));
    let worker = member(&machine, 0, worker_dies);
    let working = spawn(move || expect_alive(marked_work(&worker), &worker.region));
    let cutter = member(&machine, 1, cutter_dies);
    expect_alive(cut_twice_seen(&cutter), &cutter.region);
    working.join().expect("it ends");
    let last = member(&machine, if worker_dies == NEVER { 0 } else { 1 }, NEVER);
    cut_twice_seen(&last).expect("the last one lives");
}

#[test]
fn nothing_moves_behind_the_gate() {
    report(explore(4, || cut(NEVER, NEVER, None)));
}

#[test]
fn the_mark_of_a_dead_member_ends_with_its_recovery() {
    report((1..=STEPS).map(|step| explore(2, move || cut(step, NEVER, None))).sum());
}

#[test]
fn the_gate_of_a_dead_member_opens() {
    report((1..=STEPS).map(|step| explore(2, move || cut(NEVER, step, None))).sum());
}

#[test]
fn mistakes_are_found() {
    for fault in [Fault::Unmarked, Fault::GateBeforeMark] {
        must_be_found(fault, 2, move || cut(NEVER, NEVER, Some(fault)));
    }
    must_be_found(Fault::NotRecovered, 2, || cut(7, NEVER, Some(Fault::NotRecovered)));
}
