//! The parts of SQLite's C interface (sqlite3.h) that a VFS meets: structures and constants, with SQLite's names.
//!
//! All of it is stable ABI and in SQLite 3.40.

use std::ffi::{c_char, c_double, c_int, c_void};

/// Result codes.
pub(crate) mod code {
    use std::ffi::c_int;

    pub(crate) const OK: c_int = 0;
    pub(crate) const ERROR: c_int = 1;
    pub(crate) const BUSY: c_int = 5;
    pub(crate) const NOMEM: c_int = 7;
    pub(crate) const READONLY: c_int = 8;
    pub(crate) const IOERR: c_int = 10;
    pub(crate) const NOTFOUND: c_int = 12;
    pub(crate) const FULL: c_int = 13;
    pub(crate) const CANTOPEN: c_int = 14;
    pub(crate) const OK_LOAD_PERMANENTLY: c_int = 1 << 8;
    pub(crate) const CANTOPEN_ISDIR: c_int = CANTOPEN | 2 << 8;
    pub(crate) const CANTOPEN_FULLPATH: c_int = CANTOPEN | 3 << 8;
    pub(crate) const IOERR_READ: c_int = IOERR | 1 << 8;
    pub(crate) const IOERR_SHORT_READ: c_int = IOERR | 2 << 8;
    pub(crate) const IOERR_WRITE: c_int = IOERR | 3 << 8;
    pub(crate) const IOERR_FSYNC: c_int = IOERR | 4 << 8;
    pub(crate) const IOERR_TRUNCATE: c_int = IOERR | 6 << 8;
    pub(crate) const IOERR_FSTAT: c_int = IOERR | 7 << 8;
    pub(crate) const IOERR_UNLOCK: c_int = IOERR | 8 << 8;
    pub(crate) const IOERR_RDLOCK: c_int = IOERR | 9 << 8;
    pub(crate) const IOERR_DELETE: c_int = IOERR | 10 << 8;
    pub(crate) const IOERR_ACCESS: c_int = IOERR | 13 << 8;
    pub(crate) const IOERR_CHECKRESERVEDLOCK: c_int = IOERR | 14 << 8;
    pub(crate) const IOERR_LOCK: c_int = IOERR | 15 << 8;
    pub(crate) const IOERR_SHMLOCK: c_int = IOERR | 20 << 8;
    pub(crate) const IOERR_SHMMAP: c_int = IOERR | 21 << 8;
    pub(crate) const IOERR_DELETE_NOENT: c_int = IOERR | 23 << 8;
    pub(crate) const IOERR_MMAP: c_int = IOERR | 24 << 8;
    pub(crate) const IOERR_CORRUPTFS: c_int = IOERR | 33 << 8;
}

/// Flags of xOpen.
pub(crate) mod open {
    use std::ffi::c_int;

    pub(crate) const READONLY: c_int = 0x1;
    pub(crate) const READWRITE: c_int = 0x2;
    pub(crate) const CREATE: c_int = 0x4;
    pub(crate) const DELETEONCLOSE: c_int = 0x8;
    pub(crate) const EXCLUSIVE: c_int = 0x10;
    pub(crate) const MAIN_DB: c_int = 0x100;
    pub(crate) const MAIN_JOURNAL: c_int = 0x800;
    pub(crate) const SUPER_JOURNAL: c_int = 0x4000;
    pub(crate) const PRIVATECACHE: c_int = 0x40000;
    pub(crate) const WAL: c_int = 0x0008_0000;
}

/// Questions of xAccess.
pub(crate) mod access {
    use std::ffi::c_int;

    pub(crate) const EXISTS: c_int = 0;
    pub(crate) const READWRITE: c_int = 1;
}

/// Device characteristics.
pub(crate) mod iocap {
    use std::ffi::c_int;

    pub(crate) const SAFE_APPEND: c_int = 0x200;
    pub(crate) const SEQUENTIAL: c_int = 0x400;
    pub(crate) const POWERSAFE_OVERWRITE: c_int = 0x1000;
    pub(crate) const IMMUTABLE: c_int = 0x2000;
    pub(crate) const SUBPAGE_READ: c_int = 0x8000;
}

/// Operations of xFileControl.
pub(crate) mod fcntl {
    use std::ffi::c_int;

