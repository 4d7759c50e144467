//! What the tests of the preload library share: a pool in memory, the library, and the programs it is loaded into.
#![allow(dead_code, reason = "each test uses a part of it")]

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use daxcow_tests::fixture::HostFixture;

/// A pool that is large enough for what the programs do.
pub(crate) fn fixture() -> HostFixture {
    HostFixture::with_size(512 << 20)
}

/// Builds the library and returns its path.
pub(crate) fn library() -> PathBuf {
    let output = Command::new(env!("CARGO"))
        .args(["build", "--quiet", "--message-format=json", "-p", "daxcow-rocksdb-preload"])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .stderr(Stdio::inherit())
        .output()
        .expect("cargo runs");
    assert!(output.status.success(), "building the library");
    let lines = String::from_utf8(output.stdout).expect("cargo writes JSON");
    let wanted = "libdaxcow_rocksdb.so";
    let artifact = lines.lines().flat_map(|line| line.split('"')).find(|part| part.ends_with(wanted));
    PathBuf::from(artifact.unwrap_or_else(|| panic!("cargo built {wanted}")))
}

/// A program with the library loaded.
pub(crate) fn preloaded(program: impl AsRef<Path>) -> Command {
    let mut command = Command::new(program.as_ref());
    command.env("LD_PRELOAD", library());
    command
}

/// Whether a program of rocksdb-tools is there; says loudly where it is not.
pub(crate) fn has(program: &str) -> bool {
    let found = Command::new(program).arg("--version").output().is_ok();
    if !found {
        println!("SKIPPED: {program} is not installed (Debian: apt-get install rocksdb-tools)");
    }
    found
}

/// Standard output of a program that must succeed.
pub(crate) fn stdout(output: &Output) -> String {
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{}: {errors}", output.status);
    String::from_utf8_lossy(&output.stdout).into_owned()
}
