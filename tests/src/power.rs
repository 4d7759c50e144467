//! A writer whose power is cut, and the judge of what is left. Everything follows from a seed: operation `n` is of one kind,
//! changes known places, and is durable before `ack NAME n` is printed.
//!
//! | kind | what operation `n` does | what the judge finds |
//! |---|---|---|
//! | append | appends record `n` to `/log` | whole records, all of them, in order |
//! | commit | writes `n` into some cells of `/table` by one batch | all cells as of one operation |
//! | store | stores `n` to a word of `/mapped` through a mapping, and flushes | each word as of one operation |
//! | rename | renames the turn to `/turn/n` | one name |
//! | snapshot | takes the snapshot `n` of all, then deletes the one before | all files as they were before `n` |
//!
//! The judge finds the last operation `N` whose effect is there; then the effects of all up to `N` must be there, and nothing else:
//! operations run one after another, so an acknowledged one that is missing, or half of one, shows. It prints `state NAME N`.

use std::io::Write as _;
use std::path::Path;

use daxcow::{CreateOptions, File, FileOptions, OpenOptions, Pool};

use crate::fixture;
use crate::rng::{Rng, parse_number, pattern};

const POOL_BYTES: u64 = 192 << 20;
const CELLS: u64 = 64;
/// Cells lie apart, so that the table has holes and more than one leaf.
const CELL_GAP: u64 = 37 * 4096 + 8;
const WORDS: u64 = 128;
const WORD_GAP: u64 = 3 * 4096;
const RECORD_MAX: u64 = 3000;
/// Number and length before the bytes of a record.
const RECORD_HEAD: usize = 16;

type Outcome<T> = Result<T, String>;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Kind {
    Append,
    Commit,
    Store,
    Rename,
    Snapshot,
}

const KINDS: [Kind; 5] = [Kind::Append, Kind::Commit, Kind::Store, Kind::Rename, Kind::Snapshot];
const WEIGHTS: [u32; 5] = [5, 5, 4, 2, 1];

/// `power create|open NAME POOL SEED OPERATIONS`: makes or opens the pool, judges it, and performs so many operations more. Making one
/// goes over whatever is there. Gives the exit code.
#[must_use]
pub fn main(arguments: &[String]) -> u8 {
    let [role, name, pool, seed, operations] = arguments else {
        eprintln!("usage: power create|open NAME POOL SEED OPERATIONS");
        return 2;
    };
    let (Some(seed), Some(operations)) = (parse_number(seed), parse_number(operations)) else {
        eprintln!("{seed} and {operations} are to be numbers");
        return 2;
    };
    let fresh = role == "create";
    match run(name, Path::new(pool), seed, operations, fresh) {
        Ok(()) => 0,
        Err(what) => {
            say(&format!("failed {name} {what}"));
            1
        }
    }
}

fn run(name: &str, path: &Path, seed: u64, operations: u64, fresh: bool) -> Outcome<()> {
    let pool = if fresh { create(path) } else { Pool::open(path, &OpenOptions::new()) };
    let pool = pool.map_err(|error| format!("opening the pool: {error:?}"))?;
    let plan = Plan { seed };
    let done = plan.judge(&pool)?;
    say(&format!("state {name} {done}"));
    for number in done + 1..=done + operations {
        plan.perform(&pool, number).map_err(|error| format!("operation {number}: {error:?}"))?;
        say(&format!("ack {name} {number}"));
    }
    Ok(())
}

/// One line in one piece, so that those of several writers do not mix.
fn say(line: &str) {
    let mut out = std::io::stdout().lock();
    let said = out.write_all(format!("{line}\n").as_bytes()).and_then(|()| out.flush());
    said.unwrap_or_else(|error| panic!("{line}: {error}"));
}

fn create(path: &Path) -> daxcow::Result<Pool> {
    let pool = Pool::create(path, &CreateOptions::new().size(POOL_BYTES).overwrite(true))?;
    pool.create_dir("/turn")?;
    for file in ["/log", "/table", "/mapped", "/turn/0"] {
        pool.open_file(file, &FileOptions::new().write(true).create(true))?;
    }
    file(&pool, "/mapped")?.set_len(WORDS * WORD_GAP)?;
    pool.sync()?;
    Ok(pool)
}

