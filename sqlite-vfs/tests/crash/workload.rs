//! What is crashed: how a database is kept, and the steps of a workload, as data.

use std::fmt;

use daxcow::sim::Unit;

/// What the pool lies on.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Medium {
    /// Lines persist: persistent memory, for which tmpfs stands in.
    Line,
    /// Pages persist: an ordinary file on a disk.
    Page,
}

impl Medium {
    /// What persists as a whole.
    pub(crate) fn unit(self) -> Unit {
        match self {
            Medium::Line => Unit::Line,
            Medium::Page => Unit::Page,
        }
    }
}

/// How a database is kept.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Setup {
    pub(crate) medium: Medium,
    pub(crate) journal_mode: &'static str,
    pub(crate) synchronous: &'static str,
    pub(crate) page_bytes: u32,
    pub(crate) auto_vacuum: &'static str,
    pub(crate) exclusive: bool,
    /// Whether a second database, `two`, is attached.
    pub(crate) attached: bool,
}

impl Setup {
    pub(crate) fn new(medium: Medium, journal_mode: &'static str) -> Setup {
        Setup {
            medium,
            journal_mode,
            synchronous: "FULL",
            page_bytes: 4096,
            auto_vacuum: "NONE",
            exclusive: false,
            attached: false,
        }
    }

    /// The databases of a connection.
    pub(crate) fn schemas(&self) -> &'static [&'static str] {
        if self.attached { &["main", "two"] } else { &["main"] }
    }

    /// What every connection is told when it opens.
    pub(crate) fn pragmas(&self) -> String {
        let mut sql = format!(
            "PRAGMA foreign_keys=ON; PRAGMA locking_mode={};",
            if self.exclusive { "EXCLUSIVE" } else { "NORMAL" }
        );
        for schema in self.schemas() {
            sql += &format!(
                "PRAGMA {schema}.page_size={}; PRAGMA {schema}.auto_vacuum={}; PRAGMA {schema}.journal_mode={};
                 PRAGMA {schema}.synchronous={}; PRAGMA {schema}.cache_size=5;",
                self.page_bytes, self.auto_vacuum, self.journal_mode, self.synchronous
            );
        }
        sql
    }

    /// The tables that the workloads write.
    pub(crate) fn tables(&self) -> Step {
        let two = "CREATE TABLE two.log(id INTEGER PRIMARY KEY);
                   CREATE TABLE two.c(id INTEGER PRIMARY KEY, v TEXT); CREATE INDEX two.cl ON c(length(v), v);";
        Step::Write(format!(
            "BEGIN;
             CREATE TABLE log(id INTEGER PRIMARY KEY);
             CREATE TABLE a(id INTEGER PRIMARY KEY, v TEXT); CREATE INDEX av ON a(length(v), substr(v, 1, 20));
             CREATE TABLE b(id INTEGER PRIMARY KEY, a INTEGER REFERENCES a(id) ON DELETE CASCADE, v TEXT);
             CREATE INDEX ba ON b(a);
             {} COMMIT;",
            if self.attached { two } else { "" }
        ))
    }
}

impl fmt::Display for Setup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} medium, {} {}", self.medium, self.journal_mode, self.synchronous)?;
        write!(f, ", {} bytes, auto_vacuum {}", self.page_bytes, self.auto_vacuum)?;
        write!(f, "{}", if self.exclusive { ", exclusive" } else { "" })?;
        write!(f, "{}", if self.attached { ", attached" } else { "" })
    }
}

/// What is done to the database at once. The SQL is never random: the reference runs it too.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Step {
    /// One transaction that changes something, or is rolled back.
    Write(String),
    /// The same through the second connection.
    WriteOfOther(String),
    /// Anything that leaves the rows as they are: checkpoints, VACUUM, pragmas.
    Quiet(String),
    /// The same through the second connection: above all a read transaction that goes on.
    QuietOfOther(String),
    /// `daxcow_snapshot`.
    Snapshot(String),
    /// `daxcow_drop_snapshot`.
    DropSnapshot(String),
    /// `daxcow_rollback` to a snapshot.
    Rollback(String),
    /// `daxcow_clone` to a file of this name.
    Clone(String),
    /// Closes all connections and opens them again.
    Reopen,
}

/// A database, what was done to it before, and what is done to it until the crash.
#[derive(Clone, Debug)]
pub(crate) struct Workload {
    pub(crate) name: String,
    pub(crate) setup: Setup,
    /// A database and its hot rollback journal, made on the host, are in the pool at first.
    pub(crate) hot_journal: bool,
    pub(crate) before: Vec<Step>,
    pub(crate) steps: Vec<Step>,
}

impl Workload {
    /// A workload on tables that have some rows already.
    pub(crate) fn new(name: &str, setup: Setup, steps: Vec<Step>) -> Workload {
        let before = vec![setup.tables(), rows(&setup, 0, 1, 40, 300)];
        Workload { name: name.to_owned(), setup, hot_journal: false, before, steps }
    }

    /// Whether there may be a WAL at some time.
    pub(crate) fn uses_wal(&self) -> bool {
        let switches = |step: &Step| matches!(step, Step::Quiet(sql) if sql.contains("journal_mode=WAL"));
        self.setup.journal_mode == "WAL" || self.steps.iter().any(switches)
    }
}

/// `rows` rows from `id` on in the tables, of up to `bytes` each, with content that tells `number`, that of the
/// transaction. In the attached database too, where there is one.
pub(crate) fn rows(setup: &Setup, number: u32, id: u32, rows: u32, bytes: u32) -> Step {
    let two = if setup.attached { insert(&["two.c"], number, id, rows, bytes) } else { String::new() };
    transaction(setup, number, &format!("{}{two}", insert(&["a", "b"], number, id, rows, bytes)))
}

/// The statements that insert or replace such rows in `tables`.
pub(crate) fn insert(tables: &[&str], number: u32, id: u32, rows: u32, bytes: u32) -> String {
    let value = format!("replace(hex(zeroblob({bytes} * (1 + i % 7) / 28)), '00', '{number:04}')");
    let mut sql = String::new();
    for table in tables {
        let (columns, values) = if *table == "b" {
            ("id, a, v", format!("i, i, {value}"))
        } else {
            ("id, v", format!("i, {value}"))
        };
        sql += &format!(
            "INSERT OR REPLACE INTO {table}({columns}) WITH RECURSIVE n(i) AS (SELECT {id} UNION ALL SELECT i + 1 FROM n
             WHERE i < {}) SELECT {values} FROM n;",
            id + rows - 1
        );
    }
    sql
}

/// One transaction of `sql` that notes its `number` in each database.
pub(crate) fn transaction(setup: &Setup, number: u32, sql: &str) -> Step {
    Step::Write(transaction_sql(setup, number, sql))
}

/// Its text.
pub(crate) fn transaction_sql(setup: &Setup, number: u32, sql: &str) -> String {
    let two = if setup.attached { format!("INSERT INTO two.log VALUES({number});") } else { String::new() };
    format!("BEGIN IMMEDIATE; {sql} INSERT INTO main.log VALUES({number}); {two} COMMIT;")
}
