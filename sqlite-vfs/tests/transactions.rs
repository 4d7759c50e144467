//! Transactions over a pool keep SQLite's promises in every mode: all or nothing, to everyone, whatever fails.

mod common;

use common::{Fixture, check, failure, number, run, text};
use rusqlite::{Connection, OpenFlags};

const MODES: [&str; 6] = ["DELETE", "TRUNCATE", "PERSIST", "MEMORY", "OFF", "WAL"];

/// More changed pages than the cache holds: SQLite writes to the database before the commit.
const SPILL: &str = "PRAGMA cache_size=10; PRAGMA cache_spill=1;";
const FILL: &str = "INSERT INTO t(v) WITH RECURSIVE c(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM c WHERE i<2000) \
                    SELECT hex(randomblob(200)) FROM c;";

fn table(connection: &Connection) {
    run(connection, "CREATE TABLE t(id INTEGER PRIMARY KEY, v TEXT); INSERT INTO t(v) VALUES('kept');");
}

#[test]
fn a_rolled_back_spilled_transaction_leaves_no_trace_in_any_mode() {
    for mode in MODES {
        for synchronous in ["OFF", "NORMAL", "FULL", "EXTRA"] {
            let fixture = Fixture::new();
            let connection = fixture.connect("main.db");
            run(&connection, &format!("PRAGMA journal_mode={mode}; PRAGMA synchronous={synchronous};"));
            table(&connection);
            run(&connection, SPILL);
            run(&connection, &format!("BEGIN; {FILL} ROLLBACK;"));
            assert_eq!(number(&connection, "SELECT count(*) FROM t"), 1, "{mode} {synchronous}");
            check(&connection);
            run(&connection, &format!("BEGIN; {FILL} COMMIT;"));
            drop(connection);
            let again = fixture.connect("main.db");
            assert_eq!(number(&again, "SELECT count(*) FROM t"), 2001, "{mode} {synchronous}");
            check(&again);
        }
    }
}

#[test]
fn nobody_sees_a_transaction_before_its_commit() {
    for mode in MODES {
        let fixture = Fixture::new();
        let writer = fixture.connect("main.db");
        run(&writer, &format!("PRAGMA journal_mode={mode};"));
        table(&writer);
        run(&writer, SPILL);
        run(&writer, &format!("BEGIN; {FILL}"));
        // The file as it lies in the pool: what a snapshot, or a process after our death, would find.
        let snapshot = text(&writer, "SELECT daxcow_snapshot('during')");
        let reader = Connection::open_with_flags(snapshot, OpenFlags::SQLITE_OPEN_READ_ONLY).expect("opens");
        assert_eq!(number(&reader, "SELECT count(*) FROM t"), 1, "{mode}");
        check(&reader);
        run(&writer, "COMMIT");
        assert_eq!(number(&fixture.connect("main.db"), "SELECT count(*) FROM t"), 2001, "{mode}");
        assert_eq!(number(&reader, "SELECT count(*) FROM t"), 1, "{mode}");
    }
}

#[test]
fn threads_take_turns_and_lose_no_update() {
    for mode in ["DELETE", "WAL"] {
        let fixture = Fixture::new();
        let connection = fixture.connect("main.db");
        run(&connection, &format!("PRAGMA journal_mode={mode}; CREATE TABLE t(n); INSERT INTO t VALUES(0);"));
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    let connection = fixture.connect("main.db");
                    for round in 0..300 {
                        // Where a read was first, SQLite answers BUSY at once to whoever comes second.
                        run(&connection, "BEGIN IMMEDIATE; UPDATE t SET n = n + 1; COMMIT;");
                        assert!(number(&connection, "SELECT n FROM t") > round, "{mode}");
                    }
                });
            }
        });
        assert_eq!(number(&connection, "SELECT n FROM t"), 1200, "{mode}");
        check(&connection);
    }
}

