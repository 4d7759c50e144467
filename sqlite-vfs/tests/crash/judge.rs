//! Judging an image: what is promised of a database after a crash.
//!
//! | on | journal mode | synchronous | databases after the crash |
//! |---|---|---|---|
//! | lines | any | any | all that was acknowledged, and the transaction in flight or not |
//! | pages | a rollback mode, OFF | any | the same: a commit is one publish, whatever SQLite syncs |
//! | pages | WAL | FULL, EXTRA | the same |
//! | pages | WAL | NORMAL | some transaction since the last sync, and all before it |
//! | pages | WAL | OFF | may be damaged |
//!
//! Databases that are attached agree where SQLite makes them one transaction: in DELETE, TRUNCATE and PERSIST, with
//! synchronous other than OFF. Snapshots, clones and the pool itself are sound always.

use std::collections::BTreeMap;
use std::path::Path;

use daxcow::{OpenOptions, Pool};
use daxcow_tests::aftermath::judge_leaks;
use daxcow_tests::images::{Effort, Tally, crash_points, judge_images};
use daxcow_tests::rng::Rng;
use rusqlite::{Connection, OpenFlags};

use crate::model::{Content, State, content};
use crate::perform::{Performed, bytes_of_snapshot, connect};
use crate::workload::{Medium, Setup, Step};

/// Which states of a run a database may be in.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Promise {
    Exact,
    /// Any since the last sync.
    Prefix,
    Nothing,
}

impl Promise {
    fn of(setup: &Setup) -> Promise {
        match (setup.medium, setup.journal_mode, setup.synchronous) {
            (Medium::Page, "WAL", "NORMAL") => Promise::Prefix,
            (Medium::Page, "WAL", "OFF") => Promise::Nothing,
            _ => Promise::Exact,
        }
    }
}

/// Whether attached databases change in one transaction.
fn is_together(setup: &Setup) -> bool {
    matches!(setup.journal_mode, "DELETE" | "TRUNCATE" | "PERSIST") && setup.synchronous != "OFF"
}

/// What an image may hold.
struct Expected<'a> {
    setup: &'a Setup,
    /// What the databases may be, in the order in which they were.
    states: &'a [State],
    /// What snapshots and clones are, or will be if the step in flight has happened.
    sure: &'a [State],
    promise: Promise,
    /// A WAL may be there.
    wal: bool,
    /// An imported journal may still be there.
    hot_journal: bool,
    /// The clone that is being made, if one is.
    cloning: Option<&'a str>,
    /// Only what SQL shows counts.
    only_sql: bool,
}

/// How images are judged.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Strictness {
    /// Only what SQL shows counts: to learn which mistakes in the layer below SQL alone can find.
    pub(crate) only_sql: bool,
    /// One in so many images is crashed again while SQLite recovers it and commits a transaction; 0 for none.
    pub(crate) again_one_in: u64,
}

/// Judges the image at `path`, of a crash of `performed` after `point` events.
///
/// # Errors
/// What is wrong, as a sentence.
pub(crate) fn judge(
    path: &Path,
    performed: &Performed,
    point: usize,
    strictness: Strictness,
    rng: &mut Rng,
    tally: &mut Tally,
) -> Result<(), String> {
    let workload = &performed.workload;
    let complete = performed.complete(point);
    let end = (complete + 2).min(performed.states.len());
    let promise = Promise::of(&workload.setup);
    let from = if promise == Promise::Prefix { performed.synced(point) } else { complete };
    let cloning = match workload.steps.get(complete) {
        Some(Step::Clone(name)) => Some(name.as_str()),
        _ => None,
    };
    let expected = Expected {
        setup: &workload.setup,
        states: &performed.states[from..end],
        sure: &performed.states[complete..end],
        promise,
        wal: workload.uses_wal(),
        hot_journal: workload.hot_journal,
        cloning,
        only_sql: strictness.only_sql,
    };
    let again = strictness.again_one_in > 0 && rng.one_in(strictness.again_one_in);
    let judged = if again { expected.judge_twice(path, rng, tally) } else { expected.judge(path).map(drop) };
    judged.map_err(|what| {
        let sync = if promise == Promise::Prefix { format!(", synced up to {from}") } else { String::new() };
        format!(
            "{what}\nin step {complete} of {} ({}){sync}: {:?}",
            workload.name,
            workload.setup,
            workload.steps.get(complete)
        )
    })
}

fn sql<T>(result: Result<T, rusqlite::Error>, what: &str) -> Result<T, String> {
    result.map_err(|error| format!("{what}: {error} ({:?})", error.sqlite_error()))
}

