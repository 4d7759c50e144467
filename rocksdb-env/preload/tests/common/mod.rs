//! What the tests of the preload library share: a pool in memory, the library, and the programs it is loaded into.
#![allow(dead_code, reason = "each test uses a part of it")]

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use daxcow::{CreateOptions, Pool};
use tempfile::TempDir;

/// A directory on tmpfs with a pool in it.
pub(crate) struct Fixture {
    pub(crate) dir: TempDir,
    pub(crate) pool: Pool,
}

impl Fixture {
    pub(crate) fn new() -> Fixture {
        Fixture::with_size(512 << 20)
    }

    /// A pool of `bytes`.
    pub(crate) fn with_size(bytes: u64) -> Fixture {
        let dir = tempfile::tempdir_in("/dev/shm").expect("tmpfs is there");
        let options = CreateOptions::new().size(bytes).sparse(true);
        let pool = Pool::create(dir.path().join("test.pool"), &options).expect("the pool is made");
        Fixture { dir, pool }
    }

    /// The host path that leads to `name` in the pool.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.host("test.pool").join(name)
    }

    /// The path of a file beside the pool.
    pub(crate) fn host(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Fails where there is anything beside the pool.
    pub(crate) fn assert_nothing_on_the_host(&self) {
        let names = std::fs::read_dir(self.dir.path()).expect("the directory is read");
        let names: Vec<_> = names.map(|entry| entry.expect("an entry").file_name()).collect();
        assert_eq!(names, ["test.pool"]);
    }
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
