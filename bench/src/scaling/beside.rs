//! One and two threads and processes, each with a file of its own, or all with one.

use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Barrier;
use std::time::Duration;

use anyhow::{Context, Result};
use daxcow::units::BLOCK_BYTES;
use daxcow::{OpenOptions, Pool};
use serde::{Deserialize, Serialize};

use crate::args::Clock;
use crate::host;
use crate::ours::{self, BLOCK};
use crate::report::{Sheet, Table};
use crate::run::{Budget, Run, Spots};
use crate::turns::balanced;
use crate::worker::{Done, Job, together};

const OURS: &str = "daxcow";
const HOST: &str = "tmpfs";

/// Where work is done.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Site {
    /// A pool, or nothing for the host.
    pool: Option<PathBuf>,
    /// A directory with a file `data`, in the pool or on the host.
    directory: PathBuf,
    /// What this worker makes has this name.
    own: String,
}

/// What is done, 4 KiB at a time.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(crate) enum Work {
    Read,
    Overwrite,
    Append,
    CreateAndRemove,
}

impl Work {
    const ALL: [Work; 4] = [Work::Read, Work::Overwrite, Work::Append, Work::CreateAndRemove];

    fn name(self) -> &'static str {
        match self {
            Work::Read => "random 4 KiB reads",
            Work::Overwrite => "random 4 KiB overwrites",
            Work::Append => "4 KiB appends",
            Work::CreateAndRemove => "create and remove a file",
        }
    }
}

/// Who works beside whom.
struct Crew {
    name: &'static str,
    count: usize,
    processes: bool,
    shared: bool,
}

const fn crew(name: &'static str, count: usize, processes: bool, shared: bool) -> Crew {
    Crew { name, count, processes, shared }
}

/// Bytes that are appended before the file begins anew.
const APPENDED: u64 = 32 << 20;

const CREWS: [Crew; 6] = [
    crew("1 thread", 1, false, false),
    crew("2 threads, separate", 2, false, false),
    crew("2 threads, shared", 2, false, true),
    crew("1 process", 1, true, false),
    crew("2 processes, separate", 2, true, false),
    crew("2 processes, shared", 2, true, true),
];

pub(super) fn run(run: &Run) -> Result<[Table; 2]> {
    let title = "One and two threads and processes";
    let mut sheet = Sheet::rates("beside", title, "operations/s, together", OURS);
    let mut gains =
        Sheet::rates("gain", "What a second thread or process brings", "times what one does", OURS);
    // One file alone is larger than the caches already: two that together are too large for them would be slower for that.
    let len = run.effort().pick(1 << 20, 128 << 20, 256 << 20);
    let time = Duration::from_millis(run.effort().pick(10, 60, 500));
    let pool_path = run.path("scaling.pool");
    let pool = ours::pool(&pool_path, 2 * len + 2 * APPENDED + (64 << 20), run.flush())?;
    for directory in ["a", "b"] {
        pool.create_dir(directory)?;
        drop(ours::written(&pool, &format!("{directory}/data"), len)?);
        let host = run.path(directory);
        std::fs::create_dir(&host).with_context(|| format!("make {}", host.display()))?;
        drop(host::written(&host.join("data"), len)?);
    }
    ours::touch(&pool)?;
    run.expect(run.rounds() as usize * CREWS.len() * Work::ALL.len() * 2);
    for round in 0..run.rounds() {
        for work in Work::ALL {
            let mut rates = [[0.0; 2]; CREWS.len()];
            for number in balanced(round, CREWS.len()) {
                let crew = &CREWS[number];
                for index in balanced(round, 2) {
                    let (side, ours) = [(OURS, true), (HOST, false)][index];
                    run.step(&format!("{}, {}, {side}", work.name(), crew.name));
                    let site = |number: usize| {
                        let directory = if crew.shared || number == 0 { "a" } else { "b" };
                        Site {
                            pool: ours.then(|| pool_path.clone()),
                            directory: if ours { directory.into() } else { run.path(directory) },
                            own: format!("own-{number}"),
                        }
                    };
                    let sites: Vec<Site> = (0..crew.count).map(site).collect();
                    let done = if crew.processes {
                        processes(&sites, work, time)?
                    } else {
                        threads(&sites, work, time)?
                    };
                    rates[number][index] = done.iter().map(|done| done.operations_per_second).sum();
                }
            }
            // What one alone does, by side.
            let mut alone = [0.0; 2];
            for (crew, rates) in CREWS.iter().zip(rates) {
                let case = format!("{}: {}", work.name(), crew.name);
                for (index, side) in [OURS, HOST].into_iter().enumerate() {
                    sheet.add(&case, side, rates[index]);
                    if crew.count == 1 {
                        alone[index] = rates[index];
                    } else {
                        gains.add(&case, side, rates[index] / alone[index]);
                    }
                }
            }
        }
    }
    Ok([sheet, gains].map(|sheet| sheet.finish(&[OURS, HOST])))
}

