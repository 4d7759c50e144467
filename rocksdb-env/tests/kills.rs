//! A process that writes to a database in a pool is killed at random moments: every write that it said was acknowledged is
//! there afterwards, batches are whole, and the column families agree. So do snapshots of the pool that this process takes
//! while the other one writes.
//!
//! `DAXCOW_SEED` begins with another seed, `DAXCOW_SECONDS` says how long it goes on.

mod common;

use std::io::Write as _;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use common::batches::{self, FAMILIES};
use daxcow::{CreateOptions, Pool};
use daxcow_tests::fixture::open_pool;
use daxcow_tests::place::Place;
use daxcow_tests::process::{Running, Silence};
use daxcow_tests::rng::{Rng, number_from_env, seed_from_env};
use rocksdb::{DB, Options};

/// Tells a process of this test that it is the writer: its seed and the database's path.
const WRITER: &str = "DAXCOW_TEST_WRITER";
/// How long anything that must come may take.
const PATIENCE: Duration = Duration::from_secs(60);

fn options(rng: &mut Rng) -> Options {
    let mut options = common::options();
    options.set_write_buffer_size(128 << 10);
    options.set_target_file_size_base(128 << 10);
    options.set_max_background_jobs(3);
    options.set_allow_mmap_reads(rng.one_in(2));
    options.set_recycle_log_file_num(rng.index(3));
    options.set_keep_log_file_num(2);
    options
}

fn open(options: &Options, path: &Path) -> DB {
    batches::open(options, path).expect("the database opens")
}

/// The number of the last batch; fails where the database is not what it is after that.
fn last_batch(database: &DB, place: &str) -> u64 {
    batches::last(database).unwrap_or_else(|what| panic!("{place}: {what}"))
}

/// What the writer does until it is killed.
#[test]
#[ignore = "a process of the test below"]
fn writer() {
    let task = std::env::var(WRITER).expect("it was started by the test below");
    let (seed, path) = task.split_once('\n').expect("a seed and a path");
    let mut rng = Rng::new(seed.parse().expect("a seed"));
    let mut database = open(&options(&mut rng), Path::new(path));
    let mut number = last_batch(&database, "writer");
    loop {
        number += 1;
        batches::write(&database, number, rng.one_in(3)).expect("write");
        writeln!(std::io::stdout(), "\nacknowledged {number}").expect("the test listens");
        match rng.below(3000) {
            0..6 => {
                let family = database.cf_handle(FAMILIES[rng.index(2)]).expect("the family is there");
                database.flush_cf(family).expect("flush");
            }
            6 => database.compact_range(None::<&[u8]>, None::<&[u8]>),
            7 => {
                drop(database);
                database = open(&options(&mut rng), Path::new(path));
            }
            _ => {}
        }
    }
}

/// The writer, and the last batch of which it said that it was acknowledged.
struct Writer {
    process: Running,
    acknowledged: u64,
}

impl Writer {
    fn start(seed: u64, database: &Path, acknowledged: u64) -> Writer {
        let mut command = Command::new(std::env::current_exe().expect("this program has a path"));
        command.args(["--exact", "writer", "--ignored", "--nocapture"]);
        command.env(WRITER, format!("{seed}\n{}", database.display()));
        Writer { process: Running::spawn(command), acknowledged }
    }

    fn note(&mut self, line: &str) {
        if let Some(number) = line.strip_prefix("acknowledged ") {
            self.acknowledged = number.parse().expect("a number");
        }
    }

    /// Hears all that it says for so long.
    fn listen_for(&mut self, time: Duration) {
        let end = Instant::now() + time;
        loop {
            match self.process.line(end.saturating_duration_since(Instant::now())) {
                Ok(line) => self.note(&line),
                Err(Silence::Hangs) => return,
                Err(Silence::Ended) => panic!("the writer ended by itself"),
            }
        }
    }

    /// Kills it; what it has said until then counts.
    fn kill(mut self) -> u64 {
        self.process.kill();
        loop {
            match self.process.line(PATIENCE) {
                Ok(line) => self.note(&line),
                Err(Silence::Ended) => return self.acknowledged,
                Err(Silence::Hangs) => panic!("a killed process goes on talking"),
            }
        }
    }
}

/// Takes a snapshot beside the writer; it opens in place and as a clone.
fn look_at_a_snapshot(pool: &Pool, path: &Path, writer: &Writer, rng: &mut Rng, place: &str) {
    pool.create_snapshot("beside", &["/db"]).expect("a snapshot");
    let kept = path.join(".snapshots/beside/db");
    let read_only = batches::open_read_only(&options(rng), &kept);
    let Ok(read_only) = read_only else {
        // Taken before there were families.
        assert_eq!(writer.acknowledged, 0, "{place}: {:?}", read_only.err());
        pool.delete_snapshot("beside").expect("the snapshot goes");
        return;
    };
    let held = last_batch(&read_only, &format!("{place}, snapshot"));
    assert!(held >= writer.acknowledged, "{place}: the snapshot has {held} of {}", writer.acknowledged);
    daxcow_rocksdb::clone(&kept, path.join("clone")).expect("a clone");
    let clone = open(&options(rng), &path.join("clone"));
    assert_eq!(last_batch(&clone, &format!("{place}, clone")), held);
    for number in held + 1..held + 50 {
        batches::write(&clone, number, false).expect("write");
    }
    drop(clone);
    let clone = open(&options(rng), &path.join("clone"));
    assert_eq!(last_batch(&clone, &format!("{place}, clone written to")), held + 49);
    drop((clone, read_only));
    pool.remove_dir_all("/clone").expect("the clone goes");
    pool.delete_snapshot("beside").expect("the snapshot goes");
}

#[test]
fn what_a_killed_writer_acknowledged_is_there() {
    let seed = seed_from_env(1);
    println!("replay: DAXCOW_SEED={seed} cargo test -p daxcow-rocksdb --test kills");
    let mut rng = Rng::new(seed);
    let place = Place::new();
    let path = place.pool();
    let sizes = CreateOptions::new().size(192 << 20).sparse(true);
    Pool::create(&path, &sizes).and_then(Pool::close).expect("a new pool");
    let end = Instant::now() + Duration::from_secs(number_from_env("DAXCOW_SECONDS", 12));
    let (mut last, mut round, mut snapshots) = (0, 0, 0);
    while Instant::now() < end {
        round += 1;
        let place = format!("seed {seed} round {round}");
        // A member that stays recovers the dead one; without any, whoever opens the pool next does.
        let beside = (!rng.one_in(3)).then(|| open_pool(&path));
        let mut writer = Writer::start(rng.word(), &path.join("db"), last);
        writer.listen_for(Duration::from_millis(rng.below(400)));
        if let Some(pool) = &beside
            && rng.one_in(2)
            && pool.exists("/db/CURRENT").expect("exists")
        {
            snapshots += 1;
            look_at_a_snapshot(pool, &path, &writer, &mut rng, &place);
            writer.listen_for(Duration::from_millis(rng.below(50)));
        }
        let acknowledged = writer.kill();
        let database = open(&options(&mut rng), &path.join("db"));
        last = last_batch(&database, &place);
        // One more may have been written and not yet acknowledged.
        let expected = acknowledged..=acknowledged + 1;
        assert!(expected.contains(&last), "{place}: {last} is the last, and {acknowledged} was acknowledged");
        drop((database, beside));
        let pool = open_pool(&path);
        let report = pool.check().expect("the pool is checked");
        assert!(report.is_clean(), "{place}: {:?}", report.problems);
    }
    println!("{round} writers killed, {snapshots} snapshots beside them, {last} batches");
}
