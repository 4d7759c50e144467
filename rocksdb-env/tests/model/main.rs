//! Random steps on a database in a pool and on one on the host, which RocksDB's default Env serves: after every step both
//! answer the same.
//!
//! `DAXCOW_SEED` replays one run, `DAXCOW_SECONDS` says how long new ones are begun, `DAXCOW_STEPS` how long each is.

#[path = "../common/mod.rs"]
mod common;
mod database;
mod step;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use common::Fixture;
use database::{Content, Database, options};
use daxcow::RollbackOptions;
use daxcow_tests::rng::{Rng, number_from_env, seed_from_env};
use rocksdb::{DB, Env, Options};
use step::{Step, Steps};

/// How the FileSystem is used, which must make no difference to what a database holds.
fn vary(options: &mut Options, rng: &mut Rng) {
    match rng.below(3) {
        0 => options.set_allow_mmap_reads(true),
        1 => options.set_use_direct_reads(true),
        _ => {}
    }
    options.set_use_direct_io_for_flush_and_compaction(rng.one_in(3));
    options.set_recycle_log_file_num(rng.index(3));
    options.set_use_fsync(rng.one_in(2));
    // RocksDB takes one of the two.
    match rng.below(3) {
        0 => options.set_enable_pipelined_write(true),
        1 => options.set_atomic_flush(true),
        _ => {}
    }
    options.set_bytes_per_sync(*rng.pick(&[0, 4096]));
    options.set_manual_wal_flush(rng.one_in(4));
    options.set_max_open_files(*rng.pick(&[-1, 20]));
}

/// The two databases.
struct Pair {
    fixture: Fixture,
    ours: Option<Database>,
    host: Option<Database>,
    our_options: Options,
    host_options: Options,
    /// What each snapshot of the pool must hold.
    snapshots: BTreeMap<String, Content>,
    made: u64,
}

impl Pair {
    fn new(rng: &mut Rng) -> Pair {
        let mut our_options = options(&daxcow_rocksdb::env().expect("an Env"));
        vary(&mut our_options, rng);
        let host_options = options(&Env::new().expect("the default Env"));
        let (fixture, snapshots) = (Fixture::with_size(256 << 20), BTreeMap::new());
        std::fs::create_dir(fixture.host("beside")).expect("a directory on the host");
        let mut pair =
            Pair { fixture, ours: None, host: None, our_options, host_options, snapshots, made: 0 };
        pair.open();
        pair
    }

    fn on_host(&self, name: &str) -> PathBuf {
        self.fixture.host("beside").join(name)
    }

    fn open_ours(&self, name: &str) -> Database {
        let path = self.fixture.path(name);
        Database::open(&self.our_options, daxcow_rocksdb::path(&path).expect("a path in the pool"), &path)
    }

    fn open(&mut self) {
        self.ours = Some(self.open_ours("db"));
        let path = self.on_host("db");
        self.host = Some(Database::open(&self.host_options, &path, &path));
    }

    fn close(&mut self) {
        (self.ours, self.host) = (None, None);
    }

    /// Does the same to both, and fails unless they answer the same.
    fn both<T: PartialEq>(&mut self, act: impl Fn(&mut Database) -> T) {
        let ours = act(self.ours.as_mut().expect("it is open"));
        let host = act(self.host.as_mut().expect("it is open"));
        assert!(ours == host, "the database in the pool answers otherwise");
    }

    fn content(&self) -> Content {
        self.host.as_ref().expect("it is open").content()
    }

    fn step(&mut self, step: &Step) {
        self.made += 1;
        match step {
            Step::Write { changes, sync } => self.both(|database| database.write(changes, *sync)),
            Step::Read(family, keys) => self.both(|database| database.read(*family, keys)),
            Step::Walk { family, from, forward, pairs, turned } => {
                self.both(|database| database.walk(*family, from, *forward, *pairs, *turned));
            }
            Step::Hold { family, changes } => self.both(|database| database.hold(*family, changes)),
            Step::Flush(family) => self.both(|database| database.flush(*family)),
            Step::Compact(family, from, to) => self.both(|database| database.compact(*family, from, to)),
            Step::Ingest(family, pairs) => {
                let (ours, host) = (self.fixture.path("ingested"), self.on_host("ingested"));
                self.ours.as_ref().expect("it is open").ingest(*family, &ours, pairs);
                self.host.as_ref().expect("it is open").ingest(*family, &host, pairs);
            }
            Step::Reopen => {
                self.close();
                self.open();
                self.both(|database| database.content());
            }
            Step::CreateFamily(name) => self.both(|database| database.create_family(name)),
            Step::DropFamily(family) => self.both(|database| database.drop_family(*family)),
            Step::Checkpoint => self.checkpoint(),
            Step::Snapshot(name) => self.snapshot(name),
            Step::Clone { snapshot, changes } => self.clone_and_write(snapshot.as_deref(), changes),
            Step::Rollback(name) => self.roll_back(name),
            Step::DropSnapshot(name) => {
                self.assert_kept(name);
                self.fixture.pool.delete_snapshot(name).expect("the snapshot goes");
                self.snapshots.remove(name);
            }
        }
    }

