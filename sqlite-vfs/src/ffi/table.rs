//! The table `daxcow_snapshots`: the snapshots of the main database's pool, read when a query starts.
#![expect(unsafe_code, reason = "callbacks from C: raw tables and cursors")]

use super::abi::{Connection as Raw, Context, CursorHead, IndexInfo, Module, TableHead, Value, code};
use super::api::{allocate_text, api};
use super::connection::Connection;
use super::function::{NO_DATA, result_integer, result_text};
use super::guard;
use crate::commands::{SnapshotRow, list_snapshots};
use std::ffi::{c_char, c_int, c_void};
use std::ptr::null_mut;

const NAME: &std::ffi::CStr = c"daxcow_snapshots";
/// `created` counts seconds since 1970-01-01 UTC; `database` is the path under which the snapshot of this database opens,
/// NULL where the snapshot does not hold it.
const DECLARATION: &std::ffi::CStr =
    c"CREATE TABLE x(name TEXT, created INTEGER, files INTEGER, paths TEXT, database TEXT)";

static MODULE: Module = Module {
    version: 0,
    create: None, // eponymous only: the table is there under its name and cannot be created
    connect,
    best_index,
    disconnect,
    destroy: None,
    open,
    close,
    filter,
    next,
    eof,
    column,
    rowid,
    unused: [None; 7],
};

#[repr(C)]
struct Table {
    head: TableHead,
    connection: *mut Raw,
}

#[repr(C)]
struct Cursor {
    head: CursorHead,
    rows: Vec<SnapshotRow>,
    at: usize,
}

/// Adds the table to a connection; returns SQLite's code.
///
/// # Safety
/// `connection` is open and used by this thread only.
pub(super) unsafe fn register(connection: *mut Raw) -> c_int {
    // SAFETY: by the caller; module and name live for ever.
    unsafe { (api().create_module_v2)(connection, NAME.as_ptr(), &raw const MODULE, NO_DATA, None) }
}

unsafe extern "C" fn connect(
    connection: *mut Raw,
    _data: *mut c_void,
    _count: c_int,
    _arguments: *const *const c_char,
    table: *mut *mut TableHead,
    _message: *mut *mut c_char,
) -> c_int {
    guard(code::ERROR, || {
        // SAFETY: the connection that connects the table.
        let result = unsafe { (api().declare_vtab)(connection, DECLARATION.as_ptr()) };
        if result == code::OK {
            let head = TableHead { module: &raw const MODULE, references: 0, error_message: null_mut() };
            let made = Box::into_raw(Box::new(Table { head, connection }));
            // SAFETY: xConnect's out-parameter.
            unsafe { table.write(made.cast()) };
        }
        result
    })
}

unsafe extern "C" fn best_index(_table: *mut TableHead, info: *mut IndexInfo) -> c_int {
    /// There are rarely more snapshots than this, and each is a line.
    const ROWS: f64 = 100.0;
    // SAFETY: xBestIndex's in-and-out parameter.
    unsafe { (*info).estimated_cost = ROWS };
    code::OK
}

unsafe extern "C" fn disconnect(table: *mut TableHead) -> c_int {
    guard(code::ERROR, || {
        // SAFETY: made by Box::into_raw in `connect`; SQLite disconnects once.
        drop(unsafe { Box::from_raw(table.cast::<Table>()) });
        code::OK
    })
}

unsafe extern "C" fn open(table: *mut TableHead, cursor: *mut *mut CursorHead) -> c_int {
    guard(code::ERROR, || {
        let made = Box::into_raw(Box::new(Cursor { head: CursorHead { table }, rows: Vec::new(), at: 0 }));
        // SAFETY: xOpen's out-parameter.
        unsafe { cursor.write(made.cast()) };
        code::OK
    })
}

unsafe extern "C" fn close(cursor: *mut CursorHead) -> c_int {
    guard(code::ERROR, || {
        // SAFETY: made by Box::into_raw in `open`; SQLite closes once.
        drop(unsafe { Box::from_raw(cursor.cast::<Cursor>()) });
        code::OK
    })
}

unsafe extern "C" fn filter(
    cursor: *mut CursorHead,
    _index: c_int,
    _index_name: *const c_char,
    _count: c_int,
    _values: *mut *mut Value,
) -> c_int {
    guard(code::ERROR, || {
        // SAFETY: a cursor of `open`, used by one call at a time.
        let cursor = unsafe { &mut *cursor.cast::<Cursor>() };
        let table = cursor.head.table.cast::<Table>();
        // SAFETY: the cursor's table is a table of `connect` and outlives it.
        let raw = unsafe { (*table).connection };
        // SAFETY: the connection that this thread is running the query on.
        let connection = unsafe { Connection::borrow(raw) };
        match list_snapshots(connection) {
            Ok(rows) => {
                (cursor.rows, cursor.at) = (rows, 0);
                code::OK
            }
            Err(message) => {
                // SAFETY: the table is alive; SQLite frees the message after reporting it, and it was null.
                unsafe { (*table).head.error_message = allocate_text(&message) };
                code::ERROR
            }
        }
    })
}

unsafe extern "C" fn next(cursor: *mut CursorHead) -> c_int {
    // SAFETY: a cursor of `open`.
    unsafe { (*cursor.cast::<Cursor>()).at += 1 };
    code::OK
}

unsafe extern "C" fn eof(cursor: *mut CursorHead) -> c_int {
    // SAFETY: a cursor of `open`, used by one call at a time.
    let cursor = unsafe { &*cursor.cast::<Cursor>() };
    c_int::from(cursor.at >= cursor.rows.len())
}

unsafe extern "C" fn column(cursor: *mut CursorHead, context: *mut Context, column: c_int) -> c_int {
    guard(code::ERROR, || {
        // SAFETY: a cursor of `open`, used by one call at a time.
        let cursor = unsafe { &*cursor.cast::<Cursor>() };
        let Some(row) = cursor.rows.get(cursor.at) else { return code::ERROR };
        let number = match column {
            1 => Some(row.created),
            2 => Some(row.files),
            _ => None,
        };
        let text = match column {
            0 => Some(&row.name),
            3 => Some(&row.paths),
            4 => row.database.as_ref(),
            _ => None,
        };
        match text {
            // SAFETY: xColumn's context.
            Some(text) => unsafe { result_text(context, text) },
            // SAFETY: xColumn's context.
            None => unsafe { result_integer(context, number) },
        }
        code::OK
    })
}

unsafe extern "C" fn rowid(cursor: *mut CursorHead, rowid: *mut i64) -> c_int {
    // SAFETY: a cursor of `open`.
    let at = unsafe { (*cursor.cast::<Cursor>()).at };
    // SAFETY: xRowid's out-parameter.
    unsafe { rowid.write(i64::try_from(at).unwrap_or(i64::MAX)) };
    code::OK
}
