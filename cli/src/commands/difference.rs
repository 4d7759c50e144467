//! `daxcow snapshot diff`: what changed since a snapshot, or between two.

use std::collections::BTreeSet;
use std::fmt::Write;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use clap::Args;
use daxcow::{Change, DiffEntry, Pool, SnapshotInfo};
use serde_json::{Value, json};

use crate::output::{Format, Status, shown};
use crate::place::{Pools, SNAPSHOTS};

/// Compare a snapshot with what is there now, or with another snapshot; exit status 3 if they differ
///
/// Prints one line a path: A added, D deleted, M modified, T file became directory or the reverse.
#[derive(Args, Debug)]
pub(crate) struct Diff {
    pool: PathBuf,
    /// The snapshot to start from
    from: String,
    /// A later snapshot [default: what is there now]
    to: Option<String>,
    #[command(flatten)]
    format: Format,
}

/// One side of the comparison: a snapshot, or the live files.
struct Side<'a> {
    snapshot: Option<&'a SnapshotInfo>,
}

impl Side<'_> {
    /// Where this side keeps what the pool calls `path`.
    fn place(&self, path: &Path) -> PathBuf {
        match self.snapshot {
            Some(snapshot) => Path::new("/").join(SNAPSHOTS).join(&snapshot.name).join(relative(path)),
            None => Path::new("/").join(path),
        }
    }

    fn paths(&self) -> impl Iterator<Item = &PathBuf> {
        self.snapshot.iter().flat_map(|snapshot| &snapshot.paths)
    }
}

fn relative(path: &Path) -> &Path {
    path.strip_prefix("/").unwrap_or(path)
}

impl Diff {
    pub(crate) fn run(self, pools: &Pools) -> Result<Status> {
        let pool = pools.pool(&self.pool)?;
        let named = || self.pool.display().to_string();
        let snapshots = pool.snapshots().with_context(named)?;
        let find = |name: &String| match snapshots.iter().find(|snapshot| snapshot.name == *name) {
            Some(snapshot) => Ok(snapshot),
            None => bail!("{}: no snapshot '{name}'", named()),
        };
        let from = Side { snapshot: Some(find(&self.from)?) };
        let to = Side { snapshot: self.to.as_ref().map(find).transpose()? };
        let paths: BTreeSet<&PathBuf> = from.paths().chain(to.paths()).collect();
        let mut entries = Vec::new();
        for path in paths {
            entries.extend(
                compare(&pool, path, &from, &to)
                    .with_context(|| format!("{}: {}", named(), path.display()))?,
            );
        }
        let value: Value = entries.iter().map(entry_json).collect();
        self.format.print(&value, || Ok(self.text(&entries)?))?;
        Ok(if entries.is_empty() { Status::Success } else { Status::Findings })
    }

    fn text(&self, entries: &[DiffEntry]) -> Result<String, std::fmt::Error> {
        let mut text = String::new();
        for DiffEntry { path, change } in entries {
            let path = shown(relative(path));
            match change {
                Change::Added => writeln!(text, "A {path}")?,
                Change::Removed => writeln!(text, "D {path}")?,
                Change::KindChanged => writeln!(text, "T {path}")?,
                Change::Modified { ranges } => {
                    let bytes = ranges.iter().map(|range| range.end - range.start).sum();
                    let size = self.format.size(bytes);
                    writeln!(text, "M {path}  ({size} in {} ranges)", ranges.len())?;
                }
            }
        }
        Ok(text)
    }
}

/// What differs at and below `path`, which one of the sides may lack.
fn compare(pool: &Pool, path: &Path, from: &Side<'_>, to: &Side<'_>) -> daxcow::Result<Vec<DiffEntry>> {
    let (old, new) = (from.place(path), to.place(path));
    let only = |change| vec![DiffEntry { path: path.to_owned(), change }];
    match (pool.exists(&old)?, pool.exists(&new)?) {
        (false, false) => Ok(Vec::new()),
        (false, true) => Ok(only(Change::Added)),
        (true, false) => Ok(only(Change::Removed)),
        (true, true) => {
            let mut entries = pool.diff(&old, &new)?;
            for entry in &mut entries {
                let below = relative(&entry.path);
                entry.path = if below.as_os_str().is_empty() { path.to_owned() } else { path.join(below) };
            }
            Ok(entries)
        }
    }
}

fn entry_json(entry: &DiffEntry) -> Value {
    let (change, ranges) = match &entry.change {
        Change::Added => ("added", None),
        Change::Removed => ("removed", None),
        Change::KindChanged => ("kind_changed", None),
        Change::Modified { ranges } => ("modified", Some(ranges)),
    };
    let mut value = json!({ "path": relative(&entry.path).to_string_lossy(), "change": change });
    if let Some(ranges) = ranges {
        value["ranges"] = ranges
            .iter()
            .map(|range| json!({ "offset": range.start, "length": range.end - range.start }))
            .collect();
    }
    value
}
