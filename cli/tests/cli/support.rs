//! A directory with a pool, and runs of the binary in it.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::Value;
use tempfile::TempDir;

/// A temporary directory, on tmpfs where there is one; it is the working directory of every run.
pub(crate) struct Sandbox(TempDir);

/// How a run ended.
pub(crate) struct Run {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: Vec<u8>,
    pub(crate) stderr: String,
    command: String,
}

impl Sandbox {
    /// An empty directory.
    pub(crate) fn new() -> Sandbox {
        let shared_memory = Path::new("/dev/shm");
        let parent = if shared_memory.is_dir() { shared_memory.to_owned() } else { std::env::temp_dir() };
        Sandbox(tempfile::Builder::new().prefix("daxcow-cli-").tempdir_in(parent).unwrap())
    }

    /// A directory with the pool `app.pool` of 64 MiB.
    pub(crate) fn with_pool() -> Sandbox {
        let sandbox = Sandbox::new();
        sandbox.ok(["create", "app.pool", "--size", "64M", "--sparse"]);
        sandbox
    }

    pub(crate) fn path(&self, name: impl AsRef<Path>) -> PathBuf {
        self.0.path().join(name)
    }

    /// Writes a host file.
    pub(crate) fn write(&self, name: impl AsRef<Path>, contents: impl AsRef<[u8]>) {
        fs::write(self.path(name), contents).unwrap();
    }

    /// The command, for runs that want more than [`Sandbox::run`].
    pub(crate) fn command<S: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = S>) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_daxcow"));
        command.args(arguments).current_dir(self.0.path()).stdin(Stdio::null());
        command
    }

    pub(crate) fn run<S: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = S>) -> Run {
        let mut command = self.command(arguments);
        let output = command.output().unwrap();
        Run {
            code: output.status.code(),
            stdout: output.stdout,
            stderr: String::from_utf8(output.stderr).unwrap(),
            command: format!("{command:?}"),
        }
    }

    /// Runs and expects success and nothing on standard error; what was printed.
    pub(crate) fn ok<S: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = S>) -> String {
        let run = self.run(arguments).expect(0);
        assert_eq!(run.stderr, "", "{}", run.command);
        run.text()
    }

    /// Runs and expects success and JSON.
    pub(crate) fn json<S: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = S>) -> Value {
        serde_json::from_str(&self.ok(arguments)).unwrap()
    }

    /// Runs and expects exit status 1 and one line `daxcow: ...` that has all of `parts` in it.
    pub(crate) fn fails<S: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = S>, parts: &[&str]) {
        let run = self.run(arguments).expect(1);
        assert!(run.stderr.starts_with("daxcow: "), "{}: {}", run.command, run.stderr);
        assert_eq!(run.stderr.lines().count(), 1, "{}: {}", run.command, run.stderr);
        for part in parts {
            assert!(run.stderr.contains(part), "{}: expected '{part}', found: {}", run.command, run.stderr);
        }
    }

    /// Puts a file with these contents into the pool.
    pub(crate) fn put(&self, path: &str, contents: impl AsRef<[u8]>) {
        self.write("to-put", contents);
        self.ok(["cp", "to-put", path]);
    }

    /// The contents of a file in the pool.
    pub(crate) fn cat(&self, path: &str) -> Vec<u8> {
        self.run(["cat", path]).expect(0).stdout
    }

    /// The names that `ls` prints.
    pub(crate) fn ls(&self, path: &str) -> Vec<String> {
        self.ok(["ls", path]).lines().map(str::to_owned).collect()
    }

    /// Expects that the pool is sound.
    pub(crate) fn check(&self) {
        let report = self.ok(["check", "app.pool"]);
        assert!(report.contains("no damage found"), "{report}");
    }
}

impl Run {
    /// The same run, if it ended with exit status `code`.
    pub(crate) fn expect(self, code: i32) -> Run {
        let text = String::from_utf8_lossy(&self.stdout);
        assert_eq!(self.code, Some(code), "{}\n{}{text}", self.command, self.stderr);
        self
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8(self.stdout.clone()).unwrap()
    }
}

/// `len` bytes in which no two blocks are alike.
pub(crate) fn pattern(len: usize, seed: u8) -> Vec<u8> {
    let byte = |index: usize| (index ^ (index >> 8) ^ (index >> 16)).to_le_bytes()[0].wrapping_add(seed);
    (0..len).map(byte).collect()
}