#[test]
fn no_journal_is_ever_seen_in_the_pool() {
    for mode in ["DELETE", "TRUNCATE", "PERSIST"] {
        let fixture = Fixture::new();
        let connection = fixture.connect("main.db");
        run(&connection, &format!("PRAGMA journal_mode={mode};"));
        table(&connection);
        run(&connection, SPILL);
        run(&connection, &format!("BEGIN; {FILL} {FILL} {FILL}"));
        assert_eq!(fixture.names(), ["main.db"], "{mode}");
        run(&connection, "ROLLBACK");
        assert_eq!(number(&connection, "SELECT count(*) FROM t"), 1);
    }
}

#[test]
fn a_journal_that_outgrows_memory_rolls_back_all_the_same() {
    let fixture = Fixture::new();
    let connection = fixture.connect("main.db");
    table(&connection);
    run(&connection, FILL);
    run(&connection, "INSERT INTO t(v) SELECT v FROM t; INSERT INTO t(v) SELECT v FROM t;");
    let content = "SELECT count(*) || ' ' || sum(length(v)) || ' ' || sum(unicode(v)) FROM t";
    let before = text(&connection, content);
    run(&connection, SPILL);
    run(&connection, "BEGIN; UPDATE t SET v = 'lost' || v; ROLLBACK;");
    assert_eq!(text(&connection, content), before);
    run(&connection, "BEGIN; SAVEPOINT s; UPDATE t SET v = 'lost' || v; ROLLBACK TO s; COMMIT;");
    assert_eq!(text(&connection, content), before);
    drop(connection);
    let again = fixture.connect("main.db");
    assert_eq!(text(&again, content), before);
    check(&again);
}

#[test]
fn savepoints_roll_back_spilled_pages() {
    let fixture = Fixture::new();
    let connection = fixture.connect("main.db");
    table(&connection);
    run(&connection, SPILL);
    run(
        &connection,
        &format!("BEGIN; {FILL} SAVEPOINT a; DELETE FROM t; {FILL} {FILL} ROLLBACK TO a; COMMIT;"),
    );
    assert_eq!(number(&connection, "SELECT count(*) FROM t"), 2001);
    check(&connection);
}

#[test]
fn every_page_size_works_and_vacuum_changes_it() {
    for bytes in [512, 1024, 2048, 4096, 8192, 16384, 32768, 65536] {
        let fixture = Fixture::new();
        let connection = fixture.connect("main.db");
        run(&connection, &format!("PRAGMA page_size={bytes};"));
        table(&connection);
        run(&connection, FILL);
        run(&connection, "DELETE FROM t WHERE id % 3; VACUUM;");
        assert_eq!(number(&connection, "PRAGMA page_size"), bytes);
        check(&connection);
        let other = if bytes == 512 { 65536 } else { bytes / 2 };
        run(&connection, &format!("PRAGMA page_size={other}; VACUUM;"));
        assert_eq!(number(&connection, "PRAGMA page_size"), other);
        check(&fixture.connect("main.db"));
    }
}

#[test]
fn auto_vacuum_gives_the_pages_back() {
    let fixture = Fixture::new();
    let connection = fixture.connect("main.db");
    run(&connection, "PRAGMA auto_vacuum=FULL;");
    table(&connection);
    run(&connection, FILL);
    let full = fixture.pool.metadata("main.db").expect("it exists").len;
    run(&connection, "DELETE FROM t WHERE id > 1;");
    let empty = fixture.pool.metadata("main.db").expect("it exists").len;
    assert!(empty * 10 < full, "{full} bytes became {empty}");
    check(&fixture.connect("main.db"));
}

#[test]
fn nolock_stages_and_commits() {
    let fixture = Fixture::new();
    let uri = format!("file:{}?nolock=1", fixture.path("main.db").display());
    let open = || Connection::open_with_flags(&uri, OpenFlags::default()).expect("opens");
    let connection = open();
    table(&connection);
    run(&connection, SPILL);
    for (end, rows) in [("ROLLBACK", 1), ("COMMIT", 2001)] {
        run(&connection, &format!("BEGIN; {FILL} {end};"));
        assert_eq!(number(&open(), "SELECT count(*) FROM t"), rows);
        check(&open());
    }
}

