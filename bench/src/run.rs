//! What all benchmarks share: where they work, how often, how far they are, and time.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result};
use indicatif::{ProgressBar, ProgressStyle};
use rustix::time::{ClockId, clock_gettime};
use tempfile::TempDir;

use crate::args::{Clock, Conditions, Effort, Flush};
use crate::machine::Machine;
use crate::report::{Report, Table};

/// What a benchmark has found.
#[derive(Default)]
pub(crate) struct Findings {
    pub(crate) tables: Vec<Table>,
    /// Conditions, and what was left out and why.
    pub(crate) notes: Vec<String>,
    /// What took part besides daxcow and SQLite: names and versions.
    pub(crate) versions: Vec<(String, String)>,
}

/// One run of one benchmark.
pub(crate) struct Run {
    name: String,
    conditions: Conditions,
    scratch: TempDir,
    scratch_on_disk: TempDir,
    progress: ProgressBar,
}

impl Run {
    pub(crate) fn new(name: &str, conditions: &Conditions) -> Result<Run> {
        let scratch = |directory: &Path| {
            tempfile::Builder::new()
                .prefix("daxcow-bench.")
                .tempdir_in(directory)
                .with_context(|| format!("make a directory in {}", directory.display()))
        };
        std::fs::create_dir_all(&conditions.out)
            .with_context(|| format!("make {}", conditions.out.display()))?;
        // Where standard error is no terminal, nothing is drawn.
        let progress = ProgressBar::new(0).with_prefix(name.to_owned());
        let style = "{prefix:>9} {wide_bar} {pos}/{len} {elapsed} (left: {eta}) {msg:40!}";
        progress.set_style(ProgressStyle::with_template(style).context("the progress bar's template")?);
        progress.enable_steady_tick(Duration::from_millis(500));
        Ok(Run {
            name: name.to_owned(),
            conditions: conditions.clone(),
            scratch: scratch(&conditions.dir)?,
            scratch_on_disk: scratch(&conditions.disk)?,
            progress,
        })
    }

    /// Runs a benchmark and reports what it found.
    pub(crate) fn report(self, title: &str, benchmark: &fn(&Run) -> Result<Findings>) -> Result<Report> {
        let mut machine = Machine::new(&self.conditions.dir, self.flush_description())?;
        let started = Instant::now();
        let since_1970 = seconds_since_1970()?;
        let findings = benchmark(&self)?;
        self.progress.finish_and_clear();
        machine.finished();
        machine.versions.extend(findings.versions);
        Ok(Report {
            clock: self.clock().description().to_owned(),
            name: self.name,
            title: title.to_owned(),
            command: std::env::args().collect::<Vec<_>>().join(" "),
            started: since_1970,
            seconds: Some(started.elapsed().as_secs_f64()),
            rounds: self.conditions.rounds(),
            machine,
            notes: findings.notes,
            tables: findings.tables,
        })
    }

    fn flush_description(&self) -> &'static str {
        // SQLite's and RocksDB's adapters, and whoever opens a pool anew, have no way to turn it off.
        let always = ["sqlite", "rocksdb", "recovery"].contains(&self.name.as_str());
        match self.conditions.flush {
            Flush::Off if !always => {
                "off: nothing is flushed, pools survive the death of processes only; SQLite databases, and threads and processes \
                 beside each other, flush all the same"
            }
            Flush::On | Flush::Off => {
                "on: every store that must be durable is flushed and fenced, as pmem needs it"
            }
        }
    }

    pub(crate) fn effort(&self) -> Effort {
        self.conditions.effort()
    }

    /// A program that takes part: its file name, its path, its version.
    pub(crate) fn beside(&self) -> Option<(String, &Path, &str)> {
        let path = self.conditions.beside.as_deref()?;
        let name = path.file_name()?.to_string_lossy().into_owned();
        Some((name, path, self.conditions.beside_version.as_deref().unwrap_or("of unknown version")))
    }

    pub(crate) fn clock(&self) -> Clock {
        self.conditions.clock
    }

    pub(crate) fn flush(&self) -> Flush {
        self.conditions.flush
    }

    pub(crate) fn rounds(&self) -> u32 {
        self.conditions.rounds()
    }

    /// A path on the medium that is measured; gone when the run is over.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.scratch.path().join(name)
    }

    /// A path on the disk.
    pub(crate) fn path_on_disk(&self, name: &str) -> PathBuf {
        self.scratch_on_disk.path().join(name)
    }

    /// Bytes that can be taken on the medium now, leaving half of it to others.
    pub(crate) fn room(&self) -> Result<u64> {
        let found = rustix::fs::statvfs(self.scratch.path()).context("ask for free space")?;
        let free = found.f_bavail * found.f_frsize;
        let text = std::fs::read_to_string("/proc/meminfo").context("read /proc/meminfo")?;
        let available = text.lines().find_map(|line| line.strip_prefix("MemAvailable:"));
        let kib: Option<u64> =
            available.and_then(|rest| rest.split_whitespace().next()).and_then(|number| number.parse().ok());
        Ok(free.min(kib.map_or(u64::MAX, |kib| kib * 1024)) / 2)
    }

    /// So many steps more will be made.
    pub(crate) fn expect(&self, steps: usize) {
        self.progress.inc_length(steps as u64);
    }

    /// A step begins.
    pub(crate) fn step(&self, what: &str) {
        self.progress.set_message(what.to_owned());
        self.progress.inc(1);
    }
}

