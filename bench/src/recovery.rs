//! Opening a pool: after its only member was killed, when all references are counted anew, and after a clean close.
//!
//! The mapped data is preallocated in a sparse pool, in one piece or in pieces of 1 to 8 blocks: its maps and counts are as large as
//! those of written data, and only they are read. Beside it stands the machine's own floor: as many bytes copied by all processors
//! out of a new mapping of a file. A third table has written files in many pieces.

use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use daxcow::units::BLOCK_BYTES;
use daxcow::{CreateOptions, OpenOptions, Pool};

use crate::ours::{self, BLOCK};
use crate::report::{Sheet, Table};
use crate::run::{Findings, Run, Spots, bytes, timed};
use crate::stores::Mapping;
use crate::turns::{balanced, median};
use crate::worker::{Done, Job, Worker};

const KILLED: &str = "after a kill";
const CLOSED: &str = "after a clean close";
const FLOOR: &str = "reading as many bytes";
const SCATTERED_WRITES_PER_GIB: u64 = 20_000;
/// The worker writes to the beginning of the file only, so that the pool stays as sparse as it is.
const WRITTEN: u64 = 16 << 20;
/// Memory that counts and map nodes take for a block, and the smaller things.
const BYTES_PER_BLOCK: u64 = 16;
/// What an opening after a kill reads of it: 8 bytes of map and 4 of count.
const READ_PER_BLOCK: u64 = 12;
/// Blocks that are allocated in two pieces, of 1 to 7 blocks, one long after the other.
const UNIT: u64 = 8;
/// How often something is timed in a turn, and no more than so long.
const REPETITIONS: usize = 5;
const REPEATED_FOR: Duration = Duration::from_millis(300);
/// What one thread reads at once of the floor's file.
const PIECE: usize = 2 << 20;

pub(crate) fn run(run: &Run) -> Result<Findings> {
    let mut findings = Findings {
        notes: vec![
            "open is timed from the call until the pool can be used; the pool's memory is in the page cache"
                .to_owned(),
            "there is no other side: no file system can be opened after the death of its only process alone"
                .to_owned(),
            format!(
                "the floor: {READ_PER_BLOCK} bytes a block copied by all processors out of a new mapping"
            ),
        ],
        ..Findings::default()
    };
    let mapped = run.effort().pick(
        &[64 << 20][..],
        &[1 << 30, 4 << 30, 16 << 30],
        &[1 << 30, 16 << 30, 128 << 30, 1 << 40],
    );
    let written = run.effort().pick(&[32 << 20][..], &[64 << 20, 256 << 20], &[256 << 20, 1 << 30, 4 << 30]);
    run.expect((6 * mapped.len() + 2 * written.len()) * run.rounds() as usize);
    let title = "Opening a pool of preallocated files in one piece";
    findings.tables.push(opening(run, &mut findings.notes, "mapped", title, mapped, allocate)?);
    let title = "Opening a pool of preallocated files in pieces of 1 to 7 blocks";
    findings.tables.push(opening(run, &mut findings.notes, "fragmented", title, mapped, fragment)?);
    let title = "Opening a pool of a written file, scattered by 20 000 writes a GiB";
    findings.tables.push(opening(run, &mut findings.notes, "scattered", title, written, scatter)?);
    Ok(findings)
}

/// A file `/data` of `size` bytes that are allocated and not written.
fn allocate(path: &Path, size: u64) -> Result<()> {
    let pool = sparse(path, size + size / 64 + (64 << 20))?;
    pool.open_file("/data", &ours::CREATE)?.allocate(0, size, false)?;
    Ok(pool.close()?)
}

/// The same, with the blocks of each [`UNIT`] in two pieces, and pieces that follow each other in the pool far apart in the file.
fn fragment(path: &Path, size: u64) -> Result<()> {
    let pool = sparse(path, size + size / 64 + (64 << 20))?;
    let file = pool.open_file("/data", &ours::CREATE)?;
    file.set_len(size)?;
    let units = size / (UNIT * BLOCK);
    let first_part = |unit: u64| 1 + unit.wrapping_mul(0x9E37_79B9_7F4A_7C15) % (UNIT - 1);
    // An odd number makes every unit's turn come once, as there is a power of two of them.
    ensure!(units.is_power_of_two(), "{size} bytes cannot be cut into units");
    for turn in 0..units {
        let unit = turn.wrapping_mul(0x9E37_79B1) % units;
        file.allocate(unit * UNIT * BLOCK, first_part(unit) * BLOCK, false)?;
    }
    for turn in 0..units {
        let unit = turn.wrapping_mul(0x85EB_CA6B) % units;
        let part = first_part(unit);
        file.allocate((unit * UNIT + part) * BLOCK, (UNIT - part) * BLOCK, false)?;
    }
    drop(file);
    Ok(pool.close()?)
}