#[test]
fn exclusive_locking_keeps_others_out_until_it_ends() {
    for mode in MODES {
        let fixture = Fixture::new();
        let owner = fixture.connect("main.db");
        run(&owner, &format!("PRAGMA journal_mode={mode};"));
        table(&owner);
        run(&owner, "PRAGMA locking_mode=EXCLUSIVE;");
        run(&owner, SPILL);
        run(&owner, &format!("BEGIN; {FILL} ROLLBACK; BEGIN; {FILL} COMMIT;"));
        let other = fixture.connect("main.db");
        other.busy_timeout(std::time::Duration::ZERO).expect("the timeout is set");
        assert!(failure(&other, "SELECT count(*) FROM t").contains("locked"), "{mode}");
        run(&owner, "PRAGMA locking_mode=NORMAL; SELECT count(*) FROM t;");
        assert_eq!(number(&other, "SELECT count(*) FROM t"), 2001, "{mode}");
        check(&other);
    }
}

#[test]
fn attached_databases_commit_together_or_not_at_all() {
    let fixture = Fixture::new();
    let connection = fixture.connect("one.db");
    run(&connection, &format!("ATTACH '{}' AS two;", fixture.path("two.db").display()));
    run(&connection, "CREATE TABLE t(a); CREATE TABLE two.t(a);");
    run(&connection, "BEGIN; INSERT INTO t VALUES(1); INSERT INTO two.t VALUES(1); COMMIT;");
    run(&connection, "BEGIN; INSERT INTO t VALUES(2); INSERT INTO two.t VALUES(2); ROLLBACK;");
    for name in ["one.db", "two.db"] {
        let other = fixture.connect(name);
        assert_eq!(number(&other, "SELECT count(*) FROM t"), 1, "{name}");
        check(&other);
    }
    assert_eq!(fixture.names(), ["one.db", "two.db"], "no super-journal is left");
}

#[test]
fn a_transaction_over_the_pool_and_the_host_commits_in_both() {
    let fixture = Fixture::new();
    for (main, attached) in
        [(fixture.path("a.db"), fixture.host("b.db")), (fixture.host("c.db"), fixture.path("d.db"))]
    {
        let connection = Connection::open(&main).expect("opens");
        run(&connection, &format!("ATTACH '{}' AS two;", attached.display()));
        run(&connection, "CREATE TABLE t(a); CREATE TABLE two.t(a);");
        run(&connection, "BEGIN; INSERT INTO t VALUES(1); INSERT INTO two.t VALUES(1); COMMIT;");
        drop(connection);
        for path in [main, attached] {
            assert_eq!(number(&Connection::open(path).expect("opens"), "SELECT count(*) FROM t"), 1);
        }
    }
}

#[test]
fn a_full_pool_loses_nothing_and_goes_on_when_there_is_room_again() {
    for mode in ["DELETE", "OFF", "WAL"] {
        let fixture = Fixture::with_size(24 << 20);
        let options = daxcow::FileOptions::new().write(true).create(true);
        let filler = fixture.pool.open_file("filler", &options);
        filler.and_then(|filler| filler.write_at(&vec![1; 4 << 20], 0)).expect("it is written");
        let connection = fixture.connect("main.db");
        run(&connection, &format!("PRAGMA journal_mode={mode};"));
        table(&connection);
        run(&connection, SPILL);
        let mut committed = 1;
        let error = loop {
            match connection.execute_batch(&format!("BEGIN; {FILL} COMMIT;")) {
                Ok(()) => committed += 2000,
                Err(error) => break error,
            }
        };
        assert_eq!(error.sqlite_error_code(), Some(rusqlite::ErrorCode::DiskFull), "{mode}");
        if !connection.is_autocommit() {
            run(&connection, "ROLLBACK");
        }
        assert_eq!(number(&connection, "SELECT count(*) FROM t"), committed, "{mode}");
        check(&connection);
        drop(connection);
        let again = fixture.connect("main.db");
        assert_eq!(number(&again, "SELECT count(*) FROM t"), committed, "{mode}");
        check(&again);
        fixture.pool.remove_file("filler").expect("it is removed");
        run(&again, FILL);
        assert_eq!(number(&again, "SELECT count(*) FROM t"), committed + 2000, "{mode}");
        check(&again);
    }
}

