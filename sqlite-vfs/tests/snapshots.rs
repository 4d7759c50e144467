//! The SQL functions: snapshots and clones hold all that is committed, rollback is seen by every connection.

mod common;

use common::{Fixture, check, failure, number, run, text};
use rusqlite::{Connection, OpenFlags};

const MODES: [&str; 2] = ["DELETE", "WAL"];

fn filled(fixture: &Fixture, mode: &str) -> Connection {
    let connection = fixture.connect("main.db");
    run(
        &connection,
        &format!("PRAGMA journal_mode={mode}; CREATE TABLE t(v); INSERT INTO t VALUES(1),(2),(3);"),
    );
    connection
}

fn open_read_only(path: &str) -> Connection {
    Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_ONLY).expect("the snapshot opens")
}

#[test]
fn a_snapshot_keeps_what_was_committed_and_takes_no_writes() {
    for mode in MODES {
        let fixture = Fixture::new();
        let connection = filled(&fixture, mode);
        let path = text(&connection, "SELECT daxcow_snapshot('first')");
        run(&connection, "DELETE FROM t; INSERT INTO t VALUES(9);");
        for snapshot in [open_read_only(&path), Connection::open(&path).expect("opens")] {
            assert_eq!(number(&snapshot, "SELECT sum(v) FROM t"), 6, "{mode}");
            check(&snapshot);
            assert!(failure(&snapshot, "INSERT INTO t VALUES(1) RETURNING v").contains("readonly"), "{mode}");
        }
        assert_eq!(number(&connection, "SELECT sum(v) FROM t"), 9, "{mode}");
    }
}

#[test]
fn the_table_lists_snapshots_and_dropping_removes_them() {
    let fixture = Fixture::new();
    let connection = filled(&fixture, "DELETE");
    let path = text(&connection, "SELECT daxcow_snapshot('first')");
    run(&connection, "SELECT daxcow_snapshot('second')");
    assert_eq!(text(&connection, "SELECT group_concat(name) FROM daxcow_snapshots"), "first,second");
    assert_eq!(text(&connection, "SELECT database FROM daxcow_snapshots WHERE name='first'"), path);
    let age = number(&connection, "SELECT unixepoch() - created FROM daxcow_snapshots WHERE name='first'");
    assert!((0..60).contains(&age), "{age} seconds");
    run(&connection, "SELECT daxcow_drop_snapshot('first')");
    assert_eq!(text(&connection, "SELECT group_concat(name) FROM daxcow_snapshots"), "second");
    assert!(
        failure(&connection, "SELECT daxcow_drop_snapshot('first')").starts_with("daxcow_drop_snapshot: ")
    );
}

#[test]
fn a_clone_is_a_database_of_its_own_with_the_content_of_the_wal() {
    for mode in MODES {
        let fixture = Fixture::new();
        let connection = filled(&fixture, mode);
        let path = fixture.path("branch.db");
        run(&connection, "SELECT daxcow_clone('branch.db')");
        let clone = Connection::open(&path).expect("the clone opens");
        assert_eq!(number(&clone, "SELECT sum(v) FROM t"), 6, "{mode}");
        run(&clone, "INSERT INTO t VALUES(10)");
        run(&connection, "INSERT INTO t VALUES(20)");
        assert_eq!(number(&clone, "SELECT sum(v) FROM t"), 16, "{mode}");
        assert_eq!(number(&connection, "SELECT sum(v) FROM t"), 26, "{mode}");
        check(&clone);
        let again = format!("SELECT daxcow_clone('{}')", path.display());
        assert!(failure(&connection, &again).contains("exists already"), "{mode}");
        let outside = format!("SELECT daxcow_clone('{}')", fixture.host("branch.db").display());
        assert!(failure(&connection, &outside).contains("does not lead through the pool"), "{mode}");
        assert_eq!(number(&connection, "SELECT count(*) FROM daxcow_snapshots"), 0, "{mode}");
    }
}

