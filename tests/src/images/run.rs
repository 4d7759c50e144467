//! Operations performed under a recorder.
//!
//! A run begins with the pool of [`Base`], closed; it opens the pool and some files, which is on the tape too, and performs
//! its operations. One step is the operations that are on their way at one time: usually one, by one member.

use daxcow::sim::{Fault, Image, Recording, Tape, Unit, as_disk};
use daxcow::{CreateOptions, OpenOptions, Pool};

use super::bench::Bench;
use super::walk::by_member;
use crate::aftermath::{History, Oracle, Promise, Wrong, check};
use crate::model::Model;
use crate::op::{Member, Op, OpenHow, Span};
use crate::place::Place;
use crate::sequences::{POOL_BYTES, before};
use crate::session::{Session, Setup};

/// The pool that runs begin with, closed, and what it holds.
#[derive(Clone)]
pub struct Base {
    image: Image,
    model: Model,
    /// What opens the files again that the preparation had open.
    open: Vec<Op>,
    unit: Unit,
}

/// A run as it was performed.
#[derive(Clone)]
pub struct Performed {
    /// What happened to the medium.
    pub recording: Recording,
    /// What each session did; one, or one for each of several members.
    pub parts: Vec<Part>,
    /// Bytes in the pool's file at the end. It grows, durably, before anything says so.
    pub file_bytes: u64,
    /// Pages behind a cache, or lines.
    pub unit: Unit,
}

/// What one session did, in a directory of its own if there are several.
#[derive(Clone)]
pub struct Part {
    /// Its directory; empty for the whole pool.
    base: String,
    /// The operations, those that open the files first.
    ops: Vec<Op>,
    /// How many events there were after each of them.
    ends: Vec<usize>,
    /// The state before the first and after each.
    states: Vec<Model>,
    /// Operations that only prepare: the crash points are after them.
    prepared: usize,
}

impl Performed {
    /// Operations of each part that were complete after `point` events.
    pub(super) fn complete(&self, point: usize) -> Vec<usize> {
        self.parts.iter().map(|part| part.complete(point)).collect()
    }

    /// Where the operations end that are to be crashed.
    pub(super) fn ends(&self) -> impl Iterator<Item = usize> {
        self.parts.iter().flat_map(|part| part.ends[part.prepared..].iter().copied())
    }

    /// Events before the first operation that is to be crashed.
    pub(super) fn begin(&self) -> usize {
        let begins =
            self.parts.iter().map(|part| part.prepared.checked_sub(1).map_or(0, |last| part.ends[last]));
        begins.min().unwrap_or(0)
    }

    /// The same run with a mistake in it.
    pub(super) fn with_fault(&self, fault: Fault) -> Performed {
        let mut faulty = self.clone();
        for part in &mut faulty.parts {
            (faulty.recording, part.ends) = self.recording.with_fault(fault, &part.ends);
        }
        faulty
    }

    /// Judges a pool that was recovered from a crash after `point` events.
    pub(super) fn judge(&self, pool: &Pool, point: usize, promise: Promise) -> Result<(), Wrong> {
        check(pool, true)?;
        self.parts.iter().try_for_each(|part| {
            let history = History { ops: &part.ops, states: &part.states, promise, base: part.base.as_str() };
            history.compare(pool, part.complete(point))
        })
    }

    /// What was going on after `point` events.
    pub(super) fn describe(&self, point: usize) -> String {
        let parts = self.parts.iter().map(|part| {
            let op = part.ops.get(part.complete(point));
            format!("in {op:?} of {:?}", &part.ops[part.prepared..])
        });
        parts.collect::<Vec<_>>().join(" and ")
    }
}

impl Part {
    /// Nothing has been done yet.
    pub(super) fn new(base: &str, model: Model) -> Part {
        Part { base: base.into(), ops: vec![], ends: vec![], states: vec![model], prepared: 0 }
    }

    /// Performs an operation.
    pub(super) fn step(&mut self, session: &mut Session, tape: &Tape, op: Op) -> Result<(), Wrong> {
        session.step(&op).map_err(|mismatch| Wrong::new(Oracle::Run, format!("{op:?}: {}", mismatch.0)))?;
        self.ops.push(op);
        self.ends.push(tape.events());
        self.states.push(session.model.clone());
        Ok(())
    }

    /// Says that what comes from now on is to be crashed.
    pub(super) fn prepared(&mut self) {
        self.prepared = self.ops.len();
    }

    fn complete(&self, point: usize) -> usize {
        self.ends.partition_point(|&end| end <= point)
    }
}

impl Base {
    /// Prepares the pool on a medium of these units.
    ///
    /// # Errors
    /// What went wrong, as a sentence.
    pub fn new(unit: Unit) -> Result<Base, String> {
        let place = Place::new();
        let setup = Setup { pool: place.pool(), members: 1, base: String::new(), may_run_out: false };
        let options = CreateOptions::new().size(POOL_BYTES).sparse(true);
        let mut session = Session::create(setup, &options).map_err(|error| error.to_string())?;
        for op in litter().into_iter().chain(before()) {
            session.step(&op).map_err(|mismatch| format!("{op:?}: {}", mismatch.0))?;
        }
        session.step(&Op::Reopen).map_err(|mismatch| mismatch.0)?;
        let model = session.model.clone();
        drop(session);
        let image = Image::new(std::fs::read(place.pool()).map_err(|error| error.to_string())?);
        Ok(Base { image, model, open: opened_by(0).collect(), unit })
    }

