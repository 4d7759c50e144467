//! What the tests of the adapter share: a pool in memory, connections, and the libraries and programs to drive.
#![allow(dead_code, reason = "each test uses a part of it")]

use daxcow::{CreateOptions, Pool};
use rusqlite::Connection;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use tempfile::TempDir;

/// A fresh pool on tmpfs, and the VFS as the default of the SQLite in this process.
pub(crate) struct Fixture {
    pub(crate) dir: TempDir,
    pub(crate) pool: Pool,
}

impl Fixture {
    pub(crate) fn new() -> Fixture {
        Fixture::with_size(256 << 20)
    }

    /// A pool of `bytes`.
    pub(crate) fn with_size(bytes: u64) -> Fixture {
        daxcow_sqlite::register(true).expect("the VFS registers");
        let dir = tempfile::tempdir_in("/dev/shm").expect("tmpfs is there");
        let options = CreateOptions::new().size(bytes).sparse(true);
        let pool = Pool::create(dir.path().join("test.pool"), &options).expect("the pool is made");
        Fixture { dir, pool }
    }

    /// The path of a database in the pool.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join("test.pool").join(name)
    }

    /// The names in the pool's root but for the directory of the snapshots.
    pub(crate) fn names(&self) -> Vec<String> {
        let names = self.pool.read_dir("/").expect("the root is read");
        let names = names.iter().map(|entry| entry.name.to_string_lossy().into_owned());
        names.filter(|name| name != ".snapshots").collect()
    }

    /// The path of a file beside the pool.
    pub(crate) fn host(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub(crate) fn connect(&self, name: &str) -> Connection {
        let connection = Connection::open(self.path(name)).expect("the database opens");
        connection.busy_timeout(std::time::Duration::from_secs(20)).expect("the timeout is set");
        connection
    }
}

/// Runs `sql`, which must succeed.
pub(crate) fn run(connection: &Connection, sql: &str) {
    if let Err(error) = connection.execute_batch(sql) {
        panic!("{error} ({:?}): {sql}", error.sqlite_error());
    }
}

/// The one number that `sql` returns.
pub(crate) fn number(connection: &Connection, sql: &str) -> i64 {
    connection.query_row(sql, [], |row| row.get(0)).unwrap_or_else(|error| panic!("{error}: {sql}"))
}

/// The one text that `sql` returns.
pub(crate) fn text(connection: &Connection, sql: &str) -> String {
    connection.query_row(sql, [], |row| row.get(0)).unwrap_or_else(|error| panic!("{error}: {sql}"))
}

/// The message with which `sql` fails.
pub(crate) fn failure(connection: &Connection, sql: &str) -> String {
    match connection.query_row(sql, [], |_| Ok(())) {
        Ok(()) => panic!("should have failed: {sql}"),
        Err(error) => error.to_string(),
    }
}

/// Fails unless SQLite finds the database sound.
pub(crate) fn check(connection: &Connection) {
    assert_eq!(text(connection, "PRAGMA integrity_check"), "ok");
}

/// Builds a crate of this workspace as a shared library and returns its path.
pub(crate) fn shared_library(package: &str) -> PathBuf {
    let output = Command::new(env!("CARGO"))
        .args(["build", "--quiet", "--message-format=json", "-p", package])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .stderr(Stdio::inherit())
        .output()
        .expect("cargo runs");
    assert!(output.status.success(), "building {package}");
    let wanted = format!("lib{}.so", package.replace('-', "_"));
    let lines = String::from_utf8(output.stdout).expect("cargo writes JSON");
    let artifact = lines.lines().flat_map(|line| line.split('"')).find(|part| part.ends_with(&wanted));
    PathBuf::from(artifact.unwrap_or_else(|| panic!("cargo built {wanted}")))
}

/// Runs a program with `input`, and with the preload library if one is given.
pub(crate) fn program(name: &str, arguments: &[&str], preload: Option<&Path>, input: &str) -> Output {
    use std::io::Write;
    let mut command = Command::new(name);
    command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    if let Some(library) = preload {
        command.env("LD_PRELOAD", library);
    }
    let mut child = command.spawn().unwrap_or_else(|error| panic!("{name} starts: {error}"));
    child.stdin.take().expect("it is piped").write_all(input.as_bytes()).expect("the program reads");
    child.wait_with_output().expect("the program ends")
}

/// Standard output of a program that must succeed and say nothing on standard error.
pub(crate) fn stdout(output: &Output) -> String {
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && errors.is_empty(), "{}: {errors}", output.status);
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// The seed of a random test: `DAXCOW_SEED` or a fresh one, printed with the command that replays it.
pub(crate) fn seed(test: &str) -> u64 {
    let given = std::env::var("DAXCOW_SEED").ok().and_then(|text| text.parse().ok());
    let seed = given.unwrap_or_else(rand::random);
    println!("replay: DAXCOW_SEED={seed} cargo test -p daxcow-sqlite --test {test}");
    seed
}
