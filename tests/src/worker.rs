//! What the processes of a storm do, each on its own, until they are told to stop or are killed.
//!
//! | role | what it does, and what must hold at any moment |
//! |---|---|
//! | `stamp` | writes the next number over all pages of two files by one commit of two batches: both files carry one number everywhere, and a number that was reported is never lost |
//! | `snapshot` | snapshots and clones the two files: a snapshot shows one number in both, a clone one number in each |
//! | `count` | adds one to a counter under a numbered lock: two holders never meet, reported additions are never lost |
//! | `visit` | opens the pool, adds to a file of its own, closes the pool, again and again: what it reported is there when it comes back |
//! | `files` | random operations in a directory of its own, compared with the model after each |
//!
//! A worker reports acknowledged work on its standard output as `ack NUMBER`, an operation that took longer than any before as
//! `wait MICROSECONDS`, and what went wrong as its last line on
//! standard error, with exit code 1. It stops when the file `POOL.stop` appears.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use daxcow::{Batch, ErrorKind, File, FileOptions, LockMode, OpenOptions, Pool};

use crate::generate::{Generator, Limits};
use crate::rng::{Rng, parse_number};
use crate::session::{Session, Setup};

/// The directory the workers of a storm share.
pub const SHARED: &str = "/shared";
/// The two files that carry one number.
pub const STAMPED: [&str; 2] = ["/shared/a", "/shared/b"];
/// The file with the counter.
pub const COUNTER: &str = "/shared/counter";
/// All roles.
pub const ROLES: [&str; 5] = ["stamp", "snapshot", "count", "files", "visit"];

/// Where in a stamped file the number stands: scattered, so that the file has holes.
const STAMPS: u64 = 24;
const STAMP_GAP: u64 = 3 * 4096 + 512;
/// The lock of the counter.
const COUNTER_LOCK: u8 = 3;
/// The longest that a killed process may block the others.
const BLOCKED_MAX: Duration = Duration::from_secs(5);

/// Operations that took less are not reported, in microseconds.
const WAIT_REPORTED: u128 = 1000;

type Outcome<T> = Result<T, String>;

/// One worker's place in a storm.
struct Worker {
    pool: PathBuf,
    /// Different for every process of the storm.
    id: u64,
    rng: Rng,
    /// The longest operation, in microseconds.
    longest: u128,
}

/// The worker process: `arguments` are role, pool, number and seed. Gives the exit code.
#[must_use]
pub fn main(arguments: &[String]) -> u8 {
    let [role, pool, id, seed] = arguments else {
        eprintln!("usage: worker ROLE POOL NUMBER SEED");
        return 2;
    };
    let (Some(id), Some(seed)) = (parse_number(id), parse_number(seed)) else {
        eprintln!("{id} and {seed} are to be numbers");
        return 2;
    };
    let mut worker = Worker { pool: pool.into(), id, rng: Rng::new(seed ^ id), longest: WAIT_REPORTED };
    let outcome = match role.as_str() {
        "stamp" => worker.stamp(),
        "snapshot" => worker.snapshot(),
        "count" => worker.count(),
        "files" => worker.files(seed ^ id),
        "visit" => worker.visit(),
        _ => Err(format!("there is no role {role}")),
    };
    match outcome {
        Ok(()) => 0,
        Err(what) => {
            eprintln!("{role} worker {id}, seed {seed:#x}: {what}");
            1
        }
    }
}

/// The file whose appearance stops all workers of a pool.
#[must_use]
pub fn stop_file(pool: &Path) -> PathBuf {
    pool.with_extension("stop")
}

fn text(error: daxcow::Error) -> String {
    format!("{:?}: {error}", error.kind())
}

/// Tells the parent that work is done. A parent that is gone is no error of the pool.
fn acknowledge(number: u64) {
    let mut out = std::io::stdout().lock();
    if writeln!(out, "ack {number}").and_then(|()| out.flush()).is_err() {
        std::process::exit(0);
    }
}

/// Tells the parent how long an operation took, if that is news.
fn report_wait(longest: &mut u128, started: Instant) {
    let micros = started.elapsed().as_micros();
    if micros > *longest {
        *longest = micros;
        let mut out = std::io::stdout().lock();
        if writeln!(out, "wait {micros}").and_then(|()| out.flush()).is_err() {
            std::process::exit(0);
        }
    }
}