fn file(pool: &Pool, path: &str) -> daxcow::Result<File> {
    pool.open_file(path, &FileOptions::new().read(true).write(true))
}

/// What the operations of a seed do.
#[derive(Clone, Copy)]
struct Plan {
    seed: u64,
}

impl Plan {
    fn rng(self, number: u64) -> Rng {
        Rng::new(self.seed.wrapping_add(number.wrapping_mul(0x0051_7cc1_b727_2205)))
    }

    fn kind(self, number: u64) -> Kind {
        KINDS[self.rng(number).weighted(&WEIGHTS)]
    }

    /// The last operation of a kind up to `number`; 0 if there is none.
    fn last(self, kind: Kind, number: u64) -> u64 {
        (1..=number).rev().find(|&number| self.kind(number) == kind).unwrap_or(0)
    }

    fn record(self, number: u64) -> Vec<u8> {
        let mut rng = self.rng(number);
        rng.word();
        let len = usize::try_from(1 + rng.below(RECORD_MAX)).unwrap_or(1);
        let mut record = number.to_le_bytes().to_vec();
        record.extend_from_slice(&(len as u64).to_le_bytes());
        record.extend_from_slice(&pattern(rng.word() | 1, len));
        record
    }

    /// The cells that a commit writes; the first one always.
    fn cells(self, number: u64) -> Vec<u64> {
        let mut rng = self.rng(number);
        rng.word();
        let count = 1 + rng.below(12);
        std::iter::once(0).chain((0..count).map(|_| rng.below(CELLS))).collect()
    }

    fn word(number: u64) -> u64 {
        number * 29 % WORDS
    }

    fn perform(self, pool: &Pool, number: u64) -> daxcow::Result<()> {
        match self.kind(number) {
            Kind::Append => {
                let log = file(pool, "/log")?;
                log.append(&self.record(number))?;
                log.sync()
            }
            Kind::Commit => {
                let mut batch = file(pool, "/table")?.batch()?;
                for cell in self.cells(number) {
                    batch.write_at(&number.to_le_bytes(), cell * CELL_GAP)?;
                }
                batch.commit()
            }
            Kind::Store => {
                let at = Plan::word(number) * WORD_GAP;
                let mapping = file(pool, "/mapped")?.map_mut(at, 8)?;
                mapping.write_at(&number.to_le_bytes(), 0)?;
                mapping.flush(0, 8)
            }
            Kind::Rename => {
                let turn = self.last(Kind::Rename, number - 1);
                pool.rename(format!("/turn/{turn}"), format!("/turn/{number}"))?;
                pool.sync()
            }
            Kind::Snapshot => {
                let before = self.last(Kind::Snapshot, number - 1);
                pool.create_snapshot::<&str>(&number.to_string(), &[])?;
                if before > 0 {
                    pool.delete_snapshot(&before.to_string())?;
                }
                pool.sync()
            }
        }
    }

    /// How many operations the pool holds, after looking at all of them.
    fn judge(self, pool: &Pool) -> Outcome<u64> {
        let text = |error: daxcow::Error| format!("judging: {error:?}");
        let report = pool.check().map_err(text)?;
        if !report.is_clean() {
            return Err(format!("check found {:?}", report.problems));
        }
        let mut snapshots = pool.snapshots().map_err(text)?;
        snapshots.sort_by_key(|snapshot| parse_number(&snapshot.name));
        let taken = snapshots.last().and_then(|last| parse_number(&last.name)).unwrap_or(0);
        let done = self.judge_tree(pool, "", taken)?;
        // A cut may come between the two halves of a snapshot.
        let between = snapshots.len() == 2 && done == taken;
        if snapshots.len() > 2 || snapshots.len() == 2 && !between {
            return Err(format!("{} snapshots after operation {done}", snapshots.len()));
        }
        if taken > 0 {
            let before = self.judge_tree(pool, &format!("/.snapshots/{taken}"), 0)?;
            // The operations before it that left no trace in a snapshot are snapshots themselves.
            let expected = (1..taken).rev().find(|&number| self.kind(number) != Kind::Snapshot).unwrap_or(0);
            if before != expected {
                return Err(format!("snapshot {taken} holds {before} operations, not {expected}"));
            }
        }
        if between {
            pool.delete_snapshot(&snapshots[0].name).map_err(text)?;
        }
        Ok(done)
    }

