//! Processes that work beside each other: this program again, which gets its job as an argument, says when it is ready,
//! begins when it is told to, and answers with what it has done.

use std::io::{BufRead, BufReader, Write};
use std::path::PathBuf;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde::{Deserialize, Serialize};

use crate::{recovery, scaling, sqlite};

/// What a worker is to do.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) enum Job {
    /// Transactions of a database, for so long.
    Sql { database: sqlite::Database, action: sqlite::Action, time: Duration },
    /// Work on files, for so long.
    File { site: scaling::Site, work: scaling::Work, time: Duration },
    /// Changes a pool until it is killed.
    ChangeForEver { pool: PathBuf },
}

/// What a worker has done.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(crate) struct Done {
    pub(crate) operations_per_second: f64,
}

/// A worker that is ready.
pub(crate) struct Worker {
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

impl Worker {
    /// Starts a worker and waits until it is ready.
    pub(crate) fn start(job: &Job) -> Result<Worker> {
        let mut child = Command::new(std::env::current_exe().context("find this program")?)
            .arg("worker")
            .arg(serde_json::to_string(job)?)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .context("start a worker")?;
        let input = child.stdin.take().context("the worker's input")?;
        let output = BufReader::new(child.stdout.take().context("the worker's output")?);
        let mut worker = Worker { child, input, output };
        let line = worker.line()?;
        ensure!(line == READY, "a worker ended before it was ready");
        Ok(worker)
    }

    fn line(&mut self) -> Result<String> {
        let mut line = String::new();
        self.output.read_line(&mut line).context("listen to a worker")?;
        Ok(line.trim().to_owned())
    }

    fn begin(&mut self) -> Result<()> {
        writeln!(self.input, "{BEGIN}").context("tell a worker to begin")
    }

    fn done(mut self) -> Result<Done> {
        let line = self.line()?;
        let done = serde_json::from_str(&line).with_context(|| format!("a worker answered {line:?}"))?;
        self.child.wait().context("wait for a worker")?;
        Ok(done)
    }

    /// Lets it work for a while and kills it in the middle.
    pub(crate) fn kill_after(mut self, time: Duration) -> Result<()> {
        self.begin()?;
        std::thread::sleep(time);
        self.child.kill().context("kill a worker")?;
        self.child.wait().context("wait for a worker").map(drop)
    }
}

/// Has all jobs done at once.
pub(crate) fn together(jobs: &[Job]) -> Result<Vec<Done>> {
    let mut workers = jobs.iter().map(Worker::start).collect::<Result<Vec<_>>>()?;
    workers.iter_mut().try_for_each(Worker::begin)?;
    workers.into_iter().map(Worker::done).collect()
}

const READY: &str = "ready";
const BEGIN: &str = "begin";

/// The worker's side: does `job`, which is JSON.
pub(crate) fn serve(job: &str) -> Result<()> {
    let job: Job = serde_json::from_str(job).context("read the job")?;
    let begin = || -> Result<()> {
        println!("{READY}");
        std::io::stdout().flush()?;
        let mut line = String::new();
        std::io::stdin().read_line(&mut line)?;
        ensure!(line.trim() == BEGIN, "nobody waits for this worker any more");
        Ok(())
    };
    let done = match job {
        Job::Sql { database, action, time } => sqlite::work(&database, action, time, begin)?,
        Job::File { site, work, time } => scaling::work(&site, work, time, begin)?,
        Job::ChangeForEver { pool } => recovery::change_for_ever(&pool, begin)?,
    };
    println!("{}", serde_json::to_string(&done)?);
    Ok(())
}
