//! The workloads that are always crashed, by theme.

use crate::workload::{Medium, Setup, Step, Workload, insert, rows, transaction, transaction_sql};

use Medium::{Line, Page};
use Step::{Clone, DropSnapshot, Quiet, QuietOfOther, Reopen, Rollback, Snapshot, Write, WriteOfOther};

fn quiet(sql: &str) -> Step {
    Quiet(sql.to_owned())
}

/// Multi-row transactions, changes, savepoints that are rolled back, more than the cache holds, VACUUM.
fn changes(setup: &Setup) -> Vec<Step> {
    let insert = |number, id, count, bytes| insert(&["a", "b"], number, id, count, bytes);
    vec![
        rows(setup, 1, 41, 5, 100),
        transaction(setup, 2, "UPDATE a SET v = 'changed' || v WHERE id % 3 = 0;"),
        transaction(
            setup,
            3,
            &format!(
                "SAVEPOINT s; DELETE FROM a; {} ROLLBACK TO s; RELEASE s; {}",
                insert(3, 1, 60, 2000),
                insert(3, 50, 3, 9)
            ),
        ),
        transaction(setup, 4, "DELETE FROM a WHERE id BETWEEN 10 AND 30;"),
        Write(format!("BEGIN; {} ROLLBACK;", insert(5, 100, 60, 3000))),
        transaction(setup, 6, &insert(6, 60, 40, 4000)),
        transaction(
            setup,
            7,
            "DELETE FROM b WHERE id > 55; INSERT INTO a VALUES(1000, replace(hex(zeroblob(90000)), '00', '0007'));",
        ),
        quiet("VACUUM"),
        transaction(setup, 8, "UPDATE a SET v = substr(v, 1, 10);"),
    ]
}

/// Rollback journal modes and levels of durability, with pages of every kind.
pub(crate) fn rollback_modes() -> Vec<Workload> {
    let kinds = [
        ("DELETE", "FULL", 1024, Line),
        ("DELETE", "NORMAL", 4096, Page),
        ("TRUNCATE", "NORMAL", 4096, Line),
        ("TRUNCATE", "EXTRA", 1024, Page),
        ("PERSIST", "EXTRA", 65536, Line),
        ("PERSIST", "FULL", 4096, Page),
        ("MEMORY", "FULL", 4096, Line),
        ("MEMORY", "OFF", 1024, Page),
        ("DELETE", "OFF", 4096, Line),
        ("OFF", "FULL", 4096, Line),
    ];
    let workload = |(journal_mode, synchronous, page_bytes, medium)| {
        let setup = Setup { synchronous, page_bytes, ..Setup::new(medium, journal_mode) };
        let mut steps = changes(&setup);
        if journal_mode == "OFF" {
            steps.retain(|step| !matches!(step, Write(sql) if sql.contains("ROLLBACK"))); // undefined by SQLite
        }
        Workload::new("changes", setup, steps)
    };
    kinds.map(workload).into()
}

/// WAL mode, with all kinds of checkpoints.
pub(crate) fn wal() -> Vec<Workload> {
    let kinds = [
        ("FULL", 4096, Line),
        ("NORMAL", 1024, Line),
        ("OFF", 65536, Line),
        ("FULL", 1024, Page),
        ("NORMAL", 4096, Page),
        ("OFF", 4096, Page),
        ("EXTRA", 4096, Page),
    ];
    let workload = |(synchronous, page_bytes, medium)| {
        let setup = Setup { synchronous, page_bytes, ..Setup::new(medium, "WAL") };
        let mut steps = vec![
            rows(&setup, 11, 1, 10, 500),
            quiet("PRAGMA wal_checkpoint(PASSIVE)"),
            rows(&setup, 12, 5, 10, 700),
            rows(&setup, 13, 300, 2, 100),
            quiet("PRAGMA wal_checkpoint(RESTART)"),
            rows(&setup, 14, 20, 2, 100), // over the old frames
            rows(&setup, 15, 21, 2, 100),
            quiet("PRAGMA wal_checkpoint(FULL)"),
            rows(&setup, 16, 22, 2, 100),
            quiet("PRAGMA wal_checkpoint(TRUNCATE)"),
            quiet("PRAGMA wal_autocheckpoint=5"),
        ];
        steps.extend(changes(&setup));
        steps.extend([Reopen, rows(&setup, 17, 1, 3, 90)]);
        Workload::new("checkpoints", setup, steps)
    };
    kinds.map(workload).into()
}

