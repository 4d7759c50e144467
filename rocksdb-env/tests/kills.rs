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

use daxcow::{CreateOptions, Pool};
use daxcow_tests::fixture::open_pool;
use daxcow_tests::place::Place;
use daxcow_tests::process::{Running, Silence};
use daxcow_tests::rng::{Rng, number_from_env, pattern, seed_from_env};
use rocksdb::{DB, IteratorMode, Options, WriteBatch, WriteOptions};

const FAMILIES: [&str; 2] = ["one", "two"];
/// So many batches stay; each one drops the one so far behind it.
const KEPT: u64 = 1000;
/// In each family: the number of the last batch.
const LAST: &[u8] = b"last";
/// Tells a process of this test that it is the writer: its seed and the database's path.
const WRITER: &str = "DAXCOW_TEST_WRITER";
/// How long anything that must come may take.
const PATIENCE: Duration = Duration::from_secs(60);

/// The keys and values of a batch, the same in both families.
fn batch(number: u64) -> Vec<(Vec<u8>, Vec<u8>)> {
    let mut rng = Rng::new(number);
    let pair = |part| {
        let len = rng.index(if number.is_multiple_of(50) { 5000 } else { 300 });
        (format!("{number:010}-{part}").into_bytes(), pattern(number * 8 + part, len))
    };
    (0..=number % 5).map(pair).collect()
}

fn write(database: &DB, number: u64, sync: bool) {
    let mut writes = WriteBatch::default();
    for name in FAMILIES {
        let family = database.cf_handle(name).expect("the family is there");
        batch(number).iter().for_each(|(key, value)| writes.put_cf(family, key, value));
        if let Some(old) = number.checked_sub(KEPT) {
            writes.delete_range_cf(family, format!("{old:010}"), format!("{:010}", old + 1));
        }
        writes.put_cf(family, LAST, number.to_le_bytes());
    }
    let mut options = WriteOptions::default();
    options.set_sync(sync);
    database.write_opt(writes, &options).expect("write");
}

/// The number of the last batch; fails unless the database holds what there is after it, and nothing else.
fn last_batch(database: &DB, place: &str) -> u64 {
    let of = |name| {
        let family = database.cf_handle(name).expect("the family is there");
        let number = database.get_cf(family, LAST).expect("get");
        let number =
            number.map_or(0, |bytes| u64::from_le_bytes(bytes.try_into().expect("a number is 8 bytes")));
        let first = (number + 1).saturating_sub(KEPT).max(1);
        let mut found = database.iterator_cf(family, IteratorMode::Start);
        for (key, value) in (first..=number).flat_map(batch) {
            let (found_key, found_value) = found
                .next()
                .unwrap_or_else(|| {
                    panic!("{place}, {name}: nothing from {key:?} on, and the last is {number}")
                })
                .expect("the iterator reads");
            let is_it = *found_key == *key && *found_value == *value;
            assert!(is_it, "{place}, {name}: found {found_key:?} for {key:?} of {first}..={number}");
        }
        let rest: Vec<_> = found.map(|pair| pair.expect("the iterator reads").0).collect();
        let only_last = if number == 0 { rest.is_empty() } else { rest.len() == 1 && *rest[0] == *LAST };
        assert!(only_last, "{place}, {name}: {rest:?} beyond batch {number}");
        number
    };
    let [one, two] = FAMILIES.map(of);
    assert_eq!(one, two, "{place}: the families disagree");
    one
}

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
    let path = daxcow_rocksdb::path(path).expect("a path in the pool");
    DB::open_cf_with_opts(options, path, FAMILIES.map(|name| (name, options.clone()))).expect("opens")
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
        write(&database, number, rng.one_in(3));
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
    let families = || FAMILIES.map(|name| (name, Options::default()));
    let read_only = DB::open_cf_with_opts_for_read_only(
        &options(rng),
        daxcow_rocksdb::path(&kept).expect("a path in the pool"),
        families(),
        false,
    );
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
        write(&clone, number, false);
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
