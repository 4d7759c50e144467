//! What goes wrong below a database reaches it as the right status, and it goes on once that can be: a full pool, lost
//! memory, a failed sync.

#[path = "../common/mod.rs"]
mod common;
mod failing_sync;

use std::time::{Duration, Instant};

use common::batches::{last, open, write};
use common::{Fixture, contents, options};
use daxcow::{CreateOptions, FileOptions, OpenOptions, Pool};
use daxcow_tests::fixture::{assert_clean, open_pool};
use daxcow_tests::place::Place;
use daxcow_tests::poison;
use rocksdb::{DB, ErrorKind, Options, WriteOptions};

/// RocksDB asks every 5 seconds whether there is space again.
const PATIENCE: Duration = Duration::from_secs(60);

/// Bytes that do not compress.
fn value(number: u64) -> Vec<u8> {
    daxcow_tests::rng::pattern(number + 1, 4000)
}

fn small_buffers() -> Options {
    let mut options = options();
    options.set_write_buffer_size(1 << 20);
    options.set_keep_log_file_num(1);
    options
}

/// Puts, and is told of a failure rather than kept waiting.
fn try_put(database: &DB, number: u64) -> Result<(), rocksdb::Error> {
    let mut options = WriteOptions::default();
    options.set_sync(true);
    options.set_no_slowdown(true);
    database.put_opt(format!("{number:08}"), value(number), &options)
}

/// Puts until there is no space; answers how many puts were acknowledged.
fn put_until_full(database: &DB, mut number: u64) -> u64 {
    let failures = || database.property_int_value("rocksdb.background-errors").ok().flatten();
    loop {
        match try_put(database, number) {
            Ok(()) => number += 1,
            // A flush is behind, or has failed.
            Err(error) if error.kind() == ErrorKind::Incomplete => {
                if failures().is_some_and(|failures| failures > 0) {
                    return number;
                }
                std::thread::sleep(Duration::from_millis(1));
            }
            Err(error) => {
                assert!(error.to_string().starts_with("IO error: No space left on device"), "{error}");
                return number;
            }
        }
        assert!(number < 1_000_000, "the pool never fills");
    }
}

