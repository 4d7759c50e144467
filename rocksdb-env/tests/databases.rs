//! Databases of all kinds in a pool, through the `rocksdb` crate.

mod common;

use common::{Fixture, contents, options};
use rocksdb::backup::{BackupEngine, BackupEngineOptions, RestoreOptions};
use rocksdb::checkpoint::Checkpoint;
use rocksdb::{
    DB, MultiThreaded, OptimisticTransactionDB, Options, SingleThreaded, TransactionDB, TransactionDBOptions,
    WriteOptions,
};
use std::time::Duration;

fn in_pool(fixture: &Fixture, name: &str) -> daxcow_rocksdb::DatabasePath {
    daxcow_rocksdb::path(fixture.path(name)).expect("a path in the pool")
}

#[test]
fn what_was_put_is_there_after_reopening() {
    let fixture = Fixture::new();
    for round in 0..3 {
        let database = fixture.open("deep/below/db");
        assert_eq!(database.path(), fixture.path("deep/below/db"));
        for number in 0..1000 {
            database.put(format!("{round}-{number}"), format!("value {number}")).expect("put");
        }
        if round == 1 {
            database.flush().expect("flush");
        }
    }
    let database = fixture.open("deep/below/db");
    assert_eq!(contents(&database).len(), 3000);
    assert_eq!(database.get("2-999").expect("get").as_deref(), Some(&b"value 999"[..]));
    drop(database);
    fixture.assert_sound();
}

#[test]
fn a_database_is_repaired_and_destroyed() {
    let fixture = Fixture::new();
    fixture.open("db").put("key", "value").expect("put");
    DB::destroy(&options(), fixture.path("db")).expect("destroy");
    assert!(!fixture.pool.exists("/db").expect("exists"), "nothing is left");

    let database = fixture.open("db");
    database.put("key", "value").expect("put");
    database.flush().expect("flush");
    drop(database);
    fixture.pool.remove_file("/db/CURRENT").expect("removed");
    DB::repair(&options(), fixture.path("db")).expect("repair");
    assert_eq!(contents(&fixture.open("db")), [("key".to_owned(), "value".to_owned())]);
    fixture.assert_sound();
}

#[test]
fn the_root_of_a_pool_can_be_a_database() {
    let fixture = Fixture::new();
    fixture.open("").put("key", "value").expect("put");
    assert_eq!(contents(&fixture.open("")).len(), 1);
    assert!(fixture.pool.exists("/CURRENT").expect("exists"));
    fixture.assert_sound();
}

#[test]
fn a_missing_database_is_an_error_and_makes_nothing_on_the_host() {
    let fixture = Fixture::new();
    let mut options = options();
    options.create_if_missing(false);
    let error = fixture.try_open("db", &options).expect_err("it is missing");
    assert!(error.to_string().contains("does not exist"), "{error}");
    fixture.assert_sound();
}

#[test]
fn a_path_through_no_pool_is_the_host_s() {
    let fixture = Fixture::new();
    let path = daxcow_rocksdb::path(fixture.host("below/db")).expect("any path");
    DB::open(&options(), path).expect("opens").put("key", "value").expect("put");
    assert!(fixture.host("below/db/CURRENT").exists());
}

