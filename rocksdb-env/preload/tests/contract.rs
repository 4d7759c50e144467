//! Every method of FileSystem and of its files against its contract: `contract.cc` calls them in a pool and, through the same
//! library, on the host, where the posix FileSystem serves them. The answers must be the same but for a list.

#[path = "../../tests/common/answers.rs"]
mod answers;
mod common;

use std::path::PathBuf;

use common::{compiled, fixture, preloaded, stdout};

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
    answers::assert_same(&pool, &host);
}