/// Several databases in one transaction.
pub(crate) fn attached() -> Vec<Workload> {
    let kinds = [
        ("DELETE", "FULL", 4096, Line),
        ("TRUNCATE", "NORMAL", 1024, Line),
        ("PERSIST", "EXTRA", 4096, Page),
        ("DELETE", "OFF", 4096, Line),
        ("MEMORY", "FULL", 4096, Line),
        ("WAL", "FULL", 4096, Line),
        ("WAL", "FULL", 4096, Page),
    ];
    let workload = |(journal_mode, synchronous, page_bytes, medium)| {
        let setup = Setup { synchronous, page_bytes, attached: true, ..Setup::new(medium, journal_mode) };
        let mut steps = changes(&setup);
        let both = "DELETE FROM a WHERE id % 2; DELETE FROM two.c WHERE id % 2 = 0;";
        steps.insert(2, transaction(&setup, 20, both));
        let half = insert(&["two.c"], 21, 1, 60, 3000);
        steps.insert(3, transaction(&setup, 21, &format!("SAVEPOINT s; {half} ROLLBACK TO s;")));
        steps.insert(4, Write(format!("BEGIN; {half} DELETE FROM a; ROLLBACK;")));
        Workload::new("attached", setup, steps)
    };
    kinds.map(workload).into()
}

/// Changes of the schema, vacuuming as one goes, exclusive locking, and a database that begins as nothing.
pub(crate) fn layouts() -> Vec<Workload> {
    let schema = |setup: &Setup| {
        vec![
            transaction(setup, 1, "ALTER TABLE a ADD COLUMN extra DEFAULT 'more'; CREATE INDEX bv ON b(v);"),
            transaction(setup, 2, "CREATE VIEW both AS SELECT a.id, b.v FROM a JOIN b ON b.a = a.id;"),
            transaction(
                setup,
                3,
                "CREATE TABLE counted(n); INSERT INTO counted VALUES(0); CREATE TRIGGER count AFTER INSERT ON a BEGIN \
                 UPDATE counted SET n = n + 1; END; CREATE TABLE bare(k PRIMARY KEY, v) WITHOUT ROWID;",
            ),
            transaction(
                setup,
                4,
                "INSERT INTO bare SELECT 'k' || id, v FROM a; INSERT INTO a(id, v) VALUES(900, 'new');",
            ),
            transaction(setup, 5, "DROP VIEW both; ALTER TABLE bare RENAME TO bald; DROP INDEX bv; ANALYZE;"),
            transaction(setup, 6, "DROP TABLE bald; ALTER TABLE a DROP COLUMN extra;"),
            quiet("VACUUM"),
        ]
    };
    let mut workloads = Vec::new();
    for (journal_mode, medium) in [("DELETE", Line), ("WAL", Page)] {
        let setup = Setup::new(medium, journal_mode);
        workloads.push(Workload::new("schema", setup, schema(&setup)));
    }
    for (auto_vacuum, journal_mode, medium) in
        [("FULL", "DELETE", Line), ("INCREMENTAL", "TRUNCATE", Page), ("FULL", "WAL", Line)]
    {
        let setup = Setup { auto_vacuum, page_bytes: 1024, ..Setup::new(medium, journal_mode) };
        let mut steps = changes(&setup);
        steps.insert(4, quiet("PRAGMA incremental_vacuum(7)"));
        steps.insert(6, quiet("PRAGMA incremental_vacuum"));
        workloads.push(Workload::new("auto_vacuum", setup, steps));
    }
    for (journal_mode, medium) in [("DELETE", Page), ("PERSIST", Line), ("WAL", Line)] {
        let setup = Setup { exclusive: true, ..Setup::new(medium, journal_mode) };
        workloads.push(Workload::new("exclusive", setup, changes(&setup)));
    }
    for (journal_mode, medium) in [("DELETE", Line), ("WAL", Page), ("WAL", Line)] {
        let setup = Setup::new(medium, journal_mode);
        let mut steps = vec![setup.tables(), rows(&setup, 1, 1, 20, 900), Reopen, rows(&setup, 2, 1, 20, 90)];
        for mode in ["WAL", "TRUNCATE", "WAL", "DELETE"] {
            steps.push(Quiet(format!("PRAGMA journal_mode={mode}")));
            steps.push(rows(&setup, 3, 30, 4, 100));
        }
        workloads
            .push(Workload { before: Vec::new(), ..Workload::new("from nothing", setup, numbered(steps)) });
    }
    workloads
}

