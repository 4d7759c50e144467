//! Byte locks that live and die with an open file description of their own (OFD locks).
//!
//! The description is used for nothing else and never mapped: a mapping, or a copy in a forked child, would keep a
//! dead process's locks alive. A child closes its copy in the fork handler.
#![expect(unsafe_code, reason = "open, fcntl and close on a descriptor that a forked child must drop")]

use std::ffi::CString;
use std::io;
use std::os::fd::RawFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::file::Identity;
use super::fork;
use super::registry::Row;
use crate::error::{Error, ErrorKind, Result};

/// Between two questions for a lock that another holds.
const FIRST_PAUSE: Duration = Duration::from_micros(50);
const PAUSE_MAX: Duration = Duration::from_millis(5);

/// A description of a file that carries byte locks. Any byte may be locked, also beyond the end of the file.
pub(crate) struct LockFile {
    fd: RawFd,
    path: PathBuf,
    generation: u64,
    in_child: Option<Row<3>>,
}

impl LockFile {
    /// Opens `path` for reading and writing, for its locks only.
    pub(crate) fn open(path: &Path) -> Result<LockFile> {
        LockFile::open_for(path, libc::O_RDWR)
    }

    /// Opens `path` for reading only: for shared locks and for asking whether a byte is locked.
    pub(crate) fn open_read_only(path: &Path) -> Result<LockFile> {
        LockFile::open_for(path, libc::O_RDONLY)
    }

    fn open_for(path: &Path, mode: libc::c_int) -> Result<LockFile> {
        let name = CString::new(path.as_os_str().as_bytes())
            .map_err(|_| Error::new(ErrorKind::InvalidInput, "path holds a NUL byte").at(path))?;
        let section = fork::unforked();
        // SAFETY: `name` is a NUL-terminated string that outlives the call.
        let fd = unsafe { libc::open(name.as_ptr(), mode | libc::O_CLOEXEC) };
        if fd < 0 {
            return Err(Error::last_os("open for locking").at(path));
        }
        let word =
            usize::try_from(fd).map_err(|_| Error::new(ErrorKind::Io, "open gave a negative descriptor"))?;
        Ok(LockFile {
            fd,
            path: path.to_owned(),
            generation: fork::generation(),
            in_child: Some(section.in_child(close_in_child, word, 0)),
        })
    }

    /// Which file the locks are on, whatever its path names by now.
    pub(crate) fn identity(&self) -> Result<Identity> {
        let metadata = std::fs::metadata(format!("/proc/self/fd/{}", self.fd));
        let metadata = metadata.map_err(|error| Error::os("stat for locking", error).at(&self.path))?;
        Ok(Identity::of(&metadata))
    }

    /// Locks `byte` for this description alone; false if another holds it in any mode.
    pub(crate) fn try_exclusive(&self, byte: u64) -> Result<bool> {
        self.try_set(byte, libc::F_WRLCK)
    }

    /// Locks `byte` together with other sharers; false if another holds it exclusively. Downgrades an exclusive lock.
    pub(crate) fn try_shared(&self, byte: u64) -> Result<bool> {
        self.try_set(byte, libc::F_RDLCK)
    }

    /// Locks `byte` for this description alone; Busy if it is not to be had within `patience`.
    pub(crate) fn exclusive_within(&self, byte: u64, patience: Duration) -> Result<()> {
        self.within(patience, || self.try_exclusive(byte))
    }

    /// Locks `byte` together with other sharers; Busy if it is not to be had within `patience`.
    pub(crate) fn shared_within(&self, byte: u64, patience: Duration) -> Result<()> {
        self.within(patience, || self.try_shared(byte))
    }

    /// Gives `byte` up.
    pub(crate) fn unlock(&self, byte: u64) -> Result<()> {
        let mut lock = self.request(byte, libc::F_UNLCK)?;
        self.call(libc::F_OFD_SETLK, &mut lock).map_err(|error| self.failed("unlock", byte, error))
    }