fn processes(sites: &[Site], work: Work, time: Duration) -> Result<Vec<Done>> {
    let jobs: Vec<Job> = sites.iter().map(|site| Job::File { site: site.clone(), work, time }).collect();
    together(&jobs)
}

fn threads(sites: &[Site], work: Work, time: Duration) -> Result<Vec<Done>> {
    let barrier = Barrier::new(sites.len());
    std::thread::scope(|scope| {
        let one = |site| {
            let barrier = &barrier;
            scope.spawn(move || {
                self::work(site, work, time, || {
                    barrier.wait();
                    Ok(())
                })
            })
        };
        let all: Vec<_> = sites.iter().map(one).collect();
        all.into_iter()
            .map(|thread| thread.join().map_err(|_| anyhow::anyhow!("a thread that worked panicked"))?)
            .collect()
    })
}

/// Does `work` for so long, from when `begin` returns.
pub(crate) fn work(
    site: &Site,
    work: Work,
    time: Duration,
    begin: impl FnOnce() -> Result<()>,
) -> Result<Done> {
    let budget = Budget { operations: u64::MAX, time, clock: Clock::Wall };
    let micros = match &site.pool {
        Some(pool) => in_pool(pool, site, work, budget, begin)?,
        None => on_host(site, work, budget, begin)?,
    };
    Ok(Done { operations_per_second: 1e6 / micros })
}

fn in_pool(
    pool: &Path,
    site: &Site,
    work: Work,
    budget: Budget,
    begin: impl FnOnce() -> Result<()>,
) -> Result<f64> {
    let pool = Pool::open_shared(pool, &OpenOptions::new())?;
    let file = pool.open_file(site.directory.join("data"), &ours::CREATE)?;
    let own = site.directory.join(&site.own);
    let blocks = file.len()? / BLOCK;
    let mut buffer = [0x5a; BLOCK_BYTES];
    let mut spots = Spots::new();
    let mut spot = || spots.below(blocks) * BLOCK;
    // Once before, as a new member has no page of the pool in its mapping.
    match work {
        Work::Read => (0..blocks).try_for_each(|block| file.read_exact_at(&mut buffer, block * BLOCK))?,
        Work::Overwrite => (0..blocks).try_for_each(|block| file.write_at(&buffer, block * BLOCK))?,
        Work::Append => {
            // As often as it takes to have been everywhere: what a cut has freed is not what comes next.
            let growing = pool.open_file(&own, &ours::CREATE)?;
            for _ in 0..=pool.info()?.usage.free_bytes / APPENDED {
                growing.set_len(0)?;
                (0..APPENDED / BLOCK).try_for_each(|_| growing.append(&buffer).map(drop))?;
            }
        }
        Work::CreateAndRemove => {}
    }
    begin()?;
    match work {
        Work::Read => budget.spend(|_| Ok(file.read_exact_at(&mut buffer, spot())?)),
        Work::Overwrite => budget.spend(|_| Ok(file.write_at(&buffer, spot())?)),
        Work::Append => {
            let growing = pool.open_file(&own, &ours::CREATE)?;
            let micros = budget.spend_after(
                APPENDED / BLOCK,
                || Ok(growing.set_len(0)?),
                |_| Ok(growing.append(&buffer).map(drop)?),
            );
            pool.remove_file(&own)?;
            micros
        }
        Work::CreateAndRemove => budget.spend(|_| {
            drop(pool.open_file(&own, &ours::CREATE)?);
            Ok(pool.remove_file(&own)?)
        }),
    }
}

fn on_host(site: &Site, work: Work, budget: Budget, begin: impl FnOnce() -> Result<()>) -> Result<f64> {
    use std::io::{Seek, Write};
    let file = host::open(&site.directory.join("data"))?;
    let own = site.directory.join(&site.own);
    let blocks = file.metadata().context("stat")?.len() / BLOCK;
    let mut buffer = [0x5a; BLOCK_BYTES];
    let mut spots = Spots::new();
    let mut spot = || spots.below(blocks) * BLOCK;
    begin()?;
    match work {
        Work::Read => budget.spend(|_| file.read_exact_at(&mut buffer, spot()).context("pread")),
        Work::Overwrite => budget.spend(|_| file.write_all_at(&buffer, spot()).context("pwrite")),
        Work::Append => {
            let growing = host::open(&own)?;
            let empty = || {
                growing.set_len(0).context("ftruncate")?;
                (&growing).rewind().context("lseek")
            };
            let micros = budget
                .spend_after(APPENDED / BLOCK, empty, |_| (&growing).write_all(&buffer).context("write"));
            std::fs::remove_file(&own).context("unlink")?;
            micros
        }
        Work::CreateAndRemove => budget.spend(|_| {
            drop(host::open(&own)?);
            std::fs::remove_file(&own).context("unlink")
        }),
    }
}