    fn checkpoint(&mut self) {
        self.ours.as_ref().expect("it is open").checkpoint(&self.fixture.path("checkpoint"));
        let content = self.content();
        assert!(self.open_ours("checkpoint").content() == content, "the checkpoint holds something else");
        DB::destroy(&self.our_options, self.fixture.path("checkpoint")).expect("destroyed");
    }

    fn snapshot(&mut self, name: &str) {
        // With manual_wal_flush, what was acknowledged is where RocksDB has it: in its own memory.
        self.ours.as_ref().expect("it is open").write_out();
        self.fixture.pool.create_snapshot(name, &["/db"]).expect("a snapshot");
        self.snapshots.insert(name.to_owned(), self.content());
        self.assert_kept(name);
    }

    fn assert_kept(&self, name: &str) {
        let path = self.fixture.path(&format!(".snapshots/{name}/db"));
        let in_pool = daxcow_rocksdb::path(&path).expect("a path in the pool");
        let kept = Database::open_read_only(&self.our_options, in_pool, &path).content();
        assert!(kept == self.snapshots[name], "the snapshot {name} holds something else");
    }

    fn clone_and_write(&mut self, snapshot: Option<&str>, changes: &[step::Change]) {
        self.ours.as_ref().expect("it is open").write_out();
        let (from, content) = match snapshot {
            Some(name) => (format!(".snapshots/{name}/db"), self.snapshots[name].clone()),
            None => ("db".to_owned(), self.content()),
        };
        daxcow_rocksdb::clone(self.fixture.path(&from), self.fixture.path("clone")).expect("a clone");
        let clone = self.open_ours("clone");
        assert!(clone.content() == content, "the clone holds something else");
        clone.write(changes, true);
        (0..clone.families.len()).for_each(|family| clone.compact(family, b"", b"z"));
        let written = clone.content();
        drop(clone);
        assert!(
            self.open_ours("clone").content() == written,
            "the clone holds something else after reopening"
        );
        self.fixture.pool.remove_dir_all("/clone").expect("the clone goes");
        self.both(|database| database.content());
    }

    fn roll_back(&mut self, name: &str) {
        self.close();
        self.fixture.pool.rollback(name, RollbackOptions { force: false }).expect("rolled back");
        DB::destroy(&self.host_options, self.on_host("db")).expect("destroyed");
        self.open();
        let host = self.host.as_mut().expect("it is open");
        for (family, (name, pairs)) in self.snapshots[name].iter().enumerate() {
            if family > 0 {
                host.create_family(name);
            }
            for (key, value) in pairs {
                host.write(&[step::Change::Put(family, key.to_vec(), value.to_vec())], false);
            }
        }
        self.both(|database| database.content());
    }
}

/// One run of `steps` steps.
fn run(seed: u64, steps: u64) {
    let mut rng = Rng::new(seed);
    let mut pair = Pair::new(&mut rng);
    let mut source = Steps::new(rng);
    for number in 0..steps {
        let step = source.next();
        println!("step {number}: {}", format!("{step:.0?}").chars().take(60).collect::<String>());
        pair.step(&step);
    }
    pair.both(|database| database.content());
    pair.snapshots.keys().for_each(|name| pair.assert_kept(name));
    pair.close();
    let report = pair.fixture.pool.check().expect("the pool is checked");
    assert!(report.is_clean(), "{:?}", report.problems);
}

#[test]
fn a_database_in_a_pool_is_as_one_on_the_host() {
    let end = Instant::now() + Duration::from_secs(number_from_env("DAXCOW_SECONDS", 12));
    let steps = number_from_env("DAXCOW_STEPS", 300);
    let replayed = std::env::var_os("DAXCOW_SEED").is_some();
    let first = seed_from_env(1);
    for seed in first.. {
        println!("replay: DAXCOW_SEED={seed} cargo test -p daxcow-rocksdb --test model");
        run(seed, steps);
        if Instant::now() > end || replayed && std::env::var_os("DAXCOW_SECONDS").is_none() {
            println!("{} runs of {steps} steps", seed - first + 1);
            return;
        }
    }
}