/// Calls `attempt` until it is no longer Busy (`None`), for as long as a killed process may block others.
fn patiently<T>(what: &str, mut attempt: impl FnMut() -> Outcome<Option<T>>) -> Outcome<T> {
    let start = Instant::now();
    loop {
        if let Some(done) = attempt()? {
            return Ok(done);
        }
        if start.elapsed() > BLOCKED_MAX {
            return Err(format!("{what}: busy for {:?}", start.elapsed()));
        }
        std::thread::sleep(Duration::from_micros(200));
    }
}

/// A result in which Busy is not an error.
fn unless_busy<T>(result: daxcow::Result<T>) -> Outcome<Option<T>> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(error) if error.kind() == ErrorKind::Busy => Ok(None),
        Err(error) => Err(text(error)),
    }
}

fn open(pool: &Pool, path: &str, write: bool) -> Outcome<File> {
    pool.open_file(path, &FileOptions::new().read(true).write(write))
        .map_err(|error| format!("{path}: {}", text(error)))
}

/// Makes the files that the workers share.
///
/// # Errors
/// What the pool said.
pub fn prepare(pool: &Pool) -> daxcow::Result<()> {
    pool.create_dir(SHARED)?;
    let options = FileOptions::new().read(true).write(true).create(true);
    for path in STAMPED {
        let file = pool.open_file(path, &options)?;
        (0..STAMPS).try_for_each(|page| file.write_at(&0u64.to_le_bytes(), page * STAMP_GAP))?;
    }
    pool.open_file(COUNTER, &options)?.write_at(&[0; 16], 0)
}

/// The number a stamped file carries.
///
/// # Errors
/// Where it carries two, or cannot be read.
pub fn stamp_of(read: impl Fn(&mut [u8], u64) -> daxcow::Result<usize>) -> Outcome<u64> {
    let mut first = None;
    for page in 0..STAMPS {
        let mut word = [0; 8];
        let count = read(&mut word, page * STAMP_GAP).map_err(text)?;
        let stamp = u64::from_le_bytes(word);
        if count != 8 || *first.get_or_insert(stamp) != stamp {
            return Err(format!("stamp {page} is {stamp} ({count} bytes), the first is {first:?}"));
        }
    }
    Ok(first.unwrap_or(0))
}

/// The one number both stamped files under `directory` carry.
///
/// # Errors
/// Where they carry two, or cannot be read.
pub fn shared_stamp(pool: &Pool, directory: &str) -> Outcome<u64> {
    let mut stamps = Vec::new();
    for path in STAMPED {
        let path = format!("{directory}{path}");
        let file = open(pool, &path, false)?;
        stamps.push(stamp_of(|into, at| file.read_at(into, at)).map_err(|what| format!("{path}: {what}"))?);
    }
    if stamps[0] == stamps[1] {
        Ok(stamps[0])
    } else {
        Err(format!("{directory}: the files carry {stamps:?}"))
    }
}

/// The counter.
///
/// # Errors
/// What the pool said.
pub fn counter(pool: &Pool) -> Outcome<u64> {
    let mut word = [0; 8];
    open(pool, COUNTER, false)?.read_exact_at(&mut word, 0).map_err(text)?;
    Ok(u64::from_le_bytes(word))
}

impl Worker {
    fn stopped(&self) -> bool {
        stop_file(&self.pool).exists()
    }

    fn open_pool(&self) -> Outcome<Pool> {
        patiently("opening the pool", || unless_busy(Pool::open(&self.pool, &OpenOptions::new())))
    }

    fn stamp(&mut self) -> Outcome<()> {
        let pool = self.open_pool()?;
        let files = [open(&pool, STAMPED[0], true)?, open(&pool, STAMPED[1], true)?];
        while !self.stopped() {
            let mut batches = patiently("taking both batches", || both_batches(&files))?;
            let [one, other] = &mut batches;
            let stamp = stamp_of(|into, at| one.read_at(into, at))?;
            let stamp_of_other = stamp_of(|into, at| other.read_at(into, at))?;
            if stamp != stamp_of_other {
                return Err(format!("the files carry {stamp} and {stamp_of_other} under both batches"));
            }
            for batch in [&mut *one, &mut *other] {
                for page in 0..STAMPS {
                    batch.write_at(&(stamp + 1).to_le_bytes(), page * STAMP_GAP).map_err(text)?;
                }
            }
            if self.rng.one_in(16) {
                one.discard();
                other.discard();
                continue;
            }
            let started = Instant::now();
            pool.commit_batches(&mut [one, other], None).map_err(text)?;
            report_wait(&mut self.longest, started);
            acknowledge(stamp + 1);
        }
        Ok(())
    }

