//! Random work on a database while every store to its pool is recorded, also those of RocksDB's background threads.

use std::path::Path;

use daxcow::sim::{Recording, Tape, Unit, as_disk};
use daxcow::{CreateOptions, OpenOptions, Pool};
use daxcow_tests::place::Place;
use daxcow_tests::rng::Rng;
use rocksdb::{DB, LogLevel, Options};

use crate::common::batches;

/// Small, as every image is a copy.
const POOL_BYTES: u64 = 24 << 20;

/// What was done at once.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Step {
    /// The next batch.
    Write {
        sync: bool,
    },
    Flush,
    Compact,
    Reopen,
    /// Of the pool.
    Snapshot(String),
}

/// A run as it went.
pub(crate) struct Performed {
    pub(crate) unit: Unit,
    pub(crate) recording: Recording,
    pub(crate) file_bytes: u64,
    pub(crate) steps: Vec<Step>,
    /// How many events there were after each step.
    pub(crate) ends: Vec<usize>,
    /// The last batch before the first step.
    first: u64,
}

/// What must be there after a crash.
#[derive(Debug)]
pub(crate) struct Expected {
    /// The last batch is one of these.
    pub(crate) least: u64,
    pub(crate) most: u64,
    /// Each snapshot, and its last batch.
    pub(crate) snapshots: Vec<(String, u64)>,
}

impl Performed {
    /// What must be there after a crash after `point` events.
    pub(crate) fn expected(&self, point: usize) -> Expected {
        let complete = self.ends.iter().filter(|&&end| end <= point).count();
        let mut batch = self.first;
        let mut expected = Expected { least: batch, most: batch, snapshots: Vec::new() };
        for (number, step) in self.steps.iter().take(complete + 1).enumerate() {
            let is_complete = number < complete;
            match step {
                Step::Write { sync } => {
                    batch += 1;
                    expected.most = batch;
                    if *sync && is_complete {
                        expected.least = batch;
                    }
                }
                // What is in tables needs no WAL; closing writes nothing.
                Step::Flush if is_complete => expected.least = batch,
                Step::Snapshot(name) if is_complete => expected.snapshots.push((name.clone(), batch)),
                _ => {}
            }
        }
        expected
    }
}

pub(crate) fn options() -> Options {
    let mut options = crate::common::options();
    options.set_write_buffer_size(64 << 10);
    options.set_target_file_size_base(64 << 10);
    options.set_max_bytes_for_level_base(256 << 10);
    options.set_level_zero_file_num_compaction_trigger(2);
    options.set_max_background_jobs(3);
    options.set_log_level(LogLevel::Fatal);
    options.set_keep_log_file_num(1);
    options
}

/// Performs `count` random steps; `claims_sync` makes the run say of every write that it was synced.
pub(crate) fn perform(rng: &mut Rng, unit: Unit, count: u64, claims_sync: bool) -> Performed {
    let place = Place::new();
    let path = place.pool();
    let sizes = CreateOptions::new().size(POOL_BYTES).sparse(true);
    Pool::create(&path, &sizes).and_then(Pool::close).expect("a new pool");
    let open_pool = || Pool::open_shared(&path, &OpenOptions::new()).expect("the pool opens");
    // On a tape from the beginning, since RocksDB's threads store while the recording begins.
    let open_pool = || Tape::of_pages().during(open_pool);
    let pool = if unit == Unit::Page { as_disk(open_pool) } else { open_pool() };
    let mut options = options();
    options.set_use_fsync(rng.one_in(2));
    options.set_allow_mmap_reads(rng.one_in(2));
    options.set_enable_pipelined_write(rng.one_in(2));
    let mut session = Session { path: &path, options, database: None, batch: 0 };
    session.reopen();
    for _ in 0..rng.below(400) {
        session.step(&Step::Write { sync: false }, &pool);
    }
    pool.sync().expect("the pool is synced");
    session.step(&Step::Write { sync: true }, &pool);
    let first = session.batch;
    let (mut steps, mut ends) = (Vec::new(), Vec::new());
    pool.record().expect("the recording begins");
    for number in 0..count {
        let mut step = match rng.weighted(&[20, 20, 2, 1, 1, 2]) {
            0 => Step::Write { sync: true },
            1 => Step::Write { sync: false },
            2 => Step::Flush,
            3 => Step::Compact,
            4 => Step::Reopen,
            _ => Step::Snapshot(format!("s{number}")),
        };
        session.step(&step, &pool);
        ends.push(pool.recorded_events());
        if let Step::Write { sync } = &mut step {
            *sync |= claims_sync;
        }
        steps.push(step);
    }
    let recording = pool.stop_recording().expect("it was recorded");
    let file_bytes = std::fs::metadata(&path).expect("the pool is there").len();
    Performed { unit, recording, file_bytes, steps, ends, first }
}

/// The database that the steps are performed on.
struct Session<'a> {
    path: &'a Path,
    options: Options,
    database: Option<DB>,
    batch: u64,
}

impl Session<'_> {
    fn reopen(&mut self) {
        self.database = None;
        self.database = Some(batches::open(&self.options, &self.path.join("db")).expect("it opens"));
    }

    fn step(&mut self, step: &Step, pool: &Pool) {
        let database = self.database.as_ref().expect("it is open");
        match step {
            Step::Write { sync } => {
                self.batch += 1;
                batches::write(database, self.batch, *sync).expect("write");
            }
            Step::Flush => batches::FAMILIES.iter().for_each(|name| {
                database.flush_cf(database.cf_handle(name).expect("the family is there")).expect("flush");
            }),
            Step::Compact => batches::FAMILIES.iter().for_each(|name| {
                let family = database.cf_handle(name).expect("the family is there");
                database.compact_range_cf(family, None::<&[u8]>, None::<&[u8]>);
            }),
            Step::Reopen => self.reopen(),
            Step::Snapshot(name) => {
                pool.create_snapshot(name, &["/db"]).expect("a snapshot");
            }
        }
    }
}
