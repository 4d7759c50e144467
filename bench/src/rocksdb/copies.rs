//! Copies of a database that is open and has just been written: daxcow's snapshots beside RocksDB's Checkpoint.

use anyhow::{Context, Result};
use daxcow::{OpenOptions, Pool};
use rocksdb::checkpoint::Checkpoint;

use crate::report::{Sheet, Table};
use crate::rocksdb::database::{POOL, Side};
use crate::rocksdb::workload;
use crate::run::{Run, timed};
use crate::turns::balanced;

const NAMES: [&str; 4] = [
    "daxcow snapshot, not flushed first",
    "daxcow snapshot, memtables flushed",
    "Checkpoint on daxcow",
    "Checkpoint on posix",
];
/// Written before each copy, so that there is something in the memtable.
const FRESH: u64 = 1_000;

pub(super) fn run(run: &Run, keys: u64) -> Result<Table> {
    let mut sheet = Sheet::times("copies", "Copying a database that is open", "us", NAMES[0]);
    let pool = Pool::open_shared(run.path(POOL), &OpenOptions::new())?;
    for side in [Side::Daxcow, Side::Posix] {
        workload::fill_for_reading(run, side, keys)?;
    }
    let ours = Side::Daxcow.open(run, super::database::FILLED, false)?;
    let posix = Side::Posix.open(run, super::database::FILLED, false)?;
    run.expect(run.rounds() as usize * NAMES.len());
    for round in 0..run.rounds() {
        for index in balanced(round, NAMES.len()) {
            run.step(NAMES[index]);
            let (database, side) = if index == 3 { (&posix, Side::Posix) } else { (&ours, Side::Daxcow) };
            workload::put_some(database, FRESH)?;
            let checkpoint = side.path(run, "checkpoint");
            let (done, time) = timed(|| -> Result<()> {
                match index {
                    0 => drop(pool.create_snapshot("copy", &[super::database::FILLED])?),
                    1 => drop(daxcow_rocksdb::snapshot(database, "copy")?),
                    _ => Checkpoint::new(database)?.create_checkpoint(&checkpoint)?,
                }
                Ok(())
            });
            done.context(NAMES[index])?;
            let case = format!("{keys} keys, {FRESH} of them fresh");
            sheet.add(&case, NAMES[index], time.as_secs_f64() * 1e6);
            match index {
                0 | 1 => pool.delete_snapshot("copy")?,
                2 => pool.remove_dir_all("checkpoint")?,
                _ => std::fs::remove_dir_all(&checkpoint).context("remove a checkpoint")?,
            }
        }
    }
    Ok(sheet.finish(&NAMES))
}
