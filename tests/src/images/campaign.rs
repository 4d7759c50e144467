//! The whole campaign, for as long as there is time.
//!
//! First every mistake is made and must be found. Then all short sequences are gone through on a medium of lines, those of
//! up to two letters first, in the order of the seed; of every eight pieces of work one each goes to a medium of words, one of
//! pages, long random sequences and two members at once. Several threads share the work. A campaign goes on where
//! another one of the same seed ended.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use daxcow::sim::Unit;

use super::faults::{Found, Trial};
use super::pair::Pair;
use super::walk::{LENGTH_MAX, Sequences, Walker};
use super::{Effort, Tally};

/// What is to be done.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    /// How long, at least; what has been begun is ended.
    pub minutes: u64,
    /// What the order and all chance follow from.
    pub seed: u64,
    /// Threads.
    pub jobs: u64,
    /// The first piece of work: where an earlier campaign ended, or 0, which makes the mistakes first.
    pub from: u64,
}

impl Default for Plan {
    fn default() -> Plan {
        Plan { minutes: 1, seed: 1, jobs: 1, from: 0 }
    }
}

/// What came of it.
#[derive(Default)]
struct Outcome {
    tally: Tally,
    mistakes: usize,
    found: usize,
    failures: u64,
}

/// One thread's media.
struct Worker {
    plan: Plan,
    lines: Walker,
    words: Walker,
    pages: Walker,
    pairs: [Pair; 2],
}

impl Worker {
    fn new(plan: Plan, job: u64) -> Result<Worker, String> {
        let seed = plan.seed.wrapping_add(job << 32);
        let walker = |unit| Walker::new(Effort::full(unit), seed);
        let pair =
            |unit| Pair::new(Effort { recovery_one_in: 40, ..Effort { unit, ..Effort::default() } }, seed);
        Ok(Worker {
            plan,
            lines: walker(Unit::Line)?,
            words: walker(Unit::Word)?,
            pages: walker(Unit::Page)?,
            pairs: [pair(Unit::Line)?, pair(Unit::Page)?],
        })
    }

    /// Does piece number `piece`.
    fn work(&mut self, piece: u64) -> Result<(), String> {
        let (turn, seed) = (piece / 8, self.plan.seed.wrapping_add(piece));
        match piece % 8 {
            0 => self.pairs[usize::from(turn % 4 == 3)].run(seed),
            1 if turn % 4 == 3 => self.pages.random(seed),
            1 => self.lines.random(seed),
            2 => self.pages.sequence(self.number(turn)),
            3 => self.words.sequence(self.number(turn)),
            lane => self.lines.sequence(self.number(4 * turn + lane - 4)),
        }
    }

    /// The sequence at a place of the order: the shorter ones first.
    fn number(&self, place: u64) -> u64 {
        let sequences = Sequences::default();
        let (short, all) = (sequences.count(LENGTH_MAX - 1), sequences.count(LENGTH_MAX));
        if place < short {
            Sequences::shuffled(place, short, self.plan.seed)
        } else {
            short + Sequences::shuffled((place - short) % (all - short), all - short, self.plan.seed)
        }
    }

    fn tally(&self) -> Tally {
        let mut tally = Tally::default();
        [&self.lines, &self.words, &self.pages].iter().for_each(|walker| tally.add(walker.tally()));
        self.pairs.iter().for_each(|pair| tally.add(pair.tally()));
        tally
    }
}

/// Runs the campaign, says what fails as it fails, and ends with one line; answers how much failed.
#[must_use]
pub fn run(plan: Plan) -> u64 {
    let end = Instant::now() + Duration::from_secs(60 * plan.minutes);
    let mut outcome = Outcome::default();
    if plan.from == 0 {
        make_mistakes(plan, &mut outcome);
    }
    let next = AtomicU64::new(plan.from);
    std::thread::scope(|scope| {
        let next = &next;
        let jobs: Vec<_> =
            (0..plan.jobs.max(1)).map(|job| scope.spawn(move || work_until(plan, job, end, next))).collect();
        for job in jobs {
            let (tally, failures) = job.join().unwrap_or((Tally::default(), 1));
            outcome.tally.add(tally);
            outcome.failures += failures;
        }
    });
    println!(
        "crash: {}, {} of {} mistakes found, {} failures; goes on with --seed {} --from {}",
        outcome.tally,
        outcome.found,
        outcome.mistakes,
        outcome.failures,
        plan.seed,
        next.into_inner()
    );
    outcome.failures
}

fn work_until(plan: Plan, job: u64, end: Instant, next: &AtomicU64) -> (Tally, u64) {
    let mut worker = match Worker::new(plan, job) {
        Ok(worker) => worker,
        Err(what) => {
            eprintln!("{what}");
            return (Tally::default(), 1);
        }
    };
    let mut failures = 0;
    loop {
        let piece = next.fetch_add(1, Ordering::Relaxed);
        let worked = catch_unwind(AssertUnwindSafe(|| worker.work(piece)));
        if let Err(what) = worked.unwrap_or_else(|_| Err("panicked".into())) {
            eprintln!(
                "piece {piece}: {what}\nto repeat it: cargo xtask crash --minutes 0 --seed {} --from {piece}",
                plan.seed
            );
            failures += 1;
        }
        if Instant::now() >= end {
            return (worker.tally(), failures);
        }
    }
}

/// Makes every mistake; one that nobody finds, and is not [known to be harmless](super::faults::HARMLESS), is a failure.
fn make_mistakes(plan: Plan, outcome: &mut Outcome) {
    let effort = Effort { recovery_one_in: 0, ..Effort::default() };
    let mut told = |found: &Found| println!("{found}");
    let tried = Trial::new(effort, plan.seed).and_then(|mut trial| {
        let mut all = trial.of_code(&mut told)?;
        all.extend(trial.of_order(&mut told)?);
        outcome.tally.add(trial.tally);
        Ok(all)
    });
    match tried {
        Ok(all) => {
            let harmful: Vec<&Found> = all.iter().filter(|found| found.is_harmful()).collect();
            outcome.mistakes = harmful.len();
            outcome.found = harmful.iter().filter(|found| found.by.is_some()).count();
            outcome.failures += (outcome.mistakes - outcome.found) as u64;
        }
        Err(what) => {
            eprintln!("{what}");
            outcome.failures += 1;
        }
    }
}
