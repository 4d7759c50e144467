//! Each subcommand with the smallest sizes: the report is whole, has all sides, and its figures are numbers. What they are is not
//! judged here.

use std::path::Path;
use std::process::Command;

use serde_json::Value;

const PROGRAM: &str = env!("CARGO_BIN_EXE_daxcow-bench");

/// Runs a subcommand with the smallest sizes; its report.
fn report_of(subcommand: &str, arguments: &[&str]) -> (tempfile::TempDir, Value) {
    let directory = tempfile::tempdir().expect("a directory");
    let place = |name: &str| {
        let path = directory.path().join(name);
        std::fs::create_dir(&path).expect("a directory in it");
        path
    };
    let output = Command::new(PROGRAM)
        .args([subcommand, "--tiny", "--rounds", "2"])
        .args(arguments)
        .arg("--disk")
        .arg(place("disk"))
        .arg("--out")
        .arg(place("out"))
        .output()
        .expect("the program starts");
    assert!(output.status.success(), "{subcommand}: {}", String::from_utf8_lossy(&output.stderr));
    assert!(output.stderr.is_empty(), "{subcommand}: {}", String::from_utf8_lossy(&output.stderr));
    let report = read(&directory.path().join("out").join(format!("{subcommand}.json")));
    (directory, report)
}

fn read(path: &Path) -> Value {
    let text = std::fs::read(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    serde_json::from_slice(&text).expect("a report is JSON")
}

fn items<'a>(value: &'a Value, name: &str) -> &'a Vec<Value> {
    value[name].as_array().unwrap_or_else(|| panic!("{name} should be a list in {value}"))
}

fn word<'a>(value: &'a Value, name: &str) -> &'a str {
    value[name].as_str().unwrap_or_else(|| panic!("{name} should be a text in {value}"))
}

/// The median, which is a positive number between the ends.
fn sound(spread: &Value) -> f64 {
    let [median, min, max] = ["median", "min", "max"]
        .map(|name| spread[name].as_f64().unwrap_or_else(|| panic!("{name} in {spread}")));
    assert!(0.0 < min && min <= median && median <= max && max.is_finite(), "{spread}");
    median
}

/// What every report must have; the sides of each table by its name must be among the cells of every row, or of the first row
/// only where a side is left out for large sizes.
fn check(subcommand: &str, expected: &[(&str, &[&str])]) {
    let (directory, report) = report_of(subcommand, &[]);
    for name in ["processor", "kernel", "medium", "flush"] {
        assert!(!word(&report["machine"], name).is_empty(), "{name}");
    }
    assert!(report["machine"]["versions"]["daxcow"].is_string());
    assert_eq!(report["rounds"], 2);
    assert!(word(&report, "command").contains(subcommand));
    assert!(!items(&report, "notes").is_empty());
    let names: Vec<&str> = items(&report, "tables").iter().map(|table| word(table, "name")).collect();
    assert_eq!(names, expected.iter().map(|(name, _)| *name).collect::<Vec<_>>());
    for (table, (name, sides)) in items(&report, "tables").iter().zip(expected) {
        assert!(!items(table, "rows").is_empty(), "{name}");
        for row in items(table, "rows") {
            let found: Vec<&str> = items(row, "cells").iter().map(|cell| word(cell, "side")).collect();
            for side in *sides {
                assert!(found.contains(side), "{name}: {} has {found:?} and not {side}", word(row, "case"));
            }
            for cell in items(row, "cells") {
                assert_eq!(items(cell, "samples").len(), 2, "{name}: {cell}");
                sound(&cell["spread"]);
                let is_reference = table["reference"].is_null() || cell["side"] == table["reference"];
                assert_eq!(cell["ratio"].is_null(), is_reference, "{name}: {cell}");
                if !is_reference {
                    sound(&cell["ratio"]);
                }
            }
        }
        for (kind, magic) in [("svg", &b"<svg"[..]), ("png", &b"\x89PNG"[..])] {
            let picture = directory.path().join("out").join(format!("{subcommand}-{name}.{kind}"));
            let bytes = std::fs::read(&picture).expect("a picture of each table");
            assert!(bytes.starts_with(magic), "{}", picture.display());
        }
    }
    let text = std::fs::read_to_string(directory.path().join(format!("out/{subcommand}.md")))
        .expect("the report as text");
    assert!(text.contains("flush mode: on"), "{text}");
}

#[test]
fn file() {
    let durable: &[&str] =
        &["daxcow", "tmpfs pwrite + fdatasync", "mmap + msync", "floor: non-temporal + fence"];
    let in_place: &[&str] = &[
        "daxcow",
        "tmpfs pwrite + fdatasync, in place",
        "mmap + msync, in place",
        "floor: non-temporal + fence",
    ];
    let appended: &[&str] = &[
        "daxcow",
        "tmpfs write + fdatasync",
        "mmap + msync, long enough before",
        "floor: non-temporal + fence",
    ];
    check(
        "file",
        &[
            ("read", &["daxcow", "tmpfs pread", "floor: memcpy"]),
            ("overwrite-durable", durable),
            ("overwrite", &["daxcow", "tmpfs pwrite", "floor: memcpy"]),
            ("copy-on-write", in_place),
            ("copy-on-write-not-durable", &["daxcow", "tmpfs pwrite, in place", "floor: memcpy"]),
            ("append-durable", appended),
            ("append", &["daxcow", "tmpfs write", "floor: memcpy"]),
        ],
    );
}