    /// The same for the files under `root`, where a snapshot `taken` is known already.
    fn judge_tree(self, pool: &Pool, root: &str, taken: u64) -> Outcome<u64> {
        let open = |path: &str| {
            let path = format!("{root}{path}");
            pool.open_file(&path, &FileOptions::new().read(true))
                .map_err(|error| format!("{path}: {error:?}"))
        };
        let contents =
            |path: &str| fixture::contents(&open(path)?).map_err(|error| format!("{path}: {error:?}"));
        let found = [
            (Kind::Append, self.judge_log(&contents("/log")?)?),
            (Kind::Commit, self.judge_table(&contents("/table")?)?),
            (Kind::Store, self.judge_words(&contents("/mapped")?)?),
            (Kind::Rename, judge_turn(pool, &format!("{root}/turn"))?),
        ];
        let done = found.iter().map(|(_, number)| *number).max().unwrap_or(0).max(taken);
        for (kind, number) in found {
            let expected = self.last(kind, done);
            if number != expected {
                return Err(format!(
                    "{root}/: the last {kind:?} is {number}, with {done} operations done it is {expected}"
                ));
            }
        }
        Ok(done)
    }

    /// The number of the last record.
    fn judge_log(self, mut log: &[u8]) -> Outcome<u64> {
        let (mut number, mut last) = (0, 0);
        while !log.is_empty() {
            let head = log.first_chunk::<RECORD_HEAD>().ok_or("the log ends within a record")?;
            let next = u64::from_le_bytes(head[..8].try_into().unwrap_or_default());
            while number < next {
                number += 1;
                if self.kind(number) == Kind::Append && number != next {
                    return Err(format!("record {number} is missing in the log, which goes on with {next}"));
                }
            }
            let record = self.record(next);
            if next <= last || !log.starts_with(&record) {
                return Err(format!("record {next} of the log is damaged"));
            }
            log = &log[record.len()..];
            last = next;
        }
        Ok(last)
    }

    /// The commit that all cells are of.
    fn judge_table(self, table: &[u8]) -> Outcome<u64> {
        let last = number_at(table, 0);
        let mut cells = vec![0; usize::try_from(CELLS).unwrap_or(0)];
        for number in (1..=last).filter(|&number| self.kind(number) == Kind::Commit) {
            for cell in self.cells(number) {
                cells[usize::try_from(cell).unwrap_or(0)] = number;
            }
        }
        judge_numbers("cell", &cells, |cell| number_at(table, cell * CELL_GAP)).map(|()| last)
    }

    /// The last store.
    fn judge_words(self, bytes: &[u8]) -> Outcome<u64> {
        let found = |word| number_at(bytes, word * WORD_GAP);
        let last = (0..WORDS).map(found).max().unwrap_or(0);
        let mut words = vec![0; usize::try_from(WORDS).unwrap_or(0)];
        for number in (1..=last).filter(|&number| self.kind(number) == Kind::Store) {
            words[usize::try_from(Plan::word(number)).unwrap_or(0)] = number;
        }
        judge_numbers("word", &words, found).map(|()| last)
    }
}

fn judge_numbers(what: &str, expected: &[u64], found: impl Fn(u64) -> u64) -> Outcome<()> {
    for (place, &number) in (0..).zip(expected) {
        if found(place) != number {
            return Err(format!("{what} {place} holds {}, and should hold {number}", found(place)));
        }
    }
    Ok(())
}

fn judge_turn(pool: &Pool, path: &str) -> Outcome<u64> {
    let names = pool.read_dir(path).map_err(|error| format!("{path}: {error:?}"))?;
    match names.as_slice() {
        [one] => parse_number(&one.name.to_string_lossy()).ok_or(format!("{path} holds {:?}", one.name)),
        _ => Err(format!("{path} holds {} names", names.len())),
    }
}

/// The number at a place; 0 past the end.
fn number_at(bytes: &[u8], at: u64) -> u64 {
    let from = usize::try_from(at).unwrap_or(usize::MAX);
    let bytes = bytes.get(from..).and_then(|rest| rest.first_chunk());
    bytes.map_or(0, |bytes| u64::from_le_bytes(*bytes))
}
