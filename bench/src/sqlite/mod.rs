//! SQLite: transactions and reads of databases in a pool, beside SQLite's own VFSes.
//!
//! All databases have synchronous=FULL. On tmpfs the unix VFS's syncs do nothing on the medium while daxcow's flushes and fences are
//! executed, as pmem needs them; on the disk both wait for it. Each round makes new databases with the same rows, so that no side works
//! on a larger one.
//!
//! | module | what it holds |
//! |---|---|
//! | `setup` | the ways of keeping a database |
//! | `action` | what is done to it |

mod action;
mod setup;

use std::time::Duration;

use anyhow::{Context, Result};

pub(crate) use action::Action;
pub(crate) use setup::Database;

use crate::args::Clock;
use crate::ours;
use crate::report::{Sheet, Table};
use crate::run::{Budget, Findings, Run};
use crate::turns::balanced;
use crate::worker::{Done, Job, together};
use setup::{Medium, SETUPS, Setup};

const REFERENCE: &str = "daxcow delete";
const PAGE_SIZES: [u32; 2] = [4096, 1024];

pub(crate) fn run(run: &Run) -> Result<Findings> {
    daxcow_sqlite::register(false).context("register the VFS")?;
    let pool_bytes = run.effort().pick(64 << 20, 256 << 20, 1 << 30);
    // Kept open, so that no side opens pools while it is measured.
    let _pools = [
        ours::pool(&run.path("bench.pool"), pool_bytes, run.flush())?,
        ours::pool(&run.path_on_disk("bench.pool"), pool_bytes / 2, run.flush())?,
    ];
    let mut findings = Findings {
        notes: vec![
            "all databases: synchronous=FULL, prepared statements, 2 MB page cache as SQLite has it"
                .to_owned(),
            format!(
                "each round works on new databases of {} rows; memdb keeps a database on the heap of one process: the ceiling",
                rows(run)
            ),
            format!(
                "on disk ({}): what people have today; the kernel's syncs wait for the device",
                crate::machine::file_system_of(&run.path_on_disk(""))?
            ),
        ],
        ..Findings::default()
    };
    for page_size in PAGE_SIZES {
        findings.tables.extend(alone(run, page_size)?);
    }
    findings.tables.push(beside(run)?);
    findings.notes.push(
        "two processes: SQLite's busy handler sleeps between its tries, so INSERTs beside each other spread widely".to_owned(),
    );
    Ok(findings)
}

/// Rows that a database has before it is measured.
fn rows(run: &Run) -> u32 {
    run.effort().pick(500, 5_000, 20_000)
}

/// One connection, all ways of keeping a database.
fn alone(run: &Run, page_size: u32) -> Result<Vec<Table>> {
    let sheet = |name: &str, title: &str| {
        let (name, title) = (format!("{name}-{page_size}"), format!("{title}, pages of {page_size} B"));
        Sheet::times(&name, &title, "us per transaction", REFERENCE)
    };
    let mut sheets = [
        (sheet("insert", "INSERT by rows in a transaction"), [1, 10, 1000].map(Action::Insert).to_vec()),
        (sheet("update", "UPDATE by rows in a transaction"), [1, 10, 1000].map(Action::Update).to_vec()),
        (sheet("read", "Autocommit SELECT, and 9 SELECTs to 1 UPDATE"), vec![Action::Select, Action::Mixed]),
    ];
    let setups: Vec<&Setup> = SETUPS.iter().collect();
    let actions: usize = sheets.iter().map(|(_, actions)| actions.len()).sum();
    run.expect(run.rounds() as usize * setups.len() * actions);
    for round in 0..run.rounds() {
        let databases =
            setups.iter().map(|setup| Database::new(run, setup, page_size, round)).collect::<Vec<_>>();
        let mut connections =
            databases.iter().map(|database| database.create(rows(run))).collect::<Result<Vec<_>>>()?;
        for connection in &mut connections {
            let little = Budget { operations: 100, time: Duration::from_millis(10), clock: run.clock() };
            Action::Insert(1).perform(connection, rows(run), little)?;
            Action::Update(10).perform(connection, rows(run), little)?;
        }
        for (sheet, actions) in &mut sheets {
            for action in actions.iter() {
                for index in balanced(round, setups.len()) {
                    let (setup, connection) = (setups[index], &mut connections[index]);
                    run.step(&format!("{page_size} B, {action}, {}", setup.name));
                    let budget = budget(run, *action);
                    let micros = action.perform(connection, rows(run), budget);
                    let micros = micros.with_context(|| format!("{action} with {}", setup.name))?;
                    sheet.add(&action.to_string(), setup.name, micros);
                }
            }
        }
        drop(connections);
        databases.iter().try_for_each(Database::remove)?;
    }
    let order: Vec<&str> = setups.iter().map(|setup| setup.name).collect();
    Ok(sheets.into_iter().map(|(sheet, _)| sheet.finish(&order)).collect())
}

/// The same number of transactions for all sides, but no more time than this for the slowest.
fn budget(run: &Run, action: Action) -> Budget {
    let single = run.effort().pick(20, 2_000, 20_000);
    Budget {
        operations: (single / action.rows()).max(run.effort().pick(1, 10, 40)),
        time: Duration::from_millis(run.effort().pick(5, 25, 600)),
        clock: run.clock(),
    }
}

/// One and two processes, the ways of keeping a database that processes can share.
fn beside(run: &Run) -> Result<Table> {
    let page_size = PAGE_SIZES[0];
    let mut sheet = Sheet::rates(
        "processes",
        &format!("One and two processes on one database, pages of {page_size} B"),
        "transactions/s",
        REFERENCE,
    );
    let setups: Vec<&Setup> =
        SETUPS.iter().filter(|setup| setup.is_shared() && setup.medium == Medium::Measured).collect();
    let actions = [Action::Select, Action::Mixed, Action::Insert(1)];
    run.expect(run.rounds() as usize * setups.len() * actions.len() * 2);
    let time = Duration::from_millis(run.effort().pick(20, 80, 1000));
    for round in 0..run.rounds() {
        let databases =
            setups.iter().map(|setup| Database::new(run, setup, page_size, round)).collect::<Vec<_>>();
        for database in &databases {
            drop(database.create(rows(run))?);
        }
        for action in actions {
            for count in [1, 2] {
                for index in balanced(round, setups.len()) {
                    run.step(&format!("{count} processes, {action}, {}", setups[index].name));
                    let job = Job::Sql { database: databases[index].clone(), action, time };
                    let done = together(&vec![job; count])?;
                    let rate = done.iter().map(|done| done.operations_per_second).sum();
                    let case = format!("{action}, processes: {count}");
                    sheet.add(&case, setups[index].name, rate);
                }
            }
        }
        databases.iter().try_for_each(Database::remove)?;
    }
    let order: Vec<&str> = setups.iter().map(|setup| setup.name).collect();
    Ok(sheet.finish(&order))
}

/// A worker's part: transactions for so long.
pub(crate) fn work(
    database: &Database,
    action: Action,
    time: Duration,
    begin: impl FnOnce() -> Result<()>,
) -> Result<Done> {
    daxcow_sqlite::register(false).context("register the VFS")?;
    let mut connection = database.open()?;
    let rows = database.rows(&connection)?;
    begin()?;
    let budget = Budget { operations: u64::MAX, time, clock: Clock::Wall };
    let micros = action.perform(&mut connection, rows, budget)?;
    Ok(Done { operations_per_second: 1e6 / micros })
}