fn pool<T>(result: daxcow::Result<T>, what: &str) -> Result<T, String> {
    result.map_err(|error| format!("{what}: {error:?}"))
}

impl Expected<'_> {
    /// Judges the image; gives the state that was found, and the one after a further transaction.
    fn judge(&self, path: &Path) -> Result<[State; 2], String> {
        let opened = pool(Pool::open_shared(path, &OpenOptions::new()), "opening the pool")?;
        if !self.only_sql {
            self.judge_pool(&opened)?;
            self.judge_names(&opened, true)?;
        }
        let found = self.judge_databases(path)?;
        let found = State { databases: found, ..self.judge_kept(&opened, path)? };
        if self.only_sql {
            return Ok([found.clone(), found]);
        }
        let after = self.go_on(path, &found)?;
        drop(opened);
        let opened = pool(Pool::open(path, &OpenOptions::new()), "opening the pool again")?;
        self.judge_pool(&opened)?;
        self.judge_names(&opened, false)?;
        Ok([found, after])
    }

    /// The pool below is sound, and every block has an owner.
    fn judge_pool(&self, opened: &Pool) -> Result<(), String> {
        let report = pool(opened.check(), "checking")?;
        if !report.is_clean() {
            return Err(format!("check found {:?}", report.problems));
        }
        judge_leaks(opened)
    }

    /// No file is there that is no database: after a crash, WALs may be.
    fn judge_names(&self, opened: &Pool, after_crash: bool) -> Result<(), String> {
        let is_known = |name: &str| {
            let sure = self.sure.iter().any(|state| state.clones.contains_key(name));
            name == "main.db" || name == "two.db" && self.setup.attached || name == ".snapshots" || sure
        };
        for entry in pool(opened.read_dir("/"), "reading the root")? {
            let name = entry.name.to_string_lossy();
            let journal = self.hot_journal && after_crash && name == "main.db-journal";
            let wal = name.strip_suffix("-wal").is_some_and(|name| {
                // A database that may be damaged is not read, and so keeps it.
                let in_use = after_crash || self.promise == Promise::Nothing;
                self.wal && in_use && is_known(name)
            });
            if !is_known(&name) && !journal && !wal {
                return Err(format!("there is a file {name}"));
            }
        }
        Ok(())
    }

    /// The databases are sound and hold what they may.
    fn judge_databases(&self, path: &Path) -> Result<BTreeMap<&'static str, Content>, String> {
        let connection = connect(path, self.setup);
        if self.promise == Promise::Nothing {
            return Ok(self.states[0].databases.clone());
        }
        let connection = sql(connection, "opening the database")?;
        let mut found = BTreeMap::new();
        for &schema in self.setup.schemas() {
            is_sound(&connection, schema)?;
            found.insert(schema, sql(content(&connection, schema), "reading all rows")?);
        }
        let is_expected = if is_together(self.setup) {
            self.states.iter().any(|state| state.databases == found)
        } else {
            found.iter().all(|(schema, found)| {
                self.states.iter().any(|state| state.databases.get(schema) == Some(found))
            })
        };
        if !is_expected {
            let allowed: Vec<_> = self.states.iter().map(|state| &state.databases).collect();
            return Err(format!("the databases hold {found:?}, which is none of {allowed:?}"));
        }
        Ok(found)
    }

    /// Snapshots and clones are there, unchanged, and can be used.
    fn judge_kept(&self, opened: &Pool, path: &Path) -> Result<State, String> {
        let mut found = State::default();
        for snapshot in pool(opened.snapshots(), "listing the snapshots")? {
            if snapshot.name.starts_with(".daxcow-") && self.cloning.is_some() {
                continue; // what a clone is made from, until somebody sweeps it
            }
            let kept = self.sure.iter().find_map(|state| state.snapshots.get(&snapshot.name));
            let Some(kept) = kept else { return Err(format!("there is a snapshot {}", snapshot.name)) };
            if pool(bytes_of_snapshot(opened, &snapshot.name), "reading a snapshot")? != kept.bytes {
                return Err(format!("the bytes of snapshot {} have changed", snapshot.name));
            }
            let inside = path.join(".snapshots").join(&snapshot.name).join("main.db");
            if self.promise != Promise::Nothing {
                holds(&inside, OpenFlags::SQLITE_OPEN_READ_ONLY, &kept.content)?;
            }
            found.snapshots.insert(snapshot.name, kept.clone());
        }
        for name in self.sure.iter().flat_map(|state| state.clones.keys()) {
            let cloned = self.sure.iter().find_map(|state| state.clones.get(name));
            if let Some(content) = cloned
                && pool(opened.exists(name), "looking for a clone")?
            {
                if self.promise != Promise::Nothing {
                    holds(&path.join(name), OpenFlags::default(), content)?;
                }
                found.clones.insert(name.clone(), content.clone());
            }
        }
        let is_expected = |state: &State| state.snapshots == found.snapshots && state.clones == found.clones;
        if !self.sure.iter().any(is_expected) {
            return Err(format!("of the snapshots and clones there are only {found:?}"));
        }
        Ok(found)
    }

    /// A further transaction commits, a clone that was interrupted can be made; gives the state after.
    fn go_on(&self, path: &Path, found: &State) -> Result<State, String> {
        if self.promise == Promise::Nothing {
            return Ok(found.clone());
        }
        let mut after = found.clone();
        let connection = sql(connect(path, self.setup), "opening the database again")?;
        if let Some(name) = self.cloning.filter(|&name| !found.clones.contains_key(name)) {
            let call = format!("SELECT daxcow_clone('{name}')");
            sql(connection.execute_batch(&call), "making the interrupted clone")?;
            holds(&path.join(name), OpenFlags::default(), &found.databases["main"])?;
            after.clones.insert(name.to_owned(), found.databases["main"].clone());
        }
        let mut further = "BEGIN;".to_owned();
        for schema in self.setup.schemas() {
            further += &format!(
                "CREATE TABLE IF NOT EXISTS {schema}.further(number); INSERT INTO {schema}.further VALUES(1);"
            );
        }
        sql(connection.execute_batch(&format!("{further} COMMIT;")), "a further transaction")?;
        for (&schema, content_of) in &mut after.databases {
            is_sound(&connection, schema)?;
            *content_of = sql(content(&connection, schema), "reading all rows")?;
        }
        drop(connection);
        let connection = sql(connect(path, self.setup), "opening the database at last")?;
        for (schema, expected) in &after.databases {
            if sql(content(&connection, schema), "reading all rows")? != *expected {
                return Err(format!("the further transaction is lost in {schema}"));
            }
        }
        Ok(after)
    }

    /// Judges the image, and images of crashes while it was judged.
    fn judge_twice(&self, path: &Path, rng: &mut Rng, tally: &mut Tally) -> Result<(), String> {
        let opened = pool(Pool::open_shared(path, &OpenOptions::new()), "opening the pool")?;
        pool(opened.record(), "recording")?;
        let states = {
            let found = self.judge_databases(path)?;
            let found = State { databases: found, ..self.judge_kept(&opened, path)? };
            let after = self.go_on(path, &found)?;
            [found, after]
        };
        let recording = opened.stop_recording().ok_or("the recording is gone")?;
        drop(opened);
        let expected = Expected { states: &states, sure: &states, promise: self.promise, ..*self };
        let mut points = crash_points(&recording);
        while points.len() > 3 {
            points.swap_remove(rng.index(points.len()));
        }
        points.sort_unstable();
        let file_bytes = std::fs::metadata(path).map_err(|error| error.to_string())?.len();
        let effort = Effort { unit: self.setup.medium.unit(), ..Effort::default() };
        let mut judge = |path: &Path, _| expected.judge(path).map(drop);
        judge_images(&recording, &points, file_bytes, effort, rng, tally, &mut judge)
            .map_err(|what| format!("{what}\nof the recovery"))
    }
}

fn is_sound(connection: &Connection, schema: &str) -> Result<(), String> {
    let check = format!("PRAGMA {schema}.integrity_check");
    let answer: String = sql(connection.query_row(&check, [], |row| row.get(0)), &check)?;
    if answer != "ok" {
        return Err(format!("{check}: {answer}"));
    }
    let check = format!("PRAGMA {schema}.foreign_key_check");
    let mut statement = sql(connection.prepare(&check), &check)?;
    match sql(statement.exists([]), &check)? {
        true => Err(format!("{check}: a row refers to none")),
        false => Ok(()),
    }
}

/// The database at `path` is sound and holds `expected`.
fn holds(path: &Path, flags: OpenFlags, expected: &Content) -> Result<(), String> {
    let place = path.display();
    let connection = sql(Connection::open_with_flags(path, flags), &format!("opening {place}"))?;
    is_sound(&connection, "main").map_err(|what| format!("{place}: {what}"))?;
    let found = sql(content(&connection, "main"), &format!("reading {place}"))?;
    if found == *expected { Ok(()) } else { Err(format!("{place} holds {found:?} and not {expected:?}")) }
}