#[test]
fn sqlite() {
    let alone: &[&str] = &[
        "daxcow delete",
        "daxcow WAL",
        "daxcow delete, exclusive",
        "unix delete",
        "unix memory",
        "unix WAL",
        "unix WAL, mmap",
        "unix WAL, exclusive",
        "memdb",
        "daxcow delete, disk",
        "unix delete, disk",
        "unix WAL, disk",
    ];
    let shared: &[&str] =
        &["daxcow delete", "daxcow WAL", "unix delete", "unix memory", "unix WAL", "unix WAL, mmap"];
    check(
        "sqlite",
        &[
            ("insert-4096", alone),
            ("update-4096", alone),
            ("read-4096", alone),
            ("insert-1024", alone),
            ("update-1024", alone),
            ("read-1024", alone),
            ("processes", shared),
        ],
    );
}

#[test]
fn snapshot() {
    let copies: &[&str] = &["daxcow snapshot", "daxcow clone", "cp"];
    let trees: &[&str] = &["daxcow snapshot", "daxcow clone", "cp -r on tmpfs"];
    let databases: &[&str] =
        &["SQL daxcow_snapshot()", "SQL daxcow_clone()", "VACUUM INTO", "SQLite backup", "cp"];
    check(
        "snapshot",
        &[
            ("create-by-size", copies),
            ("create-cold-by-size", copies),
            ("delete-by-size", copies),
            ("create-by-extents", copies),
            ("create-cold-by-extents", copies),
            ("delete-by-extents", copies),
            ("first-write", &["daxcow snapshot", "daxcow clone"]),
            ("create-by-files", trees),
            ("create-cold-by-files", trees),
            ("delete-by-files", trees),
            ("databases", databases),
            ("databases-cold", databases),
        ],
    );
}

#[test]
fn recovery() {
    let sides: &[&str] = &["after a kill", "after a clean close"];
    let with_floor: &[&str] = &["after a kill", "after a clean close", "reading as many bytes"];
    check("recovery", &[("mapped", with_floor), ("fragmented", with_floor), ("scattered", sides)]);
}

#[test]
fn scaling() {
    let sides: &[&str] = &["daxcow", "tmpfs"];
    check(
        "scaling",
        &[
            ("beside", sides),
            ("gain", sides),
            ("4-kib-reads-by-file-size", sides),
            ("4-kib-overwrites-by-file-size", sides),
            ("4-kib-reads-by-fragments", sides),
            ("4-kib-overwrites-by-fragments", sides),
            ("create-and-remove-a-file-by-entries", sides),
            ("look-a-file-up-by-entries", sides),
            ("snapshots", &["create + delete a snapshot", "overwrite, first since", "read"]),
        ],
    );
}

#[cfg(feature = "rocksdb")]
#[test]
fn rocksdb() {
    check(
        "rocksdb",
        &[
            ("workloads", &["daxcow", "posix"]),
            (
                "copies",
                &[
                    "daxcow snapshot, not flushed first",
                    "daxcow snapshot, memtables flushed",
                    "Checkpoint on daxcow",
                    "Checkpoint on posix",
                ],
            ),
        ],
    );
}

#[test]
fn flushing_can_be_turned_off() {
    let (_directory, report) = report_of("file", &["--flush", "off"]);
    assert!(word(&report["machine"], "flush").starts_with("off"));
}

#[test]
fn what_a_script_has_measured_becomes_a_report() {
    let directory = tempfile::tempdir().unwrap();
    let measured = directory.path().join("measured.tsv");
    let import = |lines: &str| {
        std::fs::write(&measured, lines).unwrap();
        Command::new(PROGRAM)
            .args([
                "import", "--name", "script", "--title", "A script", "--unit", "ops/s", "--better", "higher",
            ])
            .args([
                "--reference",
                "ours",
                "--note",
                "one",
                "--library",
                "thing 1.2",
                "--command",
                "script.sh",
            ])
            .args(["--medium", "/dev/shm", "--out"])
            .arg(directory.path())
            .arg(&measured)
            .output()
            .unwrap()
    };
    let output = import("a\ttheirs\t5\na\tours\t10\nb\tours\t3\nb\ttheirs\t6\n");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let report = read(&directory.path().join("script.json"));
    assert_eq!(report["machine"]["versions"]["thing"], "1.2");
    let ratios: Vec<f64> = items(&report["tables"][0], "rows")
        .iter()
        .map(|row| sound(&items(row, "cells")[1]["ratio"]))
        .collect();
    assert_eq!(ratios, [2.0, 0.5]);

    let output = import("a\ttheirs\tmany\n");
    assert!(!output.status.success());
    assert!(String::from_utf8_lossy(&output.stderr).contains("line 1: many is no number"));
}
