//! Mistakes made on purpose, each of which somebody has to notice.
//!
//! | kind | how it is made |
//! |---|---|
//! | a flush or a fence that is forgotten, a pointer published before the fence that precedes it | put into the recording of a run, or of a recovery, by its line in the source |
//! | anything else: a count that is not raised, a word left out, a lane not replayed ... | made by the code itself ([`Mistake`]) |
//!
//! Each is put into one sequence after the other until one shows it.

use std::collections::BTreeSet;
use std::fmt;

use daxcow::sim::{Event, Fault, Mistake, with_mistake};

use super::bench::Bench;
use super::judge::Judge;
use super::run::{Base, Performed, Threads};
use super::{Effort, Tally};
use crate::aftermath::{Oracle, Wrong};
use crate::op::{Op, Span};
use crate::rng::Rng;
use crate::sequences::alphabet;

/// Pairs of letters that show what no letter alone does: what the first leaves undone hurts the second.
const PAIRS: &[(&str, &str)] = &[
    ("batch", "truncate down and up"),
    ("batch on a shared file", "write unaligned, shared"),
    ("append and not sync", "write past the end"),
    ("append and not sync", "write unaligned, in place"),
    ("truncate down", "truncate up"),
    ("truncate down and up", "write past the end"),
    ("write unaligned, shared", "write into a hole"),
    ("batch", "sync"),
    ("append and not sync", "sync"),
    ("snapshot of all", "write unaligned, in place"),
    ("close and open", "write unaligned, shared"),
    ("close and open", "close and open"),
    ("delete a snapshot", "close and open"),
];

/// A mistake, and what came of it.
pub struct Found {
    /// What was done wrong.
    pub mistake: String,
    /// Who noticed, in which sequence and after how many images of it; nobody if nothing.
    pub by: Option<(Oracle, String, u64)>,
}

/// Mistakes that hurt nobody, by how they are described, and why.
pub const HARMLESS: &[(&str, &str)] = &[
    ("no fence, dax/range.rs, `let ready", "the size depends on nothing that was stored before"),
    ("published before the fence, inode/mod.rs, `let stored", "the same, for what precedes the size"),
    (
        "no fence, inode/mod.rs, `region.fence(region.flush_range(",
        "every durable change fences before it returns",
    ),
    (
        "published before the fence, journal/mod.rs, `let valid",
        "it counts only with the records under its checksum, and these are stored after that fence",
    ),
    ("no fence, pool.rs, `store.runtime", "a file without a name is gone after a crash, whole or not"),
    (
        "no fence, relocate/swing.rs, `store",
        "on lines the fence of the transaction that follows does its work",
    ),
    ("no flush, runtime/mod.rs, ", "volatile words: zeroed for those who live"),
    ("no fence, runtime/mod.rs, ", "volatile words: zeroed for those who live"),
    (
        "no fence, snapshot/build.rs, ",
        "nothing is reachable before the transaction that names the tree and fences",
    ),
];

impl Found {
    /// Whether somebody should notice it.
    #[must_use]
    pub fn is_harmful(&self) -> bool {
        !HARMLESS.iter().any(|(mistake, _)| self.mistake.starts_with(mistake))
    }
}

impl fmt::Display for Found {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.by {
            Some((oracle, sequence, images)) => {
                write!(to, "| {} | {oracle} | {sequence} | {images} |", self.mistake)
            }
            None => write!(to, "| {} | nobody | | |", self.mistake),
        }
    }
}

/// A sequence by name.
struct Sequence {
    name: String,
    ops: Vec<Op>,
}

