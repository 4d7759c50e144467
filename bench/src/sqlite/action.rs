//! What is done to a database, over and over.

use std::fmt;

use anyhow::{Result, ensure};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use rusqlite::Connection;
use serde::{Deserialize, Serialize};

use crate::run::Budget;

const NEW: &str = "a row of some fifty bytes that has just been inserted";
const CHANGED: &str = "a row of some fifty bytes that has been changed now";

/// Something that is done to a database, one transaction at a time.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(crate) enum Action {
    /// A transaction that inserts so many rows.
    Insert(u32),
    /// A transaction that changes so many random rows.
    Update(u32),
    /// A random row by its key.
    Select,
    /// Nine rows read, one changed, each in a transaction of its own.
    Mixed,
}

impl fmt::Display for Action {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Action::Insert(1) => write!(to, "INSERT, 1 row"),
            Action::Insert(rows) => write!(to, "INSERT, {rows} rows"),
            Action::Update(1) => write!(to, "UPDATE, 1 row"),
            Action::Update(rows) => write!(to, "UPDATE, {rows} rows"),
            Action::Select => write!(to, "SELECT by key"),
            Action::Mixed => write!(to, "9 SELECT : 1 UPDATE"),
        }
    }
}

impl Action {
    /// Rows of one transaction.
    pub(super) fn rows(self) -> u64 {
        match self {
            Action::Insert(rows) | Action::Update(rows) => rows.into(),
            Action::Select | Action::Mixed => 1,
        }
    }

    /// Transactions within a budget on a database whose table has at least `rows` rows; microseconds of one.
    pub(super) fn perform(self, connection: &mut Connection, rows: u32, budget: Budget) -> Result<f64> {
        let mut random = StdRng::seed_from_u64(u64::from(std::process::id()));
        let mut insert = connection.prepare("INSERT INTO t(v) VALUES (?1)")?;
        let mut update = connection.prepare("UPDATE t SET v = ?2 WHERE id = ?1")?;
        let mut select = connection.prepare("SELECT length(v) FROM t WHERE id = ?1")?;
        let mut begin = connection.prepare("BEGIN IMMEDIATE")?;
        let mut commit = connection.prepare("COMMIT")?;
        let mut in_transaction = |rows: u32, change: &mut dyn FnMut() -> Result<()>| -> Result<()> {
            if rows == 1 {
                return change();
            }
            begin.execute([])?;
            (0..rows).try_for_each(|_| change())?;
            commit.execute([])?;
            Ok(())
        };
        let mut change_one = |random: &mut StdRng| -> Result<()> {
            let changed = update.execute((random.random_range(1..=rows), CHANGED))?;
            ensure!(changed == 1, "the row is there");
            Ok(())
        };
        let mut select_one = |random: &mut StdRng| -> Result<()> {
            let length: u32 = select.query_row([random.random_range(1..=rows)], |row| row.get(0))?;
            ensure!(length > 0, "the row has a text");
            Ok(())
        };
        budget.spend(|number| match self {
            Action::Insert(count) => in_transaction(count, &mut || {
                insert.execute([NEW])?;
                Ok(())
            }),
            Action::Update(count) => in_transaction(count, &mut || change_one(&mut random)),
            Action::Select => select_one(&mut random),
            Action::Mixed if number % 10 == 9 => change_one(&mut random),
            Action::Mixed => select_one(&mut random),
        })
    }
}