#[test]
fn mapped_reads_return_what_was_committed() {
    for mode in ["DELETE", "WAL"] {
        let fixture = Fixture::new();
        let writer = fixture.connect("main.db");
        run(&writer, &format!("PRAGMA journal_mode={mode};"));
        table(&writer);
        run(&writer, FILL);
        let reader = fixture.connect("main.db");
        run(&reader, "PRAGMA mmap_size=1000000000; PRAGMA cache_size=5;");
        assert_eq!(number(&reader, "PRAGMA mmap_size"), 1_000_000_000);
        for round in 0..20 {
            run(&writer, &format!("UPDATE t SET v = '{round}' || hex(randomblob(300));"));
            let expected = text(&writer, "SELECT group_concat(v) FROM t");
            assert_eq!(text(&reader, "SELECT group_concat(v) FROM t"), expected, "{mode} round {round}");
        }
        check(&reader);
    }
}

#[test]
fn a_writer_reads_its_own_spilled_pages_through_mapped_reads() {
    let fixture = Fixture::new();
    let connection = fixture.connect("main.db");
    table(&connection);
    run(&connection, FILL);
    run(&connection, "PRAGMA mmap_size=1000000000;");
    run(&connection, SPILL);
    run(&connection, "BEGIN; UPDATE t SET v = 'mine' || substr(v, 5);");
    assert_eq!(number(&connection, "SELECT count(*) FROM t WHERE v LIKE 'mine%'"), 2001);
    run(&connection, "ROLLBACK");
    assert_eq!(number(&connection, "SELECT count(*) FROM t WHERE v LIKE 'mine%'"), 0);
}

#[test]
fn an_imported_hot_journal_is_rolled_back() {
    for synchronous in ["OFF", "FULL"] {
        for nolock in ["", "?nolock=1"] {
            let fixture = Fixture::new();
            let uri = format!("file:{}{nolock}", fixture.path("main.db").display());
            let connection = Connection::open_with_flags(uri, OpenFlags::default()).expect("opens");
            // Before there is a journal: this pragma reads the database.
            run(&connection, &format!("PRAGMA synchronous={synchronous};"));
            import_hot_journal(&fixture);
            assert_eq!(
                number(&connection, "SELECT count(*) FROM t WHERE v='kept'"),
                2001,
                "{synchronous} {nolock}"
            );
            check(&connection);
            assert!(!fixture.pool.exists("main.db-journal").expect("asks"), "{synchronous} {nolock}");
            drop(connection);
            let again = fixture.connect("main.db");
            assert_eq!(
                number(&again, "SELECT count(*) FROM t WHERE v='kept'"),
                2001,
                "{synchronous} {nolock}"
            );
            check(&again);
        }
    }
}

#[test]
fn a_snapshot_with_a_hot_journal_opens_recovered() {
    let fixture = Fixture::new();
    import_hot_journal(&fixture);
    let files = ["main.db", "main.db-journal"];
    fixture.pool.create_snapshot("hot", &files).expect("the snapshot is taken");
    let inside = fixture.path(".snapshots/hot/main.db");
    let reader = Connection::open_with_flags(inside, OpenFlags::SQLITE_OPEN_READ_ONLY).expect("opens");
    assert_eq!(number(&reader, "SELECT count(*) FROM t WHERE v='kept'"), 2001);
    check(&reader);
    assert_eq!(fixture.names(), files, "private files are gone");
}

/// Copies a database and its journal, in the middle of a spilled transaction on the host, into the pool.
fn import_hot_journal(fixture: &Fixture) {
    let host = Connection::open(fixture.host("host.db")).expect("opens");
    table(&host);
    run(&host, FILL);
    run(&host, "UPDATE t SET v='kept';");
    run(&host, SPILL);
    run(&host, &format!("BEGIN; UPDATE t SET v='lost'; {FILL}"));
    for suffix in ["", "-journal"] {
        let bytes = std::fs::read(fixture.host(&format!("host.db{suffix}"))).expect("it is there");
        assert!(!bytes.is_empty(), "the transaction is on the disk");
        let options = daxcow::FileOptions::new().write(true).create(true);
        let file = fixture.pool.open_file(format!("main.db{suffix}"), &options).expect("it is made");
        file.write_at(&bytes, 0).expect("it is written");
    }
}