/// Copies all of a file, in which no page is mapped yet, by all processors.
fn read_all(path: &Path) -> Result<()> {
    let mapping = Mapping::again(path)?;
    let next = AtomicUsize::new(0);
    let worker = || {
        let mut into = [0; BLOCK_BYTES];
        loop {
            let start = next.fetch_add(PIECE, Ordering::Relaxed);
            if start >= mapping.len() {
                return;
            }
            (start..start + PIECE).step_by(BLOCK_BYTES).for_each(|at| mapping.load(&mut into, at));
        }
    };
    std::thread::scope(|scope| {
        (1..std::thread::available_parallelism().map_or(1, usize::from)).for_each(|_| {
            scope.spawn(worker);
        });
        worker();
    });
    Ok(())
}

/// A written file in many pieces.
fn scatter(path: &Path, size: u64) -> Result<()> {
    let writes = (size >> 20) * SCATTERED_WRITES_PER_GIB / 1024;
    let pool = sparse(path, size + 2 * writes * BLOCK + (64 << 20))?;
    drop(ours::written(&pool, "/data", size)?);
    ours::scatter(&pool, "/data", writes)?;
    Ok(pool.close()?)
}

fn sparse(path: &Path, bytes: u64) -> Result<Pool> {
    let options = CreateOptions::new().size(bytes.next_multiple_of(2 << 20)).sparse(true);
    Pool::create(path, &options).with_context(|| format!("make a pool of {bytes} bytes"))
}

/// Opens pools of each size after a kill and after a clean close.
fn opening(
    run: &Run,
    notes: &mut Vec<String>,
    name: &str,
    title: &str,
    sizes: &[u64],
    make: fn(&Path, u64) -> Result<()>,
) -> Result<Table> {
    let mut sheet = Sheet::times(name, title, "ms", CLOSED).along("bytes of files");
    for &size in sizes {
        let preallocated = name != "scattered";
        let read = if preallocated { size / BLOCK * READ_PER_BLOCK } else { 0 };
        let needed = if preallocated { size / BLOCK * BYTES_PER_BLOCK + read } else { size + size / 4 };
        let room = run.room()?;
        if needed > room {
            notes.push(format!("{}, {name}: left out, there is room for {} only", bytes(size), bytes(room)));
            continue;
        }
        let path = run.path(&format!("{name}-{size}.pool"));
        make(&path, size).with_context(|| format!("make a pool with {}", bytes(size)))?;
        let floor = run.path(&format!("{name}-{size}.floor"));
        if preallocated {
            drop(Mapping::create(&floor, usize::try_from(read).context("a floor's length")?)?);
        }
        for round in 0..run.rounds() {
            for index in balanced(round, if preallocated { 3 } else { 2 }) {
                let side = [CLOSED, KILLED, FLOOR][index];
                run.step(&format!("{name}, {}, {side}", bytes(size)));
                let milliseconds = for_a_while(|| match side {
                    CLOSED => opened(&path),
                    KILLED => killed_and_opened(&path),
                    _ => {
                        let (done, time) = timed(|| read_all(&floor));
                        done.map(|()| time)
                    }
                });
                let milliseconds = milliseconds.with_context(|| format!("{name}, {side}"))?;
                sheet.add_at(size as f64, &bytes(size), side, milliseconds);
            }
        }
        std::fs::remove_file(&path).with_context(|| format!("remove {}", path.display()))?;
        if preallocated {
            std::fs::remove_file(&floor).with_context(|| format!("remove {}", floor.display()))?;
        }
    }
    Ok(sheet.finish(&[KILLED, FLOOR, CLOSED]))
}

/// Times something over and over, where that is quick; the median in milliseconds.
fn for_a_while(mut act: impl FnMut() -> Result<Duration>) -> Result<f64> {
    let started = Instant::now();
    let mut times = Vec::new();
    while times.is_empty() || (times.len() < REPETITIONS && started.elapsed() < REPEATED_FOR) {
        times.push(act()?.as_secs_f64() * 1e3);
    }
    median(&times)
}

/// Opens a pool that has been closed.
fn opened(path: &Path) -> Result<Duration> {
    open(path, false)
}

/// Has a pool's only member killed in the middle of its work, and opens it.
fn killed_and_opened(path: &Path) -> Result<Duration> {
    let worker = Worker::start(&Job::ChangeForEver { pool: path.to_owned() })?;
    worker.kill_after(Duration::from_millis(30))?;
    open(path, true)
}

fn open(path: &Path, killed: bool) -> Result<Duration> {
    let (pool, time) = timed(|| Pool::open(path, &OpenOptions::new()));
    let pool = pool.context("open the pool")?;
    let recovered = pool.info()?.recovered;
    ensure!(recovered.is_some() == killed, "the opening recovered {recovered:?}");
    pool.close()?;
    Ok(time)
}

/// A worker's part: writes, and files that come and go, until it is killed.
pub(crate) fn change_for_ever(pool: &Path, begin: impl FnOnce() -> Result<()>) -> Result<Done> {
    let pool = Pool::open(pool, &OpenOptions::new())?;
    let file = pool.open_file("/data", &ours::CREATE)?;
    let blocks = file.len()?.min(WRITTEN) / BLOCK;
    let mut spots = Spots::new();
    begin()?;
    loop {
        for _ in 0..100 {
            file.write_at(&[0x3c; BLOCK_BYTES], spots.below(blocks) * BLOCK)?;
        }
        drop(pool.open_file("/temporary", &ours::CREATE)?);
        pool.remove_file("/temporary")?;
    }
}