/// Makes the numbers of repeated transactions differ.
fn numbered(steps: Vec<Step>) -> Vec<Step> {
    let number = |(index, step)| match step {
        Write(sql) => Write(sql.replace("main.log VALUES(", &format!("main.log VALUES(1000{index}"))),
        step => step,
    };
    steps.into_iter().enumerate().map(number).collect()
}

/// Snapshots, clones and rollbacks from SQL, between transactions.
pub(crate) fn snapshots() -> Vec<Workload> {
    let name = |name: &str| name.to_owned();
    let workload = |(journal_mode, medium)| {
        let setup = Setup::new(medium, journal_mode);
        let steps = vec![
            Snapshot(name("first")),
            rows(&setup, 1, 1, 30, 500),
            Clone(name("clone.db")),
            rows(&setup, 2, 10, 10, 100),
            Snapshot(name("second")),
            transaction(&setup, 3, "DELETE FROM a WHERE id % 2;"),
            Rollback(name("first")),
            rows(&setup, 4, 1, 5, 50),
            Rollback(name("second")),
            rows(&setup, 5, 1, 5, 60),
            DropSnapshot(name("first")),
            quiet("VACUUM"),
            Clone(name("other.db")),
            rows(&setup, 6, 5, 5, 70),
            DropSnapshot(name("second")),
            rows(&setup, 7, 5, 5, 80),
        ];
        Workload::new("snapshots", setup, steps)
    };
    [("DELETE", Line), ("WAL", Line), ("PERSIST", Page), ("WAL", Page)].map(workload).into()
}

/// Two connections, and a database that comes with a journal to be played back.
pub(crate) fn others() -> Vec<Workload> {
    let mut workloads = Vec::new();
    for (journal_mode, synchronous, medium) in
        [("WAL", "FULL", Line), ("WAL", "NORMAL", Page), ("DELETE", "FULL", Line)]
    {
        let setup = Setup { synchronous, ..Setup::new(medium, journal_mode) };
        let other = |number| {
            WriteOfOther(transaction_sql(&setup, number, &insert(&["a", "b"], number, 30 + number, 9, 600)))
        };
        let mut steps = vec![rows(&setup, 1, 1, 9, 400), other(2), rows(&setup, 3, 10, 9, 500), other(4)];
        if journal_mode == "WAL" {
            // A reader keeps checkpoints from finishing and the WAL from starting over.
            steps.extend([
                quiet("PRAGMA wal_checkpoint(TRUNCATE)"),
                rows(&setup, 5, 1, 9, 300),
                QuietOfOther("BEGIN; SELECT count(*) FROM a;".to_owned()),
                rows(&setup, 6, 1, 9, 200),
                quiet("PRAGMA wal_checkpoint(PASSIVE)"),
                rows(&setup, 7, 1, 9, 300),
                QuietOfOther("COMMIT; PRAGMA wal_checkpoint(RESTART);".to_owned()),
                rows(&setup, 8, 1, 2, 300),
                other(9),
            ]);
        }
        workloads.push(Workload::new("two connections", setup, steps));
    }
    for (page_bytes, synchronous, medium) in [(1024, "FULL", Line), (4096, "OFF", Line), (4096, "FULL", Page)]
    {
        let setup = Setup { page_bytes, synchronous, ..Setup::new(medium, "DELETE") };
        let steps =
            vec![quiet("SELECT count(*) FROM a"), rows(&setup, 1, 1, 9, 400), rows(&setup, 2, 1, 9, 300)];
        workloads.push(Workload { hot_journal: true, ..Workload::new("hot journal", setup, steps) });
    }
    workloads
}
