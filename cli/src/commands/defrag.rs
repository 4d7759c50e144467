//! `daxcow defrag`: the blocks of files come to lie next to each other, and stay shared.

use std::path::PathBuf;
use std::time::Instant;

use anyhow::{Context, Result};
use clap::Args;
use daxcow::{DefragReport, FileKind, FileOptions};
use serde_json::{Value, json};

use crate::copy::Bar;
use crate::output::{self, Format, Status, shown};
use crate::place::{Inside, Pools};

/// Lay the blocks of files next to each other, also while programs use them
///
/// Whole pieces of 2 MiB go to aligned chunks of 2 MiB. Snapshots and clones that share the blocks go on sharing them: the
/// blocks move for all owners at once, and no more space is used than before.
#[derive(Args, Debug)]
pub(crate) struct Defrag {
    /// Files, and directories with all files below them
    #[arg(required = true)]
    paths: Vec<PathBuf>,
    /// Show no progress
    #[arg(long, short)]
    quiet: bool,
    #[command(flatten)]
    format: Format,
}

impl Defrag {
    pub(crate) fn run(self, pools: &Pools) -> Result<Status> {
        let mut files = Vec::new();
        let listed = output::for_each(&self.paths, |path| collect(&pools.inside(path)?, &mut files))?;
        let of = files.iter().map(|(_, bytes)| bytes).sum();
        let bar = Bar::unless(self.quiet);
        let started = Instant::now();
        let (mut reports, mut bytes_done) = (Vec::new(), 0);
        let moved = output::for_each(&files, |(file, bytes)| {
            let named = || file.shown.display().to_string();
            let open =
                file.pool.open_file(&file.inner, &FileOptions::new().read(true)).with_context(named)?;
            reports.push((file.shown.clone(), open.defragment(0, u64::MAX).with_context(named)?));
            bytes_done += bytes;
            bar.set(bytes_done, of);
            Ok(())
        })?;
        bar.finish();
        let value: Value = reports
            .iter()
            .map(|(path, report)| {
                json!({
                    "path": path.to_string_lossy(),
                    "extents_before": report.extents_before,
                    "extents_after": report.extents_after,
                    "bytes_moved": report.bytes_moved,
                    "bytes_left": report.bytes_left,
                })
            })
            .collect();
        self.format.print(&value, || Ok(self.text(&reports, started.elapsed().as_secs_f64())))?;
        Ok(if listed == Status::Success { moved } else { listed })
    }

    fn text(&self, reports: &[(PathBuf, DefragReport)], seconds: f64) -> String {
        let size = |bytes| self.format.size(bytes);
        let mut text = String::new();
        let mut moved = 0;
        for (path, report) in reports {
            moved += report.bytes_moved;
            let left = match report.bytes_left {
                0 => String::new(),
                left => format!(", {} in use or without room and left", size(left)),
            };
            let (before, after) = (report.extents_before, report.extents_after);
            text += &format!("{}: {before} extents, now {after}{left}\n", shown(path));
        }
        text + &format!("{} files, {} moved, {seconds:.2} s\n", reports.len(), size(moved))
    }
}

/// Adds the files at and below `place`, with the bytes they have.
fn collect(place: &Inside, files: &mut Vec<(Inside, u64)>) -> Result<()> {
    let named = || place.shown.display().to_string();
    let found = place.pool.metadata(&place.inner).with_context(named)?;
    if found.kind == FileKind::File {
        files.push((place.clone(), found.allocated_bytes));
        return Ok(());
    }
    for entry in place.pool.read_dir(&place.inner).with_context(named)? {
        collect(&place.join(&entry.name), files)?;
    }
    Ok(())
}
