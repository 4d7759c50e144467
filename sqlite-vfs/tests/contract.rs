//! The clauses of SQLite's VFS contract that only file-controls show, each by name.
#![expect(unsafe_code, reason = "sqlite3_file_control takes raw pointers")]

mod common;

use common::{Fixture, failure, number, run, text};
use rusqlite::{Connection, ffi};
use std::ffi::{CStr, c_char, c_int, c_void};

/// Calls xFileControl of the main database.
fn control<T>(connection: &Connection, operation: c_int, argument: &mut T) -> c_int {
    let argument = std::ptr::from_mut(argument).cast::<c_void>();
    // SAFETY: the handle is not closed here.
    let handle = unsafe { connection.handle() };
    // SAFETY: the handle is open, and each caller passes the argument that sqlite3.h gives the operation.
    unsafe { ffi::sqlite3_file_control(handle, c"main".as_ptr(), operation, argument) }
}

/// The string that an operation returns, freed.
fn control_text(connection: &Connection, operation: c_int) -> String {
    let mut found: *mut c_char = std::ptr::null_mut();
    assert_eq!(control(connection, operation, &mut found), ffi::SQLITE_OK);
    assert!(!found.is_null());
    // SAFETY: a C string of SQLite's allocator.
    let text = unsafe { CStr::from_ptr(found) }.to_string_lossy().into_owned();
    // SAFETY: it is ours to free, once.
    unsafe { ffi::sqlite3_free(found.cast()) };
    text
}

fn open(fixture: &Fixture) -> Connection {
    let connection = fixture.connect("main.db");
    run(&connection, "CREATE TABLE t(a); INSERT INTO t VALUES(1);");
    connection
}

#[test]
fn bits_are_asked_for_by_minus_one_and_set_by_0_and_1() {
    let fixture = Fixture::new();
    let connection = open(&fixture);
    for (operation, first) in [(ffi::SQLITE_FCNTL_PERSIST_WAL, 0), (ffi::SQLITE_FCNTL_POWERSAFE_OVERWRITE, 1)]
    {
        for (request, expected) in [(-1, first), (1, 1), (-1, 1), (0, 0), (-1, 0)] {
            let mut value: c_int = request;
            assert_eq!(control(&connection, operation, &mut value), ffi::SQLITE_OK);
            assert_eq!(value, expected, "operation {operation} asked with {request}");
        }
    }
}

#[test]
fn the_uri_parameter_psow_sets_the_bit() {
    let fixture = Fixture::new();
    let uri = format!("file:{}?psow=0", fixture.path("main.db").display());
    let connection = Connection::open_with_flags(uri, rusqlite::OpenFlags::default()).expect("opens");
    let mut value: c_int = -1;
    assert_eq!(control(&connection, ffi::SQLITE_FCNTL_POWERSAFE_OVERWRITE, &mut value), ffi::SQLITE_OK);
    assert_eq!(value, 0);
}

#[test]
fn persist_wal_keeps_the_wal_at_the_last_close() {
    for persist in [false, true] {
        let fixture = Fixture::new();
        let connection = open(&fixture);
        run(&connection, "PRAGMA journal_mode=WAL; INSERT INTO t VALUES(2);");
        let mut value = c_int::from(persist);
        assert_eq!(control(&connection, ffi::SQLITE_FCNTL_PERSIST_WAL, &mut value), ffi::SQLITE_OK);
        connection.close().expect("it closes");
        assert_eq!(fixture.pool.exists("main.db-wal").expect("asks"), persist);
        assert_eq!(number(&fixture.connect("main.db"), "SELECT count(*) FROM t"), 2);
    }
}

#[test]
fn names_come_from_sqlites_allocator() {
    let fixture = Fixture::new();
    let connection = open(&fixture);
    assert_eq!(control_text(&connection, ffi::SQLITE_FCNTL_VFSNAME), "daxcow");
    let (one, two) = (
        control_text(&connection, ffi::SQLITE_FCNTL_TEMPFILENAME),
        control_text(&connection, ffi::SQLITE_FCNTL_TEMPFILENAME),
    );
    assert_ne!(one, two);
    assert!(one.contains("/etilqs_"), "{one}");
}

#[test]
fn lockstate_follows_the_transaction() {
    let fixture = Fixture::new();
    let connection = open(&fixture);
    for (sql, expected) in
        [("BEGIN", 0), ("SELECT * FROM t", 1), ("INSERT INTO t VALUES(2)", 2), ("COMMIT", 0)]
    {
        if sql.starts_with("SELECT") {
            number(&connection, sql);
        } else {
            run(&connection, sql);
        }
        let mut level: c_int = -1;
        assert_eq!(control(&connection, ffi::SQLITE_FCNTL_LOCKSTATE, &mut level), ffi::SQLITE_OK);
        assert_eq!(level, expected, "{sql}");
    }
    run(&connection, "BEGIN EXCLUSIVE");
    let mut level: c_int = -1;
    assert_eq!(control(&connection, ffi::SQLITE_FCNTL_LOCKSTATE, &mut level), ffi::SQLITE_OK);
    assert_eq!(level, 4);
}