pub(crate) fn seconds_since_1970() -> Result<u64> {
    Ok(SystemTime::now().duration_since(UNIX_EPOCH).context("read the clock")?.as_secs())
}

/// What `act` answers, and how long it took.
pub(crate) fn timed<T>(act: impl FnOnce() -> T) -> (T, Duration) {
    let started = Instant::now();
    let answer = act();
    (answer, started.elapsed())
}

/// Microseconds of one of `count` operations that took `time` together.
pub(crate) fn micros(time: Duration, count: u64) -> f64 {
    time.as_secs_f64() * 1e6 / count as f64
}

impl Clock {
    /// What it says now.
    fn now(self) -> Duration {
        let clock = match self {
            Clock::Wall => ClockId::Monotonic,
            Clock::Cpu => ClockId::ThreadCPUTime,
        };
        let now = clock_gettime(clock);
        Duration::new(now.tv_sec.unsigned_abs(), u32::try_from(now.tv_nsec).unwrap_or_default())
    }

    fn description(self) -> &'static str {
        match self {
            Clock::Wall => "wall",
            Clock::Cpu => {
                "the thread's time on the processor where one thread works (waiting for a disk does not count), wall elsewhere"
            }
        }
    }
}

/// How long to measure: at most so many operations, and no new piece after so long.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Budget {
    pub(crate) operations: u64,
    pub(crate) time: Duration,
    pub(crate) clock: Clock,
}

/// Between two looks at the clock there is about so much time.
const PIECE: Duration = Duration::from_micros(200);

impl Budget {
    /// Runs `operation` with numbers from 0 on, at least once and within the budget; microseconds of one. What is cold at first
    /// is warmed by one operation before.
    pub(crate) fn spend(self, mut operation: impl FnMut(u64) -> Result<()>) -> Result<f64> {
        operation(0)?;
        let (mut done, mut piece) = (0, 1);
        let (started, counted) = (Instant::now(), self.clock.now());
        let mut elapsed = Duration::ZERO;
        while done < self.operations.max(1) && elapsed <= self.time {
            let until = (done + piece).min(self.operations.max(1));
            for number in done..until {
                operation(number)?;
            }
            done = until;
            // The clock is asked rarely where operations are short.
            let now = started.elapsed();
            if now - elapsed < PIECE {
                piece *= 2;
            }
            elapsed = now;
        }
        Ok(micros(self.clock.now() - counted, done))
    }

    /// As `spend`, in pieces of so many operations, before each of which something is prepared that does not count.
    pub(crate) fn spend_after(
        self,
        piece: u64,
        mut prepare: impl FnMut() -> Result<()>,
        mut operation: impl FnMut(u64) -> Result<()>,
    ) -> Result<f64> {
        let started = Instant::now();
        let (mut done, mut spent) = (0, Duration::ZERO);
        while done < self.operations.max(1) {
            prepare()?;
            let until = (done + piece.max(1)).min(self.operations.max(1));
            let beginning = self.clock.now();
            for number in done..until {
                operation(number)?;
            }
            spent += self.clock.now() - beginning;
            done = until;
            if started.elapsed() > self.time {
                break;
            }
        }
        Ok(micros(spent, done))
    }
}

/// Numbers below a bound, spread over it without a pattern, and nearly for free.
pub(crate) struct Spots(u64);

impl Spots {
    pub(crate) fn new() -> Spots {
        Spots(1)
    }

    /// The next number below `bound`.
    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 24) % bound.max(1)
    }
}

/// A size in bytes as people write it.
pub(crate) fn bytes(size: u64) -> String {
    [(40, "TiB"), (30, "GiB"), (20, "MiB"), (10, "KiB")]
        .into_iter()
        .find(|(shift, _)| size >= 1 << shift && size.is_multiple_of(1 << shift))
        .map_or_else(|| format!("{size} B"), |(shift, unit)| format!("{} {unit}", size >> shift))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_budget_ends_by_operations_and_by_time() {
        let mut count = 0;
        let spent = Budget { operations: 100, time: Duration::from_secs(100), clock: Clock::Cpu };
        spent
            .spend(|_| {
                count += 1;
                Ok(())
            })
            .unwrap();
        assert_eq!(count, 101);
        let spent = Budget { operations: u64::MAX, time: Duration::from_millis(1), clock: Clock::Wall };
        let long = |_| {
            std::thread::sleep(Duration::from_millis(2));
            Ok(())
        };
        assert!(spent.spend(long).unwrap() >= 2_000.0);
    }

    #[test]
    fn sizes_are_written_with_the_largest_unit_that_fits() {
        assert_eq!([64, 4096, 1536, 1 << 40].map(bytes), ["64 B", "4 KiB", "1536 B", "1 TiB"]);
    }
}
