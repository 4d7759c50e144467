//! Copying one file, by its size and by its extents, and removing the copy.

use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use crate::report::{Sheet, Spread};
use crate::run::{Findings, Run, bytes, micros, rotated, timed};
use crate::snapshot::loop_mount::LoopMount;
use crate::snapshot::way::{SNAPSHOT, Stores, Way};

/// Files on the mounts, and copies by cp, are not larger.
const BESIDE_MAX: u64 = 1 << 30;

pub(super) fn by_size(run: &Run, mounts: &[LoopMount], findings: &mut Findings) -> Result<()> {
    let sheet = |name: &str, title: &str| Sheet::times(name, title, "us", SNAPSHOT).along("size of the file");
    let mut made = sheet("create-by-size", "Making a copy of a file, by its size");
    let mut removed = sheet("delete-by-size", "Removing the copy of a file, by its size");
    let shifts = run.effort().pick(&[20, 22][..], &[20, 24, 26], &[20, 24, 28, 30, 33]);
    let largest_of_ways = 2 + 2 * mounts.len() + 1;
    run.expect(shifts.len() * run.rounds() as usize * largest_of_ways);
    let mut order = Vec::new();
    for size in shifts.iter().map(|shift| 1_u64 << shift) {
        let beside = if size <= BESIDE_MAX { mounts } else { &[] };
        // The pool, the plain file, its copy, and what the mounts take.
        let copies = if size <= BESIDE_MAX { 3 + mounts.len() as u64 } else { 1 };
        if size * copies > run.room()? {
            findings.notes.push(format!("file of {}: left out, there is too little room", bytes(size)));
            continue;
        }
        let stores = Stores::new(run, beside, size, 0, size <= BESIDE_MAX)?;
        let ways = stores.ways();
        for round in 0..run.rounds() {
            for index in rotated(round, ways.len()) {
                let (name, way) = &ways[index];
                run.step(&format!("{}, {name}", bytes(size)));
                let (make, remove) = copy_and_remove(run, &stores, way)
                    .with_context(|| format!("{name} of {}", bytes(size)))?;
                made.add_at(size as f64, &bytes(size), name, make);
                removed.add_at(size as f64, &bytes(size), name, remove);
            }
        }
        if ways.len() > order.len() {
            order = ways.into_iter().map(|(name, _)| name).collect();
        }
        stores.remove()?;
    }
    let order: Vec<&str> = order.iter().map(String::as_str).collect();
    findings.tables.extend([made.finish(&order), removed.finish(&order)]);
    Ok(())
}

pub(super) fn by_extents(run: &Run, mounts: &[LoopMount], findings: &mut Findings) -> Result<()> {
    let size = run.effort().pick(4 << 20, 64 << 20, 1 << 30);
    let writes = run.effort().pick(&[0, 50][..], &[0, 100, 1_000, 5_000], &[0, 100, 1_000, 10_000, 70_000]);
    let title = format!("Making a copy of a file of {}, by its extents", bytes(size));
    let mut sheet =
        Sheet::times("create-by-extents", &title, "us", SNAPSHOT).along("extents of the file in the pool");
    let scattered = 2 * writes.iter().max().copied().unwrap_or_default() * crate::ours::BLOCK;
    let stores = Stores::new(run, mounts, size, scattered, true)?;
    let ways = stores.ways();
    run.expect(writes.len() * run.rounds() as usize * ways.len());
    for &count in writes {
        if count > 0 {
            stores.scatter(count)?;
        }
        let extents = stores.pool.open_file("/data", &crate::ours::CREATE)?.extents()?.len();
        for round in 0..run.rounds() {
            for index in rotated(round, ways.len()) {
                let (name, way) = &ways[index];
                run.step(&format!("{extents} extents, {name}"));
                let (make, _) = copy_and_remove(run, &stores, way)
                    .with_context(|| format!("{name} of {extents} extents"))?;
                sheet.add_at(extents as f64, &extents.to_string(), name, make);
            }
        }
    }
    let order: Vec<&str> = ways.iter().map(|(name, _)| name.as_str()).collect();
    findings.tables.push(sheet.finish(&order));
    stores.remove()
}

/// Copies and removes, over and over for a while; the medians of both in microseconds.
fn copy_and_remove(run: &Run, stores: &Stores<'_>, way: &Way) -> Result<(f64, f64)> {
    let result = over_and_over(run, || way.copy(stores), || way.remove(stores))?;
    stores.settle()?;
    Ok(result)
}

/// Does and undoes something, at least once and for a while; the medians of both in microseconds.
pub(super) fn over_and_over(
    run: &Run,
    mut act: impl FnMut() -> Result<()>,
    mut undo: impl FnMut() -> Result<()>,
) -> Result<(f64, f64)> {
    let most = run.effort().pick(3, 200, 1_000);
    let enough = Duration::from_millis(run.effort().pick(5, 20, 200));
    let started = Instant::now();
    let (mut acting, mut undoing) = (Vec::new(), Vec::new());
    while acting.len() < most && (acting.is_empty() || started.elapsed() < enough) {
        for (what, times) in
            [(&mut act as &mut dyn FnMut() -> Result<()>, &mut acting), (&mut undo, &mut undoing)]
        {
            let (done, time) = timed(what);
            done?;
            times.push(micros(time, 1));
        }
    }
    let median = |times: &[f64]| Spread::of(times).map(|spread| spread.median).context("a time");
    Ok((median(&acting)?, median(&undoing)?))
}
