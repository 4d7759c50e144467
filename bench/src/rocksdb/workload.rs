//! What db_bench does to a database.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use rocksdb::{DB, IteratorMode, WriteOptions};

use crate::rocksdb::database::{FILLED, Side};
use crate::run::{Run, Spots};

const VALUE: [u8; 100] = [0x5a; 100];

/// What a workload begins with.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Start {
    Empty,
    Filled,
}

/// What each thread does with a key's number.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Step {
    PutInOrder,
    PutRandom,
    Scan,
    Get,
    /// Reads, while another thread writes without a pause.
    GetBesideWriter,
}

pub(super) struct Workload {
    pub(super) name: &'static str,
    pub(super) start: Start,
    step: Step,
    sync: bool,
    mmap_reads: bool,
}

const fn workload(name: &'static str, start: Start, step: Step) -> Workload {
    Workload { name, start, step, sync: false, mmap_reads: false }
}

pub(super) const WORKLOADS: [Workload; 8] = [
    workload("fillseq", Start::Empty, Step::PutInOrder),
    Workload { sync: true, ..workload("fillsync", Start::Empty, Step::PutRandom) },
    workload("fillrandom", Start::Empty, Step::PutRandom),
    workload("readseq", Start::Filled, Step::Scan),
    workload("readrandom", Start::Filled, Step::Get),
    Workload { mmap_reads: true, ..workload("readrandom+mmap", Start::Filled, Step::Get) },
    workload("overwrite", Start::Filled, Step::PutRandom),
    workload("readwhilewriting", Start::Filled, Step::GetBesideWriter),
];

/// Keys sort as their numbers do.
fn key(number: u64) -> [u8; 16] {
    let mut key = [b'0'; 16];
    key[8..].copy_from_slice(&number.swap_bytes().to_le_bytes());
    key
}

/// Makes the database that is read: all keys, in random order, compacted.
pub(super) fn fill_for_reading(run: &Run, side: Side, keys: u64) -> Result<()> {
    let database = side.open(run, FILLED, false)?;
    // An odd step visits all residues of a power of two.
    let places = keys.next_power_of_two();
    for number in 0..places {
        let number = number.wrapping_mul(0x9e37_79b9) % places;
        if number < keys {
            database.put(key(number), VALUE).context("fill a database")?;
        }
    }
    database.flush().context("flush a database")?;
    database.compact_range(None::<&[u8]>, None::<&[u8]>);
    Ok(())
}

impl Workload {
    /// Operations a second of all threads together, and of the writer beside them where there is one.
    pub(super) fn measure(
        &self,
        run: &Run,
        side: Side,
        keys: u64,
        threads: u64,
    ) -> Result<(f64, Option<f64>)> {
        let name = if self.start == Start::Empty { self.name } else { FILLED };
        let database = side.open(run, name, self.mmap_reads)?;
        let over = AtomicBool::new(false);
        std::thread::scope(|scope| {
            let writer = (self.step == Step::GetBesideWriter)
                .then(|| scope.spawn(|| write_until(&database, keys, &over)));
            let started = Instant::now();
            let workers: Vec<_> = (0..threads)
                .map(|number| {
                    let database = &database;
                    scope.spawn(move || self.work(database, keys, number))
                })
                .collect();
            let done: Result<Vec<()>> = workers
                .into_iter()
                .map(|worker| worker.join().map_err(|_| anyhow::anyhow!("a worker panicked"))?)
                .collect();
            let seconds = started.elapsed().as_secs_f64();
            over.store(true, Ordering::Relaxed);
            let written =
                writer.map(|writer| writer.join().map_err(|_| anyhow::anyhow!("the writer panicked"))?);
            let written = written.transpose()?.map(|count| count as f64 / seconds);
            done?;
            Ok(((keys * threads) as f64 / seconds, written))
        })
    }

    fn work(&self, database: &DB, keys: u64, worker: u64) -> Result<()> {
        let mut options = WriteOptions::default();
        options.set_sync(self.sync);
        let mut spots = Spots::new();
        for _ in 0..worker * 1_000 {
            spots.below(keys);
        }
        match self.step {
            Step::PutInOrder => {
                (0..keys).try_for_each(|number| database.put_opt(key(number), VALUE, &options).context("put"))
            }
            Step::PutRandom => (0..keys)
                .try_for_each(|_| database.put_opt(key(spots.below(keys)), VALUE, &options).context("put")),
            Step::Scan => {
                let mut count = 0;
                for found in database.iterator(IteratorMode::Start) {
                    found.context("scan")?;
                    count += 1;
                }
                ensure!(count == keys, "{count} keys were found where {keys} are");
                Ok(())
            }
            Step::Get | Step::GetBesideWriter => (0..keys).try_for_each(|_| {
                let found = database.get_pinned(key(spots.below(keys))).context("get")?;
                ensure!(found.is_some_and(|value| value.len() == VALUE.len()), "the key is there");
                Ok(())
            }),
        }
    }
}

/// Writes until it is over; how often.
fn write_until(database: &DB, keys: u64, over: &AtomicBool) -> Result<u64> {
    let mut spots = Spots::new();
    let mut count = 0;
    while !over.load(Ordering::Relaxed) {
        database.put(key(spots.below(keys)), VALUE).context("put")?;
        count += 1;
    }
    Ok(count)
}

/// Writes the first `count` keys once more.
pub(super) fn put_some(database: &DB, count: u64) -> Result<()> {
    (0..count).try_for_each(|number| database.put(key(number), VALUE).context("put"))
}
