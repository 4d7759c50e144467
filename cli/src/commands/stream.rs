//! `daxcow send` and `receive`: snapshots as streams, between pools and through pipes.

use std::io::{self, BufReader, BufWriter, IsTerminal, Read, Write};
use std::path::PathBuf;
use std::time::Instant;

use anyhow::{Context, Result, bail};
use clap::Args;
use daxcow::{PartialReceive, ReceiveOptions, ResumeToken, SendOptions};
use serde_json::{Value, json};

use crate::output::{self, Format, Status, columns, shown};
use crate::place::{Pools, SNAPSHOTS};
use crate::size;

/// Bytes that are written to and read from a pipe at once.
const PIPE_BYTES: usize = 1 << 20;

/// Write a snapshot to standard output as a stream for `daxcow receive`
///
/// With --parent only what is new since that snapshot, which the receiver must have, in time that follows what changed and
/// not how large the files are.
#[derive(Args, Debug)]
pub(crate) struct Send {
    pool: PathBuf,
    /// The snapshot to send
    snapshot: String,
    /// Send only what is new since this snapshot
    #[arg(long, short)]
    parent: Option<String>,
    /// Go on where a stream broke off: the token that `daxcow receive --status` shows
    #[arg(long)]
    resume: Option<ResumeToken>,
    /// Do not say how much was sent
    #[arg(long, short)]
    quiet: bool,
}

impl Send {
    pub(crate) fn run(self, pools: &Pools) -> Result<Status> {
        if io::stdout().is_terminal() {
            bail!("a stream is no text for a terminal: send it to a file or into `daxcow receive`");
        }
        let pool = pools.pool(&self.pool)?;
        let mut options = SendOptions::new();
        if let Some(parent) = &self.parent {
            options = options.parent(parent);
        }
        if let Some(token) = self.resume {
            options = options.resume(token);
        }
        let started = Instant::now();
        let mut to = BufWriter::with_capacity(PIPE_BYTES, io::stdout().lock());
        let sent = pool.send(&self.snapshot, options, &mut to);
        let report = sent.with_context(|| self.pool.display().to_string())?;
        to.flush().context("standard output")?;
        if !self.quiet && io::stderr().is_terminal() {
            let seconds = started.elapsed().as_secs_f64();
            let (data, stream) = (size::format(report.data_bytes), size::format(report.stream_bytes));
            output::warn(&format!("{}: {data} of data, {stream} sent in {seconds:.2} s", self.snapshot));
        }
        Ok(Status::Success)
    }
}

/// Make a snapshot from a stream on standard input
///
/// It appears whole and verified, or not at all. With a path below the pool, a writable copy that shares all blocks with
/// it is made there too.
#[derive(Args, Debug)]
pub(crate) struct Receive {
    /// The pool, or where in it to put a writable copy
    pool: PathBuf,
    /// A name for the snapshot [default: the one it was sent with]
    #[arg(long, short)]
    name: Option<String>,
    /// Keep what was received if the stream breaks off, so that `daxcow send --resume` can go on
    #[arg(long, short = 's')]
    resumable: bool,
    /// List what was received of streams that broke off, with the tokens to go on from
    #[arg(long, conflicts_with_all = ["name", "resumable", "abort"])]
    status: bool,
    /// Remove what was received of the snapshot with this identity
    #[arg(long, value_name = "IDENTITY", conflicts_with_all = ["name", "resumable"])]
    abort: Option<String>,
    #[command(flatten)]
    format: Format,
}

impl Receive {
    pub(crate) fn run(self, pools: &Pools) -> Result<Status> {
        let place = pools.inside(&self.pool)?;
        let named = || self.pool.display().to_string();
        if self.status {
            let partial = place.pool.partial_receives().with_context(named)?;
            let value: Value = partial.iter().map(partial_json).collect();
            self.format.print(&value, || Ok(self.partial_text(&partial)))?;
            return Ok(Status::Success);
        }
        if let Some(identity) = &self.abort {
            place.pool.abort_receive(identity).with_context(named)?;
            return Ok(Status::Success);
        }
        if !place.is_root() && place.pool.exists(&place.inner).with_context(named)? {
            bail!("{}: exists already", place.shown.display());
        }
        let mut options = ReceiveOptions::new().keep_partial(self.resumable);
        if let Some(name) = &self.name {
            options = options.name(name);
        }
        let started = Instant::now();
        let mut from = BufReader::with_capacity(PIPE_BYTES, io::stdin().lock());
        let report = place.pool.receive(&mut from as &mut dyn Read, options).with_context(named)?;
        let seconds = started.elapsed().as_secs_f64();
        if !place.is_root() {
            let snapshot = PathBuf::from("/").join(SNAPSHOTS).join(&report.name);
            place.pool.clone_tree(snapshot, &place.inner).with_context(named)?;
        }
        let value = json!({
            "name": report.name,
            "data_bytes": report.data_bytes,
            "records": report.records,
            "seconds": seconds,
        });
        self.format.print(&value, || {
            let data = self.format.size(report.data_bytes);
            Ok(format!("{}: {data} of data received in {seconds:.2} s\n", shown(&report.name)))
        })?;
        Ok(Status::Success)
    }

    fn partial_text(&self, partial: &[PartialReceive]) -> String {
        if partial.is_empty() {
            return String::new();
        }
        let row = |partial: &PartialReceive| {
            let token = partial.token.map_or_else(|| "begin anew".to_owned(), |token| token.to_string());
            let size = self.format.size(partial.allocated_bytes);
            [shown(&partial.name), partial.identity.clone(), size, token]
        };
        columns(["NAME", "IDENTITY", "SIZE", "TOKEN"], &[2], partial.iter().map(row).collect())
    }
}

fn partial_json(partial: &PartialReceive) -> Value {
    json!({
        "name": partial.name,
        "identity": partial.identity,
        "token": partial.token.map(|token| token.to_string()),
        "allocated_bytes": partial.allocated_bytes,
    })
}
