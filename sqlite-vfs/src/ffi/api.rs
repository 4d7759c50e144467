//! The SQLite functions that this library calls: one table of pointers, filled in one of three ways.
//!
//! | how it came in | filled from |
//! |---|---|
//! | loadable extension | `sqlite3_api_routines`, which only ever grows at its end |
//! | preload library | `dlsym` |
//! | `register()` | the symbols that the program is linked with (feature `static`) |
//!
//! So one code base calls whichever SQLite is at hand and links to none.
#![expect(unsafe_code, reason = "turns addresses of C functions into function pointers")]

use super::abi::{Connection, Context, FileHead, Module, Value, Vfs};
use std::ffi::{CStr, c_char, c_int, c_void};
use std::sync::OnceLock;

type SqlFunction = unsafe extern "C" fn(*mut Context, c_int, *mut *mut Value);
type Destructor = Option<unsafe extern "C" fn(*mut c_void)>;
/// What `sqlite3_auto_extension` takes: an extension's entry point.
pub(crate) type EntryPoint = unsafe extern "C" fn(*mut Connection, *mut *mut c_char, *const c_void) -> c_int;
type Row = unsafe extern "C" fn(*mut c_void, c_int, *mut *mut c_char, *mut *mut c_char) -> c_int;

/// The lowest SQLite that is supported, as `sqlite3_libversion_number` counts: 3.40.0.
const VERSION_MIN: c_int = 3_040_000;

