//! Lost memory and full pools as SQLite sees them: an I/O error or a full database, never the end of the process, and a
//! database that is sound afterwards.

mod common;

use common::{Fixture, check, number, run};
use daxcow::{CreateOptions, FileOptions, Pool};
use daxcow_tests::place::SmallTmpfs;
use daxcow_tests::poison;
use rusqlite::{Connection, ErrorCode};

/// A database of 400 rows of about a page each, and the place in the pool of its page in the middle.
fn database(fixture: &Fixture, journal: &str) -> (Connection, u64) {
    let connection = fixture.connect("main.db");
    run(&connection, &format!("PRAGMA journal_mode={journal}; CREATE TABLE t(id INTEGER PRIMARY KEY, a);"));
    run(
        &connection,
        "INSERT INTO t SELECT value, randomblob(3000) FROM \
         (WITH RECURSIVE c(value) AS (SELECT 1 UNION ALL SELECT value + 1 FROM c WHERE value < 400) SELECT * FROM c);
         PRAGMA wal_checkpoint(TRUNCATE);",
    );
    let file = fixture.pool.open_file("/main.db", &FileOptions::new().read(true)).expect("the database");
    let mut place = 0;
    for extent in file.extents().expect("extents") {
        if extent.offset <= 800 << 10 {
            place = (extent.block << 12) + (800 << 10) - extent.offset;
        }
    }
    (connection, place)
}

/// The code that `sql` fails with.
fn code(connection: &Connection, sql: &str) -> ErrorCode {
    match connection.query_row(sql, [], |_| Ok(())) {
        Ok(()) => panic!("should have failed: {sql}"),
        Err(error) => error.sqlite_error_code().unwrap_or_else(|| panic!("{error}: {sql}")),
    }
}

fn lose(fixture: &Fixture, place: u64) -> bool {
    match poison::lose(fixture.pool.path(), place) {
        Ok(()) => true,
        Err(why) => {
            println!("SKIPPED: no page can be lost here: {why}");
            false
        }
    }
}

const SUM: &str = "SELECT sum(length(a)) FROM t";

#[test]
fn a_lost_page_is_an_io_error_and_the_rest_can_be_read() {
    for journal in ["delete", "wal"] {
        let fixture = Fixture::new();
        let (connection, place) = database(&fixture, journal);
        drop(connection);
        let connection = fixture.connect("main.db");
        if !lose(&fixture, place) {
            return;
        }
        assert_eq!(code(&connection, SUM), ErrorCode::SystemIoFailure, "{journal}");
        assert_eq!(number(&connection, "SELECT length(a) FROM t WHERE id = 1"), 3000);
        assert_eq!(number(&connection, "SELECT length(a) FROM t WHERE id = 400"), 3000);
        // What is readable can be saved, and the database put together anew.
        run(&connection, "CREATE TABLE saved AS SELECT * FROM t WHERE id < 100 OR id > 300");
        assert_eq!(number(&connection, "SELECT count(*) FROM saved"), 199);
        let problems = fixture.pool.scrub().expect("scrub");
        assert!(problems.iter().all(|problem| problem.place.starts_with("/main.db bytes ")), "{problems:?}");
        assert_eq!(problems.len(), 1, "{problems:?}");
    }
}

#[test]
fn a_page_lost_under_mmap_fails_the_connection_and_no_other() {
    let fixture = Fixture::new();
    let (connection, place) = database(&fixture, "delete");
    drop(connection);
    let connection = fixture.connect("main.db");
    let other = fixture.connect("other.db");
    run(&other, "CREATE TABLE t(a); INSERT INTO t VALUES(7)");
    run(&connection, "PRAGMA mmap_size=1000000000");
    assert_eq!(number(&connection, "SELECT count(*) FROM t WHERE length(a) = 3000"), 400);
    if !lose(&fixture, place) {
        return;
    }
    let failed = code(&connection, SUM);
    assert!(
        matches!(failed, ErrorCode::SystemIoFailure | ErrorCode::DatabaseCorrupt),
        "zeros under the pointer gave {failed:?}"
    );
    // No later answer is made of zeros either.
    let again = code(&connection, SUM);
    assert!(matches!(again, ErrorCode::SystemIoFailure | ErrorCode::DatabaseCorrupt), "{again:?}");
    assert_eq!(number(&other, "SELECT a FROM t"), 7);
    drop(connection);
    let connection = fixture.connect("main.db");
    assert_eq!(code(&connection, SUM), ErrorCode::SystemIoFailure);
    assert_eq!(number(&connection, "SELECT length(a) FROM t WHERE id = 400"), 3000);
}

/// The pages of WAL indexes in the pool: those with SQLite's two equal headers, and the pages after them in the same region.
#[expect(clippy::host_endian_bytes, reason = "that of the WAL index")]
fn wal_index_pages(fixture: &Fixture) -> Vec<u64> {
    const VERSION: [u8; 4] = 3_007_000_u32.to_ne_bytes();
    const HEADER: usize = 48;
    let pool = std::fs::read(fixture.pool.path()).expect("the pool's bytes");
    let is_header = |page: &&[u8]| page[..4] == VERSION && page[..HEADER] == page[HEADER..2 * HEADER];
    let pages = pool.chunks_exact(4096).enumerate().filter(|(_, page)| is_header(page));
    pages.flat_map(|(page, _)| [page, page + 1]).map(|page| page as u64 * 4096).collect()
}