    /// Whether another description holds `byte` in any mode.
    pub(crate) fn is_locked(&self, byte: u64) -> Result<bool> {
        let mut lock = self.request(byte, libc::F_WRLCK)?;
        self.call(libc::F_OFD_GETLK, &mut lock).map_err(|error| self.failed("query", byte, error))?;
        Ok(libc::c_int::from(lock.l_type) != libc::F_UNLCK)
    }

    fn try_set(&self, byte: u64, kind: libc::c_int) -> Result<bool> {
        let mut lock = self.request(byte, kind)?;
        match self.call(libc::F_OFD_SETLK, &mut lock) {
            Ok(()) => Ok(true),
            Err(error) if matches!(error.raw_os_error(), Some(libc::EAGAIN | libc::EACCES)) => Ok(false),
            Err(error) => Err(self.failed("lock", byte, error)),
        }
    }

    /// Asks again and again: the kernel waits for a stopped process as long as it stays so, and does not say for whom.
    fn within(&self, patience: Duration, locked: impl Fn() -> Result<bool>) -> Result<()> {
        let (mut waited, mut pause) = (Duration::ZERO, FIRST_PAUSE);
        while !locked()? {
            if waited >= patience {
                return Err(Error::new(
                    ErrorKind::Busy,
                    format!("waited {patience:?} for a process that is opening, closing, creating or repairing the pool"),
                )
                .at(&self.path));
            }
            std::thread::sleep(pause);
            waited += pause;
            pause = (pause * 2).min(PAUSE_MAX);
        }
        Ok(())
    }

    fn request(&self, byte: u64, kind: libc::c_int) -> Result<libc::flock> {
        if self.generation != fork::generation() {
            return Err(
                Error::new(ErrorKind::Forked, "the locks belong to this process's parent").at(&self.path)
            );
        }
        let start = libc::off_t::try_from(byte)
            .map_err(|_| Error::new(ErrorKind::InvalidInput, format!("lock byte {byte} is beyond 2^63")))?;
        // l_pid must be 0 for these locks.
        Ok(libc::flock {
            l_type: narrow(kind),
            l_whence: narrow(libc::SEEK_SET),
            l_start: start,
            l_len: 1,
            l_pid: 0,
        })
    }

    fn call(&self, command: libc::c_int, lock: &mut libc::flock) -> io::Result<()> {
        loop {
            // SAFETY: `fd` is open as long as `self` (the generation was checked in `request`), and `lock` is a valid
            // struct that the call fills at most.
            if unsafe { libc::fcntl(self.fd, command, std::ptr::from_mut(lock)) } >= 0 {
                return Ok(());
            }
            let error = io::Error::last_os_error();
            if error.kind() != io::ErrorKind::Interrupted {
                return Err(error);
            }
        }
    }

    #[cold]
    fn failed(&self, what: &str, byte: u64, error: io::Error) -> Error {
        Error::os(format!("{what} lock byte {byte:#x}"), error).at(&self.path)
    }
}

impl Drop for LockFile {
    fn drop(&mut self) {
        if self.generation != fork::generation() {
            return; // a child: the fork handler closed the descriptor, its number may be another file's by now
        }
        let section = fork::unforked();
        self.in_child = None;
        // A program that another thread is starting at this moment has a copy of the descriptor until its exec.
        let mut all = libc::flock {
            l_type: narrow(libc::F_UNLCK),
            l_whence: narrow(libc::SEEK_SET),
            l_start: 0,
            l_len: 0,
            l_pid: 0,
        };
        if let Err(error) = self.call(libc::F_OFD_SETLK, &mut all) {
            tracing::warn!(%error, path = %self.path.display(), "unlocking all bytes before close");
        }
        // SAFETY: `fd` was opened by `open` and is closed only here; the row that a child would close it by is gone.
        unsafe { libc::close(self.fd) };
        drop(section);
    }
}

/// The lock types and whence values are all below 10.
fn narrow(value: libc::c_int) -> libc::c_short {
    libc::c_short::try_from(value).unwrap_or(libc::c_short::MAX)
}

fn close_in_child(fd: usize, _: usize) {
    if let Ok(fd) = RawFd::try_from(fd) {
        // SAFETY: the row exists exactly while the parent has this descriptor open, and the child has just got its copy.
        unsafe { libc::close(fd) };
    }
}
