//! Copying one file, by its size and by its extents, and removing the copy.

use anyhow::{Context, Result};

use crate::report::{Sheet, Table};
use crate::run::{Findings, Run, bytes};
use crate::snapshot::loop_mount::LoopMount;
use crate::snapshot::way::{SNAPSHOT, Stores, Way};
use crate::turns::{Turn, balanced, over_and_over};

/// Files on the mounts, and copies by cp, are not larger.
const BESIDE_MAX: u64 = 1 << 30;

pub(super) fn by_size(run: &Run, mounts: &[LoopMount], findings: &mut Findings) -> Result<()> {
    let mut sheets = Sheets::new("by-size", "a file, by its size", "us", "size of the file");
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
        warm_up(&stores, &ways)?;
        for round in 0..run.rounds() {
            for index in balanced(round, ways.len()) {
                let (name, way) = &ways[index];
                run.step(&format!("{}, {name}", bytes(size)));
                let turn = copy_and_remove(run, &stores, way)
                    .with_context(|| format!("{name} of {}", bytes(size)))?;
                sheets.add(size as f64, &bytes(size), name, &turn, 1.0);
            }
        }
        if ways.len() > order.len() {
            order = ways.into_iter().map(|(name, _)| name).collect();
        }
        stores.remove()?;
    }
    let order: Vec<&str> = order.iter().map(String::as_str).collect();
    findings.tables.extend(sheets.finish(&order));
    Ok(())
}

pub(super) fn by_extents(run: &Run, mounts: &[LoopMount], findings: &mut Findings) -> Result<()> {
    let size = run.effort().pick(4 << 20, 64 << 20, 1 << 30);
    let writes = run.effort().pick(&[0, 50][..], &[0, 100, 1_000, 5_000], &[0, 100, 1_000, 10_000, 70_000]);
    let what = format!("a file of {}, by its extents", bytes(size));
    let mut sheets = Sheets::new("by-extents", &what, "us", "extents of the file in the pool");
    let scattered = 2 * writes.iter().max().copied().unwrap_or_default() * crate::ours::BLOCK;
    let stores = Stores::new(run, mounts, size, scattered, true)?;
    let ways = stores.ways();
    run.expect(writes.len() * run.rounds() as usize * ways.len());
    for &count in writes {
        if count > 0 {
            stores.scatter(count)?;
        }
        let extents = stores.pool.open_file("/data", &crate::ours::CREATE)?.extents()?.len();
        warm_up(&stores, &ways)?;
        for round in 0..run.rounds() {
            for index in balanced(round, ways.len()) {
                let (name, way) = &ways[index];
                run.step(&format!("{extents} extents, {name}"));
                let turn = copy_and_remove(run, &stores, way)
                    .with_context(|| format!("{name} of {extents} extents"))?;
                sheets.add(extents as f64, &extents.to_string(), name, &turn, 1.0);
            }
        }
    }
    let order: Vec<&str> = ways.iter().map(|(name, _)| name.as_str()).collect();
    findings.tables.extend(sheets.finish(&order));
    stores.remove()
}

/// Has each way make a copy and remove it, so that nobody is the first to use space in what is measured.
pub(super) fn warm_up(stores: &Stores<'_>, ways: &[(String, Way)]) -> Result<()> {
    for (name, way) in ways {
        way.copy(stores).and_then(|()| way.remove(stores)).with_context(|| name.clone())?;
    }
    stores.settle()
}

/// Copies and removes, over and over for a while.
fn copy_and_remove(run: &Run, stores: &Stores<'_>, way: &Way) -> Result<Turn> {
    let turn = over_and_over(run, || way.copy(stores), || way.remove(stores))?;
    stores.settle()?;
    Ok(turn)
}

/// Tables of the same cases: making a copy again and again, making one with empty caches, removing it.
pub(super) struct Sheets {
    made: Sheet,
    made_cold: Sheet,
    removed: Sheet,
}

impl Sheets {
    /// By what `by` names; `what` is copied.
    pub(super) fn new(by: &str, what: &str, unit: &str, axis: &str) -> Sheets {
        let sheet = |name: &str, title: &str| {
            Sheet::times(&format!("{name}-{by}"), &format!("{title} of {what}"), unit, SNAPSHOT).along(axis)
        };
        Sheets {
            made: sheet("create", "Making a copy"),
            made_cold: sheet("create-cold", "Making a copy, with empty caches,"),
            removed: sheet("delete", "Removing the copy"),
        }
    }

    /// A turn of `side`, whose times are divided by `divisor`.
    pub(super) fn add(&mut self, at: f64, case: &str, side: &str, turn: &Turn, divisor: f64) {
        self.made.add_at(at, case, side, turn.warm / divisor);
        self.made_cold.add_at(at, case, side, turn.cold / divisor);
        self.removed.add_at(at, case, side, turn.undone / divisor);
    }

    pub(super) fn finish(self, order: &[&str]) -> [Table; 3] {
        [self.made, self.made_cold, self.removed].map(|sheet| sheet.finish(order))
    }
}
