//! Microseconds per single-row autocommit transaction: databases in a pool beside SQLite's own VFS in the same directory.
//!
//! ```text
//! cargo run --release -p daxcow-sqlite --example transactions -- [--count N] [--dir DIR] [--only PART-OF-A-NAME] \
//!     [--clock wall|cpu]
//! ```
//!
//! Each way of keeping a database gets `N` INSERTs, then `N` UPDATEs and `N` SELECTs of random rows by their key, each
//! statement a transaction of its own, with synchronous=FULL and pages of 4 KiB. The result is a Markdown table. Where other
//! programs use the machine and nothing waits for a disk (tmpfs), the CPU time of the thread tells more than the wall clock.
#![expect(unsafe_code, reason = "clock_gettime")]

use daxcow::{CreateOptions, Pool};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use rusqlite::{Connection, OpenFlags, Statement};
use std::error::Error;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Where a database is kept.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    Pool,
    Host,
    /// SQLite's VFS of that name: heap memory, nothing survives.
    Memdb,
}

/// A way of keeping a database.
struct Setup {
    name: &'static str,
    place: Place,
    journal_mode: &'static str,
    locking_mode: &'static str,
}

const fn setup(name: &'static str, place: Place, journal_mode: &'static str) -> Setup {
    Setup { name, place, journal_mode, locking_mode: "NORMAL" }
}

const fn exclusive(name: &'static str, place: Place, journal_mode: &'static str) -> Setup {
    Setup { name, place, journal_mode, locking_mode: "EXCLUSIVE" }
}

const SETUPS: [Setup; 10] = [
    setup("daxcow, delete (default)", Place::Pool, "DELETE"),
    setup("daxcow, WAL", Place::Pool, "WAL"),
    exclusive("daxcow, delete, exclusive", Place::Pool, "DELETE"),
    exclusive("daxcow, WAL, exclusive", Place::Pool, "WAL"),
    setup("unix, delete", Place::Host, "DELETE"),
    setup("unix, memory", Place::Host, "MEMORY"),
    setup("unix, WAL", Place::Host, "WAL"),
    exclusive("unix, memory, exclusive", Place::Host, "MEMORY"),
    exclusive("unix, WAL, exclusive", Place::Host, "WAL"),
    setup("memdb", Place::Memdb, "DELETE"),
];

/// The arguments.
struct Arguments {
    count: u32,
    dir: PathBuf,
    only: String,
    clock: libc::clockid_t,
}

fn main() -> Result<(), Box<dyn Error>> {
    let arguments = arguments()?;
    daxcow_sqlite::register(false)?;
    let dir = tempfile::tempdir_in(&arguments.dir)?;
    let pool_path = dir.path().join("bench.pool");
    let pool = Pool::create(&pool_path, &CreateOptions::new().size(1 << 30))?;
    println!("{} transactions each, {}", arguments.count, pool.durability().description);
    println!("| us per transaction | INSERT | UPDATE | SELECT |\n|---|---|---|---|");
    for (number, setup) in SETUPS.iter().enumerate().filter(|(_, setup)| setup.name.contains(&arguments.only))
    {
        let name = format!("{number}.db");
        let connection = match setup.place {
            Place::Pool => open(&pool_path.join(name), "daxcow")?,
            Place::Host => open(&dir.path().join(name), "unix")?,
            Place::Memdb => open(Path::new(&format!("/{name}")), "memdb")?,
        };
        let [insert, update, select] = measure(&connection, setup, &arguments)?;
        println!("| {} | {insert:.2} | {update:.2} | {select:.2} |", setup.name);
    }
    Ok(())
}

fn arguments() -> Result<Arguments, String> {
    let mut found = Arguments {
        count: 100_000,
        dir: PathBuf::from("/dev/shm"),
        only: String::new(),
        clock: libc::CLOCK_MONOTONIC,
    };
    let mut words = std::env::args().skip(1);
    while let Some(word) = words.next() {
        let value = words.next().ok_or_else(|| format!("{word} needs a value"))?;
        match word.as_str() {
            "--count" => found.count = value.parse().map_err(|error| format!("--count {value}: {error}"))?,
            "--dir" => found.dir = value.into(),
            "--only" => found.only = value,
            "--clock" if value == "wall" => found.clock = libc::CLOCK_MONOTONIC,
            "--clock" if value == "cpu" => found.clock = libc::CLOCK_THREAD_CPUTIME_ID,
            _ => return Err(format!("unknown argument {word} {value}")),
        }
    }
    if found.count == 0 {
        return Err("--count must be at least 1".to_owned());
    }
    Ok(found)
}

fn open(path: &Path, vfs: &str) -> Result<Connection, rusqlite::Error> {
    let uri = format!("file:{}?vfs={vfs}", path.display());
    Connection::open_with_flags(uri, OpenFlags::default())
}

/// Microseconds per INSERT, UPDATE and SELECT.
fn measure(connection: &Connection, setup: &Setup, how: &Arguments) -> Result<[f64; 3], rusqlite::Error> {
    let count = how.count;
    connection.execute_batch(&format!(
        "PRAGMA page_size=4096; PRAGMA journal_mode={}; PRAGMA locking_mode={}; PRAGMA synchronous=FULL;
         CREATE TABLE t(id INTEGER PRIMARY KEY, v TEXT);",
        setup.journal_mode, setup.locking_mode
    ))?;
    let mut random = StdRng::seed_from_u64(1);
    let mut insert = connection.prepare("INSERT INTO t(id, v) VALUES(?1, ?2)")?;
    let inserted =
        timed(how, |id| run(&mut insert, id, "a row of some fifty bytes, as many tables have them"))?;
    let mut update = connection.prepare("UPDATE t SET v = ?2 WHERE id = ?1")?;
    let updated = timed(how, |_| {
        run(&mut update, random.random_range(0..count), "a row of some fifty bytes that has been changed now")
    })?;
    let mut select = connection.prepare("SELECT length(v) FROM t WHERE id = ?1")?;
    let selected = timed(how, |_| {
        let length: u32 = select.query_row([random.random_range(0..count)], |row| row.get(0))?;
        assert!(length > 0, "the row is there");
        Ok(())
    })?;
    Ok([inserted, updated, selected])
}

fn run(statement: &mut Statement<'_>, id: u32, value: &str) -> Result<(), rusqlite::Error> {
    statement.execute((id, value)).map(|changed| assert_eq!(changed, 1, "row {id}"))
}

/// Runs `step` for 0 to the count; returns the microseconds that one took.
fn timed(
    how: &Arguments,
    mut step: impl FnMut(u32) -> Result<(), rusqlite::Error>,
) -> Result<f64, rusqlite::Error> {
    let start = now(how.clock);
    for number in 0..how.count {
        step(number)?;
    }
    Ok((now(how.clock) - start).as_secs_f64() * 1e6 / f64::from(how.count))
}

/// What `clock` says.
fn now(clock: libc::clockid_t) -> Duration {
    let mut now = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `now` is writable.
    let result = unsafe { libc::clock_gettime(clock, &raw mut now) };
    assert_eq!(result, 0, "every kernel has clock {clock}");
    Duration::new(now.tv_sec.unsigned_abs(), u32::try_from(now.tv_nsec).unwrap_or_default())
}
