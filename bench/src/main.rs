//! `daxcow-bench`: daxcow beside the kernel, SQLite's and RocksDB's own storage, and the machine's own floor.
//!
//! Every subcommand runs all sides in one run, in turn, on the same medium, for several rounds, and makes a report.
//!
//! | module | what it holds |
//! |---|---|
//! | `args` | the command line |
//! | `run` | what all benchmarks share: places, rounds, progress, time |
//! | `turns` | the order of the sides, repetitions |
//! | `machine` | where it was measured |
//! | `report` | samples, tables, JSON, plots |
//! | `worker` | the processes that work beside each other, or are killed |
//! | `stores` | the machine's floor: stores around the cache, and fences |
//! | `host` | files of the host: system calls and mappings |
//! | `ours` | pools and files of daxcow |
//! | `file`, `sqlite`, `rocksdb`, `snapshot`, `recovery`, `scaling` | the benchmarks |
//! | `import` | reports of what scripts have measured |

mod args;
mod file;
mod host;
mod import;
mod machine;
mod ours;
mod recovery;
mod report;
#[cfg(feature = "rocksdb")]
mod rocksdb;
mod run;
mod scaling;
mod snapshot;
mod sqlite;
mod stores;
mod turns;
mod worker;

use std::process::ExitCode;

use anyhow::Result;
use clap::Parser;

use crate::args::{Arguments, Command, Conditions};
use crate::run::{Findings, Run};

fn main() -> ExitCode {
    match start(Arguments::parse().command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("daxcow-bench: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// A benchmark: its name, its title, and what it does.
type Benchmark = (&'static str, &'static str, fn(&Run) -> Result<Findings>);

const FILE: Benchmark = ("file", "Files: reads, appends and overwrites", file::run);
const SQLITE: Benchmark = ("sqlite", "SQLite: transactions", sqlite::run);
#[cfg(feature = "rocksdb")]
const ROCKSDB: Benchmark = ("rocksdb", "RocksDB: the workloads of db_bench", rocksdb::run);
const SNAPSHOT: Benchmark = ("snapshot", "Snapshots, clones and copies", snapshot::run);
const RECOVERY: Benchmark = ("recovery", "Opening a pool", recovery::run);
const SCALING: Benchmark = ("scaling", "Threads, processes and growth", scaling::run);

fn start(command: Command) -> Result<()> {
    match command {
        Command::File(conditions) => measure(&[FILE], &conditions),
        Command::Sqlite(conditions) => measure(&[SQLITE], &conditions),
        #[cfg(feature = "rocksdb")]
        Command::Rocksdb(conditions) => measure(&[ROCKSDB], &conditions),
        #[cfg(not(feature = "rocksdb"))]
        Command::Rocksdb(_) => anyhow::bail!(
            "this daxcow-bench was built without RocksDB: build it with `--features rocksdb`, or run scripts/db_bench.sh"
        ),
        Command::Snapshot(conditions) => measure(&[SNAPSHOT], &conditions),
        Command::Recovery(conditions) => measure(&[RECOVERY], &conditions),
        Command::Scaling(conditions) => measure(&[SCALING], &conditions),
        Command::All(conditions) => measure(
            &[
                FILE,
                SQLITE,
                #[cfg(feature = "rocksdb")]
                ROCKSDB,
                SNAPSHOT,
                RECOVERY,
                SCALING,
            ],
            &conditions,
        ),
        Command::Import(import) => import::run(&import),
        Command::Worker { job } => worker::serve(&job),
    }
}

fn measure(benchmarks: &[Benchmark], conditions: &Conditions) -> Result<()> {
    for (name, title, measured) in benchmarks {
        let run = Run::new(name, conditions)?;
        let report = run.report(title, measured)?;
        println!("{}", report.to_text());
        let written = report.write(&conditions.out)?;
        println!("{} files in {}\n", written.len(), conditions.out.display());
    }
    Ok(())
}
