//! The first 4 KiB write after a copy was made, which has to copy the path to the block as well.

use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use crate::ours::{self, BLOCK};
use crate::report::{Sheet, Table};
use crate::run::{Run, Spots, bytes, timed};
use crate::snapshot::files::warm_up;
use crate::snapshot::loop_mount::LoopMount;
use crate::snapshot::way::{SNAPSHOT, Stores, Way};
use crate::turns::balanced;

/// The 99th percentile of fewer would be the greatest of them.
const ENOUGH_FOR_99: usize = 100;

/// A file of so many bytes, scattered by so many writes.
const TINY: [(u64, u64); 1] = [(4 << 20, 0)];
const QUICK: [(u64, u64); 3] = [(16 << 20, 0), (128 << 20, 0), (128 << 20, 5_000)];
const FULL: [(u64, u64); 3] = [(16 << 20, 0), (1 << 30, 0), (1 << 30, 20_000)];

pub(super) fn run(run: &Run, mounts: &[LoopMount]) -> Result<Table> {
    let mut sheet = Sheet::times("first-write", "First 4 KiB write after a copy of a file", "us", SNAPSHOT);
    let files = run.effort().pick(&TINY[..], &QUICK[..], &FULL[..]);
    let mut order: Vec<String> = Vec::new();
    for &(size, scattering) in files {
        let stores = Stores::new(run, mounts, size, (64 << 20) + 2 * scattering * BLOCK, false)?;
        let ways = stores.ways();
        order = ways.iter().map(|(name, way)| name_of(name, way)).collect();
        run.expect(run.rounds() as usize * ways.len());
        if scattering > 0 {
            stores.scatter(scattering)?;
        }
        let extents = stores.pool.open_file("/data", &ours::CREATE)?.extents()?.len();
        let pieces = if extents == 1 { "1 extent".to_owned() } else { format!("{extents} extents") };
        warm_up(&stores, &ways)?;
        for round in 0..run.rounds() {
            for index in balanced(round, ways.len()) {
                let (name, way) = (&order[index], &ways[index].1);
                run.step(&format!("{}, {pieces}, {name}", bytes(size)));
                let mut times =
                    first_writes(run, &stores, way).with_context(|| format!("write after {name}"))?;
                times.sort();
                for (case, part, least) in [("median", 50, 1), ("99th percentile", 99, ENOUGH_FOR_99)] {
                    if times.len() >= least {
                        let case = format!("{}, {pieces}, {case}", bytes(size));
                        sheet.add(&case, name, times[times.len() * part / 100].as_secs_f64() * 1e6);
                    }
                }
            }
        }
        stores.remove()?;
    }
    Ok(sheet.finish(&order.iter().map(String::as_str).collect::<Vec<_>>()))
}

/// What is done after a copy was made in some way.
fn name_of(name: &str, way: &Way) -> String {
    match way {
        Way::Reflink { synced: false, .. } => format!("{name}, pwrite"),
        Way::Reflink { synced: true, .. } => name.replace(" + fsync", ", pwrite + fdatasync"),
        Way::Snapshot | Way::Clone | Way::Cp => name.to_owned(),
    }
}

/// How long the first write after each of many copies took.
fn first_writes(run: &Run, stores: &Stores<'_>, way: &Way) -> Result<Vec<Duration>> {
    let most = run.effort().pick(3, 300, 2_000);
    let enough = Duration::from_millis(run.effort().pick(10, 100, 1_500));
    // Who is slow has more time, so that there is a percentile of it too, but not without an end.
    let patience = Duration::from_millis(run.effort().pick(10, 500, 5_000));
    let file = stores.pool.open_file("/data", &ours::CREATE)?;
    let started = Instant::now();
    let mut spots = Spots::new();
    let mut times = Vec::new();
    let is_over = |count: usize| {
        let time = started.elapsed();
        count >= most || time > patience || (time > enough && count >= ENOUGH_FOR_99)
    };
    while times.is_empty() || !is_over(times.len()) {
        way.copy(stores)?;
        let place = spots.below(stores.len / BLOCK) * BLOCK;
        let (written, time) = timed(|| way.write(stores, &file, place));
        written?;
        times.push(time);
        way.remove(stores)?;
    }
    Ok(times)
}
