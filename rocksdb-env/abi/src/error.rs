//! Errors on their way to C++.

use std::ffi::{CStr, CString, c_char, c_int};

use daxcow::Error;

/// What failed. Owned by whoever got it.
pub struct Failure {
    code: c_int,
    message: CString,
}

impl Failure {
    pub(crate) fn new(code: c_int, message: &str) -> *mut Failure {
        let message = CString::new(message.replace('\0', "\\0")).unwrap_or_default();
        Box::into_raw(Box::new(Failure { code, message }))
    }

    pub(crate) fn message(&self) -> &CStr {
        &self.message
    }

    pub(crate) fn of(error: &Error) -> *mut Failure {
        Failure::new(error.kind().errno(), &error.to_string())
    }
}

/// The errno of an error.
///
/// # Safety
/// `error` came from a function of this library and was not freed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn daxcow_error_code(error: *const Failure) -> c_int {
    // SAFETY: the caller's promise.
    unsafe { (*error).code }
}

/// What happened, where, what was expected and found; valid until the error is freed.
///
/// # Safety
/// As [`daxcow_error_code`].
#[unsafe(no_mangle)]
pub unsafe extern "C" fn daxcow_error_message(error: *const Failure) -> *const c_char {
    // SAFETY: the caller's promise.
    let failure = unsafe { &*error };
    failure.message().as_ptr()
}

/// Frees an error.
///
/// # Safety
/// `error` is null or as in [`daxcow_error_code`], and not used again.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn daxcow_error_free(error: *mut Failure) {
    // SAFETY: the caller's promise.
    unsafe { crate::free(error) };
}
