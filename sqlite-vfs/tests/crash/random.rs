//! Random workloads: a seed makes one, always the same.

use daxcow_tests::rng::Rng;

use crate::workload::{Medium, Setup, Step, Workload, insert, transaction, transaction_sql};

const SYNCHRONOUS: [&str; 5] = ["FULL", "FULL", "EXTRA", "NORMAL", "OFF"];
const AUTO_VACUUM: [&str; 4] = ["NONE", "NONE", "FULL", "INCREMENTAL"];
const JOURNAL_MODES: [&str; 7] = ["DELETE", "TRUNCATE", "PERSIST", "MEMORY", "WAL", "WAL", "WAL"];

/// The workload of `seed`.
pub(crate) fn workload(seed: u64) -> Workload {
    let mut rng = Rng::new(seed);
    let setup = setup(&mut rng);
    let mut writer = Writer { setup, rng, number: 0, snapshots: Vec::new(), clones: 0 };
    let count = 4 + writer.rng.below(10);
    let steps = (0..count).map(|_| writer.step()).collect();
    let mut workload = Workload::new(&format!("seed {seed:#x}"), setup, steps);
    if writer.rng.one_in(8) {
        workload.steps.splice(0..0, std::mem::take(&mut workload.before));
    }
    workload
}

fn setup(rng: &mut Rng) -> Setup {
    let medium = *rng.pick(&[Medium::Line, Medium::Line, Medium::Page]);
    let journal_mode = rng.pick(&JOURNAL_MODES);
    Setup {
        synchronous: SYNCHRONOUS[rng.index(SYNCHRONOUS.len())],
        page_bytes: *rng.pick(&[512, 1024, 4096, 4096, 8192, 65536]),
        auto_vacuum: AUTO_VACUUM[rng.index(AUTO_VACUUM.len())],
        exclusive: rng.one_in(6),
        attached: rng.one_in(3),
        ..Setup::new(medium, journal_mode)
    }
}

/// Makes one step after the other.
struct Writer {
    setup: Setup,
    rng: Rng,
    number: u32,
    snapshots: Vec<String>,
    clones: u32,
}

impl Writer {
    fn below(&mut self, limit: u32) -> u32 {
        u32::try_from(self.rng.below(u64::from(limit))).unwrap_or(0)
    }

    fn step(&mut self) -> Step {
        self.number += 1;
        let number = self.number;
        // Only the main database is kept and rolled back, and not while it is locked for good.
        let may_keep = !self.setup.exclusive && !self.setup.attached;
        match self.rng.weighted(&[24, 5, 4, 3, 2, 2]) {
            0 => {
                let sql = self.statements();
                transaction(&self.setup, number, &sql)
            }
            1 if !self.setup.exclusive => {
                let sql = self.statements();
                Step::WriteOfOther(transaction_sql(&self.setup, number, &sql))
            }
            2 => self.quiet(),
            3 if may_keep => self.keep(),
            4 => {
                let sql = self.statements();
                Step::Write(format!("BEGIN; {sql} ROLLBACK;"))
            }
            _ => Step::Reopen,
        }
    }

    /// What leaves the rows as they are.
    fn quiet(&mut self) -> Step {
        const CHECKPOINTS: [&str; 5] = [
            "PRAGMA wal_checkpoint(PASSIVE)",
            "PRAGMA wal_checkpoint(FULL)",
            "PRAGMA wal_checkpoint(RESTART)",
            "PRAGMA wal_checkpoint(TRUNCATE)",
            "PRAGMA wal_autocheckpoint=4",
        ];
        const ANY: [&str; 4] =
            ["VACUUM", "PRAGMA incremental_vacuum(5)", "PRAGMA cache_size=2", "PRAGMA cache_size=200"];
        let wal = self.setup.journal_mode == "WAL" && self.rng.one_in(2);
        let sql = if wal { self.rng.pick(&CHECKPOINTS) } else { self.rng.pick(&ANY) };
        Step::Quiet((*sql).to_owned())
    }

    fn keep(&mut self) -> Step {
        if self.rng.one_in(4) {
            self.clones += 1;
            return Step::Clone(format!("clone-{}.db", self.clones));
        }
        let known = self.snapshots.len();
        if known == 0 || self.rng.one_in(2) {
            let name = format!("s{}", self.number);
            self.snapshots.push(name.clone());
            return Step::Snapshot(name);
        }
        let index = self.rng.index(known);
        if self.rng.one_in(3) {
            return Step::DropSnapshot(self.snapshots.swap_remove(index));
        }
        Step::Rollback(self.snapshots[index].clone())
    }

    /// Statements of one transaction.
    fn statements(&mut self) -> String {
        let tables: &[&str] = if self.setup.attached { &["a", "b", "two.c"] } else { &["a", "b"] };
        let mut sql = String::new();
        for _ in 0..1 + self.rng.below(3) {
            let table = *self.rng.pick(tables);
            let (id, rows) = (1 + self.below(80), 1 + self.below(12));
            let bytes = *self.rng.pick(&[20, 100, 600, 600, 2500, 9000]);
            // Rows of b belong to rows of a.
            let parents =
                if table == "b" { insert(&["a"], self.number, id, rows, 30) } else { String::new() };
            let insert = format!("{parents}{}", insert(&[table], self.number, id, rows, bytes));
            sql += &match self.rng.below(8) {
                0..4 => insert,
                4 => format!("DELETE FROM {table} WHERE id BETWEEN {id} AND {};", id + rows),
                5 => format!(
                    "UPDATE {table} SET v = 'u{}' || substr(v, 1, 900) WHERE id % 5 = {};",
                    self.number,
                    id % 5
                ),
                6 => format!("SAVEPOINT s; DELETE FROM {table}; {insert} ROLLBACK TO s; RELEASE s;"),
                _ => format!("SAVEPOINT s; DELETE FROM {table} WHERE id > {id}; {insert} RELEASE s;"),
            };
        }
        sql
    }
}