    pub(crate) const LOCKSTATE: c_int = 1;
    pub(crate) const LAST_ERRNO: c_int = 4;
    pub(crate) const SIZE_HINT: c_int = 5;
    pub(crate) const CHUNK_SIZE: c_int = 6;
    pub(crate) const PERSIST_WAL: c_int = 10;
    pub(crate) const OVERWRITE: c_int = 11;
    pub(crate) const VFSNAME: c_int = 12;
    pub(crate) const POWERSAFE_OVERWRITE: c_int = 13;
    pub(crate) const PRAGMA: c_int = 14;
    pub(crate) const TEMPFILENAME: c_int = 16;
    pub(crate) const MMAP_SIZE: c_int = 18;
    pub(crate) const HAS_MOVED: c_int = 20;
    pub(crate) const SYNC: c_int = 21;
    pub(crate) const COMMIT_PHASETWO: c_int = 22;
    pub(crate) const LOCK_TIMEOUT: c_int = 34;
    pub(crate) const CKPT_DONE: c_int = 37;
    pub(crate) const CKPT_START: c_int = 39;
    pub(crate) const EXTERNAL_READER: c_int = 40;
    pub(crate) const NULL_IO: c_int = 43;
    pub(crate) const BLOCK_ON_CONNECT: c_int = 44;
    /// Ours: hands the file to a callback of this library ("dxcw").
    pub(crate) const VISIT: c_int = 0x6478_6377;
}

/// Flags of xShmLock.
pub(crate) mod shm {
    use std::ffi::c_int;

    pub(crate) const UNLOCK: c_int = 1;
    pub(crate) const LOCK: c_int = 2;
    pub(crate) const SHARED: c_int = 4;
    pub(crate) const EXCLUSIVE: c_int = 8;
    /// Lock slots of a WAL index.
    pub(crate) const NLOCK: u8 = 8;
}

/// Flags of sqlite3_create_function_v2.
pub(crate) mod function {
    use std::ffi::c_int;

    pub(crate) const UTF8: c_int = 1;
    pub(crate) const DIRECTONLY: c_int = 0x8_0000;
}

/// Field types of a value.
pub(crate) mod datatype {
    use std::ffi::c_int;

    pub(crate) const NULL: c_int = 5;
}

/// `sqlite3`: a connection.
#[repr(C)]
pub(crate) struct Connection {
    _opaque: [u8; 0],
}

/// `sqlite3_context`: where an SQL function puts its result.
#[repr(C)]
pub(crate) struct Context {
    _opaque: [u8; 0],
}

/// `sqlite3_value`: an argument of an SQL function.
#[repr(C)]
pub(crate) struct Value {
    _opaque: [u8; 0],
}

/// `sqlite3_file`: the head of what xOpen fills.
#[repr(C)]
pub(crate) struct FileHead {
    pub(crate) methods: *const IoMethods,
}

type File = *mut FileHead;

/// `sqlite3_io_methods`, version 3.
#[repr(C)]
pub(crate) struct IoMethods {
    pub(crate) version: c_int,
    pub(crate) close: unsafe extern "C" fn(File) -> c_int,
    pub(crate) read: unsafe extern "C" fn(File, *mut c_void, c_int, i64) -> c_int,
    pub(crate) write: unsafe extern "C" fn(File, *const c_void, c_int, i64) -> c_int,
    pub(crate) truncate: unsafe extern "C" fn(File, i64) -> c_int,
    pub(crate) sync: unsafe extern "C" fn(File, c_int) -> c_int,
    pub(crate) file_size: unsafe extern "C" fn(File, *mut i64) -> c_int,
    pub(crate) lock: unsafe extern "C" fn(File, c_int) -> c_int,
    pub(crate) unlock: unsafe extern "C" fn(File, c_int) -> c_int,
    pub(crate) check_reserved_lock: unsafe extern "C" fn(File, *mut c_int) -> c_int,
    pub(crate) file_control: unsafe extern "C" fn(File, c_int, *mut c_void) -> c_int,
    pub(crate) sector_size: unsafe extern "C" fn(File) -> c_int,
    pub(crate) device_characteristics: unsafe extern "C" fn(File) -> c_int,
    pub(crate) shm_map: unsafe extern "C" fn(File, c_int, c_int, c_int, *mut *mut c_void) -> c_int,
    pub(crate) shm_lock: unsafe extern "C" fn(File, c_int, c_int, c_int) -> c_int,
    pub(crate) shm_barrier: unsafe extern "C" fn(File),
    pub(crate) shm_unmap: unsafe extern "C" fn(File, c_int) -> c_int,
    pub(crate) fetch: unsafe extern "C" fn(File, i64, c_int, *mut *mut c_void) -> c_int,
    pub(crate) unfetch: unsafe extern "C" fn(File, i64, *mut c_void) -> c_int,
}

pub(crate) type Symbol = Option<unsafe extern "C" fn()>;

