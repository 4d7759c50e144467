//! From the backend's errors to SQLite's result codes: here and nowhere else.

use crate::ffi::{self, code};
use daxcow::ErrorKind;
use std::ffi::c_int;

/// What SQLite gets instead of a result.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Failure {
    /// The (extended) result code.
    pub(crate) code: c_int,
    /// For SQLITE_FCNTL_LAST_ERRNO; 0 if no system or pool error stands behind it.
    pub(crate) errno: c_int,
}

impl Failure {
    /// The same failure under another code.
    pub(crate) fn with_code(self, code: c_int) -> Failure {
        Failure { code, ..self }
    }
}

pub(crate) type Outcome<T> = Result<T, Failure>;

impl From<c_int> for Failure {
    fn from(code: c_int) -> Failure {
        Failure { code, errno: 0 }
    }
}

/// Backend errors become result codes where it is known which call failed.
pub(crate) trait OrCode<T> {
    /// The value, or `operation` (such as SQLITE_IOERR_READ) unless the kind of the error has a code that says more.
    fn or_code(self, operation: c_int) -> Outcome<T>;
}

impl<T> OrCode<T> for daxcow::Result<T> {
    fn or_code(self, operation: c_int) -> Outcome<T> {
        self.map_err(|error| failure(&error, operation))
    }
}

/// The result code for `error`, which goes to SQLite's error log in full unless it is the ordinary Busy.
#[cold]
pub(crate) fn failure(error: &daxcow::Error, operation: c_int) -> Failure {
    let code = match error.kind() {
        ErrorKind::Busy => code::BUSY,
        ErrorKind::NoSpace | ErrorKind::NoInodes | ErrorKind::TooLarge => code::FULL,
        ErrorKind::ReadOnly => code::READONLY,
        ErrorKind::Corrupt => code::IOERR_CORRUPTFS,
        _ => operation,
    };
    if code != code::BUSY {
        ffi::log(code, &error.to_string());
    }
    Failure { code, errno: error.kind().errno() }
}

/// The same where a failure drops what was staged: SQLITE_BUSY would tell SQLite that the transaction is still there to be
/// committed again, so it hears of an I/O error and rolls back.
#[cold]
pub(crate) fn dropping_failure(error: &daxcow::Error, operation: c_int) -> Failure {
    let failure = failure(error, operation);
    if failure.code != code::BUSY {
        return failure;
    }
    ffi::log(operation, &error.to_string());
    failure.with_code(operation)
}

#[cfg(test)]
mod tests {
    use super::{code, dropping_failure, failure};
    use daxcow::{Error, ErrorKind};

    #[test]
    fn a_busy_commit_is_not_reported_as_busy() {
        let busy = Error::new(ErrorKind::Busy, "the cut gate is closed");
        assert_eq!(failure(&busy, code::IOERR_WRITE).code, code::BUSY);
        assert_eq!(dropping_failure(&busy, code::IOERR_FSYNC).code, code::IOERR_FSYNC);
    }

    #[test]
    fn a_full_pool_is_a_full_database_for_every_call() {
        let full = Error::new(ErrorKind::NoSpace, "no block left");
        assert_eq!(failure(&full, code::IOERR_WRITE).code, code::FULL);
        assert_eq!(dropping_failure(&full, code::IOERR_FSYNC).code, code::FULL);
    }
}
