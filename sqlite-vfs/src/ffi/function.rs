//! The SQL functions: arguments and results over C; what they do is in [`crate::commands`].
#![expect(unsafe_code, reason = "callbacks from C: raw contexts and values")]

use super::abi::{Connection as Raw, Context, Value, code, datatype, function};
use super::api::api;
use super::connection::Connection;
use crate::commands::COMMANDS;
use std::ffi::{c_int, c_void};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::ptr::null_mut;

/// For `sqlite3_result_text`: SQLite copies the text before the call returns.
const TRANSIENT: isize = -1;

/// Adds the functions to a connection; returns SQLite's code.
///
/// # Safety
/// `connection` is open and used by this thread only.
pub(super) unsafe fn register(connection: *mut Raw) -> c_int {
    for (index, command) in COMMANDS.iter().enumerate() {
        let entry = ENTRIES[index];
        // Functions with effects outside the connection must not run from a schema that someone else wrote.
        let flags = function::UTF8 | function::DIRECTONLY;
        // SAFETY: by the caller; the name and the function live for ever.
        let result = unsafe {
            let name = command.name.as_ptr();
            (api().create_function_v2)(connection, name, 1, flags, NO_DATA, Some(entry), None, None, None)
        };
        if result != code::OK {
            return result;
        }
    }
    code::OK
}

type Entry = unsafe extern "C" fn(*mut Context, c_int, *mut *mut Value);
const ENTRIES: [Entry; COMMANDS.len()] = [call::<0>, call::<1>, call::<2>, call::<3>];

unsafe extern "C" fn call<const INDEX: usize>(context: *mut Context, _count: c_int, values: *mut *mut Value) {
    let run = || {
        // SAFETY: registered with one argument.
        let value = unsafe { *values };
        // SAFETY: the context of a running function.
        let raw = unsafe { (api().context_db_handle)(context) };
        // SAFETY: its connection, which this thread is running the function on.
        let connection = unsafe { Connection::borrow(raw) };
        // SAFETY: an argument of the running function.
        let argument = unsafe { text(value) };
        let argument = argument.ok_or_else(|| "the argument must not be NULL".to_owned())?;
        (COMMANDS[INDEX].run)(connection, &argument)
    };
    let result = catch_unwind(AssertUnwindSafe(run)).unwrap_or_else(|_| Err("internal error".to_owned()));
    match result {
        // SAFETY: the context of a running function.
        Ok(text) => unsafe { result_text(context, &text) },
        Err(message) => {
            let message = format!("{}: {message}", COMMANDS[INDEX].name.to_string_lossy());
            let len = c_int::try_from(message.len()).unwrap_or(c_int::MAX);
            // SAFETY: `len` bytes, which SQLite copies.
            unsafe { (api().result_error)(context, message.as_ptr().cast(), len) };
        }
    }
}

/// The text of a value; `None` for NULL.
///
/// # Safety
/// `value` is an argument of the function that is running.
unsafe fn text(value: *mut Value) -> Option<String> {
    // SAFETY: by the caller.
    if unsafe { (api().value_type)(value) } == datatype::NULL {
        return None;
    }
    // SAFETY: by the caller; the text before the size, as sqlite3.h asks.
    let text = unsafe { (api().value_text)(value) };
    // SAFETY: by the caller.
    let len = usize::try_from(unsafe { (api().value_bytes)(value) }).unwrap_or(0);
    if text.is_null() {
        return None;
    }
    // SAFETY: `len` bytes, unchanged until the value is used again.
    let bytes = unsafe { std::slice::from_raw_parts(text, len) };
    Some(String::from_utf8_lossy(bytes).into_owned())
}

/// Makes `text` the result.
///
/// # Safety
/// `context` is that of a running function or xColumn.
pub(super) unsafe fn result_text(context: *mut Context, text: &str) {
    let Ok(len) = c_int::try_from(text.len()) else {
        // SAFETY: by the caller.
        unsafe { (api().result_error_code)(context, code::NOMEM) };
        return;
    };
    // SAFETY: by the caller; `len` bytes, which SQLite copies.
    unsafe { (api().result_text)(context, text.as_ptr().cast(), len, TRANSIENT) };
}

/// Makes an integer, or NULL, the result.
///
/// # Safety
/// `context` is that of a running function or xColumn.
pub(super) unsafe fn result_integer(context: *mut Context, number: Option<i64>) {
    match number {
        // SAFETY: by the caller.
        Some(number) => unsafe { (api().result_int64)(context, number) },
        // SAFETY: by the caller.
        None => unsafe { (api().result_null)(context) },
    }
}

/// The null user data of a registration.
pub(super) const NO_DATA: *mut c_void = null_mut();