#[test]
fn a_clone_of_a_snapshot_is_writable() {
    for mode in MODES {
        let fixture = Fixture::new();
        let connection = filled(&fixture, mode);
        let path = text(&connection, "SELECT daxcow_snapshot('first')");
        let snapshot = open_read_only(&path);
        let to = format!("SELECT daxcow_clone('{}')", fixture.path("branch.db").display());
        run(&snapshot, &to);
        let clone = fixture.connect("branch.db");
        run(&clone, "INSERT INTO t VALUES(10)");
        assert_eq!(number(&clone, "SELECT sum(v) FROM t"), 16, "{mode}");
    }
}

#[test]
fn rollback_is_seen_by_connections_that_cached_the_old_pages() {
    for mode in MODES {
        for rounds in 1..4 {
            let fixture = Fixture::new();
            let connection = filled(&fixture, mode);
            let other = fixture.connect("main.db");
            run(&connection, "SELECT daxcow_snapshot('first')");
            for _ in 0..rounds {
                run(&connection, "UPDATE t SET v = v + 100");
            }
            assert_eq!(number(&other, "SELECT sum(v) FROM t"), 6 + 300 * rounds, "{mode}");
            run(&connection, "SELECT daxcow_rollback('first')");
            assert_eq!(number(&other, "SELECT sum(v) FROM t"), 6, "{mode}");
            assert_eq!(number(&connection, "SELECT sum(v) FROM t"), 6, "{mode}");
            run(&other, "UPDATE t SET v = v + 1");
            assert_eq!(number(&connection, "SELECT sum(v) FROM t"), 9, "{mode}");
            run(&connection, "SELECT daxcow_rollback('first')");
            assert_eq!(number(&other, "SELECT sum(v) FROM t"), 6, "{mode}");
            check(&connection);
            assert_eq!(text(&other, "PRAGMA journal_mode"), mode.to_lowercase());
        }
    }
}

#[test]
fn a_connection_that_slept_through_a_rollback_does_not_trust_its_cache() {
    for mode in MODES {
        // As many commits after the rollback as there were before it: the snapshot's own counter would be where it was.
        for commits in 1..4 {
            let fixture = Fixture::new();
            let connection = filled(&fixture, mode);
            let sleeper = fixture.connect("main.db");
            run(&connection, "SELECT daxcow_snapshot('first')");
            for _ in 0..commits {
                run(&connection, "UPDATE t SET v = v + 100");
            }
            assert_eq!(number(&sleeper, "SELECT sum(v) FROM t"), 6 + 300 * commits, "{mode}");
            run(&connection, "SELECT daxcow_rollback('first')");
            for _ in 0..commits {
                run(&connection, "UPDATE t SET v = v + 1000");
            }
            assert_eq!(number(&sleeper, "SELECT sum(v) FROM t"), 6 + 3000 * commits, "{mode}");
        }
    }
}

#[test]
fn rollback_makes_connections_read_the_schema_again() {
    for mode in MODES {
        let fixture = Fixture::new();
        let connection = filled(&fixture, mode);
        run(&connection, "SELECT daxcow_snapshot('first'); CREATE TABLE u(a, b);");
        let other = fixture.connect("main.db");
        assert_eq!(number(&other, "SELECT count(*) FROM u"), 0, "{mode}");
        run(&connection, "SELECT daxcow_rollback('first'); CREATE TABLE w(a); INSERT INTO w VALUES(5);");
        assert!(failure(&other, "SELECT count(*) FROM u").contains("no such table"), "{mode}");
        assert_eq!(number(&other, "SELECT sum(a) FROM w"), 5, "{mode}");
        check(&other);
    }
}

#[test]
fn rollback_changes_the_page_size_with_the_content() {
    for mode in MODES {
        let fixture = Fixture::new();
        let connection = fixture.connect("main.db");
        run(
            &connection,
            "PRAGMA page_size=1024; CREATE TABLE t(v); INSERT INTO t VALUES(hex(zeroblob(5000)));",
        );
        run(&connection, "SELECT daxcow_snapshot('small'); PRAGMA page_size=8192; VACUUM;");
        run(&connection, &format!("PRAGMA journal_mode={mode}"));
        let other = fixture.connect("main.db");
        assert_eq!(number(&other, "SELECT length(v) FROM t"), 10_000, "{mode}");
        run(&connection, "SELECT daxcow_rollback('small')");
        for connection in [&connection, &other, &fixture.connect("main.db")] {
            assert_eq!(number(connection, "SELECT length(v) FROM t"), 10_000, "{mode}");
            check(connection);
        }
        assert_eq!(number(&fixture.connect("main.db"), "PRAGMA page_size"), 1024, "{mode}");
        run(&other, "INSERT INTO t VALUES(1)");
        check(&connection);
    }
}

