//! Several processes on one pool at once: this one through the library, and others through the binary.

use std::process;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use daxcow::{File, FileOptions, OpenOptions, Pool};

use crate::support::{Sandbox, pattern};

fn open(sandbox: &Sandbox, file: &str) -> (Pool, File) {
    let pool = Pool::open(sandbox.path("app.pool"), &OpenOptions::new()).unwrap();
    let file = pool.open_file(file, &FileOptions::new().read(true).write(true).create(true)).unwrap();
    (pool, file)
}

#[test]
fn info_names_the_other_process() {
    let sandbox = Sandbox::with_pool();
    let (_pool, _file) = open(&sandbox, "file");
    let info = sandbox.json(["info", "app.pool", "--json"]);
    let members = info["members"].as_array().unwrap();
    assert_eq!(members.len(), 2, "{info}");
    let other = members.iter().find(|member| member["this"] == false).unwrap();
    assert_eq!(other["pid"], process::id());
    assert_eq!(other["alive"], true);
}

#[test]
fn each_sees_what_the_other_did() {
    let sandbox = Sandbox::with_pool();
    let (pool, file) = open(&sandbox, "file");
    file.write_at(b"from the library", 0).unwrap();
    assert_eq!(sandbox.cat("app.pool/file"), b"from the library");
    sandbox.put("app.pool/other", "from the binary");
    let other = pool.open_file("other", &FileOptions::new().read(true)).unwrap();
    let mut found = [0; 15];
    other.read_exact_at(&mut found, 0).unwrap();
    assert_eq!(&found, b"from the binary");
    sandbox.ok(["grow", "app.pool", "128M"]);
    file.write_at(&pattern(80 << 20, 1), 0).unwrap();
    assert_eq!(sandbox.cat("app.pool/file"), pattern(80 << 20, 1));
}

#[test]
fn rollback_waits_for_nobody_and_says_who_has_the_file_open() {
    let sandbox = Sandbox::with_pool();
    let (_pool, file) = open(&sandbox, "file");
    file.write_at(b"old", 0).unwrap();
    sandbox.ok(["snapshot", "create", "app.pool", "monday"]);
    file.write_at(b"new", 0).unwrap();
    sandbox.fails(["snapshot", "rollback", "app.pool", "monday"], &["monday", &process::id().to_string()]);
    assert_eq!(sandbox.cat("app.pool/file"), b"new");
    sandbox.ok(["snapshot", "rollback", "app.pool", "monday", "--force"]);
    assert_eq!(sandbox.cat("app.pool/file"), b"old");
    assert!(file.is_stale().unwrap());
    file.write_at(b"lost", 0).ok();
    assert_eq!(sandbox.cat("app.pool/file"), b"old");
}

/// Raises its flag when it goes, also when a failed assertion takes it along.
struct RaiseOnDrop<'a>(&'a AtomicBool);

impl Drop for RaiseOnDrop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// One process commits the same number at both ends of a file of many blocks; in every copy and snapshot the two agree.
#[test]
fn copies_and_snapshots_are_of_one_instant_while_another_process_writes() {
    const ENDS: [u64; 2] = [0, 4 << 20];
    let sandbox = Sandbox::with_pool();
    let (_pool, file) = open(&sandbox, "file");
    let commit = |number: u64| {
        let mut batch = file.batch().unwrap();
        for end in ENDS {
            batch.write_at(&number.to_le_bytes(), end).unwrap();
        }
        batch.commit().unwrap();
    };
    file.write_at(&pattern(4 << 20, 1), 0).unwrap();
    commit(0);
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        let writer = scope.spawn(|| {
            let mut number = 0;
            while !done.load(Ordering::Relaxed) {
                number += 1;
                commit(number);
            }
            number
        });
        let stop_writer = RaiseOnDrop(&done);
        let mut seen = Vec::new();
        for round in 0..10 {
            let name = format!("round{round}");
            sandbox.ok(["snapshot", "create", "app.pool", &name]);
            let kept = sandbox.cat(&format!("app.pool/.snapshots/{name}/file"));
            for copy in [sandbox.cat("app.pool/file"), kept] {
                let numbers = ENDS.map(|end| copy[usize::try_from(end).unwrap()..][..8].to_vec());
                assert_eq!(numbers[0], numbers[1], "round {round}");
                seen.push(numbers[0].clone());
            }
        }
        drop(stop_writer);
        assert!(writer.join().unwrap() > 100, "the writer was held up");
        seen.dedup();
        assert!(seen.len() > 10, "the copies show only {} states", seen.len());
    });
    sandbox.check();
}

#[test]
fn many_binaries_at_once_do_not_disturb_each_other() {
    let sandbox = Sandbox::with_pool();
    thread::scope(|scope| {
        for number in 0..4_u8 {
            let sandbox = &sandbox;
            scope.spawn(move || {
                let host = format!("host{number}");
                let file = format!("app.pool/file{number}");
                for round in 0..5 {
                    let contents = pattern(200_000, number * 16 + round);
                    sandbox.write(&host, &contents);
                    sandbox.ok(["cp", &host, &file]);
                    sandbox.ok(["snapshot", "create", "app.pool", &format!("{number}-{round}")]);
                    assert_eq!(sandbox.cat(&file), contents);
                }
            });
        }
    });
    assert_eq!(sandbox.ls("app.pool/.snapshots").len(), 20);
    for number in 0..4_u8 {
        for round in 0..5 {
            let kept = sandbox.cat(&format!("app.pool/.snapshots/{number}-{round}/file{number}"));
            assert_eq!(kept, pattern(200_000, number * 16 + round));
        }
    }
    sandbox.check();
}
