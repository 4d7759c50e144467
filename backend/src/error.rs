//! The one error type: what happened, where, what was expected and what was found.
//!
//! An [`Error`] is a kind that programs match on, a sentence for people, and the system error it came from where there
//! is one. It is one pointer wide, so that the results of hot calls stay small.

use std::fmt;
use std::io;
use std::path::Path;

/// What every fallible call of the crate returns.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What kind of failure it was. Each has one errno, see [`ErrorKind::errno`].
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The path names nothing.
    NotFound,
    /// The path names something already.
    AlreadyExists,
    /// A component of the path is a file.
    NotADirectory,
    /// The operation is for files and the path names a directory.
    IsADirectory,
    /// The directory to remove or replace has entries.
    DirectoryNotEmpty,
    /// An argument is out of its range.
    InvalidInput,
    /// A name is longer than 255 bytes.
    NameTooLong,
    /// A file would grow past the format's limit, or a pool past what is mapped or representable.
    TooLarge,
    /// The pool has no free block left for this.
    NoSpace,
    /// The pool has as many inodes as it may have.
    NoInodes,
    /// A block or inode is shared by as many owners as a reference count can hold.
    TooManyLinks,
    /// A live member or handle holds what is needed; trying again later may succeed.
    Busy,
    /// The file, snapshot, handle or pool is read-only.
    ReadOnly,
    /// The host's permissions forbid it.
    PermissionDenied,
    /// Bytes in the pool contradict the format.
    Corrupt,
    /// The host file is not a pool.
    NotAPool,
    /// The pool was made by a later version, or uses a feature that this version does not know.
    UnsupportedVersion,
    /// The medium cannot do what was asked for (no MAP_SYNC with `Dax::Always`, a network file system ...).
    UnsupportedMedium,
    /// The medium lost the bytes: bad memory, or the pool was truncated from outside.
    MediaError,
    /// The handle's file was replaced or removed, or the member lost its slot.
    Stale,
    /// The pool was opened by this process's parent; a forked child must open its own.
    Forked,
    /// A stream of a snapshot is damaged, cut short, or none at all.
    BadStream,
    /// A stream builds upon a snapshot that the pool does not have.
    WrongBase,
    /// A system call failed in a way that none of the other kinds names.
    Io,
}

impl ErrorKind {
    /// The errno a C caller gets for it.
    #[must_use]
    pub const fn errno(self) -> i32 {
        match self {
            ErrorKind::NotFound => libc::ENOENT,
            ErrorKind::AlreadyExists => libc::EEXIST,
            ErrorKind::NotADirectory => libc::ENOTDIR,
            ErrorKind::IsADirectory => libc::EISDIR,
            ErrorKind::DirectoryNotEmpty => libc::ENOTEMPTY,
            ErrorKind::InvalidInput | ErrorKind::NotAPool => libc::EINVAL,
            ErrorKind::NameTooLong => libc::ENAMETOOLONG,
            ErrorKind::TooLarge => libc::EFBIG,
            ErrorKind::NoSpace | ErrorKind::NoInodes => libc::ENOSPC,
            ErrorKind::TooManyLinks => libc::EMLINK,
            ErrorKind::Busy => libc::EBUSY,
            ErrorKind::ReadOnly => libc::EROFS,
            ErrorKind::PermissionDenied => libc::EACCES,
            ErrorKind::Corrupt => libc::EUCLEAN,
            ErrorKind::UnsupportedVersion | ErrorKind::UnsupportedMedium => libc::EOPNOTSUPP,
            ErrorKind::MediaError | ErrorKind::Io => libc::EIO,
            ErrorKind::BadStream => libc::EBADMSG,
            ErrorKind::WrongBase => libc::ENODATA,
            ErrorKind::Stale => libc::ESTALE,
            ErrorKind::Forked => libc::ECHILD,
        }
    }
}

/// A failure: its kind, a sentence saying what, where, expected and found, and the system error behind it.
pub struct Error(Box<Inner>);

struct Inner {
    kind: ErrorKind,
    message: String,
    source: Option<io::Error>,
}

impl Error {
    /// An error of `kind` described by `message`.
    #[must_use]
    #[cold]
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Error {
        Error(Box::new(Inner { kind, message: message.into(), source: None }))
    }

    /// The error of a system call: the kind follows from its errno, `what` says which call on what.
    #[must_use]
    #[cold]
    pub fn os(what: impl Into<String>, source: io::Error) -> Error {
        let kind = match source.raw_os_error() {
            Some(libc::ENOENT) => ErrorKind::NotFound,
            Some(libc::EEXIST) => ErrorKind::AlreadyExists,
            Some(libc::ENOTDIR) => ErrorKind::NotADirectory,
            Some(libc::EISDIR) => ErrorKind::IsADirectory,
            Some(libc::ENOSPC | libc::EDQUOT) => ErrorKind::NoSpace,
            Some(libc::EACCES | libc::EPERM) => ErrorKind::PermissionDenied,
            Some(libc::EROFS) => ErrorKind::ReadOnly,
            Some(libc::EFBIG) => ErrorKind::TooLarge,
            Some(libc::ENAMETOOLONG) => ErrorKind::NameTooLong,
            _ => ErrorKind::Io,
        };
        Error(Box::new(Inner { kind, message: what.into(), source: Some(source) }))
    }

    /// The error of the system call that just failed, from errno.
    #[must_use]
    #[cold]
    pub fn last_os(what: impl Into<String>) -> Error {
        Error::os(what, io::Error::last_os_error())
    }

    /// Damage: `structure` at `place` should have held `expected` and holds `found`.
    #[must_use]
    #[cold]
    pub fn corrupt(
        structure: &str,
        place: impl fmt::Display,
        expected: impl fmt::Display,
        found: impl fmt::Display,
    ) -> Error {
        Error::new(
            ErrorKind::Corrupt,
            format!("{structure} at {place} is damaged: expected {expected}, found {found}"),
        )
    }

    /// The same error, saying first what was being done: `context: message`.
    #[must_use]
    pub fn context(mut self, context: impl fmt::Display) -> Error {
        self.0.message = format!("{context}: {}", self.0.message);
        self
    }

    /// The same error, naming the path it is about.
    #[must_use]
    pub fn at(self, path: impl AsRef<Path>) -> Error {
        self.context(path.as_ref().display())
    }

    /// What kind of failure it was.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        self.0.kind
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.message)?;
        match &self.0.source {
            Some(source) => write!(f, ": {source}"),
            None => Ok(()),
        }
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}: {self}", self.0.kind)
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.0.source.as_ref().map(|source| source as _)
    }
}

impl From<Error> for io::Error {
    fn from(error: Error) -> io::Error {
        let kind = io::Error::from_raw_os_error(error.kind().errno()).kind();
        io::Error::new(kind, error)
    }
}