#[test]
fn rollback_refuses_what_it_would_break() {
    for mode in MODES {
        let fixture = Fixture::new();
        let connection = filled(&fixture, mode);
        run(&connection, "SELECT daxcow_snapshot('first'); INSERT INTO t VALUES(4);");
        run(&connection, "BEGIN");
        assert!(
            failure(&connection, "SELECT daxcow_rollback('first')").contains("inside a transaction"),
            "{mode}"
        );
        run(&connection, "ROLLBACK");
        let reading = failure(&connection, "SELECT daxcow_rollback('first') FROM t");
        assert!(reading.contains("still reading"), "{mode}: {reading}");
        let missing = failure(&connection, "SELECT daxcow_rollback('none')");
        assert!(missing.contains("no snapshot none"), "{mode}: {missing}");

        let other = fixture.connect("main.db");
        run(&other, "BEGIN; SELECT * FROM t;");
        connection.busy_timeout(std::time::Duration::ZERO).expect("the timeout is set");
        let busy = failure(&connection, "SELECT daxcow_rollback('first')");
        assert!(busy.contains("in use") || busy.contains("locked"), "{mode}: {busy}");
        assert_eq!(number(&connection, "SELECT count(*) FROM t"), 4, "{mode}");
        run(&other, "COMMIT");
        run(&connection, "SELECT daxcow_rollback('first')");
        assert_eq!(number(&other, "SELECT count(*) FROM t"), 3, "{mode}");
    }
}

#[test]
fn rollbacks_and_clones_leave_no_file_behind() {
    for mode in MODES {
        let fixture = Fixture::new();
        let connection = filled(&fixture, mode);
        run(&connection, "SELECT daxcow_snapshot('first')");
        let files = || (fixture.names(), fixture.pool.usage().expect("the pool answers").inodes_used);
        let before = files();
        for _ in 0..3 {
            run(
                &connection,
                "UPDATE t SET v = 0; SELECT daxcow_rollback('first'); SELECT daxcow_clone('branch.db');",
            );
            assert_eq!(number(&fixture.connect("branch.db"), "SELECT sum(v) FROM t"), 6, "{mode}");
            for (name, needed) in [("branch.db", true), ("branch.db-wal", false)] {
                if needed || fixture.pool.exists(name).expect("it answers") {
                    fixture.pool.remove_file(name).expect("it is removed");
                }
            }
        }
        assert_eq!(files(), before, "{mode}");
    }
}

#[test]
fn the_functions_say_so_outside_of_a_pool() {
    let fixture = Fixture::new();
    let host = Connection::open(fixture.host("host.db")).expect("opens");
    for call in
        ["daxcow_snapshot('a')", "daxcow_clone('a')", "daxcow_rollback('a')", "daxcow_drop_snapshot('a')"]
    {
        assert!(failure(&host, &format!("SELECT {call}")).contains("not in a daxcow pool"), "{call}");
    }
    assert!(failure(&host, "SELECT * FROM daxcow_snapshots").contains("not in a daxcow pool"));
    assert!(failure(&host, "SELECT daxcow_snapshot(NULL)").contains("must not be NULL"));
}

#[test]
fn the_functions_cannot_be_called_from_a_schema() {
    let fixture = Fixture::new();
    let connection = filled(&fixture, "DELETE");
    run(&connection, "CREATE VIEW trap AS SELECT daxcow_snapshot('trapped')");
    assert!(failure(&connection, "SELECT * FROM trap").contains("unsafe use"));
}

#[test]
fn the_info_pragma_describes_the_pool_as_json() {
    let fixture = Fixture::new();
    let connection = filled(&fixture, "DELETE");
    let info = text(&connection, "PRAGMA daxcow_info");
    let medium: String =
        connection.query_row("SELECT ?1 ->> 'medium'", [&info], |row| row.get(0)).expect("it is JSON");
    assert_eq!(medium, "Volatile");
    assert!(info.contains("main.db"), "{info}");
}
