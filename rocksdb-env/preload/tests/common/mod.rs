//! What the tests of the preload library share: a pool in memory, the library, and the programs it is loaded into.
#![allow(dead_code, reason = "each test uses a part of it")]

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::OnceLock;

use daxcow_tests::fixture::HostFixture;

/// A pool that is large enough for what the programs do.
pub(crate) fn fixture() -> HostFixture {
    HostFixture::with_size(512 << 20)
}

/// Builds the library and returns its path.
pub(crate) fn library() -> &'static Path {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    BUILT.get_or_init(|| built("daxcow-rocksdb-preload", "libdaxcow_rocksdb.so"))
}

/// Builds the command `daxcow` and returns its path.
pub(crate) fn daxcow() -> PathBuf {
    built("daxcow-cli", "daxcow")
}

/// Builds a package and returns the path of its artifact of this name.
fn built(package: &str, artifact: &str) -> PathBuf {
    let output = Command::new(env!("CARGO"))
        .args(["build", "--quiet", "--message-format=json", "-p", package])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .stderr(Stdio::inherit())
        .output()
        .expect("cargo runs");
    assert!(output.status.success(), "building {package}");
    let lines = String::from_utf8(output.stdout).expect("cargo writes JSON");
    let mut words = lines.lines().flat_map(|line| line.split('"')).map(Path::new);
    let found = words.find(|word| word.is_absolute() && word.ends_with(artifact) && word.is_file());
    found.unwrap_or_else(|| panic!("cargo built {artifact}")).to_owned()
}

/// Compiles `tests/NAME.cc` with more arguments, which come before RocksDB's library, and returns the program's path.
pub(crate) fn compiled(into: &Path, name: &str, more: &[&OsStr]) -> PathBuf {
    let program = into.join(name);
    let compiler = std::env::var("CXX").unwrap_or_else(|_| "c++".to_owned());
    let mut words = compiler.split_whitespace();
    let output = Command::new(words.next().expect("a compiler"))
        .args(words)
        .args([
            "-std=c++20",
            "-include",
            "cstdint",
            "-DOS_LINUX",
            "-DROCKSDB_PLATFORM_POSIX",
            "-O1",
            "-w",
            "-o",
        ])
        .arg(&program)
        .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/{name}.cc")))
        .args(more)
        .args(["-lrocksdb", "-lpthread"])
        .output()
        .expect("the compiler runs");
    stdout(&output);
    program
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