/// Puts until one is acknowledged.
fn put_when_possible(database: &DB, number: u64) {
    let begun = Instant::now();
    while let Err(error) = try_put(database, number) {
        assert!(begun.elapsed() < PATIENCE, "no way back: {error}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn assert_holds(database: &DB, count: u64) {
    let mut expected = 0;
    for pair in database.iterator(rocksdb::IteratorMode::Start) {
        let (key, found) = pair.expect("a pair");
        assert_eq!(*key, *format!("{expected:08}").as_bytes());
        assert!(*found == *value(expected), "{expected} has another value");
        expected += 1;
    }
    assert_eq!(expected, count);
}

#[test]
fn writers_go_on_without_reopening_when_there_is_space_again() {
    let fixture = Fixture::with_size(48 << 20);
    let database = fixture.try_open("db", &small_buffers()).expect("it opens");
    let filler = fixture.pool.open_file("/filler", &FileOptions::new().write(true).create(true));
    filler.expect("a file").allocate(0, 16 << 20, false).expect("it takes space");
    fixture.pool.create_snapshot("filled", &["/filler"]).expect("a snapshot");
    fixture.pool.remove_file("/filler").expect("the name goes, and the snapshot keeps the blocks");

    let mut acknowledged = put_until_full(&database, 0);
    assert_holds(&database, acknowledged);
    fixture.pool.delete_snapshot("filled").expect("the snapshot goes");
    put_when_possible(&database, acknowledged);
    acknowledged = put_until_full(&database, acknowledged + 1);
    fixture.pool.grow(96 << 20).expect("it grows");
    for _ in 0..100 {
        put_when_possible(&database, acknowledged);
        acknowledged += 1;
    }
    assert_holds(&database, acknowledged);
    drop(database);
    assert_holds(&fixture.open("db"), acknowledged);
    fixture.assert_sound();
}

#[test]
fn a_lost_page_of_a_table_fails_the_reads_of_its_keys_only() {
    for mmap_reads in [false, true] {
        let fixture = Fixture::new();
        let mut options = small_buffers();
        options.set_allow_mmap_reads(mmap_reads);
        options.set_disable_auto_compactions(true);
        options.set_compression_type(rocksdb::DBCompressionType::None);
        let database = fixture.try_open("db", &options).expect("it opens");
        (0..200).for_each(|number| try_put(&database, number).expect("put"));
        database.flush().expect("flush");
        let table = database.live_files().expect("files").remove(0).name;
        let lost = fixture.place_of(&format!("/db{table}"), 400 << 10);
        if let Err(why) = poison::lose(fixture.pool.path(), lost) {
            println!("SKIPPED: no page can be lost here: {why}");
            return;
        }
        let mut failed = 0;
        for number in 0..200 {
            match database.get(format!("{number:08}")) {
                Ok(found) => assert!(found.is_some_and(|found| found == value(number)), "{number}"),
                Err(error) => {
                    // In place nobody knows before RocksDB has loaded it.
                    assert!(matches!(error.kind(), ErrorKind::IOError | ErrorKind::Corruption), "{error}");
                    let error = database.get(format!("{number:08}")).expect_err("it stays lost");
                    assert_eq!(error.kind(), ErrorKind::IOError, "{error}");
                    assert!((100..104).contains(&number), "{number} does not lie in the lost page: {error}");
                    failed += 1;
                }
            }
        }
        assert!((1..=3).contains(&failed), "{failed} keys lie in the lost page");
        // An iterator ends there, and says so.
        let mut iterator = database.raw_iterator();
        iterator.seek_to_first();
        while iterator.valid() {
            iterator.next();
        }
        assert!(iterator.status().is_err());
        // Writers do not mind.
        try_put(&database, 200).expect("put");
        assert!(database.get("00000200").expect("get").is_some());
        drop(iterator);
        drop(database);
        let problems = fixture.pool.scrub().expect("scrub");
        assert_eq!(problems.len(), 1, "{problems:?}");
    }
}

#[test]
fn after_a_failed_sync_nothing_is_acknowledged_until_the_pool_is_opened_anew() {
    let place = Place::on_disk();
    let path = place.pool();
    Pool::create(&path, &CreateOptions::new().size(64 << 20)).and_then(Pool::close).expect("a new pool");
    let database = open(&small_buffers(), &path.join("db")).expect("it opens");
    (1..=10).for_each(|number| write(&database, number, true).expect("write"));
    failing_sync::fail(true);
    let error = write(&database, 11, true).expect_err("the sync fails");
    assert_eq!(error.kind(), ErrorKind::IOError, "{error}");
    failing_sync::fail(false);
    // What the kernel dropped is not known: the pool is read-only, and says so.
    let error = write(&database, 11, true).expect_err("the sync has failed");
    assert_eq!(error.kind(), ErrorKind::IOError, "{error}");
    let pool = Pool::open_shared(&path, &OpenOptions::new()).expect("this process has it open");
    assert!(pool.info().expect("info").read_only_since.is_some());
    let error = pool.create_dir("/beside").expect_err("nobody writes");
    assert_eq!(error.kind(), daxcow::ErrorKind::ReadOnly, "{error}");
    assert!(last(&database).expect("it can be read") >= 10);
    drop((database, pool));
    let database = open(&small_buffers(), &path.join("db")).expect("it opens");
    let found = last(&database).expect("it is whole");
    assert!((10..=11).contains(&found), "{found} is the last batch");
    write(&database, found + 1, true).expect("write");
    drop(database);
    let database = open(&small_buffers(), &path.join("db")).expect("it opens");
    assert_eq!(last(&database).expect("it is whole"), found + 1);
    assert_eq!(contents(&database), [], "nothing is in the default family");
    drop(database);
    assert_clean(&open_pool(&path));
}
