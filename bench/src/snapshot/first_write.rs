//! The first 4 KiB write after a copy was made, which has to copy the path to the block as well.

use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use crate::ours::{self, BLOCK};
use crate::report::{Sheet, Table};
use crate::run::{Run, Spots, bytes, rotated, timed};
use crate::snapshot::loop_mount::LoopMount;
use crate::snapshot::way::{SNAPSHOT, Stores, Way};

pub(super) fn run(run: &Run, mounts: &[LoopMount]) -> Result<Table> {
    let size = run.effort().pick(4 << 20, 128 << 20, 1 << 30);
    let title = format!("First 4 KiB write after a copy of a file of {}", bytes(size));
    let mut sheet = Sheet::times("first-write", &title, "us", SNAPSHOT);
    let stores = Stores::new(run, mounts, size, 64 << 20, false)?;
    let ways = stores.ways();
    let order: Vec<String> = ways
        .iter()
        .map(|(name, way)| match way {
            Way::Reflink { synced: false, .. } => format!("{name}, then pwrite"),
            Way::Reflink { synced: true, .. } => name.replace("+ fsync", "then pwrite + fdatasync"),
            Way::Snapshot | Way::Clone | Way::Cp => name.clone(),
        })
        .collect();
    run.expect(run.rounds() as usize * ways.len());
    for round in 0..run.rounds() {
        for index in rotated(round, ways.len()) {
            let (name, way) = (&order[index], &ways[index].1);
            run.step(name);
            let mut times = first_writes(run, &stores, way).with_context(|| format!("write after {name}"))?;
            times.sort();
            for (case, part) in [("median", 50), ("99th percentile", 99)] {
                let found = times.get(times.len() * part / 100).or(times.last()).context("a first write")?;
                sheet.add(case, name, found.as_secs_f64() * 1e6);
            }
        }
    }
    stores.remove()?;
    Ok(sheet.finish(&order.iter().map(String::as_str).collect::<Vec<_>>()))
}

/// How long the first write after each of many copies took.
fn first_writes(run: &Run, stores: &Stores<'_>, way: &Way) -> Result<Vec<Duration>> {
    let most = run.effort().pick(3, 300, 2_000);
    let enough = Duration::from_millis(run.effort().pick(10, 100, 1_500));
    let file = stores.pool.open_file("/data", &ours::CREATE)?;
    let started = Instant::now();
    let mut spots = Spots::new();
    let mut times = Vec::new();
    while times.len() < most && (times.is_empty() || started.elapsed() < enough) {
        way.copy(stores)?;
        let place = spots.below(stores.len / BLOCK) * BLOCK;
        let (written, time) = timed(|| way.write(stores, &file, place));
        written?;
        times.push(time);
        way.remove(stores)?;
    }
    Ok(times)
}
