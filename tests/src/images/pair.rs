//! Two members at the same time, each in a directory of its own: in turn, or in two threads that run at once.
//!
//! Both note what they do on one tape, in one order. What each has been told is done must be there after a crash, whatever
//! the other was in the middle of: blocks, counts, lanes, the inode table and the superblock are shared.

use daxcow::sim::{Image, Recording, Tape, Unit};
use daxcow::{CreateOptions, Pool};

use super::bench::Bench;
use super::judge::Judge;
use super::run::{Part, Performed, on_medium, opened_by};
use super::{Effort, Tally};
use crate::aftermath::{Oracle, Wrong};
use crate::model::Model;
use crate::op::Op;
use crate::place::Place;
use crate::rng::Rng;
use crate::sequences::{POOL_BYTES, alphabet, before};
use crate::session::{Session, Setup};

const BASES: [&str; 2] = ["/left", "/right"];
/// Letters that each member performs.
const LETTERS: u64 = 5;

/// Performs and judges runs of two members.
pub struct Pair {
    image: Image,
    models: Vec<Model>,
    unit: Unit,
    bench: Bench,
    judge: Judge,
}

fn setup(path: &std::path::Path, base: &str) -> Setup {
    Setup { pool: path.into(), members: 1, base: base.into(), may_run_out: false }
}

impl Pair {
    /// Prepares a pool for two.
    ///
    /// # Errors
    /// What went wrong, as a sentence.
    pub fn new(effort: Effort, seed: u64) -> Result<Pair, String> {
        let place = Place::new();
        let text = |error: daxcow::Error| error.to_string();
        Pool::create(place.pool(), &CreateOptions::new().size(POOL_BYTES).sparse(true))
            .and_then(Pool::close)
            .map_err(text)?;
        let mut models = Vec::new();
        for base in BASES {
            let mut session = Session::join(setup(&place.pool(), base)).map_err(text)?;
            for op in before().iter().chain([&Op::Reopen]) {
                session.step(op).map_err(|mismatch| format!("{op:?}: {}", mismatch.0))?;
            }
            models.push(session.model.clone());
        }
        let host = |error: std::io::Error| error.to_string();
        let image = Image::new(std::fs::read(place.pool()).map_err(host)?);
        let judge = Judge::new(Bench::new(&image).map_err(host)?, effort, Rng::new(seed));
        Ok(Pair { bench: Bench::new(&image).map_err(host)?, image, models, unit: effort.unit, judge })
    }

    /// What was done so far.
    #[must_use]
    pub fn tally(&self) -> Tally {
        self.judge.tally
    }

    /// Performs what follows from `seed`, in turn where it is even and at once where it is odd, and crashes all of it.
    ///
    /// # Errors
    /// What is wrong, with the operations.
    pub fn run(&mut self, seed: u64) -> Result<(), String> {
        self.judge.tally.sequences += 1;
        let mut rng = Rng::new(seed);
        let ops: Vec<Vec<Op>> = BASES.iter().map(|_| random_ops(&mut rng)).collect();
        let performed = self.perform(&ops, seed % 2 == 1);
        performed.and_then(|run| self.judge.judge(&run)).map_err(|wrong| format!("pair {seed:#x}: {wrong}"))
    }

    fn perform(&mut self, ops: &[Vec<Op>], at_once: bool) -> Result<Performed, Wrong> {
        let host = |error: std::io::Error| Wrong::new(Oracle::Run, error.to_string());
        self.bench.load(&self.image, self.image.len()).map_err(host)?;
        let tape = Tape::new(self.image.clone());
        let (models, unit) = (&self.models, self.unit);
        let performed = self.bench.watch_with(&tape, |path| {
            let mut sessions = Vec::new();
            for (base, model) in BASES.iter().zip(models) {
                let session = on_medium(unit, || Session::resume(setup(path, base), model.clone()));
                sessions.push(session.map_err(|error| Wrong::new(Oracle::Run, format!("{error:?}")))?);
            }
            let mut parts: Vec<Part> =
                BASES.iter().zip(models).map(|(base, model)| Part::new(base, model.clone())).collect();
            for (session, part) in sessions.iter_mut().zip(&mut parts) {
                opened_by(0).try_for_each(|op| part.step(session, &tape, op))?;
                part.prepared();
            }
            let stepped = if at_once {
                step_at_once(&mut sessions, &mut parts, ops, &tape, unit)
            } else {
                step_in_turn(&mut sessions, &mut parts, ops, &tape)
            };
            let recording = tape.take().ok_or_else(|| Wrong::new(Oracle::Run, "the recording is gone"));
            sessions.into_iter().for_each(Session::abandon);
            stepped.and(recording).map(|recording: Recording| (recording, parts))
        });
        let (recording, parts) = performed?;
        let file_bytes = std::fs::metadata(self.bench.path()).map_err(host)?.len();
        Ok(Performed { recording, parts, file_bytes, unit })
    }
}

fn random_ops(rng: &mut Rng) -> Vec<Op> {
    let letters = alphabet();
    // A member that is alone for a moment would be the last one and say that the pool is closed; and who gives up what was
    // kept of streams would meet what the other one receives.
    let shared = |op: &Op| {
        !matches!(
            op,
            Op::Reopen | Op::Repair | Op::Grow { .. } | Op::ReceiveHalf { .. } | Op::AbortReceives { .. }
        )
    };
    let drawn = (0..1 + rng.below(LETTERS)).flat_map(|_| rng.pick(&letters).1.clone()).collect::<Vec<_>>();
    drawn.into_iter().filter(shared).collect()
}

fn step_in_turn(
    sessions: &mut [Session],
    parts: &mut [Part],
    ops: &[Vec<Op>],
    tape: &Tape,
) -> Result<(), Wrong> {
    let longest = ops.iter().map(Vec::len).max().unwrap_or(0);
    for index in 0..longest {
        for ((session, part), ops) in sessions.iter_mut().zip(parts.iter_mut()).zip(ops) {
            if let Some(op) = ops.get(index) {
                part.step(session, tape, op.clone())?;
            }
        }
    }
    Ok(())
}

fn step_at_once(
    sessions: &mut [Session],
    parts: &mut [Part],
    ops: &[Vec<Op>],
    tape: &Tape,
    unit: Unit,
) -> Result<(), Wrong> {
    std::thread::scope(|scope| {
        let started: Vec<_> = sessions
            .iter_mut()
            .zip(parts.iter_mut())
            .zip(ops)
            .map(|((session, part), ops)| {
                let work = move || ops.iter().try_for_each(|op| part.step(session, tape, op.clone()));
                scope.spawn(move || on_medium(unit, || tape.during(work)))
            })
            .collect();
        let ended = started.into_iter().map(|thread| {
            thread.join().unwrap_or_else(|_| Err(Wrong::new(Oracle::Run, "a member's thread panicked")))
        });
        ended.collect::<Vec<_>>().into_iter().collect()
    })
}