/// SQLite loads and stores there by itself, so it cannot be told of the loss at once: it finds zeros, and may believe none of
/// what it made of them.
#[test]
fn a_page_lost_under_the_wal_index_is_an_io_error_and_costs_no_commit() {
    for (page, sql) in [
        (0, "SELECT count(*) FROM t"),
        (0, "INSERT INTO t(a) VALUES(1)"),
        (1, "SELECT count(*) FROM t"),
        (1, "INSERT INTO t(a) VALUES(1)"),
        (1, "PRAGMA wal_checkpoint(PASSIVE)"),
    ] {
        let fixture = Fixture::new();
        let connection = fixture.connect("main.db");
        run(
            &connection,
            "PRAGMA journal_mode=wal; PRAGMA wal_autocheckpoint=0; PRAGMA cache_size=0;
            CREATE TABLE t(id INTEGER PRIMARY KEY, a)",
        );
        // The header page holds the first frames too: more of them than fit there.
        for _ in 0..1200 {
            run(&connection, "INSERT INTO t(a) VALUES(randomblob(100))");
        }
        let pages = wal_index_pages(&fixture);
        assert_eq!(pages.len(), 2, "{pages:?}");
        if !lose(&fixture, pages[page]) {
            return;
        }
        let answer = connection.prepare(sql).and_then(|mut statement| {
            let mut rows = statement.query([])?;
            rows.next()?.map(|row| row.get::<_, i64>(0)).transpose()
        });
        let failed = match answer {
            Err(error) => error.sqlite_error_code(),
            // A commit may be acknowledged once: its frames are in the WAL.
            Ok(None) => None,
            // A checkpoint says that it did nothing.
            Ok(Some(found)) => panic!("{sql} with page {page} lost: {found}"),
        };
        assert!(
            matches!(failed, None | Some(ErrorCode::SystemIoFailure)),
            "{sql} with page {page} lost: {failed:?}"
        );
        let acknowledged = 1200 + i64::from(failed.is_none());
        assert_eq!(code(&connection, "SELECT count(*) FROM t"), ErrorCode::SystemIoFailure);
        assert_eq!(code(&connection, "DELETE FROM t RETURNING 1"), ErrorCode::SystemIoFailure);
        drop(connection);
        let connection = fixture.connect("main.db");
        assert_eq!(
            number(&connection, "SELECT count(*) FROM t"),
            acknowledged,
            "{sql} with page {page} lost"
        );
        check(&connection);
        run(&connection, "INSERT INTO t(a) VALUES(1); PRAGMA wal_checkpoint(TRUNCATE)");
        drop(connection);
        let report = fixture.pool.check().expect("check");
        assert!(report.is_clean(), "{:?}", report.problems);
    }
}

/// Inserts rows until the database is full; how many are there.
fn insert_until_full(connection: &Connection) -> i64 {
    loop {
        let inserted = connection.execute_batch(
            "BEGIN; INSERT INTO t(a) VALUES(randomblob(20000)); INSERT INTO t(a) VALUES(randomblob(20000)); COMMIT",
        );
        let Err(error) = inserted else { continue };
        assert_eq!(error.sqlite_error_code(), Some(ErrorCode::DiskFull), "{error}");
        if !connection.is_autocommit() {
            run(connection, "ROLLBACK");
        }
        return number(connection, "SELECT count(*) FROM t");
    }
}

fn full(connection: &Connection, make_room: impl FnOnce()) {
    run(connection, "CREATE TABLE t(id INTEGER PRIMARY KEY, a)");
    let rows = insert_until_full(connection);
    assert!(rows > 10 && rows % 2 == 0, "{rows} rows: half a transaction is there");
    check(connection);
    assert_eq!(number(connection, SUM), rows * 20_000);
    make_room();
    run(connection, "DELETE FROM t WHERE id % 2 = 0; VACUUM");
    assert_eq!(number(connection, "SELECT count(*) FROM t"), rows / 2);
    check(connection);
    run(connection, "INSERT INTO t(a) VALUES(randomblob(20000)); PRAGMA wal_checkpoint(TRUNCATE)");
    assert_eq!(number(connection, "SELECT count(*) FROM t"), rows / 2 + 1);
}

#[test]
fn a_full_pool_is_a_full_database_and_works_again() {
    for journal in ["delete", "wal"] {
        let fixture = Fixture::with_size(24 << 20);
        let filler = FileOptions::new().write(true).create(true);
        let filler = fixture.pool.open_file("/filler", &filler).expect("a file that fills");
        filler.write_at(&vec![1; 7 << 20], 0).expect("write");
        drop(filler);
        let connection = fixture.connect("main.db");
        run(&connection, &format!("PRAGMA journal_mode={journal}"));
        full(&connection, || fixture.pool.remove_file("/filler").expect("remove"));
        drop(connection);
        let connection = fixture.connect("main.db");
        check(&connection);
        let report = fixture.pool.check().expect("check");
        assert!(report.is_clean(), "{:?}", report.problems);
    }
}

#[test]
fn a_full_host_is_a_full_database_and_works_again() {
    daxcow_sqlite::register(true).expect("the VFS registers");
    for journal in ["delete", "wal"] {
        let Some(small) = SmallTmpfs::mount(72 << 20) else { return };
        std::fs::write(small.path().join("filler"), vec![1; 50 << 20]).expect("something to remove");
        let path = small.path().join("test.pool");
        let options = CreateOptions::new().size(256 << 20).sparse(true);
        let pool = Pool::create(&path, &options).expect("a pool");
        let connection = Connection::open(path.join("main.db")).expect("the database opens");
        run(&connection, &format!("PRAGMA journal_mode={journal}"));
        full(&connection, || small.make_room());
        drop(connection);
        assert!(pool.check().expect("check").is_clean());
        assert_eq!(pool.scrub().expect("scrub"), []);
    }
}
