//! Every method of FileSystem and of its files against its contract: `contract.cc` calls them in a pool and, through the same
//! library, on the host, where the posix FileSystem serves them. The answers must be the same but for a list.

mod common;

use std::path::PathBuf;

use common::{compiled, fixture, preloaded, stdout};

/// Where the posix FileSystem of RocksDB 7.8 falls short: what was asked, its answer, ours.
const BETTER: [(&str, &str, &str); 13] = [
    // It takes a read of nothing at a place within the file for an error.
    ("copied, Read of nothing within", "5.9 io path", "ok"),
    // It asks the file system for a generation, and tmpfs has none.
    ("copied, the unique id stays", "no", "yes"),
    ("in place, the unique id stays", "no", "yes"),
    // Nothing has to be fetched: saying so spares RocksDB a buffer.
    ("in place, Prefetch", "3.0 not-supported", "ok"),
    ("GetWriteLifeTimeHint", "0", "2"),
    // The size of the valid data, as the contract says.
    ("GetFileSize of a reopened file", "0", "5"),
    ("Truncate by name", "3.0 not-supported", "ok"),
    ("truncated by name", "7 bytes content", "3 bytes con"),
    ("Truncate up", "3.0 not-supported", "ok"),
    ("zeros", "7 bytes content", "6 bytes con000"),
    ("Truncate missing", "3.0 not-supported", "5.9 io path"),
    ("NewDirectory of a file", "ok", "5.0 io"),
    ("GetUniqueId of a directory", "none", "some"),
];

#[test]
fn every_method_answers_as_the_posix_file_system_does() {
    let fixture = fixture();
    let programs = tempfile::tempdir().expect("a directory for the program");
    let program = compiled(programs.path(), "contract", &[]);
    std::fs::create_dir(fixture.host("host")).expect("a directory on the host");
    fixture.pool.create_dir("/in").expect("a directory in the pool");
    let run = |root: PathBuf| stdout(&preloaded(&program).arg(root).output().expect("the program runs"));
    let (host, pool) = (run(fixture.host("host")), run(fixture.path("in")));
    assert!(fixture.pool.exists("/in/LOCK").expect("exists"), "it ran in the pool");

    let mut better = BETTER.to_vec();
    assert_eq!(host.lines().count(), pool.lines().count());
    for (ours, theirs) in pool.lines().zip(host.lines()) {
        let (what, answer) = ours.split_once(": ").expect("a line is a question and an answer");
        let (_, posix) = theirs.split_once(": ").expect("a line is a question and an answer");
        if answer != posix {
            let known = better.iter().position(|&known| known == (what, posix, answer));
            let known = known.unwrap_or_else(|| panic!("{what}: {answer}, and on the host {posix}"));
            better.remove(known);
        }
    }
    assert!(better.is_empty(), "no longer different: {better:?}");
}