#[test]
fn every_way_to_open_a_database_leads_into_the_pool() {
    let fixture = Fixture::new();
    let options = options();
    let families = ["one", "two"];
    {
        let database = DB::open_cf(&options, in_pool(&fixture, "db"), families).expect("opens");
        for name in families {
            let family = database.cf_handle(name).expect("the family is there");
            database.put_cf(family, name, "value").expect("put");
        }
    }
    let mut listed = DB::list_cf(&options, fixture.path("db")).expect("listed");
    listed.sort();
    assert_eq!(listed, ["default", "one", "two"]);
    {
        let path = in_pool(&fixture, "db");
        let read_only = DB::open_cf_for_read_only(&options, path, families, false).expect("opens");
        let one = read_only.cf_handle("one").expect("the family is there");
        assert_eq!(read_only.get_cf(one, "one").expect("get").as_deref(), Some(&b"value"[..]));
    }
    let database =
        rocksdb::DBWithThreadMode::<MultiThreaded>::open_cf(&options, in_pool(&fixture, "db"), families);
    let database = database.expect("opens");
    {
        let (path, own) = (in_pool(&fixture, "db"), in_pool(&fixture, "secondary"));
        let secondary = DB::open_cf_as_secondary(&options, path, own, families).expect("opens");
        let late = database.cf_handle("two").expect("the family is there");
        database.put_cf(&late, "late", "value").expect("put");
        secondary.try_catch_up_with_primary().expect("catches up");
        let two = secondary.cf_handle("two").expect("the family is there");
        assert_eq!(secondary.get_cf(two, "late").expect("get").as_deref(), Some(&b"value"[..]));
    }
    drop(database);
    DB::open_with_ttl(&options, in_pool(&fixture, "ttl"), Duration::from_secs(1000)).expect("opens");
    let pessimistic = TransactionDB::<SingleThreaded>::open_cf(
        &options,
        &TransactionDBOptions::default(),
        in_pool(&fixture, "transactions"),
        families,
    );
    drop(pessimistic.expect("opens"));
    drop(
        OptimisticTransactionDB::<SingleThreaded>::open(&options, in_pool(&fixture, "optimistic"))
            .expect("opens"),
    );
    for directory in ["db", "ttl", "transactions", "optimistic"] {
        assert!(fixture.pool.exists(format!("/{directory}/CURRENT")).expect("exists"), "{directory}");
    }
    fixture.assert_sound();
}

#[test]
fn transactions_commit_and_roll_back() {
    let fixture = Fixture::new();
    let open = || {
        let path = in_pool(&fixture, "db");
        TransactionDB::<SingleThreaded>::open(&options(), &TransactionDBOptions::default(), path)
            .expect("opens")
    };
    let database = open();
    let transaction = database.transaction();
    transaction.put("kept", "1").expect("put");
    assert!(database.get("kept").expect("get").is_none(), "not before the commit");
    transaction.commit().expect("commit");
    let transaction = database.transaction();
    transaction.put("dropped", "1").expect("put");
    transaction.rollback().expect("rollback");
    drop(transaction);
    drop(database);
    let database = open();
    assert!(database.get("kept").expect("get").is_some());
    assert!(database.get("dropped").expect("get").is_none());
}

#[test]
fn one_database_has_one_owner() {
    let fixture = Fixture::new();
    let first = fixture.open("db");
    let error = fixture.try_open("db", &options()).expect_err("it is open");
    assert!(error.to_string().to_lowercase().contains("lock"), "{error}");
    drop(first);
    fixture.open("db");
}

#[test]
fn a_checkpoint_shares_the_tables_with_its_database() {
    let fixture = Fixture::new();
    let database = fixture.open("db");
    let value = vec![7; 1 << 20];
    for number in 0..16 {
        database.put(format!("{number}"), &value).expect("put");
    }
    database.flush().expect("flush");
    let before = fixture.pool.usage().expect("usage").used_bytes;
    let checkpoint = Checkpoint::new(&database).expect("an object");
    checkpoint.create_checkpoint(fixture.path("checkpoint")).expect("a checkpoint");
    let grown = fixture.pool.usage().expect("usage").used_bytes - before;
    assert!(grown < 4 << 20, "the tables are linked, and {grown} bytes were taken");
    database.put("after", "1").expect("put");
    let copy = fixture.open("checkpoint");
    assert_eq!(contents(&copy).len(), 16);
    drop((copy, checkpoint));
    drop(database);
    fixture.assert_sound();
}

