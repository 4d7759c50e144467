//! Snapshots of databases while they are written, and clones of those.

mod common;

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use common::{Fixture, contents, options};
use rocksdb::{DB, Options, WriteBatch};

const FAMILIES: [&str; 2] = ["one", "two"];

fn open_families(fixture: &Fixture, name: &str, options: &Options) -> DB {
    let path = daxcow_rocksdb::path(fixture.path(name)).expect("a path in the pool");
    DB::open_cf(options, path, FAMILIES).expect("the database opens")
}

fn open_read_only(fixture: &Fixture, name: &str) -> DB {
    let path = daxcow_rocksdb::path(fixture.path(name)).expect("a path in the pool");
    DB::open_cf_for_read_only(&options(), path, FAMILIES, false).expect("the snapshot opens")
}

/// The numbers in both families, which must agree and have no gap.
fn numbers(database: &DB) -> u64 {
    let counted = FAMILIES.map(|name| {
        let family = database.cf_handle(name).expect("the family is there");
        let mut next = 0;
        for pair in database.iterator_cf(family, rocksdb::IteratorMode::Start) {
            let (key, _) = pair.expect("a pair");
            assert_eq!(&*key, format!("{next:010}").as_bytes(), "a consistent prefix has no gap");
            next += 1;
        }
        next
    });
    assert_eq!(counted[0], counted[1], "the families agree");
    counted[0]
}

#[test]
fn a_snapshot_under_load_has_all_that_was_acknowledged_and_a_clone_goes_on() {
    let fixture = Fixture::new();
    let mut options = options();
    options.set_write_buffer_size(256 << 10);
    options.set_max_background_jobs(2);
    let database = open_families(&fixture, "db", &options);
    let (done, acknowledged, allowed) = (AtomicBool::new(false), AtomicU64::new(0), AtomicU64::new(0));
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let families = FAMILIES.map(|name| database.cf_handle(name).expect("the family is there"));
            let mut number = 0;
            while !done.load(Ordering::Relaxed) {
                if number == allowed.load(Ordering::Relaxed) {
                    std::thread::yield_now();
                    continue;
                }
                let mut batch = WriteBatch::default();
                for family in families {
                    batch.put_cf(family, format!("{number:010}"), [b'v'; 200]);
                }
                database.write(batch).expect("write");
                number += 1;
                acknowledged.store(number, Ordering::Release);
            }
        });
        for round in 0..8_u64 {
            // Always more than what is waited for, and never so much that the pool could fill.
            allowed.store((round + 2) * 3000, Ordering::Relaxed);
            while acknowledged.load(Ordering::Acquire) < round * 3000 + 500 {
                std::thread::yield_now();
            }
            let before = acknowledged.load(Ordering::Acquire);
            let name = format!("s{round}");
            fixture.pool.create_snapshot(&name, &["/db"]).expect("a snapshot");
            let after = acknowledged.load(Ordering::Acquire);
            let kept = numbers(&open_read_only(&fixture, &format!(".snapshots/{name}/db")));
            // One more may have been written and not yet acknowledged.
            assert!((before..=after + 1).contains(&kept), "{kept} are kept of {before} to {after}");

            let clone = format!("clone{round}");
            daxcow_rocksdb::clone(fixture.path(&format!(".snapshots/{name}/db")), fixture.path(&clone))
                .expect("a clone");
            let cloned = open_families(&fixture, &clone, &options);
            assert_eq!(numbers(&cloned), kept);
            cloned.put("own", "1").expect("put");
        }
        done.store(true, Ordering::Relaxed);
    });
    assert_eq!(numbers(&database), acknowledged.load(Ordering::Acquire));
    assert!(database.get("own").expect("get").is_none(), "the original knows nothing of its clones");
    drop(database);
    fixture.assert_sound();
}

#[test]
fn a_flushed_snapshot_has_nothing_to_replay() {
    let fixture = Fixture::new();
    let database = open_families(&fixture, "below/db", &options());
    for name in FAMILIES {
        let family = database.cf_handle(name).expect("the family is there");
        database.put_cf(family, format!("{:010}", 0), "value").expect("put");
    }
    database.put("default too", "value").expect("put");
    let path = daxcow_rocksdb::snapshot(&database, "flushed").expect("a snapshot");
    assert_eq!(path, fixture.path(".snapshots/flushed/below/db").canonicalized());
    database.put("later", "value").expect("put");

    daxcow_rocksdb::clone(&path, fixture.path("clone")).expect("a clone");
    for entry in fixture.pool.read_dir("/clone").expect("listed") {
        if entry.name.to_string_lossy().ends_with(".log") {
            let log = std::path::Path::new("/clone").join(&entry.name);
            fixture.pool.remove_file(log).expect("removed");
        }
    }
    let clone = open_families(&fixture, "clone", &options());
    assert_eq!(numbers(&clone), 1);
    assert_eq!(contents(&clone), [("default too".to_owned(), "value".to_owned())]);
}

#[test]
fn a_rollback_brings_back_what_was() {
    let fixture = Fixture::new();
    let database = fixture.open("db");
    database.put("key", "old").expect("put");
    fixture.pool.create_snapshot("before", &["/db"]).expect("a snapshot");
    database.put("key", "new").expect("put");
    let busy = fixture.pool.rollback("before", daxcow::RollbackOptions { force: false });
    assert_eq!(busy.expect_err("the database is open").kind(), daxcow::ErrorKind::Busy);
    drop(database);
    fixture.pool.rollback("before", daxcow::RollbackOptions { force: false }).expect("rolled back");
    assert_eq!(contents(&fixture.open("db")), [("key".to_owned(), "old".to_owned())]);
    fixture.assert_sound();
}

#[test]
fn a_snapshot_refuses_to_be_written() {
    let fixture = Fixture::new();
    fixture.open("db").put("key", "value").expect("put");
    fixture.pool.create_snapshot("s", &["/db"]).expect("a snapshot");
    let error = fixture.try_open(".snapshots/s/db", &options()).expect_err("it is read-only");
    assert!(error.to_string().contains("Read-only") || error.to_string().contains("snapshot"), "{error}");
}

trait Canonicalized {
    fn canonicalized(&self) -> std::path::PathBuf;
}

impl Canonicalized for std::path::PathBuf {
    /// The path with its pool's links resolved.
    fn canonicalized(&self) -> std::path::PathBuf {
        daxcow::Place::find(self).expect("found").expect("in the pool").host_path()
    }
}
