//! Random runs: generate and perform operations, and where one goes wrong, shorten the run and say how to repeat it.

use std::fmt;
use std::time::{Duration, Instant};

use daxcow::CreateOptions;

use crate::fixture::warm_up;
use crate::generate::{Generator, Limits};
use crate::op::Op;
use crate::place::Place;
use crate::session::{Mismatch, Session, Setup};

/// How much time may go into shortening a failing run.
const SHORTENING_MAX: Duration = Duration::from_secs(30);

/// The kind of run.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Operations in a run.
    pub steps: usize,
    /// Bytes in the pool.
    pub pool_bytes: u64,
    /// Whether the pool is small enough to run full: `NoSpace` and `NoInodes` are then right answers.
    pub may_run_out: bool,
    /// What the generator may use.
    pub limits: Limits,
    /// The directory on the host that pools are made in; the default place where it is `None`.
    pub place: Option<std::path::PathBuf>,
}

impl Default for Plan {
    fn default() -> Plan {
        let limits =
            Limits { members: 2, write_max: 64 << 10, offset_max: 512 << 10, far: true, alone: true };
        Plan { steps: 400, pool_bytes: 192 << 20, may_run_out: false, limits, place: None }
    }
}

/// A run that went wrong.
#[derive(Debug)]
pub struct Failure {
    /// The seed of the run.
    pub seed: u64,
    /// The operations that lead to it, shortened.
    pub ops: Vec<Op>,
    /// What went wrong at the last of them.
    pub mismatch: String,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "seed {:#x}: {}", self.seed, self.mismatch)?;
        writeln!(f, "after these operations, the last of which went wrong:")?;
        self.ops.iter().enumerate().try_for_each(|(index, op)| writeln!(f, "{index:4}  {op:?}"))
    }
}

/// Runs the operations of one seed.
///
/// # Errors
/// The failure, shortened.
pub fn run(plan: &Plan, seed: u64) -> Result<(), Failure> {
    let mut generator = Generator::new(seed, plan.limits.clone());
    let mut ops = Vec::new();
    let outcome = perform(plan, |model, step| {
        let op = (step < plan.steps).then(|| generator.next_op(model))?;
        ops.push(op.clone());
        Some(op)
    });
    match outcome {
        Ok(()) => Ok(()),
        Err(mismatch) => {
            eprintln!(
                "seed {seed:#x} went wrong after {} operations ({}): shortening",
                ops.len(),
                mismatch.0
            );
            let (ops, mismatch) = shorten(plan, ops, mismatch);
            Err(Failure { seed, ops, mismatch: mismatch.0 })
        }
    }
}

/// Performs a fixed list of operations on a new pool, and the checks that end every run.
///
/// # Errors
/// What went wrong.
pub fn replay(plan: &Plan, ops: &[Op]) -> Result<(), Mismatch> {
    perform(plan, |_, step| ops.get(step).cloned())
}

/// Performs what `generator` draws until it is used up, and the checks that end every run.
///
/// # Errors
/// What went wrong.
pub fn replay_drawn(plan: &Plan, mut generator: Generator) -> Result<(), Mismatch> {
    perform(plan, |model, step| if step < plan.steps { generator.next_drawn(model) } else { None })
}

fn perform(
    plan: &Plan,
    mut next: impl FnMut(&crate::model::Model, usize) -> Option<Op>,
) -> Result<(), Mismatch> {
    let place = plan.place.as_deref().map_or_else(Place::new, Place::within);
    let setup = Setup {
        pool: place.pool(),
        members: plan.limits.members,
        base: String::new(),
        may_run_out: plan.may_run_out,
    };
    let options = CreateOptions::new().size(plan.pool_bytes).sparse(true);
    let mut session = Session::create(setup, &options).map_err(|error| Mismatch(error.to_string()))?;
    warm_up(session.pool(0)).map_err(|error| Mismatch(format!("before the run: {error}")))?;
    let at_start = free_bytes(&session)?;
    let mut step = 0;
    while let Some(op) = next(&session.model, step) {
        session.step(&op)?;
        step += 1;
    }
    finish(&mut session, at_start)
}

/// The checks at the end of a run: all is as modelled, clean, and after removing everything the space is back
/// (more where the pool grew on the way).
fn finish(session: &mut Session, at_start: u64) -> Result<(), Mismatch> {
    let ending = [
        Op::DropViews,
        Op::Compare { member: 0 },
        Op::Reopen,
        Op::Compare { member: 0 },
        Op::Check { member: 0 },
    ];
    for op in ending {
        session.step(&op).map_err(|Mismatch(what)| Mismatch(format!("at the end, {op:?}: {what}")))?;
    }
    session.empty().map_err(|error| Mismatch(format!("emptying the pool: {error}")))?;
    session.step(&Op::Check { member: 0 })?;
    let at_end = free_bytes(session)?;
    if at_end >= at_start {
        return Ok(());
    }
    Err(Mismatch(format!("{at_start} bytes were free in the empty pool before, {at_end} are after")))
}

fn free_bytes(session: &Session) -> Result<u64, Mismatch> {
    session.pool(0).usage().map(|usage| usage.free_bytes).map_err(|error| Mismatch(error.to_string()))
}

/// Leaves operations out as long as the run still goes wrong.
fn shorten(plan: &Plan, ops: Vec<Op>, mismatch: Mismatch) -> (Vec<Op>, Mismatch) {
    let start = Instant::now();
    let mut best = (ops, mismatch);
    let mut piece = best.0.len().div_ceil(2);
    while piece > 0 && start.elapsed() < SHORTENING_MAX {
        let mut from = 0;
        let mut shorter = false;
        while from < best.0.len() && start.elapsed() < SHORTENING_MAX {
            let mut candidate = best.0.clone();
            candidate.drain(from..(from + piece).min(candidate.len()));
            match replay_quietly(plan, &candidate) {
                Some((used, mismatch)) if class(&mismatch) == class(&best.1) => {
                    candidate.truncate(used);
                    best = (candidate, mismatch);
                    shorter = true;
                }
                _ => from += piece,
            }
        }
        if piece == 1 && !shorter {
            break;
        }
        piece = if piece == 1 { 1 } else { piece.div_ceil(2) };
    }
    best
}

/// What kind of failure it is: its words without the numbers, so that shortening does not wander off to another one.
fn class(mismatch: &Mismatch) -> String {
    mismatch.0.chars().filter(|letter| !letter.is_ascii_digit()).take(60).collect()
}

/// The number of operations performed and what went wrong, if something did.
fn replay_quietly(plan: &Plan, ops: &[Op]) -> Option<(usize, Mismatch)> {
    let mut used = 0;
    let outcome = perform(plan, |_, step| {
        used = (step + 1).min(ops.len());
        ops.get(step).cloned()
    });
    outcome.err().map(|mismatch| (used, mismatch))
}
