//! The command line.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::report::Better;

/// Measure daxcow beside the kernel and other storage on the same medium
#[derive(Parser, Debug)]
#[command(name = "daxcow-bench", version)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Subcommand, Debug)]
pub(crate) enum Command {
    /// Reads, appends and overwrites of 64 B to 2 MiB, beside system calls, mmap + msync and plain copies
    File(Conditions),
    /// Transactions and reads of SQLite, beside its own VFSes on the same tmpfs and on a disk
    Sqlite(Conditions),
    /// The workloads of db_bench in this process, beside RocksDB's posix FileSystem (needs the feature `rocksdb`)
    Rocksdb(Conditions),
    /// Snapshots and clones, beside FICLONE on XFS and btrfs, cp, VACUUM INTO and SQLite's backup
    Snapshot(Conditions),
    /// Opening a pool after a kill and after a clean close
    Recovery(Conditions),
    /// Threads and processes, and how costs grow with sizes, fragments, entries and snapshots
    Scaling(Conditions),
    /// All of these, one after the other
    All(Conditions),
    /// Make a report of what a script has measured: lines of case, side and figure with tabs between
    Import(Import),
    /// A process that works for a benchmark
    #[command(hide = true)]
    Worker {
        /// What to do, as JSON
        job: String,
    },
}

/// Under which conditions to measure.
#[derive(Args, Clone, Debug)]
pub(crate) struct Conditions {
    /// The medium: pools and everything beside them is made here
    #[arg(long, default_value = "/dev/shm")]
    pub(crate) dir: PathBuf,
    /// A directory on a disk, for what people have today
    #[arg(long, default_value = "/var/tmp")]
    pub(crate) disk: PathBuf,
    /// Where JSON, text and plots go
    #[arg(long, default_value = "target/bench")]
    pub(crate) out: PathBuf,
    /// How often everything is measured [default: 5, with --quick 3]
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=100))]
    rounds: Option<u32>,
    /// Whether pools flush and fence their stores
    #[arg(long, value_enum, default_value_t = Flush::On)]
    pub(crate) flush: Flush,
    /// What `file`, `sqlite` and the growth part of `scaling` count, where one thread works
    #[arg(long, value_enum, default_value_t = Clock::Wall)]
    pub(crate) clock: Clock,
    /// A program that copies durably, one more side of the durable overwrites of `file` (see scripts/pmem2.sh)
    #[arg(long, value_name = "PROGRAM")]
    pub(crate) beside: Option<PathBuf>,
    /// The version of that program, for the report
    #[arg(long, value_name = "VERSION", requires = "beside")]
    pub(crate) beside_version: Option<String>,
    /// Smaller sizes and fewer operations: `all` takes less than two minutes
    #[arg(long)]
    quick: bool,
    /// The smallest sizes, to see whether everything works
    #[arg(long, hide = true, conflicts_with = "quick")]
    tiny: bool,
}

#[derive(ValueEnum, Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Flush {
    /// Also on volatile media, where they cost what pmem would cost
    On,
    /// Pools of `file`, `snapshot` and the growth part of `scaling` survive the death of processes only
    Off,
}

impl From<Flush> for daxcow::FlushMode {
    fn from(flush: Flush) -> daxcow::FlushMode {
        match flush {
            Flush::On => daxcow::FlushMode::On,
            Flush::Off => daxcow::FlushMode::Off,
        }
    }
}

#[derive(ValueEnum, Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Clock {
    /// All time that goes by
    Wall,
    /// The processor's time of the thread: what others do on the machine counts less, waiting for a disk not at all
    Cpu,
}

/// How large everything is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Effort {
    Tiny,
    Quick,
    Full,
}

impl Effort {
    /// The one of three that fits.
    pub(crate) fn pick<T>(self, tiny: T, quick: T, full: T) -> T {
        match self {
            Effort::Tiny => tiny,
            Effort::Quick => quick,
            Effort::Full => full,
        }
    }
}

impl Conditions {
    pub(crate) fn effort(&self) -> Effort {
        match (self.tiny, self.quick) {
            (true, _) => Effort::Tiny,
            (false, true) => Effort::Quick,
            (false, false) => Effort::Full,
        }
    }

    pub(crate) fn rounds(&self) -> u32 {
        self.rounds.unwrap_or_else(|| self.effort().pick(1, 3, 5))
    }
}

/// What a script has measured.
#[derive(Args, Debug)]
pub(crate) struct Import {
    /// The file with the lines
    pub(crate) measured: PathBuf,
    /// Name of the report's files
    #[arg(long)]
    pub(crate) name: String,
    #[arg(long)]
    pub(crate) title: String,
    /// Unit of the figures
    #[arg(long)]
    pub(crate) unit: String,
    /// Which figures are the good ones
    #[arg(long, value_enum)]
    pub(crate) better: Better,
    /// The side that the others are compared with
    #[arg(long)]
    pub(crate) reference: String,
    /// A side; may be given several times, in the order in which they stand in the table
    #[arg(long)]
    pub(crate) side: Vec<String>,
    /// The cases are sizes in bytes, along an axis of this name
    #[arg(long)]
    pub(crate) axis: Option<String>,
    /// What a reader must know; may be given several times
    #[arg(long)]
    pub(crate) note: Vec<String>,
    /// A version of what was measured, such as "sqlite3 3.40.1"; may be given several times
    #[arg(long)]
    pub(crate) library: Vec<String>,
    /// The directory in which it was measured
    #[arg(long)]
    pub(crate) medium: PathBuf,
    /// Whether pools flushed
    #[arg(long, default_value = "as the notes say")]
    pub(crate) flush: String,
    /// The command that measured it
    #[arg(long)]
    pub(crate) command: String,
    #[arg(long, default_value = "target/bench")]
    pub(crate) out: PathBuf,
}
