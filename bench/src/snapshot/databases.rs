//! Copying an SQLite database while it is open, by SQL where there is a way.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use daxcow::{OpenOptions, Pool};
use rusqlite::backup::Backup;
use rusqlite::{Connection, OpenFlags};

use crate::host;
use crate::ours;
use crate::report::{Sheet, Table};
use crate::run::{Run, bytes};
use crate::turns::{balanced, over_and_over};

const SIDES: [&str; 5] =
    ["SQL daxcow_snapshot()", "SQL daxcow_clone()", "VACUUM INTO", "SQLite backup", "cp"];

pub(super) fn run(run: &Run) -> Result<[Table; 2]> {
    daxcow_sqlite::register(false).context("register the VFS")?;
    let title = "Copying an SQLite database that is open, by its size";
    let sheet = |name, title| Sheet::times(name, title, "us", SIDES[0]).along("size of the database");
    let mut cold =
        sheet("databases-cold", "Copying an SQLite database that is open, with empty caches, by its size");
    let mut sheet = sheet("databases", title);
    let shifts = run.effort().pick(&[20, 22][..], &[20, 24, 27], &[20, 24, 27, 30]);
    run.expect(shifts.len() * run.rounds() as usize * SIDES.len());
    let pool_path = run.path("databases.pool");
    for size in shifts.iter().map(|shift| 1_u64 << shift) {
        let pool = ours::pool(&pool_path, 2 * size + (64 << 20), run.flush())?;
        let plain = run.path("plain.db");
        let copy = run.path("copy.db");
        let inside = filled(&pool_path.join("main.db"), "daxcow", size)?;
        let outside = filled(&plain, "unix", size)?;
        for round in 0..run.rounds() {
            for index in balanced(round, SIDES.len()) {
                run.step(&format!("{}, {}", bytes(size), SIDES[index]));
                let copying = || match index {
                    0 => Ok(inside.query_row("SELECT daxcow_snapshot('copy')", [], |_| Ok(()))?),
                    1 => Ok(inside.query_row("SELECT daxcow_clone('copy.db')", [], |_| Ok(()))?),
                    2 => Ok(outside.execute("VACUUM INTO ?1", [copy.to_string_lossy()]).map(drop)?),
                    3 => backup(&outside, &copy),
                    _ => host::run("cp", &[plain.as_os_str(), copy.as_os_str()]),
                };
                let removing = || match index {
                    0 => Ok(pool.delete_snapshot("copy")?),
                    1 => Ok(pool.remove_file("/copy.db")?),
                    _ => std::fs::remove_file(&copy).context("remove the copy"),
                };
                let turn = over_and_over(run, copying, removing)
                    .with_context(|| format!("{} of {}", SIDES[index], bytes(size)))?;
                sheet.add_at(size as f64, &bytes(size), SIDES[index], turn.warm);
                cold.add_at(size as f64, &bytes(size), SIDES[index], turn.cold);
            }
        }
        drop((inside, outside));
        drop(pool);
        ensure!(
            Pool::open(&pool_path, &OpenOptions::new())?.check()?.problems.is_empty(),
            "the pool is sound"
        );
        for path in [&pool_path, &plain] {
            std::fs::remove_file(path).with_context(|| format!("remove {}", path.display()))?;
        }
    }
    Ok([sheet, cold].map(|sheet| sheet.finish(&SIDES)))
}

/// A database of about so many bytes.
fn filled(path: &Path, vfs: &str, size: u64) -> Result<Connection> {
    let uri = format!("file:{}?vfs={vfs}", path.display());
    let connection =
        Connection::open_with_flags(&uri, OpenFlags::default()).with_context(|| format!("open {uri}"))?;
    let rows = size / 1100;
    connection.execute_batch(&format!(
        "CREATE TABLE t(id INTEGER PRIMARY KEY, v BLOB);
         WITH RECURSIVE n(id) AS (SELECT 1 UNION ALL SELECT id + 1 FROM n WHERE id < {rows})
         INSERT INTO t SELECT id, randomblob(1000) FROM n;"
    ))?;
    Ok(connection)
}

fn backup(from: &Connection, to: &Path) -> Result<()> {
    let uri = format!("file:{}?vfs=unix", to.display());
    let mut to =
        Connection::open_with_flags(&uri, OpenFlags::default()).with_context(|| format!("open {uri}"))?;
    Ok(Backup::new(from, &mut to)?.run_to_completion(1 << 20, Duration::ZERO, None)?)
}