macro_rules! api {
    ($($field:ident = $symbol:ident at $index:literal: $signature:ty;)*) => {
        /// Pointers to the functions of one SQLite library.
        pub(crate) struct Api { $(pub(super) $field: $signature,)* }

        impl Api {
            /// Fills the table with what `address` returns for the slot in `sqlite3_api_routines` and name of each.
            ///
            /// # Safety
            /// 1. Every address that is not null is the SQLite function of that name.
            /// 2. They stay loaded for the life of the process.
            unsafe fn fill(address: impl Fn(usize, &'static CStr) -> *const c_void) -> Result<Api, String> {
                Ok(Api { $($field: {
                    const NAME: &str = concat!(stringify!($symbol), "\0");
                    let name = CStr::from_bytes_with_nul(NAME.as_bytes()).unwrap_or_default();
                    let found = address($index, name);
                    if found.is_null() {
                        return Err(format!("this SQLite has no function {}", stringify!($symbol)));
                    }
                    // SAFETY: 1. not null; 2. by the caller it is the function of this name, whose signature in
                    // sqlite3.h the table repeats.
                    unsafe { std::mem::transmute::<*const c_void, $signature>(found) }
                },)* })
            }

            /// The functions of the SQLite that the program is linked with.
            #[cfg(feature = "static")]
            pub(crate) fn linked() -> Result<Api, String> {
                use libsqlite3_sys as _;
                unsafe extern "C" { $(fn $symbol();)* }
                let find = |index: usize, _: &CStr| match index {
                    $($index => $symbol as *const c_void,)*
                    _ => std::ptr::null(),
                };
                // SAFETY: 1. the linker bound each name to the function of that name; 2. the program is never unloaded.
                unsafe { Api::fill(find) }
            }

            /// Slot and name of every function in the table.
            #[cfg(test)]
            const SLOTS: &[(usize, &str)] = &[$(($index, stringify!($symbol)),)*];
        }
    };
}

api! {
    auto_extension = sqlite3_auto_extension at 192: unsafe extern "C" fn(EntryPoint) -> c_int;
    close = sqlite3_close at 16: unsafe extern "C" fn(*mut Connection) -> c_int;
    context_db_handle = sqlite3_context_db_handle at 149: unsafe extern "C" fn(*mut Context) -> *mut Connection;
    create_function_v2 = sqlite3_create_function_v2 at 162: unsafe extern "C" fn(
        *mut Connection, *const c_char, c_int, c_int, *mut c_void,
        Option<SqlFunction>, Option<SqlFunction>, Option<unsafe extern "C" fn(*mut Context)>, Destructor) -> c_int;
    create_module_v2 = sqlite3_create_module_v2 at 119: unsafe extern "C" fn(
        *mut Connection, *const c_char, *const Module, *mut c_void, Destructor) -> c_int;
    declare_vtab = sqlite3_declare_vtab at 50: unsafe extern "C" fn(*mut Connection, *const c_char) -> c_int;
    errmsg = sqlite3_errmsg at 53: unsafe extern "C" fn(*mut Connection) -> *const c_char;
    exec = sqlite3_exec at 55: unsafe extern "C" fn(
        *mut Connection, *const c_char, Option<Row>, *mut c_void, *mut *mut c_char) -> c_int;
    file_control = sqlite3_file_control at 127: unsafe extern "C" fn(
        *mut Connection, *const c_char, c_int, *mut c_void) -> c_int;
    get_autocommit = sqlite3_get_autocommit at 60: unsafe extern "C" fn(*mut Connection) -> c_int;
    libversion_number = sqlite3_libversion_number at 67: unsafe extern "C" fn() -> c_int;
    log = sqlite3_log at 167: unsafe extern "C" fn(c_int, *const c_char, ...);
    malloc64 = sqlite3_malloc64 at 197: unsafe extern "C" fn(u64) -> *mut c_void;
    open_v2 = sqlite3_open_v2 at 135: unsafe extern "C" fn(
        *const c_char, *mut *mut Connection, c_int, *const c_char) -> c_int;
    result_error = sqlite3_result_error at 80: unsafe extern "C" fn(*mut Context, *const c_char, c_int);
    result_error_code = sqlite3_result_error_code at 146: unsafe extern "C" fn(*mut Context, c_int);
    result_int64 = sqlite3_result_int64 at 83: unsafe extern "C" fn(*mut Context, i64);
    result_null = sqlite3_result_null at 84: unsafe extern "C" fn(*mut Context);
    result_text = sqlite3_result_text at 85: unsafe extern "C" fn(*mut Context, *const c_char, c_int, isize);
    uri_boolean = sqlite3_uri_boolean at 187: unsafe extern "C" fn(*const c_char, *const c_char, c_int) -> c_int;
    value_bytes = sqlite3_value_bytes at 103: unsafe extern "C" fn(*mut Value) -> c_int;
    value_text = sqlite3_value_text at 109: unsafe extern "C" fn(*mut Value) -> *const u8;
    value_type = sqlite3_value_type at 113: unsafe extern "C" fn(*mut Value) -> c_int;
    vfs_find = sqlite3_vfs_find at 141: unsafe extern "C" fn(*const c_char) -> *mut Vfs;
    vfs_register = sqlite3_vfs_register at 142: unsafe extern "C" fn(*mut Vfs, c_int) -> c_int;
}

static API: OnceLock<Api> = OnceLock::new();

/// The table of the SQLite that this library works for, or an error if nothing was registered yet.
pub(super) fn installed() -> Result<&'static Api, &'static str> {
    API.get().ok_or("no SQLite is registered")
}

/// The table, from a callback: none comes before the registration.
///
/// # Panics
/// If nothing was registered; the guards of the callbacks turn that into an error code.
pub(super) fn api() -> &'static Api {
    API.get().expect("a SQLite library is registered before it calls back")
}

impl Api {
    /// Reads the table that SQLite hands to a loadable extension.
    ///
    /// # Safety
    /// `routines` is the `sqlite3_api_routines` of a SQLite that stays loaded for the life of the process.
    pub(crate) unsafe fn from_routines(routines: *const c_void) -> Result<Api, String> {
        if routines.is_null() {
            return Err("SQLite was built without loadable extensions".to_owned());
        }
        let table = routines.cast::<*const c_void>();
        let slot = |index: usize, _: &CStr| {
            // SAFETY: the slot is inside the table of every SQLite from 3.8.7 on, when the last of these was added.
            let slot = unsafe { table.add(index) };
            // SAFETY: the table is an array of function pointers, aligned and initialised.
            unsafe { *slot }
        };
        // SAFETY: by the caller; the slots are those of sqlite3ext.h (a test compares them).
        unsafe { Api::fill(slot) }
    }

    /// Fills the table by name.
    ///
    /// # Safety
    /// `symbol` returns null or the SQLite function of that name, in a library that stays loaded.
    pub(super) unsafe fn from_symbols(symbol: impl Fn(&CStr) -> *const c_void) -> Result<Api, String> {
        // SAFETY: by the caller.
        unsafe { Api::fill(|_, name| symbol(name)) }
    }

