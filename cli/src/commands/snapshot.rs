//! `daxcow snapshot create|list|delete|rollback|diff`.

use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Context, Result, bail};
use clap::{Args, Subcommand};
use daxcow::{RollbackOptions, SnapshotInfo, split_pool_path};
use serde_json::{Value, json};

use crate::commands::difference;
use crate::output::{self, Format, Status, columns, shown};
use crate::place::{Inside, Pools, names_root};
use crate::time;

/// Take, list, delete, go back to and compare snapshots
///
/// A snapshot keeps all its files as they were at one instant, read-only, as POOL/.snapshots/NAME/...; it takes
/// microseconds a file whatever the sizes, and no space until what it shares is overwritten.
#[derive(Args, Debug)]
pub(crate) struct Snapshot {
    #[command(subcommand)]
    action: Action,
}

#[derive(Subcommand, Debug)]
enum Action {
    Create(Create),
    List(List),
    Delete(Delete),
    Rollback(Rollback),
    Diff(difference::Diff),
}

impl Snapshot {
    pub(crate) fn run(self, pools: &Pools) -> Result<Status> {
        match self.action {
            Action::Create(create) => create.run(pools),
            Action::List(list) => list.run(pools),
            Action::Delete(delete) => delete.run(pools),
            Action::Rollback(rollback) => rollback.run(pools),
            Action::Diff(diff) => diff.run(pools),
        }
    }
}

/// Take a snapshot of a pool, or of some files and directories in it
#[derive(Args, Debug)]
struct Create {
    pool: PathBuf,
    /// The snapshot's name
    name: String,
    /// Files and directories in the pool, as db/main.db or as POOL/db/main.db [default: all]
    paths: Vec<PathBuf>,
    #[command(flatten)]
    format: Format,
}

impl Create {
    fn run(self, pools: &Pools) -> Result<Status> {
        let place = pools.inside(&self.pool)?;
        let mut paths: Vec<PathBuf> = Vec::new();
        if !place.is_root() {
            paths.push(place.inner.clone());
        }
        for path in &self.paths {
            paths.push(inner_path(pools, &place, path)?);
        }
        let start = Instant::now();
        let snapshot = place
            .pool
            .create_snapshot(&self.name, &paths)
            .with_context(|| format!("{}: snapshot '{}'", self.pool.display(), self.name))?;
        let microseconds = u64::try_from(start.elapsed().as_micros())?;
        let mut value = json(&snapshot);
        value["microseconds"] = microseconds.into();
        self.format.print(&value, || {
            Ok(format!("{}: {} files in {microseconds} us\n", shown(&snapshot.name), snapshot.files))
        })?;
        Ok(Status::Success)
    }
}

/// The path within the pool of `place` that the user gave as `path`: with the pool before it, or without.
fn inner_path(pools: &Pools, place: &Inside, path: &Path) -> Result<PathBuf> {
    if split_pool_path(path)?.is_none() {
        return Ok(path.to_owned());
    }
    let named = pools.inside(path)?;
    if named.real_path != place.real_path {
        bail!("{}: is in another pool than {}", path.display(), place.shown.display());
    }
    Ok(named.inner)
}

/// List snapshots, oldest first
#[derive(Args, Debug)]
struct List {
    pool: PathBuf,
    #[command(flatten)]
    format: Format,
}

impl List {
    fn run(self, pools: &Pools) -> Result<Status> {
        let snapshots =
            pools.pool(&self.pool)?.snapshots().with_context(|| self.pool.display().to_string())?;
        let value: Value = snapshots.iter().map(json).collect();
        self.format.print(&value, || Ok(table(&snapshots)))?;
        Ok(Status::Success)
    }
}

/// Delete snapshots; space that nothing else shares is free again
#[derive(Args, Debug)]
struct Delete {
    pool: PathBuf,
    #[arg(required = true)]
    names: Vec<String>,
}

impl Delete {
    fn run(self, pools: &Pools) -> Result<Status> {
        let pool = pools.pool(&self.pool)?;
        output::for_each(&self.names, |name| {
            pool.delete_snapshot(name).with_context(|| format!("{}: snapshot '{name}'", self.pool.display()))
        })
    }
}

/// Make the files of a snapshot what they were when it was taken
///
/// Fails, naming the processes, while any of the files is open. With --force the open files' handles turn stale: their
/// programs get errors and must open them again.
#[derive(Args, Debug)]
struct Rollback {
    pool: PathBuf,
    name: String,
    /// Also while files are open
    #[arg(long)]
    force: bool,
}

impl Rollback {
    fn run(self, pools: &Pools) -> Result<Status> {
        let pool = pools.pool(&self.pool)?;
        pool.rollback(&self.name, RollbackOptions { force: self.force })
            .with_context(|| format!("{}: snapshot '{}'", self.pool.display(), self.name))?;
        Ok(Status::Success)
    }
}

/// A snapshot for scripts.
pub(crate) fn json(snapshot: &SnapshotInfo) -> Value {
    json!({
        "name": snapshot.name,
        "created": time::microseconds(snapshot.created),
        "paths": snapshot.paths.iter().map(|path| path.to_string_lossy().into_owned()).collect::<Vec<_>>(),
        "files": snapshot.files,
    })
}

/// Snapshots for people.
pub(crate) fn table(snapshots: &[SnapshotInfo]) -> String {
    let rows = snapshots.iter().map(|snapshot| {
        let paths: Vec<String> = snapshot
            .paths
            .iter()
            .map(|path| if names_root(path) { "/".to_owned() } else { shown(path) })
            .collect();
        let created = time::seconds(snapshot.created);
        [shown(&snapshot.name), created, snapshot.files.to_string(), paths.join(", ")]
    });
    columns(["NAME", "CREATED", "FILES", "OF"], &[2], rows.collect())
}
