//! What the SQL functions, the table `daxcow_snapshots` and `PRAGMA daxcow_info` do. They act on the main database of the
//! connection: a snapshot covers its file, its WAL and a rollback journal that came from elsewhere.

use crate::ffi::connection::Connection;
use crate::main_db::{Content, MainDb};
use crate::open::sibling;
use crate::pools::{self, OpenPool, PoolRef};
use crate::private_clone::{PRIVATE_PREFIX, clone_file, private_path};
use crate::rollback::rollback;
use daxcow::{ErrorKind, KnownName, SnapshotInfo};
use std::ffi::CStr;
use std::path::{Path, PathBuf};
use std::time::{Duration, UNIX_EPOCH};

/// An SQL function of one text argument that returns text; an error is a sentence for people.
pub(crate) struct Command {
    pub(crate) name: &'static CStr,
    pub(crate) run: fn(Connection<'_>, &str) -> Result<String, String>,
}

/// The SQL functions.
pub(crate) const COMMANDS: [Command; 4] = [
    Command { name: c"daxcow_snapshot", run: snapshot },
    Command { name: c"daxcow_clone", run: clone },
    Command { name: c"daxcow_rollback", run: rollback },
    Command { name: c"daxcow_drop_snapshot", run: drop_snapshot },
];

/// Runs `visit` on the main database's file.
pub(crate) fn on_main<R>(
    connection: Connection<'_>,
    visit: impl FnOnce(&mut MainDb) -> Result<R, String>,
) -> Result<R, String> {
    let not_ours = || Err("the main database is not in a daxcow pool".to_owned());
    connection.with_main(visit).unwrap_or_else(not_ours)
}

/// The backend's message.
pub(crate) fn message(error: daxcow::Error) -> String {
    error.to_string()
}

/// The files that make up the database now: itself, and its WAL and journal where there are some. Asked again with the same `known`,
/// it looks up only what may have changed.
fn files(main: &MainDb, known: &mut [KnownName; 2]) -> Result<Vec<PathBuf>, String> {
    let mut files = vec![main.path.clone()];
    for (path, known) in [main.wal_path(), main.journal_path()].into_iter().zip(known) {
        if main.pool.pool.exists_known(&path, known).map_err(message)? {
            files.push(path);
        }
    }
    Ok(files)
}

/// Takes a snapshot of the files of the database. Where a WAL came or went meanwhile, with the first connection in WAL mode
/// or the last one, it is taken again: the database without its WAL is not all of it.
fn take_snapshot(main: &MainDb, name: &str) -> Result<SnapshotInfo, String> {
    if main.content != Content::Live {
        return Err("this database is in a snapshot already".to_owned());
    }
    let mut known = <[KnownName; 2]>::default();
    loop {
        let before = files(main, &mut known)?;
        let taken = match main.pool.pool.create_snapshot(name, &before) {
            Err(error) if error.kind() == ErrorKind::NotFound => None,
            result => Some(result.map_err(message)?),
        };
        let unchanged = files(main, &mut known)? == before;
        match taken {
            Some(taken) if unchanged => return Ok(taken),
            Some(_) => main.pool.pool.delete_snapshot(name).map_err(message)?,
            None if unchanged => {
                return Err(format!("the database {} has been removed", main.path.display()));
            }
            None => {}
        }
    }
}

/// `daxcow_snapshot(name)`: returns the path under which the snapshot of this database opens.
fn snapshot(connection: Connection<'_>, name: &str) -> Result<String, String> {
    on_main(connection, |main| {
        let taken = take_snapshot(main, name)?;
        Ok(name_in_snapshot(&main.pool, &taken.name, &main.path))
    })
}

/// `daxcow_drop_snapshot(name)`: returns the name.
fn drop_snapshot(connection: Connection<'_>, name: &str) -> Result<String, String> {
    on_main(connection, |main| {
        main.pool.pool.delete_snapshot(name).map_err(message)?;
        Ok(name.to_owned())
    })
}

/// `daxcow_clone(path)`: a writable copy of this database as it is now, at a path through the same pool; a name without a
/// slash is one beside this database. Returns the full path.
fn clone(connection: Connection<'_>, to: &str) -> Result<String, String> {
    on_main(connection, |main| {
        let target = clone_target(main, to)?;
        if main.pool.pool.exists(&target).map_err(message)? {
            return Err(format!("{to} exists already"));
        }
        if main.content != Content::Live {
            clone_files(
                &main.pool,
                &files(main, &mut Default::default())?,
                Path::new(""),
                &main.path,
                &target,
            )?;
        } else {
            // The snapshot makes it one instant for the database and its WAL.
            sweep(&main.pool)?;
            let name = private_path().display().to_string();
            let taken = take_snapshot(main, &name)?;
            let inside = snapshot_root(&taken.name);
            let cloned = clone_files(&main.pool, &taken.paths, &inside, &main.path, &target);
            main.pool.pool.delete_snapshot(&name).map_err(message)?;
            cloned?;
        }
        Ok(String::from_utf8_lossy(&main.pool.full_name(&target)).into_owned())
    })
}

/// Removes what processes that were killed while they cloned have left.
fn sweep(pool: &OpenPool) -> Result<(), String> {
    /// No clone takes as long.
    const AGE: Duration = Duration::from_secs(600);
    // Going through all snapshots takes as long as many clones, where there are many.
    if !pool.is_sweep_due(AGE) {
        return Ok(());
    }
    for snapshot in pool.pool.snapshots().map_err(message)? {
        if is_private(&snapshot) && snapshot.created.elapsed().is_ok_and(|age| age > AGE) {
            match pool.pool.delete_snapshot(&snapshot.name) {
                Err(error) if error.kind() != ErrorKind::NotFound => return Err(message(error)),
                _ => {}
            }
        }
    }
    Ok(())
}

/// Whether a snapshot was made for the length of a clone.
fn is_private(snapshot: &SnapshotInfo) -> bool {
    snapshot.name.starts_with(PRIVATE_PREFIX)
}

/// Clones `files`, which lie below `inside` and do not change, from the database `from` to `target`: all names come at once,
/// as the database without its WAL is not all of it.
fn clone_files(
    pool: &PoolRef,
    files: &[PathBuf],
    inside: &Path,
    from: &Path,
    target: &Path,
) -> Result<(), String> {
    let from = from.as_os_str().as_encoded_bytes();
    let mut clones = Vec::new();
    for file in files {
        let file = file.strip_prefix("/").unwrap_or(file);
        let Some(suffix) = file.as_os_str().as_encoded_bytes().strip_prefix(from) else { continue };
        let original = inside.join(file);
        let clone = clone_file(pool, &original).map_err(message)?;
        let clone = clone.ok_or_else(|| format!("{} has been removed", original.display()))?;
        clones.push((clone, sibling(target, std::str::from_utf8(suffix).unwrap_or_default())));
    }
    let names: Vec<_> = clones.iter().map(|(clone, name)| (clone, name)).collect();
    pool.pool.link(&names).map_err(message)
}

fn clone_target(main: &MainDb, to: &str) -> Result<PathBuf, String> {
    if !to.contains('/') && !to.is_empty() {
        return Ok(main.path.with_file_name(to));
    }
    match pools::resolve(to.as_bytes()).map_err(message)? {
        Some(place) if place.pool == main.pool.pool.path() => Ok(place.inner),
        _ => Err(format!("{to} does not lead through the pool {}", main.pool.pool.path().display())),
    }
}

/// Where the files of a snapshot lie in the pool.
fn snapshot_root(name: &str) -> PathBuf {
    Path::new(".snapshots").join(name)
}

/// The path of the database at `path` as the snapshot `name` holds it, in the pool.
pub(crate) fn path_in_snapshot(name: &str, path: &Path) -> PathBuf {
    snapshot_root(name).join(path)
}

fn name_in_snapshot(pool: &OpenPool, name: &str, path: &Path) -> String {
    String::from_utf8_lossy(&pool.full_name(&path_in_snapshot(name, path))).into_owned()
}

/// A row of `daxcow_snapshots`.
pub(crate) struct SnapshotRow {
    pub(crate) name: String,
    /// Seconds since 1970-01-01 UTC.
    pub(crate) created: i64,
    pub(crate) files: i64,
    /// The paths that were asked for, a line each.
    pub(crate) paths: String,
    /// What to open to read this database as it was; `None` if the snapshot does not hold it.
    pub(crate) database: Option<String>,
}

/// The rows of `daxcow_snapshots`, oldest first.
pub(crate) fn list_snapshots(connection: Connection<'_>) -> Result<Vec<SnapshotRow>, String> {
    on_main(connection, |main| {
        let snapshots = main.pool.pool.snapshots().map_err(message)?;
        snapshots
            .into_iter()
            .filter(|snapshot| !is_private(snapshot))
            .map(|snapshot| row(main, snapshot))
            .collect()
    })
}

fn row(main: &MainDb, snapshot: SnapshotInfo) -> Result<SnapshotRow, String> {
    let inside = path_in_snapshot(&snapshot.name, &main.path);
    let held = main.pool.pool.exists(inside).map_err(message)?;
    let created = snapshot.created.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    let paths: Vec<_> = snapshot.paths.iter().map(|path| path.to_string_lossy()).collect();
    Ok(SnapshotRow {
        created: i64::try_from(created).unwrap_or(i64::MAX),
        files: i64::try_from(snapshot.files).unwrap_or(i64::MAX),
        paths: paths.join("\n"),
        database: held.then(|| name_in_snapshot(&main.pool, &snapshot.name, &main.path)),
        name: snapshot.name,
    })
}

/// `PRAGMA daxcow_info`: the pool, its medium and what survives what, as JSON.
pub(crate) fn info(main: &MainDb) -> String {
    let durability = main.pool.pool.durability();
    let mut info = serde_json::json!({
        "version": env!("CARGO_PKG_VERSION"),
        "pool": main.pool.pool.path().to_string_lossy(),
        "path": main.path.to_string_lossy(),
        "medium": format!("{:?}", durability.medium),
        "survives_process_death": durability.survives_process_death,
        "survives_power_loss": durability.survives_power_loss,
        "durability": durability.description,
    });
    if let Ok(usage) = main.pool.pool.usage() {
        info["total_bytes"] = usage.total_bytes.into();
        info["free_bytes"] = usage.free_bytes.into();
        info["used_bytes"] = usage.used_bytes.into();
    }
    info.to_string()
}