    /// Makes this the table of the process, unless there is one already, and returns the one in force.
    pub(crate) fn install(self) -> Result<&'static Api, String> {
        // SAFETY: takes no argument and touches no state.
        let version = unsafe { (self.libversion_number)() };
        if version < VERSION_MIN {
            return Err(format!("SQLite 3.40.0 or later is needed, this one is number {version}"));
        }
        Ok(API.get_or_init(|| self))
    }

    /// The VFS of that name, or the default one.
    pub(super) fn find_vfs(&self, name: Option<&CStr>) -> *mut Vfs {
        let name = name.map_or(std::ptr::null(), CStr::as_ptr);
        // SAFETY: null or a C string; SQLite initialises itself and locks its list.
        unsafe { (self.vfs_find)(name) }
    }

    /// Makes `entry` run on every connection that is opened from now on.
    pub(super) fn run_on_open(&self, entry: EntryPoint) -> c_int {
        // SAFETY: SQLite keeps the pointer; this library is never unloaded.
        unsafe { (self.auto_extension)(entry) }
    }
}

/// Writes a line to SQLite's error log (`SQLITE_CONFIG_LOG`, `.log` of the shell).
pub(crate) fn log(code: c_int, message: &str) {
    let Some(api) = API.get() else { return };
    let Ok(message) = std::ffi::CString::new(message) else { return };
    // SAFETY: the format takes one C string and gets one.
    unsafe { (api.log)(code, c"daxcow: %s".as_ptr(), message.as_ptr()) };
}

/// A C string of SQLite's allocator holding `text` up to its first NUL; null when memory is short.
pub(super) fn allocate_text(text: &str) -> *mut c_char {
    let bytes = text.as_bytes();
    let len = bytes.iter().position(|&byte| byte == 0).unwrap_or(bytes.len());
    // SAFETY: any size is allowed.
    let memory = unsafe { (api().malloc64)(len as u64 + 1) }.cast::<u8>();
    if !memory.is_null() {
        // SAFETY: fresh memory of len + 1 bytes, apart from `bytes`, which has at least len.
        unsafe { std::ptr::copy_nonoverlapping(bytes.as_ptr(), memory, len) };
        // SAFETY: the last of the len + 1 bytes.
        let end = unsafe { memory.add(len) };
        // SAFETY: inside the same allocation.
        unsafe { end.write(0) };
    }
    memory.cast()
}

/// Whether the URI parameter `name` of the main database `file_name` is true, or `default` where it is absent.
///
/// # Safety
/// `file_name` came from SQLite as the name of a main database.
pub(super) unsafe fn uri_boolean(file_name: *const c_char, name: &CStr, default: bool) -> bool {
    // SAFETY: by the caller; SQLite reads the parameters that it stored behind the name.
    unsafe { (api().uri_boolean)(file_name, name.as_ptr(), c_int::from(default)) != 0 }
}

/// The size that xOpen's memory must have: ours or the host's, whichever is larger, in bytes.
pub(super) const FILE_BYTES: usize = size_of::<FileHead>() + size_of::<*mut c_void>();

#[cfg(test)]
mod tests {
    use super::Api;

    /// The slots are numbered by hand; sqlite3ext.h is the authority.
    #[test]
    fn slots_are_those_of_sqlite3ext_h() {
        let header =
            std::fs::read_to_string("/usr/include/sqlite3ext.h").expect("libsqlite3-dev is installed");
        let start = header.find("struct sqlite3_api_routines {").expect("the table is in the header");
        let body = &header[start..header[start..].find("\n};").map_or(header.len(), |end| start + end)];
        let names: Vec<&str> = body
            .split(';')
            .filter_map(|declaration| {
                let open = declaration.find("(*").map(|at| at + 2).or_else(|| declaration.find("( *"))?;
                Some(declaration[open..].split(')').next()?.trim_matches([' ', '*']))
            })
            .collect();
        for &(slot, symbol) in Api::SLOTS {
            assert_eq!(Some(&symbol.trim_start_matches("sqlite3_")), names.get(slot), "slot {slot}");
        }
    }
}