fn sequences() -> Vec<Sequence> {
    let letters = alphabet();
    let letter = |wanted: &str| {
        let found = letters.iter().find(|(name, _)| *name == wanted);
        found.map(|(_, ops)| ops.clone()).unwrap_or_else(|| panic!("no letter is called {wanted}"))
    };
    let mut all = vec![
        Sequence {
            name: "a node is dropped and its block reused".into(),
            ops: reused(51, by_truncating(), WHOLE),
        },
        Sequence {
            name: "a node is freed and its block reused".into(),
            ops: reused(52, by_removing(), WHOLE),
        },
        Sequence {
            name: "a block is reused for a part of a hole".into(),
            ops: reused(53, by_truncating(), IN_HOLE),
        },
        Sequence { name: "open".into(), ops: vec![] },
    ];
    all.extend(PAIRS.iter().map(|(one, other)| {
        let ops = [letter(one), letter(other)].concat();
        Sequence { name: format!("{one}, {other}"), ops }
    }));
    all.extend(letters.iter().map(|(name, ops)| Sequence { name: (*name).into(), ops: ops.clone() }));
    all
}

/// A write: to a file by its slot, at an offset, so many bytes.
type Taker = (usize, u64, u64);

/// A file is written, and its blocks freed, its node among them. Single blocks of others, which come from what was freed last, take
/// their places, whole or in part, before anything is synced.
fn reused(seed: u64, freeing: Vec<Op>, takers: &[Taker]) -> Vec<Op> {
    let write = |(slot, offset, len)| Op::Write { slot, span: Span { offset, len }, seed };
    let takers = takers.iter().map(|&place| write(place));
    [write((3, 0, 20_000))].into_iter().chain(freeing).chain(takers).collect()
}

/// Whole blocks of others.
const WHOLE: &[Taker] = &[(0, 40_960, 4096), (0, 81_920, 4096), (1, 122_880, 4096), (1, 204_800, 4096)];
/// Parts of blocks of a hole.
const IN_HOLE: &[Taker] = &[(1, 20_000, 100), (1, 33_000, 100)];

fn by_truncating() -> Vec<Op> {
    vec![Op::PoolSync { member: 0 }, Op::SetLen { slot: 3, len: 0 }]
}

fn by_removing() -> Vec<Op> {
    vec![Op::Close { slot: 3 }, Op::RemoveFile { member: 0, path: "/new".into() }]
}

/// Tries mistakes on one medium.
pub struct Trial {
    base: Base,
    effort: Effort,
    seed: u64,
    sequences: Vec<Sequence>,
    /// What was done so far.
    pub tally: Tally,
}

impl Trial {
    /// A trial of this effort.
    ///
    /// # Errors
    /// What went wrong, as a sentence.
    pub fn new(effort: Effort, seed: u64) -> Result<Trial, String> {
        let base = Base::new(effort.unit)?;
        Ok(Trial { base, effort, seed, sequences: sequences(), tally: Tally::default() })
    }

    /// Makes no mistake at all.
    ///
    /// # Errors
    /// What is noticed all the same.
    pub fn without(&mut self) -> Result<(), String> {
        let mut bench = self.base.bench().map_err(|error| error.to_string())?;
        let by = self.search(self.effort, |trial, judge, sequence| {
            let run = sequence.perform(&trial.base, &mut bench, Threads::OneEach)?;
            judge.judge(&run).map_err(|wrong| Wrong::new(wrong.oracle, format!("{}: {wrong}", sequence.name)))
        })?;
        by.map_or(Ok(()), |(oracle, sequence, _)| Err(format!("{oracle} in {sequence}")))
    }

    /// Makes each mistake of the code in turn; `told` hears of each at once.
    ///
    /// # Errors
    /// Where no pool file can be made.
    pub fn of_code(&mut self, told: &mut dyn FnMut(&Found)) -> Result<Vec<Found>, String> {
        let mut bench = self.base.bench().map_err(|error| error.to_string())?;
        let mut all = Vec::new();
        for &mistake in Mistake::ALL {
            // Most show without a crash, and that is soon tried.
            let shown = self.sequences.iter().find_map(|sequence| {
                let run = with_mistake(mistake, || sequence.perform(&self.base, &mut bench, Threads::One));
                run.err().map(|wrong| (wrong.oracle, sequence.name.clone(), 0))
            });
            let effort = Effort { recovery_one_in: 8, ..self.effort };
            let by = match shown {
                Some(shown) => Some(shown),
                None => self.search(effort, |trial, judge, sequence| {
                    with_mistake(mistake, || {
                        let run = sequence.perform(&trial.base, &mut bench, Threads::One)?;
                        judge.judge(&run)
                    })
                })?,
            };
            all.push(Found { mistake: format!("{mistake:?}"), by });
            all.last().into_iter().for_each(&mut *told);
        }
        Ok(all)
    }