#[test]
fn has_moved_is_true_once_the_name_is_gone() {
    let fixture = Fixture::new();
    let connection = open(&fixture);
    for expected in [0, 1] {
        let mut moved: c_int = -1;
        assert_eq!(control(&connection, ffi::SQLITE_FCNTL_HAS_MOVED, &mut moved), ffi::SQLITE_OK);
        assert_eq!(moved, expected);
        if expected == 0 {
            fixture.pool.remove_file("main.db").expect("it is removed");
        }
    }
    assert!(
        failure(&connection, "INSERT INTO t VALUES(2) RETURNING a").contains("readonly"),
        "SQLite notices"
    );
}

#[test]
fn mmap_size_returns_the_old_value() {
    let fixture = Fixture::new();
    let connection = open(&fixture);
    for (request, expected) in [(1_000_000, 0), (-1, 1_000_000), (0, 1_000_000), (-1, 0)] {
        let mut limit: i64 = request;
        assert_eq!(control(&connection, ffi::SQLITE_FCNTL_MMAP_SIZE, &mut limit), ffi::SQLITE_OK);
        assert_eq!(limit, expected, "asked with {request}");
    }
}

#[test]
fn external_reader_sees_another_connection_in_the_wal() {
    let fixture = Fixture::new();
    let connection = open(&fixture);
    run(&connection, "PRAGMA journal_mode=WAL;");
    let other = fixture.connect("main.db");
    for (sql, expected) in [("BEGIN", 0), ("SELECT count(*) FROM t", 1), ("COMMIT", 0)] {
        if sql.starts_with("SELECT") {
            number(&other, sql);
        } else {
            run(&other, sql);
        }
        let mut reader: c_int = -1;
        assert_eq!(control(&connection, ffi::SQLITE_FCNTL_EXTERNAL_READER, &mut reader), ffi::SQLITE_OK);
        assert_eq!(reader, expected, "{sql}");
    }
}

#[test]
fn hints_are_taken_and_unknown_operations_are_not_found() {
    let fixture = Fixture::new();
    let connection = open(&fixture);
    let mut size: i64 = 1 << 20;
    assert_eq!(control(&connection, ffi::SQLITE_FCNTL_SIZE_HINT, &mut size), ffi::SQLITE_OK);
    let mut chunk: c_int = 1 << 16;
    assert_eq!(control(&connection, ffi::SQLITE_FCNTL_CHUNK_SIZE, &mut chunk), ffi::SQLITE_OK);
    let mut any: [i64; 4] = [0; 4];
    assert_eq!(control(&connection, 123_456, &mut any), ffi::SQLITE_NOTFOUND);
    assert_eq!(number(&connection, "SELECT count(*) FROM t"), 1);
}

#[test]
fn lock_timeout_waits_for_the_holder() {
    let fixture = Fixture::new();
    let connection = open(&fixture);
    connection.busy_timeout(std::time::Duration::ZERO).expect("the timeout is set");
    let holder = fixture.connect("main.db");
    run(&holder, "BEGIN EXCLUSIVE");
    assert!(failure(&connection, "SELECT * FROM t").contains("locked"));
    let mut timeout: c_int = 10_000;
    assert_eq!(control(&connection, ffi::SQLITE_FCNTL_LOCK_TIMEOUT, &mut timeout), ffi::SQLITE_OK);
    assert_eq!(timeout, 0);
    let release = std::thread::spawn(move || {
        std::thread::sleep(std::time::Duration::from_millis(100));
        run(&holder, "COMMIT");
    });
    assert_eq!(number(&connection, "SELECT count(*) FROM t"), 1);
    release.join().expect("the holder ends");
}

#[test]
fn after_null_io_the_file_is_not_touched() {
    let fixture = Fixture::new();
    let connection = open(&fixture);
    let mut none: c_int = 0;
    assert_eq!(control(&connection, ffi::SQLITE_FCNTL_NULL_IO, &mut none), ffi::SQLITE_OK);
    assert!(failure(&connection, "INSERT INTO t VALUES(2) RETURNING a").contains("I/O"));
    assert_eq!(number(&fixture.connect("main.db"), "SELECT count(*) FROM t"), 1);
}

#[test]
fn the_journal_mode_stays_what_the_user_set() {
    let fixture = Fixture::new();
    let connection = open(&fixture);
    for mode in ["delete", "truncate", "persist", "memory", "off", "wal", "delete"] {
        assert_eq!(text(&connection, &format!("PRAGMA journal_mode={mode}")), mode);
        assert_eq!(text(&connection, "PRAGMA journal_mode"), mode);
        run(&connection, "INSERT INTO t VALUES(1)");
    }
}
