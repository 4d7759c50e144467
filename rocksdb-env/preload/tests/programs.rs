//! Unmodified programs of Debian's rocksdb-tools with the library loaded.

mod common;

use std::process::{Command, Output};

use common::{fixture, has, preloaded, stdout};
use daxcow::Place;

fn ldb(database: &std::path::Path, arguments: &[&str]) -> Output {
    let database = format!("--db={}", database.display());
    preloaded("ldb").arg(database).args(arguments).output().expect("ldb runs")
}

#[test]
fn ldb_and_sst_dump_work_in_a_pool() {
    if !has("ldb") || !has("sst_dump") {
        return;
    }
    let fixture = fixture();
    let database = fixture.path("db");
    assert_eq!(stdout(&ldb(&database, &["--create_if_missing", "put", "one", "1"])), "OK\n");
    assert_eq!(stdout(&ldb(&database, &["put", "two", "2"])), "OK\n");
    let scanned = "one : 1\ntwo : 2\n";
    assert_eq!(stdout(&ldb(&database, &["scan"])), scanned);
    stdout(&ldb(&database, &["compact"]));
    let dumped =
        preloaded("sst_dump").arg(format!("--file={}", database.display())).arg("--command=scan").output();
    let dumped = stdout(&dumped.expect("sst_dump runs"));
    assert!(dumped.contains("'one' seq:0, type:1 => 1") && dumped.contains("'two'"), "{dumped}");

    let checkpoint = fixture.path("checkpoint");
    stdout(&ldb(&database, &["checkpoint", &format!("--checkpoint_dir={}", checkpoint.display())]));
    assert_eq!(stdout(&ldb(&database, &["delete", "one"])), "OK\n");
    assert_eq!(stdout(&ldb(&checkpoint, &["scan"])), scanned);
    assert_eq!(stdout(&ldb(&database, &["scan"])), "two : 2\n");

    let backups = format!("--backup_dir={}", fixture.path("backups").display());
    stdout(&ldb(&database, &["backup", &backups]));
    stdout(&ldb(&fixture.path("restored"), &["restore", &backups]));
    assert_eq!(stdout(&ldb(&fixture.path("restored"), &["scan"])), "two : 2\n");
    fixture.assert_nothing_on_the_host();
    assert!(fixture.pool.check().expect("the pool is checked").is_clean());
}

#[test]
fn what_lies_on_the_host_stays_there() {
    if !has("ldb") {
        return;
    }
    let fixture = fixture();
    let database = fixture.host("db");
    assert_eq!(stdout(&ldb(&database, &["--create_if_missing", "put", "k", "v"])), "OK\n");
    assert!(database.join("CURRENT").exists());
    assert!(!fixture.pool.exists("/db").expect("exists"));
    // From the host into the pool: the files are copied, since no link leads there.
    let backups = format!("--backup_dir={}", fixture.path("backups").display());
    stdout(&ldb(&database, &["backup", &backups]));
    let restored = fixture.path("restored");
    stdout(&ldb(&restored, &["restore", &backups]));
    assert_eq!(stdout(&ldb(&restored, &["scan"])), "k : v\n");
}

#[test]
fn a_database_is_locked_for_all_processes() {
    if !has("ldb") {
        return;
    }
    let fixture = fixture();
    let database = fixture.path("db");
    stdout(&ldb(&database, &["--create_if_missing", "put", "k", "v"]));
    let lock = Place::find(database.join("LOCK")).expect("found").expect("in the pool");
    let options = daxcow::FileOptions::new().read(true).write(true);
    let lock = lock.pool.open_file(&lock.path, &options).expect("the lock file opens");
    assert!(lock.try_lock(0, daxcow::LockMode::Exclusive).expect("locked"));
    let refused = ldb(&database, &["put", "k", "w"]);
    let said =
        String::from_utf8_lossy(&refused.stderr).into_owned() + &String::from_utf8_lossy(&refused.stdout);
    assert!(!refused.status.success(), "{said}");
    assert!(said.contains("LOCK: Resource temporarily unavailable"), "{said}");
    // Reading needs no lock.
    assert_eq!(stdout(&ldb(&database, &["scan"])), "k : v\n");
    drop(lock);
    assert_eq!(stdout(&ldb(&database, &["put", "k", "w"])), "OK\n");
}

#[test]
fn addresses_name_the_file_system_and_wrong_ones_are_refused() {
    if !has("db_bench") {
        return;
    }
    let fixture = fixture();
    let pool = fixture.path("").display().to_string();
    let run = |flag: &str, address: &str| {
        preloaded("db_bench")
            .args(["--benchmarks=fillseq,readseq", "--num=1000", "--disable_auto_compactions"])
            .arg(format!("--db={}", fixture.path("db").display()))
            .arg(format!("--{flag}={address}"))
            .output()
            .expect("db_bench runs")
    };
    for flag in ["fs_uri", "env_uri"] {
        for address in ["daxcow://".to_owned(), format!("daxcow://{pool}")] {
            let said = stdout(&run(flag, &address));
            assert!(said.contains("readseq"), "{flag}={address}: {said}");
        }
        for address in ["daxcow:///nowhere", "daxcow:///tmp", "daxcow:", "daxcow:/x", "daxcow:\u{1}"] {
            let refused = run(flag, address);
            let said = String::from_utf8_lossy(&refused.stderr);
            assert_eq!(refused.status.code(), Some(1), "{flag}={address}: {said}");
            assert!(said.contains("Failed creating env"), "{flag}={address}: {said}");
        }
        // Another scheme is not ours: what becomes of it is the program's matter, and does not change.
        let with = run(flag, "foo://x").status;
        let without = Command::new("db_bench")
            .args(["--benchmarks=fillseq", "--num=10"])
            .arg(format!("--db={}", fixture.host("unknown").display()))
            .arg(format!("--{flag}=foo://x"))
            .output()
            .expect("db_bench runs");
        assert_eq!(with, without.status, "{flag}=foo://x");
    }
    assert!(fixture.pool.exists("/db/CURRENT").expect("exists"));
}

#[test]
fn db_bench_runs_its_benchmarks_in_a_pool() {
    if !has("db_bench") {
        return;
    }
    let fixture = fixture();
    let benchmarks =
        "fillseq,readseq,readrandom,overwrite,readwhilewriting,compact,readmissing,deleterandom,fillsync";
    for more in ["--mmap_read=false", "--mmap_read=true"] {
        let output = preloaded("db_bench")
            .arg(format!("--benchmarks={benchmarks}"))
            .args([
                "--num=20000",
                "--reads=5000",
                "--write_buffer_size=262144",
                "--compression_type=none",
                more,
            ])
            .arg(format!("--db={}", fixture.path("bench").display()))
            .output()
            .expect("db_bench runs");
        let said = stdout(&output);
        for benchmark in benchmarks.split(',') {
            assert!(said.contains(&format!("{benchmark:<12} :")), "{benchmark} with {more}: {said}");
        }
        assert!(said.contains("(5000 of 5000 found)"), "{said}");
    }
    fixture.assert_nothing_on_the_host();
    assert!(fixture.pool.check().expect("the pool is checked").is_clean());
}
