//! RocksDB: the workloads of db_bench in this process, on databases in a pool and on databases of RocksDB's posix FileSystem on the
//! same medium; and copies of a database.
//!
//! Keys of 16 bytes, values of 100, no compression, RocksDB's own defaults otherwise. The real `db_bench` runs through the preload
//! library in `scripts/db_bench.sh`.
//!
//! | module | what it holds |
//! |---|---|
//! | `database` | databases of both sides |
//! | `workload` | what is done to them |
//! | `copies` | snapshots and checkpoints |

mod copies;
mod database;
mod workload;

use anyhow::{Context, Result};

use crate::ours;
use crate::report::Sheet;
use crate::run::{Findings, Run};
use crate::turns::balanced;
use database::{POOL, SIDES, Side};
use workload::{Start, WORKLOADS};

pub(crate) fn run(run: &Run) -> Result<Findings> {
    let pool_bytes = run.effort().pick(256 << 20, 1 << 30, 3 << 30);
    let _pool = ours::pool(&run.path(POOL), pool_bytes, run.flush())?;
    let keys = run.effort().pick(500, 10_000, 500_000);
    let mut sheet =
        Sheet::rates("workloads", "Workloads of db_bench, in this process", "operations/s", "daxcow");
    let threads = [1, 2];
    run.expect(run.rounds() as usize * WORKLOADS.len() * threads.len() * SIDES.len());
    for round in 0..run.rounds() {
        for count in threads {
            for side in SIDES {
                workload::fill_for_reading(run, side, keys)?;
            }
            for workload in &WORKLOADS {
                for index in balanced(round, SIDES.len()) {
                    let side = SIDES[index];
                    run.step(&format!("{}, {count} threads, {}", workload.name, side.name()));
                    let (rate, written) = workload
                        .measure(run, side, keys, count)
                        .with_context(|| format!("{} with {}", workload.name, side.name()))?;
                    let case = format!("{}, threads: {count}", workload.name);
                    sheet.add(&case, side.name(), rate);
                    if let Some(written) = written {
                        sheet.add(&format!("{case}, what is written beside"), side.name(), written);
                    }
                    if workload.start == Start::Empty {
                        side.destroy(run, workload.name)?;
                    }
                }
            }
            for side in SIDES {
                side.destroy(run, database::FILLED)?;
            }
        }
    }
    let workloads = sheet.finish(&SIDES.map(Side::name));
    Ok(Findings {
        tables: vec![workloads, copies::run(run, keys)?],
        notes: vec![
            "readwhilewriting: the writer makes no pause, so who writes faster has more to read beside; both are counted".to_owned(),
            format!("{keys} keys of 16 bytes for each thread, values of 100 bytes, no compression"),
            "fillsync: every write is synced; on tmpfs posix's sync does nothing on the medium, daxcow's stores are flushed \
             and fenced as on pmem"
                .to_owned(),
        ],
        versions: vec![("rocksdb (in this process)".to_owned(), database::version())],
    })
}