/// `sqlite3_vfs`, version 3.
#[repr(C)]
#[derive(Clone, Copy)]
pub(crate) struct Vfs {
    pub(crate) version: c_int,
    pub(crate) file_size: c_int,
    pub(crate) max_pathname: c_int,
    pub(crate) next: *mut Vfs,
    pub(crate) name: *const c_char,
    pub(crate) app_data: *mut c_void,
    pub(crate) open: Option<unsafe extern "C" fn(*mut Vfs, *const c_char, File, c_int, *mut c_int) -> c_int>,
    pub(crate) delete: Option<unsafe extern "C" fn(*mut Vfs, *const c_char, c_int) -> c_int>,
    pub(crate) access: Option<unsafe extern "C" fn(*mut Vfs, *const c_char, c_int, *mut c_int) -> c_int>,
    pub(crate) full_pathname:
        Option<unsafe extern "C" fn(*mut Vfs, *const c_char, c_int, *mut c_char) -> c_int>,
    pub(crate) dl_open: Option<unsafe extern "C" fn(*mut Vfs, *const c_char) -> *mut c_void>,
    pub(crate) dl_error: Option<unsafe extern "C" fn(*mut Vfs, c_int, *mut c_char)>,
    pub(crate) dl_sym: Option<unsafe extern "C" fn(*mut Vfs, *mut c_void, *const c_char) -> Symbol>,
    pub(crate) dl_close: Option<unsafe extern "C" fn(*mut Vfs, *mut c_void)>,
    pub(crate) randomness: Option<unsafe extern "C" fn(*mut Vfs, c_int, *mut c_char) -> c_int>,
    pub(crate) sleep: Option<unsafe extern "C" fn(*mut Vfs, c_int) -> c_int>,
    pub(crate) current_time: Option<unsafe extern "C" fn(*mut Vfs, *mut c_double) -> c_int>,
    pub(crate) get_last_error: Option<unsafe extern "C" fn(*mut Vfs, c_int, *mut c_char) -> c_int>,
    pub(crate) current_time_int64: Option<unsafe extern "C" fn(*mut Vfs, *mut i64) -> c_int>,
    pub(crate) set_system_call: Option<unsafe extern "C" fn(*mut Vfs, *const c_char, Symbol) -> c_int>,
    pub(crate) get_system_call: Option<unsafe extern "C" fn(*mut Vfs, *const c_char) -> Symbol>,
    pub(crate) next_system_call: Option<unsafe extern "C" fn(*mut Vfs, *const c_char) -> *const c_char>,
}

/// `sqlite3_index_info`; only the cost estimate is touched.
#[repr(C)]
pub(crate) struct IndexInfo {
    pub(crate) constraints: c_int,
    pub(crate) constraint: *mut c_void,
    pub(crate) order_by_terms: c_int,
    pub(crate) order_by: *mut c_void,
    pub(crate) constraint_usage: *mut c_void,
    pub(crate) index_number: c_int,
    pub(crate) index_string: *mut c_char,
    pub(crate) free_index_string: c_int,
    pub(crate) order_by_consumed: c_int,
    pub(crate) estimated_cost: c_double,
    pub(crate) estimated_rows: i64,
}

/// `sqlite3_vtab`.
#[repr(C)]
pub(crate) struct TableHead {
    pub(crate) module: *const Module,
    pub(crate) references: c_int,
    pub(crate) error_message: *mut c_char,
}

/// `sqlite3_vtab_cursor`.
#[repr(C)]
pub(crate) struct CursorHead {
    pub(crate) table: *mut TableHead,
}

type Connect = unsafe extern "C" fn(
    *mut Connection,
    *mut c_void,
    c_int,
    *const *const c_char,
    *mut *mut TableHead,
    *mut *mut c_char,
) -> c_int;

/// `sqlite3_module`, version 0, as a read-only eponymous table needs it.
#[repr(C)]
pub(crate) struct Module {
    pub(crate) version: c_int,
    pub(crate) create: Option<Connect>,
    pub(crate) connect: Connect,
    pub(crate) best_index: unsafe extern "C" fn(*mut TableHead, *mut IndexInfo) -> c_int,
    pub(crate) disconnect: unsafe extern "C" fn(*mut TableHead) -> c_int,
    pub(crate) destroy: Symbol,
    pub(crate) open: unsafe extern "C" fn(*mut TableHead, *mut *mut CursorHead) -> c_int,
    pub(crate) close: unsafe extern "C" fn(*mut CursorHead) -> c_int,
    pub(crate) filter:
        unsafe extern "C" fn(*mut CursorHead, c_int, *const c_char, c_int, *mut *mut Value) -> c_int,
    pub(crate) next: unsafe extern "C" fn(*mut CursorHead) -> c_int,
    pub(crate) eof: unsafe extern "C" fn(*mut CursorHead) -> c_int,
    pub(crate) column: unsafe extern "C" fn(*mut CursorHead, *mut Context, c_int) -> c_int,
    pub(crate) rowid: unsafe extern "C" fn(*mut CursorHead, *mut i64) -> c_int,
    /// xUpdate, xBegin, xSync, xCommit, xRollback, xFindFunction, xRename: none.
    pub(crate) unused: [Symbol; 7],
}