    fn snapshot(&mut self) -> Outcome<()> {
        let pool = self.open_pool()?;
        let mut round = 0;
        while !self.stopped() {
            round += 1;
            let name = format!("{}-{round}", self.id);
            let started = Instant::now();
            patiently("taking a snapshot", || unless_busy(pool.create_snapshot(&name, &[SHARED])))?;
            report_wait(&mut self.longest, started);
            shared_stamp(&pool, &format!("/.snapshots/{name}"))?;
            let clone = format!("/clone{name}");
            let from =
                if self.rng.one_in(2) { SHARED.to_owned() } else { format!("/.snapshots/{name}{SHARED}") };
            patiently("cloning", || unless_busy(pool.clone_tree(&from, &clone)))?;
            for path in STAMPED {
                let path = path.replace(SHARED, &clone);
                let file = open(&pool, &path, true)?;
                stamp_of(|into, at| file.read_at(into, at)).map_err(|what| format!("{path}: {what}"))?;
                file.write_at(&[0xff; 100], self.rng.below(STAMPS * STAMP_GAP)).map_err(text)?;
            }
            if !self.rng.one_in(100) {
                pool.remove_dir_all(&clone).map_err(text)?;
            }
            shared_stamp(&pool, &format!("/.snapshots/{name}"))?;
            patiently("deleting a snapshot", || unless_busy(pool.delete_snapshot(&name)))?;
        }
        Ok(())
    }

    fn count(&mut self) -> Outcome<()> {
        let pool = self.open_pool()?;
        let file = open(&pool, COUNTER, true)?;
        let mine = self.id.to_le_bytes();
        while !self.stopped() {
            patiently("taking the lock", || {
                let taken = file.try_lock(COUNTER_LOCK, LockMode::Exclusive).map_err(text)?;
                Ok(taken.then_some(()))
            })?;
            let mut word = [0; 8];
            file.read_exact_at(&mut word, 0).map_err(text)?;
            let started = Instant::now();
            file.write_at(&mine, 8).map_err(text)?;
            report_wait(&mut self.longest, started);
            file.write_at(&(u64::from_le_bytes(word) + 1).to_le_bytes(), 0).map_err(text)?;
            let mut owner = [0; 8];
            file.read_exact_at(&mut owner, 8).map_err(text)?;
            if owner != mine {
                return Err(format!("worker {} held the lock too", u64::from_le_bytes(owner)));
            }
            file.unlock(COUNTER_LOCK).map_err(text)?;
            acknowledge(1);
        }
        Ok(())
    }

    fn visit(&mut self) -> Outcome<()> {
        let path = format!("/visit{}", self.id);
        let mut known = 0;
        while !self.stopped() {
            let started = Instant::now();
            let pool = self.open_pool()?;
            report_wait(&mut self.longest, started);
            let file = pool
                .open_file(&path, &FileOptions::new().read(true).write(true).create(true))
                .map_err(text)?;
            let mut word = [0; 8];
            file.read_at(&mut word, 0).map_err(text)?;
            if u64::from_le_bytes(word) != known {
                return Err(format!("{path} said {known}, it says {} now", u64::from_le_bytes(word)));
            }
            known += 1;
            file.write_at(&known.to_le_bytes(), 0).map_err(text)?;
            drop(file);
            pool.close().map_err(text)?;
        }
        Ok(())
    }

    fn files(&mut self, seed: u64) -> Outcome<()> {
        let setup =
            Setup { pool: self.pool.clone(), members: 1, base: format!("/w{}", self.id), may_run_out: false };
        let mut session = Session::join(setup).map_err(text)?;
        let limits =
            Limits { members: 1, write_max: 24 << 10, offset_max: 96 << 10, far: false, alone: false };
        let mut generator = Generator::new(seed, limits);
        let mut step = 0;
        while !self.stopped() {
            let op = generator.next_op(&session.model);
            session.step(&op).map_err(|mismatch| format!("step {step}, {op:?}: {}", mismatch.0))?;
            step += 1;
        }
        session.empty().map_err(text)
    }
}

/// Batches on both files, or none.
fn both_batches(files: &[File; 2]) -> Outcome<Option<[Batch; 2]>> {
    let Some(one) = unless_busy(files[0].batch())? else { return Ok(None) };
    Ok(unless_busy(files[1].batch())?.map(|other| [one, other]))
}
