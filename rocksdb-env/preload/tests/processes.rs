//! Programs with the library loaded look at a database that a program in another process is writing, in place, as a secondary
//! instance, and in snapshots that the command `daxcow` takes meanwhile.

mod common;

use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use common::{daxcow, fixture, has, preloaded, stdout};

const PATIENCE: Duration = Duration::from_secs(60);

/// db_bench, putting ascending numbers at some thousands a second until it is killed.
struct Writer(Child);

impl Writer {
    fn start(database: &Path) -> Writer {
        let started = preloaded("db_bench")
            .args(["--benchmarks=fillseq", "--num=100000000", "--value_size=10", "--compression_type=none"])
            .args(["--benchmark_write_rate_limit=100000", "--disable_auto_compactions"])
            .arg(format!("--db={}", database.display()))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn();
        let mut writer = Writer(started.expect("db_bench starts"));
        let begun = Instant::now();
        // It makes a database, removes it and makes it anew: until then a scan may fail.
        let has_numbers = || {
            let output = ldb_scan(database, &[]);
            output.status.success() && numbers(&stdout(&output)) > 0
        };
        while !has_numbers() {
            assert!(begun.elapsed() < PATIENCE, "db_bench writes nothing");
            writer.assert_runs();
        }
        writer
    }

    fn assert_runs(&mut self) {
        assert!(self.0.try_wait().expect("it is a child").is_none(), "db_bench ended");
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        // One that has ended cannot be killed.
        drop(self.0.kill());
        self.0.wait().expect("it is a child");
    }
}

/// `ldb scan`, with more arguments.
fn ldb_scan(database: &Path, more: &[&str]) -> Output {
    let database = format!("--db={}", database.display());
    preloaded("ldb").arg(database).args(["scan", "--hex"]).args(more).output().expect("ldb runs")
}

/// What it says where it must succeed.
fn scan(database: &Path, more: &[&str]) -> String {
    stdout(&ldb_scan(database, more))
}

/// How many numbers there are as soon as there are more than `before`; never fewer.
fn more_than(before: u64, database: &Path, more: &[&str]) -> u64 {
    let begun = Instant::now();
    loop {
        let found = numbers(&scan(database, more));
        assert!(found >= before, "{more:?}: {found} numbers, and {before} were there");
        if found > before {
            return found;
        }
        assert!(begun.elapsed() < PATIENCE, "{more:?}: nobody sees more than {before} numbers");
    }
}

/// How many numbers there are; they have no gap.
fn numbers(scanned: &str) -> u64 {
    let mut next = 0;
    for line in scanned.lines() {
        let number = line.strip_prefix("0x").and_then(|line| line.get(..16)).expect("a key in hexadecimal");
        assert_eq!(u64::from_str_radix(number, 16), Ok(next), "a consistent prefix has no gap");
        next += 1;
    }
    next
}

#[test]
fn others_read_what_one_process_writes() {
    if !has("ldb") || !has("db_bench") {
        return;
    }
    let fixture = fixture();
    let database = fixture.path("db");
    let mut writer = Writer::start(&database);
    let secondary = format!("--secondary_path={}", fixture.path("secondary").display());
    let mut before = 1;
    for _ in 0..4 {
        // Each sees all that had been written when it began.
        for more in [&[][..], &[secondary.as_str()]] {
            before = more_than(before, &database, more);
        }
        // Only one may write.
        let refused =
            preloaded("ldb").arg(format!("--db={}", database.display())).args(["put", "k", "v"]).output();
        assert!(!refused.expect("ldb runs").status.success());
        writer.assert_runs();
    }
    drop(writer);
    assert!(numbers(&scan(&database, &[])) >= before);
    fixture.assert_nothing_on_the_host();
    assert!(fixture.pool.check().expect("the pool is checked").is_clean());
}

#[test]
fn the_command_takes_snapshots_beside_a_writer() {
    if !has("ldb") || !has("db_bench") {
        return;
    }
    let (fixture, daxcow) = (fixture(), daxcow());
    let database = fixture.path("db");
    let mut writer = Writer::start(&database);
    let run = |arguments: &[&str]| {
        stdout(&Command::new(&daxcow).args(arguments).output().expect("daxcow runs"));
    };
    let place = |name: &str| fixture.path(name).display().to_string();
    let mut before = 1;
    for round in 0..4 {
        before = more_than(before, &database, &[]);
        let name = format!("s{round}");
        run(&["snapshot", "create", &place("db"), &name]);
        let kept = fixture.path(&format!(".snapshots/{name}/db"));
        let found = numbers(&scan(&kept, &[]));
        assert!(found >= before, "{found} numbers are kept, and {before} were there");
        run(&["clone", &place(&format!(".snapshots/{name}/db")), &place(&name)]);
        assert_eq!(numbers(&scan(&fixture.path(&name), &[])), found);
        let put = preloaded("ldb").arg(format!("--db={}", place(&name))).args(["put", "own", "1"]).output();
        assert_eq!(stdout(&put.expect("ldb runs")), "OK\n");
        writer.assert_runs();
        assert_eq!(numbers(&scan(&kept, &[])), found, "the snapshot stays");
    }
    drop(writer);
    fixture.assert_nothing_on_the_host();
    assert!(fixture.pool.check().expect("the pool is checked").is_clean());
}
