//! SQL on a connection, and the way from a connection to its main database file.
#![expect(unsafe_code, reason = "calls SQLite's C functions on a raw connection")]

use super::abi::{Connection as Raw, code, fcntl, open};
use super::api::api;
use super::io::Visit;
use super::vfs;
use crate::main_db::MainDb;
use std::ffi::{CStr, CString, c_int};
use std::marker::PhantomData;
use std::ptr::null_mut;

/// A connection that SQLite is calling us on; good for the length of that call.
#[derive(Clone, Copy)]
pub(crate) struct Connection<'a> {
    raw: *mut Raw,
    call: PhantomData<&'a Raw>,
}

impl Connection<'_> {
    /// # Safety
    /// `raw` is an open connection, and stays open and used by this thread only for the lifetime chosen.
    pub(super) unsafe fn borrow(raw: *mut Raw) -> Self {
        Connection { raw, call: PhantomData }
    }

    /// Whether no explicit transaction is open.
    pub(crate) fn is_autocommit(self) -> bool {
        // SAFETY: an open connection.
        unsafe { (api().get_autocommit)(self.raw) != 0 }
    }

    /// Runs SQL text whose rows nobody needs.
    ///
    /// # Errors
    /// SQLite's message.
    pub(crate) fn execute(self, sql: &CStr) -> Result<(), String> {
        // SAFETY: an open connection of this thread, no row callback, no message wanted.
        let result = unsafe { (api().exec)(self.raw, sql.as_ptr(), None, null_mut(), null_mut()) };
        if result == code::OK { Ok(()) } else { Err(self.message()) }
    }

    /// Runs `visit` on the main database's file; `None` if that is not in a pool.
    pub(crate) fn with_main<R>(self, visit: impl FnOnce(&mut MainDb) -> R) -> Option<R> {
        let mut visit = Some(visit);
        let mut result = None;
        let mut run = |main: &mut MainDb| result = visit.take().map(|visit| visit(main));
        let mut argument = Visit { run: &mut run };
        // SAFETY: an open connection; files of other VFSs do not know the operation and leave the argument alone. A file
        // of ours belongs to this copy of the library: a second copy registers no functions.
        unsafe {
            (api().file_control)(self.raw, c"main".as_ptr(), fcntl::VISIT, (&raw mut argument).cast());
        }
        result
    }

    fn message(self) -> String {
        // SAFETY: an open connection.
        let message = unsafe { (api().errmsg)(self.raw) };
        // SAFETY: never null; good until the next call on the connection.
        unsafe { CStr::from_ptr(message) }.to_string_lossy().into_owned()
    }
}

/// A connection of our own, to a database in a pool.
pub(crate) struct OwnConnection {
    raw: *mut Raw,
}

impl OwnConnection {
    /// Opens an existing database by its path through the pool.
    ///
    /// # Errors
    /// SQLite's message.
    pub(crate) fn open(path: &[u8]) -> Result<OwnConnection, String> {
        let path = CString::new(path).map_err(|_| "the path has a NUL byte".to_owned())?;
        let mut raw = null_mut();
        // A private cache, because opening under a shared one holds a mutex that we may be called under.
        let flags = open::READWRITE | open::PRIVATECACHE;
        // SAFETY: C strings and an out-parameter.
        let result: c_int =
            unsafe { (api().open_v2)(path.as_ptr(), &raw mut raw, flags, vfs::NAME.as_ptr()) };
        let connection = OwnConnection { raw };
        match result {
            code::OK => Ok(connection),
            _ if raw.is_null() => Err("out of memory".to_owned()),
            _ => Err(connection.borrow().message()),
        }
    }

    /// The connection, to run SQL on.
    pub(crate) fn borrow(&self) -> Connection<'_> {
        // SAFETY: open until the drop, which waits for this borrow; not Send, so only this thread uses it.
        unsafe { Connection::borrow(self.raw) }
    }
}

impl Drop for OwnConnection {
    fn drop(&mut self) {
        // SAFETY: null or an open connection without statements.
        unsafe { (api().close)(self.raw) };
    }
}
