//! Starting probes and listening to them.

use std::io::{BufRead, BufReader, Lines, Write as _};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, ExitStatus, Output, Stdio};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::time::Duration;

/// A probe that is running; it is killed when this is dropped.
#[derive(Debug)]
pub struct Running {
    child: Child,
    lines: Receiver<String>,
}

/// Why a probe says nothing.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Silence {
    /// It has ended, or died.
    Ended,
    /// It is alive and has said nothing for as long as one was ready to wait.
    Hangs,
}

/// The command that runs a probe of `program`.
#[must_use]
pub fn command(program: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(program);
    command.arg("probe").args(arguments);
    command
}

/// Runs a probe to its end.
///
/// # Panics
/// If it cannot be started.
#[must_use]
pub fn run(program: &Path, arguments: &[&str]) -> Output {
    command(program, arguments)
        .stdin(Stdio::null())
        .output()
        .unwrap_or_else(|error| panic!("{}: {error}", program.display()))
}

/// What a probe said, and how it ended, as one text.
#[must_use]
pub fn transcript(output: &Output) -> String {
    format!(
        "{}{}({})",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr),
        output.status
    )
}

impl Running {
    /// Starts a probe.
    ///
    /// # Panics
    /// If it cannot be started.
    #[must_use]
    pub fn start(program: &Path, arguments: &[&str]) -> Running {
        Running::spawn(command(program, arguments))
    }

    /// Starts a probe by a command of one's own.
    ///
    /// # Panics
    /// If it cannot be started.
    #[must_use]
    pub fn spawn(mut command: Command) -> Running {
        let started = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn();
        let mut child = started.unwrap_or_else(|error| panic!("{command:?}: {error}"));
        let (sender, lines) = mpsc::channel();
        if let Some(out) = child.stdout.take() {
            std::thread::spawn(move || forward(BufReader::new(out).lines(), &sender));
        }
        Running { child, lines }
    }

    /// The next line the probe says.
    ///
    /// # Errors
    /// Why there is none.
    pub fn line(&self, patience: Duration) -> Result<String, Silence> {
        self.lines.recv_timeout(patience).map_err(|error| match error {
            RecvTimeoutError::Timeout => Silence::Hangs,
            RecvTimeoutError::Disconnected => Silence::Ended,
        })
    }

    /// Says a line to the probe, which may have died.
    pub fn tell(&mut self, line: &str) {
        if let Some(input) = &mut self.child.stdin {
            // A probe that has died says so by its silence.
            drop(writeln!(input, "{line}").and_then(|()| input.flush()));
        }
    }

    /// Kills the probe, but keeps its input open for the children it has left.
    ///
    /// # Panics
    /// If it cannot be waited for.
    pub fn kill_without_closing(&mut self) {
        let input = self.child.stdin.take();
        self.kill();
        self.child.stdin = input;
    }

    /// Ends the probe's input.
    pub fn close_input(&mut self) {
        self.child.stdin = None;
    }

    /// Ends the probe's input and waits for its end.
    ///
    /// # Panics
    /// If it cannot be waited for.
    pub fn finish(&mut self) -> ExitStatus {
        drop(self.child.stdin.take());
        self.child.wait().expect("the probe is a child of this process")
    }

    /// Kills the probe with SIGKILL, if it has not ended, and gives how it ended.
    ///
    /// # Panics
    /// If it cannot be waited for.
    pub fn kill(&mut self) -> ExitStatus {
        // A probe that has ended cannot be killed; the wait tells.
        drop(self.child.kill());
        self.child.wait().expect("the probe is a child of this process")
    }
}

fn forward(lines: Lines<BufReader<ChildStdout>>, sender: &mpsc::Sender<String>) {
    for line in lines.map_while(Result::ok) {
        if sender.send(line).is_err() {
            return;
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.kill();
    }
}
