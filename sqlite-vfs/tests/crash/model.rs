//! What a database should hold: the same statements on SQLite's memory databases, which know nothing of pools.

use std::collections::BTreeMap;
use std::collections::hash_map::DefaultHasher;
use std::hash::{Hash, Hasher};

use rusqlite::Connection;
use rusqlite::types::ValueRef;

use crate::workload::{Setup, Step};

/// All rows of a database, and how it is laid out.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub(crate) struct Content {
    hash: u64,
    /// Tables and their numbers of rows, for messages.
    tables: BTreeMap<String, u64>,
}

/// What a snapshot holds.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Kept {
    /// Of the bytes of all its files.
    pub(crate) bytes: u64,
    pub(crate) content: Content,
}

/// What is acknowledged at some moment.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub(crate) struct State {
    /// By schema, `main` and `two`.
    pub(crate) databases: BTreeMap<&'static str, Content>,
    pub(crate) snapshots: BTreeMap<String, Kept>,
    /// By file name.
    pub(crate) clones: BTreeMap<String, Content>,
}

/// Reads all of a database.
///
/// # Errors
/// What SQLite says.
pub(crate) fn content(connection: &Connection, schema: &str) -> Result<Content, rusqlite::Error> {
    let mut hasher = DefaultHasher::new();
    let mut tables = BTreeMap::new();
    let layout = format!("SELECT type, name, tbl_name, sql FROM {schema}.sqlite_schema ORDER BY type, name");
    hash_rows(connection, &layout, &mut hasher)?;
    let names = format!("SELECT name FROM {schema}.sqlite_schema WHERE type = 'table' ORDER BY name");
    let mut statement = connection.prepare(&names)?;
    let names = statement.query_map([], |row| row.get(0))?.collect::<Result<Vec<String>, _>>()?;
    for name in names {
        let rows = hash_rows(connection, &format!("SELECT * FROM {schema}.{name} ORDER BY 1"), &mut hasher)?;
        tables.insert(name, rows);
    }
    Ok(Content { hash: hasher.finish(), tables })
}

fn hash_rows(
    connection: &Connection,
    query: &str,
    hasher: &mut DefaultHasher,
) -> Result<u64, rusqlite::Error> {
    let mut statement = connection.prepare(query)?;
    let columns = statement.column_count();
    let mut rows = statement.query([])?;
    let mut count = 0;
    while let Some(row) = rows.next()? {
        count += 1;
        for column in 0..columns {
            match row.get_ref(column)? {
                ValueRef::Null => 0.hash(hasher),
                ValueRef::Integer(number) => number.hash(hasher),
                ValueRef::Real(number) => number.to_bits().hash(hasher),
                ValueRef::Text(bytes) | ValueRef::Blob(bytes) => bytes.hash(hasher),
            }
        }
    }
    count.hash(hasher);
    Ok(count)
}

/// The reference: what has been done, and memory databases that have had it done to them.
pub(crate) struct Model {
    setup: Setup,
    memory: Connection,
    done: Vec<String>,
    /// What had been done when a snapshot was taken.
    kept: BTreeMap<String, Vec<String>>,
}

impl Model {
    pub(crate) fn new(setup: &Setup) -> Model {
        Model { setup: *setup, memory: empty(setup), done: Vec::new(), kept: BTreeMap::new() }
    }

    /// Does what `step` does to the rows.
    pub(crate) fn step(&mut self, step: &Step) {
        match step {
            Step::Write(sql) | Step::WriteOfOther(sql) => {
                execute(&self.memory, sql);
                self.done.push(sql.clone());
            }
            Step::Snapshot(name) => {
                self.kept.insert(name.clone(), self.done.clone());
            }
            Step::Rollback(name) => {
                let then = self.kept.get(name).expect("a workload rolls back to snapshots that it has taken");
                self.done.clone_from(then);
                self.memory = empty(&self.setup);
                self.done.iter().for_each(|sql| execute(&self.memory, sql));
            }
            Step::Quiet(_)
            | Step::QuietOfOther(_)
            | Step::DropSnapshot(_)
            | Step::Clone(_)
            | Step::Reopen => {}
        }
    }

    /// What the databases hold now.
    pub(crate) fn databases(&self) -> BTreeMap<&'static str, Content> {
        let read = |schema| content(&self.memory, schema).expect("memory databases can be read");
        self.setup.schemas().iter().map(|&schema| (schema, read(schema))).collect()
    }
}

fn empty(setup: &Setup) -> Connection {
    let memory = Connection::open_in_memory().expect("memory databases open");
    execute(&memory, "PRAGMA foreign_keys=ON;");
    if setup.attached {
        execute(&memory, "ATTACH ':memory:' AS two;");
    }
    memory
}

fn execute(memory: &Connection, sql: &str) {
    memory.execute_batch(sql).unwrap_or_else(|error| panic!("{error} in the reference: {sql}"));
}