    /// Forgets each flush and each fence in turn, and publishes each pointer too early; `told` hears of each at once.
    ///
    /// # Errors
    /// Where a sequence itself goes wrong.
    pub fn of_order(&mut self, told: &mut dyn FnMut(&Found)) -> Result<Vec<Found>, String> {
        let mut bench = self.base.bench().map_err(|error| error.to_string())?;
        let mut runs = Vec::new();
        for sequence in &self.sequences {
            let run = sequence.perform(&self.base, &mut bench, Threads::OneEach);
            let run = run.map_err(|wrong| format!("{}: {wrong}", sequence.name))?;
            runs.push(run);
        }
        let mut faults: Vec<Fault> = Vec::new();
        for run in &runs {
            let more = run.recording.effective_faults(self.effort.unit);
            faults.extend(more.into_iter().filter(|fault| !faults.contains(fault)).collect::<Vec<_>>());
        }
        faults.sort_by_key(|fault| (fault.site().file(), fault.site().line(), fault.site().column()));
        let mut all = Vec::new();
        for fault in faults {
            let sites: Vec<BTreeSet<_>> = runs.iter().map(sites).collect();
            let effort = Effort { recovery_one_in: 0, ..self.effort };
            let mut index = 0;
            let by = self.search(effort, |_, judge, _| {
                index += 1;
                let run = &runs[index - 1];
                let site = fault.site();
                if !sites[index - 1].contains(&(site.file(), site.line(), site.column())) {
                    return Ok(());
                }
                judge.judge(&run.with_fault(fault))
            })?;
            all.push(Found { mistake: describe(fault), by });
            all.last().into_iter().for_each(&mut *told);
        }
        Ok(all)
    }

    /// Goes through the sequences until `judge` finds something wrong.
    fn search(
        &mut self,
        effort: Effort,
        mut judged: impl FnMut(&Trial, &mut Judge, &Sequence) -> Result<(), Wrong>,
    ) -> Result<Option<(Oracle, String, u64)>, String> {
        let bench = self.base.bench().map_err(|error| error.to_string())?;
        let mut judge = Judge::new(bench, effort, Rng::new(self.seed));
        let mut by = None;
        for sequence in &self.sequences {
            let before = judge.tally.images;
            if let Err(wrong) = judged(self, &mut judge, sequence) {
                by = Some((wrong.oracle, sequence.name.clone(), judge.tally.images - before));
                break;
            }
        }
        self.tally.add(judge.tally);
        Ok(by)
    }
}

impl Sequence {
    fn perform(&self, base: &Base, bench: &mut Bench, threads: Threads) -> Result<Performed, Wrong> {
        let judged = if self.ops.is_empty() { usize::MAX } else { self.ops.len() };
        base.perform(bench, &self.ops, judged, 1, threads)
    }
}

type Place = (&'static str, u32, u32);

/// The lines that made the events of a run.
fn sites(run: &Performed) -> BTreeSet<Place> {
    let entries = run.recording.entries().iter();
    let orders = entries.filter(|entry| entry.publish || !matches!(entry.event, Event::Store { .. }));
    orders.map(|entry| (entry.site.file(), entry.site.line(), entry.site.column())).collect()
}

/// A fault by its place: the file, and what stands on the line, which tells more than its number and changes less.
fn describe(fault: Fault) -> String {
    let site = fault.site();
    let text = std::fs::read_to_string(crate::source::root().join(site.file())).unwrap_or_default();
    let line = usize::try_from(site.line()).ok().and_then(|line| text.lines().nth(line.checked_sub(1)?));
    let place =
        format!("{}, `{}`", site.file().trim_start_matches("backend/src/"), line.unwrap_or("?").trim());
    match fault {
        Fault::SkipFlush(_) => format!("no flush, {place}"),
        Fault::SkipFence(_) => format!("no fence, {place}"),
        Fault::PublishEarly(_) => format!("published before the fence, {place}"),
    }
}