    /// What persists as a whole where it lies.
    pub(super) fn unit(&self) -> Unit {
        self.unit
    }

    /// A pool file for runs.
    ///
    /// # Errors
    /// What the host says.
    pub fn bench(&self) -> std::io::Result<Bench> {
        Bench::new(&self.image)
    }

    /// Performs `ops`, the last `judged` of which, or of those that open the files before them, are to be crashed; by so
    /// many members in this process.
    ///
    /// # Errors
    /// Where an operation gives something else than it should, or the pool is not what it should be in the end.
    pub fn perform(
        &self,
        bench: &mut Bench,
        ops: &[Op],
        judged: usize,
        members: usize,
        threads: Threads,
    ) -> Result<Performed, Wrong> {
        let host = |error: std::io::Error| Wrong::new(Oracle::Run, error.to_string());
        bench.load(&self.image, self.image.len()).map_err(host)?;
        let tape = Tape::new(self.image.clone());
        let opening: Vec<Op> = self.open.iter().chain(ops).cloned().collect();
        let judged_from = opening.len().saturating_sub(judged);
        let (model, unit) = (&self.model, self.unit);
        let performed = bench.watch_with(&tape, |path| {
            let setup = Setup { pool: path.into(), members, base: String::new(), may_run_out: false };
            on_medium(unit, || {
                let session = Session::resume(setup, model.clone());
                let mut session = session.map_err(|error| Wrong::new(Oracle::Run, format!("{error:?}")))?;
                let mut part = Part::new("", model.clone());
                let stepped = opening.into_iter().enumerate().try_for_each(|(index, op)| {
                    if index == judged_from {
                        part.prepared();
                    }
                    match threads {
                        Threads::One => part.step(&mut session, &tape, op),
                        Threads::OneEach => elsewhere(unit, &tape, || part.step(&mut session, &tape, op)),
                    }
                });
                let recording = tape.take().ok_or_else(|| Wrong::new(Oracle::Run, "the recording is gone"));
                let looked = stepped.and_then(|()| look(&mut session));
                session.abandon();
                looked.and(recording).map(|recording| (recording, part))
            })
        });
        let (recording, part) = performed?;
        let file_bytes = std::fs::metadata(bench.path()).map_err(host)?.len();
        Ok(Performed { recording, parts: vec![part], file_bytes, unit })
    }
}

/// Leaves free blocks that are not zeros: what is not stored shows.
fn litter() -> Vec<Op> {
    let how = OpenHow { write: true, create: true, create_new: false, truncate: false };
    vec![
        Op::Open { slot: 0, member: 0, path: "/litter".into(), how },
        Op::Write { slot: 0, span: Span { offset: 0, len: 2 << 20 }, seed: 99 },
        Op::Close { slot: 0 },
        Op::RemoveFile { member: 0, path: "/litter".into() },
    ]
}

/// What opens the files again that the preparation had open, by one member.
pub(super) fn opened_by(member: Member) -> impl Iterator<Item = Op> {
    before().into_iter().filter_map(move |op| match op {
        Op::Open { slot, path, how, .. } => {
            let how = OpenHow { create: false, ..how };
            Some(by_member(Op::Open { slot, member, path, how }, member))
        }
        _ => None,
    })
}

/// Runs `open`, for which pools in memory lie on a medium of these units.
pub(super) fn on_medium<T>(unit: Unit, open: impl FnOnce() -> T) -> T {
    if unit == Unit::Page { as_disk(open) } else { open() }
}

/// Which threads perform the operations of a run.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Threads {
    /// One performs all.
    One,
    /// Each operation has a thread of its own, whose fences do nothing for those before.
    OneEach,
}

/// Runs `step` in a thread of its own.
fn elsewhere(unit: Unit, tape: &Tape, step: impl FnOnce() -> Result<(), Wrong> + Send) -> Result<(), Wrong> {
    std::thread::scope(|scope| {
        let thread = scope.spawn(|| on_medium(unit, || tape.during(step)));
        thread.join().unwrap_or_else(|_| Err(Wrong::new(Oracle::Run, "an operation's thread panicked")))
    })
}

/// Looks at the pool without a crash.
fn look(session: &mut Session) -> Result<(), Wrong> {
    [Op::DropViews, Op::Check { member: 0 }, Op::Compare { member: 0 }].iter().try_for_each(|op| {
        session
            .step(op)
            .map_err(|mismatch| Wrong::new(Oracle::Run, format!("afterwards, {op:?}: {}", mismatch.0)))
    })
}

/// Opens the pool that a crash has left, which recovers it.
pub(super) fn recover(path: &std::path::Path) -> Result<Pool, Wrong> {
    Pool::open(path, &OpenOptions::new()).map_err(|error| Wrong::new(Oracle::Opening, format!("{error:?}")))
}
