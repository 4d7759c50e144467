//! `daxcow dedupe`: equal blocks become one.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use clap::Args;
use daxcow::{DedupeOptions, DedupeProgress, DedupeReport};
use serde_json::json;

use crate::copy::Bar;
use crate::output::{Format, Status, shown};
use crate::place::Pools;
use crate::size;

/// Find equal blocks of 4 KiB and store each kind once, also while programs use the files
///
/// Looks at the files given, and at all files below the directories given; a pool means everything in it with its
/// snapshots. Whatever else shares a block (snapshots, clones) shares the other one from then on, so that its space comes
/// free. Equal hashes are compared byte by byte before anything is shared.
#[derive(Args, Debug)]
pub(crate) struct Dedupe {
    /// Files and directories of one pool, or the pool
    #[arg(required = true)]
    paths: Vec<PathBuf>,
    /// Memory for hashes, such as 1G; with less, the data is read more often
    #[arg(long, value_parser = size::parse, default_value = "256M")]
    memory: u64,
    /// Show no progress
    #[arg(long, short)]
    quiet: bool,
    #[command(flatten)]
    format: Format,
}

impl Dedupe {
    pub(crate) fn run(self, pools: &Pools) -> Result<Status> {
        let places: Vec<_> = self.paths.iter().map(|path| pools.inside(path)).collect::<Result<_>>()?;
        let Some(first) = places.first() else { bail!("no paths were given") };
        if let Some(other) = places.iter().find(|place| place.real_path != first.real_path) {
            bail!(
                "{}: not in the same pool as {}; blocks are shared within a pool",
                other.shown.display(),
                first.shown.display()
            );
        }
        let inner: Vec<_> = places.iter().map(|place| &place.inner).collect();
        let bar = Bar::unless(self.quiet);
        let started = Instant::now();
        let done = first.pool.dedupe(&inner, DedupeOptions::new().memory(self.memory), &mut |at| match at {
            DedupeProgress::Examining { bytes, of } | DedupeProgress::Sharing { bytes, of } => {
                bar.set(bytes, of)
            }
        });
        bar.finish();
        let report = done.with_context(|| first.shown.display().to_string())?;
        self.print(&report, started.elapsed())?;
        Ok(Status::Success)
    }

    fn print(&self, report: &DedupeReport, time: Duration) -> Result<()> {
        let value = json!({
            "files": report.files,
            "bytes_examined": report.bytes_examined,
            "bytes_shared": report.bytes_shared,
            "bytes_left": report.bytes_left,
            "seconds": time.as_secs_f64(),
        });
        self.format.print(&value, || {
            let size = |bytes| self.format.size(bytes);
            let left = match report.bytes_left {
                0 => String::new(),
                left => format!(", {} that looked equal in use and left", size(left)),
            };
            Ok(format!(
                "{}: {} files, {} examined, {} came free{left}, {:.2} s\n",
                shown(&self.paths[0]),
                report.files,
                size(report.bytes_examined),
                size(report.bytes_shared),
                time.as_secs_f64(),
            ))
        })
    }
}