#[test]
fn backups_go_out_of_the_pool_and_into_it() {
    let fixture = Fixture::new();
    let outside = tempfile::tempdir().expect("a directory on the host");
    let env = daxcow_rocksdb::env().expect("an Env");
    let back_up = |database: &DB, directory: &std::path::Path| {
        let options = BackupEngineOptions::new(directory).expect("options");
        let mut engine = BackupEngine::open(&options, &env).expect("an engine");
        engine.create_new_backup_flush(database, true).expect("a backup");
    };
    let restore = |directory: &std::path::Path, to: &std::path::Path| {
        let options = BackupEngineOptions::new(directory).expect("options");
        let mut engine = BackupEngine::open(&options, &env).expect("an engine");
        engine.restore_from_latest_backup(to, to, &RestoreOptions::default()).expect("restored");
    };
    let database = fixture.open("db");
    database.put("key", "value").expect("put");

    back_up(&database, &fixture.path("backups"));
    restore(&fixture.path("backups"), &fixture.path("restored"));
    assert_eq!(contents(&fixture.open("restored")), contents(&database));

    let host = outside.path().join("backups");
    back_up(&database, &host);
    let to_host = outside.path().join("restored");
    restore(&host, &to_host);
    assert_eq!(contents(&DB::open(&Options::default(), &to_host).expect("opens")), contents(&database));
    restore(&host, &fixture.path("from host"));
    assert_eq!(contents(&fixture.open("from host")), contents(&database));

    let on_host = DB::open(&options(), &to_host).expect("opens");
    back_up(&on_host, &fixture.path("backups of host"));
    restore(&fixture.path("backups of host"), &fixture.path("host in pool"));
    assert_eq!(contents(&fixture.open("host in pool")), contents(&database));
    drop((on_host, database));
    fixture.assert_sound();
}

#[test]
fn reads_in_place_outlive_the_tables_names() {
    let fixture = Fixture::new();
    let mut options = options();
    options.set_allow_mmap_reads(true);
    options.set_compression_type(rocksdb::DBCompressionType::None);
    options.set_write_buffer_size(64 << 10);
    let database = fixture.try_open("db", &options).expect("opens");
    let fill = |letter: u8| {
        for number in 0..2000 {
            database.put(format!("{number:05}"), [letter; 100]).expect("put");
        }
        database.flush().expect("flush");
    };
    fill(b'a');
    let snapshot = database.snapshot();
    let mut old = snapshot.raw_iterator();
    old.seek_to_first();
    let pinned = database.get_pinned("01000").expect("get").expect("it is there");
    for letter in [b'b', b'c'] {
        fill(letter);
        database.compact_range(None::<&[u8]>, None::<&[u8]>);
    }
    assert_eq!(&*pinned, [b'a'; 100], "what was read in place stays");
    let mut seen = 0;
    while old.valid() {
        assert_eq!(old.value().expect("a value"), [b'a'; 100]);
        old.next();
        seen += 1;
    }
    assert_eq!(seen, 2000);
    drop((pinned, old));
    drop(snapshot);
    assert_eq!(database.get("01000").expect("get").as_deref(), Some(&[b'c'; 100][..]));
    drop(database);
    fixture.assert_sound();
}

#[test]
fn a_full_pool_says_so_and_loses_nothing() {
    let fixture = Fixture::with_size(24 << 20);
    let mut options = options();
    options.set_write_buffer_size(1 << 20);
    options.set_keep_log_file_num(1);
    let database = fixture.try_open("db", &options).expect("opens");
    let mut synced = WriteOptions::default();
    synced.set_sync(true);
    // A flush that found no space stops writers until there is some; they are to be told instead.
    synced.set_no_slowdown(true);
    let failures =
        |database: &rocksdb::DB| database.property_int_value("rocksdb.background-errors").ok().flatten();
    let value: Vec<u8> =
        (0..4096_u32).map(|at| u8::try_from(at.wrapping_mul(2_654_435_761) >> 24).unwrap_or(0)).collect();
    let mut acknowledged = 0;
    let error = loop {
        match database.put_opt(format!("{acknowledged:08}"), &value, &synced) {
            Ok(()) => acknowledged += 1,
            Err(error) if error.kind() == rocksdb::ErrorKind::Incomplete => {
                if failures(&database).is_some_and(|failures| failures > 0) {
                    break None;
                }
                std::thread::sleep(std::time::Duration::from_millis(1));
            }
            Err(error) => break Some(error.to_string()),
        }
        assert!(acknowledged < 100_000, "the pool never fills");
    };
    let says_so = |error: &String| error.contains("No space") || error.contains("NoSpace");
    assert!(error.iter().all(says_so), "{error:?}");
    drop(database);
    fixture.pool.grow(96 << 20).expect("grown");
    let database = fixture.try_open("db", &options).expect("opens");
    assert_eq!(contents(&database).len(), acknowledged);
    synced.set_no_slowdown(false);
    database.put_opt("more", "1", &synced).expect("there is space");
    drop(database);
    fixture.assert_sound();
}
