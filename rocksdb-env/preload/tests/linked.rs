//! A C++ program that links the library and uses its header: `linked.cc`, which checks its own answers.

mod common;

use std::ffi::OsStr;
use std::path::Path;
use std::process::Command;

use common::{compiled, fixture, library, stdout};

#[test]
fn a_program_that_links_the_library_uses_all_of_its_header() {
    let fixture = fixture();
    let programs = tempfile::tempdir().expect("a directory for the program");
    let include = Path::new(env!("CARGO_MANIFEST_DIR")).join("../include");
    let program =
        compiled(programs.path(), "linked", &[OsStr::new("-I"), include.as_os_str(), library().as_os_str()]);
    let directory = library().parent().expect("it lies in a directory");
    let output = Command::new(program)
        .env("LD_LIBRARY_PATH", directory)
        .args([fixture.path(""), fixture.host("nowhere")])
        .output()
        .expect("the program runs");
    assert_eq!(stdout(&output), "ok\n", "{}", String::from_utf8_lossy(&output.stderr));
    fixture.assert_nothing_on_the_host();
    assert!(fixture.pool.exists("/db/CURRENT").expect("exists"), "it ran in the pool");
    assert!(fixture.pool.check().expect("the pool is checked").is_clean());
}
